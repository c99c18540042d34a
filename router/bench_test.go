package router

import (
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"net/http/httputil"
	"net/url"
	"testing"
	"time"
)

// BenchmarkProxy is one request and its answer of a kilobyte through real connections, seen from the
// client; direct is the same without the router.
func BenchmarkProxy(b *testing.B) {
	answer := make([]byte, 1024)
	e := app(b, "i", func(w http.ResponseWriter, _ *http.Request) { w.Write(answer) })
	r := start(b, Options{AccessLog: func(Access) {}}, CertOptions{})
	r.set(b, Route{Host: "a.example.com", Endpoints: []Endpoint{e}})
	for _, c := range []struct{ name, url string }{
		{"direct", "http://" + e.Address + "/"},
		{"http1", "http://a.example.com/"},
		{"h2-tls", "https://a.example.com/"},
	} {
		b.Run(c.name, func(b *testing.B) {
			client := r.client
			if c.name == "direct" {
				client = http.DefaultClient
			}
			b.ReportAllocs()
			for b.Loop() {
				res, err := client.Get(c.url)
				if err != nil {
					b.Fatal(err)
				}
				io.Copy(io.Discard, res.Body)
				res.Body.Close()
			}
		})
	}
}

// BenchmarkProxyAlone leaves client and server out: what the router itself and its transport cost. The
// app is a few lines on a raw connection.
func BenchmarkProxyAlone(b *testing.B) {
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		b.Fatal(err)
	}
	defer ln.Close()
	go serveRaw(ln)
	r, err := New(Options{HTTPAddr: "127.0.0.1:0"})
	if err != nil {
		b.Fatal(err)
	}
	e := Endpoint{Address: ln.Addr().String(), InstanceID: "i", AppGUID: "app"}
	if err := r.SetTable(Table{Routes: []Route{{Host: "a.example.com", Endpoints: []Endpoint{e}}}}); err != nil {
		b.Fatal(err)
	}
	req := httptest.NewRequest("GET", "http://a.example.com/x", nil)
	req.RequestURI = "/x"
	b.ReportAllocs()
	for b.Loop() {
		w := httptest.NewRecorder()
		r.ServeHTTP(w, req)
		if w.Code != 200 {
			b.Fatal(w.Code, w.Body)
		}
	}
}

func serveRaw(ln net.Listener) {
	for {
		c, err := ln.Accept()
		if err != nil {
			return
		}
		go func() {
			defer c.Close()
			buf := make([]byte, 4096)
			for {
				if _, err := c.Read(buf); err != nil {
					return
				}
				io.WriteString(c, "HTTP/1.1 200 OK\r\nContent-Length: 2\r\nContent-Type: text/plain\r\n\r\nok")
			}
		}()
	}
}

func BenchmarkSetTable(b *testing.B) {
	for _, n := range []int{10, 10_000} {
		var t Table
		for i := range n {
			t.Routes = append(t.Routes, Route{Host: fmt.Sprintf("app-%d.example.com", i), AppGUID: fmt.Sprint("app-", i), Endpoints: []Endpoint{
				{Address: fmt.Sprintf("10.%d.%d.1:8080", i/250, i%250), InstanceID: fmt.Sprint("i-", i), AppGUID: fmt.Sprint("app-", i)},
			}})
		}
		b.Run(fmt.Sprint(n), func(b *testing.B) {
			r, err := New(Options{HTTPAddr: "127.0.0.1:0"})
			if err != nil {
				b.Fatal(err)
			}
			b.ReportAllocs()
			for b.Loop() {
				if err := r.SetTable(t); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}

type buffers struct{}

func (buffers) Get() []byte  { return copyBuffers.Get().(*[copyBufferBytes]byte)[:] }
func (buffers) Put(b []byte) { copyBuffers.Put((*[copyBufferBytes]byte)(b)) }

// BenchmarkReverseProxy does what BenchmarkProxyAlone does with the standard library's proxy, for comparison.
func BenchmarkReverseProxy(b *testing.B) {
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		b.Fatal(err)
	}
	defer ln.Close()
	go serveRaw(ln)
	p := &httputil.ReverseProxy{
		Rewrite: func(pr *httputil.ProxyRequest) {
			pr.SetURL(&url.URL{Scheme: "http", Host: ln.Addr().String()})
			pr.SetXForwarded()
		},
		BufferPool: buffers{},
		Transport:  (&endpoint{Endpoint: Endpoint{Address: ln.Addr().String()}, dial: &dialing{maxIdle: 128, idleTimeout: time.Minute}}).newTransport(),
	}
	req := httptest.NewRequest("GET", "http://a.example.com/x", nil)
	b.ReportAllocs()
	for b.Loop() {
		w := httptest.NewRecorder()
		p.ServeHTTP(w, req)
		if w.Code != 200 {
			b.Fatal(w.Code, w.Body)
		}
	}
}
