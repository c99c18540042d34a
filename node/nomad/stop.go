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
// container after just that grace, of which Nomad knows only its own.
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
	_, _, err := e.api.Jobs().Deregister(e.build.jobID(id), true, (&api.WriteOptions{}).WithContext(ctx))
	if err != nil && !notFound(err) {
		return failed("stop workload "+id, err)
	}
	if agent := e.agentOf(id); agent != nil {
		if err := agent.Stop(ctx, id, grace); err != nil && !errors.Is(err, node.ErrUnavailable) {
			return fmt.Errorf("stop workload %s: %w", id, err)
		}
	}
	if err := e.awaitEnd(ctx, w, grace); err != nil {
		return fmt.Errorf("stop workload %s: %w", id, err)
	}
	e.mu.Lock()
	defer e.mu.Unlock()
	if e.workloads[id] == w {
		e.dropLocked(w)
	}
	return nil
}

// awaitEnd waits until the node says that all is over, or is not there to say it. A job that was purged takes its
// allocations with it, of whose end no event tells then; so Nomad is asked, too.
func (e *Nomad) awaitEnd(ctx context.Context, w *workload, grace time.Duration) error {
	ctx, cancel := context.WithTimeoutCause(ctx, max(grace, killTimeout)+endTime, errors.New("its node does not say that it has ended"))
	defer cancel()
	for pause := 20 * time.Millisecond; ; pause = min(2*pause, time.Second) {
		e.mu.RLock()
		left, news := e.unfinishedLocked(w), w.news
		e.mu.RUnlock()
		if len(left) == 0 {
			return nil
		}
		for _, id := range left {
			a, _, err := e.api.Allocations().Info(id, (&api.QueryOptions{}).WithContext(ctx))
			if notFound(err) || err == nil && a.ClientTerminalStatus() {
				e.mu.Lock()
				delete(w.allocs, id)
				e.mu.Unlock()
			}
		}
		select {
		case <-ctx.Done():
			return context.Cause(ctx)
		case <-news:
		case <-time.After(pause):
		}
	}
}

// unfinishedLocked are the attempts whose end is still to come.
func (e *Nomad) unfinishedLocked(w *workload) []string {
	var left []string
	for _, a := range w.allocs {
		if m := e.nodes[a.nodeID]; !a.over() && m != nil && !m.down {
			left = append(left, a.id)
		}
	}
	return left
}

// Purge removes all jobs of this installation. Close the engine afterwards.
func (e *Nomad) Purge(ctx context.Context) error {
	all, err := e.List(ctx)
	if err != nil {
		return err
	}
	var work errgroup.Group
	work.SetLimit(8)
	for _, s := range all {
		work.Go(func() error { return e.Stop(ctx, s.ID, -1) })
	}
	return work.Wait()
}
