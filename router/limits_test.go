package router

import (
	"context"
	"errors"
	"io"
	"net"
	"net/http"
	"strings"
	"testing"
	"time"
)

func TestClientAbortReachesApp(t *testing.T) {
	r := start(t, Options{}, CertOptions{})
	began, ended := make(chan struct{}), make(chan struct{})
	r.set(t, Route{Host: "a.example.com", Endpoints: []Endpoint{app(t, "i", func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path == "/body" {
			w.(http.Flusher).Flush()
		}
		if r.URL.Path != "/body" {
			began <- struct{}{}
		}
		<-r.Context().Done()
		ended <- struct{}{}
	})}})
	for _, url := range []string{"http://a.example.com/", "https://a.example.com/", "http://a.example.com/body", "https://a.example.com/body"} {
		ctx, cancel := context.WithCancel(t.Context())
		req, _ := http.NewRequestWithContext(ctx, "GET", url, nil)
		if !strings.HasSuffix(url, "body") {
			go func() {
				<-began
				cancel()
			}()
		}
		if res, err := r.client.Do(req); err == nil {
			cancel()
			if _, err = io.ReadAll(res.Body); err == nil {
				t.Errorf("%s: the body came to an end", url)
			}
			res.Body.Close()
		}
		cancel()
		<-ended
		want := 499
		if strings.HasSuffix(url, "body") {
			want = 200
		}
		if a := r.nextAccess(t); a.Status != want || a.Error == nil {
			t.Errorf("%s: access = %d %v, want %d with an error", url, a.Status, a.Error, want)
		}
	}
}

func TestUpstreamAbort(t *testing.T) {
	r := start(t, Options{}, CertOptions{})
	e := app(t, "i", func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path != "/early" {
			io.WriteString(w, strings.Repeat("x", 100_000))
			w.(http.Flusher).Flush()
		}
		panic(http.ErrAbortHandler)
	})
	h2 := e
	h2.Protocol, h2.InstanceID = HTTP2, "i2"
	r.set(t, Route{Host: "h1.example.com", Endpoints: []Endpoint{e}}, Route{Host: "h2.example.com", Endpoints: []Endpoint{h2}})
	for _, base := range []string{"http://h1.example.com", "https://h1.example.com", "https://h2.example.com"} {
		res, err := r.client.Get(base + "/mid")
		if err != nil {
			t.Fatal(err)
		}
		if _, err := io.ReadAll(res.Body); err == nil {
			t.Errorf("%s: a body cut short looked whole", base)
		}
		res.Body.Close()
		if a := r.nextAccess(t); a.Error == nil || a.Status != 200 {
			t.Errorf("%s: access = %+v", base, a)
		}
		res, text := r.get(t, base+"/early")
		if res.StatusCode != 502 || res.Header.Get(headerRouterError) != "endpoint_failure" || !strings.Contains(text, "closed the connection") {
			t.Errorf("%s: early abort = %d %q", base, res.StatusCode, text)
		}
		r.nextAccess(t)
	}
}

func TestTimeouts(t *testing.T) {
	release := make(chan struct{})
	defer close(release)
	r := start(t, Options{ResponseHeaderTimeout: 20 * time.Millisecond, BodyReadTimeout: 50 * time.Millisecond}, CertOptions{})
	r.set(t, Route{Host: "slow.example.com", Endpoints: []Endpoint{app(t, "i", func(http.ResponseWriter, *http.Request) { <-release })}},
		Route{Host: "reads.example.com", Endpoints: []Endpoint{app(t, "j", func(_ http.ResponseWriter, r *http.Request) { io.ReadAll(r.Body) })}})
	if res, text := r.get(t, "http://slow.example.com/"); res.StatusCode != 504 || !strings.Contains(text, "in time") {
		t.Errorf("slow app = %d %q, want 504", res.StatusCode, text)
	}
	got := r.raw(t, "POST / HTTP/1.1\r\nHost: reads.example.com\r\nContent-Length: 10\r\n\r\nhalf")
	if !strings.HasPrefix(got, "HTTP/1.1 408 ") {
		t.Errorf("a body that stops = %q, want 408", got)
	}
}

func TestSlowClients(t *testing.T) {
	sent := make(chan error, 1)
	r := start(t, Options{ReadHeaderTimeout: 30 * time.Millisecond, WriteTimeout: 50 * time.Millisecond}, CertOptions{})
	r.set(t, Route{Host: "a.example.com", Endpoints: []Endpoint{app(t, "i", func(w http.ResponseWriter, _ *http.Request) {
		_, err := io.Copy(w, zeros(1<<30))
		sent <- err
	})}})
	if got := r.raw(t, "GET / HTTP/1.1\r\nHost: a.ex"); strings.Contains(got, "200") {
		t.Errorf("half a header = %q", got)
	}
	c, err := net.Dial("tcp", r.HTTPAddr())
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	io.WriteString(c, "GET / HTTP/1.1\r\nHost: a.example.com\r\n\r\n") // and never read
	if err := <-sent; err == nil {
		t.Error("the app sent a gigabyte to a client that reads nothing")
	}
	if a := r.nextAccess(t); a.Error == nil {
		t.Errorf("access = %+v", a)
	}
}

func TestOversizedHeader(t *testing.T) {
	r := start(t, Options{MaxHeaderBytes: 8 << 10}, CertOptions{})
	r.set(t, Route{Host: "a.example.com", Endpoints: []Endpoint{app(t, "i", say("x"))}})
	got := r.raw(t, "GET / HTTP/1.1\r\nHost: a.example.com\r\nX-Big: "+strings.Repeat("x", 20<<10)+"\r\n\r\n")
	if !strings.HasPrefix(got, "HTTP/1.1 431 ") {
		t.Errorf("oversized header = %.60q, want 431", got)
	}
	if res, err := r.client.Do(mustRequest("https://a.example.com/", "X-Big", strings.Repeat("x", 20<<10))); err == nil && res.StatusCode != 431 {
		t.Errorf("oversized header over HTTP/2 = %d", res.StatusCode)
	}
	if res, _ := r.get(t, "https://a.example.com/"); res.StatusCode != 200 {
		t.Errorf("afterwards = %d", res.StatusCode)
	}
}

func mustRequest(url string, header ...string) *http.Request {
	req, err := http.NewRequest("GET", url, nil)
	if err != nil {
		panic(err)
	}
	for i := 0; i < len(header); i += 2 {
		req.Header.Set(header[i], header[i+1])
	}
	return req
}

func TestCloseGivesPortsUp(t *testing.T) {
	r, err := New(Options{HTTPAddr: "127.0.0.1:0"})
	if err != nil {
		t.Fatal(err)
	}
	if err := errors.Join(r.Listen(t.Context()), r.Close()); err != nil {
		t.Error(err)
	}
	if _, err := net.Dial("tcp", r.HTTPAddr()); err == nil {
		t.Error("the port is open after Close")
	}
}
