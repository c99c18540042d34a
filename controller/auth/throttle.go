package auth

import (
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

// throttle counts tries to log in. A try counts from its beginning, so that many at once gain nothing.
type throttle struct {
	now func() time.Time

	mu sync.Mutex // guards what follows
	// Two generations of counts: when young is full it becomes old and what was old is forgotten, so that a
	// flood of names costs bounded memory and no searching.
	young, old map[string]*tally
}

type tally struct {
	n     int
	since time.Time
}

func newThrottle(now func() time.Time) *throttle {
	return &throttle{now: now, young: map[string]*tally{}}
}

type limit struct {
	key string
	max int
}

func limits(user, addr string) [3]limit {
	user = strings.ToLower(user)
	return [3]limit{{"p\x00" + user + "\x00" + addr, triesPair}, {"a\x00" + addr, triesAddress}, {"u\x00" + user, triesUser}}
}

// begin counts a try, or refuses it.
func (t *throttle) begin(user, addr string) bool {
	t.mu.Lock()
	defer t.mu.Unlock()
	all := limits(user, addr)
	for _, l := range all {
		if t.countLocked(l.key).n >= l.max {
			return false
		}
	}
	for _, l := range all {
		t.countLocked(l.key).n++
	}
	return true
}

// succeeded forgets the tries of a user from an address and takes back the one that was right.
func (t *throttle) succeeded(user, addr string) {
	t.mu.Lock()
	defer t.mu.Unlock()
	all := limits(user, addr)
	t.countLocked(all[0].key).n = 0
	for _, l := range all[1:] {
		if e := t.countLocked(l.key); e.n > 0 {
			e.n--
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
		*e = tally{since: t.now()}
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
