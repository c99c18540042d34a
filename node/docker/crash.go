package docker

import (
	"context"
	"fmt"
	"time"

	"github.com/docker/docker/api/types/container"

	"github.com/cupola-paas/cupola/node"
)

// The first ImmediateRestarts crashes in a row are Docker's: its restart policy answers them within a
// second, with or without us. From the next one on we stop the container, which cancels Docker's restart,
// and start it again when the back-off is over.

// died counts an end of the process as a crash.
func (i *instance) died(x death) {
	if i.held() || i.w.Once {
		return
	}
	i.crashed(i.explainEnd(x, ""), x.status, x.oom)
}

func (i *instance) crashed(details string, exit int, oom bool) {
	i.stopProbes()
	i.set(func(s *node.Status) {
		s.State, s.Ready, s.Details, s.ExitStatus, s.OOMKilled = node.Crashed, false, details, exit, oom
		s.Crashes++
	})
	if n := i.snapshot().Crashes; n > ImmediateRestarts && !i.attached() {
		i.startDue = time.Now().Add(i.d.backoff(n))
	}
}

// backoff is the wait after the nth crash in a row.
func (d *Docker) backoff(n int) time.Duration {
	wait := d.o.Backoff
	for range max(n-ImmediateRestarts-1, 0) {
		if wait *= 2; wait >= d.o.BackoffMax {
			return d.o.BackoffMax
		}
	}
	return wait
}

// held says whether the container must stay down until its back-off is over.
func (i *instance) held() bool {
	return !i.startDue.IsZero() && i.snapshot().Crashes > ImmediateRestarts
}

// hold stops what Docker would start, or has started, too early.
func (i *instance) hold(ctx context.Context) {
	now := 0
	err := i.d.api.ContainerStop(ctx, i.containerID(), container.StopOptions{Timeout: &now})
	if err != nil && !notFound(err) {
		i.d.log.Warn("hold back a crashed instance", "instance", i.id, "error", err)
	}
	i.startedAt = time.Time{}
}

// down deals with a container that neither runs nor is about to be restarted by Docker.
func (i *instance) down(c container.InspectResponse, died bool) {
	if i.attached() {
		i.downAttached(c, died)
		return
	}
	wasUp := !i.startedAt.IsZero()
	i.startedAt = time.Time{}
	switch {
	case !i.startDue.IsZero():
	case c.State.Status == container.StateCreated && c.State.ExitCode == 0:
		i.startDue = time.Now() // made, then nobody started it
	case c.State.Status == container.StateCreated:
		i.crashed(i.explainEnd(death{status: c.State.ExitCode}, c.State.Error), c.State.ExitCode, false)
	case wasUp && !died && !i.forget:
		i.died(death{at: finished(c), status: c.State.ExitCode, oom: c.State.OOMKilled})
	}
	if i.startDue.IsZero() {
		i.startDue = time.Now()
	}
}

// startAgain starts the container when that is due.
func (i *instance) startAgain(ctx context.Context) {
	i.startDue, i.forget = time.Time{}, false
	if i.isStopping() {
		return
	}
	i.floor = time.Now()
	err := i.d.api.ContainerStart(ctx, i.containerID(), container.StartOptions{})
	switch {
	case err == nil || notFound(err):
	case unreachable(err):
		return // looked at again when Docker is back
	default:
		i.crashed(i.explainEnd(death{status: startStatus(err)}, err.Error()), startStatus(err), false)
		if i.startDue.IsZero() {
			i.startDue = time.Now().Add(i.d.o.Backoff / 10)
		}
		return
	}
	i.poke()
}

// unhealthy ends an instance whose health check gave up on it, and counts that as a crash.
func (i *instance) unhealthy(ctx context.Context, details string) {
	i.d.log.Info("instance is unhealthy", "instance", i.id, "details", details)
	i.forget = true
	i.crashed(details, 0, false)
	if i.attached() {
		i.endAttached(ctx)
		return
	}
	grace := stopGrace
	var err error
	if i.held() {
		err = i.d.api.ContainerStop(ctx, i.containerID(), container.StopOptions{Timeout: &grace})
		i.startedAt = time.Time{}
		i.startDue = time.Now().Add(i.d.backoff(i.snapshot().Crashes))
	} else {
		// One call, so that it comes back even if we end here.
		err = i.d.api.ContainerRestart(ctx, i.containerID(), container.StopOptions{Timeout: &grace})
	}
	if err != nil && !notFound(err) {
		i.d.log.Warn("end an unhealthy instance", "instance", i.id, "error", err)
		i.startedAt = time.Time{} // whatever runs now is a new run to us, and judged anew
	}
	i.poke()
}

// releaseHeld starts what waits for the end of its back-off; called when nobody will be there to do it.
func (d *Docker) releaseHeld() {
	ctx, cancel := context.WithTimeout(context.Background(), 5*time.Second)
	defer cancel()
	d.mu.RLock()
	defer d.mu.RUnlock()
	for _, i := range d.instances {
		if i.startDue.IsZero() || i.w.Once || i.isStopping() { // run has ended: its fields are ours to read
			continue
		}
		if err := d.api.ContainerStart(ctx, i.containerID(), container.StartOptions{}); err != nil {
			d.log.Warn("start a held instance before leaving", "instance", i.id, "error", err)
		}
	}
}

// explainEnd says in words how the process ended.
func (i *instance) explainEnd(x death, failure string) string {
	switch {
	case x.oom && x.status != 0:
		return fmt.Sprintf("killed: used more than its memory limit of %d MB", i.w.MemoryMB)
	case failure != "":
		return "could not start: " + failure
	case x.status > 128 && x.status < 128+65:
		return fmt.Sprintf("exited with status %d (signal %d)", x.status, x.status-128)
	case x.status == 0 && i.w.Once:
		return ""
	}
	return fmt.Sprintf("exited with status %d", x.status)
}
