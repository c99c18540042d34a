package nomad

import (
	"context"
	"time"

	"github.com/hashicorp/nomad/api"
)

// hurry has Nomad start again what has crashed on machines whose clocks are ahead. Nomad counts the wait from the end of the
// last attempt, by the clock of the machine where that was, and so would wait for as long as that clock is ahead besides.
func (e *Nomad) hurry(ctx context.Context, now time.Time) {
	for _, id := range e.overdue(now) {
		q := (&api.WriteOptions{}).WithContext(ctx)
		if _, _, err := e.api.Jobs().EvaluateWithOpts(e.build.jobID(id), api.EvalOptions{ForceReschedule: true}, q); err != nil {
			if ctx.Err() == nil {
				e.log.Warn("what crashed on a node whose clock is ahead is not started again; it is tried again", "workload", id, "error", err)
			}
			continue
		}
		e.log.Info("what crashed on a node whose clock is ahead is started again", "workload", id)
	}
}

// overdue are the workloads that would have been started again by now if the clocks of their machines were right.
func (e *Nomad) overdue(now time.Time) []string {
	e.mu.RLock()
	defer e.mu.RUnlock()
	var ids []string
	for id, w := range e.workloads {
		a := w.current()
		if a == nil || w.once || w.stopping || a.stopWanted || a.client != api.AllocClientStatusFailed {
			continue
		}
		m := e.nodes[a.nodeID]
		if m == nil || m.host.Skew <= MaxSkew {
			continue
		}
		if ended := a.finished.Add(-m.host.Skew); !now.Before(ended.Add(e.build.wait(a.rescheduled))) {
			ids = append(ids, id)
		}
	}
	return ids
}

// wait is what Nomad waits before the next attempt after so many that have failed: see reschedule.
func (b *builder) wait(failed int) time.Duration {
	first := max(b.backoff, minReschedule)
	delay, most := first, max(b.backoffMax, first)
	for range failed {
		if delay >= most {
			break
		}
		delay *= 2
	}
	return min(delay, most)
}
