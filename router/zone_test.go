package router

import (
	"net/http"
	"testing"
	"time"
)

// zonedPool is a pool of a router in the zone north; the endpoints are named as given, with the zone before the dash.
func zonedPool(t testing.TB, r *Route) *pool {
	t.Helper()
	g := newRegistry(&dialing{}, &callers{})
	g.zone = "north"
	p := &pool{}
	g.fillLocked(p, r)
	return p
}

func shares(p *pool, n int, c choice) map[string]int {
	got := map[string]int{}
	for range n {
		if e := p.pick(&http.Request{Header: http.Header{}}, &c); e != nil {
			got[e.InstanceID]++
		}
	}
	return got
}

func inZone(zone, id, app string) Endpoint {
	return Endpoint{Address: "10.0.0.1:1", InstanceID: id, AppGUID: app, Zone: zone}
}

func TestZone(t *testing.T) {
	north1, north2 := inZone("north", "n1", "a"), inZone("north", "n2", "a")
	south, nowhere := inZone("south", "s1", "a"), inZone("", "x1", "a")
	for _, mode := range []string{"", LeastConnection} {
		p := zonedPool(t, &Route{Endpoints: []Endpoint{south, north1, nowhere, north2}, LoadBalancing: mode})
		if got := shares(p, 100, choice{}); got["n1"] < 40 || got["n2"] < 40 || got["n1"]+got["n2"] != 100 {
			t.Errorf("%q: the instances of the zone get %v of 100 requests", mode, got)
		}
		find := func(id string) *endpoint {
			for _, e := range p.endpoints {
				if e.InstanceID == id {
					return e
				}
			}
			return nil
		}
		if got := shares(p, 10, choice{tried: []*endpoint{find("n1"), find("n2")}}); got["s1"] < 3 || got["x1"] < 3 {
			t.Errorf("%q: after both of the zone have failed others get %v of 10", mode, got)
		}
		find("n1").refused(time.Now())
		if got := shares(p, 20, choice{}); got["n2"] != 20 {
			t.Errorf("%q: with one of the zone out, the other gets %v of 20", mode, got)
		}
		find("n2").refused(time.Now())
		if got := shares(p, 20, choice{}); got["s1"]+got["x1"] != 20 {
			t.Errorf("%q: with the zone out, others get %v of 20", mode, got)
		}
		find("s1").refused(time.Now())
		find("x1").refused(time.Now())
		if got := shares(p, 20, choice{}); len(got) == 0 {
			t.Errorf("%q: with all out, nobody is asked", mode)
		}
		find("s1").answered()
		if got := shares(p, 5, choice{id: "s1"}); got["s1"] != 5 {
			t.Errorf("%q: a session leaves its instance for the zone: %v", mode, got)
		}
		if got := shares(p, 5, choice{only: func(e *endpoint) bool { return e.InstanceID == "x1" }}); got["x1"] != 5 {
			t.Errorf("%q: a request for an instance goes to %v", mode, got)
		}
	}
}

// TestZoneBusy: an instance of the zone gets requests until one elsewhere has a quarter of what it has.
func TestZoneBusy(t *testing.T) {
	p := zonedPool(t, &Route{Endpoints: []Endpoint{inZone("north", "n1", "a"), inZone("south", "s1", "a")}})
	north, south := p.endpoints[0], p.endpoints[1]
	for range 1000 {
		p.pick(&http.Request{}, &choice{}).inFlight.Add(1)
	}
	if n, s := north.inFlight.Load(), south.inFlight.Load(); n+s != 1000 || s < 190 || s > 210 {
		t.Errorf("of 1000 requests at a time the zone has %d, the others %d; want about four fifths", n, s)
	}
	north.inFlight.Store(spillFrom - 1)
	south.inFlight.Store(0)
	if got := p.pick(&http.Request{}, &choice{}); got != north {
		t.Error("an instance of the zone with few requests is passed over")
	}
}

// TestZoneShares: apps that share a route, and destinations with weights, keep their shares.
func TestZoneShares(t *testing.T) {
	p := zonedPool(t, &Route{Endpoints: []Endpoint{
		inZone("north", "an", "a"), inZone("south", "as", "a"), inZone("south", "b1", "b"), inZone("south", "b2", "b"),
	}})
	if got := shares(p, 400, choice{}); got["an"] != 200 || got["b1"]+got["b2"] != 200 || got["b1"] < 90 {
		t.Errorf("two apps on one route get %v of 400", got)
	}
	weigh := func(e Endpoint, n int) Endpoint { e.Weight = n; return e }
	p = zonedPool(t, &Route{Endpoints: []Endpoint{
		weigh(inZone("north", "an", "a"), 45), weigh(inZone("south", "as", "a"), 45), weigh(inZone("south", "b", "b"), 10),
	}})
	if got := shares(p, 1000, choice{}); got["an"] != 900 || got["b"] != 100 {
		t.Errorf("with weights 90 and 10 the destinations get %v of 1000", got)
	}
	p = zonedPool(t, &Route{LoadBalancing: Hash, HashHeader: "X-User", Endpoints: []Endpoint{inZone("north", "n", "a"), inZone("south", "s", "a")}})
	got := map[string]bool{}
	for _, user := range []string{"a", "b", "c", "d", "e", "f", "g", "h", "i", "j"} {
		got[p.pick(&http.Request{Header: http.Header{"X-User": {user}}}, &choice{}).InstanceID] = true
	}
	if len(got) != 2 {
		t.Errorf("hashes lead to %v alone, for the zone's sake", got)
	}
}

// TestNoZone: where all endpoints are alike nothing is sorted.
func TestNoZone(t *testing.T) {
	for name, all := range map[string][]Endpoint{
		"none here": {inZone("south", "1", "a"), inZone("", "2", "a")}, "all here": {inZone("north", "1", "a"), inZone("north", "2", "a")},
	} {
		if p := zonedPool(t, &Route{Endpoints: all}); p.zones != nil {
			t.Errorf("%s: the pool has zones", name)
		}
	}
}

// TestSetZone: an endpoint of which only the zone changes is the same one.
func TestSetZone(t *testing.T) {
	rt, err := New(Options{HTTPAddr: "127.0.0.1:0"})
	if err != nil {
		t.Fatal(err)
	}
	table := func(zone string) {
		t.Helper()
		e := []Endpoint{inZone(zone, "1", "a"), inZone("south", "2", "a")}
		if err := rt.SetTable(Table{Routes: []Route{{Host: "a.example.com", Endpoints: e}}}); err != nil {
			t.Fatal(err)
		}
	}
	pool := func() *pool { return &rt.lookup.Load().match("a.example.com", "/").pool }
	table("north")
	before := pool().endpoints[0]
	if pool().zones != nil {
		t.Error("a router without a zone sorts by zones")
	}
	rt.SetZone("north")
	table("north")
	if pool().zones == nil || pool().endpoints[0] != before {
		t.Error("with a zone nothing is sorted, or the endpoint is another one")
	}
	table("south")
	if pool().zones != nil || pool().endpoints[0] != before {
		t.Error("after its zone changed the endpoint is another one, or near still")
	}
}

// BenchmarkPick chooses among ten instances, half of which are in the router's zone.
func BenchmarkPick(b *testing.B) {
	for _, mode := range []string{RoundRobin, LeastConnection} {
		for _, zone := range []string{"", "north"} {
			b.Run(mode+"/zone="+zone, func(b *testing.B) {
				r := &Route{LoadBalancing: mode}
				for i := range 10 {
					e := inZone([]string{"north", "south"}[i%2], string(rune('a'+i)), "a")
					r.Endpoints = append(r.Endpoints, e)
				}
				g := newRegistry(&dialing{}, &callers{})
				g.zone = zone
				p := &pool{}
				g.fillLocked(p, r)
				req := &http.Request{}
				b.ReportAllocs()
				for b.Loop() {
					p.pick(req, &choice{})
				}
			})
		}
	}
}
