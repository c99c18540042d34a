package outpost

import (
	"cmp"
	"context"
	"crypto/tls"
	"crypto/x509"
	"encoding/pem"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/caddyserver/certmagic"

	"github.com/cupola-paas/cupola/controller/routerfeed"
	"github.com/cupola-paas/cupola/router"
)

const limit = 30 * time.Second // for what takes milliseconds on a machine that is not busy

var quiet = slog.New(slog.DiscardHandler)

// controller is a router with its feed behind a door that believes everybody to be the node n1.
type controller struct {
	t      *testing.T
	dir    string // of the certificates, which outlive it
	router *router.Router
	certs  *router.Certificates
	feed   *routerfeed.Feed
	door   *httptest.Server
	addr   string // of the door; the same after a restart
	stop   func()

	mu       sync.Mutex
	settings routerfeed.Settings
	lines    []router.Access
	allowed  atomic.Bool
}

func newController(t *testing.T) *controller {
	c := &controller{t: t, dir: t.TempDir(), addr: "127.0.0.1:0"}
	c.allowed.Store(true)
	c.settings = routerfeed.Settings{Platform: []string{"api.example.com"}, ServiceKey: make([]byte, 32), Zone: "north"}
	c.start()
	return c
}

// start starts another process, as far as anybody can tell: with another feed, at the same address.
func (c *controller) start() {
	c.t.Helper()
	var err error
	c.certs, err = router.NewCertificates(router.CertOptions{Storage: &certmagic.FileStorage{Path: c.dir}, Allowed: func(string) bool { return true }, Logger: quiet})
	if err != nil {
		c.t.Fatal(err)
	}
	c.router, err = router.New(router.Options{HTTPAddr: "127.0.0.1:0", HTTPSAddr: "127.0.0.1:0", Certificates: c.certs, Logger: quiet})
	if err != nil {
		c.t.Fatal(err)
	}
	c.feed = routerfeed.New(routerfeed.Options{
		Local: c.router, Certificates: c.certs, Log: quiet, Access: c.access, Routes: func(string) bool { return c.allowed.Load() },
		Settings: func(string) routerfeed.Settings {
			c.mu.Lock()
			defer c.mu.Unlock()
			return c.settings
		},
	})
	if err := c.router.Listen(c.t.Context()); err != nil {
		c.t.Fatal(err)
	}
	listener, err := net.Listen("tcp", c.addr)
	if err != nil {
		c.t.Fatal(err)
	}
	c.addr = listener.Addr().String()
	c.door = &httptest.Server{Listener: listener, EnableHTTP2: true, Config: &http.Server{ErrorLog: slog.NewLogLogger(quiet.Handler(), slog.LevelDebug), Handler: http.HandlerFunc(c.serve)}}
	c.door.StartTLS()
	ctx, cancel := context.WithCancel(context.Background())
	served := make(chan error, 2)
	go func() { served <- c.router.Serve(ctx) }()
	go func() { served <- c.feed.Run(ctx) }()
	c.stop = sync.OnceFunc(func() {
		cancel()
		c.door.CloseClientConnections()
		c.door.Close()
		for range 2 {
			if err := <-served; err != nil {
				c.t.Error(err)
			}
		}
		if err := c.certs.Close(); err != nil {
			c.t.Error(err)
		}
	})
	c.t.Cleanup(c.stop)
}

func (c *controller) serve(w http.ResponseWriter, r *http.Request) {
	if !c.allowed.Load() {
		http.Error(w, "it may not route", http.StatusForbidden)
		return
	}
	c.feed.ServeNode(w, r, "n1")
}

func (c *controller) access(a router.Access) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.lines = append(c.lines, a)
}

func (c *controller) logged() []router.Access {
	c.mu.Lock()
	defer c.mu.Unlock()
	return slices.Clone(c.lines)
}

// set makes the table; handlers are those of the platform's own names.
func (c *controller) set(routes ...router.Route) {
	c.t.Helper()
	own := http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		fmt.Fprintf(w, "the API, asked by %s as %s, tls=%t", r.RemoteAddr, r.Header.Get("X-Forwarded-For"), r.TLS != nil)
	})
	all := append(routes, router.Route{Host: "api.example.com", Handler: own, AllowHTTP: true})
	if err := c.feed.SetTable(router.Table{Routes: all}); err != nil {
		c.t.Fatal(err)
	}
}

func (c *controller) change(ch router.Change) {
	c.t.Helper()
	if err := c.feed.Change(ch); err != nil {
		c.t.Fatal(err)
	}
}

// outside is a router elsewhere.
type outside struct {
	c           *controller
	dir         string
	http, https string
	door        string // empty: the controller's
	deaf        time.Duration
	stop        func() // ends it in order
}

func (c *controller) outpost(dir string) *outside {
	c.t.Helper()
	return c.outpostAt(&outside{c: c, dir: dir})
}

func (c *controller) outpostAt(o *outside) *outside {
	c.t.Helper()
	var hold []net.Listener
	for _, at := range []*string{&o.http, &o.https} {
		l, err := net.Listen("tcp", "127.0.0.1:0")
		if err != nil {
			c.t.Fatal(err)
		}
		hold, *at = append(hold, l), l.Addr().String()
	}
	for _, l := range hold {
		l.Close()
	}
	o.start()
	return o
}

func (o *outside) start() {
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() {
		done <- Run(ctx, Options{
			Dir: o.dir, Door: cmp.Or(o.door, o.c.addr), deaf: o.deaf, TLS: &tls.Config{InsecureSkipVerify: true}, Address: "127.0.0.1", HTTPAddr: o.http, HTTPSAddr: o.https, Log: quiet,
		})
	}()
	o.stop = sync.OnceFunc(func() {
		cancel()
		if err := <-done; err != nil {
			o.c.t.Error(err)
		}
	})
	o.c.t.Cleanup(o.stop)
}

// client verifies certificates by the controller's CA and reaches the router whatever the name.
func (o *outside) client() *http.Client {
	pool := x509.NewCertPool()
	pool.AppendCertsFromPEM(o.c.certs.CAPEM())
	return &http.Client{Timeout: limit, Transport: &http.Transport{
		DisableKeepAlives: true, TLSClientConfig: &tls.Config{RootCAs: pool},
		DialContext: func(ctx context.Context, network, addr string) (net.Conn, error) {
			to := o.http
			if strings.HasSuffix(addr, ":443") {
				to = o.https
			}
			return (&net.Dialer{}).DialContext(ctx, network, to)
		},
	}}
}

func (o *outside) get(url string) (status int, body string, err error) {
	res, err := o.client().Get(url)
	if err != nil {
		return 0, "", err
	}
	defer res.Body.Close()
	text, err := io.ReadAll(res.Body)
	return res.StatusCode, string(text), err
}

// answers waits until a request is answered so.
func (o *outside) answers(url string, status int, body string) {
	o.c.t.Helper()
	var got string
	eventually(o.c.t, func() string { return fmt.Sprintf("%s answers %d %s, not %s", url, status, body, got) }, func() bool {
		s, text, err := o.get(url)
		got = fmt.Sprint(s, " ", text, " ", err)
		return s == status && strings.Contains(text, body)
	})
}

func eventually(t *testing.T, what func() string, so func() bool) {
	t.Helper()
	for end := time.Now().Add(limit); !so(); time.Sleep(10 * time.Millisecond) {
		if time.Now().After(end) {
			t.Fatal("not so: " + what())
		}
	}
}

// app is an instance that says its name.
func app(t *testing.T, name string) router.Endpoint {
	t.Helper()
	s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { io.WriteString(w, name) }))
	t.Cleanup(s.Close)
	return router.Endpoint{Address: s.Listener.Addr().String(), InstanceID: name, AppGUID: "app"}
}

func route(host string, all ...router.Endpoint) router.Route {
	return router.Route{Host: host, AppGUID: "app", Endpoints: all}
}

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

// TestControllerAway: the router serves what it heard last, also after its own restart, and is current again when the controller is.
func TestControllerAway(t *testing.T) {
	c := newController(t)
	c.set(route("a.example.localhost", app(t, "one")))
	o := c.outpost(t.TempDir())
	o.answers("https://a.example.localhost/", 200, "one")
	eventually(t, func() string { return "the table and the certificate are kept" }, func() bool {
		kept, _ := os.ReadDir(filepath.Join(o.dir, certFolder))
		text, _ := os.ReadFile(filepath.Join(o.dir, tableFile))
		return strings.Contains(string(text), "a.example.localhost") && len(kept) > 1
	})
	err := filepath.WalkDir(o.dir, func(path string, d os.DirEntry, err error) error {
		if err != nil {
			return err
		}
		info, err := d.Info()
		if err == nil && !d.IsDir() && info.Mode().Perm() != 0o600 {
			t.Errorf("%s has the mode %o", path, info.Mode().Perm())
		}
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	c.stop()
	for range 10 {
		if status, body, err := o.get("https://a.example.localhost/"); status != 200 || body != "one" {
			t.Fatalf("without the controller: %d %s %v", status, body, err)
		}
	}
	if status, body, err := o.get("http://api.example.com/"); status != 502 || !strings.Contains(body, "not reached") {
		t.Errorf("the API without the controller: %d %s %v", status, body, err)
	}
	o.stop()
	o.start()
	o.answers("https://a.example.localhost/", 200, "one")
	c.start()
	c.set(route("a.example.localhost", app(t, "another")))
	o.answers("https://a.example.localhost/", 200, "another")
}

// TestGap: a router that is told a change of another table than it has asks for the whole.
func TestGap(t *testing.T) {
	c := newController(t)
	c.set(route("a.example.localhost", app(t, "one")))
	o := c.outpost(t.TempDir())
	o.answers("http://a.example.localhost/", 200, "one")
	p := &Outpost{o: Options{Zone: ""}, log: quiet, keep: &keeper{}}
	p.keep.set(kept{Version: "e.4"})
	for name, m := range map[string]routerfeed.Message{
		"a change too far": {Version: "e.6", After: "e.5", Change: &router.Change{}}, "of another process": {Version: "f.5", After: "f.4", Change: &router.Change{}},
		"news of a table": {Version: "e.5"},
	} {
		if err := p.take(&m); err == nil || !strings.Contains(err.Error(), "a change is missing") {
			t.Errorf("%s: %v", name, err)
		}
	}
	// A table that is set anew leaves no change to follow: the stream goes on with all of it.
	c.set(route("a.example.localhost", app(t, "two")), route("b.example.localhost", app(t, "b")))
	o.answers("http://a.example.localhost/", 200, "two")
	o.answers("http://b.example.localhost/", 200, "b")
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

// TestForbidden: a router whose node may not route any more hears nothing, though its stream was open.
func TestForbidden(t *testing.T) {
	c := newController(t)
	c.set(route("a.example.localhost", app(t, "one")))
	o := c.outpost(t.TempDir())
	o.answers("http://a.example.localhost/", 200, "one")
	c.allowed.Store(false)
	eventually(t, func() string { return "the stream ends" }, func() bool { return !c.feed.Routers()["n1"].Connected })
	c.change(router.Change{Set: []router.Route{route("b.example.localhost", app(t, "b"))}})
	if status, _, err := o.get("http://b.example.localhost/"); status != 404 {
		t.Errorf("a change is heard: %d %v", status, err)
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

// wire is a network that can go dead: what is sent then arrives when it is mended, as after a cable was pulled.
type wire struct {
	net.Listener
	to   string
	mu   sync.Mutex
	gate chan struct{} // closed: bytes pass
}

func newWire(t *testing.T, to string) *wire {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	w := &wire{Listener: l, to: to, gate: make(chan struct{})}
	close(w.gate)
	t.Cleanup(func() { w.mend(); l.Close() })
	go w.serve()
	return w
}

func (w *wire) cut() {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.gate = make(chan struct{})
}

func (w *wire) mend() {
	w.mu.Lock()
	defer w.mu.Unlock()
	select {
	case <-w.gate:
	default:
		close(w.gate)
	}
}

func (w *wire) wait() {
	w.mu.Lock()
	gate := w.gate
	w.mu.Unlock()
	<-gate
}

func (w *wire) serve() {
	for {
		a, err := w.Accept()
		if err != nil {
			return
		}
		go func() {
			w.wait()
			b, err := net.Dial("tcp", w.to)
			if err != nil {
				a.Close()
				return
			}
			go w.carry(a, b)
			w.carry(b, a)
		}()
	}
}

func (w *wire) carry(dst, src net.Conn) {
	defer dst.Close()
	defer src.Close()
	buf := make([]byte, 32<<10)
	for {
		n, err := src.Read(buf)
		w.wait()
		if n > 0 {
			if _, err := dst.Write(buf[:n]); err != nil {
				return
			}
		}
		if err != nil {
			return
		}
	}
}

// TestCutOff: a router whose network to the controller is dead serves on, notices, and is current when it is mended; drains do not wait
// for it for long.
func TestCutOff(t *testing.T) {
	c := newController(t)
	c.set(route("a.example.localhost", app(t, "one")), route("c.example.localhost", app(t, "leaving")))
	w := newWire(t, c.addr)
	o := c.outpostAt(&outside{c: c, dir: t.TempDir(), door: w.Addr().String(), deaf: 7 * time.Second})
	o.answers("https://a.example.localhost/", 200, "one")
	w.cut()
	c.change(router.Change{Set: []router.Route{route("b.example.localhost", app(t, "two"))}, Remove: []router.Name{{Host: "c.example.localhost"}}})
	for range 10 {
		if status, body, err := o.get("https://a.example.localhost/"); status != 200 || body != "one" {
			t.Fatalf("cut off: %d %s %v", status, body, err)
		}
	}
	if err := c.feed.WaitDrained(t.Context(), "leaving"); err != nil {
		t.Error(err)
	}
	if c.feed.Routers()["n1"].Current {
		t.Error("a router that is cut off is said to be current")
	}
	w.mend()
	o.answers("https://b.example.localhost/", 200, "two")
	eventually(t, func() string { return fmt.Sprint("the router is current: ", c.feed.Routers()) }, func() bool { return c.feed.Routers()["n1"].Current })
}

// TestStop: requests in flight when the router is told to end are answered, and their lines arrive.
func TestStop(t *testing.T) {
	c := newController(t)
	began, finish := make(chan struct{}), make(chan struct{})
	s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path == "/slow" {
			close(began)
			<-finish
		}
		io.WriteString(w, "done")
	}))
	defer s.Close()
	c.set(route("a.example.localhost", router.Endpoint{Address: s.Listener.Addr().String(), InstanceID: "i", AppGUID: "app"}))
	o := c.outpost(t.TempDir())
	o.answers("http://a.example.localhost/", 200, "done")
	answered := make(chan string, 1)
	go func() {
		_, body, err := o.get("http://a.example.localhost/slow")
		answered <- fmt.Sprint(body, err)
	}()
	<-began
	stopped := make(chan struct{})
	go func() { o.stop(); close(stopped) }()
	eventually(t, func() string { return "the port is closed" }, func() bool { _, _, err := o.get("http://a.example.localhost/"); return err != nil })
	close(finish)
	if got := <-answered; got != "done<nil>" {
		t.Errorf("the request in flight ended with %s", got)
	}
	<-stopped
	if !slices.ContainsFunc(c.logged(), func(a router.Access) bool { return a.URI == "/slow" && a.Status == 200 }) {
		t.Error("the line of the last request was not told")
	}
}
