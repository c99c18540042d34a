package nomad

import (
	"context"
	"fmt"
	"time"

	"github.com/hashicorp/nomad/api"

	"github.com/cupola-paas/cupola/node"
)

// Room for a build is a job of Nomad's like any other, so that Nomad counts it: its container has the build's memory and does
// nothing. The build itself is run by the machine's agent beside it, with that memory as its limit, because its container needs
// folders of the machine, which no job may have.

var _ node.Reserver = (*Nomad)(nil)

const (
	labelBuild   = "build"  // on jobs that keep room for builds, which are no workloads of the controller's
	reserveGroup = "build-" // begins the id of such a job
	anyPool      = "all"    // Nomad's own name for all pools
	holdKill     = time.Second
	// reserveTime bounds the wait for a container that needs one small image.
	reserveTime = 2 * time.Minute
)

// reserves reports whether the job keeps room for a build.
func (w *workload) reserves() bool { return w.labels[labelBuild] != "" }

// movedLocked tells that there may be other room, because of a workload or, without one, of a node. A reservation that found no
// room changes nothing: who waits would try again at once.
func (e *Nomad) movedLocked(w *workload) {
	if w != nil && w.reserves() && len(w.allocs) == 0 {
		return
	}
	close(e.moved)
	e.moved = make(chan struct{})
}

// Moved implements node.Reserver.
func (e *Nomad) Moved() <-chan struct{} {
	e.mu.RLock()
	defer e.mu.RUnlock()
	return e.moved
}

// Reserved implements node.Reserver.
func (e *Nomad) Reserved() []string {
	e.mu.RLock()
	defer e.mu.RUnlock()
	var ids []string
	for _, w := range e.workloads {
		if w.reserves() {
			ids = append(ids, w.labels[labelBuild])
		}
	}
	return ids
}

// Reserve implements node.Reserver.
func (e *Nomad) Reserve(ctx context.Context, r node.Reservation) (<-chan struct{}, error) {
	w := reserving(r)
	defer e.starting.lock(w.ID)()
	if e.known(w.ID) {
		return nil, fmt.Errorf("build %s: room is kept for it already", r.ID)
	}
	if err := e.checkImage(ctx, w); err != nil {
		return nil, err
	}
	j, err := e.build.reservation(w, r.Machine)
	if err != nil {
		return nil, err
	}
	if err := e.register(ctx, w, j); err != nil {
		return nil, err
	}
	mine := e.find(w.ID)
	if err := e.awaitRoom(ctx, mine); err != nil {
		if failed := e.stop(context.WithoutCancel(ctx), w.ID, -1); failed != nil {
			e.log.Warn("room for a build that was not kept is not given back yet", "build", r.ID, "error", failed)
		}
		return nil, fmt.Errorf("keep room for build %s: %w", r.ID, err)
	}
	gone := make(chan struct{})
	e.wg.Go(func() {
		defer close(gone)
		e.awaitLoss(mine)
	})
	return gone, nil
}

// reserving is the workload that stands for a build.
func reserving(r node.Reservation) node.Workload {
	return node.Workload{
		ID: reserveGroup + r.ID, Labels: map[string]string{labelBuild: r.ID}, Image: r.Image, PullUser: r.PullUser, PullSecret: r.PullSecret,
		MemoryMB: r.MemoryMB, DiskMB: r.DiskMB, Once: true,
	}
}

// reservation is a job on just that machine, with all of the memory and without a network. The agents take its container for
// none of theirs.
func (b *builder) reservation(w node.Workload, machine string) (*api.Job, error) {
	whole := *b
	whole.oversubscribe = 0
	j, err := whole.job(w, node.Extra{}, siblings{})
	if err != nil {
		return nil, err
	}
	j.NodePool = ptr(anyPool)
	j.Constraints = append(j.Constraints, api.NewConstraint("${node.unique.id}", "=", machine))
	task := j.TaskGroups[0].Tasks[0]
	task.KillTimeout = ptr(holdKill)
	c := task.Config
	c["network_mode"] = "none"
	c["labels"] = []map[string]any{{"cupola.build.room": escape(w.Labels[labelBuild]), "cupola.build.installation": b.installation}}
	delete(c, "dns_servers")
	delete(c, "hostname")
	return j, nil
}

func (e *Nomad) find(id string) *workload {
	e.mu.RLock()
	defer e.mu.RUnlock()
	return e.workloads[id]
}

// room says how a reservation is, and what is closed when that may be different.
func (e *Nomad) room(w *workload) (running, over bool, why string, news <-chan struct{}) {
	e.mu.RLock()
	defer e.mu.RUnlock()
	if w == nil || e.workloads[w.id] != w || w.stopping {
		return false, true, "somebody took it away", nil
	}
	a := w.current()
	if a == nil {
		return false, false, "", w.news
	}
	m := e.nodes[a.nodeID]
	switch {
	case m == nil || m.down || a.client == api.AllocClientStatusUnknown:
		return false, true, "node " + m.name() + " does not answer", w.news
	case a.over() || a.dead || a.stopWanted:
		return false, true, w.explain(a), w.news
	}
	return a.client == api.AllocClientStatusRunning, false, "", w.news
}

// awaitRoom waits until the container is there.
func (e *Nomad) awaitRoom(ctx context.Context, w *workload) error {
	ctx, cancel := context.WithTimeoutCause(ctx, reserveTime, fmt.Errorf("%w: its node does not begin", node.ErrUnavailable))
	defer cancel()
	for {
		running, over, why, news := e.room(w)
		switch {
		case running:
			return nil
		case over:
			return fmt.Errorf("%w: %s", node.ErrUnavailable, why)
		}
		select {
		case <-ctx.Done():
			return context.Cause(ctx)
		case <-news:
		}
	}
}

// awaitLoss returns when the room is not kept any more, or the engine closes.
func (e *Nomad) awaitLoss(w *workload) {
	for {
		_, over, _, news := e.room(w)
		if over {
			return
		}
		select {
		case <-e.ctx.Done():
			return
		case <-news:
		}
	}
}

// Unreserve implements node.Reserver.
func (e *Nomad) Unreserve(ctx context.Context, id string) error {
	return e.Stop(ctx, reserveGroup+id, -1)
}
