package servicemap

import (
	"cmp"
	"slices"
	"time"

	"github.com/cupola-paas/cupola/router"
)

// State says how an edge is now.
type State string

// The states, the worst last. A Quiet edge was used within the last hour, but not within the last minute; of an Active one
// it is known that connections are made, and not how they fare; of an OK one that none failed.
const (
	Quiet    State = "quiet"
	Active   State = "active"
	OK       State = "ok"
	Degraded State = "degraded" // less than one call in twenty fails
	Failing  State = "failing"  // one call in twenty or more fails, or nobody is answered
)

var badness = []State{Quiet, Active, OK, Degraded, Failing}

// worse reports whether s is worse than other.
func (s State) worse(other State) bool {
	return slices.Index(badness, s) > slices.Index(badness, other)
}

// failingShare is the part of the calls of the last minute, one in so many, from which on an edge is failing.
const failingShare = 20

// Edge is who calls whom. Counts are of the window that Edges tells, those of Recent of the last minute.
type Edge struct {
	From, To string
	Kind     Kind
	State    State
	Counts   router.Outcomes
	Recent   router.Outcomes
	Latency  router.Latencies
	InFlight int
	Waiting  int           // of InFlight: without any answer yet
	Stuck    time.Duration // how long they have been waiting while nobody was answered; zero: less than a minute
	Used     time.Time     // when it was last seen to be used, to the step
}

// Calls are all that were made, however they ended.
func Calls(o router.Outcomes) (n uint64) {
	for _, c := range o {
		n += c
	}
	return n
}

// Failures are the calls that were not served.
func Failures(o router.Outcomes) uint64 {
	return o[router.Failed] + o[router.Unanswered] + o[router.Unserved] + o[router.GaveUp]
}

// Edges returns the edges between the places that place gives to the GUIDs of apps and data services, and to what the
// router calls callers: the empty string for outside, router.OtherCallers. Edges between the same two places become one;
// of an edge one of whose ends is at no place, where place says false, nothing is said. They are sorted by their ends. The
// window that their counts cover is five minutes and up to ten seconds, less while the server is younger.
func (l *Loop) Edges(place func(guid string) (string, bool)) (all []Edge, window time.Duration) {
	now, edges := l.now(), l.Router.Edges()
	l.mu.Lock()
	defer l.mu.Unlock()
	m := merger{place: place, by: map[key]*Edge{}}
	window = now.Sub(l.began)
	if oldest := l.took[(l.at+1)%marks]; !oldest.IsZero() {
		window = now.Sub(oldest)
	}
	for _, e := range edges {
		k := keyOf(e)
		n := l.lines[k]
		if n != nil && !n.since.Equal(e.Since) {
			n = nil // another one, made after the newest mark
		}
		out := Edge{InFlight: e.InFlight, Waiting: e.Waiting, Used: used(n, e.Counts, now)}
		out.Counts, out.Recent, out.Latency = n.figures(l, e.Counts, e.Latency)
		if wait := now.Sub(e.Heard); e.Waiting > 0 && !e.Heard.IsZero() && wait >= Stuck {
			out.Stuck = wait
		}
		m.add(k, out)
	}
	for _, f := range l.flows {
		k, counts := key{f.From, f.To, Direct}, router.Outcomes{f.Connections}
		n := l.lines[k]
		out := Edge{Used: used(n, counts, now)}
		out.Counts, out.Recent, _ = n.figures(l, counts, router.Latencies{})
		m.add(k, out)
	}
	return m.all(), window
}

// used is when an edge was used last, zero if it never was.
func used(n *line, counts router.Outcomes, now time.Time) time.Time {
	switch {
	case counts == router.Outcomes{}:
		return time.Time{}
	case n == nil || n.last != counts:
		return now
	}
	return n.used
}

// state judges an edge by its last minute.
func (e *Edge) state(kind Kind) State {
	calls, bad := Calls(e.Recent)-e.Recent[router.Left], Failures(e.Recent)
	switch {
	case e.Stuck > 0, bad > 0 && bad*failingShare >= calls:
		return Failing
	case bad > 0:
		return Degraded
	case calls == 0:
		return Quiet
	case kind == Direct:
		return Active
	}
	return OK
}

// merger makes one edge of those between the same two places.
type merger struct {
	place func(string) (string, bool)
	by    map[key]*Edge
}

// add takes one edge over. Its state is its own: an edge that fails among a hundred that do not is not hidden by them.
func (m *merger) add(k key, e Edge) {
	from, okFrom := m.place(k.from)
	to, okTo := m.place(k.to)
	if !okFrom || !okTo {
		return
	}
	e.From, e.To, e.Kind, e.State = from, to, k.kind, e.state(k.kind)
	have := m.by[key{from, to, k.kind}]
	if have == nil {
		m.by[key{from, to, k.kind}] = &e
		return
	}
	if e.State.worse(have.State) {
		have.State = e.State
	}
	for o := range e.Counts {
		have.Counts[o] += e.Counts[o]
		have.Recent[o] += e.Recent[o]
	}
	have.Latency.Add(e.Latency)
	have.InFlight += e.InFlight
	have.Waiting += e.Waiting
	have.Stuck = max(have.Stuck, e.Stuck)
	if e.Used.After(have.Used) {
		have.Used = e.Used
	}
}

func (m *merger) all() []Edge {
	out := make([]Edge, 0, len(m.by))
	for _, e := range m.by {
		out = append(out, *e)
	}
	slices.SortFunc(out, func(a, b Edge) int {
		return cmp.Or(cmp.Compare(a.From, b.From), cmp.Compare(a.To, b.To), cmp.Compare(a.Kind, b.Kind))
	})
	return out
}
