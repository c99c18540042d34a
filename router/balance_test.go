package router

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"
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
	want := "__VCAP_ID__=" + id + "; Path=/ctx; Max-Age=60; HttpOnly; Secure; SameSite=Lax"
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

func TestRetryOnRefusedConnection(t *testing.T) {
	r := start(t, Options{}, CertOptions{})
	eps := append(named(t, 1), deadEndpoint(t, "dead0"), deadEndpoint(t, "dead1"))
	r.set(t, Route{Host: "a.example.com", Endpoints: eps}, Route{Host: "dead.example.com", Endpoints: eps[1:]})
	for i := range 20 {
		res, text := r.do(t, "POST", "http://a.example.com/", strings.NewReader("body"))
		if res.StatusCode != 200 || text != "i0" {
			t.Fatalf("request %d = %d %q", i, res.StatusCode, text)
		}
	}
	s := r.Stats()
	if s.Retries == 0 || s.Retries > 4 {
		t.Errorf("retries = %d, want a few until both dead instances are ejected", s.Retries)
	}
	res, text := r.get(t, "http://dead.example.com/")
	if res.StatusCode != 502 || res.Header.Get(headerRouterError) != "endpoint_failure" || !strings.Contains(text, "could not be reached") {
		t.Errorf("all dead = %d %q", res.StatusCode, text)
	}
	for range 21 {
		r.nextAccess(t)
	}
	if a := r.access[20]; a.Attempts != 2 || a.Error == nil || a.Status != 502 {
		t.Errorf("access = %+v", a)
	}
}

func TestEjection(t *testing.T) {
	var e endpoint
	now := time.Unix(1000, 0)
	for _, want := range []time.Duration{1, 2, 4, 8, 16, 30, 30} {
		e.refused(now)
		if until := time.Unix(0, e.ejectedUntil.Load()); until != now.Add(want*time.Second) {
			t.Errorf("ejected for %v, want %v s", until.Sub(now), int64(want))
		}
	}
	if !e.ejected(now.UnixNano()) || e.ejected(now.Add(31*time.Second).UnixNano()) {
		t.Error("ejection does not begin or end")
	}
	e.answered()
	if e.ejected(now.UnixNano()) {
		t.Error("an answer does not end the ejection")
	}
}

// dyingApp keeps a connection alive and closes it without an answer when the second request comes.
func dyingApp(t *testing.T) (Endpoint, *atomic.Int32) {
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { ln.Close() })
	var requests atomic.Int32
	go func() {
		for {
			c, err := ln.Accept()
			if err != nil {
				return
			}
			go func() {
				defer c.Close()
				in := bufio.NewReader(c)
				for i := range 2 {
					req, err := http.ReadRequest(in)
					if err != nil {
						return
					}
					io.Copy(io.Discard, req.Body)
					requests.Add(1)
					if i == 0 {
						io.WriteString(c, "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok")
					}
				}
			}()
		}
	}()
	return Endpoint{Address: ln.Addr().String(), InstanceID: "dying", AppGUID: "app"}, &requests
}

func TestKeptConnectionDies(t *testing.T) {
	for _, c := range []struct {
		method, body string
		second       int // status
		requests     int32
	}{
		{"GET", "", 200, 3}, // sent twice
		{"PUT", "", 200, 3},
		{"DELETE", "", 200, 3},
		{"POST", "", 502, 2}, // might have had its effect
		{"PUT", "x", 502, 2}, // its body is gone
	} {
		r := start(t, Options{UpstreamIdleTimeout: time.Minute}, CertOptions{})
		e, requests := dyingApp(t)
		r.set(t, Route{Host: "a.example.com", Endpoints: []Endpoint{e}})
		r.get(t, "http://a.example.com/")
		var body io.Reader
		if c.body != "" {
			body = strings.NewReader(c.body)
		}
		res, _ := r.do(t, c.method, "http://a.example.com/", body)
		if res.StatusCode != c.second || requests.Load() != c.requests {
			t.Errorf("%s %q = %d after %d requests, want %d after %d", c.method, c.body, res.StatusCode, requests.Load(), c.second, c.requests)
		}
	}
}

func TestDrain(t *testing.T) {
	r := start(t, Options{}, CertOptions{})
	began, finish := make(chan struct{}), make(chan struct{})
	old := app(t, "old", func(w http.ResponseWriter, _ *http.Request) {
		began <- struct{}{}
		<-finish
		io.WriteString(w, "old")
	})
	r.set(t, Route{Host: "a.example.com", Endpoints: []Endpoint{old}})
	answer := make(chan string, 1)
	go func() {
		res, err := r.http1.Get("http://a.example.com/")
		if err != nil {
			answer <- err.Error()
			return
		}
		defer res.Body.Close()
		text, _ := io.ReadAll(res.Body)
		answer <- string(text)
	}()
	<-began
	drained := make(chan error, 1)
	go func() { drained <- r.WaitDrained(t.Context(), "old") }()
	r.set(t, Route{Host: "a.example.com", Endpoints: []Endpoint{app(t, "new", say("new"))}})
	if n := r.InFlight("old"); n != 1 {
		t.Errorf("in flight = %d, want 1", n)
	}
	if _, text := r.get(t, "http://a.example.com/"); text != "new" {
		t.Errorf("after the change: %q", text)
	}
	ctx, cancel := context.WithCancelCause(t.Context())
	cancel(io.ErrNoProgress)
	if err := r.WaitDrained(ctx, "old"); !errors.Is(err, io.ErrNoProgress) {
		t.Errorf("WaitDrained = %v while a request is in flight", err)
	}
	close(finish)
	if text := <-answer; text != "old" {
		t.Errorf("the request in flight got %q", text)
	}
	if err := <-drained; err != nil || r.InFlight("old") != 0 {
		t.Errorf("WaitDrained = %v, in flight %d", err, r.InFlight("old"))
	}
	if err := r.WaitDrained(t.Context(), "never"); err != nil {
		t.Errorf("WaitDrained of an unknown instance = %v", err)
	}
}

// TestSwapUnderLoad rolls through instances as a deployment does: the new one enters, the old one leaves,
// drains and only then stops. No request may fail.
func TestSwapUnderLoad(t *testing.T) {
	r := start(t, Options{AccessLog: func(Access) {}}, CertOptions{})
	e, stop := stoppable(t, "g0")
	r.set(t, Route{Host: "a.example.com", Endpoints: []Endpoint{e}})
	ctx, cancel := context.WithCancel(t.Context())
	var wg sync.WaitGroup
	var requests atomic.Int64
	for _, url := range []string{"http://a.example.com/", "https://a.example.com/", "http://a.example.com/", "https://a.example.com/"} {
		wg.Go(func() {
			for ctx.Err() == nil {
				res, err := r.client.Post(url, "text/plain", strings.NewReader("x"))
				if err != nil {
					t.Errorf("request: %v", err)
					return
				}
				text, err := io.ReadAll(res.Body)
				res.Body.Close()
				if err != nil || res.StatusCode != 200 || !strings.HasPrefix(string(text), "g") {
					t.Errorf("request: %d %q %v", res.StatusCode, text, err)
					return
				}
				requests.Add(1)
			}
		})
	}
	for i := range 50 {
		id := fmt.Sprintf("g%d", i+1)
		next, stopNext := stoppable(t, id)
		r.set(t, Route{Host: "a.example.com", Endpoints: []Endpoint{e, next}})
		waitFor(t, &requests, 20)
		r.set(t, Route{Host: "a.example.com", Endpoints: []Endpoint{next}})
		if err := r.WaitDrained(t.Context(), e.InstanceID); err != nil {
			t.Fatal(err)
		}
		stop()
		e, stop = next, stopNext
	}
	cancel()
	wg.Wait()
	stop()
	if s := r.Stats(); s.ByClass[2] != uint64(requests.Load()) || s.EndpointErrors != 0 {
		t.Errorf("%d requests, stats %+v", requests.Load(), s)
	}
}

// stoppable is an app whose end closes all its connections at once.
func stoppable(t *testing.T, id string) (Endpoint, func()) {
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	s := &http.Server{Handler: http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		io.Copy(io.Discard, r.Body)
		io.WriteString(w, id)
	})}
	go s.Serve(ln)
	t.Cleanup(func() { s.Close() })
	return Endpoint{Address: ln.Addr().String(), InstanceID: id, AppGUID: "app"}, func() { s.Close() }
}

// waitFor returns after n more requests.
func waitFor(t *testing.T, requests *atomic.Int64, n int64) {
	until := requests.Load() + n
	for requests.Load() < until && !t.Failed() {
		time.Sleep(time.Millisecond)
	}
}

func TestServeDrainsAtEnd(t *testing.T) {
	r := start(t, Options{}, CertOptions{})
	began, finish := make(chan struct{}), make(chan struct{})
	r.set(t, Route{Host: "a.example.com", Endpoints: []Endpoint{app(t, "i", func(w http.ResponseWriter, req *http.Request) {
		if req.Header.Get("Upgrade") != "" {
			c, rw, _ := http.NewResponseController(w).Hijack()
			rw.WriteString("HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: thing\r\n\r\n")
			rw.Flush()
			io.Copy(io.Discard, c)
			c.Close()
			return
		}
		began <- struct{}{}
		<-finish
		io.WriteString(w, "done")
	})}})
	up, err := net.Dial("tcp", r.HTTPAddr())
	if err != nil {
		t.Fatal(err)
	}
	defer up.Close()
	io.WriteString(up, "GET / HTTP/1.1\r\nHost: a.example.com\r\nConnection: Upgrade\r\nUpgrade: thing\r\n\r\n")
	upgraded := bufio.NewReader(up)
	if res, err := http.ReadResponse(upgraded, nil); err != nil || res.StatusCode != 101 {
		t.Fatal(res, err)
	}
	answer := make(chan string, 1)
	go func() {
		res, err := r.client.Get("https://a.example.com/")
		if err != nil {
			answer <- err.Error()
			return
		}
		defer res.Body.Close()
		text, _ := io.ReadAll(res.Body)
		answer <- string(text)
	}()
	<-began
	stopped := make(chan struct{})
	go func() {
		r.stop()
		close(stopped)
	}()
	io.Copy(io.Discard, upgraded) // ends at once: an upgraded connection cannot outlive the router
	if c, err := net.Dial("tcp", r.HTTPAddr()); err == nil {
		c.Close()
		t.Error("the port is open while the router drains")
	}
	close(finish)
	if text := <-answer; text != "done" {
		t.Errorf("the request in flight got %q", text)
	}
	<-stopped
}

func TestServeCutsAfterGrace(t *testing.T) {
	r := start(t, Options{DrainTimeout: 50 * time.Millisecond}, CertOptions{})
	began, ended := make(chan struct{}), make(chan struct{})
	r.set(t, Route{Host: "a.example.com", Endpoints: []Endpoint{app(t, "i", func(w http.ResponseWriter, r *http.Request) {
		began <- struct{}{}
		<-r.Context().Done()
		close(ended)
	})}})
	go r.http1.Get("http://a.example.com/")
	<-began
	r.stop()
	<-ended
}
