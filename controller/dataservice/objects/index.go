package objects

import (
	"bytes"
	"encoding/json"
	"errors"
	"io"
	"os"
	"strconv"

	"go.etcd.io/bbolt"
)

func objectsOf(tx *bbolt.Tx, root []byte) *bbolt.Bucket { return tx.Bucket(root).Bucket(objectsBucket) }

func used(tx *bbolt.Tx) int64 {
	n, _ := strconv.ParseInt(string(tx.Bucket(countBucket).Get(usedKey)), 10, 64) // empty: nothing yet
	return n
}

func addUsed(tx *bbolt.Tx, n int64) error {
	return tx.Bucket(countBucket).Put(usedKey, strconv.AppendInt(nil, used(tx)+n, 10))
}

func eachObject(b *bbolt.Bucket, fn func(key string, o *Object) error) error {
	return b.ForEach(func(k, v []byte) error {
		var o Object
		if err := json.Unmarshal(v, &o); err != nil {
			return err
		}
		return fn(string(k), &o)
	})
}

// getEntry reads an entry of a bucket, nil when there is none.
func getEntry[T any](b *bbolt.Bucket, key string) (*T, error) {
	v := b.Get([]byte(key))
	if v == nil {
		return nil, nil
	}
	out := new(T)
	return out, json.Unmarshal(v, out)
}

func putEntry(b *bbolt.Bucket, key string, v any) error {
	text, err := json.Marshal(v)
	if err != nil {
		return err
	}
	return b.Put([]byte(key), text)
}

// get reads an object; errNoObject when there is none.
func (s *Store) get(key string) (o *Object, err error) {
	err = s.db.View(func(tx *bbolt.Tx) error {
		o, err = getEntry[Object](objectsOf(tx, liveBucket), key)
		if err == nil && o == nil {
			err = errNoObject
		}
		return err
	})
	return o, err
}

// condition is what a write asks of the object that is there, nil when none is. Its error undoes the write.
type condition func(have *Object) error

// put makes an object of content that is written, in place of what is there.
func (s *Store) put(key string, o *Object, only condition) error {
	var before []Blob
	err := s.db.Batch(func(tx *bbolt.Tx) (err error) {
		before, err = putObject(tx, key, o, only)
		return err
	})
	if err == nil {
		s.discard(before)
	}
	return err
}

func putObject(tx *bbolt.Tx, key string, o *Object, only condition) (before []Blob, err error) {
	b := objectsOf(tx, liveBucket)
	have, err := getEntry[Object](b, key)
	if err != nil {
		return nil, err
	}
	if only != nil {
		if err := only(have); err != nil {
			return nil, err
		}
	}
	n := o.cost()
	if have != nil {
		n -= have.cost()
		before = have.Blobs
	}
	return before, errors.Join(putEntry(b, key, o), addUsed(tx, n))
}

// remove deletes objects; those that are not there are no error.
func (s *Store) remove(keys ...string) error {
	var before []Blob
	err := s.db.Batch(func(tx *bbolt.Tx) error {
		before = nil
		b := objectsOf(tx, liveBucket)
		for _, key := range keys {
			have, err := getEntry[Object](b, key)
			if err != nil {
				return err
			}
			if have == nil {
				continue
			}
			before = append(before, have.Blobs...)
			if err := errors.Join(b.Delete([]byte(key)), addUsed(tx, -have.cost())); err != nil {
				return err
			}
		}
		return nil
	})
	if err == nil {
		s.discard(before)
	}
	return err
}

// content is an object's content as one file. It opens its blobs at once, so that deleting the object hurts no reader.
type content struct {
	files []*os.File
	sizes []int64
	size  int64
	at    int64
}

func (s *Store) open(o *Object) (*content, error) {
	c := &content{size: o.Size}
	for _, b := range o.Blobs {
		f, err := os.Open(s.blobPath(b.ID))
		if err != nil {
			return nil, errors.Join(err, c.Close())
		}
		c.files, c.sizes = append(c.files, f), append(c.sizes, b.Size)
	}
	return c, nil
}

func (c *content) Close() error {
	var err error
	for _, f := range c.files {
		err = errors.Join(err, f.Close())
	}
	return err
}

// Seek implements io.Seeker.
func (c *content) Seek(offset int64, whence int) (int64, error) {
	switch whence {
	case io.SeekCurrent:
		offset += c.at
	case io.SeekEnd:
		offset += c.size
	}
	if offset < 0 {
		return 0, os.ErrInvalid
	}
	c.at = offset
	return offset, nil
}

// Read implements io.Reader.
func (c *content) Read(p []byte) (int, error) {
	start := int64(0)
	for i, size := range c.sizes {
		if c.at < start+size {
			rest := start + size - c.at
			n, err := c.files[i].ReadAt(p[:min(int64(len(p)), rest)], c.at-start)
			c.at += int64(n)
			if n > 0 {
				err = nil
			}
			return n, err
		}
		start += size
	}
	return 0, io.EOF
}

// listing is a page of keys.
type listing struct {
	objects   []listed
	prefixes  []string // that end with the delimiter
	truncated bool
	last      string // key or prefix that the next page begins after
}

type listed struct {
	key string
	*Object
}

// list reads keys with a prefix after one, in the order of their bytes. What has the delimiter behind the prefix is one entry.
func (s *Store) list(prefix, delimiter, after string, limit int) (out listing, err error) {
	err = s.db.View(func(tx *bbolt.Tx) error {
		c := objectsOf(tx, liveBucket).Cursor()
		for k, v := c.Seek([]byte(max(prefix, after))); k != nil && bytes.HasPrefix(k, []byte(prefix)); {
			key := string(k)
			common, isPrefix := commonPrefix(key, prefix, delimiter)
			if key <= after || isPrefix && common <= after {
				if isPrefix && common <= after {
					k, v = c.Seek(behind(common))
				} else {
					k, v = c.Next()
				}
				continue
			}
			if len(out.objects)+len(out.prefixes) == limit {
				out.truncated = limit > 0
				return nil
			}
			if isPrefix {
				out.prefixes, out.last = append(out.prefixes, common), common
				k, v = c.Seek(behind(common))
				continue
			}
			o := new(Object)
			if err := json.Unmarshal(v, o); err != nil {
				return err
			}
			out.objects, out.last = append(out.objects, listed{key, o}), key
			k, v = c.Next()
		}
		return nil
	})
	return out, err
}

func commonPrefix(key, prefix, delimiter string) (string, bool) {
	if delimiter == "" {
		return "", false
	}
	i := bytes.Index([]byte(key[len(prefix):]), []byte(delimiter))
	if i < 0 {
		return "", false
	}
	return key[:len(prefix)+i+len(delimiter)], true
}

// behind is the least key that is after all that begin with prefix.
func behind(prefix string) []byte {
	b := []byte(prefix)
	for i := len(b) - 1; i >= 0; i-- {
		if b[i] < 0xff {
			b[i]++
			return b[:i+1]
		}
	}
	return append([]byte(prefix), 0xff)
}
