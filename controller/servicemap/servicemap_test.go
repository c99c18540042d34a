package servicemap

import (
	"context"
	"fmt"
	"io"
	"log/slog"
	"math/rand/v2"
	"net"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/cupola-paas/cupola/node"
	"github.com/cupola-paas/cupola/router"
)

// engine is a few workloads, and counts what it is told to.
type engine struct {
	workloads []node.Status
	flows     []node.Flow
}

func (e *engine) List(context.Context) ([]node.Status, error) { return e.workloads, nil }
func (e *engine) Flows(context.Context) ([]node.Flow, error)  { return e.flows, nil }

// clock is put forward by tests.
type clock struct{ ahead time.Duration }

func (c *clock) now() time.Time { return time.Now().Add(c.ahead) }

// platform is a real router with apps behind it, and a map of it.
type platform struct {
	*Loop
	t      *testing.T
	clock  *clock
	engine *engine
	router *router.Router
	client map[string]*http.Client // by app; empty: outside
	routes []router.Route
}

func newPlatform(t *testing.T, o router.Options) *platform {
	t.Helper()
	o.HTTPAddr, o.NoEndpoints503, o.Logger = "127.0.0.1:0", true, slog.New(slog.DiscardHandler)
	rt, err := router.New(o)
	if err != nil {
		t.Fatal(err)
	}
	if err := rt.Listen(t.Context()); err != nil {
		t.Fatal(err)
	}
	ctx, stop := context.WithCancel(context.Background())
	served := make(chan error, 1)
	go func() { served <- rt.Serve(ctx) }()
	t.Cleanup(func() { stop(); <-served })
	p := &platform{t: t, clock: &clock{}, engine: &engine{}, router: rt, client: map[string]*http.Client{}}
	p.Loop = &Loop{Router: rt, Engine: p.engine, Flows: p.engine, Clock: p.clock.now, Log: slog.New(slog.DiscardHandler)}
	p.caller("", "127.0.0.1")
	return p
}

// caller is an app with a container at that address.
func (p *platform) caller(app, address string) {
	p.engine.workloads = append(p.engine.workloads, node.Status{ID: app, Labels: map[string]string{"app": app}, Address: address})
	dialer := &net.Dialer{LocalAddr: &net.TCPAddr{IP: net.ParseIP(address)}}
	tr := &http.Transport{DialContext: func(ctx context.Context, network, _ string) (net.Conn, error) {
		return dialer.DialContext(ctx, network, p.router.HTTPAddr())
	}}
	p.t.Cleanup(tr.CloseIdleConnections)
	p.client[app] = &http.Client{Transport: tr}
}

// callee is an app with a route.
func (p *platform) callee(app string, h http.HandlerFunc) *httptest.Server {
	p.t.Helper()
	s := httptest.NewServer(h)
	p.t.Cleanup(s.Close)
	p.routes = append(p.routes, router.Route{Host: app + ".example.com", AppGUID: app, Endpoints: []router.Endpoint{
		{Address: s.Listener.Addr().String(), InstanceID: app, AppGUID: app},
	}})
	if err := p.router.SetTable(router.Table{Routes: p.routes}); err != nil {
		p.t.Fatal(err)
	}
	return s
}

func (p *platform) call(from, to string) {
	p.t.Helper()
	before := p.calls(from, to)
	res, err := p.client[from].Get("http://" + to + ".example.com/")
	if err != nil {
		p.t.Fatal(err)
	}
	io.Copy(io.Discard, res.Body)
	res.Body.Close()
	for p.calls(from, to) == before { // it is counted when the router is done with it, just after the client
		if p.t.Context().Err() != nil {
			p.t.Fatal("a call was never counted")
		}
	}
}

func (p *platform) calls(from, to string) (n uint64) {
	for _, e := range p.router.Edges() {
		if e.Caller == from && e.Callee == to {
			n += Calls(e.Counts)
		}
	}
	return n
}

// pass lets time pass, with steps as the loop takes them.
func (p *platform) pass(d time.Duration) {
	for ; d >= step; d -= step {
		p.clock.ahead += step
		p.Step(p.t.Context())
	}
	p.clock.ahead += d
}

func everywhere(guid string) (string, bool) { return guid, true }

func (p *platform) all() []Edge {
	all, _ := p.Edges(everywhere)
	return all
}

// edge returns the one edge of a kind between two.
func (p *platform) edge(from, to string, kind Kind) Edge {
	p.t.Helper()
	for _, e := range p.all() {
		if e.From == from && e.To == to && e.Kind == kind {
			return e
		}
	}
	p.t.Fatalf("there is no edge from %q to %q by %s", from, to, kind)
	return Edge{}
}

func (p *platform) wants(when, from, to string, kind Kind, state State, calls, failures uint64) {
	p.t.Helper()
	e := p.edge(from, to, kind)
	if e.State != state || Calls(e.Counts) != calls || Failures(e.Counts) != failures {
		p.t.Errorf("%s: the edge from %q to %q is %s with %d calls, %d failed, want %s, %d, %d", when, from, to, e.State, Calls(e.Counts), Failures(e.Counts), state, calls, failures)
	}
}

// TestAFailingCalleeIsSeen: an edge fails while its callee answers 500, is well again a minute after the callee is, and is
// forgotten when nobody calls any more.
func TestAFailingCalleeIsSeen(t *testing.T) {
	p := newPlatform(t, router.Options{})
	var broken atomic.Bool
	p.callee("cart", func(w http.ResponseWriter, _ *http.Request) {
		if broken.Load() {
			w.WriteHeader(500)
		}
	})
	p.caller("shop", "127.0.0.7")
	p.Step(t.Context())
	for range 30 {
		p.call("shop", "cart")
	}
	p.call("", "cart")
	p.wants("while all is well", "shop", "cart", HTTP, OK, 30, 0)
	p.wants("while all is well", "", "cart", HTTP, OK, 1, 0)
	broken.Store(true)
	p.call("shop", "cart")
	p.wants("after one call of 31 failed", "shop", "cart", HTTP, Degraded, 31, 1)
	p.call("shop", "cart")
	p.wants("after two of 32", "shop", "cart", HTTP, Failing, 32, 2)
	p.wants("of another caller", "", "cart", HTTP, OK, 1, 0)
	broken.Store(false)
	p.pass(70 * time.Second)
	p.call("shop", "cart")
	p.wants("a minute later", "shop", "cart", HTTP, OK, 33, 2)
	if all, window := p.Edges(everywhere); all[1].Latency.Quantile(.95) <= 0 || window < 70*time.Second {
		t.Errorf("95 of 100 calls took up to %v in a window of %v", all[1].Latency.Quantile(.95), window)
	}
	p.pass(6 * time.Minute)
	p.wants("when nobody called for five minutes", "shop", "cart", HTTP, Quiet, 0, 0)
	p.call("shop", "cart")
	p.wants("when somebody calls again", "shop", "cart", HTTP, OK, 1, 0)
	p.pass(kept + 2*time.Minute)
	for _, e := range p.all() {
		if e.From == "shop" {
			t.Errorf("after an hour there is still %+v", e)
		}
	}
}

// TestAHangingCalleeIsSeen: an edge fails when its callee answers nobody for a minute, or takes longer than the router
// waits, or cannot be reached, or has no instance.
func TestAHangingCalleeIsSeen(t *testing.T) {
	p := newPlatform(t, router.Options{})
	came, release := make(chan bool, 1), make(chan bool)
	p.callee("deaf", func(http.ResponseWriter, *http.Request) { came <- true; <-release })
	p.callee("away", func(http.ResponseWriter, *http.Request) {}).Close()
	p.routes = append(p.routes, router.Route{Host: "none.example.com", AppGUID: "none"})
	if err := p.router.SetTable(router.Table{Routes: p.routes}); err != nil {
		t.Fatal(err)
	}
	p.caller("shop", "127.0.0.7")
	p.Step(t.Context())
	p.call("shop", "away")
	p.call("shop", "none")
	p.wants("where nobody listens", "shop", "away", HTTP, Failing, 1, 1)
	p.wants("without instances", "shop", "none", HTTP, Failing, 1, 1)
	var wg sync.WaitGroup
	wg.Go(func() { p.call("shop", "deaf") })
	<-came
	if e := p.edge("shop", "deaf", HTTP); e.State != Quiet || e.Waiting != 1 || e.Stuck != 0 {
		t.Errorf("at first %+v, want one that waits and nothing to worry about", e)
	}
	p.pass(Stuck + time.Second)
	if e := p.edge("shop", "deaf", HTTP); e.State != Failing || e.Waiting != 1 || e.Stuck < Stuck {
		t.Errorf("after a minute %+v, want it failing", e)
	}
	close(release)
	wg.Wait()
	p.wants("once it answers", "shop", "deaf", HTTP, OK, 1, 0)
}

// TestDirectConnections: of what containers say to one another it is known how often, and not how well.
func TestDirectConnections(t *testing.T) {
	p := newPlatform(t, router.Options{})
	count := func(n uint64) {
		p.engine.flows = []node.Flow{{From: "shop", To: "db", Connections: n}, {From: "shop", To: "idle", Connections: 0}}
		p.pass(step)
	}
	p.Step(t.Context())
	count(4)
	p.wants("after four", "shop", "db", Direct, Active, 4, 0)
	p.wants("of a policy that nobody used", "shop", "idle", Direct, Quiet, 0, 0)
	if e := p.edge("shop", "idle", Direct); !e.Used.IsZero() {
		t.Errorf("what was never used was used at %v", e.Used)
	}
	count(6)
	p.wants("after six", "shop", "db", Direct, Active, 6, 0)
	p.pass(2 * time.Minute)
	p.wants("after two quiet minutes", "shop", "db", Direct, Quiet, 6, 0)
	p.pass(10 * time.Minute)
	p.wants("after twelve", "shop", "db", Direct, Quiet, 0, 0)
	p.engine.flows = nil
	p.pass(step)
	if all := p.all(); len(all) != 0 {
		t.Errorf("without the policies there are %v", all)
	}
}

// TestEdgesMerge: edges between the same places are one, whose state is the worst of them; what has no place is left out.
func TestEdgesMerge(t *testing.T) {
	p := newPlatform(t, router.Options{})
	p.callee("cart", func(http.ResponseWriter, *http.Request) {})
	p.callee("stock", func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(503) })
	p.callee("secret", func(http.ResponseWriter, *http.Request) {})
	p.caller("shop", "127.0.0.7")
	p.caller("blog", "127.0.0.8")
	p.Step(t.Context())
	for range 50 {
		p.call("shop", "cart")
	}
	p.call("blog", "stock")
	p.call("shop", "secret")
	all, _ := p.Edges(func(guid string) (string, bool) {
		return map[string]string{"cart": "back", "stock": "back"}[guid] + map[bool]string{true: "front"}[guid == "shop" || guid == "blog"], guid != "secret"
	})
	if len(all) != 1 || all[0].From != "front" || all[0].To != "back" || Calls(all[0].Counts) != 51 || Failures(all[0].Counts) != 1 || all[0].State != Failing {
		t.Errorf("merged: %+v, want one failing edge with 51 calls", all)
	}
}

// counted is a router of which a test says the counts.
type counted struct {
	edges []router.Edge
}

func (c *counted) SetCallers(map[netip.Addr]string) {}
func (c *counted) Edges() []router.Edge             { return c.edges }
func (c *counted) DropEdge(e router.Edge) bool {
	for i := range c.edges {
		if c.edges[i].Caller == e.Caller && c.edges[i].Callee == e.Callee {
			c.edges = append(c.edges[:i], c.edges[i+1:]...)
			return true
		}
	}
	return true
}

// TestWindowsAddUp makes calls at random times and compares the window's and the last minute's counts with those of a plain
// list of all calls.
func TestWindowsAddUp(t *testing.T) {
	type call struct {
		at time.Time
		to string
		o  router.Outcome
	}
	for seed := range uint64(5) {
		random := rand.New(rand.NewPCG(seed, 1))
		now := time.Date(2030, 1, 1, 0, 0, 0, 0, time.UTC)
		began := now
		c := &counted{}
		l := &Loop{Router: c, Engine: &engine{}, Clock: func() time.Time { return now }, Log: slog.New(slog.DiscardHandler)}
		var calls []call
		taken := []time.Time{}
		for turn := range 900 {
			if turn%3 == 0 {
				l.Step(t.Context())
				taken = append(taken, now)
			}
			for range random.IntN(4) {
				to := fmt.Sprint("app", random.IntN(3))
				if turn > 300 && turn < 600 && to == "app1" {
					continue // quiet for long
				}
				o := router.Outcome(random.IntN(len(router.Outcomes{})))
				calls = append(calls, call{now, to, o})
				c.count(to, o, began)
			}
			now = now.Add(step / 3)
			since := func(back int) time.Time { // what was called at a mark's own time came after it
				if len(taken) <= back {
					return began
				}
				return taken[len(taken)-1-back]
			}
			want, recent := map[string]router.Outcomes{}, map[string]router.Outcomes{}
			for _, x := range calls {
				for back, into := range map[int]map[string]router.Outcomes{marks - 1: want, recentMarks: recent} {
					if !x.at.Before(since(back)) {
						counts := into[x.to]
						counts[x.o]++
						into[x.to] = counts
					}
				}
			}
			all, _ := l.Edges(everywhere)
			for _, e := range all {
				if e.Counts != want[e.To] || e.Recent != recent[e.To] {
					t.Fatalf("seed %d, turn %d: %s has %v and lately %v, want %v and %v", seed, turn, e.To, e.Counts, e.Recent, want[e.To], recent[e.To])
				}
				if sum(e.Latency) > Calls(want[e.To]) { // they reach back four minutes and a part
					t.Fatalf("seed %d, turn %d: %s has %d latencies of %d calls", seed, turn, e.To, sum(e.Latency), Calls(want[e.To]))
				}
			}
		}
	}
}

func sum(l router.Latencies) (n uint64) {
	for _, c := range l {
		n += uint64(c)
	}
	return n
}

func (c *counted) count(to string, o router.Outcome, since time.Time) {
	for i := range c.edges {
		if c.edges[i].Callee == to {
			c.edges[i].Counts[o]++
			c.edges[i].Latency[3]++
			return
		}
	}
	e := router.Edge{Callee: to, Since: since}
	e.Counts[o]++
	e.Latency[3]++
	c.edges = append(c.edges, e)
}

// BenchmarkMap is a step, and a look at the map, where 10,000 apps are called from outside and by one another.
func BenchmarkMap(b *testing.B) {
	c := &counted{}
	for i := range 10_000 {
		for _, caller := range []string{"", fmt.Sprint("app-", (i*7)%10_000)} {
			e := router.Edge{Caller: caller, Callee: fmt.Sprint("app-", i), Since: time.Now()}
			c.edges = append(c.edges, e)
		}
	}
	l := &Loop{Router: c, Engine: &engine{}, Log: slog.New(slog.DiscardHandler)}
	called := func() {
		for i := range c.edges {
			c.edges[i].Counts[router.Answered]++
			c.edges[i].Latency[4]++
		}
	}
	b.Run("step", func(b *testing.B) {
		b.ReportAllocs()
		for b.Loop() {
			called()
			l.Step(context.Background())
		}
	})
	b.Run("look", func(b *testing.B) {
		b.ReportAllocs()
		for b.Loop() {
			l.Edges(everywhere)
		}
	})
	b.Run("look-by-100-spaces", func(b *testing.B) {
		b.ReportAllocs()
		for b.Loop() {
			l.Edges(func(guid string) (string, bool) {
				if guid == "" {
					return "internet", true
				}
				return guid[len(guid)-2:], true
			})
		}
	})
}
