package scheduling

import (
	"slices"
	"testing"

	"github.com/cupola-paas/cupola/node"
)

// TestAMachineIsEmptied: an instance whose machine shall be empty goes once another one gets requests in its place.
func TestAMachineIsEmptied(t *testing.T) {
	w := newWorld(t)
	w.step()
	w.engine.healthy()
	w.step()
	old := slices.Clone(w.engine.started)
	w.engine.set(func(s *node.Status) { s.Leaving = s.ID == old[0] })
	w.step()
	if w.engine.count() != 3 || len(w.engine.stopped) != 0 {
		t.Fatalf("with one leaving: %d workloads, stopped %v; want a third one and none stopped", w.engine.count(), w.engine.stopped)
	}
	w.steps(3)
	if len(w.engine.stopped) != 0 || w.engine.count() != 3 {
		t.Fatalf("before the new one is ready: %d workloads, stopped %v", w.engine.count(), w.engine.stopped)
	}
	w.engine.healthy()
	w.steps(3)
	if !slices.Equal(w.engine.stopped, []string{old[0]}) {
		t.Errorf("stopped %v, want %s alone", w.engine.stopped, old[0])
	}
	seen := map[int]bool{}
	for _, i := range w.instances() {
		seen[i.Index] = true
	}
	if w.engine.count() != 2 || len(w.instances()) != 2 || len(seen) != 2 {
		t.Errorf("at the end: %d workloads, %d records, indexes %v", w.engine.count(), len(w.instances()), seen)
	}
}
