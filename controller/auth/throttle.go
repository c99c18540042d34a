package auth

import (
	"context"
	"net"
	"net/http"
	"net/netip"
	"strings"
	"sync"
	"time"
)

// How many wrong passwords are taken within lockWindow. A user from one address has few tries; the others are
// high, so that a stranger's guesses don't lock a user out who is elsewhere.
const (
	lockWindow      = 5 * time.Minute
	triesPair       = 5
	triesAddress    = 50
	triesUser       = 200
	throttleEntries = 20_000 // at most
)

// throttle counts wrong passwords. What is being checked counts as if it were wrong, so that many at once gain
// nothing: beyond the limit they wait for those before them, and are not refused for being many.
type throttle struct {
	now func() time.Time

	mu sync.Mutex // guards what follows
	// Two generations of counts: when young is full it becomes old and what was old is forgotten, so that a
	// flood of names costs bounded memory and no searching.
	young, old map[string]*tally
	ended      chan struct{} // closed, and made anew, when an attempt ends
}

type tally struct {
	wrong, running int
	since          time.Time
}

func newThrottle(now func() time.Time) *throttle {
	return &throttle{now: now, young: map[string]*tally{}, ended: make(chan struct{})}
}

type limit struct {
	key string
	max int
}

// userLimits count the tries of one user, first those from one address; clientLimits those of a client.
func userLimits(user, addr string) []limit {
	user = strings.ToLower(user)
	return []limit{{"p\x00" + user + "\x00" + addr, triesPair}, {"a\x00" + addr, triesAddress}, {"u\x00" + user, triesUser}}
}

func clientLimits(id, addr string) []limit { return userLimits("client\x00"+id, addr) }

// passcodeLimits count wrong passcodes, which belong to no user.
func passcodeLimits(addr string) []limit {
	return []limit{{"s\x00" + addr, triesPair}, {"a\x00" + addr, triesAddress}}
}

// attempt is one password, or the like, that is being checked. It must be ended.
type attempt struct {
	t      *throttle
	limits []limit
}

// begin waits until an attempt may be made, or refuses it and says how long to wait.
func (t *throttle) begin(ctx context.Context, limits []limit) (*attempt, error) {
	for {
		wait, err := t.tryBegin(limits)
		if err != nil {
			return nil, err
		}
		if wait == nil {
			return &attempt{t, limits}, nil
		}
		select {
		case <-wait:
		case <-ctx.Done():
			return nil, ctx.Err()
		}
	}
}

func (t *throttle) tryBegin(limits []limit) (wait <-chan struct{}, err error) {
	t.mu.Lock()
	defer t.mu.Unlock()
	for _, l := range limits {
		e := t.countLocked(l.key)
		if e.wrong >= l.max {
			return nil, &oauthError{http.StatusUnauthorized, "unauthorized", lockedOut, e.since.Add(lockWindow).Sub(t.now())}
		}
		if e.wrong+e.running >= l.max {
			wait = t.ended
		}
	}
	if wait == nil {
		for _, l := range limits {
			t.countLocked(l.key).running++
		}
	}
	return wait, nil
}

// right ends an attempt that succeeded: what was wrong before under its first limit is forgotten.
func (a *attempt) right() {
	a.end(func(i int, e *tally) {
		if i == 0 {
			e.wrong = 0
		}
	})
}

// wrong ends an attempt that failed.
func (a *attempt) wrong() { a.end(func(_ int, e *tally) { e.wrong++ }) }

// void ends an attempt that was neither, such as one whose client hung up.
func (a *attempt) void() { a.end(func(int, *tally) {}) }

func (a *attempt) end(count func(i int, e *tally)) {
	a.t.mu.Lock()
	defer a.t.mu.Unlock()
	for i, l := range a.limits {
		e := a.t.countLocked(l.key)
		e.running = max(e.running-1, 0) // the count may have been forgotten meanwhile
		count(i, e)
	}
	close(a.t.ended)
	a.t.ended = make(chan struct{})
}

// forget takes all that is counted against a user away, from whatever address.
func (t *throttle) forget(user string) {
	t.mu.Lock()
	defer t.mu.Unlock()
	user = strings.ToLower(user)
	for _, m := range []map[string]*tally{t.young, t.old} {
		for key := range m {
			if key == "u\x00"+user || strings.HasPrefix(key, "p\x00"+user+"\x00") {
				delete(m, key)
			}
		}
	}
}

// countLocked is the count of a key in the window that runs.
func (t *throttle) countLocked(key string) *tally {
	e := t.young[key]
	if e == nil {
		if e = t.old[key]; e == nil {
			e = &tally{since: t.now()}
		}
		if len(t.young) >= throttleEntries/2 {
			t.old, t.young = t.young, map[string]*tally{}
		}
		t.young[key] = e
	}
	if t.now().Sub(e.since) >= lockWindow {
		*e = tally{since: t.now(), running: e.running}
	}
	return e
}

// forwardedAddr believes X-Forwarded-For only from loopback, where our own router is.
func forwardedAddr(r *http.Request) string {
	host, _, err := net.SplitHostPort(r.RemoteAddr)
	if err != nil {
		host = r.RemoteAddr
	}
	peer, err := netip.ParseAddr(host)
	if err != nil || !peer.IsLoopback() {
		return host
	}
	hops := strings.Split(strings.Join(r.Header.Values("X-Forwarded-For"), ","), ",")
	if last := strings.TrimSpace(hops[len(hops)-1]); last != "" {
		return last
	}
	return host
}
