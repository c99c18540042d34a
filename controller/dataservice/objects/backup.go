package objects

import (
	"archive/tar"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"strconv"

	"go.etcd.io/bbolt"
)

// paxObject is the record of a backup's entry that holds what the index has of the object: its key is not always a file name.
const paxObject = "CUPOLA.object"

// saved is an object in a backup; its content is the entry's.
type saved struct {
	Key string `json:"key"`
	*Object
}

// restoreBatch is how many objects of a restore are written down at a time.
const restoreBatch = 1000

// Backup writes all objects as they are at this moment, as a tar archive. Clients go on meanwhile.
func (s *Store) Backup(out io.Writer) error {
	s.hold() // before the moment: no content goes
	defer s.release()
	archive := tar.NewWriter(out)
	err := s.db.View(func(tx *bbolt.Tx) error {
		n := 0
		return eachObject(objectsOf(tx, liveBucket), func(key string, o *Object) error {
			n++
			return s.backupOne(archive, n, key, o)
		})
	})
	return errors.Join(err, archive.Close())
}

func (s *Store) backupOne(archive *tar.Writer, n int, key string, o *Object) error {
	about := *o
	about.Blobs = nil
	text, err := json.Marshal(saved{key, &about})
	if err != nil {
		return err
	}
	c, err := s.open(o)
	if err != nil {
		return err
	}
	defer c.Close() // it was only read
	err = archive.WriteHeader(&tar.Header{
		Typeflag: tar.TypeReg, Name: "objects/" + strconv.Itoa(n), Size: o.Size, Mode: 0o600, ModTime: o.Modified,
		PAXRecords: map[string]string{paxObject: string(text)}, Format: tar.FormatPAX,
	})
	if err != nil {
		return err
	}
	if _, err = io.Copy(archive, c); err != nil {
		return fmt.Errorf("%s: %w", key, err)
	}
	return nil
}

// Restore replaces all objects by those of a backup, in one step once all of it is read. Until then the disk holds both.
func (s *Store) Restore(in io.Reader) error {
	s.hold()
	defer s.release()
	var old []Blob
	cost, err := s.unpack(tar.NewReader(in))
	if err == nil {
		err = s.db.Update(func(tx *bbolt.Tx) error { old, err = takePlace(tx, cost); return err })
	}
	if err != nil {
		return errors.Join(err, s.forgetFresh())
	}
	s.discard(old)
	return nil
}

// unpack writes the objects of an archive where they are not seen yet, and returns what they count.
func (s *Store) unpack(archive *tar.Reader) (cost int64, err error) {
	err = s.db.Update(func(tx *bbolt.Tx) error {
		fresh, err := tx.CreateBucket(freshBucket)
		if err == nil {
			_, err = fresh.CreateBucket(objectsBucket)
		}
		return err
	})
	if err != nil {
		return 0, err
	}
	for more := true; more; {
		var batch []saved
		if batch, more, err = s.unpackSome(archive); err != nil {
			for _, o := range batch {
				s.discard(o.Blobs)
			}
			return 0, err
		}
		for _, o := range batch {
			cost += o.cost()
		}
		err = s.db.Update(func(tx *bbolt.Tx) error {
			for _, o := range batch {
				err = errors.Join(err, putEntry(objectsOf(tx, freshBucket), o.Key, o.Object))
			}
			return err
		})
		if err != nil {
			return 0, err
		}
	}
	if limit := s.currentLimit(); limit > 0 && cost > limit {
		return 0, fmt.Errorf("%w: the backup needs %d bytes of %d", errFull, cost, limit)
	}
	return cost, nil
}

// unpackSome writes content and returns what the index is to have of it, also with an error.
func (s *Store) unpackSome(archive *tar.Reader) (batch []saved, more bool, err error) {
	for len(batch) < restoreBatch {
		h, err := archive.Next()
		if errors.Is(err, io.EOF) {
			return batch, false, nil
		}
		if err != nil {
			return batch, false, err
		}
		var o saved
		if err := json.Unmarshal([]byte(h.PAXRecords[paxObject]), &o); err != nil || o.Key == "" || o.Object == nil {
			return batch, false, fmt.Errorf("%s is not an object of a backup", h.Name)
		}
		b, err := s.writeUncounted(archive)
		if err != nil {
			return batch, false, err
		}
		o.Size, o.Blobs = b.Size, []Blob{b}
		batch = append(batch, o)
	}
	return batch, true, nil
}

// takePlace makes what was unpacked the objects, and returns the content of those before.
func takePlace(tx *bbolt.Tx, cost int64) (old []Blob, err error) {
	note := func(_ string, o *Object) error {
		cost -= o.cost()
		old = append(old, o.Blobs...)
		return nil
	}
	if err := eachObject(objectsOf(tx, liveBucket), note); err != nil {
		return nil, err
	}
	live, fresh := tx.Bucket(liveBucket), tx.Bucket(freshBucket)
	if err := live.DeleteBucket(objectsBucket); err != nil {
		return nil, err
	}
	if err := fresh.MoveBucket(objectsBucket, live); err != nil {
		return nil, err
	}
	return old, errors.Join(tx.DeleteBucket(freshBucket), addUsed(tx, cost))
}

// forgetFresh removes what an unfinished restore has written.
func (s *Store) forgetFresh() error {
	var gone []Blob
	err := s.db.Update(func(tx *bbolt.Tx) error {
		if tx.Bucket(freshBucket) == nil {
			return nil
		}
		err := eachObject(objectsOf(tx, freshBucket), func(_ string, o *Object) error {
			gone = append(gone, o.Blobs...)
			return nil
		})
		return errors.Join(err, tx.DeleteBucket(freshBucket))
	})
	s.discard(gone)
	return err
}
