package routerfeed

import (
	"context"
	"encoding/json"
	"fmt"
	"log/slog"
	"net"
	"net/http/httptest"
	"net/netip"
	"strings"
	"testing"
	"time"

	"github.com/cupola-paas/cupola/router"
)

// local is a router that takes everything and has counted nothing but what it is given.
type local struct {
	edges  []router.Edge
	sample router.AppSample
	refuse error
	drop   bool
}

func (l *local) SetTable(router.Table) error                      { return l.refuse }
func (l *local) Change(router.Change) error                       { return l.refuse }
func (l *local) WaitDrained(context.Context, string) error        { return nil }
func (l *local) SetCallers(map[netip.Addr]string)                 {}
func (l *local) Edges() []router.Edge                             { return append([]router.Edge{}, l.edges...) }
func (l *local) DropEdge(router.Edge) bool                        { return l.drop }
func (l *local) AppSample(string) (router.AppSample, bool)        { return l.sample, true }
func (l *local) Take(_ context.Context, c net.Conn, _ bool) error { return c.Close() }

func newFeed(l *local) *Feed {
	return New(Options{
		Local: l, Log: slog.New(slog.DiscardHandler), Access: func(router.Access) {}, Routes: func(string) bool { return true },
		Settings: func(string) Settings { return Settings{} },
	})
}

func someRoute(n int) router.Route {
	return router.Route{Host: fmt.Sprintf("a%d.example.com", n), Endpoints: []router.Endpoint{{Address: "10.0.0.1:1", InstanceID: "i", Inside: n == 0}}}
}

func messages(t *testing.T, lines [][]byte) (all []Message) {
	t.Helper()
	for _, line := range lines {
		var m Message
		if err := json.Unmarshal(line, &m); err != nil {
			t.Fatal(err)
		}
		all = append(all, m)
	}
	return all
}

// TestSince: who has a version gets what followed; who has another one, or was away for too long, gets all.
func TestSince(t *testing.T) {
	f := newFeed(&local{})
	if err := f.SetTable(router.Table{Routes: []router.Route{someRoute(0)}}); err != nil {
		t.Fatal(err)
	}
	_, first, news := f.since("")
	for n := range 3 {
		if err := f.Change(router.Change{Set: []router.Route{someRoute(n + 1)}}); err != nil {
			t.Fatal(err)
		}
	}
	<-news
	lines, now, _ := f.since(first)
	got := messages(t, lines)
	if len(got) != 3 || got[0].After != first || got[2].Version != now || got[1].After != got[0].Version {
		t.Fatalf("after %s come %+v", first, got)
	}
	if lines, _, _ := f.since(got[1].Version); len(lines) != 1 {
		t.Errorf("who misses one change gets %d", len(lines))
	}
	if lines, _, _ := f.since(now); len(lines) != 0 {
		t.Errorf("who has all gets %d", len(lines))
	}
	for _, have := range []string{"", "x.1", "other.2", f.epoch + ".99", f.epoch + ".0", f.epoch + ".x"} {
		lines, _, _ := f.since(have)
		if all := messages(t, lines); len(all) != 1 || !all[0].Whole || len(all[0].Routes) != 4 || all[0].Version != now {
			t.Errorf("who has %q gets %+v", have, all)
		}
	}
	for n := range keptChanges {
		if err := f.Change(router.Change{Remove: []router.Name{{Host: fmt.Sprint("b", n)}}}); err != nil {
			t.Fatal(err)
		}
	}
	if lines, _, _ := f.since(now); len(lines) != keptChanges {
		t.Errorf("who misses as many as are kept gets %d", len(lines))
	}
	if lines, _, _ := f.since(got[1].Version); len(lines) != 1 {
		t.Errorf("who misses more gets %d lines", len(lines))
	}
}

// TestRefused: what the local router refuses nobody hears of.
func TestRefused(t *testing.T) {
	l := &local{}
	f := newFeed(l)
	_, before, _ := f.since("")
	l.refuse = fmt.Errorf("no")
	if f.SetTable(router.Table{Routes: []router.Route{someRoute(0)}}) == nil || f.Change(router.Change{Set: []router.Route{someRoute(0)}}) == nil {
		t.Error("the refusal is kept secret")
	}
	if _, now, _ := f.since(""); now != before || len(f.routes) != 0 {
		t.Errorf("the version is %s after %s", now, before)
	}
}

// TestRouted: what the table says of hosts and of addresses that only this machine reaches, through changes.
func TestRouted(t *testing.T) {
	f := newFeed(&local{})
	wild := someRoute(1)
	wild.Host = "*.wild.example.com"
	if err := f.SetTable(router.Table{Routes: []router.Route{someRoute(0), wild}}); err != nil {
		t.Fatal(err)
	}
	for host, want := range map[string]bool{"a0.example.com": true, "x.wild.example.com": true, "x.y.wild.example.com": true, "wild.example.com": false, "b.example.com": false, "": false} {
		if got := f.routed(host); got != want {
			t.Errorf("routed(%q) = %t", host, got)
		}
	}
	if f.inside["10.0.0.1:1"] != 1 {
		t.Errorf("inside are %v", f.inside)
	}
	if err := f.Change(router.Change{Remove: []router.Name{{Host: "a0.example.com"}}}); err != nil {
		t.Fatal(err)
	}
	if f.routed("a0.example.com") || len(f.inside) != 0 {
		t.Errorf("after it was removed the route is there: %v", f.inside)
	}
}

// TestWaitDrained: an instance is waited for while a router that listens has an older table, or requests.
func TestWaitDrained(t *testing.T) {
	f := newFeed(&local{})
	fo := f.enter("n1")
	fo.version = f.epoch + ".0"
	if err := f.Change(router.Change{Remove: []router.Name{{Host: "a"}}}); err != nil {
		t.Fatal(err)
	}
	f.mu.Lock()
	for _, is := range []struct {
		version  string
		draining []string
		want     bool
	}{
		{"", nil, true}, {f.epoch + ".0", nil, true}, {"other.7", nil, true}, {f.epoch + ".1", []string{"i"}, true}, {f.epoch + ".1", []string{"j"}, false}, {f.epoch + ".2", nil, false},
	} {
		fo.version, fo.draining = is.version, is.draining
		if got := f.usedLocked("i", 1); got != is.want {
			t.Errorf("%+v: used = %t", is, got)
		}
	}
	fo.version, fo.draining = f.epoch+".0", nil
	f.mu.Unlock()
	f.leave(fo)
	f.mu.Lock()
	if !f.usedLocked("i", 1) {
		t.Error("a router that left a moment ago is not waited for")
	}
	fo.left = time.Now().Add(-2 * awayGrace)
	if f.usedLocked("i", 1) {
		t.Error("a router that is gone is waited for")
	}
	f.mu.Unlock()
	if err := f.WaitDrained(t.Context(), "i"); err != nil {
		t.Error(err)
	}
}

func tell(t *testing.T, f *Feed, r Report) {
	t.Helper()
	text, err := json.Marshal(r)
	if err != nil {
		t.Fatal(err)
	}
	w := httptest.NewRecorder()
	f.ServeNode(w, httptest.NewRequest("POST", ReportPath, strings.NewReader(string(text))), "n1")
	if w.Code != 204 {
		t.Fatalf("a report is answered with %d %s", w.Code, w.Body)
	}
}

// TestCounts: counts of routers elsewhere add up with the local one's, whatever is told twice, late or anew, and never go down.
func TestCounts(t *testing.T) {
	l := &local{edges: []router.Edge{{Callee: "app", Counts: router.Outcomes{5}, Since: time.Unix(1, 0)}}, sample: router.AppSample{ByClass: [6]uint64{2: 5}}}
	f := newFeed(l)
	edge := func(n uint64, since time.Time) []router.Edge {
		return []router.Edge{{Callee: "app", Counts: router.Outcomes{n}, Since: since, InFlight: 2}}
	}
	app := func(n uint64) []router.AppSample {
		return []router.AppSample{{App: "app", ByClass: [6]uint64{2: n}, RecentByClass: [6]uint64{2: n}, InFlight: 1}}
	}
	want := func(what string, edges, requests uint64) {
		t.Helper()
		s, _ := f.AppStats("app")
		if e := f.Edges(); len(e) != 1 || e[0].Counts[router.Answered] != edges || s.Requests != requests {
			t.Fatalf("%s: edges %+v, requests %d; want %d and %d", what, e, s.Requests, edges, requests)
		}
	}
	old, young := f.began.Add(-time.Hour), time.Now().Add(time.Second)
	want("nobody else", 5, 5)
	tell(t, f, Report{Session: "s1", Began: old, Counts: true, Edges: edge(100, old), Apps: app(100)})
	want("what was counted before this process began", 5, 5)
	tell(t, f, Report{Session: "s1", Began: old, Counts: true, Edges: edge(103, old), Apps: app(104)})
	want("what is new", 8, 9)
	tell(t, f, Report{Session: "s1", Began: old, Counts: true, Edges: edge(103, old), Apps: app(104)})
	want("the same again", 8, 9)
	tell(t, f, Report{Session: "s1", Began: old, Counts: true})
	want("nothing new", 8, 9)
	tell(t, f, Report{Session: "s2", Began: young, Counts: true, Edges: edge(10, young), Apps: app(10)})
	want("another process there", 18, 19)
	if e := f.Edges(); e[0].InFlight != 2 {
		t.Errorf("%d are in flight", e[0].InFlight)
	}
	if s, _ := f.AppStats("app"); s.Recent != 10 || s.InFlight != 1 {
		t.Errorf("of the last minute: %+v", s)
	}
	f.followers["n1"].counts.at = time.Now().Add(-2 * countsFor)
	if s, _ := f.AppStats("app"); s.Recent != 0 || s.InFlight != 0 {
		t.Errorf("of a router that is gone: %+v", s)
	}
	want("gone", 18, 19)
	e := f.Edges()[0]
	l.drop = false
	if f.DropEdge(e) {
		t.Error("an edge that the local router keeps is dropped")
	}
	l.drop = true
	if !f.DropEdge(e) {
		t.Error("an edge that nobody uses is kept")
	}
	want("after it was dropped", 5, 19)
	tell(t, f, Report{Session: "s2", Began: young, Counts: true, Edges: edge(12, young), Apps: app(10)})
	want("used again", 7, 19)
}

// TestBadReports: what is too much or no report at all changes nothing.
func TestBadReports(t *testing.T) {
	f := newFeed(&local{})
	lines := strings.Repeat("{},", MaxLines) + "{}"
	for _, body := range []string{"", "{", `{"lines":[` + lines + `]}`, `{"counts":7}`} {
		w := httptest.NewRecorder()
		f.ServeNode(w, httptest.NewRequest("POST", ReportPath, strings.NewReader(body)), "n1")
		if w.Code != 400 {
			t.Errorf("%.30q is answered with %d", body, w.Code)
		}
	}
	for _, path := range []string{Path, WatchPath + "/x", CertificatesPath} {
		w := httptest.NewRecorder()
		f.ServeNode(w, httptest.NewRequest("GET", path, nil), "n1")
		if w.Code != 404 {
			t.Errorf("GET %s is answered with %d", path, w.Code)
		}
	}
}
