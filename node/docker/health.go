package docker

import (
	"context"
	"fmt"
	"time"

	"github.com/cupola-paas/cupola/node"
)

const (
	defaultTimeout  = 60 * time.Second
	defaultInterval = 30 * time.Second
	defaultProbe    = time.Second
	strikes         = 3               // failures in a row that end a running instance
	readyStrikes    = 2               // failures in a row that take it out of routing
	unreadyInterval = 2 * time.Second // between readiness probes while they fail
)

// health is where the checks of one run stand. The zero value: nothing to do. Owned by instance.run.
type health struct {
	began      time.Time // by our clock
	deadline   time.Time // of the first success
	healthy    bool
	live       schedule
	ready      schedule
	settled    time.Time // when the crashes are forgotten
	hinted     time.Time // when Details last got a hint while starting
	cancelRun  context.CancelFunc
	runContext context.Context
}

// schedule is when one of the two checks is asked next.
type schedule struct {
	next   time.Time
	asking bool
	fails  int
	first  time.Time // when it began to wait for a success, for the growing pause
}

// verdict is the result of one probe.
type verdict struct {
	run   time.Time // startedAt of the run that was probed
	ready bool      // of the readiness check
	err   error
}

func (h *health) due() time.Time { return earliest(h.live.due(), h.ready.due(), h.settled) }

func (s *schedule) due() time.Time {
	if s.asking {
		return time.Time{}
	}
	return s.next
}

// startPause grows from 10 ms to a second: most apps are up soon, and a push waits for it. At first it is a tenth of the time
// that the start has taken, so that by so much at most it is seen late.
func startPause(elapsed time.Duration) time.Duration {
	switch {
	case elapsed < 10*time.Second:
		return min(max(elapsed/10, 10*time.Millisecond), 200*time.Millisecond)
	case elapsed < 30*time.Second:
		return 500 * time.Millisecond
	}
	return time.Second
}

func checked(c node.Check) bool { return c.Type == "port" || c.Type == "http" }

// beginHealth starts the checks of a new run.
func (i *instance) beginHealth() {
	i.stopProbes()
	now := time.Now()
	i.health = health{began: now, deadline: now.Add(cmpOr(i.w.Liveness.Timeout, defaultTimeout))}
	i.health.runContext, i.health.cancelRun = context.WithCancel(i.d.ctx)
	if checked(i.w.Liveness) {
		i.health.live = schedule{next: now, first: now}
		return
	}
	i.becomeHealthy()
}

// stopProbes cancels the probes under way and drops what they found.
func (i *instance) stopProbes() {
	if i.health.cancelRun != nil {
		i.health.cancelRun()
	}
	i.health = health{}
	i.mu.Lock()
	i.verdicts = nil
	i.mu.Unlock()
}

func (i *instance) becomeHealthy() {
	h, now := &i.health, time.Now()
	h.healthy = true
	h.settled = now.Add(i.d.o.HealthyAfter)
	ready := !checked(i.w.Readiness)
	if !ready {
		h.ready = schedule{next: now, first: now}
	}
	i.set(func(s *node.Status) { s.State, s.Ready, s.Details = node.Running, ready, "" })
}

// probeDue starts the probes that are due.
func (i *instance) probeDue(now time.Time) {
	h := &i.health
	if !h.settled.IsZero() && !now.Before(h.settled) {
		h.settled = time.Time{}
		i.set(func(s *node.Status) { s.Crashes = 0 })
	}
	i.ask(&h.live, i.w.Liveness, now, false)
	i.ask(&h.ready, i.w.Readiness, now, true)
}

// ask runs one probe beside the instance's goroutine; its verdict is for judge.
func (i *instance) ask(s *schedule, c node.Check, now time.Time, ready bool) {
	if due := s.due(); due.IsZero() || now.Before(due) {
		return
	}
	s.asking = true
	ctx, v := i.health.runContext, verdict{run: i.startedAt, ready: ready}
	address := i.snapshot().Address
	i.d.wg.Go(func() {
		select {
		case i.d.probes <- struct{}{}:
		case <-ctx.Done():
			return
		}
		v.err = probe(ctx, c, address, i.w.Ports)
		<-i.d.probes
		if ctx.Err() != nil {
			return
		}
		i.mu.Lock()
		i.verdicts = append(i.verdicts, v)
		i.mu.Unlock()
		select {
		case i.told <- struct{}{}:
		default:
		}
	})
}

// judge deals with the verdicts that have come in.
func (i *instance) judge(ctx context.Context) {
	i.mu.Lock()
	all := i.verdicts
	i.verdicts = nil
	i.mu.Unlock()
	for _, v := range all {
		switch {
		case !v.run.Equal(i.startedAt) || i.health.runContext == nil:
		case v.ready:
			i.judgeReady(v.err)
		default:
			i.judgeLive(ctx, v.err)
		}
	}
}

func (i *instance) judgeLive(ctx context.Context, err error) {
	h, now := &i.health, time.Now()
	h.live.asking = false
	interval := cmpOr(i.w.Liveness.Interval, defaultInterval)
	switch {
	case err == nil && !h.healthy:
		h.live = schedule{next: now.Add(interval)}
		i.becomeHealthy()
	case err == nil:
		h.live = schedule{next: now.Add(interval)}
		if !checked(i.w.Readiness) {
			i.set(func(s *node.Status) { s.Ready = true })
		}
	case i.d.isDown(): // without Docker nothing can be ended, and much may fail
		h.live.next = now.Add(interval)
	case h.healthy:
		h.live.fails++
		h.live.next = now.Add(interval)
		if h.live.fails >= strikes {
			i.unhealthy(ctx, fmt.Sprintf("health check failed %d times: %s", strikes, i.explainProbe(err)))
		}
	case now.After(h.deadline):
		timeout := cmpOr(i.w.Liveness.Timeout, defaultTimeout)
		i.unhealthy(ctx, fmt.Sprintf("not healthy within %s: %s", timeout, i.explainProbe(err)))
	default:
		h.live.next = earliest(now.Add(startPause(now.Sub(h.began))), h.deadline.Add(time.Millisecond))
		i.hint(err, now)
	}
}

// hint says early what a start is waiting for; who looks need not wait for the timeout.
func (i *instance) hint(err error, now time.Time) {
	h := &i.health
	if now.Sub(h.began) < 3*time.Second || now.Sub(h.hinted) < 5*time.Second {
		return
	}
	h.hinted = now
	details := i.explainProbe(err)
	i.set(func(s *node.Status) { s.Details = details })
}

func (i *instance) judgeReady(err error) {
	h, now := &i.health, time.Now()
	s := &h.ready
	s.asking = false
	interval := cmpOr(i.w.Readiness.Interval, defaultInterval)
	if err == nil {
		*s = schedule{next: now.Add(interval)}
		i.set(func(s *node.Status) { s.Ready, s.Details = true, "" })
		return
	}
	s.fails++
	switch {
	case !s.first.IsZero(): // never ready yet
		s.next = now.Add(startPause(now.Sub(s.first)))
	default:
		s.next = now.Add(min(interval, unreadyInterval))
	}
	if s.fails >= readyStrikes {
		details := "not ready: " + i.explainProbe(err)
		i.set(func(s *node.Status) { s.Ready, s.Details = false, details })
	}
}
