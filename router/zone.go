package router

// A router that has a zone sends requests to instances of its zone while those can take them. Sessions stay where they
// are and hashes lead where they lead, whatever the zone. Where several apps share a route, or its destinations have weights,
// each has its share as if there were no zones: the zone counts among the instances of one destination.

const (
	// spillFrom is how many requests of this router's an instance of the zone has in flight before it is looked whether
	// instances elsewhere have less to do.
	spillFrom = 32
	// spillShare: one elsewhere is preferred when it has less than one so many-th of what the least busy one of the zone has.
	spillShare = 4
)

// zoned are the endpoints of one destination. Either pool may be empty, not both.
type zoned struct{ near, far pool }

// zones is how a pool chooses where some of its endpoints are in the router's zone and some are not.
type zones struct {
	one *zoned               // the only destination; nil: of says which of several
	of  map[*endpoint]*zoned // the destination of each endpoint
}

// sorter puts the endpoints of a pool that is being made where they belong.
type sorter struct {
	own   string // the router's zone
	by    map[destinationKey]*zoned
	of    map[*endpoint]*zoned
	mixed bool
}

// destinationKey tells the destinations of a route apart, as far as their shares go.
type destinationKey struct {
	app    string
	weight int
}

// add takes an endpoint as the route names it.
func (s *sorter) add(ep *endpoint, e Endpoint) {
	if s.own == "" {
		return
	}
	if s.by == nil {
		s.by, s.of = map[destinationKey]*zoned{}, map[*endpoint]*zoned{}
	}
	key := destinationKey{e.AppGUID, e.Weight}
	z := s.by[key]
	if z == nil {
		z = &zoned{}
		s.by[key] = z
	}
	at := &z.far
	if e.Zone == s.own {
		at = &z.near
	}
	at.endpoints = append(at.endpoints, ep)
	s.of[ep] = z
	s.mixed = s.mixed || len(z.near.endpoints) > 0 && len(z.far.endpoints) > 0
}

// done returns what a pool of that mode chooses by; nil where no destination has endpoints both here and elsewhere.
func (s *sorter) done(mode string) *zones {
	if !s.mixed {
		return nil
	}
	out := &zones{of: s.of}
	for _, z := range s.by {
		for _, p := range []*pool{&z.near, &z.far} {
			p.mode = mode
			p.seed()
		}
		if len(s.by) == 1 {
			out.one, out.of = z, nil
		}
	}
	return out
}

// pickZoned chooses as byTurn does, but in the router's zone if it can.
func (p *pool) pickZoned(c *choice, now int64) *endpoint {
	z := p.zones.one
	if z == nil {
		e := p.byTurn(c, now)
		if e == nil {
			return nil
		}
		z = p.zones.of[e]
	}
	near := z.near.turn(c, now)
	if near != nil && near.inFlight.Load() < spillFrom && !near.ejected(now) {
		return near
	}
	far := z.far.turn(c, now)
	switch {
	case near == nil, far != nil && near.ejected(now):
		return far
	case far == nil, far.ejected(now):
		return near
	}
	near, far = z.near.least(c, now), z.far.least(c, now)
	if far.inFlight.Load()*spillShare < near.inFlight.Load() {
		return far
	}
	return near
}

// turn is byTurn of a pool that may be empty.
func (p *pool) turn(c *choice, now int64) *endpoint {
	if len(p.endpoints) == 0 {
		return nil
	}
	return p.byTurn(c, now)
}

// SetZone says where this router is, as Options.Zone did. It holds for tables and changes that are handed over afterwards.
func (rt *Router) SetZone(zone string) {
	rt.registry.mu.Lock()
	defer rt.registry.mu.Unlock()
	rt.registry.zone = zone
}
