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
	throttleEntries = 20_000 // at most; the oldest make room
)

// throttle counts tries to log in. A try counts from its beginning, so that many at once gain nothing.
type throttle struct {
	now func() time.Time

	mu    sync.Mutex // guards tries
	tries map[string]*tally
}

type tally struct {
	n     int
	since time.Time
}

func newThrottle(now func() time.Time) *throttle {
	return &throttle{now: now, tries: map[string]*tally{}}
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
	now := t.now()
	for _, l := range limits(user, addr) {
		if e := t.tries[l.key]; e != nil && now.Sub(e.since) < lockWindow && e.n >= l.max {
			return false
		}
	}
	for _, l := range limits(user, addr) {
		e := t.tries[l.key]
		if e == nil || now.Sub(e.since) >= lockWindow {
			t.makeRoomLocked(now)
			e = &tally{since: now}
			t.tries[l.key] = e
		}
		e.n++
	}
	return true
}

// succeeded forgets the tries of a user from an address and takes back the one that was right.
func (t *throttle) succeeded(user, addr string) {
	t.mu.Lock()
	defer t.mu.Unlock()
	all := limits(user, addr)
	delete(t.tries, all[0].key)
	for _, l := range all[1:] {
		if e := t.tries[l.key]; e != nil && e.n > 0 {
			e.n--
		}
	}
}

func (t *throttle) makeRoomLocked(now time.Time) {
	if len(t.tries) < throttleEntries {
		return
	}
	oldest, at := "", now
	for key, e := range t.tries {
		if now.Sub(e.since) >= lockWindow {
			delete(t.tries, key)
		} else if e.since.Before(at) || oldest == "" {
			oldest, at = key, e.since
		}
	}
	if len(t.tries) >= throttleEntries {
		delete(t.tries, oldest)
	}
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
