package objects

import (
	"bytes"
	"crypto/md5"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"time"

	"go.etcd.io/bbolt"
)

const (
	maxParts     = 10000
	leastPart    = 5 << 20 // bytes, of each part but the last
	maxPart      = 5 << 30
	maxListParts = 1000
)

// upload is a multipart upload that is not complete.
type upload struct {
	Key     string            `json:"key"`
	Header  map[string]string `json:"header,omitempty"`
	Started time.Time         `json:"started"`
}

// part is one of an upload, by its number.
type part struct {
	Number int
	*Object
}

func partKey(id string, number int) string { return fmt.Sprintf("%s/%05d", id, number) }

// begin starts an upload and returns its id.
func (s *Store) begin(u upload) (string, error) {
	if err := s.reserve(recordCost); err != nil {
		return "", err
	}
	defer s.unreserve(recordCost)
	id := newID()
	return id, s.db.Batch(func(tx *bbolt.Tx) error {
		return errors.Join(putEntry(tx.Bucket(uploadsBucket), id, u), addUsed(tx, recordCost))
	})
}

// upload reads one of a key; errNoUpload when there is none.
func (s *Store) upload(key, id string) (u *upload, err error) {
	err = s.db.View(func(tx *bbolt.Tx) error {
		u, err = uploadIn(tx, key, id)
		return err
	})
	return u, err
}

func uploadIn(tx *bbolt.Tx, key, id string) (*upload, error) {
	u, err := getEntry[upload](tx.Bucket(uploadsBucket), id)
	if err == nil && (u == nil || u.Key != key) {
		err = errNoUpload
	}
	return u, err
}

// putPart notes a part whose content is written, in place of one of that number.
func (s *Store) putPart(key, id string, number int, o *Object) error {
	var before []Blob
	err := s.db.Batch(func(tx *bbolt.Tx) error {
		before = nil
		if _, err := uploadIn(tx, key, id); err != nil {
			return err
		}
		b := tx.Bucket(partsBucket)
		have, err := getEntry[Object](b, partKey(id, number))
		if err != nil {
			return err
		}
		n := o.cost()
		if have != nil {
			before, n = have.Blobs, n-have.cost()
		}
		return errors.Join(putEntry(b, partKey(id, number), o), addUsed(tx, n))
	})
	if err == nil {
		s.discard(before)
	}
	return err
}

// partsIn are all of an upload, by number.
func partsIn(tx *bbolt.Tx, id string) (all []part, err error) {
	prefix := []byte(id + "/")
	c := tx.Bucket(partsBucket).Cursor()
	for k, v := c.Seek(prefix); k != nil && bytes.HasPrefix(k, prefix); k, v = c.Next() {
		p := part{Object: new(Object)}
		if _, err := fmt.Sscanf(string(k[len(prefix):]), "%d", &p.Number); err != nil {
			return nil, err
		}
		if err := json.Unmarshal(v, p.Object); err != nil {
			return nil, err
		}
		all = append(all, p)
	}
	return all, nil
}

// parts are those of an upload after a number, and whether there are more than limit.
func (s *Store) parts(key, id string, after, limit int) (some []part, more bool, err error) {
	err = s.db.View(func(tx *bbolt.Tx) error {
		if _, err := uploadIn(tx, key, id); err != nil {
			return err
		}
		all, err := partsIn(tx, id)
		for _, p := range all {
			if p.Number <= after {
				continue
			}
			if len(some) == limit {
				more = true
				break
			}
			some = append(some, p)
		}
		return err
	})
	return some, more, err
}

// chosen is a part as the client names it when it completes an upload.
type chosen struct {
	Number int
	ETag   string
}

// complete makes the object of the parts that are named; others go.
func (s *Store) complete(key, id string, want []chosen, only condition) (done *Object, err error) {
	var gone []Blob
	err = s.db.Batch(func(tx *bbolt.Tx) error {
		u, err := uploadIn(tx, key, id)
		if err != nil {
			return err
		}
		all, err := partsIn(tx, id)
		if err != nil {
			return err
		}
		var left []Blob
		if done, left, err = join(all, want); err != nil {
			return err
		}
		done.Header, done.Modified = u.Header, time.Now().UTC()
		before, err := putObject(tx, key, done, only)
		if err != nil {
			return err
		}
		gone = append(left, before...)
		return endUpload(tx, id, all)
	})
	if err == nil {
		s.discard(gone)
	}
	return done, err
}

// join makes an object of some parts; left is the content of the others.
func join(all []part, want []chosen) (o *Object, left []Blob, err error) {
	have := map[int]*Object{}
	for _, p := range all {
		have[p.Number] = p.Object
	}
	o = &Object{}
	sums := md5.New()
	for i, w := range want {
		p := have[w.Number]
		switch {
		case i > 0 && w.Number <= want[i-1].Number:
			return nil, nil, errPartOrder
		case p == nil || p.ETag != w.ETag:
			return nil, nil, errBadPart
		case i < len(want)-1 && p.Size < leastPart:
			return nil, nil, errPartTooFew
		}
		sum, err := hex.DecodeString(p.ETag)
		if err != nil {
			return nil, nil, err
		}
		sums.Write(sum)
		o.Size += p.Size
		o.Blobs = append(o.Blobs, p.Blobs...)
		delete(have, w.Number)
	}
	for _, p := range have {
		left = append(left, p.Blobs...)
	}
	o.ETag = fmt.Sprintf("%x-%d", sums.Sum(nil), len(want))
	return o, left, nil
}

// endUpload takes an upload and its parts out of the index and the count.
func endUpload(tx *bbolt.Tx, id string, parts []part) error {
	n := int64(recordCost)
	err := tx.Bucket(uploadsBucket).Delete([]byte(id))
	for _, p := range parts {
		n += p.cost()
		err = errors.Join(err, tx.Bucket(partsBucket).Delete([]byte(partKey(id, p.Number))))
	}
	return errors.Join(err, addUsed(tx, -n))
}

// abort ends an upload and removes its parts.
func (s *Store) abort(key, id string) error {
	var gone []Blob
	err := s.db.Batch(func(tx *bbolt.Tx) error {
		gone = nil
		if _, err := uploadIn(tx, key, id); err != nil {
			return err
		}
		all, err := partsIn(tx, id)
		if err != nil {
			return err
		}
		for _, p := range all {
			gone = append(gone, p.Blobs...)
		}
		return endUpload(tx, id, all)
	})
	if err == nil {
		s.discard(gone)
	}
	return err
}

// openUploads are those that are not complete, by key, up to limit.
func (s *Store) openUploads(prefix string, limit int) (ids []string, all []*upload, err error) {
	err = s.db.View(func(tx *bbolt.Tx) error {
		return tx.Bucket(uploadsBucket).ForEach(func(k, v []byte) error {
			u := new(upload)
			if err := json.Unmarshal(v, u); err != nil {
				return err
			}
			if len(all) < limit && bytes.HasPrefix([]byte(u.Key), []byte(prefix)) {
				ids, all = append(ids, string(k)), append(all, u)
			}
			return nil
		})
	})
	return ids, all, err
}
