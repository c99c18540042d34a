package store

import (
	"bytes"
	"errors"

	"go.etcd.io/bbolt"
)

// kv is one transaction over an ordered space of keys. It is all that tables ask of a database, so that
// a backend with compare-and-swap transactions can be put under them one day.
//
// Slices that come out are valid until the transaction ends and must not be written to.
type kv interface {
	// get returns nil when there is no such key.
	get(key []byte) ([]byte, error)
	put(key, value []byte) error
	// delete of a key that is not there is no error.
	delete(key []byte) error
	// scan calls fn with the keys that begin with prefix, in order or in reverse, until fn returns false.
	// A non-nil after, which begins with prefix, skips all keys up to and including it.
	// fn must not change keys under prefix.
	scan(prefix, after []byte, desc bool, fn func(key, value []byte) bool) error
}

// boltKV is kv on the one bucket that holds all keys.
type boltKV struct{ bucket *bbolt.Bucket }

var _ kv = boltKV{}

// maxKeyBytes is bbolt's limit. A longer key can't have been written, so nothing is found under it.
const maxKeyBytes = bbolt.MaxKeySize

var errKeyTooLong = errors.New("a name or index value is longer than the store can hold (32 KB)")

func (b boltKV) get(key []byte) ([]byte, error) { return b.bucket.Get(key), nil }

func (b boltKV) put(key, value []byte) error {
	if len(key) > maxKeyBytes {
		return errKeyTooLong
	}
	return b.bucket.Put(key, value)
}

func (b boltKV) delete(key []byte) error { return b.bucket.Delete(key) }

func (b boltKV) scan(prefix, after []byte, desc bool, fn func(key, value []byte) bool) error {
	c := b.bucket.Cursor()
	key, value := seekFirst(c, prefix, after, desc)
	for key != nil && bytes.HasPrefix(key, prefix) && fn(key, value) {
		if desc {
			key, value = c.Prev()
		} else {
			key, value = c.Next()
		}
	}
	return nil
}

// seekFirst puts the cursor on the first key of a scan.
func seekFirst(c *bbolt.Cursor, prefix, after []byte, desc bool) (key, value []byte) {
	if !desc {
		if after == nil {
			return c.Seek(prefix)
		}
		key, value = c.Seek(after)
		if bytes.Equal(key, after) {
			return c.Next()
		}
		return key, value
	}
	end := after // descending: the first key below end
	if end == nil {
		end = prefixEnd(prefix)
	}
	if end == nil {
		return c.Last()
	}
	if key, _ = c.Seek(end); key == nil {
		return c.Last()
	}
	return c.Prev()
}

// prefixEnd returns the first key after all keys that begin with prefix, or nil when there is none.
func prefixEnd(prefix []byte) []byte {
	end := bytes.Clone(prefix)
	for i := len(end) - 1; i >= 0; i-- {
		if end[i] < 0xff {
			end[i]++
			return end[:i+1]
		}
	}
	return nil
}
