package nomad

import (
	"context"
	"fmt"

	"github.com/cupola-paas/cupola/node"
)

// Not all runs in the cluster: some of what stays on one machine is on the controller's. And a platform that ran its apps on one machine before
// it was given a cluster goes on doing so: what is there is listed beside what Nomad runs, and leaves one by one, as
// each app is restarted.

// own tells the workloads that a local engine runs itself from those that Nomad runs there; *docker.Docker does.
type own interface {
	Attached(id string) bool
	Has(id string) bool
}

// startHere starts a workload with volumes, or one that belongs here, on this machine.
func (e *Nomad) startHere(ctx context.Context, w node.Workload) error {
	if e.o.Local == nil {
		return fmt.Errorf("workload %s: %w: there is no Docker beside the controller to run it", w.ID, node.ErrInsufficient)
	}
	return e.o.Local.Start(ctx, w)
}

// hereLocked are the workloads that this machine's Docker runs itself.
func (e *Nomad) hereLocked() []node.Status {
	if e.o.Local == nil {
		return nil
	}
	list, err := e.o.Local.List(e.ctx)
	if err != nil {
		return nil // it answers from memory and does not fail
	}
	var all []node.Status
	for _, s := range list {
		if e.isHereLocked(s.ID) {
			all = append(all, e.placedLocked(s, node.EngineDocker))
		}
	}
	return all
}

func (e *Nomad) isHereLocked(id string) bool {
	l, ok := e.o.Local.(own)
	if !ok || e.workloads[id] != nil || l.Attached(id) {
		return false
	}
	return l.Has(id)
}
