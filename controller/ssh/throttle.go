package ssh

import (
	"net"
	"net/netip"
	"sync"
	"time"
)

// throttle counts connections and failures by address. Its memory is bounded by the connections that are open and
// by maxRemembered addresses that have failed.
type throttle struct {
	now func() time.Time

	mu         sync.Mutex
	all        int
	handshakes int
	opened     map[string]int
	failed     map[string]*failures
}

type failures struct {
	n     int
	since time.Time
}

// maxRemembered is how many addresses with failures are remembered; beyond it all are forgotten.
const maxRemembered = 10_000

func newThrottle(now func() time.Time) *throttle {
	return &throttle{now: now, opened: map[string]int{}, failed: map[string]*failures{}}
}

// open counts a connection in, or refuses it.
func (t *throttle) open(address string) bool {
	t.mu.Lock()
	defer t.mu.Unlock()
	if f := t.failed[address]; f != nil && f.n >= maxFailures && t.now().Sub(f.since) < failureWindow {
		return false
	}
	if t.all >= maxConnections || t.handshakes >= maxHandshakes || t.opened[address] >= maxPerAddress {
		return false
	}
	t.all++
	t.handshakes++
	t.opened[address]++
	return true
}

// greeted ends a handshake, well or not.
func (t *throttle) greeted() {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.handshakes--
}

func (t *throttle) closed(address string) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.all--
	if t.opened[address]--; t.opened[address] == 0 {
		delete(t.opened, address)
	}
}

// fail counts a try that was refused.
func (t *throttle) fail(address string) {
	t.mu.Lock()
	defer t.mu.Unlock()
	f := t.failed[address]
	if f == nil || t.now().Sub(f.since) >= failureWindow {
		if len(t.failed) >= maxRemembered {
			clear(t.failed)
		}
		f = &failures{since: t.now()}
		t.failed[address] = f
	}
	f.n++
}

// addressOf is the IP address, of IPv6 the network that one customer has.
func addressOf(a net.Addr) string {
	ap, err := netip.ParseAddrPort(a.String())
	if err != nil {
		return a.String()
	}
	ip := ap.Addr().Unmap().WithZone("")
	if ip.Is6() {
		if p, err := ip.Prefix(64); err == nil {
			return p.String()
		}
	}
	return ip.String()
}
