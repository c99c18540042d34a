package outpost

import (
	"crypto/tls"
	"encoding/pem"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/cupola-paas/cupola/controller/routerfeed"
	"github.com/cupola-paas/cupola/router"
)

// TestFollow: the table, its changes, certificates, the platform's own names, the log and the counts.
func TestFollow(t *testing.T) {
	c := newController(t)
	one, two := app(t, "one"), app(t, "two")
	c.set(route("a.example.localhost", one))
	o := c.outpost(t.TempDir())
	o.answers("https://a.example.localhost/x", 200, "one")
	o.answers("http://a.example.localhost/x", 200, "one")
	c.change(router.Change{Set: []router.Route{route("b.example.localhost", two), route("*.wild.localhost", one)}})
	o.answers("https://b.example.localhost/", 200, "two")
	o.answers("https://any.wild.localhost/", 200, "one")
	c.change(router.Change{Remove: []router.Name{{Host: "b.example.localhost"}}})
	o.answers("http://b.example.localhost/", 404, "")

	// The same instance at another address is never asked at the old one.
	moved := app(t, "moved")
	moved.InstanceID = one.InstanceID
	c.change(router.Change{Set: []router.Route{route("a.example.localhost", moved)}})
	o.answers("http://a.example.localhost/", 200, "moved")
	for range 20 {
		if _, body, err := o.get("http://a.example.localhost/"); body != "moved" {
			t.Fatalf("after the address has changed %q answers, %v", body, err)
		}
	}
	o.answers("https://api.example.com/", 200, "tls=true")
	o.answers("http://api.example.com/", 200, "as 127.0.0.1, tls=false")
	eventually(t, func() string { return "the lines of the access log arrive" }, func() bool {
		return slices.ContainsFunc(c.logged(), func(a router.Access) bool {
			return a.Host == "a.example.localhost" && a.URI == "/x" && a.Status == 200 && a.InstanceID == "one" && a.AppGUID == "app"
		})
	})
	eventually(t, func() string { return "the requests are counted" }, func() bool {
		s, ok := c.feed.AppStats("app")
		return ok && s.Requests >= 20 && s.Recent >= 20 && s.P50 > 0
	})
	eventually(t, func() string { return fmt.Sprint("the edges arrive: ", c.feed.Edges()) }, func() bool {
		all := c.feed.Edges()
		return len(all) == 1 && all[0].Callee == "app" && all[0].Caller == "" && all[0].Counts[router.Answered] >= 20
	})
	if s := c.feed.Routers()["n1"]; !s.Connected || !s.Current {
		t.Errorf("the router is %+v", s)
	}
}

// TestCallers: a container on the router's machine is known by its address.
func TestCallers(t *testing.T) {
	c := newController(t)
	c.set(route("a.example.localhost", app(t, "one")))
	c.feed.SetCallersAt(map[string]map[netip.Addr]string{"127.0.0.1": {netip.MustParseAddr("127.0.0.1"): "caller"}, "10.0.0.1": {netip.MustParseAddr("127.0.0.1"): "other"}})
	o := c.outpost(t.TempDir())
	eventually(t, func() string { return fmt.Sprint("the caller is known: ", c.feed.Edges()) }, func() bool {
		_, _, _ = o.get("http://a.example.localhost/")
		return slices.ContainsFunc(c.feed.Edges(), func(e router.Edge) bool { return e.Caller == "caller" && e.Counts[router.Answered] > 0 })
	})
}

// TestDrain: an instance is drained when no router elsewhere sends it anything any more.
func TestDrain(t *testing.T) {
	c := newController(t)
	began, finish := make(chan struct{}), make(chan struct{})
	s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		close(began)
		<-finish
		io.WriteString(w, "slow")
	}))
	defer s.Close()
	slow := router.Endpoint{Address: s.Listener.Addr().String(), InstanceID: "slow", AppGUID: "app"}
	c.set(route("a.example.localhost", slow), route("b.example.localhost", app(t, "b")))
	o := c.outpost(t.TempDir())
	o.answers("http://b.example.localhost/", 200, "b")
	answered := make(chan string, 1)
	go func() {
		_, body, err := o.get("http://a.example.localhost/")
		answered <- fmt.Sprint(body, err)
	}()
	<-began
	c.change(router.Change{Remove: []router.Name{{Host: "a.example.localhost"}}})
	drained := make(chan error, 1)
	go func() { drained <- c.feed.WaitDrained(t.Context(), "slow") }()
	o.answers("http://a.example.localhost/", 404, "") // the router has heard of it
	select {
	case err := <-drained:
		t.Fatalf("drained with a request in flight elsewhere: %v", err)
	case <-time.After(300 * time.Millisecond):
	}
	close(finish)
	if got := <-answered; got != "slow<nil>" {
		t.Errorf("the request in flight ended with %s", got)
	}
	if err := <-drained; err != nil {
		t.Error(err)
	}
}

// TestInside: what only the controller's machine reaches is reached through it, and nothing else is.
func TestInside(t *testing.T) {
	c := newController(t)
	inside, other := app(t, "inside"), app(t, "other")
	inside.Inside = true
	c.set(route("a.example.localhost", inside))
	o := c.outpost(t.TempDir())
	o.answers("https://a.example.localhost/", 200, "inside")
	p := &Outpost{o: Options{Door: c.addr, TLS: &tls.Config{InsecureSkipVerify: true}}}
	if _, err := p.relay(t.Context(), other.Address); err == nil || !strings.Contains(err.Error(), "no route leads there") {
		t.Errorf("an address of no route is reached: %v", err)
	}
}

// TestSecrets: a router gets nothing for names that are not routed, nor for the platform's own.
func TestSecrets(t *testing.T) {
	c := newController(t)
	c.set(route("a.example.localhost", app(t, "one")))
	p := &Outpost{o: Options{Door: c.addr, TLS: &tls.Config{InsecureSkipVerify: true}, Log: quiet}, log: quiet, keep: &keeper{}}
	p.door = newClient(p.o.TLS)
	defer p.door.CloseIdleConnections()
	dir := t.TempDir()
	if err := os.Mkdir(filepath.Join(dir, certFolder), 0o700); err != nil {
		t.Fatal(err)
	}
	certs, err := openCertificates(dir, p)
	if err != nil {
		t.Fatal(err)
	}
	if err := certs.ask(t.Context(), []string{"a.example.localhost", "api.example.com", "b.example.localhost", "localhost"}, false); err != nil {
		t.Fatal(err)
	}
	if len(certs.byName) != 1 || certs.get("a.example.localhost") == nil {
		t.Errorf("certificates came for %v", certs.byName)
	}
	leaf := certs.get("a.example.localhost").cert.Leaf
	if life := leaf.NotAfter.Sub(leaf.NotBefore); life > routerfeed.LocalLife+2*time.Hour || leaf.IsCA {
		t.Errorf("the certificate is good for %s, of a CA: %t", life, leaf.IsCA)
	}
	err = filepath.WalkDir(dir, func(path string, d os.DirEntry, err error) error {
		if err != nil || d.IsDir() {
			return err
		}
		text, err := os.ReadFile(path)
		block, _ := pem.Decode(c.certs.CAPEM())
		if err == nil && strings.Contains(string(text), string(block.Bytes)) {
			t.Errorf("%s", path)
		}
		return err
	})
	if err != nil {
		t.Error(err)
	}
	c.allowed.Store(false)
	if err := certs.ask(t.Context(), []string{"a.example.localhost"}, false); err == nil || !strings.Contains(err.Error(), "may not route") {
		t.Errorf("a router that may not route is answered: %v", err)
	}
}

// TestZone: a zone that changes at the controller holds for the table that the router has.
func TestZone(t *testing.T) {
	c := newController(t)
	north, south := app(t, "north"), app(t, "south")
	north.Zone, south.Zone = "north", "south"
	c.set(route("a.example.localhost", north, south))
	o := c.outpost(t.TempDir())
	only := func(name string) func() bool {
		return func() bool {
			for range 10 {
				if _, body, _ := o.get("http://a.example.localhost/"); body != name {
					return false
				}
			}
			return true
		}
	}
	eventually(t, func() string { return "instances of the north answer" }, only("north"))
	c.mu.Lock()
	c.settings.Zone = "south"
	c.mu.Unlock()
	eventually(t, func() string { return "instances of the south answer" }, only("south"))
}

// TestLines: what there is no room for is counted, and what could not be sent comes back.
func TestLines(t *testing.T) {
	l := newLines()
	for range linesRoom + 5 {
		l.add(router.Access{AppGUID: "app"})
	}
	l.add(router.Access{}) // of no app
	some, dropped := l.take()
	if len(some) != routerfeed.MaxLines || dropped != 5 {
		t.Fatalf("%d lines, %d dropped", len(some), dropped)
	}
	l.add(router.Access{AppGUID: "app"})
	l.back(some, dropped)
	if len(l.list) != linesRoom || l.dropped != 6 {
		t.Errorf("after what was taken came back there are %d lines and %d dropped", len(l.list), l.dropped)
	}
}
