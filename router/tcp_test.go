package router

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"strings"
	"sync"
	"testing"
	"time"
)

// tcpApp answers each connection with its id, then with all that it was sent, once the client has said all.
func tcpApp(t testing.TB, id string) Endpoint {
	t.Helper()
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { ln.Close() })
	go func() {
		for {
			c, err := ln.Accept()
			if err != nil {
				return
			}
			go func() {
				defer c.Close()
				io.WriteString(c, id+":")
				said, _ := io.ReadAll(c)
				c.Write(bytes.ToUpper(said))
			}()
		}
	}()
	return Endpoint{Address: ln.Addr().String(), InstanceID: id, AppGUID: "app", ProcessGUID: "proc"}
}

// freeTCPPort returns a port of 127.0.0.1 that nobody listens on.
func freeTCPPort(t testing.TB) int {
	t.Helper()
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer ln.Close()
	return ln.Addr().(*net.TCPAddr).Port
}

func dialPort(t testing.TB, port int) *net.TCPConn {
	t.Helper()
	c, err := net.DialTCP("tcp", nil, &net.TCPAddr{IP: net.IPv4(127, 0, 0, 1), Port: port})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { c.Close() })
	return c
}

// talk says text, ends its half, and returns all that comes back.
func talk(t testing.TB, port int, text string) string {
	t.Helper()
	c := dialPort(t, port)
	if _, err := io.WriteString(c, text); err != nil {
		t.Fatal(err)
	}
	if err := c.CloseWrite(); err != nil {
		t.Fatal(err)
	}
	answer, err := io.ReadAll(c)
	if err != nil {
		t.Fatalf("read the answer: %v", err)
	}
	return string(answer)
}

func TestTCPRouteReachesEveryInstance(t *testing.T) {
	r := start(t, Options{TCPHost: "127.0.0.1"}, CertOptions{})
	port, second := freeTCPPort(t), freeTCPPort(t)
	route := Route{Port: port, AppGUID: "app", Endpoints: []Endpoint{tcpApp(t, "a"), tcpApp(t, "b"), deadEndpoint(t, "dead")}}
	r.set(t, route, Route{Port: second, Endpoints: route.Endpoints[:1]}, Route{Host: "web.example.com", Handler: say("web")})
	big := strings.Repeat("x", 1<<20)
	seen := map[string]int{}
	for range 12 {
		id, rest, _ := strings.Cut(talk(t, port, big), ":")
		if rest != strings.ToUpper(big) {
			t.Fatalf("%s gave %d bytes back, want %d", id, len(rest), len(big))
		}
		seen[id]++
	}
	if seen["a"] == 0 || seen["b"] == 0 || len(seen) != 2 {
		t.Errorf("connections went to %v, want a and b, and those to the dead one elsewhere", seen)
	}
	if got := talk(t, second, "hi"); got != "a:HI" {
		t.Errorf("the other port answered %q", got)
	}
	if s := r.Stats().TCP[port]; s.Connections != 12 || s.BytesIn != 12<<20 || s.Failed != 0 {
		t.Errorf("stats of the port: %+v", s)
	}
	if s, ok := r.AppStats("app"); !ok || s.Connections != 13 {
		t.Errorf("stats of the app: %+v %v", s, ok)
	}
}

func TestTCPRouteGoes(t *testing.T) {
	r := start(t, Options{TCPHost: "127.0.0.1", TCPDrain: time.Millisecond}, CertOptions{})
	port := freeTCPPort(t)
	r.set(t, Route{Port: port, Endpoints: []Endpoint{tcpApp(t, "a")}})
	c := dialPort(t, port)
	if _, err := io.ReadFull(c, make([]byte, 2)); err != nil {
		t.Fatal(err)
	}
	if n := r.InFlight("a"); n != 1 {
		t.Errorf("%d in flight, want the open connection", n)
	}
	if err := r.Change(Change{Remove: []Name{{Port: port}}}); err != nil {
		t.Fatal(err)
	}
	if late, err := net.Dial("tcp", c.RemoteAddr().String()); err == nil {
		late.Close()
		t.Error("the port of a route that is gone takes connections")
	}
	if _, err := io.ReadAll(c); err != nil && !errors.Is(err, net.ErrClosed) && !strings.Contains(err.Error(), "reset") {
		t.Errorf("the connection ended with %v", err)
	}
	if err := r.WaitDrained(t.Context(), "a"); err != nil {
		t.Error(err)
	}
}

func TestTCPConnectionsOutliveTheirInstance(t *testing.T) {
	r := start(t, Options{TCPHost: "127.0.0.1"}, CertOptions{})
	port := freeTCPPort(t)
	old, next := tcpApp(t, "old"), tcpApp(t, "new")
	r.set(t, Route{Port: port, Endpoints: []Endpoint{old}})
	c := dialPort(t, port)
	if _, err := io.ReadFull(c, make([]byte, len("old:"))); err != nil {
		t.Fatal(err)
	}
	r.set(t, Route{Port: port, Endpoints: []Endpoint{next}})
	if got := talk(t, port, ""); got != "new:" {
		t.Errorf("a new connection got %q", got)
	}
	if r.InFlight("old") != 1 {
		t.Error("the old connection is not counted any more")
	}
	io.WriteString(c, "still there")
	c.CloseWrite()
	if got, err := io.ReadAll(c); err != nil || string(got) != "STILL THERE" {
		t.Errorf("the old connection gave %q, %v", got, err)
	}
	if err := r.WaitDrained(t.Context(), "old"); err != nil {
		t.Error(err)
	}
}

// told keeps what is logged and says when something is.
type told struct {
	mu   sync.Mutex
	text strings.Builder
}

func (l *told) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.text.Write(p)
}

func (l *told) String() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.text.String()
}

func TestTCPPortInUse(t *testing.T) {
	var log told
	r := start(t, Options{TCPHost: "127.0.0.1", TCPRetry: time.Millisecond, Logger: slog.New(slog.NewTextHandler(&log, nil))}, CertOptions{})
	other, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	port := other.Addr().(*net.TCPAddr).Port
	free := freeTCPPort(t)
	a := tcpApp(t, "a")
	r.set(t, Route{Port: port, Endpoints: []Endpoint{a}}, Route{Port: free, Endpoints: []Endpoint{a}})
	if got := talk(t, free, "x"); got != "a:X" {
		t.Errorf("the other TCP route answered %q", got)
	}
	if s := r.Stats().TCP[port]; !strings.Contains(s.Error, "in use by another program") {
		t.Errorf("stats of the port: %+v", s)
	}
	other.Close()
	for r.Stats().TCP[port].Error != "" {
		if t.Context().Err() != nil {
			t.Fatal("the port was never opened")
		}
		time.Sleep(time.Millisecond)
	}
	if got := talk(t, port, "x"); got != "a:X" {
		t.Errorf("after the other program left: %q", got)
	}
	if n := strings.Count(log.String(), "a TCP route is not served"); n != 1 {
		t.Errorf("the reason was told %d times, want once: %s", n, log.String())
	}
}

func TestTCPLimits(t *testing.T) {
	r := start(t, Options{TCPHost: "127.0.0.1", TCPConnections: 1, TCPIdleTimeout: 50 * time.Millisecond}, CertOptions{})
	port, empty := freeTCPPort(t), freeTCPPort(t)
	r.set(t, Route{Port: port, Endpoints: []Endpoint{tcpApp(t, "a")}}, Route{Port: empty})
	first := dialPort(t, port)
	if _, err := io.ReadFull(first, make([]byte, 2)); err != nil {
		t.Fatal(err)
	}
	if err := useOf(port); err == nil || !strings.Contains(err.Error(), "reset") {
		t.Errorf("a connection beyond the limit: %v, want a reset", err)
	}
	if err := useOf(empty); err == nil || !strings.Contains(err.Error(), "reset") {
		t.Errorf("a connection to a route without instances: %v, want a reset", err)
	}
	if rest, _ := io.ReadAll(first); len(rest) != 0 { // until the idle limit ends it
		t.Errorf("an idle connection got %q", rest)
	}
	if s := r.Stats().TCP[port]; s.Refused != 1 {
		t.Errorf("stats: %+v", s)
	}
}

// useOf dials the port and reads to the end. A reset may come as early as the dial.
func useOf(port int) error {
	conn, err := net.Dial("tcp", net.JoinHostPort("127.0.0.1", fmt.Sprint(port)))
	if err != nil {
		return err
	}
	defer conn.Close()
	_, err = io.ReadAll(conn)
	return err
}

func TestTCPRouteIsChecked(t *testing.T) {
	for _, bad := range []Route{{Port: 70000}, {Port: 1, Host: "a"}, {Port: 1, Path: "/p"}, {Port: 1, Handler: say("")}, {Port: 1, LoadBalancing: Hash, HashHeader: "X"}} {
		if err := bad.Validate(); err == nil {
			t.Errorf("%+v is accepted", bad)
		}
	}
}
