// Package outpost is a router away from the controller: the same data plane as the controller's own, on a node or on a machine
// that only routes. It follows the controller's table (package routerfeed), serves from what it heard last while the
// controller is away, also after its own restart, and tells the controller what it counts and logs.
//
// It holds the keys of the certificates of apps' hosts, never those of the platform's own names: connections for these are passed
// on to the controller as they are.
package outpost

import (
	"bytes"
	"cmp"
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"net/netip"
	"os"
	"path/filepath"
	"slices"
	"sync/atomic"
	"time"

	"golang.org/x/sync/errgroup"

	"github.com/cupola-paas/cupola/controller/identity"
	"github.com/cupola-paas/cupola/controller/logs"
	"github.com/cupola-paas/cupola/controller/routerfeed"
	"github.com/cupola-paas/cupola/router"
)

// Options say where a router is and whom it follows. Zone and Log may be empty.
type Options struct {
	Dir  string // of its own: the table, and certificates with their keys
	Door string // host:port of the controller's
	// TLS is how the door is spoken to, with the node's certificate.
	TLS *tls.Config
	// Address is the machine's, by which the controller knows its containers.
	Address             string
	HTTPAddr, HTTPSAddr string // host:port
	Zone                string // that it is in, whatever the controller says
	Log                 *slog.Logger

	deaf time.Duration // of tests
}

// Outpost is one.
type Outpost struct {
	o        Options
	door     *http.Client
	log      *slog.Logger
	settings atomic.Pointer[routerfeed.Settings]
	platform atomic.Pointer[map[string]bool]
	roots    atomic.Pointer[x509.CertPool] // of instances
	keep     *keeper
	certs    *certificates
	lines    *lines
	router   *router.Router
	session  string
	began    time.Time
	deaf     time.Duration // deafAfter; shorter in tests
}

// Run routes until ctx ends, and then lets requests in flight finish. Where nothing is kept of an earlier run it waits for the
// controller first.
func Run(ctx context.Context, o Options) error {
	if o.Log == nil {
		o.Log = slog.Default()
	}
	if err := os.MkdirAll(filepath.Join(o.Dir, certFolder), 0o700); err != nil {
		return fmt.Errorf("the folder of the router: %w", err)
	}
	p := &Outpost{o: o, log: o.Log, door: newClient(o.TLS), keep: &keeper{dir: o.Dir, log: o.Log}, lines: newLines(), session: newSession(), began: time.Now(), deaf: cmp.Or(o.deaf, deafAfter)}
	defer p.door.CloseIdleConnections()
	var err error
	if p.certs, err = openCertificates(o.Dir, p); err != nil {
		return err
	}
	first, err := p.first(ctx)
	if err != nil || first == nil {
		return err
	}
	if err := p.open(ctx, first); err != nil {
		return err
	}
	serving, stop := context.WithCancel(context.WithoutCancel(ctx)) // what helps the router ends after it
	defer stop()
	work, helping := errgroup.WithContext(serving)
	for _, run := range []func(context.Context) error{p.follow, p.tellSeen, p.report, p.certs.run, p.keep.run} {
		work.Go(func() error { return run(helping) })
	}
	serve, cancel := context.WithCancel(ctx)
	defer cancel()
	defer context.AfterFunc(helping, cancel)()
	o.Log.Info("routing", "http", p.router.HTTPAddr(), "https", p.router.HTTPSAddr(), "table", p.keep.version(), "zone", p.zone())
	err = p.router.Serve(serve)
	stop()
	return errors.Join(err, work.Wait())
}

// first is what is kept, else what the controller says; nil when ctx ended before.
func (p *Outpost) first(ctx context.Context) (*kept, error) {
	k, err := p.keep.load()
	if err != nil {
		p.log.Warn("what was kept of the table cannot be used; the controller is asked for all of it", "error", err)
	}
	if k != nil {
		return k, nil
	}
	for pause, told := retryMin, false; ; pause = min(2*pause, retryMax) {
		k, err := p.askAll(ctx)
		switch {
		case err == nil:
			p.keep.set(*k)
			return k, nil
		case ctx.Err() != nil:
			return nil, nil
		case !told:
			p.log.Warn("the controller is not heard yet; it is asked again", "error", err)
			told = true
		}
		select {
		case <-ctx.Done():
			return nil, nil
		case <-time.After(pause):
		}
	}
}

// open makes the router with its first table and opens its ports.
func (p *Outpost) open(ctx context.Context, first *kept) error {
	p.heed(&first.Settings)
	host, _, err := net.SplitHostPort(p.o.HTTPAddr)
	if err != nil {
		return fmt.Errorf("address for plain HTTP: %w", err)
	}
	s := &first.Settings
	p.router, err = router.New(router.Options{
		HTTPAddr: p.o.HTTPAddr, HTTPSAddr: p.o.HTTPSAddr, TCPHost: host, Certificates: p.certs, Logger: p.log, AccessLog: p.lines.add,
		Zone: p.zone(), Relay: p.relay, Tracing: s.Tracing,
		Clients: router.ClientIdentity{Roots: p.roots.Load, Identify: identify},
		RouteServices: router.RouteServices{
			Key: s.ServiceKey, Roots: withMachine(s.ServiceRoots), Dial: p.dialService,
		},
		Passage: router.Passage{Takes: p.isPlatform, Dial: func(ctx context.Context, client net.Addr) (net.Conn, error) {
			return p.connect(ctx, routerfeed.ToHTTPS, client.String(), "")
		}},
	})
	if err != nil {
		return err
	}
	if err := p.setTable(first.Routes); err != nil {
		return err
	}
	return p.router.Listen(ctx)
}

func identify(cert *x509.Certificate) (router.Identity, bool) {
	who, ok := identity.Of(cert)
	return router.Identity{App: who.AppGUID, Space: who.SpaceGUID, Org: who.OrgGUID}, ok
}

// withMachine are CAs and those that this machine trusts.
func withMachine(pem []byte) *x509.CertPool {
	pool, err := x509.SystemCertPool()
	if err != nil {
		pool = x509.NewCertPool()
	}
	pool.AppendCertsFromPEM(pem)
	return pool
}

// setTable hands the router all routes, and behind them the platform's own names.
func (p *Outpost) setTable(routes []router.Route) error {
	all := slices.Clone(routes)
	forward := p.forwarder()
	for _, host := range p.settings.Load().Platform {
		all = append(all, router.Route{Host: host, Handler: forward, AllowHTTP: true})
	}
	return p.router.SetTable(router.Table{Routes: all})
}

// heed makes settings those of this moment. It reports whether the table has to be made anew for them.
func (p *Outpost) heed(s *routerfeed.Settings) (anew bool) {
	before := p.settings.Load()
	pool := x509.NewCertPool()
	pool.AppendCertsFromPEM(s.InstanceCAs)
	names := map[string]bool{}
	for _, host := range s.Platform {
		names[host] = true
	}
	p.roots.Store(pool)
	p.platform.Store(&names)
	p.settings.Store(s)
	if p.router != nil {
		p.router.SetZone(p.zone())
		if before.Tracing != s.Tracing || !bytes.Equal(before.ServiceKey, s.ServiceKey) || !bytes.Equal(before.ServiceRoots, s.ServiceRoots) {
			p.log.Warn("trace headers, or whom route services are known by, are others at the server: they hold here from the next start of this router on")
		}
	}
	return before != nil && (before.Zone != s.Zone || !slices.Equal(before.Platform, s.Platform))
}

func (p *Outpost) zone() string {
	if p.o.Zone != "" {
		return p.o.Zone
	}
	return p.settings.Load().Zone
}

func (p *Outpost) isPlatform(host string) bool { return (*p.platform.Load())[host] }

// dialService reaches a route service, at an address that people gave: nothing that only this machine reaches.
func (p *Outpost) dialService(ctx context.Context, network, address string) (net.Conn, error) {
	guard := logs.Guard{OwnPort: p.ownPort, Inside: p.settings.Load().Inside}
	d := net.Dialer{Timeout: 10 * time.Second, KeepAlive: 30 * time.Second, Control: guard.Control}
	return d.DialContext(ctx, network, address)
}

func (p *Outpost) ownPort(port int) bool {
	for _, addr := range []string{p.router.HTTPAddr(), p.router.HTTPSAddr()} {
		if at, err := netip.ParseAddrPort(addr); err == nil && int(at.Port()) == port {
			return true
		}
	}
	return false
}
