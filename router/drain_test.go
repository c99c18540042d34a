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
	"testing"
	"time"
)

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
	defer cancel()
	answered := make(chan struct{})
	for _, url := range []string{"http://a.example.com/", "https://a.example.com/", "http://a.example.com/", "https://a.example.com/"} {
		wg.Go(func() {
			defer cancel() // a worker that ends early ends the test
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
				select {
				case answered <- struct{}{}:
				case <-ctx.Done():
				}
			}
		})
	}
	requests := func(n int) {
		for range n {
			select {
			case <-answered:
			case <-ctx.Done():
			}
		}
	}
	for i := range 50 {
		id := fmt.Sprintf("g%d", i+1)
		next, stopNext := stoppable(t, id)
		r.set(t, Route{Host: "a.example.com", Endpoints: []Endpoint{e, next}})
		requests(20)
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
	if s := r.Stats(); s.ByClass[2] < 50*20 || s.ByClass[2] != s.Requests || s.EndpointErrors != 0 {
		t.Errorf("stats %+v, want only successes", s)
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
