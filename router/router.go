package router

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"net/netip"
	"sync"
	"sync/atomic"
	"time"
)

// Options say how a Router listens and what it allows. The zero value of a limit means its default.
type Options struct {
	// HTTPAddr and HTTPSAddr are host:port to listen on; port 0 takes a free one. One may be empty.
	HTTPAddr, HTTPSAddr string
	// Certificates is needed with HTTPSAddr.
	Certificates CertificateSource
	// RedirectHTTP sends requests without TLS to the same URL with it, except for routes with AllowHTTP
	// and ACME challenges.
	RedirectHTTP bool
	// NoEndpoints503 answers 503 no_endpoints instead of 404 unknown_route where a route exists but
	// nothing serves it.
	NoEndpoints503 bool
	// TrustedProxies are the load balancers before us: their X-Forwarded-Proto, -Host and the like are kept.
	TrustedProxies []netip.Prefix
	// AccessLog, if set, is called after each proxied request, by many goroutines at once. It must not block.
	AccessLog func(Access)
	// Logger gets what operators should know; slog.Default if nil.
	Logger *slog.Logger

	MaxHeaderBytes        int           // of a request; 128 KiB. More is answered 431
	ReadHeaderTimeout     time.Duration // 10 s from the first byte to the last of a header
	IdleTimeout           time.Duration // 90 s between the requests of a kept connection
	BodyReadTimeout       time.Duration // 60 s without a byte of a request's body
	WriteTimeout          time.Duration // 60 s for the client to take one write, however long the response
	DialTimeout           time.Duration // 3 s to connect to an instance
	ResponseHeaderTimeout time.Duration // 15 min for the app to begin its answer
	// UpstreamIdleTimeout is how long a connection to an instance is kept; 1.5 s. It must be shorter than
	// the app's own keep-alive (2 s for Gunicorn, 5 s for Node.js), or a request may meet its end.
	UpstreamIdleTimeout time.Duration
	// DrainTimeout is how long Serve waits for requests in flight when it ends; 8 s.
	DrainTimeout time.Duration

	TCPHost        string        // address that TCP routes listen on; all if empty
	TCPIdleTimeout time.Duration // an hour without a byte either way ends a TCP connection
	TCPDrain       time.Duration // 30 s for the connections of a TCP route that is gone
	TCPConnections int           // that one TCP route may have at a time; 5000
	TCPRetry       time.Duration // 10 s until a port that was in use is tried again

	// Clients says who the senders of requests to routes with an Admission are.
	Clients ClientIdentity

	// RouteServices says how requests go through route services.
	RouteServices RouteServices

	// Tracing says which trace context requests get that bring none.
	Tracing Tracing

	// Zone is where this router is: instances there get its requests while they can take them (see SetZone). Empty: it has
	// none, and all instances are alike.
	Zone string
	// Relay connects to an endpoint with Inside set, at its address. Nil: this is the machine where that leads to it.
	Relay func(ctx context.Context, address string) (net.Conn, error)
	// Passage takes connections whose TLS somebody else ends. The zero value takes none.
	Passage Passage
}

func (o *Options) setDefaults() {
	if o.Logger == nil {
		o.Logger = slog.Default()
	}
	if o.MaxHeaderBytes == 0 {
		o.MaxHeaderBytes = 128 << 10
	}
	if o.TCPConnections == 0 {
		o.TCPConnections = 5000
	}
	for _, d := range []struct {
		field *time.Duration
		value time.Duration
	}{
		{&o.ReadHeaderTimeout, 10 * time.Second},
		{&o.IdleTimeout, 90 * time.Second},
		{&o.BodyReadTimeout, time.Minute},
		{&o.WriteTimeout, time.Minute},
		{&o.DialTimeout, 3 * time.Second},
		{&o.ResponseHeaderTimeout, 15 * time.Minute},
		{&o.UpstreamIdleTimeout, 1500 * time.Millisecond},
		{&o.DrainTimeout, 8 * time.Second},
		{&o.TCPIdleTimeout, time.Hour},
		{&o.TCPDrain, 30 * time.Second},
		{&o.TCPRetry, 10 * time.Second},
	} {
		if *d.field == 0 {
			*d.field = d.value
		}
	}
}

// Router serves the routes of its table. All methods may be called at any time by many goroutines, except
// that Listen comes before Serve and each is called once.
type Router struct {
	opts     Options
	log      *slog.Logger
	lookup   atomic.Pointer[lookup]
	registry *registry
	services *routeServices
	front    *tcpFront
	tally    tally
	callers  callers
	requests sync.WaitGroup // handlers that have not returned; hijacked connections included

	upgrades    context.Context // ends with Serve, and all upgraded connections with it
	endUpgrades context.CancelFunc

	plainTaken, secureTaken *handed // see Take

	mu          sync.Mutex
	http, https net.Listener // nil before Listen, and where not wanted
	also        []also       // on other addresses
}

// New makes a Router with an empty table. Nothing is opened yet.
func New(opts Options) (*Router, error) {
	opts.setDefaults()
	if opts.HTTPAddr == "" && opts.HTTPSAddr == "" {
		return nil, errors.New("the router has no address to listen on: give an HTTP or an HTTPS address")
	}
	if opts.HTTPSAddr != "" && opts.Certificates == nil {
		return nil, fmt.Errorf("the HTTPS address %s needs certificates: set Certificates", opts.HTTPSAddr)
	}
	if opts.RedirectHTTP && opts.HTTPSAddr == "" {
		return nil, errors.New("plain HTTP cannot be redirected without an HTTPS address: give one")
	}
	rt := &Router{opts: opts, log: opts.Logger, plainTaken: newHanded(), secureTaken: newHanded()}
	rt.upgrades, rt.endUpgrades = context.WithCancel(context.Background())
	rt.registry = newRegistry(&dialing{
		dialer:         net.Dialer{Timeout: opts.DialTimeout, KeepAlive: 30 * time.Second},
		idleTimeout:    opts.UpstreamIdleTimeout,
		headerTimeout:  opts.ResponseHeaderTimeout,
		maxIdle:        128,
		maxHeaderBytes: 1 << 20,
		relay:          opts.Relay,
	}, &rt.callers)
	rt.registry.zone = opts.Zone
	var err error
	if rt.services, err = newRouteServices(rt, opts.RouteServices); err != nil {
		return nil, err
	}
	rt.lookup.Store(&lookup{})
	rt.front = newTCPFront(rt)
	return rt, nil
}

// SetTable checks t as a whole and then serves from it; on an error nothing changes. It takes no part in
// t afterwards, but t.Routes and its slices must not be changed while it runs.
//
// Endpoints that t does not name any more get no new request from the moment SetTable returns; those in
// flight go on (see InFlight and WaitDrained). An endpoint that a route lists twice counts once.
func (rt *Router) SetTable(t Table) error {
	if err := validate(t.Routes); err != nil {
		return fmt.Errorf("route table: %w", err)
	}
	g := rt.registry
	g.mu.Lock()
	defer g.mu.Unlock()
	old := rt.lookup.Load()
	rt.publishLocked(g.compileLocked(newEdit(&lookup{}), t.Routes))
	for r := range old.every() {
		g.dropLocked(r)
	}
	g.signalLocked()
	return nil
}

// Change checks c and then serves from the table with the change made; on an error nothing changes. What it costs
// depends on c, not on the size of the table. Otherwise it is as SetTable.
func (rt *Router) Change(c Change) error {
	if err := validate(c.Set); err != nil {
		return fmt.Errorf("change of routes: %w", err)
	}
	g := rt.registry
	g.mu.Lock()
	defer g.mu.Unlock()
	e := newEdit(rt.lookup.Load())
	var gone []*route
	for _, n := range c.Remove {
		gone = append(gone, e.remove(n))
	}
	for i := range c.Set {
		gone = append(gone, e.remove(c.Set[i].Name()))
	}
	rt.publishLocked(g.compileLocked(e, c.Set))
	for _, r := range gone {
		g.dropLocked(r)
	}
	g.signalLocked()
	return nil
}

func (rt *Router) publishLocked(l *lookup) {
	rt.lookup.Store(l)
	rt.front.sync(l.tcp)
}

// compileLocked makes routes ready and adds them to e.
func (g *registry) compileLocked(e *edit, from []Route) *lookup {
	routes := make([]route, len(from)) // one allocation for all
	for i := range from {
		r := &routes[i]
		r.name, r.path = from[i].Name(), trimSlashes(from[i].Path)
		r.appGUID, r.handler, r.allowHTTP = from[i].AppGUID, from[i].Handler, from[i].AllowHTTP
		r.service, _ = serviceURL(from[i].ServiceURL) // checked before
		r.app = g.nameAppLocked(r.appGUID)
		r.admits = newAdmission(from[i].Admits)
		g.fillLocked(&r.pool, &from[i])
		e.add(r)
	}
	return e.done()
}

// dropLocked forgets a route that the published table does not have any more; nil is none.
func (g *registry) dropLocked(r *route) {
	if r == nil {
		return
	}
	for _, ep := range r.pool.endpoints {
		g.unnameLocked(ep)
	}
	g.unnameAppLocked(r.appGUID)
}

func trimSlashes(path string) string {
	for len(path) > 0 && path[len(path)-1] == '/' {
		path = path[:len(path)-1]
	}
	return path
}

func (g *registry) fillLocked(p *pool, from *Route) {
	p.mode, p.hashHeader, p.balance = from.LoadBalancing, http.CanonicalHeaderKey(from.HashHeader), from.HashBalance
	if len(from.Endpoints) == 0 {
		return
	}
	p.endpoints = make([]*endpoint, 0, len(from.Endpoints))
	var weights []int
	zones := sorter{own: g.zone}
	for _, e := range from.Endpoints {
		ep := g.findLocked(e)
		if p.has(ep) {
			continue
		}
		ep.named++
		p.endpoints = append(p.endpoints, ep)
		if len(from.Endpoints) > 1 {
			weights = append(weights, max(e.Weight, 1))
		}
		zones.add(ep, e)
	}
	p.setWeights(weights)
	p.seed()
	p.zones = zones.done(p.mode)
}

func (p *pool) has(ep *endpoint) bool {
	for _, other := range p.endpoints {
		if other == ep {
			return true
		}
	}
	return false
}

// InFlight returns how many requests and upgraded connections the instance is serving, in the table or
// after it has left it.
func (rt *Router) InFlight(instanceID string) int { return rt.registry.inFlight(instanceID) }

// Draining are the instances that the table does not name any more and that have requests in flight still. changed is closed
// when that, or the table, is another.
func (rt *Router) Draining() (ids []string, changed <-chan struct{}) {
	g := rt.registry
	g.mu.Lock()
	defer g.mu.Unlock()
	for id := range g.draining {
		ids = append(ids, id)
	}
	return ids, g.changed
}

// WaitDrained returns nil once the table does not name the instance and it has nothing in flight, or the
// cause of ctx's end. An instance that the router never knew is drained.
func (rt *Router) WaitDrained(ctx context.Context, instanceID string) error {
	if err := rt.registry.waitDrained(ctx, instanceID); err != nil {
		return fmt.Errorf("drain instance %s: %w", instanceID, err)
	}
	return nil
}
