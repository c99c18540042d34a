package store

import (
	"context"
	"time"
)

// watcher is one Watch. tables is empty when it watches all of them.
type watcher struct {
	wake   chan struct{}
	tables map[TableName]struct{}
}

// Watch returns a channel that gets a value after each Update that changed one of the tables; with no tables,
// after each that changed anything. It has room for one value and is sent to without blocking: several
// Updates may come as one wake-up, but none is lost. Who reads the tables after a wake-up sees all that
// was committed before it. The channel is never closed; when ctx ends nothing is sent to it any more.
func (db *DB) Watch(ctx context.Context, tables ...TableName) <-chan struct{} {
	w := &watcher{wake: make(chan struct{}, 1), tables: map[TableName]struct{}{}}
	for _, t := range tables {
		w.tables[t] = struct{}{}
	}
	db.watchMu.Lock()
	db.watchers[w] = struct{}{}
	db.watchMu.Unlock()
	context.AfterFunc(ctx, func() {
		db.watchMu.Lock()
		defer db.watchMu.Unlock()
		delete(db.watchers, w)
	})
	return w.wake
}

// touched is which records one Update put or deleted.
type touched map[TableName]map[string]struct{}

func (tx *Tx) touch(table TableName, guid string) {
	if tx.touched[table] == nil {
		tx.touched[table] = map[string]struct{}{}
	}
	tx.touched[table][guid] = struct{}{}
}

// wake tells the watchers and followers of the touched tables.
func (db *DB) wake(touched touched) {
	if len(touched) == 0 {
		return
	}
	db.watchMu.Lock()
	defer db.watchMu.Unlock()
	for w := range db.watchers {
		if w.wants(touched) {
			w.tell()
		}
	}
	for f := range db.followers {
		f.add(touched)
	}
}

func (w *watcher) tell() {
	select {
	case w.wake <- struct{}{}:
	default: // a wake-up is waiting already
	}
}

func (w *watcher) wants(touched touched) bool {
	if len(w.tables) == 0 {
		return true
	}
	for t := range touched {
		if _, ok := w.tables[t]; ok {
			return true
		}
	}
	return false
}

// Sleep waits until wake or for d, and reports false when ctx has ended. So loops that follow the store wait between two
// passes; a nil wake never comes.
func Sleep(ctx context.Context, d time.Duration, wake <-chan struct{}) bool {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-ctx.Done():
		return false
	case <-wake:
	case <-timer.C:
	}
	return true
}
