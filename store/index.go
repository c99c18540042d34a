package store

import (
	"bytes"
	"encoding/binary"
	"fmt"
	"strconv"
	"strings"
)

// The key space. Every key begins with what it is and its table:
//
//	r TABLE 0 GUID                     -> position, sealed JSON       a record
//	x TABLE 0 INDEX 0 VALUE 01 POSITION -> GUID                       an index entry; VALUE is escaped
//	n TABLE                            -> next sequence, count        the table's numbers
//
// A position is the record's time of creation and its number in the table. It sorts as lists do, so
// entries of one index value are in creation order.
const (
	recordKind  = 'r'
	indexKind   = 'x'
	numbersKind = 'n'
)

// Indexes that every table has. "guid" needs no entries: it is the record's key.
const (
	guidIndex    = "guid"
	createdIndex = "created_at"
	updatedIndex = "updated_at"
)

const positionBytes = 16

// position is where a record stands in the creation order of its table.
type position [positionBytes]byte

func (p position) compare(q position) int { return bytes.Compare(p[:], q[:]) }

// index derives from a record the values under which it is found. A single index gives exactly one value, the
// empty string included, so that all records are in it and it can order a list; a multi index gives any number.
type index[T any] struct {
	name     string
	isUnique bool
	isMulti  bool
	fold     func(string) string // what makes two values equal; nil: nothing
	values   func(*T) []string
}

// by is a single index.
func by[T any](name string, value func(*T) string) index[T] {
	return index[T]{name: name, values: func(r *T) []string { return []string{value(r)} }}
}

// byEach is a multi index.
func byEach[T any](name string, values func(*T) []string) index[T] {
	return index[T]{name: name, isMulti: true, values: values}
}

// unique allows one record a value.
func (i index[T]) unique() index[T] { i.isUnique = true; return i }

// anyCase makes values equal that differ in case alone.
func (i index[T]) anyCase() index[T] { i.fold = strings.ToLower; return i }

// number orders values as numbers.
func (i index[T]) number() index[T] { i.fold = padNumber; return i }

// padNumber brings a number to the width of the largest int64. What is no number stays as it is.
func padNumber(s string) string {
	if n, err := strconv.ParseInt(s, 10, 64); err == nil && n >= 0 {
		return fmt.Sprintf("%019d", n)
	}
	return s
}

func (i index[T]) folded(value string) string {
	if i.fold == nil {
		return value
	}
	return i.fold(value)
}

// escape and endOfValue keep the order of values in keys: a zero byte becomes 00 ff, and 00 01 ends the value.
var (
	escape     = strings.NewReplacer("\x00", "\x00\xff")
	unescape   = strings.NewReplacer("\x00\xff", "\x00")
	endOfValue = "\x00\x01"
)

func recordKey(table TableName, guid string) []byte {
	return append(tablePrefix(recordKind, table), guid...)
}

func tablePrefix(kind byte, table TableName) []byte {
	key := make([]byte, 0, 1+len(table)+1+64)
	key = append(key, kind)
	key = append(key, table...)
	return append(key, 0)
}

func indexPrefix(table TableName, index string) []byte {
	return append(append(tablePrefix(indexKind, table), index...), 0)
}

// valuePrefix begins the keys of all entries that have the (folded) value.
func valuePrefix(table TableName, index, value string) []byte {
	return append(append(indexPrefix(table, index), escape.Replace(value)...), endOfValue...)
}

func entryKey(table TableName, index, value string, p position) []byte {
	return append(valuePrefix(table, index, value), p[:]...)
}

// entryPosition reads the position from the end of an entry's key.
func entryPosition(key []byte) (p position) {
	copy(p[:], key[len(key)-positionBytes:])
	return p
}

// newPosition makes a position. Times before 1970 sort correctly too.
func newPosition(unixNano int64, sequence uint64) (p position) {
	binary.BigEndian.PutUint64(p[:8], uint64(unixNano)^(1<<63))
	binary.BigEndian.PutUint64(p[8:], sequence)
	return p
}

func (p position) sequence() uint64 { return binary.BigEndian.Uint64(p[8:]) }

// timeValue makes a time sortable as an index value.
func timeValue(unixNano int64) string {
	return string(binary.BigEndian.AppendUint64(nil, uint64(unixNano)^(1<<63)))
}
