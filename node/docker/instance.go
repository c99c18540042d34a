package docker

import (
	"context"
	"net/netip"
	"sync"
	"sync/atomic"
	"time"

	"github.com/docker/docker/api/types/container"

	"github.com/cupola-paas/cupola/node"
)

// instance follows one workload. Its goroutine (run) is the only one that decides: events of Docker and
// results of probes are left for it and wake it, then it looks at the container and compares.
type instance struct {
	d    *Docker
	id   string
	w    node.Workload // without environment and secrets
	wake chan struct{} // capacity one: look at the container
	told chan struct{} // capacity one: a probe has a verdict
	done chan struct{} // closed when the workload is gone

	mu        sync.Mutex
	container string // Docker's id
	status    node.Status
	news      chan struct{} // closed and replaced when status changes
	deaths    []death       // not yet dealt with
	oomAt     time.Time
	full      bool // look for what the event stream may have missed
	stopping  bool
	diskOver  string // set by the disk watch: why it must be restarted afresh
	verdicts  []verdict
	statusPID int // pid, for who is not run
	meter     meter
	readers   int           // log streams that are open
	readDone  chan struct{} // closed when the last of them ends

	// Of an attached workload.
	spool          *spool    // nil: it is not one
	reading        string    // the container whose output goes to spool
	containerSince time.Time // of container
	goneAt         time.Time // since when there is no container; zero: there is one
	linked         atomic.Bool

	// Owned by run.
	startedAt time.Time // of the container's present run, Docker's clock; zero: not running
	restarts  int       // Docker's count
	pid       int
	forget    bool      // we ended it ourselves and have counted that already
	floor     time.Time // our last start; ends before it are over and done with
	startDue  time.Time // when we start it again; zero: not ours to do
	health    health
}

// oomToDeath is how long after the kernel's report an end still counts as caused by it.
const oomToDeath = 10 * time.Second

// death is one end of the container's process.
type death struct {
	at     time.Time
	status int
	oom    bool
}

func (d *Docker) newInstance(w node.Workload, containerID string) *instance {
	return &instance{
		d: d, id: w.ID, w: public(w), container: containerID,
		wake: make(chan struct{}, 1), told: make(chan struct{}, 1), done: make(chan struct{}), news: make(chan struct{}),
		status: node.Status{ID: w.ID, Labels: w.Labels, Peer: w.Peer, Own: true, MemoryMB: w.MemoryMB, State: node.Starting, Since: time.Now()},
	}
}

// add makes the instance known and starts its goroutine, unless there is one for that workload.
func (d *Docker) add(i *instance) {
	d.mu.Lock()
	known := d.instances[i.id] != nil
	if !known {
		d.instances[i.id] = i
	}
	d.mu.Unlock()
	if known {
		i.stopProbes()
		return
	}
	d.Note(i.id)
	i.poke()
	d.wg.Go(func() { i.run(d.ctx) })
}

func (i *instance) poke() {
	select {
	case i.wake <- struct{}{}:
	default:
	}
}

func (i *instance) snapshot() node.Status {
	i.mu.Lock()
	defer i.mu.Unlock()
	return i.status
}

func (i *instance) containerID() string {
	i.mu.Lock()
	defer i.mu.Unlock()
	return i.container
}

// set changes the status and tells who waits for it.
func (i *instance) set(change func(*node.Status)) {
	i.mu.Lock()
	before := i.status
	change(&i.status)
	if i.stopping {
		i.status.State, i.status.Ready = node.Stopping, false
	}
	if i.status.State != before.State {
		i.status.Since = time.Now()
	}
	changed := !sameStatus(before, i.status)
	if changed {
		close(i.news)
		i.news = make(chan struct{})
	}
	i.mu.Unlock()
	if changed {
		i.d.Note(i.id)
	}
}

func sameStatus(a, b node.Status) bool {
	a.Labels, b.Labels = nil, nil
	return a.State == b.State && a.Ready == b.Ready && a.Address == b.Address && a.StartedAt.Equal(b.StartedAt) &&
		a.Crashes == b.Crashes && a.ExitStatus == b.ExitStatus && a.OOMKilled == b.OOMKilled &&
		a.Details == b.Details && a.Generation == b.Generation
}

// run is the instance's goroutine; it ends when the workload is gone or ctx ends.
func (i *instance) run(ctx context.Context) {
	timer := time.NewTimer(0)
	defer timer.Stop()
	defer i.stopProbes()
	for {
		select {
		case <-ctx.Done():
			return
		case <-i.done:
			return
		case <-i.wake:
			if !i.observe(ctx) {
				i.d.forget(i)
				return
			}
		case <-i.told:
			i.judge(ctx)
		case <-timer.C:
		}
		i.act(ctx)
		timer.Reset(i.nextStep())
	}
}

// nextStep is how long until act has something to do.
func (i *instance) nextStep() time.Duration {
	due := earliest(i.startDue, i.health.due())
	if due.IsZero() {
		return time.Hour
	}
	return max(time.Until(due), 0)
}

func earliest(times ...time.Time) time.Time {
	var first time.Time
	for _, t := range times {
		if !t.IsZero() && (first.IsZero() || t.Before(first)) {
			first = t
		}
	}
	return first
}

// act does what has come due: a start after a back-off, probes.
func (i *instance) act(ctx context.Context) {
	now := time.Now()
	if !i.startDue.IsZero() && !now.Before(i.startDue) {
		i.startAgain(ctx)
	}
	i.probeDue(now)
}

// observe looks at the container and makes status follow. It returns false when the container is gone.
func (i *instance) observe(ctx context.Context) bool {
	release, ok := i.d.slot(ctx)
	if !ok {
		return true
	}
	c, err := i.d.api.ContainerInspect(ctx, i.containerID())
	release()
	switch {
	case err == nil:
	case notFound(err) && i.attached():
		return i.gone()
	case notFound(err):
		return false
	default:
		return true // unreachable: when Docker returns, everything is looked at again
	}
	deaths, full := i.takeDeaths(c)
	if full && len(deaths) == 0 {
		deaths = i.missedDeaths(c)
	}
	if i.isStopping() {
		i.finishStop(ctx, c)
		return true
	}
	for _, x := range deaths {
		i.died(x)
	}
	i.compare(ctx, c, len(deaths) > 0)
	i.outOfDisk(ctx)
	return true
}

// takeDeaths returns the ends that are news: those of the run that we know of and of later ones.
func (i *instance) takeDeaths(c container.InspectResponse) (fresh []death, full bool) {
	since := i.startedAt
	if i.forget {
		since = started(c)
	}
	if i.floor.After(since) {
		since = i.floor
	}
	i.mu.Lock()
	defer i.mu.Unlock()
	if i.forget && i.attached() { // the end of what we ended
		i.deaths = nil
	}
	for _, x := range i.deaths {
		if x.at.Before(since) {
			continue
		}
		outOfMemory := i.oomAt.After(since) && x.at.Sub(i.oomAt) < oomToDeath
		x.oom = outOfMemory || c.State.OOMKilled && !c.State.Running || c.State.OOMKilled && c.State.Restarting
		fresh = append(fresh, x)
	}
	full = i.full
	i.deaths, i.full = nil, false
	return fresh, full
}

// missedDeaths are restarts by Docker that no event told of. After a start of Docker itself its count
// begins at zero, so that a restart of Docker is nobody's crash.
func (i *instance) missedDeaths(c container.InspectResponse) []death {
	if i.startedAt.IsZero() || started(c).Equal(i.startedAt) {
		return nil
	}
	var all []death
	for range c.RestartCount - i.restarts {
		all = append(all, death{at: time.Now(), status: c.State.ExitCode, oom: c.State.OOMKilled})
	}
	return all
}

// compare takes the step from what we thought to what is.
func (i *instance) compare(ctx context.Context, c container.InspectResponse, died bool) {
	i.restarts = c.RestartCount
	at := started(c)
	up := c.State.Running && !c.State.Restarting
	switch {
	case up && !i.startDue.IsZero() && i.held():
		i.hold(ctx) // Docker was quicker with its restart than we with holding it back
	case up && !at.Equal(i.startedAt):
		i.cameUp(c)
	case up:
	case i.w.Once && c.State.Status == container.StateExited:
		i.ended(c)
	case c.State.Restarting:
		if i.held() {
			i.hold(ctx)
		}
	default:
		i.down(c, died)
	}
}

func started(c container.InspectResponse) time.Time {
	t, err := time.Parse(time.RFC3339Nano, c.State.StartedAt)
	if err != nil || t.Year() < 2000 {
		return time.Time{}
	}
	return t
}

func finished(c container.InspectResponse) time.Time {
	t, err := time.Parse(time.RFC3339Nano, c.State.FinishedAt)
	if err != nil || t.Year() < 2000 {
		return time.Now()
	}
	return t
}

// cameUp begins a new run of the container.
func (i *instance) cameUp(c container.InspectResponse) {
	i.startedAt, i.pid, i.forget, i.startDue = started(c), c.State.Pid, false, time.Time{}
	address := i.d.placed(i.w, c)
	i.mu.Lock()
	i.statusPID, i.goneAt = i.pid, time.Time{}
	i.mu.Unlock()
	i.set(func(s *node.Status) {
		s.State, s.Ready, s.Address, s.StartedAt = node.Starting, false, address, i.startedAt
		s.Generation++
	})
	i.beginHealth()
}

// placed notes where a container is, which matters for those that another run of this process placed.
func (d *Docker) placed(w node.Workload, c container.InspectResponse) string {
	address := d.address(c)
	if !address.IsValid() {
		return ""
	}
	d.joined(w, address)
	return address.String()
}

// address is the container's, also while it does not run if it was given one; else invalid.
func (d *Docker) address(c container.InspectResponse) netip.Addr {
	if c.NetworkSettings == nil || c.NetworkSettings.Networks[d.nets.apps.name] == nil {
		return netip.Addr{}
	}
	e := c.NetworkSettings.Networks[d.nets.apps.name]
	text := e.IPAddress
	if text == "" && e.IPAMConfig != nil {
		text = e.IPAMConfig.IPv4Address
	}
	address, err := netip.ParseAddr(text)
	if err != nil {
		return netip.Addr{}
	}
	return address
}

// ended is the end of a task.
func (i *instance) ended(c container.InspectResponse) {
	i.startedAt = time.Time{}
	i.stopProbes()
	oom := c.State.OOMKilled
	i.set(func(s *node.Status) {
		s.State, s.Ready, s.ExitStatus, s.OOMKilled = node.Exited, false, c.State.ExitCode, oom
		s.StartedAt, s.Generation = started(c), max(s.Generation, 1)
		s.Details = i.explainEnd(death{status: c.State.ExitCode, oom: oom}, c.State.Error)
	})
}

// forget removes what is gone from memory.
func (d *Docker) forget(i *instance) {
	d.mu.Lock()
	if d.instances[i.id] == i {
		delete(d.instances, i.id)
	}
	d.mu.Unlock()
	i.mu.Lock()
	defer i.mu.Unlock()
	select {
	case <-i.done:
	default:
		close(i.done)
		d.unplace(i.id)
		d.Note(i.id)
	}
}
