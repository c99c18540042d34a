package nomad

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/hashicorp/nomad/api"
	"golang.org/x/sync/errgroup"

	"github.com/cupola-paas/cupola/node"
)

// endTime is how long a Stop waits for a node to say that the workload has ended, beyond its grace.
const endTime = 30 * time.Second

// Stop implements node.Engine. Nomad is told first, so that it starts nothing again; then the agent ends the
// container after just that grace, of which Nomad knows only its own. The job is removed when all has ended: a client of Nomad
// may miss that an allocation was deleted, and would go on running it, but not that it is to stop.
func (e *Nomad) Stop(ctx context.Context, id string, grace time.Duration) error {
	defer e.starting.lock(id)()
	return e.stop(ctx, id, grace)
}

func (e *Nomad) stop(ctx context.Context, id string, grace time.Duration) error {
	e.mu.Lock()
	w := e.workloads[id]
	if _, m := e.keptLocked(id); m != nil {
		e.mu.Unlock()
		return e.stopThere(ctx, m, id, grace)
	}
	if w == nil && e.isHereLocked(id) {
		e.mu.Unlock()
		return e.o.Local.Stop(ctx, id, grace)
	}
	if w == nil {
		down := e.down
		e.mu.Unlock()
		if down != nil { // what is not in memory may still exist
			return fmt.Errorf("stop workload %s: %w: %v", id, node.ErrUnavailable, down)
		}
		return e.stopUnseen(id)
	}
	w.stopping = true
	e.refreshLocked(w)
	e.mu.Unlock()
	if err := e.deregister(ctx, id, false); err != nil {
		return err
	}
	if agent := e.agentOf(id); agent != nil {
		if err := agent.Stop(ctx, id, grace); err != nil && !errors.Is(err, node.ErrUnavailable) {
			return fmt.Errorf("stop workload %s: %w", id, err)
		}
	}
	if err := e.awaitEnd(ctx, w, grace); err != nil {
		return fmt.Errorf("stop workload %s: %w", id, err)
	}
	if err := e.deregister(ctx, id, true); err != nil {
		return err
	}
	e.mu.Lock()
	defer e.mu.Unlock()
	if e.workloads[id] == w {
		e.dropLocked(w)
	}
	return nil
}

// deregister stops a job, and removes it if that is asked for.
func (e *Nomad) deregister(ctx context.Context, id string, remove bool) error {
	_, _, err := e.api.Jobs().Deregister(e.build.jobID(id), remove, (&api.WriteOptions{}).WithContext(ctx))
	if err != nil && !notFound(err) {
		return failed("stop workload "+id, err)
	}
	return nil
}

// awaitEnd waits until the nodes say that all attempts are over, or are not there to say it.
func (e *Nomad) awaitEnd(ctx context.Context, w *workload, grace time.Duration) error {
	ctx, cancel := context.WithTimeoutCause(ctx, max(grace, killTimeout)+endTime, errors.New("its node does not say that it has ended"))
	defer cancel()
	for pause := 20 * time.Millisecond; ; pause = min(2*pause, time.Second) {
		// Asked each time: an event may have been missed, and an attempt begun that is not in memory.
		list, _, err := e.api.Jobs().Allocations(e.build.jobID(w.id), true, (&api.QueryOptions{}).WithContext(ctx))
		if err == nil && e.over(w, list) {
			return nil
		}
		e.mu.RLock()
		news := w.news // after over, which is news itself
		e.mu.RUnlock()
		select {
		case <-ctx.Done():
			return context.Cause(ctx)
		case <-news:
		case <-time.After(pause):
		}
	}
}

// over takes over all attempts of a workload and reports whether none is still to end.
func (e *Nomad) over(w *workload, list []*api.AllocationListStub) bool {
	known := map[string]bool{}
	for _, s := range list {
		known[s.ID] = true
		e.allocChanged(s)
	}
	e.mu.Lock()
	defer e.mu.Unlock()
	for id, a := range w.allocs {
		if !known[id] {
			delete(w.allocs, id) // Nomad has forgotten it
			continue
		}
		if m := e.nodes[a.nodeID]; !a.over() && m != nil && !m.down {
			return false
		}
	}
	return true
}

// purgeTime is how long a Purge goes on while Nomad or an agent does not answer: when so much ends at once, the stream of
// events may break off, and what has left memory meanwhile is not known to have ended until it is back.
const purgeTime = 30 * time.Second

// Purge removes all jobs of this installation. Close the engine afterwards.
func (e *Nomad) Purge(ctx context.Context) error {
	for began := time.Now(); ; {
		err := e.purge(ctx)
		if !errors.Is(err, node.ErrUnavailable) || time.Since(began) > purgeTime {
			return err
		}
		select {
		case <-ctx.Done():
			return err
		case <-time.After(200 * time.Millisecond):
		}
	}
}

func (e *Nomad) purge(ctx context.Context) error {
	all, err := e.List(ctx)
	if err != nil {
		return err
	}
	var work errgroup.Group
	work.SetLimit(8)
	for _, s := range all {
		work.Go(func() error { return e.Stop(ctx, s.ID, -1) })
	}
	for _, id := range e.Reserved() {
		work.Go(func() error { return e.Unreserve(ctx, id) })
	}
	return work.Wait()
}

// endStopped brings to its end what a job that is stopped already has left.
func (e *Nomad) endStopped(id string) {
	if err := e.Stop(e.ctx, id, 0); err != nil && e.ctx.Err() == nil {
		e.log.Warn("a stopped job is not removed yet", "instance", id, "error", err)
	}
}

// place is a workload on a machine.
type place struct {
	id string
	at *member
}

// strays are what agents see Nomad run and is in nobody's memory: most have begun just now.
func (e *Nomad) strays() []place {
	e.mu.RLock()
	defer e.mu.RUnlock()
	var all []place
	for _, m := range e.nodes {
		for id, s := range m.statuses {
			if e.workloads[id] == nil && s.State == node.Running && !s.Own && !m.away && !m.down {
				all = append(all, place{id, m})
			}
		}
	}
	return all
}

// endOrphans ends what was seen to run before the jobs were listed and has none: its client was not told of the end of its job.
// The client may start it again, as often as an instance is restarted; so it is ended in each round.
func (e *Nomad) endOrphans(seen []place) {
	e.mu.RLock()
	defer e.mu.RUnlock()
	for _, p := range seen {
		if _, still := p.at.statuses[p.id]; !still || e.workloads[p.id] != nil || e.nodes[p.at.id] != p.at {
			continue
		}
		e.log.Warn("an instance without a job is ended", "instance", p.id, "node", p.at.hostname)
		e.wg.Go(func() {
			if err := p.at.agent.Stop(e.ctx, p.id, 0); err != nil && e.ctx.Err() == nil {
				e.log.Warn("an instance without a job is not ended yet", "instance", p.id, "node", p.at.hostname, "error", err)
			}
		})
	}
}
