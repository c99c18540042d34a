package store

import (
	"encoding/binary"
	"encoding/json"
	"fmt"
	"iter"

	"github.com/google/uuid"
)

// TableName names a table, for Watch.
type TableName string

// Table holds records of one type with their indexes. Tables are the package's variables (Orgs, Apps, ...);
// they hold no state, all of it is in the transaction.
type Table[T any] struct {
	name    TableName
	indexes []index[T]
	meta    func(*T) *Meta
}

// newTable makes a table; every table has the indexes created_at, updated_at and label.
func newTable[T any, P interface {
	*T
	record
}](name TableName, indexes ...index[T]) *Table[T] {
	t := &Table[T]{name: name, meta: func(r *T) *Meta { return P(r).meta() }}
	t.indexes = append(indexes,
		by(createdIndex, func(*T) string { return "" }), // the position alone
		by(updatedIndex, func(r *T) string { return timeValue(t.meta(r).UpdatedAt.UnixNano()) }),
		byEach(labelIndex, func(r *T) []string { return labelValues(t.meta(r).Labels) }))
	return t
}

// Name returns the table's name.
func (t *Table[T]) Name() TableName { return t.name }

// Put writes rec, as a new record or in place of the one with its GUID, and its index entries.
//
// It fills in rec: an empty GUID becomes a random one; a zero CreatedAt becomes that of the record that is
// replaced, or else tx.Now; UpdatedAt becomes tx.Now, but CreatedAt in a new record. It returns a
// *ConflictError when another record has the same value of a unique index; then nothing was changed.
//
// Put makes a record that was deleted meanwhile anew: read it in the same Update before.
func (t *Table[T]) Put(tx *Tx, rec *T) error {
	next := *rec
	if t.meta(&next).GUID == "" {
		t.meta(&next).GUID = uuid.NewString()
	}
	guid := t.meta(&next).GUID
	prev, prevPos, err := t.read(tx, guid)
	if err != nil {
		return fmt.Errorf("put %s %s: %w", t.name, guid, err)
	}
	t.stamp(tx, prev, &next)
	if err := t.checkUnique(tx, &next); err != nil {
		return err
	}
	if err := t.write(tx, prev, prevPos, &next); err != nil {
		return fmt.Errorf("put %s %s: %w", t.name, guid, err)
	}
	*rec = next
	return nil
}

func (t *Table[T]) stamp(tx *Tx, prev, next *T) {
	m := t.meta(next)
	if m.CreatedAt.IsZero() {
		m.CreatedAt = tx.Now
		if prev != nil {
			m.CreatedAt = t.meta(prev).CreatedAt
		}
	}
	m.CreatedAt = m.CreatedAt.UTC().Round(0)
	m.UpdatedAt = tx.Now
	if prev == nil {
		m.UpdatedAt = m.CreatedAt
	}
}

func (t *Table[T]) checkUnique(tx *Tx, rec *T) error {
	for _, ix := range t.indexes {
		if !ix.isUnique {
			continue
		}
		for _, value := range ix.values(rec) {
			var owner string
			err := tx.kv.scan(valuePrefix(t.name, ix.name, ix.folded(value)), nil, false, func(_, guid []byte) bool {
				owner = string(guid)
				return false
			})
			if err != nil {
				return fmt.Errorf("put %s %s: %w", t.name, t.meta(rec).GUID, err)
			}
			if owner != "" && owner != t.meta(rec).GUID {
				return &ConflictError{Table: string(t.name), Index: ix.name, Value: value}
			}
		}
	}
	return nil
}

// write puts the record, the difference of the index entries, and the table's numbers.
func (t *Table[T]) write(tx *Tx, prev *T, prevPos position, next *T) error {
	sequence := prevPos.sequence()
	if prev == nil {
		n, err := t.numbers(tx)
		if err != nil {
			return err
		}
		sequence = n.next
		n.next++
		n.count++
		if err := t.putNumbers(tx, n); err != nil {
			return err
		}
	}
	pos := newPosition(t.meta(next).CreatedAt.UnixNano(), sequence)
	plain, err := json.Marshal(next)
	if err != nil {
		return err
	}
	guid := t.meta(next).GUID
	key := recordKey(t.name, guid)
	value := make([]byte, 0, positionBytes+len(plain)+28)
	value = tx.sealer.seal(append(value, pos[:]...), plain, key)
	if err := tx.kv.put(key, value); err != nil {
		return err
	}
	tx.touch(t.name, guid)
	return t.reindex(tx, t.entries(prev, prevPos), t.entries(next, pos), guid)
}

// reindex deletes the entries that are only in prev and writes those that are only in next.
func (t *Table[T]) reindex(tx *Tx, prev, next map[string]struct{}, guid string) error {
	for key := range prev {
		if _, stays := next[key]; !stays {
			if err := tx.kv.delete([]byte(key)); err != nil {
				return err
			}
		}
	}
	for key := range next {
		if _, was := prev[key]; !was {
			if err := tx.kv.put([]byte(key), []byte(guid)); err != nil {
				return err
			}
		}
	}
	return nil
}

// entries returns the keys of all index entries of a record; none for nil.
func (t *Table[T]) entries(rec *T, pos position) map[string]struct{} {
	if rec == nil {
		return nil
	}
	keys := make(map[string]struct{}, len(t.indexes))
	for _, ix := range t.indexes {
		for _, value := range ix.values(rec) {
			keys[string(entryKey(t.name, ix.name, ix.folded(value), pos))] = struct{}{}
		}
	}
	return keys
}

// Get returns a copy of the record with that GUID, or ErrNotFound.
func (t *Table[T]) Get(tx *Tx, guid string) (*T, error) {
	rec, _, err := t.read(tx, guid)
	if err == nil && rec == nil {
		err = ErrNotFound
	}
	if err != nil {
		return nil, fmt.Errorf("%s %s: %w", t.name, guid, err)
	}
	return rec, nil
}

// Delete deletes the record with that GUID and its index entries. It returns ErrNotFound when there is none.
func (t *Table[T]) Delete(tx *Tx, guid string) error {
	if err := t.remove(tx, guid); err != nil {
		return fmt.Errorf("delete %s %s: %w", t.name, guid, err)
	}
	return nil
}

func (t *Table[T]) remove(tx *Tx, guid string) error {
	rec, pos, err := t.read(tx, guid)
	if err != nil {
		return err
	}
	if rec == nil {
		return ErrNotFound
	}
	n, err := t.numbers(tx)
	if err != nil {
		return err
	}
	n.count--
	if err := t.putNumbers(tx, n); err != nil {
		return err
	}
	if err := tx.kv.delete(recordKey(t.name, guid)); err != nil {
		return err
	}
	tx.touch(t.name, guid)
	return t.reindex(tx, t.entries(rec, pos), nil, guid)
}

// read returns nil when there is no such record.
func (t *Table[T]) read(tx *Tx, guid string) (*T, position, error) {
	key := recordKey(t.name, guid)
	value, err := tx.kv.get(key)
	if err != nil || value == nil {
		return nil, position{}, err
	}
	return t.decode(tx, key, value)
}

func (t *Table[T]) decode(tx *Tx, key, value []byte) (*T, position, error) {
	if len(value) < positionBytes {
		return nil, position{}, fmt.Errorf("the record is cut off: the database file is damaged")
	}
	plain, err := tx.sealer.open(value[positionBytes:], key)
	if err != nil {
		return nil, position{}, err
	}
	rec := new(T)
	if err := json.Unmarshal(plain, rec); err != nil {
		return nil, position{}, fmt.Errorf("the record can't be decoded: %w", err)
	}
	return rec, position(value[:positionBytes]), nil
}

// All yields all records in creation order, decoding one at a time. Records may be put and deleted
// meanwhile; those made behind the current one are seen too. If a record can't be read, the iteration ends
// and so does the transaction, with that error.
func (t *Table[T]) All(tx *Tx) iter.Seq[*T] {
	return func(yield func(*T) bool) {
		prefix := valuePrefix(t.name, createdIndex, "")
		var after []byte
		for {
			batch := make([]entry, 0, 256)
			err := tx.kv.scan(prefix, after, false, func(key, guid []byte) bool {
				batch = append(batch, entry{entryPosition(key), guid})
				return len(batch) < cap(batch)
			})
			if err != nil {
				tx.fail(err)
				return
			}
			if len(batch) == 0 || !t.yieldAll(tx, batch, yield) {
				return
			}
			after = append(valuePrefix(t.name, createdIndex, ""), batch[len(batch)-1].pos[:]...)
		}
	}
}

// yieldAll reports whether to go on.
func (t *Table[T]) yieldAll(tx *Tx, batch []entry, yield func(*T) bool) bool {
	for _, e := range batch {
		rec, _, err := t.read(tx, string(e.guid))
		if err != nil {
			tx.fail(fmt.Errorf("%s %s: %w", t.name, e.guid, err))
			return false
		}
		if rec != nil && !yield(rec) { // nil: deleted since the batch was read
			return false
		}
	}
	return true
}

// numbers are what a table counts.
type numbers struct{ next, count uint64 }

func (t *Table[T]) numbers(tx *Tx) (n numbers, err error) {
	raw, err := tx.kv.get(tablePrefix(numbersKind, t.name))
	if len(raw) == 16 {
		n.next, n.count = binary.BigEndian.Uint64(raw), binary.BigEndian.Uint64(raw[8:])
	}
	return n, err
}

func (t *Table[T]) putNumbers(tx *Tx, n numbers) error {
	raw := binary.BigEndian.AppendUint64(nil, n.next)
	return tx.kv.put(tablePrefix(numbersKind, t.name), binary.BigEndian.AppendUint64(raw, n.count))
}
