package store

import (
	"bytes"
	"errors"
	"fmt"
	"strings"

	"go.etcd.io/bbolt"
)

// indexVersion changes when what an index holds is derived in another way than before.
const indexVersion = 1

// Check reads every record, derives all index entries anew, and compares them and the counts with what is
// stored; it also checks the pages of the file. It returns all that is wrong, joined. Updates can go on beside it.
func (db *DB) Check() error {
	return db.bolt.View(func(b *bbolt.Tx) error {
		tx := db.newTx(b)
		var errs []error
		for err := range b.Check() {
			errs = append(errs, fmt.Errorf("database file: %w", err))
		}
		for _, t := range allTables() {
			if err := t.check(tx); err != nil {
				errs = append(errs, fmt.Errorf("table %s: %w", t.Name(), err))
			}
		}
		return errors.Join(errs...)
	})
}

func (t *Table[T]) check(tx *Tx) error {
	wanted := map[string]string{} // index key to GUID
	var found numbers
	var errs []error
	err := t.records(tx, func(guid string, rec *T, pos position, err error) {
		if err != nil {
			errs = append(errs, fmt.Errorf("record %s: %w", guid, err))
			return
		}
		if t.meta(rec).GUID != guid {
			errs = append(errs, fmt.Errorf("record %s says that its GUID is %s", guid, t.meta(rec).GUID))
		}
		found.count++
		found.next = max(found.next, pos.sequence()+1)
		for key := range t.entries(rec, pos) {
			wanted[key] = guid
		}
	})
	if err != nil {
		return err
	}
	errs = append(errs, t.checkNumbers(tx, found), t.checkEntries(tx, wanted), t.checkAllUnique(tx))
	return errors.Join(errs...)
}

func (t *Table[T]) checkNumbers(tx *Tx, found numbers) error {
	n, err := t.numbers(tx)
	if err != nil {
		return err
	}
	if n.count != found.count || n.next < found.next {
		return fmt.Errorf("it counts %d records up to number %d, but has %d up to number %d",
			n.count, n.next, found.count, found.next)
	}
	return nil
}

// checkEntries empties wanted.
func (t *Table[T]) checkEntries(tx *Tx, wanted map[string]string) error {
	var errs []error
	err := tx.kv.scan(tablePrefix(indexKind, t.name), nil, false, func(key, guid []byte) bool {
		if want, ok := wanted[string(key)]; !ok || want != string(guid) {
			errs = append(errs, fmt.Errorf("index entry %q leads to %s, which does not have that value", key, guid))
		}
		delete(wanted, string(key))
		return true
	})
	for key, guid := range wanted {
		errs = append(errs, fmt.Errorf("index entry %q of %s is missing", key, guid))
	}
	return errors.Join(append(errs, err)...)
}

// checkAllUnique looks for neighbours with one value in the unique indexes.
func (t *Table[T]) checkAllUnique(tx *Tx) error {
	var errs []error
	for _, ix := range t.indexes {
		if !ix.isUnique {
			continue
		}
		var prev []byte
		err := tx.kv.scan(indexPrefix(t.name, ix.name), nil, false, func(key, guid []byte) bool {
			value := key[:len(key)-positionBytes]
			if bytes.Equal(value, prev) {
				errs = append(errs, fmt.Errorf("record %s has the same %s as another", guid, ix.name))
			}
			prev = value
			return true
		})
		errs = append(errs, err)
	}
	return errors.Join(errs...)
}

// records calls fn with every record in the order of GUIDs, reading past those that can't be read.
func (t *Table[T]) records(tx *Tx, fn func(guid string, rec *T, pos position, err error)) error {
	prefix := tablePrefix(recordKind, t.name)
	return tx.kv.scan(prefix, nil, false, func(key, value []byte) bool {
		rec, pos, err := t.decode(tx, key, value)
		fn(string(bytes.TrimPrefix(key, prefix)), rec, pos, err)
		return true
	})
}

func (t *Table[T]) indexNames() []string {
	var names []string
	for _, ix := range t.indexes {
		names = append(names, ix.name)
	}
	return names
}

// indexFingerprint tells which indexes this code keeps.
func indexFingerprint() string {
	var b strings.Builder
	fmt.Fprintf(&b, "%d", indexVersion)
	for _, t := range allTables() {
		fmt.Fprintf(&b, " %s:%s", t.Name(), strings.Join(t.indexNames(), ","))
	}
	return b.String()
}

// rebuildIndexes builds all indexes anew if the database was last written by code that kept others.
func (db *DB) rebuildIndexes() error {
	current := false
	err := db.bolt.View(func(b *bbolt.Tx) error {
		current = string(b.Bucket(metaBucket).Get(indexesKey)) == indexFingerprint()
		return nil
	})
	if err != nil || current {
		return err
	}
	err = db.bolt.Update(func(b *bbolt.Tx) error {
		tx := db.newTx(b)
		for _, t := range allTables() {
			if err := t.rebuild(tx); err != nil {
				return fmt.Errorf("build the indexes of %s: %w", t.Name(), err)
			}
		}
		return b.Bucket(metaBucket).Put(indexesKey, []byte(indexFingerprint()))
	})
	return noSpace(err)
}

func (t *Table[T]) rebuild(tx *Tx) error {
	var old [][]byte
	err := tx.kv.scan(tablePrefix(indexKind, t.name), nil, false, func(key, _ []byte) bool {
		old = append(old, key)
		return true
	})
	if err != nil {
		return err
	}
	for _, key := range old {
		if err := tx.kv.delete(key); err != nil {
			return err
		}
	}
	entries := map[string]string{}
	var failed error
	err = t.records(tx, func(guid string, rec *T, pos position, err error) {
		failed = errors.Join(failed, err)
		for key := range t.entries(rec, pos) {
			entries[key] = guid
		}
	})
	if err := errors.Join(err, failed); err != nil {
		return err
	}
	for key, guid := range entries {
		if err := tx.kv.put([]byte(key), []byte(guid)); err != nil {
			return err
		}
	}
	return nil
}
