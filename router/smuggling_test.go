package router

import (
	"io"
	"net/http"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
)

// TestSmuggling sends what proxies have disagreed about (RFC 9112 11.2). Either the router refuses, or the
// app sees exactly the requests that the router has seen.
func TestSmuggling(t *testing.T) {
	var mu sync.Mutex
	var got []string
	r := start(t, Options{}, CertOptions{})
	r.set(t, Route{Host: "a.example.com", Endpoints: []Endpoint{app(t, "i", func(_ http.ResponseWriter, r *http.Request) {
		body, err := io.ReadAll(r.Body)
		if err != nil {
			return // not a request that anybody could act upon
		}
		mu.Lock()
		defer mu.Unlock()
		got = append(got, r.Method+" "+r.URL.Path+" "+string(body))
	})}})
	const host = "Host: a.example.com\r\n"
	const evil = "GET /evil HTTP/1.1\r\nHost: a.example.com\r\n\r\n"
	for _, c := range []struct {
		name, request, status string
		app                   string // what the app may see, joined by "; "
	}{
		{"both lengths", "POST / HTTP/1.1\r\n" + host + "Content-Length: 4\r\nTransfer-Encoding: chunked\r\nConnection: close\r\n\r\n1\r\nx\r\n0\r\n\r\n", "200", "POST / x"},
		{"two lengths", "POST / HTTP/1.1\r\n" + host + "Content-Length: 4\r\nContent-Length: 5\r\n\r\nabcde", "400", ""},
		{"length list", "POST / HTTP/1.1\r\n" + host + "Content-Length: 4, 5\r\n\r\nabcde", "400", ""},
		{"signed length", "POST / HTTP/1.1\r\n" + host + "Content-Length: +4\r\n\r\nabcd", "400", ""},
		{"negative length", "POST / HTTP/1.1\r\n" + host + "Content-Length: -1\r\n\r\n" + evil, "400", ""},
		{"hex length", "POST / HTTP/1.1\r\n" + host + "Content-Length: 0x4\r\n\r\nabcd", "400", ""},
		{"space before colon", "POST / HTTP/1.1\r\n" + host + "Content-Length : 4\r\n\r\nabcd", "400", ""},
		{"odd coding", "POST / HTTP/1.1\r\n" + host + "Transfer-Encoding: xchunked\r\n\r\n0\r\n\r\n", "501", ""},
		{"coding list", "POST / HTTP/1.1\r\n" + host + "Transfer-Encoding: identity, chunked\r\n\r\n0\r\n\r\n", "501", ""},
		{"two codings", "POST / HTTP/1.1\r\n" + host + "Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n", "501", ""},
		{"vertical tab", "POST / HTTP/1.1\r\n" + host + "Transfer-Encoding:\x0bchunked\r\n\r\n0\r\n\r\n", "", ""},
		{"chunk extension with bare LF", "POST / HTTP/1.1\r\n" + host + "Transfer-Encoding: chunked\r\n\r\n1;\nx\r\nx\r\n0\r\n\r\n", "400", ""},
		{"huge chunk", "POST / HTTP/1.1\r\n" + host + "Transfer-Encoding: chunked\r\n\r\nfffffffffffffffff\r\nx\r\n0\r\n\r\n", "400", ""},
		{"no host", "GET / HTTP/1.1\r\n\r\n", "400", ""},
		{"two hosts", "GET / HTTP/1.1\r\n" + host + "Host: b.example.com\r\n\r\n", "400", ""},
		{"host with a path", "GET / HTTP/1.1\r\nHost: a.example.com/evil\r\n\r\n", "400", ""},
		{"host with an at", "GET / HTTP/1.1\r\nHost: x@a.example.com\r\n\r\n", "400", ""},
		{"absolute form wins", "GET http://a.example.com/abs HTTP/1.1\r\nHost: b.example.com\r\nConnection: close\r\n\r\n", "200", "GET /abs "},
		{"NUL in a value", "GET / HTTP/1.1\r\n" + host + "X-A: a\x00b\r\n\r\n", "400", ""},
		{"CR in a value", "GET / HTTP/1.1\r\n" + host + "X-A: a\rb\r\n\r\n", "400", ""},
		{"space in the target", "GET /a b HTTP/1.1\r\n" + host + "\r\n", "400", ""},
		{"field on the first line", "GET / HTTP/1.1\r\n Host: a.example.com\r\n\r\n", "400", ""},
		{"connect", "CONNECT a.example.com:80 HTTP/1.1\r\n" + host + "Connection: close\r\n\r\n", "405", ""},
		{"old with a coding", "POST / HTTP/1.0\r\n" + host + "Connection: keep-alive\r\nTransfer-Encoding: chunked\r\n\r\n" + evil, "200", "POST / "},
		{"body on a GET", "GET / HTTP/1.1\r\n" + host + "Content-Length: 3\r\nConnection: close\r\n\r\nabc", "200", "GET / abc"},
		{"bytes after the body", "POST / HTTP/1.1\r\n" + host + "Content-Length: 1\r\nConnection: close\r\n\r\nx" + evil, "200", "POST / x"},
		{"pipelined", "GET /1 HTTP/1.1\r\n" + host + "\r\nGET /2 HTTP/1.1\r\n" + host + "Connection: close\r\n\r\n", "200", "GET /1 ; GET /2 "},
	} {
		mu.Lock()
		got = nil
		mu.Unlock()
		answer, minor := r.raw(t, c.request), "1"
		if strings.Contains(c.request, "HTTP/1.0\r\n") {
			minor = "0"
		}
		if !strings.HasPrefix(answer, "HTTP/1."+minor+" "+c.status) {
			t.Errorf("%s: answer %.80q, want status %s", c.name, answer, c.status)
		}
		mu.Lock()
		seen := strings.Join(got, "; ")
		mu.Unlock()
		if strings.Contains(seen, "evil") || c.status != "" && seen != c.app {
			t.Errorf("%s: the app saw %q, want %q", c.name, seen, c.app)
		}
	}
}

// TestBrokenResponses has an app say what must not pass.
func TestBrokenResponses(t *testing.T) {
	r := start(t, Options{}, CertOptions{})
	var answer atomic.Value
	r.set(t, Route{Host: "a.example.com", Endpoints: []Endpoint{app(t, "i", func(w http.ResponseWriter, _ *http.Request) {
		c, rw, _ := http.NewResponseController(w).Hijack()
		defer c.Close()
		rw.WriteString(answer.Load().(string))
		rw.Flush()
	})}})
	for _, text := range []string{
		"", "nonsense\r\n\r\n", "HTTP/1.1 200 OK\r\nContent-Length: 1\r\nContent-Length: 2\r\n\r\nab",
		"HTTP/1.1 200 OK\r\nX: a\x00b\r\n\r\n", "HTTP/1.1 200 OK\r\nX: " + strings.Repeat("x", 2<<20) + "\r\n\r\n",
	} {
		answer.Store(text)
		res, body := r.get(t, "http://a.example.com/")
		if res.StatusCode != 502 || res.Header.Get(headerRouterError) != "endpoint_failure" {
			t.Errorf("app said %.60q, client got %d %q", text, res.StatusCode, body)
		}
	}
}
