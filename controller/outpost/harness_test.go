package outpost

import (
	"cmp"
	"context"
	"crypto/tls"
	"crypto/x509"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"net/http/httptest"
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
