package router

import (
	"net/netip"
	"slices"
	"sync"
	"sync/atomic"
	"time"
)

// Outcome is how a call of an app ended, as the router saw it.
type Outcome int

// The outcomes. Of a TCP route there are Answered, a connection that an instance took, and Unanswered.
const (
	Answered   Outcome = iota // by the app, with a status below 400
	Refused                   // by the app, with 4xx
	Failed                    // by the app, with 5xx
	Unanswered                // by the router in place of the app: it was not reached, broke off or took too long
	Unserved                  // by the router: the route has no instance
	GaveUp                    // by nobody: the caller left after it had waited a second or more
	Left                      // by nobody: the caller left sooner
	outcomes
)

// patience is how long a caller waits at least of whom one says that it gave up, and did not just change its mind.
const patience = time.Second

// Outcomes counts calls by Outcome.
type Outcomes [outcomes]uint64

// Edge is what the router has counted of the calls of one caller at one app. Counts never go down; Since tells a new
// edge from an older one between the same two.
type Edge struct {
	Caller   string // GUID of an app; empty: whoever has no address of ours; OtherCallers: see there
	Callee   string // GUID of an app
	TCP      bool   // connections of TCP routes, else requests
	Since    time.Time
	Counts   Outcomes
	Latency  Latencies // of requests that were answered, or waited for as if they would be
	InFlight int
	Waiting  int       // of InFlight, those of which the app has not answered with so much as a header
	Heard    time.Time // when the app answered last, or the first of those that wait began to; zero: never
}

// OtherCallers stands for the apps that there was no room to count each of.
const OtherCallers = "others"

// edgesMost bounds the edges between apps. Callers are containers of this platform, and callees are in the table: no
// stranger adds to either.
const edgesMost = 20_000

// edge is counted into by many requests at once.
type edge struct {
	counts            [outcomes]atomic.Uint64
	latency           [len(Latencies{})]atomic.Uint32
	inFlight, waiting atomic.Int64
	heard             atomic.Int64 // Unix nanoseconds
	since             time.Time
}

// edgeKey is an edge of one app.
type edgeKey struct {
	caller string
	tcp    bool
}

// edges are those that lead to one app. Requests from outside, which are most, find theirs without a lock.
type edges struct {
	outside atomic.Pointer[edge]
	mu      sync.RWMutex
	by      map[edgeKey]*edge // all others; nil until there is one
	gone    bool              // no route names the app any more: what still ends there is counted for nobody
}

// callers says which app has which address.
type callers struct {
	known atomic.Pointer[map[netip.Addr]string]
	edges atomic.Int64 // that were made between apps and are still there
}

// SetCallers says which apps the addresses of containers belong to; what is at no address of these is outside. The
// map must not be changed afterwards.
func (rt *Router) SetCallers(apps map[netip.Addr]string) { rt.callers.known.Store(&apps) }

// of is the app at the other end of a connection, or empty.
func (c *callers) of(remote string) string {
	known := c.known.Load()
	if known == nil || len(*known) == 0 {
		return ""
	}
	a, err := netip.ParseAddrPort(remote)
	if err != nil {
		return ""
	}
	return (*known)[a.Addr().Unmap()]
}

// enter returns the edge with one call more in flight, which the caller takes back with leave.
func (c *callers) enter(app *appRecord, key edgeKey) *edge {
	if key == (edgeKey{}) {
		e := app.edges.outside.Load()
		if e == nil {
			app.edges.outside.CompareAndSwap(nil, &edge{since: time.Now()})
			e = app.edges.outside.Load()
		}
		e.inFlight.Add(1)
		return e
	}
	if e := app.edges.enter(key); e != nil {
		return e
	}
	return c.make(app, key)
}

// enter finds an edge that is there. While it holds the lock the edge cannot be dropped.
func (g *edges) enter(key edgeKey) *edge {
	g.mu.RLock()
	defer g.mu.RUnlock()
	e := g.by[key]
	if e != nil {
		e.inFlight.Add(1)
	}
	return e
}

func (c *callers) make(app *appRecord, key edgeKey) *edge {
	g := &app.edges
	g.mu.Lock()
	defer g.mu.Unlock()
	if g.gone {
		return &edge{}
	}
	if g.by == nil {
		g.by = map[edgeKey]*edge{}
	}
	if g.by[key] == nil && key.caller != "" && c.edges.Add(1) > edgesMost {
		c.edges.Add(-1)
		key.caller = OtherCallers
	}
	if g.by[key] == nil {
		g.by[key] = &edge{since: time.Now()}
	}
	g.by[key].inFlight.Add(1)
	return g.by[key]
}

// sent counts a request that now waits for the app's answer.
func (e *edge) sent(now time.Time) {
	if e.waiting.Add(1) == 1 {
		e.heard.Store(now.UnixNano())
	}
}

// received counts it as answered, well or not.
func (e *edge) received(now time.Time) {
	e.waiting.Add(-1)
	e.heard.Store(now.UnixNano())
}

// leave counts a call out, with how it ended.
func (e *edge) leave(o Outcome) {
	e.counts[o].Add(1)
	e.inFlight.Add(-1)
}

// took counts the time of a request.
func (e *edge) took(d time.Duration) {
	bucket, _ := slices.BinarySearch(appBounds[:], d)
	e.latency[bucket].Add(1)
}

// follow makes app the one whose call the exchange is.
func (x *exchange) follow(app *appRecord) {
	if x.edge != nil {
		x.edge.inFlight.Add(-1) // of an attempt before, maybe at another app
	}
	x.edge = x.rt.callers.enter(app, edgeKey{caller: x.caller})
}

// outcome is how the exchange ended.
func (x *exchange) outcome() Outcome {
	a := &x.access
	switch {
	case x.app == nil:
		return Unserved
	case a.Status == statusClientClosed && a.Duration >= patience:
		return GaveUp
	case a.Status == statusClientClosed:
		return Left
	case a.RouterError != "" && a.Status >= 500:
		return Unanswered
	case a.Status >= 500:
		return Failed
	case a.Status >= 400:
		return Refused
	}
	return Answered
}

// countEdge adds the exchange, which took that long, to what is known of its caller and its app. A request that was
// never meant for an instance, such as one that goes to a route service first, is no call.
func (x *exchange) countEdge(took time.Duration) {
	if x.edge == nil && x.unserved {
		x.follow(x.route.app)
	}
	if x.edge == nil {
		return
	}
	o := x.outcome()
	if o != Unserved && o != Left {
		x.edge.took(took)
	}
	x.edge.leave(o)
}

// Edges returns all edges as they are now, in no order. Its cost grows with the apps of the table and their edges.
func (rt *Router) Edges() []Edge {
	g := rt.registry
	g.mu.Lock()
	defer g.mu.Unlock()
	var all []Edge
	for guid, app := range g.apps {
		if guid == "" {
			continue // the platform's own
		}
		if e := app.edges.outside.Load(); e != nil {
			all = append(all, e.snapshot(edgeKey{}, guid))
		}
		app.edges.mu.RLock()
		for key, e := range app.edges.by {
			all = append(all, e.snapshot(key, guid))
		}
		app.edges.mu.RUnlock()
	}
	return all
}

func (e *edge) snapshot(key edgeKey, callee string) Edge {
	out := Edge{
		Caller: key.caller, TCP: key.tcp, Callee: callee, Since: e.since,
		InFlight: int(e.inFlight.Load()), Waiting: int(e.waiting.Load()),
	}
	if heard := e.heard.Load(); heard != 0 {
		out.Heard = time.Unix(0, heard)
	}
	for o := range e.counts {
		out.Counts[o] = e.counts[o].Load()
	}
	for b := range e.latency {
		out.Latency[b] = e.latency[b].Load()
	}
	return out
}

// DropEdge forgets an edge between apps, unless it has counted something since it was as e says. It reports whether there is
// no such edge any more.
func (rt *Router) DropEdge(e Edge) (gone bool) {
	g := rt.registry
	g.mu.Lock()
	defer g.mu.Unlock()
	app, key := g.apps[e.Callee], edgeKey{e.Caller, e.TCP}
	if app == nil {
		return true
	}
	app.edges.mu.Lock()
	defer app.edges.mu.Unlock()
	have := app.edges.by[key]
	if have == nil {
		return true
	}
	if have.inFlight.Load() != 0 || have.snapshot(key, e.Callee).Counts != e.Counts {
		return false
	}
	delete(app.edges.by, key)
	if key.caller != "" && key.caller != OtherCallers {
		rt.callers.edges.Add(-1)
	}
	return true
}

// dropAll gives back the room of an app's edges, once no route names it.
func (g *edges) dropAll(c *callers) {
	g.mu.Lock()
	defer g.mu.Unlock()
	for key := range g.by {
		if key.caller != "" && key.caller != OtherCallers {
			c.edges.Add(-1)
		}
	}
	g.by, g.gone = nil, true
}
