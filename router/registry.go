package router

import (
	"context"
	"strconv"
	"sync"
)

// registry owns the endpoints: those that the table names, and those that have left it with requests in
// flight.
type registry struct {
	dial    *dialing
	callers *callers

	mu       sync.Mutex
	zone     string // of the router, for pools that are made from now on
	live     map[Endpoint]*endpoint
	byID     map[string][]*endpoint // live ones, by instance id
	draining map[string][]*endpoint // by instance id; each has left and had requests in flight
	apps     map[string]*appRecord  // by GUID, for as long as the table names the app
	changed  chan struct{}          // closed, and replaced, when any of the above changes
}

// appRecord is what outlives the instances of an app while a route names it.
type appRecord struct {
	appCounters
	edges edges
	named int // by routes and live endpoints; guarded by registry.mu
}

func newRegistry(d *dialing, c *callers) *registry {
	return &registry{
		dial: d, callers: c, changed: make(chan struct{}), live: map[Endpoint]*endpoint{}, byID: map[string][]*endpoint{},
		draining: map[string][]*endpoint{}, apps: map[string]*appRecord{},
	}
}

// findLocked returns the shared endpoint for e, which is new unless a route names it already. The caller
// counts in endpoint.named what it keeps of it.
func (g *registry) findLocked(e Endpoint) *endpoint {
	e.Weight, e.Zone = 0, ""
	if ep := g.live[e]; ep != nil {
		return ep
	}
	ep := &endpoint{Endpoint: e, hash: hashString(e.InstanceID), index: strconv.Itoa(e.Index), dial: g.dial, app: g.nameAppLocked(e.AppGUID)}
	g.live[e] = ep
	g.byID[e.InstanceID] = append(g.byID[e.InstanceID], ep)
	return ep
}

func (g *registry) nameAppLocked(guid string) *appRecord {
	a := g.apps[guid]
	if a == nil {
		a = &appRecord{}
		g.apps[guid] = a
	}
	a.named++
	return a
}

func (g *registry) unnameAppLocked(guid string) {
	if a := g.apps[guid]; a != nil {
		if a.named--; a.named == 0 {
			delete(g.apps, guid)
			a.edges.dropAll(g.callers)
		}
	}
}

// unnameLocked forgets that a route named ep. The caller has published the table without that route already, so that
// whoever finds an endpoint gone finds its successor.
func (g *registry) unnameLocked(ep *endpoint) {
	if ep.named--; ep.named > 0 {
		return
	}
	delete(g.live, ep.Endpoint)
	g.byID[ep.InstanceID] = remove(g.byID[ep.InstanceID], ep)
	if len(g.byID[ep.InstanceID]) == 0 {
		delete(g.byID, ep.InstanceID)
	}
	g.unnameAppLocked(ep.AppGUID)
	g.draining[ep.InstanceID] = append(g.draining[ep.InstanceID], ep)
	ep.left.Store(true)
	if ep.inFlight.Load() == 0 {
		g.goneLocked(ep)
	}
}

// remove is list without ep; list is not used any more.
func remove(list []*endpoint, ep *endpoint) []*endpoint {
	rest := list[:0]
	for _, other := range list {
		if other != ep {
			rest = append(rest, other)
		}
	}
	clear(list[len(rest):])
	return rest
}

func (g *registry) signalLocked() {
	close(g.changed)
	g.changed = make(chan struct{})
}

// goneLocked forgets a drained endpoint. It does no harm twice.
func (g *registry) goneLocked(ep *endpoint) {
	ep.close()
	rest := remove(g.draining[ep.InstanceID], ep)
	if len(rest) == 0 {
		delete(g.draining, ep.InstanceID)
	} else {
		g.draining[ep.InstanceID] = rest
	}
}

// acquire counts a request in at ep. It reports false if ep has left the table, which is then a newer one.
func (g *registry) acquire(ep *endpoint) bool {
	ep.inFlight.Add(1)
	ep.app.inFlight.Add(1)
	if ep.left.Load() {
		g.release(ep)
		return false
	}
	return true
}

// release counts a request out.
func (g *registry) release(ep *endpoint) {
	ep.app.inFlight.Add(-1)
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
