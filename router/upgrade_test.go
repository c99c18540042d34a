package router

import (
	"bufio"
	"crypto/tls"
	"fmt"
	"io"
	"net"
	"net/http"
	"strings"
	"testing"

	"github.com/coder/websocket"
)

func TestWebSocket(t *testing.T) {
	r := start(t, Options{}, CertOptions{})
	e := app(t, "i", func(w http.ResponseWriter, req *http.Request) {
		c, err := websocket.Accept(w, req, &websocket.AcceptOptions{InsecureSkipVerify: true, Subprotocols: []string{"chat"}})
		if err != nil {
			return
		}
		defer c.CloseNow()
		c.SetReadLimit(1 << 20)
		for {
			kind, data, err := c.Read(req.Context())
			if err != nil {
				return
			}
			if c.Write(req.Context(), kind, data) != nil {
				return
			}
		}
	})
	h2 := e
	h2.Protocol, h2.InstanceID = HTTP2, "i2"
	r.set(t, Route{Host: "a.example.com", Endpoints: []Endpoint{e}}, Route{Host: "b.example.com", Endpoints: []Endpoint{h2}})
	for _, url := range []string{"ws://a.example.com/x", "wss://a.example.com/x", "ws://b.example.com/"} {
		c, res, err := websocket.Dial(t.Context(), url, &websocket.DialOptions{HTTPClient: r.http1, Subprotocols: []string{"chat"}})
		if err != nil {
			t.Fatalf("%s: %v", url, err)
		}
		if c.Subprotocol() != "chat" || res.Header.Get("X-Vcap-Request-Id") == "" {
			t.Errorf("%s: subprotocol %q, header %v", url, c.Subprotocol(), res.Header)
		}
		c.SetReadLimit(1 << 20)
		for _, text := range []string{"hello", strings.Repeat("x", 1<<18)} {
			if err := c.Write(t.Context(), websocket.MessageText, []byte(text)); err != nil {
				t.Fatal(err)
			}
			if _, got, err := c.Read(t.Context()); err != nil || string(got) != text {
				t.Fatalf("%s: echo of %d bytes = %d bytes, %v", url, len(text), len(got), err)
			}
		}
		if n := r.InFlight("i") + r.InFlight("i2"); n != 1 {
			t.Errorf("in flight = %d, want 1", n)
		}
		c.Close(websocket.StatusNormalClosure, "")
		if a := r.nextAccess(t); a.Status != 101 || !a.Upgraded || a.BytesIn < 1<<18 || a.BytesOut < 1<<18 || a.Error != nil {
			t.Errorf("%s: access = %+v", url, a)
		}
	}
}

func TestUpgradeRules(t *testing.T) {
	r := start(t, Options{}, CertOptions{})
	r.set(t, Route{Host: "a.example.com", Endpoints: []Endpoint{app(t, "i", func(w http.ResponseWriter, req *http.Request) {
		if req.URL.Path == "/other" {
			c, rw, _ := http.NewResponseController(w).Hijack()
			defer c.Close()
			rw.WriteString("HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: other\r\n\r\n")
			rw.Flush()
			return
		}
		seen(w, req)
	})}})
	got := r.raw(t, "GET / HTTP/1.1\r\nHost: a.example.com\r\nConnection: Upgrade, HTTP2-Settings, close\r\nUpgrade: h2c\r\nHTTP2-Settings: AAMAAABkAARAAAAAAAIAAAAA\r\n\r\n")
	if !strings.HasPrefix(got, "HTTP/1.1 200") || line(got, "Upgrade") != "" || line(got, "Http2-Settings") != "" {
		t.Errorf("h2c was passed on: %s", got)
	}
	got = r.raw(t, "GET / HTTP/1.1\r\nHost: a.example.com\r\nConnection: Upgrade, close\r\nUpgrade: thing\r\n\r\n")
	if line(got, "Upgrade") != "thing" {
		t.Errorf("the upgrade was not passed on: %s", got)
	}
	got = r.raw(t, "GET /other HTTP/1.1\r\nHost: a.example.com\r\nConnection: Upgrade, close\r\nUpgrade: thing\r\n\r\n")
	if !strings.HasPrefix(got, "HTTP/1.1 502") {
		t.Errorf("an upgrade to something else = %s, want 502", got)
	}
}

// TestUpgradeHalfClose says all from one side first, then all from the other.
func TestUpgradeHalfClose(t *testing.T) {
	r := start(t, Options{}, CertOptions{})
	r.set(t, Route{Host: "a.example.com", Endpoints: []Endpoint{app(t, "i", func(w http.ResponseWriter, _ *http.Request) {
		c, rw, _ := http.NewResponseController(w).Hijack()
		defer c.Close()
		rw.WriteString("HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: thing\r\n\r\n")
		rw.Flush()
		all, _ := io.ReadAll(rw)
		fmt.Fprintf(c, "%d bytes", len(all))
	})}})
	for _, secure := range []bool{false, true} {
		var c net.Conn
		var err error
		if secure {
			c, err = tls.Dial("tcp", r.HTTPSAddr(), &tls.Config{RootCAs: r.roots, ServerName: "a.example.com"})
		} else {
			c, err = net.Dial("tcp", r.HTTPAddr())
		}
		if err != nil {
			t.Fatal(err)
		}
		defer c.Close()
		io.WriteString(c, "GET / HTTP/1.1\r\nHost: a.example.com\r\nConnection: Upgrade\r\nUpgrade: thing\r\n\r\nearly")
		in := bufio.NewReader(c)
		if res, err := http.ReadResponse(in, nil); err != nil || res.StatusCode != 101 {
			t.Fatalf("TLS %v: %v %v", secure, res, err)
		}
		io.WriteString(c, "late")
		c.(interface{ CloseWrite() error }).CloseWrite()
		got, err := io.ReadAll(in)
		if err != nil || string(got) != "9 bytes" {
			t.Errorf("TLS %v: got %q, %v", secure, got, err)
		}
	}
}
