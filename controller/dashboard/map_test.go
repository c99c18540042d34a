package dashboard

import (
	"context"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"net/http/httptest"
	"net/url"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/chromedp/chromedp"

	"github.com/cupola-paas/cupola/controller/api"
	"github.com/cupola-paas/cupola/controller/capi"
	"github.com/cupola-paas/cupola/controller/servicemap"
	"github.com/cupola-paas/cupola/node"
	"github.com/cupola-paas/cupola/router"
	"github.com/cupola-paas/cupola/store"
)

// said is a map of given edges.
func said(edges ...capi.MapEdge) func(func(string) (string, bool)) capi.ServiceMap {
	return func(place func(string) (string, bool)) capi.ServiceMap {
		m := capi.ServiceMap{WindowSeconds: 300, RecentSeconds: 60}
		for _, e := range edges {
			from, ok := place(e.From)
			to, ok2 := place(e.To)
			if e.From, e.To = from, to; ok && ok2 {
				m.Edges = append(m.Edges, e)
			}
		}
		return m
	}
}

// requests is an edge of requests, of which so many failed lately.
func requests(from, to string, perSecond float64, failed uint64) capi.MapEdge {
	calls, inFlight, state := uint64(perSecond*300), 1, capi.MapOK
	if failed > 0 {
		state = capi.MapFailing
	}
	return capi.MapEdge{
		From: from, To: to, Kind: capi.MapHTTP, State: state, PerSecond: &perSecond, Calls: &calls, Failed: &failed, InFlight: &inFlight,
		Outcomes: &capi.MapOutcomes{Answered: calls - failed, Failed: failed}, LatencyMS: &capi.MapLatency{P50: 4.2, P95: 38},
		Recent: &capi.MapRecent{Calls: max(calls/5, failed), Failed: failed},
	}
}

// connections are those from one container to another.
func connections(from, to string, perSecond float64) capi.MapEdge {
	calls := uint64(perSecond * 300)
	return capi.MapEdge{From: from, To: to, Kind: capi.MapDirect, State: capi.MapActive, PerSecond: &perSecond, Calls: &calls, Recent: &capi.MapRecent{Calls: calls / 5}}
}

// calling says what the map shows from now on.
func (w *world) calling(m api.ServiceMap) { w.calls.Store(&m) }

// drawCalls has the apps of furnish call one another.
func (w *world) drawCalls() map[string]string {
	guids := map[string]string{}
	w.must(w.db.View(func(tx *store.Tx) error {
		for a := range store.Apps.All(tx) {
			guids[a.Name] = a.GUID
		}
		for s := range store.ServiceInstances.All(tx) {
			guids[s.Name] = s.GUID
		}
		return nil
	}))
	w.calling(said(
		requests(capi.MapInternet, guids["shop"], 120, 0), requests(capi.MapInternet, guids["blog"], 0.4, 0), requests(guids["shop"], guids["billing"], 12, 40),
		requests(guids["shop"], guids["search"], 60, 0), requests(guids["search"], guids["images"], 5, 0), requests(guids["billing"], guids["gateway"], 3, 0),
		requests(guids["gateway"], guids["billing"], 0.2, 0), connections(guids["worker-mail"], guids["gateway"], 0.1), connections(guids["blog"], guids["images"], 2),
		requests("somebody else's", guids["billing"], 1, 0),
	))
	return guids
}

// TestMapPage shows the map in words, its filters, and what stands there when there is nothing.
func TestMapPage(t *testing.T) {
	w := newWorld(t)
	w.signIn("admin", "secret", "")
	w.get("/map").want(200, "Nobody has called anybody yet", "cupola add-network-policy").lacks("<svg width")
	w.furnish()
	guids := w.drawCalls()
	page := w.get("/map").want(200, "Who called whom in the last 5 min", "What fails", "40 of 720 calls of the last minute failed", "40 answered with an error (5xx)",
		"12 a second", "95 % within 38 ms", "direct connections", "how they fare is not known", "another space", "shop-db", "not counted",
		"shop to billing, requests: failing", `href="/apps/`+guids["shop"])
	if strings.Contains(page.text, " style=") || strings.Contains(page.text, "onmouse") {
		t.Error("the drawing has inline styles or scripts, which the policy forbids")
	}
	w.get("/map?show=troubled").want(200, "billing").lacks("worker-mail", "images")
	w.get("/map?app="+guids["images"]).want(200, "Only what calls", "search").lacks("worker-mail")
	w.get("/map?by=space").want(200, "acme / dev").lacks("worker-mail")
	w.get("/map?space="+w.space+"&by=nonsense").want(200, "worker-mail")
	w.get("/map?space=3c0e7d4e-0000-4000-8000-000000000000").want(200, "Nobody called anybody here")
}

// TestMapHoldsStill: where things are does not depend on how they fare nor on the order in which they are told, and nothing
// is missing.
func TestMapHoldsStill(t *testing.T) {
	nodes := map[string]*capi.MapNode{capi.MapInternet: {ID: capi.MapInternet, Kind: capi.MapInternet, Name: "internet"}}
	var calm, wild []capi.MapEdge
	for i := range 12 {
		id := fmt.Sprint("app-", i)
		nodes[id] = &capi.MapNode{ID: id, Kind: capi.MapApp, Name: id}
		calm = append(calm, requests(capi.MapInternet, id, 1, 0), requests(id, fmt.Sprint("app-", (i*5+1)%12), 2, 0))
		wild = append(wild, requests(capi.MapInternet, id, float64(i), uint64(i)), requests(id, fmt.Sprint("app-", (i*5+1)%12), 200, 7))
	}
	slices.Reverse(wild)
	a, b := drawMap(calm, nodes), drawMap(wild, nodes)
	if len(a.Nodes) != 13 || len(a.Lines)+1 != len(calm) && len(a.Lines) != len(calm) {
		t.Errorf("%d nodes and %d lines are drawn, want 13 and those %d that don't lead to themselves", len(a.Nodes), len(a.Lines), len(calm))
	}
	for i := range a.Nodes {
		if a.Nodes[i].X != b.Nodes[i].X || a.Nodes[i].Y != b.Nodes[i].Y || a.Nodes[i].ID != b.Nodes[i].ID {
			t.Errorf("node %+v moved to %+v", a.Nodes[i], b.Nodes[i])
		}
	}
	for i := range a.Lines {
		if a.Lines[i].Path != b.Lines[i].Path || a.Lines[i].ID != b.Lines[i].ID {
			t.Errorf("line %s moved", a.Lines[i].ID)
		}
	}
}

// TestMapOfManyApps: of 200 apps that are called from the internet each has its mark; a map that nobody could read is not drawn.
func TestMapOfManyApps(t *testing.T) {
	nodes := map[string]*capi.MapNode{capi.MapInternet: {ID: capi.MapInternet, Kind: capi.MapInternet, Name: "internet"}}
	many := func(n int) (edges []capi.MapEdge) {
		for i := range n {
			id := fmt.Sprintf("app-%04d", i)
			nodes[id] = &capi.MapNode{ID: id, Kind: capi.MapApp, Name: id}
			edges = append(edges, requests(capi.MapInternet, id, float64(i), uint64(i%2)))
			if i%4 == 0 && i > 0 {
				edges = append(edges, requests(fmt.Sprintf("app-%04d", i/4), id, 1, 0))
			}
		}
		return edges
	}
	d := drawMap(many(200), nodes)
	if d == nil || len(d.Nodes) != 200 || len(d.Lines) != 49 {
		t.Fatalf("of 200 apps this is drawn: %+v", d)
	}
	bad := 0
	for _, n := range d.Nodes {
		if n.Mark == "" && n.ID != "app-0000" {
			t.Errorf("%s has no mark of the internet's calls", n.ID)
		}
		bad += btoi(n.MarkBad)
	}
	if bad != 100 {
		t.Errorf("%d apps are marked as failing, want 100", bad)
	}
	if drawMap(many(mapNodesMost+1), nodes) != nil {
		t.Error("too many apps are drawn all the same")
	}
}

// routed is a platform's router with a map of what goes through it, and apps behind it.
type routed struct {
	*servicemap.Loop
	router *router.Router
	clock  *clock
	here   []node.Status
}

func (r *routed) List(context.Context) ([]node.Status, error) { return r.here, nil }

func newRouted(t *testing.T, c *clock) *routed {
	t.Helper()
	rt, err := router.New(router.Options{HTTPAddr: "127.0.0.1:0", Logger: slog.New(slog.DiscardHandler)})
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
	r := &routed{router: rt, clock: c}
	r.Loop = &servicemap.Loop{Router: rt, Engine: r, Clock: c.now, Log: slog.New(slog.DiscardHandler)}
	return r
}

// pass lets time pass, with the steps of the map.
func (r *routed) pass(d time.Duration) {
	for ; d > 0; d -= 10 * time.Second {
		r.clock.pass(10 * time.Second)
		r.Step(context.Background())
	}
}

// TestMapInABrowser: an open map shows by itself that a callee fails, in more than colour, and that it is well again; lines
// are reached by keys.
func TestMapInABrowser(t *testing.T) {
	w := newWorld(t)
	front, back := w.app("front", 1, 1, nil), w.app("back", 1, 1, nil)
	var broken atomic.Bool
	callee := httptest.NewServer(http.HandlerFunc(func(rw http.ResponseWriter, _ *http.Request) {
		if broken.Load() {
			rw.WriteHeader(500)
		}
	}))
	t.Cleanup(callee.Close)
	r := newRouted(t, &clock{})
	w.calling(r.Map)
	r.here = []node.Status{{ID: "front-0", Labels: map[string]string{"app": front}, Address: "127.0.0.9"}}
	w.must(r.router.SetTable(router.Table{Routes: []router.Route{{Host: "back.example.com", AppGUID: back, Endpoints: []router.Endpoint{
		{Address: callee.Listener.Addr().String(), InstanceID: "back-0", AppGUID: back},
	}}}}))
	r.Step(t.Context())
	dialer := &net.Dialer{LocalAddr: &net.TCPAddr{IP: net.IPv4(127, 0, 0, 9)}}
	client := &http.Client{Transport: &http.Transport{DialContext: func(ctx context.Context, network, _ string) (net.Conn, error) {
		return dialer.DialContext(ctx, network, r.router.HTTPAddr())
	}}}
	t.Cleanup(client.CloseIdleConnections)
	call := func() {
		res, err := client.Get("http://back.example.com/")
		w.must(err)
		_, err = io.Copy(io.Discard, res.Body)
		w.must(err, res.Body.Close())
	}
	call()
	b := w.chromium()
	b.signIn("admin", "secret")
	b.visit("/map")
	b.Until(`document.querySelectorAll(".edges .edge.ok").length === 1`)
	if got := b.eval(`document.querySelectorAll(".label.bad, .edge.failing:not(.legend *)").length`); got != "0" {
		t.Errorf("%s things are marked as failing while all is well", got)
	}
	broken.Store(true)
	call()
	b.Until(`document.querySelectorAll(".edges .edge.failing").length === 1`)
	b.See("#map-troubled", "front → back")
	b.See("#map-troubled", "1 of 2 calls of the last minute failed")
	b.See("#map-table", "failing")
	if got := b.eval(`document.querySelector(".label.bad").textContent + " " + getComputedStyle(document.querySelector(".edges .edge.failing")).strokeDasharray`); !strings.Contains(got, "50 % fail") || !strings.Contains(got, "4px") {
		t.Errorf("the failing line is told by %q, want words and a dashed line", got)
	}
	b.Run(chromedp.Focus(".hit", chromedp.ByQuery))
	if got := b.eval(`document.activeElement.getAttribute("aria-label")`); !strings.Contains(got, "front to back, requests: failing") {
		t.Errorf("the line's name is %q", got)
	}
	b.Run(chromedp.KeyEvent("\t"), chromedp.KeyEvent("\t", chromedp.KeyModifiers(8)))
	if got := b.eval(`getComputedStyle(document.querySelector(".hit .tip")).visibility`); got != "visible" {
		t.Errorf("what a focused line says is %s", got)
	}
	broken.Store(false)
	r.pass(70 * time.Second)
	call()
	b.Until(`document.querySelectorAll(".edges .edge.ok").length === 1 && !document.querySelector("#map-troubled section")`)
	b.healthy()
}

// TestMapLooks opens the map of a small and a large platform at desktop and phone width.
func TestMapLooks(t *testing.T) {
	axe := axeSource(t)
	w := newWorld(t)
	w.furnish()
	w.drawCalls()
	b := w.chromium()
	b.signIn("admin", "secret")
	b.looksAt("map-small", "/map", axe)
	var edges []capi.MapEdge
	for i := range 200 {
		guid := w.app(fmt.Sprintf("service-%03d", i), 1, 1, nil)
		edges = append(edges, requests(capi.MapInternet, guid, float64(i), uint64(btoi(i%37 == 0))))
		if i > 0 && i%3 == 0 {
			edges = append(edges, requests(edges[i/9].To, guid, 1+float64(i), uint64(btoi(i%51 == 0))))
		}
	}
	w.calling(said(edges...))
	b.looksAt("map-200", "/map?"+url.Values{"by": {"app"}}.Encode(), axe)
	b.looksAt("map-spaces", "/map", axe)
	b.healthy()
}
