package router

import (
	"fmt"
	"math/rand/v2"
	"net/http"
	"testing"
)

// TestChangeEqualsTable makes random changes and compares the lookup with that of a table made at once.
func TestChangeEqualsTable(t *testing.T) {
	random := rand.New(rand.NewPCG(1, 2))
	r := newRouter(t)
	have := map[Name]Route{}
	hosts := []string{"a.example.com", "b.example.com", "*.example.com", "*.b.example.com", "c.org"}
	paths := []string{"", "/x", "/x/", "/x//", "/x/y", "/z"}
	for step := range 500 {
		var c Change
		seen := map[Name]bool{}
		for range 1 + random.IntN(4) {
			n := Name{Host: hosts[random.IntN(len(hosts))], Path: paths[random.IntN(len(paths))]}
			if seen[n] {
				continue
			}
			seen[n] = true
			if random.IntN(2) == 0 {
				c.Remove = append(c.Remove, n)
				delete(have, n)
				continue
			}
			route := Route{Host: n.Host, Path: n.Path, AppGUID: fmt.Sprint("app", step), Endpoints: []Endpoint{{Address: "127.0.0.1:1", InstanceID: fmt.Sprint("i", random.IntN(5))}}}
			c.Set = append(c.Set, route)
			have[n] = route
		}
		if err := r.Change(c); err != nil {
			t.Fatal(err)
		}
		compareLookups(t, r.lookup.Load(), have)
	}
	for n := range have {
		if err := r.Change(Change{Remove: []Name{n, {Host: "never.there"}}}); err != nil {
			t.Fatal(err)
		}
	}
	g := r.registry
	if l := r.lookup.Load(); l.routes != 0 || l.wilds != 0 || len(g.live) != 0 || len(g.byID) != 0 || len(g.apps) != 0 || len(g.draining) != 0 {
		t.Errorf("left over: %d routes, %d wild hosts, %d endpoints, %d instances, %d apps, %d draining", l.routes, l.wilds, len(g.live), len(g.byID), len(g.apps), len(g.draining))
	}
}

func compareLookups(t *testing.T, got *lookup, have map[Name]Route) {
	t.Helper()
	if got.routes != len(have) {
		t.Fatalf("%d routes, want %d", got.routes, len(have))
	}
	for _, host := range []string{"a.example.com", "b.example.com", "d.b.example.com", "e.d.b.example.com", "f.example.com", "c.org", "g.org"} {
		for _, path := range []string{"", "/", "/x", "/x/", "/x/y/z", "/xx", "/z"} {
			want, found := "", bestOf(have, host, path)
			if found != nil {
				want = found.AppGUID
			}
			is := ""
			if r := got.match(host, path); r != nil {
				is = r.appGUID
			}
			if is != want && !slashTwins(have, host, path) {
				t.Fatalf("%s%s leads to %q, want %q in %v", host, path, is, want, have)
			}
		}
	}
}

// bestOf looks for the route in the plainest way.
func bestOf(have map[Name]Route, host, path string) *Route {
	for _, h := range append([]string{host}, wildcards(host)...) {
		var best *Route
		for n, r := range have {
			p := trimSlashes(n.Path)
			if n.Host != h || p != "" && path != p && !(len(path) > len(p) && path[:len(p)+1] == p+"/") {
				continue
			}
			if best == nil || len(p) > len(trimSlashes(best.Path)) || len(p) == len(trimSlashes(best.Path)) && n.Path == p {
				best = &r
			}
		}
		if best != nil {
			return best
		}
	}
	return nil
}

func wildcards(host string) (all []string) {
	for i := range host {
		if host[i] == '.' && i > 0 {
			all = append(all, "*"+host[i:])
		}
	}
	return all
}

// slashTwins reports whether only the order of coming decides: "/x/" and "/x//" without "/x".
func slashTwins(have map[Name]Route, host, path string) bool {
	for _, h := range append([]string{host}, wildcards(host)...) {
		_, plain := have[Name{Host: h, Path: "/x"}]
		_, one := have[Name{Host: h, Path: "/x/"}]
		_, two := have[Name{Host: h, Path: "/x//"}]
		if one && two && !plain {
			return true
		}
	}
	return false
}

func newRouter(t testing.TB) *Router {
	t.Helper()
	r, err := New(Options{HTTPAddr: "127.0.0.1:0"})
	if err != nil {
		t.Fatal(err)
	}
	return r
}

func TestChangeIsAllOrNothing(t *testing.T) {
	r := start(t, Options{}, CertOptions{})
	r.set(t, Route{Host: "a.example.com", Handler: say("old")})
	good := Route{Host: "a.example.com", Handler: say("new")}
	for _, bad := range []Change{
		{Set: []Route{good, {Host: "Bad Host"}}},
		{Set: []Route{good, good}},
	} {
		if err := r.Change(bad); err == nil {
			t.Errorf("%+v is accepted", bad)
		}
	}
	if _, text := r.get(t, "http://a.example.com/"); text != "old" {
		t.Errorf("after refused changes the route answers %q", text)
	}
	if err := r.Change(Change{Set: []Route{good}}); err != nil {
		t.Fatal(err)
	}
	if _, text := r.get(t, "http://a.example.com/"); text != "new" {
		t.Errorf("after a change the route answers %q", text)
	}
}

func TestAppStats(t *testing.T) {
	r := start(t, Options{}, CertOptions{})
	ep := app(t, "i", func(w http.ResponseWriter, req *http.Request) {
		if req.URL.Path == "/bad" {
			w.WriteHeader(500)
		}
	})
	r.set(t, Route{Host: "a.example.com", AppGUID: "app", Endpoints: []Endpoint{ep}})
	for range 9 {
		r.get(t, "http://a.example.com/")
		r.nextAccess(t)
	}
	r.get(t, "http://a.example.com/bad")
	r.nextAccess(t)
	s, ok := r.AppStats("app")
	if !ok || s.Requests != 10 || s.Recent != 10 || s.RecentByClass[2] != 9 || s.RecentByClass[5] != 1 || s.Mean <= 0 || s.P50 <= 0 || s.P99 < s.P50 || s.InFlight != 0 {
		t.Errorf("stats: %+v %v", s, ok)
	}
	r.set(t, Route{Host: "a.example.com", AppGUID: "app"})
	if s, ok := r.AppStats("app"); !ok || s.Requests != 10 {
		t.Errorf("while a route names the app: %+v %v", s, ok)
	}
	r.set(t)
	if _, ok := r.AppStats("app"); ok {
		t.Error("an app that no route names has stats")
	}
}

// BenchmarkChange is one route among many getting another instance.
func BenchmarkChange(b *testing.B) {
	for _, n := range []int{200, 2000, 20000} {
		b.Run(fmt.Sprintf("routes=%d", n), func(b *testing.B) {
			r := newRouter(b)
			table := Table{}
			for i := range n {
				table.Routes = append(table.Routes, Route{Host: fmt.Sprintf("h%d.example.com", i), Endpoints: []Endpoint{{Address: "10.0.0.1:80", InstanceID: fmt.Sprint(i)}}})
			}
			if err := r.SetTable(table); err != nil {
				b.Fatal(err)
			}
			b.ReportAllocs()
			for i := 0; b.Loop(); i++ {
				route := table.Routes[i%n]
				route.Endpoints = []Endpoint{{Address: "10.0.0.2:80", InstanceID: fmt.Sprint(i)}}
				if err := r.Change(Change{Set: []Route{route}}); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}
