package router

import (
	"context"
	"fmt"
	"io"
	"math/rand/v2"
	"net"
	"net/http"
	"net/netip"
	"strings"
	"sync"
	"testing"
	"time"
)

// callerClient sends requests from an address of its own, as a container does.
func (r *running) callerClient(t testing.TB, from string) *http.Client {
	t.Helper()
	dialer := &net.Dialer{LocalAddr: &net.TCPAddr{IP: net.ParseIP(from)}}
	tr := &http.Transport{DialContext: func(ctx context.Context, network, _ string) (net.Conn, error) {
		return dialer.DialContext(ctx, network, r.HTTPAddr())
	}}
	t.Cleanup(tr.CloseIdleConnections)
	return &http.Client{Transport: tr}
}

// edge returns the one edge between two, which must be there.
func (r *running) edge(t testing.TB, caller, callee string) Edge {
	t.Helper()
	for _, e := range r.Edges() {
		if e.Caller == caller && e.Callee == callee {
			return e
		}
	}
	t.Fatalf("no edge from %q to %q in %v", caller, callee, r.Edges())
	return Edge{}
}

func statusOf(t testing.TB, c *http.Client, url string) int {
	t.Helper()
	res, err := c.Get(url)
	if err != nil {
		t.Fatal(err)
	}
	defer res.Body.Close()
	io.Copy(io.Discard, res.Body)
	return res.StatusCode
}

func of(app string, e Endpoint) Endpoint {
	e.AppGUID, e.InstanceID = app, app+"-0"
	return e
}

// TestEdgesTellOutcomes sends requests from outside and from an app's address to apps that answer, refuse, fail, hang,
// cannot be reached and have no instance.
func TestEdgesTellOutcomes(t *testing.T) {
	r := start(t, Options{ResponseHeaderTimeout: 50 * time.Millisecond, NoEndpoints503: true}, CertOptions{})
	mixed := app(t, "mixed", func(w http.ResponseWriter, req *http.Request) {
		switch req.URL.Path {
		case "/500":
			w.WriteHeader(500)
		case "/404":
			w.WriteHeader(404)
		case "/hang":
			<-req.Context().Done()
		}
	})
	r.set(t,
		Route{Host: "mixed.example.com", AppGUID: "mixed", Endpoints: []Endpoint{of("mixed", mixed)}},
		Route{Host: "away.example.com", AppGUID: "away", Endpoints: []Endpoint{of("away", deadEndpoint(t, "away"))}},
		Route{Host: "none.example.com", AppGUID: "none"},
	)
	r.SetCallers(map[netip.Addr]string{netip.MustParseAddr("127.0.0.7"): "shop"})
	shop := r.callerClient(t, "127.0.0.7")
	for url, want := range map[string]int{
		"http://mixed.example.com/": 200, "http://mixed.example.com/404": 404, "http://mixed.example.com/500": 500, "http://mixed.example.com/hang": 504,
		"http://away.example.com/": 502, "http://none.example.com/": 503,
	} {
		if got := statusOf(t, shop, url); got != want {
			t.Errorf("GET %s = %d, want %d", url, got, want)
		}
	}
	statusOf(t, r.http1, "http://mixed.example.com/")
	r.stop() // so that all is counted
	for _, c := range []struct {
		caller, callee string
		want           Outcomes
	}{
		{"shop", "mixed", Outcomes{Answered: 1, Refused: 1, Failed: 1, Unanswered: 1}},
		{"shop", "away", Outcomes{Unanswered: 1}},
		{"shop", "none", Outcomes{Unserved: 1}},
		{"", "mixed", Outcomes{Answered: 1}},
	} {
		if e := r.edge(t, c.caller, c.callee); e.Counts != c.want || e.InFlight != 0 || e.Waiting != 0 || e.Since.IsZero() {
			t.Errorf("edge from %q to %s = %+v, want counts %v and nothing in flight", c.caller, c.callee, e, c.want)
		}
	}
	if e := r.edge(t, "shop", "mixed"); e.Latency.Quantile(1) < 40*time.Millisecond {
		t.Errorf("the slowest call took %v, want those 50 ms that the router waited", e.Latency.Quantile(1))
	}
}

// TestEdgesTellWhoWaits: a request that the app does not answer is seen while it waits, and how it ends when its caller
// gives up.
func TestEdgesTellWhoWaits(t *testing.T) {
	r := start(t, Options{}, CertOptions{})
	came, left := make(chan bool, 1), make(chan bool, 1)
	e := app(t, "deaf", func(_ http.ResponseWriter, req *http.Request) {
		came <- true
		<-req.Context().Done()
		left <- true
	})
	r.set(t, Route{Host: "deaf.example.com", AppGUID: "deaf", Endpoints: []Endpoint{of("deaf", e)}})
	r.SetCallers(map[netip.Addr]string{netip.MustParseAddr("127.0.0.7"): "shop"})
	ctx, giveUp := context.WithCancel(t.Context())
	req, err := http.NewRequestWithContext(ctx, "GET", "http://deaf.example.com/", nil)
	if err != nil {
		t.Fatal(err)
	}
	var wg sync.WaitGroup
	shop := r.callerClient(t, "127.0.0.7")
	wg.Go(func() {
		if res, err := shop.Do(req); err == nil {
			res.Body.Close()
			t.Error("the app that does not answer answered")
		}
	})
	<-came
	if e := r.edge(t, "shop", "deaf"); e.Waiting != 1 || e.InFlight != 1 || e.Heard.IsZero() {
		t.Errorf("edge = %+v, want one that waits since a moment ago", e)
	}
	giveUp()
	<-left
	wg.Wait()
	r.stop()
	if e := r.edge(t, "shop", "deaf"); e.Counts != (Outcomes{Left: 1}) || e.Waiting != 0 || e.InFlight != 0 {
		t.Errorf("edge = %+v, want one that left at once", e)
	}
	x := &exchange{app: &appRecord{}, access: Access{Status: statusClientClosed, Duration: patience}}
	if o := x.outcome(); o != GaveUp {
		t.Errorf("after a second of waiting the outcome is %v, want GaveUp", o)
	}
}

// TestEdgesAddUp sends requests of many callers to many apps, over both protocols: an app's edges together have what the
// router counted of the app.
func TestEdgesAddUp(t *testing.T) {
	r := start(t, Options{TCPHost: "127.0.0.1"}, CertOptions{})
	random := rand.New(rand.NewPCG(1, 2))
	known := map[netip.Addr]string{}
	clients := []*http.Client{r.http1}
	for i := range 4 {
		address := fmt.Sprintf("127.0.1.%d", i+1)
		known[netip.MustParseAddr(address)] = fmt.Sprint("caller-", i)
		clients = append(clients, r.callerClient(t, address))
	}
	r.SetCallers(known)
	var routes []Route
	for i := range 3 {
		name := fmt.Sprint("app-", i)
		e := app(t, name, func(w http.ResponseWriter, req *http.Request) {
			if strings.HasSuffix(req.URL.Path, "0") {
				w.WriteHeader(500)
			}
		})
		routes = append(routes, Route{Host: name + ".example.com", AppGUID: name, Endpoints: []Endpoint{of(name, e)}})
	}
	port := freeTCPPort(t)
	r.set(t, append(routes, Route{Port: port, AppGUID: "raw", Endpoints: []Endpoint{of("raw", tcpApp(t, "raw-0"))}})...)
	var wg sync.WaitGroup
	for range 300 {
		client, url := clients[random.IntN(len(clients))], fmt.Sprintf("http://app-%d.example.com/%d", random.IntN(3), random.IntN(20))
		wg.Go(func() { statusOf(t, client, url) })
	}
	for range 5 {
		talk(t, port, "hello")
	}
	wg.Wait()
	r.stop()
	sums, stats := map[string]uint64{}, r.Stats()
	for _, e := range r.Edges() {
		for _, n := range e.Counts {
			sums[e.Callee] += n
		}
		if e.InFlight != 0 || e.Waiting != 0 {
			t.Errorf("%+v has calls in flight", e)
		}
	}
	for name, s := range stats.Apps {
		want := s.Requests
		if name == "raw" {
			want = 5
		}
		if sums[name] != want {
			t.Errorf("the edges of %s have %d calls, the app %d", name, sums[name], want)
		}
	}
	if n := len(r.Edges()); n != 3*5+1 {
		t.Errorf("there are %d edges, want one of each of 5 callers to 3 apps, and the TCP route's", n)
	}
}

// TestEdgesAreBounded: beyond the most that there may be, callers are counted together; an edge can be dropped, and goes
// with its app.
func TestEdgesAreBounded(t *testing.T) {
	r, err := New(Options{HTTPAddr: "127.0.0.1:0"})
	if err != nil {
		t.Fatal(err)
	}
	if err := r.SetTable(Table{Routes: []Route{{Host: "a.example.com", AppGUID: "a"}}}); err != nil {
		t.Fatal(err)
	}
	a := r.registry.apps["a"]
	for i := range edgesMost + 10 {
		r.callers.enter(a, edgeKey{caller: fmt.Sprint("c", i)}).leave(Answered)
	}
	all := r.Edges()
	if len(all) != edgesMost+1 {
		t.Fatalf("there are %d edges, want %d and one for the others", len(all), edgesMost)
	}
	for _, e := range all {
		if want := uint64(1); e.Caller != OtherCallers && e.Counts[Answered] != want || e.Caller == OtherCallers && e.Counts[Answered] != 10 {
			t.Fatalf("%+v has not the calls that it should", e)
		}
	}
	stale := all[0]
	stale.Counts[Answered]++
	r.DropEdge(stale)
	if n := len(r.Edges()); n != edgesMost+1 {
		t.Errorf("an edge that has counted since was dropped: %d are left", n)
	}
	for _, e := range all {
		r.DropEdge(e)
	}
	if n := len(r.Edges()); n != 0 {
		t.Errorf("%d edges are left after all were dropped", n)
	}
	r.callers.enter(a, edgeKey{caller: "c"}).leave(Answered)
	if err := r.SetTable(Table{}); err != nil {
		t.Fatal(err)
	}
	r.callers.enter(a, edgeKey{caller: "d"}).leave(Answered) // of a request that was under way
	if n, room := len(r.Edges()), r.callers.edges.Load(); n != 0 || room != 0 {
		t.Errorf("without apps there are %d edges and %d are counted", n, room)
	}
}

// BenchmarkEdge is all that counting by caller and callee adds to a request, from outside and from an app, among 10,000
// addresses.
func BenchmarkEdge(b *testing.B) {
	rt, err := New(Options{HTTPAddr: "127.0.0.1:0"})
	if err != nil {
		b.Fatal(err)
	}
	if err := rt.SetTable(Table{Routes: []Route{{Host: "a.example.com", AppGUID: "a"}}}); err != nil {
		b.Fatal(err)
	}
	known := map[netip.Addr]string{}
	for i := range 10_000 {
		known[netip.AddrFrom4([4]byte{10, 0, byte(i / 250), byte(i % 250)})] = fmt.Sprint("app-", i)
	}
	rt.SetCallers(known)
	app, now := rt.registry.apps["a"], time.Now()
	for name, from := range map[string]string{"outside": "203.0.113.7:40000", "app": "10.0.7.7:40000"} {
		b.Run(name, func(b *testing.B) {
			b.ReportAllocs()
			for b.Loop() {
				e := rt.callers.enter(app, edgeKey{caller: rt.callers.of(from)})
				e.sent(now)
				e.received(now)
				e.took(time.Millisecond)
				e.leave(Answered)
			}
		})
	}
}
