package store

import (
	"errors"
	"time"

	"go.etcd.io/bbolt"
)

// Tx is one transaction: one moment of the database, and in an Update what was changed since. It belongs
// to the goroutine that runs fn and ends with it.
type Tx struct {
	// Now is the time of the transaction, in UTC.
	Now time.Time

	kv      kv
	sealer  *sealer
	touched touched
	err     error // what went wrong where it could not be returned: see Table.All
}

// View runs fn in a read-only transaction. Any number of Views run at a time, also beside an Update, and
// each sees the moment at which it began.
//
// fn must not open another transaction: bbolt can deadlock when the file grows. It should be short, since
// the space of old pages is not used again while it runs. View returns fn's error as it is.
func (db *DB) View(fn func(*Tx) error) error {
	return db.bolt.View(func(b *bbolt.Tx) error {
		tx := db.newTx(b)
		return firstError(fn(tx), tx)
	})
}

// Update runs fn in a read-write transaction and commits if fn returns nil.
//
// One Update runs at a time; Views go on beside it. fn must not open another transaction: bbolt can
// deadlock when the file grows. What fn reads is valid after it, as records are copies. All records
// written by one Update carry the same time, tx.Now. After a nil return the change survives a power cut,
// and only then are watchers woken. Update returns fn's error as it is, and ErrNoSpace when the disk is
// full; then nothing was changed.
func (db *DB) Update(fn func(*Tx) error) error {
	var changed touched
	err := db.bolt.Update(func(b *bbolt.Tx) error {
		tx := db.newTx(b)
		changed = tx.touched
		return firstError(fn(tx), tx)
	})
	if err != nil {
		return noSpace(err)
	}
	db.wake(changed)
	return nil
}

func (db *DB) newTx(b *bbolt.Tx) *Tx {
	return &Tx{
		Now:     db.clock().UTC().Round(0), // without the monotonic part: as it will be read again
		kv:      boltKV{b.Bucket(dataBucket)},
		sealer:  db.sealer,
		touched: touched{},
	}
}

func firstError(err error, tx *Tx) error {
	if err != nil {
		return err
	}
	return tx.err
}

// fail keeps the first error of an iteration, which makes the transaction fail.
func (tx *Tx) fail(err error) { tx.err = errors.Join(tx.err, err) }
