package router

import (
	"slices"
	"sync"
	"sync/atomic"
	"time"
)

// appCounters is what the router counts for one app: all requests, and those of the last minute by latency.
type appCounters struct {
	counters
	connections atomic.Uint64 // of TCP routes
	inFlight    atomic.Int64
	recent      window
}

func (c *appCounters) observe(status int, d time.Duration) {
	c.count(status)
	c.recent.observe(time.Now(), status, d)
}

const (
	windowSlots = 6
	slotTime    = 10 * time.Second
)

// appBounds are the upper bounds of the latencies of one app's requests, each about a third above the one before.
var appBounds = [...]time.Duration{
	500 * time.Microsecond, time.Millisecond, 1500 * time.Microsecond, 2 * time.Millisecond, 3 * time.Millisecond, 4 * time.Millisecond,
	6 * time.Millisecond, 8 * time.Millisecond, 10 * time.Millisecond, 15 * time.Millisecond, 20 * time.Millisecond, 30 * time.Millisecond,
	40 * time.Millisecond, 60 * time.Millisecond, 80 * time.Millisecond, 100 * time.Millisecond, 150 * time.Millisecond, 200 * time.Millisecond,
	300 * time.Millisecond, 400 * time.Millisecond, 600 * time.Millisecond, 800 * time.Millisecond, time.Second, 1500 * time.Millisecond,
	2 * time.Second, 3 * time.Second, 4 * time.Second, 6 * time.Second, 10 * time.Second, 30 * time.Second, 60 * time.Second,
}

// Latencies counts requests by how long they took: up to bounds of which each is about a third above the one before, the
// first half a millisecond, the last a minute, and beyond. Counts wrap around.
type Latencies [len(appBounds) + 1]uint32

// window counts the requests of the last minute in slots of ten seconds. Requests of one app take turns at its lock,
// which they hold for some nanoseconds.
type window struct {
	mu    sync.Mutex
	slots *[windowSlots]slot // nil until the first request: most apps of a large platform are idle
}

type slot struct {
	turn    int64 // the slot's time since 1970 in slotTime
	byClass [6]uint32
	latency Latencies
	sum     time.Duration
}

func (w *window) observe(now time.Time, status int, d time.Duration) {
	turn := now.UnixNano() / int64(slotTime)
	bucket, _ := slices.BinarySearch(appBounds[:], d)
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.slots == nil {
		w.slots = new([windowSlots]slot)
	}
	s := &w.slots[turn%windowSlots]
	if s.turn != turn {
		*s = slot{turn: turn}
	}
	s.byClass[statusClass(status)]++
	s.latency[bucket]++
	s.sum += d
}

// snapshot sums the slots that are not older than a minute, and tells how long they have been counting.
func (w *window) snapshot(now time.Time) (sum slot, span time.Duration) {
	turn := now.UnixNano() / int64(slotTime)
	span = time.Duration(now.UnixNano() - (turn-windowSlots+1)*int64(slotTime))
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.slots == nil {
		return sum, span
	}
	for i := range w.slots {
		s := &w.slots[i]
		if s.turn <= turn-windowSlots || s.turn > turn {
			continue
		}
		for c, n := range s.byClass {
			sum.byClass[c] += n
		}
		sum.latency.Add(s.latency)
		sum.sum += s.sum
	}
	return sum, span
}

// Quantile is the latency that the share q of the requests did not exceed, as far as the bounds tell: it is
// interpolated between two of them. Beyond the last bound it is that bound; of no requests it is zero.
func (l *Latencies) Quantile(q float64) time.Duration {
	var total uint32
	for _, n := range l {
		total += n
	}
	rank := q * float64(total)
	var below float64
	for b, n := range l {
		if n == 0 || below+float64(n) < rank {
			below += float64(n)
			continue
		}
		if b == len(appBounds) {
			break
		}
		low := time.Duration(0)
		if b > 0 {
			low = appBounds[b-1]
		}
		return low + time.Duration(float64(appBounds[b]-low)*(rank-below)/float64(n))
	}
	if total == 0 {
		return 0
	}
	return appBounds[len(appBounds)-1]
}

// Add counts other's requests too.
func (l *Latencies) Add(other Latencies) {
	for b, n := range other {
		l[b] += n
	}
}

// Since is what was counted after older, which the same counters were before.
func (l Latencies) Since(older Latencies) Latencies {
	for b, n := range older {
		l[b] -= n
	}
	return l
}
