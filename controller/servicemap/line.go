package servicemap

import (
	"time"

	"github.com/cupola-paas/cupola/router"
)

// Kind is how one calls another.
type Kind string

// The kinds.
const (
	HTTP   Kind = "http"   // requests through the router
	TCP    Kind = "tcp"    // connections through the router
	Direct Kind = "direct" // connections from container to container
)

// key is an edge. An empty from is outside.
type key struct {
	from, to string
	kind     Kind
}

func keyOf(e router.Edge) key {
	if e.TCP {
		return key{e.Caller, e.Callee, TCP}
	}
	return key{e.Caller, e.Callee, HTTP}
}

// line is where the counts of one edge stood. A mark holds the counts' low halves: differences of five minutes fit.
type line struct {
	since   time.Time // the router's edge is this one, and not another before it
	used    time.Time // when the counts changed last
	last    router.Outcomes
	latency router.Latencies
	past    *past // nil: nothing changed within the window, all marks are as last and latency say
}

// past is rings of marks, at the loop's positions. Those of a time before there was a mark are of where the edge began.
type past struct {
	counts  [marks]tally
	latency [slowMarks]router.Latencies
}

type tally [len(router.Outcomes{})]uint32

func low(o router.Outcomes) (t tally) {
	for i, n := range o {
		t[i] = uint32(n) // #nosec G115 -- wraps, as it should
	}
	return t
}

// since is what was counted after older.
func (t tally) since(older tally) (o router.Outcomes) {
	for i, n := range t {
		o[i] = uint64(n - older[i])
	}
	return o
}

// mark takes a mark and reports whether the edge was not used for so long that it may be forgotten.
func (n *line) mark(l *Loop, now time.Time, counts router.Outcomes, latency router.Latencies) (stale bool) {
	if counts != n.last {
		n.used = now
		if n.past == nil {
			n.past = newPast(n.last, n.latency)
		}
	}
	n.last, n.latency = counts, latency
	switch {
	case n.past == nil:
		return now.Sub(n.used) > kept
	case now.Sub(n.used) > Window+2*step:
		n.past = nil
	default:
		n.past.counts[l.at] = low(counts)
		n.past.latency[l.slowAt] = latency // as long as it is the newest, it moves on
	}
	return false
}

// newPast is that of an edge that stood there until now.
func newPast(counts router.Outcomes, latency router.Latencies) *past {
	p := &past{}
	for i := range p.counts {
		p.counts[i] = low(counts)
	}
	for i := range p.latency {
		p.latency[i] = latency
	}
	return p
}

// figures are what is known of an edge now, where the counts stand as given. Nil is an edge of which no mark was taken.
func (n *line) figures(l *Loop, counts router.Outcomes, latency router.Latencies) (window, recent router.Outcomes, took router.Latencies) {
	if n == nil {
		return counts, counts, latency
	}
	if n.past == nil {
		d := low(counts).since(low(n.last))
		return d, d, latency.Since(n.latency)
	}
	now := low(counts)
	window = now.since(n.past.counts[(l.at+1)%marks])
	recent = now.since(n.past.counts[(l.at+marks-recentMarks)%marks])
	return window, recent, latency.Since(n.past.latency[(l.slowAt+1)%slowMarks])
}
