package store

import (
	"encoding/binary"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"sync"
	"time"

	"go.etcd.io/bbolt"
	bolterrors "go.etcd.io/bbolt/errors"
)

// schemaVersion is the version of the key space and the records that this code writes. A database with a
// newer one is refused; a change that old records can't be read with raises it and brings a migration.
const schemaVersion = 1

// The buckets and the keys of the meta bucket.
var (
	metaBucket = []byte("meta")
	dataBucket = []byte("data")

	versionKey  = []byte("schema_version") // big-endian uint64
	keyCheckKey = []byte("key_check")      // keyCheckPlain, sealed
	indexesKey  = []byte("indexes")        // which indexes are built: see indexFingerprint

	keyCheckPlain = []byte("cupola store")
)

// Options say where a database is.
type Options struct {
	// Dir holds cupola.db and keys/store.key. It is made, mode 0700, when it does not exist.
	Dir string
	// Clock gives the time of transactions; nil means time.Now.
	Clock func() time.Time
	// NoSync leaves out the sync to disk after each Update. For tests and benchmarks.
	NoSync bool
}

// DB is an open database. Its methods may be called from any goroutine.
type DB struct {
	bolt   *bbolt.DB
	sealer *sealer
	clock  func() time.Time

	watchMu   sync.Mutex
	watchers  map[*watcher]struct{} // guarded by watchMu, as are followers
	followers map[*Follower]struct{}
}

// Open opens the database in o.Dir, or makes it. One process can have it open: a second one gets
// ErrLocked after a second.
func Open(o Options) (*DB, error) {
	if o.Clock == nil {
		o.Clock = time.Now
	}
	if err := os.MkdirAll(o.Dir, 0o700); err != nil {
		return nil, fmt.Errorf("open the store: %w", noSpace(err))
	}
	path := filepath.Join(o.Dir, "cupola.db")
	exists, err := fileExists(path)
	if err != nil {
		return nil, fmt.Errorf("open the store: %w", err)
	}
	key, err := loadKey(filepath.Join(o.Dir, "keys", "store.key"), exists)
	if err != nil {
		return nil, err
	}
	sealer, err := newSealer(key)
	if err != nil {
		return nil, err
	}
	b, err := openBolt(path, o.NoSync)
	if err != nil {
		return nil, err
	}
	db := &DB{bolt: b, sealer: sealer, clock: o.Clock, watchers: map[*watcher]struct{}{}, followers: map[*Follower]struct{}{}}
	if err := db.prepare(); err != nil {
		return nil, errors.Join(fmt.Errorf("open the store %s: %w", path, err), b.Close())
	}
	return db, nil
}

func fileExists(path string) (bool, error) {
	info, err := os.Stat(path)
	if errors.Is(err, fs.ErrNotExist) {
		return false, nil
	}
	// bbolt makes an empty file first; one that was left so by a crash holds nothing.
	return err == nil && info.Size() > 0, err
}

// openBolt opens the file with settings for a small server: the free list as a map (fast at any size), and a
// first mapping that is large enough that few Updates have to wait for all readers to remap. The mapping
// takes addresses, not memory.
func openBolt(path string, noSync bool) (*bbolt.DB, error) {
	b, err := bbolt.Open(path, 0o600, &bbolt.Options{
		Timeout:         time.Second,
		FreelistType:    bbolt.FreelistMapType,
		InitialMmapSize: 64 << 20,
		NoSync:          noSync,
		NoGrowSync:      noSync,
	})
	if errors.Is(err, bolterrors.ErrTimeout) {
		return nil, fmt.Errorf("open the store %s: %w: stop the other cupola server first", path, ErrLocked)
	}
	if err != nil {
		return nil, fmt.Errorf("open the store %s: %w", path, noSpace(err))
	}
	return b, nil
}

// prepare makes a new database ready, or checks that an old one can be used with this key and this code.
func (db *DB) prepare() error {
	fresh := false
	err := db.bolt.View(func(tx *bbolt.Tx) error {
		meta := tx.Bucket(metaBucket)
		if fresh = meta == nil; fresh {
			return nil
		}
		return db.checkMeta(meta)
	})
	if err != nil {
		return err
	}
	if fresh {
		if err := db.bolt.Update(db.createMeta); err != nil {
			return noSpace(err)
		}
	}
	return db.rebuildIndexes()
}

func (db *DB) createMeta(tx *bbolt.Tx) error {
	meta, err := tx.CreateBucket(metaBucket)
	if err != nil {
		return err
	}
	if _, err := tx.CreateBucket(dataBucket); err != nil {
		return err
	}
	if err := meta.Put(versionKey, binary.BigEndian.AppendUint64(nil, schemaVersion)); err != nil {
		return err
	}
	return meta.Put(keyCheckKey, db.sealer.seal(nil, keyCheckPlain, keyCheckKey))
}

func (db *DB) checkMeta(meta *bbolt.Bucket) error {
	raw := meta.Get(versionKey)
	if len(raw) != 8 {
		return errors.New("this is not a database of cupola: its schema version is missing")
	}
	if v := binary.BigEndian.Uint64(raw); v > schemaVersion {
		return fmt.Errorf("the database has schema version %d and this cupola knows versions up to %d: "+
			"start a newer cupola, or restore a backup that this one made", v, schemaVersion)
	}
	if _, err := db.sealer.open(meta.Get(keyCheckKey), keyCheckKey); err != nil {
		return errors.New("the key in keys/store.key is not the one that this database was made with: " +
			"put the right one back from your backup")
	}
	return nil
}

// Close waits for running transactions and closes the file. Transactions after it fail.
func (db *DB) Close() error { return db.bolt.Close() }
