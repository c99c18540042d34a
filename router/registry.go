package router

import (
	"context"
	"strconv"
	"sync"
)

// registry owns the endpoints: those that the table names, and those that have left it with requests in
// flight.
type registry struct {
	dial *dialing

	mu       sync.Mutex
	live     map[Endpoint]*endpoint
	byID     map[string][]*endpoint // live ones, by instance id
	draining map[string][]*endpoint // by instance id; each has left and had requests in flight
	apps     map[string]*counters   // by app GUID, for as long as the table names the app
	changed  chan struct{}          // closed, and replaced, when any of the above changes
}

func newRegistry(d *dialing) *registry {
	return &registry{dial: d, changed: make(chan struct{}), draining: map[string][]*endpoint{}}
}

// generation collects the endpoints of one table while it is compiled. Nothing is seen of it before commit.
type generation struct {
	old  *registry
	live map[Endpoint]*endpoint
	byID map[string][]*endpoint
	apps map[string]*counters
}

// beginLocked starts a generation.
func (g *registry) beginLocked() *generation {
	return &generation{
		old:  g,
		live: make(map[Endpoint]*endpoint, len(g.live)),
		byID: make(map[string][]*endpoint, len(g.byID)),
		apps: make(map[string]*counters, len(g.apps)),
	}
}

// endpoint returns the shared endpoint for e, from the table before if it was there.
func (n *generation) endpoint(e Endpoint) *endpoint {
	e.Weight = 0
	if ep := n.live[e]; ep != nil {
		return ep
	}
	ep := n.old.live[e]
	if ep == nil {
		ep = &endpoint{Endpoint: e, hash: hashString(e.InstanceID), index: strconv.Itoa(e.Index), dial: n.old.dial}
	}
	if c := n.app(e.AppGUID); ep.app == nil {
		ep.app = c
	}
	n.live[e] = ep
	n.byID[e.InstanceID] = append(n.byID[e.InstanceID], ep)
	return ep
}

func (n *generation) app(guid string) *counters {
	c := n.apps[guid]
	if c == nil {
		if c = n.old.apps[guid]; c == nil {
			c = &counters{}
		}
		n.apps[guid] = c
	}
	return c
}

// commitLocked makes n current. The caller has published the table of n already, so that whoever finds an
// endpoint gone finds its successor.
func (g *registry) commitLocked(n *generation) {
	for key, ep := range g.live {
		if n.live[key] == nil {
			g.draining[ep.InstanceID] = append(g.draining[ep.InstanceID], ep)
			ep.left.Store(true)
			if ep.inFlight.Load() == 0 {
				g.goneLocked(ep)
			}
		}
	}
	g.live, g.byID, g.apps = n.live, n.byID, n.apps
	g.signalLocked()
}

func (g *registry) signalLocked() {
	close(g.changed)
	g.changed = make(chan struct{})
}

// goneLocked forgets a drained endpoint. It does no harm twice.
func (g *registry) goneLocked(ep *endpoint) {
	ep.close()
	rest := g.draining[ep.InstanceID][:0]
	for _, other := range g.draining[ep.InstanceID] {
		if other != ep {
			rest = append(rest, other)
		}
	}
	if len(rest) == 0 {
		delete(g.draining, ep.InstanceID)
	} else {
		g.draining[ep.InstanceID] = rest
	}
}

// acquire counts a request in at ep. It reports false if ep has left the table, which is then a newer one.
func (g *registry) acquire(ep *endpoint) bool {
	ep.inFlight.Add(1)
	if ep.left.Load() {
		g.release(ep)
		return false
	}
	return true
}

// release counts a request out.
func (g *registry) release(ep *endpoint) {
	if ep.inFlight.Add(-1) > 0 || !ep.left.Load() {
		return
	}
	g.mu.Lock()
	defer g.mu.Unlock()
	g.goneLocked(ep)
	g.signalLocked()
}

func (g *registry) inFlight(instanceID string) int {
	g.mu.Lock()
	defer g.mu.Unlock()
	var n int64
	for _, eps := range [][]*endpoint{g.byID[instanceID], g.draining[instanceID]} {
		for _, ep := range eps {
			n += ep.inFlight.Load()
		}
	}
	return int(n)
}

// waitDrained waits until the table does not name the instance and nothing is in flight at it.
func (g *registry) waitDrained(ctx context.Context, instanceID string) error {
	for {
		g.mu.Lock()
		done := len(g.byID[instanceID]) == 0 && len(g.draining[instanceID]) == 0
		changed := g.changed
		g.mu.Unlock()
		if done {
			return nil
		}
		select {
		case <-changed:
		case <-ctx.Done():
			return context.Cause(ctx)
		}
	}
}
