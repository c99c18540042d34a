package enginetest

import (
	"testing"
	"time"

	"github.com/cupola-paas/cupola/node"
)

// changes: who looks at nothing but what the engine says has changed knows all that List knows.
func (s *suite) changes(t *testing.T) {
	known := map[string]node.Status{}
	take := func() {
		changes := s.e.TakeChanges()
		if changes.All {
			clear(known)
			all, err := s.e.List(testContext(t))
			if err != nil {
				t.Fatal(err)
			}
			for _, st := range all {
				known[st.ID] = st
			}
		}
		for id := range changes.IDs {
			delete(known, id)
			for _, st := range s.e.Find(id) {
				known[id] = st
			}
		}
	}
	until := func(what string, ok func(map[string]node.Status) bool) {
		t.Helper()
		give := time.After(patience)
		for take(); !ok(known); take() {
			select {
			case <-s.e.Changed():
			case <-give:
				t.Fatalf("waited in vain until %s; known is %+v", what, known)
			}
		}
	}
	take()
	w := s.start(t, nil)
	until("it is known to be ready", func(known map[string]node.Status) bool { return known[w.ID].Ready })
	if found := s.e.Find("nobody", w.ID); len(found) != 1 || found[0].ID != w.ID || found[0].Address == "" {
		t.Errorf("find = %+v", found)
	}
	if err := s.e.Stop(testContext(t), w.ID, time.Second); err != nil {
		t.Fatal(err)
	}
	until("it is known to be gone", func(known map[string]node.Status) bool { _, there := known[w.ID]; return !there })
}
