package docker

import (
	"context"
	"errors"
	"fmt"
	"strconv"
	"time"

	"github.com/docker/docker/api/types/container"
	"github.com/docker/docker/api/types/events"
	"github.com/docker/docker/api/types/filters"
	"golang.org/x/sync/errgroup"

	"github.com/cupola-paas/cupola/node"
)

// stream is one subscription to Docker's events.
type stream struct {
	events <-chan events.Message
	errs   <-chan error
	cancel context.CancelFunc
}

func (d *Docker) subscribe(ctx context.Context) stream {
	ctx, cancel := context.WithCancel(ctx)
	f := d.filter()
	f.Add("type", string(events.ContainerEventType))
	if d.o.Attach {
		f = filters.NewArgs(filters.Arg("type", string(events.ContainerEventType)), filters.Arg("type", string(events.NetworkEventType)),
			filters.Arg("event", string(events.ActionConnect)))
	} else {
		f.Add("label", labelWorkload)
	}
	for _, action := range []events.Action{events.ActionStart, events.ActionDie, events.ActionOOM, events.ActionDestroy} {
		f.Add("event", string(action))
	}
	messages, errs := d.api.Events(ctx, events.ListOptions{Filters: f})
	return stream{messages, errs, cancel}
}

// follow hands events to instances until the engine closes, and compares everything after each
// interruption.
func (d *Docker) follow(s stream) {
	for {
		select {
		case <-d.ctx.Done():
			s.cancel()
			return
		case m := <-s.events:
			d.dispatchEvent(m)
		case err := <-s.errs:
			s.cancel()
			if d.ctx.Err() != nil {
				return
			}
			d.setDown(err)
			if s = d.reconnect(); d.ctx.Err() != nil {
				s.cancel()
				return
			}
		}
	}
}

// rounds compares everything, slowly, all the time.
func (d *Docker) rounds() {
	tick := time.NewTicker(d.o.Resync)
	defer tick.Stop()
	for {
		select {
		case <-d.ctx.Done():
			return
		case <-tick.C:
			d.resync()
		}
	}
}

// dispatchEvent hands one event to whom it is about.
func (d *Docker) dispatchEvent(m events.Message) {
	if !d.o.Attach {
		d.dispatch(m)
		return
	}
	if m.Type == events.NetworkEventType || m.Actor.Attributes[LabelInstallation] == d.o.Installation && m.Actor.Attributes[labelWorkload] != "" {
		d.dispatchAttached(m)
	}
}

func (d *Docker) dispatch(m events.Message) {
	i := d.find(m.Actor.Attributes[labelID])
	if i == nil {
		return
	}
	at := time.Unix(0, m.TimeNano)
	i.mu.Lock()
	if i.container != m.Actor.ID {
		i.mu.Unlock()
		return
	}
	switch m.Action {
	case events.ActionDie:
		status, _ := strconv.Atoi(m.Actor.Attributes["exitCode"]) // absent when it never started
		i.deaths = append(i.deaths, death{at: at, status: status})
	case events.ActionOOM:
		i.oomAt = at
	}
	i.mu.Unlock()
	i.poke()
}

// reconnect waits for Docker to be back and looks at everything again.
func (d *Docker) reconnect() stream {
	pause := 100 * time.Millisecond
	for {
		select {
		case <-d.ctx.Done():
			return stream{cancel: func() {}}
		case <-time.After(pause):
		}
		pause = min(pause*2, 5*time.Second)
		if d.Ping(d.ctx) != nil {
			continue
		}
		s := d.subscribe(d.ctx)
		if err := d.takeBack(d.ctx, false); err != nil {
			d.setDown(err)
			s.cancel()
			continue
		}
		d.setDown(nil)
		d.applyRules()
		return s
	}
}

func (d *Docker) setDown(err error) {
	d.mu.Lock()
	was := d.down
	d.down = err
	d.mu.Unlock()
	switch {
	case err != nil && was == nil:
		d.log.Warn("Docker cannot be reached; what runs is left alone until it is back", "error", err)
		d.Note()
	case err == nil && was != nil:
		d.log.Info("Docker is back")
		d.Note()
	}
}

func (d *Docker) isDown() bool {
	d.mu.RLock()
	defer d.mu.RUnlock()
	return d.down != nil
}

// resync is the slow round: anything an event did not tell, rules that somebody else removed, disk use.
func (d *Docker) resync() {
	if err := d.takeBack(d.ctx, false); err != nil {
		return // the event stream says so too
	}
	d.applyRules()
	d.watchDisk()
}

// takeBack compares Docker's list of containers with what is in memory. At opening, probe asks those that
// run, once and side by side, before it returns.
func (d *Docker) takeBack(ctx context.Context, opening bool) error {
	d.taking.Lock()
	defer d.taking.Unlock()
	f := d.filter()
	f.Add("label", labelWorkload)
	list, err := d.api.ContainerList(ctx, container.ListOptions{All: true, Filters: f})
	if err != nil {
		return failed("list containers", err)
	}
	if d.o.Attach {
		list = d.takeBackAttached(list)
	}
	seen := map[string]bool{}
	var work errgroup.Group
	work.SetLimit(cap(d.probes))
	for _, c := range list {
		id := c.Labels[labelID]
		seen[id] = true
		starting := d.isPending(id) // asked first: Start adds the instance before it is pending no more
		if i := d.find(id); i != nil {
			i.lookAgain(c, !opening)
		} else if !starting {
			work.Go(func() error { return d.adopt(ctx, c) })
		}
	}
	err = work.Wait()
	d.dropUnseen(seen)
	return err
}

// lookAgain wakes an instance whose container is not as it was last seen.
func (i *instance) lookAgain(c container.Summary, full bool) {
	s := i.snapshot()
	up := s.State == node.Running || s.State == node.Starting
	if c.State == container.StateRunning && up && !i.d.isDown() {
		return
	}
	i.mu.Lock()
	i.full = full
	i.mu.Unlock()
	i.poke()
}

// dropUnseen wakes what Docker no longer lists, so that it is found gone.
func (d *Docker) dropUnseen(seen map[string]bool) {
	d.mu.RLock()
	defer d.mu.RUnlock()
	for id, i := range d.instances {
		if !seen[id] {
			i.poke()
		}
	}
}

func (d *Docker) isPending(id string) bool {
	d.mu.RLock()
	defer d.mu.RUnlock()
	_, ok := d.pending[id]
	return ok
}

// adopt makes an instance of a container that another run of this process made.
func (d *Docker) adopt(ctx context.Context, s container.Summary) error {
	w, err := workloadOf(s.Labels)
	if err != nil { // of another version: it can be listed and stopped
		d.log.Warn("container with an unreadable workload", "container", s.ID, "error", err)
		w = node.Workload{ID: s.Labels[labelID]}
	}
	c, err := d.api.ContainerInspect(ctx, s.ID)
	if notFound(err) {
		return nil
	}
	if err != nil {
		return failed("inspect container "+s.ID, err)
	}
	d.placed(w, c)
	i := d.newInstance(w, s.ID)
	if d.o.Attach && s.Labels[labelAttached] != "" {
		i = d.newAttached(w, s.ID)
	}
	i.adopted(ctx, c)
	d.add(i)
	i.readAttached(s.ID)
	return nil
}

// adopted sets the state of an instance that existed before us. It runs before the instance's goroutine.
func (i *instance) adopted(ctx context.Context, c container.InspectResponse) {
	i.restarts = c.RestartCount
	switch {
	case i.w.Once && c.State.Status == container.StateExited:
		i.ended(c)
	case i.attached() && !c.State.Running: // the scheduler deals with it
	case c.State.Running && !c.State.Restarting:
		i.adoptedUp(ctx, c)
	case c.State.Status == container.StateExited && !i.w.Once:
		// Held back when the last engine ended without a word: how often it had crashed is not known.
		i.status.Crashes = ImmediateRestarts + 1
		i.startDue = finished(c).Add(i.d.o.Backoff)
		i.status.State, i.status.ExitStatus, i.status.OOMKilled = node.Crashed, c.State.ExitCode, c.State.OOMKilled
		i.status.Details = i.explainEnd(death{status: c.State.ExitCode, oom: c.State.OOMKilled}, c.State.Error)
	}
}

func (i *instance) adoptedUp(ctx context.Context, c container.InspectResponse) {
	i.cameUp(c)
	up := time.Since(i.startedAt)
	if up < i.d.o.HealthyAfter {
		i.status.Crashes = c.RestartCount
	}
	i.status.Generation = max(c.RestartCount+1, i.status.Generation)
	if !checked(i.w.Liveness) {
		i.adoptedReady(ctx)
		return
	}
	err := probe(ctx, i.w.Liveness, i.status.Address, i.w.Ports)
	switch {
	case err == nil:
		i.judgeLive(ctx, nil)
		i.adoptedReady(ctx)
	case up > cmpOr(i.w.Liveness.Timeout, defaultTimeout):
		// It was healthy once, or it would not be here: a first strike, and no requests for now.
		i.becomeHealthy()
		i.health.ready = schedule{}
		i.health.live = schedule{next: time.Now().Add(unreadyInterval), fails: 1}
		i.status.Ready = false
	}
}

func (i *instance) adoptedReady(ctx context.Context) {
	if checked(i.w.Readiness) {
		i.judgeReady(probe(ctx, i.w.Readiness, i.status.Address, i.w.Ports))
	}
}

// unavailable returns ErrUnavailable while Docker is known to be away.
func (d *Docker) unavailable() error {
	d.mu.RLock()
	defer d.mu.RUnlock()
	if d.down == nil || errors.Is(d.down, context.Canceled) {
		return nil
	}
	return fmt.Errorf("%w: Docker does not answer at %s", node.ErrUnavailable, d.api.DaemonHost())
}
