package node

import "sync"

// feedMost bounds the ids that a Feed keeps for a reader that does not come.
const feedMost = 50_000

// Changes says which workloads may be other than they were. All stands for every one.
type Changes struct {
	All bool
	IDs map[string]struct{}
}

// Feed collects for an engine which workloads have changed, for the one reader who looks at those alone.
type Feed struct {
	wake chan struct{}

	mu      sync.Mutex
	changes Changes
}

// NewFeed returns an empty feed.
func NewFeed() *Feed { return &Feed{wake: make(chan struct{}, 1), changes: Changes{All: true}} }

// Note adds workloads that have changed, come or gone; without ids it adds all of them.
func (f *Feed) Note(ids ...string) {
	f.mu.Lock()
	if f.changes.IDs == nil {
		f.changes.IDs = map[string]struct{}{}
	}
	for _, id := range ids {
		f.changes.IDs[id] = struct{}{}
	}
	if len(ids) == 0 || len(f.changes.IDs) > feedMost {
		f.changes = Changes{All: true, IDs: map[string]struct{}{}}
	}
	f.mu.Unlock()
	select {
	case f.wake <- struct{}{}:
	default: // a wake-up is waiting already
	}
}

// Changed is sent to, without blocking, after a Note.
func (f *Feed) Changed() <-chan struct{} { return f.wake }

// TakeChanges returns what was noted since it was called last.
func (f *Feed) TakeChanges() Changes {
	f.mu.Lock()
	defer f.mu.Unlock()
	taken := f.changes
	f.changes = Changes{}
	return taken
}
