package agent

import (
	"crypto/tls"
	"errors"
	"net"
	"sync"
	"time"

	"github.com/cupola-paas/cupola/node"
)

// enoughSkew is the difference between two clocks from which on times are put right. What is less is taken for the time that answers
// take, so that times stay as they are where clocks are right.
const enoughSkew = time.Second

// clock puts times of a machine whose clock is off into ours: who reads the output of an app reads one order, whatever machine its
// instances are on. Its methods may be called at the same time.
type clock struct {
	mu     sync.Mutex
	ahead  time.Duration // of the machine's clock; zero while it is right
	stamps map[string]stamps
}

// stamps are the times of a workload's status, as they were and as they were put right when they were seen first: they stay the same
// when the clock is mended.
type stamps struct{ started, startedOurs, since, sinceOurs time.Time }

// learn takes a measurement.
func (c *clock) learn(skew time.Duration) {
	c.mu.Lock()
	defer c.mu.Unlock()
	switch {
	case skew.Abs() < enoughSkew:
		c.ahead = 0
	case (skew - c.ahead).Abs() >= enoughSkew:
		c.ahead = skew
	}
}

// ours is a time of the machine's by our clock, which is never later than now while its clock is off.
func (c *clock) ours(t time.Time) time.Time {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.oursLocked(t)
}

func (c *clock) oursLocked(t time.Time) time.Time {
	if t.IsZero() {
		return t
	}
	t = t.Add(-c.ahead)
	if now := time.Now(); t.After(now.Add(enoughSkew)) {
		return now
	}
	return t
}

// theirs is a time of ours by the machine's clock.
func (c *clock) theirs(t time.Time) time.Time {
	if t.IsZero() {
		return t
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	return t.Add(c.ahead)
}

// settle puts the times of what the machine runs right.
func (c *clock) settle(all []node.Status) {
	c.mu.Lock()
	defer c.mu.Unlock()
	before := c.stamps
	c.stamps = make(map[string]stamps, len(all))
	for n := range all {
		s := &all[n]
		now, known := before[s.ID]
		if !known || !now.started.Equal(s.StartedAt) {
			now.started, now.startedOurs = s.StartedAt, c.oursLocked(s.StartedAt)
		}
		if !known || !now.since.Equal(s.Since) {
			now.since, now.sinceOurs = s.Since, c.oursLocked(s.Since)
		}
		c.stamps[s.ID] = now
		s.StartedAt, s.Since = now.startedOurs, now.sinceOurs
	}
}

// certificateExpired is what TLS lets one say who holds the other's certificate for one that has ended or begins later (RFC 8446 6.2).
const certificateExpired = tls.AlertError(45)

// clockOff reports whether the other side refused our certificate for its time. We replace it long before it ends, so the other side's
// clock is wrong.
func clockOff(err error) bool {
	var op *net.OpError
	return errors.As(err, &op) && op.Op == "remote error" && op.Err.Error() == certificateExpired.Error()
}
