package nomad

import (
	"cmp"

	"github.com/cupola-paas/cupola/node"
)

var _ node.Settler = (*Nomad)(nil)

// Settle implements node.Settler.
func (e *Nomad) Settle(s node.Settlement) {
	e.mu.Lock()
	e.settled = s
	e.mu.Unlock()
	e.Note() // any workload may be Leaving now, or no more
}

// home is where workloads start that nothing keeps on this machine.
func (e *Nomad) home() string {
	e.mu.RLock()
	defer e.mu.RUnlock()
	if e.o.Local == nil {
		return node.EngineNomad
	}
	return cmp.Or(e.settled.Home, node.EngineNomad)
}

// belongs is the engine that a workload with these labels starts on. It may ask the store, so no lock is held.
func (e *Nomad) belongs(labels map[string]string) string {
	e.mu.RLock()
	stays := e.settled.Stays
	e.mu.RUnlock()
	if e.o.Local != nil && stays != nil && stays(labels) {
		return node.EngineDocker
	}
	return e.home()
}

// placedLocked adds to a status which engine runs the workload, and whether it is to leave that for the other.
func (e *Nomad) placedLocked(s node.Status, engine string) node.Status {
	s.Engine = engine
	if leaves := e.settled.Leaves; leaves != nil && leaves(engine, s.Labels) {
		s.Leaving = true
	}
	return s
}
