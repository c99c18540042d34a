package router

import (
	"fmt"
	"io"
	"net/http"
	"testing"
)

// named are n apps that answer with their instance id.
func named(t testing.TB, n int) []Endpoint {
	var eps []Endpoint
	for i := range n {
		id := fmt.Sprintf("i%d", i)
		e := app(t, id, say(id))
		e.Index = i
		eps = append(eps, e)
	}
	return eps
}

// count makes n requests and counts the answers.
func (r *running) count(t testing.TB, n int, url string, header ...string) map[string]int {
	t.Helper()
	got := map[string]int{}
	for range n {
		res, text := r.get(t, url, header...)
		if res.StatusCode != 200 {
			t.Fatalf("GET %s = %d %q", url, res.StatusCode, text)
		}
		got[text]++
	}
	return got
}

func TestRoundRobin(t *testing.T) {
	r := start(t, Options{}, CertOptions{})
	eps := named(t, 3)
	r.set(t, Route{Host: "a.example.com", Endpoints: append(eps, eps[0])}) // named twice, counts once
	if got := r.count(t, 30, "http://a.example.com/"); got["i0"] != 10 || got["i1"] != 10 || got["i2"] != 10 {
		t.Errorf("round robin: %v", got)
	}
	eps[1].Weight, eps[2].Weight = 4, 2
	eps[0].Weight = 2
	r.set(t, Route{Host: "a.example.com", LoadBalancing: RoundRobin, Endpoints: eps})
	if got := r.count(t, 40, "http://a.example.com/"); got["i0"] != 10 || got["i1"] != 20 || got["i2"] != 10 {
		t.Errorf("weighted: %v", got)
	}
}

func TestLeastConnection(t *testing.T) {
	p := pool{mode: LeastConnection, endpoints: []*endpoint{{}, {}, {}}}
	p.endpoints[0].inFlight.Store(3)
	p.endpoints[1].inFlight.Store(1)
	p.endpoints[2].inFlight.Store(2)
	req := mustRequest("http://a/")
	for range 5 {
		if got := p.pick(req, &choice{}); got != p.endpoints[1] {
			t.Fatalf("picked the endpoint with %d in flight", got.inFlight.Load())
		}
	}
	p.setWeights([]int{4, 1, 1}) // three of weight four are less than one of weight one
	if got := p.pick(req, &choice{}); got != p.endpoints[0] {
		t.Errorf("weights: picked the endpoint with %d in flight", got.inFlight.Load())
	}
	idle := pool{mode: LeastConnection, endpoints: []*endpoint{{}, {}}}
	first, second := idle.pick(req, &choice{}), idle.pick(req, &choice{})
	if first == second {
		t.Error("ties do not go round")
	}
}

func TestHash(t *testing.T) {
	r := start(t, Options{}, CertOptions{})
	eps := named(t, 5)
	route := Route{Host: "a.example.com", LoadBalancing: Hash, HashHeader: "x-user", Endpoints: eps}
	r.set(t, route)
	before, used := map[string]string{}, map[string]bool{}
	for i := range 40 {
		user := fmt.Sprint("user-", i)
		got := r.count(t, 3, "http://a.example.com/", "X-User", user)
		if len(got) != 1 {
			t.Fatalf("%s went to %v", user, got)
		}
		for id := range got {
			before[user], used[id] = id, true
		}
	}
	if len(used) != 5 {
		t.Errorf("40 users went to %d of 5 instances", len(used))
	}
	if got := r.count(t, 10, "http://a.example.com/"); len(got) != 5 {
		t.Errorf("without the header: %v, want all in turn", got)
	}
	route.Endpoints = eps[:4]
	r.set(t, route)
	for user, id := range before {
		for now := range r.count(t, 1, "http://a.example.com/", "X-User", user) {
			if id != "i4" && now != id {
				t.Errorf("%s moved from %s to %s, but only i4 left", user, id, now)
			}
		}
	}
}

func TestHashBalance(t *testing.T) {
	p := pool{mode: Hash, hashHeader: "X-User", balance: 1.5}
	for i := range 4 {
		p.endpoints = append(p.endpoints, &endpoint{hash: hashString(fmt.Sprint("i", i))})
	}
	req := mustRequest("http://a/", "X-User", "one")
	favourite := p.pick(req, &choice{})
	favourite.inFlight.Store(10)
	if p.pick(req, &choice{}) == favourite {
		t.Error("an instance with ten requests got another, the others have none")
	}
	for _, e := range p.endpoints {
		e.inFlight.Store(10)
	}
	if p.pick(req, &choice{}) != favourite {
		t.Error("under even load the value left its instance")
	}
}

func TestInstanceSelection(t *testing.T) {
	r := start(t, Options{}, CertOptions{})
	eps := named(t, 3)
	eps[2].ProcessGUID = "other"
	r.set(t, Route{Host: "a.example.com", Endpoints: eps})
	for _, c := range []struct {
		header, value string
		status        int
		reason, want  string
	}{
		{"X-Cf-App-Instance", "app:1", 200, "", "i1"},
		{"X-CF-Process-Instance", "proc:0", 200, "", "i0"},
		{"X-CF-Process-Instance", "other", 200, "", "i2"},
		{"X-Cf-App-Instance", "app:3", 400, "unknown_route", ""},
		{"X-Cf-App-Instance", "none:0", 400, "unknown_route", ""},
		{"X-CF-Process-Instance", "none", 400, "unknown_route", ""},
		{"X-Cf-App-Instance", "app", 400, "invalid_cf_app_instance_header", ""},
		{"X-Cf-App-Instance", "app:", 400, "invalid_cf_app_instance_header", ""},
		{"X-Cf-App-Instance", "app:-1", 400, "invalid_cf_app_instance_header", ""},
		{"X-Cf-App-Instance", "app:1:2", 400, "invalid_cf_app_instance_header", ""},
		{"X-Cf-App-Instance", ":1", 400, "invalid_cf_app_instance_header", ""},
		{"X-Cf-App-Instance", "", 400, "invalid_cf_app_instance_header", ""},
		{"X-CF-Process-Instance", "proc:x", 400, "invalid_cf_process_instance_header", ""},
	} {
		for range 3 {
			res, text := r.get(t, "http://a.example.com/", c.header, c.value)
			if res.StatusCode != c.status || res.Header.Get(headerRouterError) != c.reason || c.want != "" && text != c.want {
				t.Errorf("%s: %s = %d %q %q, want %d %q %q", c.header, c.value, res.StatusCode, res.Header.Get(headerRouterError), text,
					c.status, c.reason, c.want)
			}
		}
	}
}

func TestStickySession(t *testing.T) {
	r := start(t, Options{}, CertOptions{})
	var eps []Endpoint
	for i := range 3 {
		id := fmt.Sprintf("i%d", i)
		eps = append(eps, app(t, id, func(w http.ResponseWriter, r *http.Request) {
			switch r.URL.Path {
			case "/ctx/login":
				http.SetCookie(w, &http.Cookie{Name: "JSESSIONID", Value: "s", Secure: true, SameSite: http.SameSiteLaxMode, MaxAge: 60})
			case "/ctx/own":
				http.SetCookie(w, &http.Cookie{Name: "JSESSIONID", Value: "s"})
				http.SetCookie(w, &http.Cookie{Name: "__VCAP_ID__", Value: "own"})
			case "/ctx/other":
				http.SetCookie(w, &http.Cookie{Name: "OTHER", Value: "s"})
			}
			io.WriteString(w, id)
		}))
	}
	route := Route{Host: "a.example.com", Path: "/ctx", Endpoints: eps}
	r.set(t, route)
	res, id := r.get(t, "http://a.example.com/ctx/login")
	want := "__VCAP_ID__=" + id + "; Path=/ctx; HttpOnly; Secure; SameSite=Lax"
	if got := res.Header["Set-Cookie"]; len(got) != 2 || got[1] != want {
		t.Fatalf("Set-Cookie = %q, want %q", got, want)
	}
	cookie := "a=b; JSESSIONID=s; __VCAP_ID__=" + id
	if got := r.count(t, 6, "http://a.example.com/ctx/", "Cookie", cookie); got[id] != 6 {
		t.Errorf("with the cookie of %s: %v", id, got)
	}
	for path, n := range map[string]int{"/ctx/own": 2, "/ctx/other": 1, "/ctx": 0} {
		if res, _ := r.get(t, "http://a.example.com"+path); len(res.Header["Set-Cookie"]) != n {
			t.Errorf("%s: Set-Cookie = %q, want %d", path, res.Header["Set-Cookie"], n)
		}
	}
	for i, e := range eps {
		if e.InstanceID == id {
			route.Endpoints = append(append([]Endpoint{}, eps[:i]...), eps[i+1:]...)
		}
	}
	r.set(t, route)
	res, other := r.get(t, "http://a.example.com/ctx", "Cookie", cookie)
	if got := res.Header.Get("Set-Cookie"); other == id || got != "__VCAP_ID__="+other+"; Path=/ctx; HttpOnly" {
		t.Errorf("after %s left, %s answered with Set-Cookie %q", id, other, got)
	}
}
