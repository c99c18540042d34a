package router

import (
	"bufio"
	"io"
	"net"
	"net/http"
	"strings"
	"sync/atomic"
	"testing"
	"time"
)

func TestRetryOnRefusedConnection(t *testing.T) {
	for _, protocol := range []string{HTTP1, HTTP2} {
		t.Run(protocol, func(t *testing.T) { testRetry(t, protocol) })
	}
}

func testRetry(t *testing.T, protocol string) {
	r := start(t, Options{}, CertOptions{})
	eps := append(named(t, 1), deadEndpoint(t, "dead0"), deadEndpoint(t, "dead1"))
	for i := range eps {
		eps[i].Protocol = protocol
	}
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
