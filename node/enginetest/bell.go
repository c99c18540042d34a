package enginetest

import (
	"sync"

	"github.com/cupola-paas/cupola/node"
)

// bell tells many waiters of what the engine's channel, which has one reader, tells once.
type bell struct {
	mu   sync.Mutex
	next chan struct{} // closed by the next change
}

func newBell() *bell { return &bell{next: make(chan struct{})} }

// follow rings at each change until quit is closed.
func (b *bell) follow(e node.Engine, quit <-chan struct{}) {
	for {
		select {
		case <-quit:
			return
		case <-e.Changed():
		}
		b.mu.Lock()
		close(b.next)
		b.next = make(chan struct{})
		b.mu.Unlock()
	}
}

// changed is readable after the next change. It is asked for before looking, so that no change falls between.
func (s *suite) changed() <-chan struct{} {
	if s.bell == nil {
		return s.e.Changed()
	}
	s.bell.mu.Lock()
	defer s.bell.mu.Unlock()
	return s.bell.next
}
