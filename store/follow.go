package store

import (
	"context"
	"sync"
)

// followMost bounds the GUIDs that a Follower keeps for a reader that does not come.
const followMost = 50_000

// Follower collects which records have changed, for who wants to look at those alone.
type Follower struct {
	watcher

	mu      sync.Mutex
	changed Changes
	n       int
}

// Changes is what a Follower has collected. All stands for more than it could: anything may have changed.
type Changes struct {
	All   bool
	GUIDs map[TableName]map[string]struct{} // put or deleted, by table
}

// Of returns the GUIDs of changed records of a table, in no order.
func (c Changes) Of(table TableName) map[string]struct{} { return c.GUIDs[table] }

// Follow begins to collect the changes of the tables, until ctx ends. What was committed before is not among them.
func (db *DB) Follow(ctx context.Context, tables ...TableName) *Follower {
	f := &Follower{watcher: watcher{wake: make(chan struct{}, 1), tables: map[TableName]struct{}{}}}
	for _, t := range tables {
		f.tables[t] = struct{}{}
	}
	db.watchMu.Lock()
	db.followers[f] = struct{}{}
	db.watchMu.Unlock()
	context.AfterFunc(ctx, func() {
		db.watchMu.Lock()
		defer db.watchMu.Unlock()
		delete(db.followers, f)
	})
	return f
}

// Wake is sent to as the channel of DB.Watch is.
func (f *Follower) Wake() <-chan struct{} { return f.wake }

// Take returns what has changed since it was called last. A View that begins afterwards sees all of it.
func (f *Follower) Take() Changes {
	f.mu.Lock()
	defer f.mu.Unlock()
	taken := f.changed
	f.changed, f.n = Changes{}, 0
	return taken
}

func (f *Follower) add(touched touched) {
	if !f.wants(touched) {
		return
	}
	f.mu.Lock()
	for table, guids := range touched {
		if _, ok := f.tables[table]; ok {
			f.addLocked(table, guids)
		}
	}
	f.mu.Unlock()
	f.tell()
}

func (f *Follower) addLocked(table TableName, guids map[string]struct{}) {
	if f.changed.All {
		return
	}
	if f.n += len(guids); f.n > followMost {
		f.changed = Changes{All: true}
		return
	}
	if f.changed.GUIDs == nil {
		f.changed.GUIDs = map[TableName]map[string]struct{}{}
	}
	if f.changed.GUIDs[table] == nil {
		f.changed.GUIDs[table] = map[string]struct{}{}
	}
	for guid := range guids {
		f.changed.GUIDs[table][guid] = struct{}{}
	}
}
