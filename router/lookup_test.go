package router

import (
	"fmt"
	"net/http"
	"strings"
	"testing"
)

var nothing = http.NotFoundHandler()

// label makes a GUID of a route's name.
func label(name string) string { return strings.NewReplacer("*", "any", "%", "-").Replace(name) }

func compileHosts(t testing.TB, names ...string) *lookup {
	t.Helper()
	var table Table
	for _, name := range names {
		host, path, hasPath := strings.Cut(name, "/")
		if hasPath {
			path = "/" + path
		}
		table.Routes = append(table.Routes, Route{Host: host, Path: path, AppGUID: label(name), Handler: nothing})
	}
	if err := validate(table.Routes); err != nil {
		t.Fatal(err)
	}
	return newRegistry(&dialing{}, &callers{}).compileLocked(newEdit(&lookup{}), table.Routes)
}

func TestMatch(t *testing.T) {
	l := compileHosts(t, "a.example.com", "a.example.com/foo", "a.example.com/foo/bar/", "*.example.com", "*.b.example.com/deep",
		"only.example.com/path", "x.org/p%2Fq", "fallback.example.com/x")
	for _, c := range []struct{ url, want string }{
		{"a.example.com/", "a.example.com"},
		{"a.example.com/foo", "a.example.com/foo"},
		{"a.example.com/foo/", "a.example.com/foo"},
		{"a.example.com/foobar", "a.example.com"},
		{"a.example.com/foo/bar", "a.example.com/foo/bar/"},
		{"a.example.com/foo/bar/baz/qux", "a.example.com/foo/bar/"},
		{"a.example.com/foo/barn", "a.example.com/foo"},
		{"a.example.com/Foo", "a.example.com"},
		{"a.example.com//foo", "a.example.com"},
		{"z.example.com/foo", "any.example.com"},
		{"y.z.example.com/", "any.example.com"},
		{"q.b.example.com/deep/er", "any.b.example.com/deep"},
		{"q.b.example.com/shallow", "any.example.com"},
		{"fallback.example.com/y", "any.example.com"},
		{"example.com/", ""},
		{".example.com/", ""},
		{"only.example.com/path/", "only.example.com/path"},
		{"x.org/p%2Fq/r", "x.org/p-2Fq"},
		{"x.org/p/q", ""},
		{"x.org*", ""},
	} {
		host, path, _ := strings.Cut(c.url, "/")
		path = "/" + path
		if strings.HasSuffix(host, "*") {
			host, path = strings.TrimSuffix(host, "*"), "*"
		}
		got := ""
		if m := l.match(host, path); m != nil {
			got = m.appGUID
		}
		if got != c.want {
			t.Errorf("match(%q, %q) = %q, want %q", host, path, got, c.want)
		}
	}
}

func TestNormalHost(t *testing.T) {
	for _, c := range []struct {
		in, want string
		ok       bool
	}{
		{"a.example.com", "a.example.com", true},
		{"A.Example.COM:8080", "a.example.com", true},
		{"a.example.com.", "a.example.com", true},
		{"a.example.com.:443", "a.example.com", true},
		{"xn--bcher-kva.example", "xn--bcher-kva.example", true},
		{"[::1]:8080", "::1", true},
		{"[::1]", "::1", true},
		{"127.0.0.1:80", "127.0.0.1", true},
		{"under_score.example.com", "under_score.example.com", true},
		{"", "", false},
		{".", "", false},
		{":80", "", false},
		{"a:b", "", false},
		{"a:123456", "", false},
		{"[::1", "", false},
		{"[::1]x", "", false},
		{"a b", "", false},
		{"a/b", "", false},
		{"a@b", "", false},
		{"a'b", "", false},
		{"<script>", "", false},
		{"bücher.example", "", false},
		{strings.Repeat("a", 254), "", false},
	} {
		got, ok := normalHost(c.in)
		if got != c.want || ok != c.ok {
			t.Errorf("normalHost(%q) = %q, %v, want %q, %v", c.in, got, ok, c.want, c.ok)
		}
	}
}

func TestSetTableRefuses(t *testing.T) {
	r, err := New(Options{HTTPAddr: "127.0.0.1:0"})
	if err != nil {
		t.Fatal(err)
	}
	good := Route{Host: "good.example.com", Handler: nothing}
	if err := r.SetTable(Table{Routes: []Route{good}}); err != nil {
		t.Fatal(err)
	}
	endpoint := func(change func(*Endpoint)) Route {
		e := Endpoint{Address: "127.0.0.1:80", InstanceID: "i"}
		change(&e)
		return Route{Host: "a.b", Endpoints: []Endpoint{e}}
	}
	for _, c := range []struct {
		route Route
		want  string
	}{
		{Route{Host: ""}, "host"},
		{Route{Host: "A.b"}, "lower case"},
		{Route{Host: "a.b:80"}, "without port"},
		{Route{Host: "a.*.b"}, "host"},
		{Route{Host: "*"}, "host"},
		{Route{Host: "a.b", Path: "x"}, "slash"},
		{Route{Host: "a.b", Path: "/x?y"}, "percent-encoded"},
		{Route{Host: "a.b", LoadBalancing: "random"}, "random"},
		{Route{Host: "a.b", LoadBalancing: Hash}, "HashHeader"},
		{Route{Host: "a.b", LoadBalancing: Hash, HashHeader: "X", HashBalance: .5}, "at least 1"},
		{Route{Host: "a.b", AppGUID: "a\nb"}, "GUID"},
		{Route{Host: "a.b", Handler: nothing, Endpoints: []Endpoint{{}}}, "handler and endpoints"},
		{Route{Host: "good.example.com"}, "twice"},
		{endpoint(func(e *Endpoint) { e.Address = "host:80" }), "ip:port"},
		{endpoint(func(e *Endpoint) { e.Address = "127.0.0.1:0" }), "ip:port"},
		{endpoint(func(e *Endpoint) { e.InstanceID = "" }), "instance id"},
		{endpoint(func(e *Endpoint) { e.InstanceID = "a;b" }), "instance id"},
		{endpoint(func(e *Endpoint) { e.Protocol = "http3" }), "http3"},
		{endpoint(func(e *Endpoint) { e.Weight = -1 }), "weight"},
		{endpoint(func(e *Endpoint) { e.ProcessGUID = "a b" }), "GUID"},
	} {
		err := r.SetTable(Table{Routes: []Route{good, c.route}})
		if err == nil || !strings.Contains(err.Error(), c.want) {
			t.Errorf("SetTable(%+v) = %v, want %q in it", c.route, err, c.want)
		}
		if r.lookup.Load().match("good.example.com", "/") == nil {
			t.Fatal("a refused table was taken in part")
		}
	}
}

func TestSlashAtTheEnd(t *testing.T) {
	for _, names := range [][]string{{"a.b/x/", "a.b/x", "a.b/x//"}, {"a.b/x", "a.b/x/"}} {
		l := compileHosts(t, names...)
		if m := l.match("a.b", "/x/y"); m == nil || m.appGUID != "a.b/x" {
			t.Errorf("%v: match = %+v, want a.b/x", names, m)
		}
	}
	l := compileHosts(t, "a.b/")
	if m := l.match("a.b", "/z"); m == nil || m.appGUID != "a.b/" {
		t.Errorf("a path of one slash: match = %+v", m)
	}
}

// naiveMatch tries every route, in the words of docs/routing.md.
func naiveMatch(names []string, host, path string) string {
	best, bestExact, bestHost, bestPath := "", false, -1, -1
	for _, name := range names {
		rhost, rpath, _ := strings.Cut(name, "/")
		if rpath != "" {
			rpath = "/" + rpath
		}
		below, wild := strings.CutPrefix(rhost, "*")
		hostFits := rhost == host || wild && len(host) > len(below) && strings.HasSuffix(host, below)
		pathFits := rpath == "" || path == rpath || strings.HasPrefix(path, rpath+"/")
		if !hostFits || !pathFits {
			continue
		}
		better := best == "" || !wild && !bestExact ||
			wild == !bestExact && (len(below) > bestHost || len(below) == bestHost && len(rpath) > bestPath)
		if better {
			best, bestExact, bestHost, bestPath = label(name), !wild, len(below), len(rpath)
		}
	}
	return best
}

func FuzzMatch(f *testing.F) {
	names := []string{
		"a.b.c", "a.b.c/x", "a.b.c/x/y", "a.b.c/x/y/z", "*.b.c", "*.c/x", "*.a.b.c/y", "b.c/y", "*.b.c/x/x", "c", "a.c/x%2Fy",
	}
	l := compileHosts(f, names...)
	for _, s := range []string{"a.b.c|/x", "z.b.c|/x/x/x", "q.a.b.c|/y/", "c|", "b.c|//", ".c|/x", "..c|/x", "a.b.c|*", "a.b.c|/x//y"} {
		host, path, _ := strings.Cut(s, "|")
		f.Add(host, path)
	}
	f.Fuzz(func(t *testing.T, rawHost, path string) {
		host, ok := normalHost(rawHost)
		if !ok {
			return
		}
		if again, ok := normalHost(host); !strings.Contains(host, ":") && strings.TrimSuffix(host, ".") == host && (!ok || again != host) {
			t.Errorf("normalHost(%q) = %q, and of that %q", rawHost, host, again)
		}
		got := ""
		if m := l.match(host, path); m != nil {
			got = m.appGUID
		}
		if want := naiveMatch(names, host, path); got != want {
			t.Errorf("match(%q, %q) = %q, want %q", host, path, got, want)
		}
	})
}

func BenchmarkLookup(b *testing.B) {
	for _, n := range []int{10, 10_000} {
		names := make([]string, 0, 2*n)
		for i := range n {
			names = append(names, fmt.Sprintf("app-%d.example.com", i))
			if i%10 == 0 {
				names = append(names, fmt.Sprintf("app-%d.example.com/api/v1", i))
			}
		}
		l := compileHosts(b, append(names, "*.example.com")...)
		for _, c := range []struct{ name, host, path string }{
			{"exact", "app-5.example.com", "/index.html"},
			{"path", "app-0.example.com", "/api/v1/things/17"},
			{"wildcard", "x.y.example.com", "/"},
			{"unknown", "x.y.example.org", "/"},
		} {
			b.Run(fmt.Sprintf("%d/%s", n, c.name), func(b *testing.B) {
				b.ReportAllocs()
				for b.Loop() {
					l.match(c.host, c.path)
				}
			})
		}
	}
}
