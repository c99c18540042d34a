// Package objects is a small S3-compatible object store: one bucket in one folder, behind TLS, for those whose keys its
// configuration lists. It serves what the usual clients of Amazon S3 send for objects and multipart uploads (the
// Amazon S3 API Reference, "Actions"), signed by version 4; there are no versions of objects, no policies and no
// access lists.
//
// An object is there whole once it was answered for, and not at all before: its content is in files that are synced before
// the index, a bbolt database, names them. It never holds more than its limit. The package imports nothing of ours.
package objects

import (
	"crypto/rand"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"sync"
	"time"

	"go.etcd.io/bbolt"
)

// Errors of the store that a caller can tell apart.
var (
	errNoObject    = errors.New("no such object")
	errNoUpload    = errors.New("no such upload")
	errFull        = errors.New("the bucket is full")
	errCondition   = errors.New("a condition of the request does not hold")
	errBadPart     = errors.New("a part is missing or is not the one that was uploaded")
	errPartOrder   = errors.New("parts are not in ascending order")
	errPartTooFew  = errors.New("a part but the last is smaller than 5 MiB")
	errInterrupted = errors.New("the content ended early")
)

const (
	indexFile = "index.db"
	blobsDir  = "blobs"
	// recordCost is what an entry of the index counts beside its content, which is counted in whole blocks: the limit
	// is of what the disk holds.
	recordCost = 1024
	blockBytes = 4096
)

// bbolt buckets. Sub-buckets of live and fresh are: objects (key -> Object). A restore fills fresh and takes live's place.
var (
	liveBucket    = []byte("live")
	freshBucket   = []byte("fresh")
	objectsBucket = []byte("objects")
	uploadsBucket = []byte("uploads") // id -> upload
	partsBucket   = []byte("parts")   // id/number -> Object
	countBucket   = []byte("count")
	usedKey       = []byte("used") // bytes that are counted against the limit, decimal
)

// Object is an entry of the index.
type Object struct {
	Size     int64             `json:"size"`
	ETag     string            `json:"etag"` // without quotes
	Modified time.Time         `json:"modified"`
	Header   map[string]string `json:"header,omitempty"` // Content-Type and the like, x-amz-meta-*, checksums
	Blobs    []Blob            `json:"blobs,omitempty"`  // the content, in this order
}

// Blob is a file with content.
type Blob struct {
	ID   string `json:"id"`
	Size int64  `json:"size"`
}

// cost is what the object counts against the limit.
func (o *Object) cost() int64 {
	n := int64(recordCost)
	for _, b := range o.Blobs {
		n += blocks(b.Size)
	}
	return n
}

func blocks(size int64) int64 { return (size + blockBytes - 1) / blockBytes * blockBytes }

// Store is a bucket in a folder.
type Store struct {
	dir   string
	db    *bbolt.DB
	since time.Time // of the folder
	sweep sync.WaitGroup

	mu      sync.Mutex
	limit   int64
	pending int64    // counted for content that is being written
	readers int      // that go through all of the index: blobs stay meanwhile
	doomed  []string // blobs that go when there are no readers
}

// OpenStore opens the folder and makes what is missing in it. Content that no entry names, left by a crash, is
// removed meanwhile. limit is in bytes, zero: none.
func OpenStore(dir string, limit int64) (*Store, error) {
	if err := makeFolders(filepath.Join(dir, blobsDir)); err != nil {
		return nil, err
	}
	db, err := bbolt.Open(filepath.Join(dir, indexFile), 0o600, &bbolt.Options{Timeout: 10 * time.Second})
	if err != nil {
		return nil, fmt.Errorf("open the index: %w", err)
	}
	db.MaxBatchDelay = time.Millisecond
	s := &Store{dir: dir, db: db, limit: limit, since: time.Now().UTC()}
	if st, err := os.Stat(filepath.Join(dir, blobsDir)); err == nil {
		s.since = st.ModTime().UTC()
	}
	if err := db.Update(makeBuckets); err != nil {
		return nil, errors.Join(err, db.Close())
	}
	started := time.Now().Add(-time.Minute)
	s.hold()
	s.sweep.Go(func() {
		defer s.release()
		s.removeOrphans(started)
	})
	return s, nil
}

// makeFolders makes the folders of blobs, one for each first byte of their ids.
func makeFolders(dir string) error {
	for i := range 256 {
		if err := os.MkdirAll(filepath.Join(dir, fmt.Sprintf("%02x", i)), 0o700); err != nil {
			return err
		}
	}
	return syncFolder(dir)
}

func makeBuckets(tx *bbolt.Tx) error {
	live, err := tx.CreateBucketIfNotExists(liveBucket)
	if err != nil {
		return err
	}
	if _, err := live.CreateBucketIfNotExists(objectsBucket); err != nil {
		return err
	}
	for _, name := range [][]byte{uploadsBucket, partsBucket, countBucket} {
		if _, err := tx.CreateBucketIfNotExists(name); err != nil {
			return err
		}
	}
	if tx.Bucket(freshBucket) == nil {
		return nil
	}
	return tx.DeleteBucket(freshBucket) // of a restore that did not end
}

// Close waits until what was begun has ended.
func (s *Store) Close() error {
	s.sweep.Wait()
	return s.db.Close()
}

// SetLimit changes the limit; content that is there stays.
func (s *Store) SetLimit(limit int64) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.limit = limit
}

func (s *Store) currentLimit() int64 {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.limit
}

// Usage is what the bucket holds.
type Usage struct {
	Objects int   `json:"objects"`
	Bytes   int64 `json:"bytes"`      // of objects
	Used    int64 `json:"used_bytes"` // of the disk, with uploads that are not complete
	Limit   int64 `json:"limit_bytes"`
}

// Usage counts all objects when all is true, and else only reads what is used.
func (s *Store) Usage(all bool) (u Usage, err error) {
	u.Limit = s.currentLimit()
	err = s.db.View(func(tx *bbolt.Tx) error {
		if u.Used = used(tx); !all {
			return nil
		}
		return eachObject(objectsOf(tx, liveBucket), func(_ string, o *Object) error {
			u.Objects++
			u.Bytes += o.Size
			return nil
		})
	})
	return u, err
}

// reserve counts bytes that are about to be written; errFull when there is no room for them.
func (s *Store) reserve(n int64) error {
	var have int64
	if err := s.db.View(func(tx *bbolt.Tx) error { have = used(tx); return nil }); err != nil {
		return err
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.limit > 0 && have+s.pending+n > s.limit {
		return errFull
	}
	s.pending += n
	return nil
}

func (s *Store) unreserve(n int64) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.pending -= n
}

// reserveStep is how much is reserved at a time for content of a length that is not known.
const reserveStep = 1 << 20

// write puts content into a new blob and lets commit name it in the index; without that it goes again. Room for it is
// reserved until then. size is negative when it is not known.
func (s *Store) write(from io.Reader, size int64, commit func(Blob) error) error {
	w := &reservedWriter{s: s}
	defer w.giveBack()
	if err := w.take(recordCost + blocks(max(size, 0))); err != nil {
		return err
	}
	b, err := s.newBlob(func(f *os.File) (int64, error) {
		w.f = f
		n, err := io.Copy(w, from)
		if err == nil && size >= 0 && n != size {
			err = errInterrupted
		}
		return n, err
	})
	if err != nil {
		return err
	}
	if err := commit(b); err != nil {
		return errors.Join(err, os.Remove(s.blobPath(b.ID)))
	}
	return nil
}

// writeUncounted puts content into a new blob, whatever the limit is.
func (s *Store) writeUncounted(from io.Reader) (Blob, error) {
	return s.newBlob(func(f *os.File) (int64, error) { return io.Copy(f, from) })
}

// newBlob makes a file, has it filled and syncs it. On an error it is gone.
func (s *Store) newBlob(fill func(*os.File) (int64, error)) (b Blob, err error) {
	b.ID = newID()
	name := s.blobPath(b.ID)
	f, err := os.OpenFile(name, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o600)
	if err != nil {
		return b, err
	}
	if b.Size, err = fill(f); err == nil {
		err = f.Sync()
	}
	err = errors.Join(err, f.Close())
	if err == nil {
		err = syncFolder(filepath.Dir(name))
	}
	if err != nil {
		err = errors.Join(err, os.Remove(name))
	}
	return b, err
}

// reservedWriter reserves room before it writes.
type reservedWriter struct {
	s             *Store
	f             *os.File
	taken, filled int64
}

func (w *reservedWriter) take(n int64) error {
	err := w.s.reserve(n)
	if err == nil {
		w.taken += n
	}
	return err
}

func (w *reservedWriter) giveBack() { w.s.unreserve(w.taken) }

func (w *reservedWriter) Write(p []byte) (int, error) {
	for w.filled+recordCost+int64(len(p)) > w.taken {
		if err := w.take(reserveStep); err != nil {
			return 0, err
		}
	}
	n, err := w.f.Write(p)
	w.filled += int64(n)
	return n, err
}

func syncFolder(name string) error {
	d, err := os.Open(name)
	if err != nil {
		return err
	}
	return errors.Join(d.Sync(), d.Close())
}

func newID() string {
	var b [16]byte
	rand.Read(b[:]) // never fails
	return hex.EncodeToString(b[:])
}

func (s *Store) blobPath(id string) string { return filepath.Join(s.dir, blobsDir, id[:2], id) }

// hold keeps blobs that are deleted until release.
func (s *Store) hold() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.readers++
}

func (s *Store) release() {
	s.mu.Lock()
	var gone []string
	if s.readers--; s.readers == 0 {
		gone, s.doomed = s.doomed, nil
	}
	s.mu.Unlock()
	s.unlink(gone)
}

// discard removes blobs that the index names no more. One that is being read stays readable to its reader.
func (s *Store) discard(blobs []Blob) {
	var gone []string
	for _, b := range blobs {
		gone = append(gone, b.ID)
	}
	s.mu.Lock()
	if s.readers > 0 {
		s.doomed, gone = append(s.doomed, gone...), nil
	}
	s.mu.Unlock()
	s.unlink(gone)
}

// unlink removes files; one that cannot be removed is an orphan, which the next start removes.
func (s *Store) unlink(ids []string) {
	for _, id := range ids {
		_ = os.Remove(s.blobPath(id))
	}
}

// removeOrphans removes blobs from before started that no entry names.
func (s *Store) removeOrphans(started time.Time) {
	named := map[string]bool{}
	note := func(_ string, o *Object) error {
		for _, b := range o.Blobs {
			named[b.ID] = true
		}
		return nil
	}
	err := s.db.View(func(tx *bbolt.Tx) error {
		if err := eachObject(objectsOf(tx, liveBucket), note); err != nil {
			return err
		}
		return eachObject(tx.Bucket(partsBucket), note)
	})
	if err != nil {
		return
	}
	_ = filepath.WalkDir(filepath.Join(s.dir, blobsDir), func(path string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() || named[d.Name()] {
			return nil
		}
		if st, err := d.Info(); err == nil && st.ModTime().Before(started) {
			_ = os.Remove(path)
		}
		return nil
	})
}
