package router

import (
	"context"
	"net"
	"net/http"
	"sync"
	"sync/atomic"
	"time"
)

// endpoint is an Endpoint with what must outlive a table: connections, counters, health. All routes and
// successive tables that name the same Endpoint (weight aside) share one.
type endpoint struct {
	Endpoint // Weight and Zone are empty: they belong to the route
	hash     uint64
	index    string // Index, for headers
	counts   counters
	app      *appRecord // shared by the instances of the app
	dial     *dialing
	named    int // by how many routes; guarded by registry.mu

	inFlight atomic.Int64
	// left is set, once, after the last table with this endpoint has been replaced. Who has counted
	// itself in flight and then sees it unset may go on: the drain waits for it.
	left atomic.Bool

	refusals     atomic.Int32 // in a row
	ejectedUntil atomic.Int64 // Unix nanoseconds; zero: not ejected

	once  sync.Once
	plain *http.Transport // HTTP/1.1: also for upgrades to an http2 endpoint
	h2c   *http.Transport // nil unless Protocol is http2
}

// dialing is how connections to endpoints are made and kept; all endpoints of a router share it.
type dialing struct {
	dialer         net.Dialer
	idleTimeout    time.Duration
	headerTimeout  time.Duration
	maxIdle        int
	maxHeaderBytes int64
	relay          func(ctx context.Context, address string) (net.Conn, error)
}

// dialError marks that no byte of a request was sent.
type dialError struct{ error }

func (e dialError) Unwrap() error { return e.error }

// connect opens a connection to the endpoint. Its error is a dialError.
func (e *Endpoint) connect(ctx context.Context, d *dialing) (c net.Conn, err error) {
	if e.Inside && d.relay != nil {
		ctx, cancel := context.WithTimeout(ctx, d.dialer.Timeout)
		defer cancel()
		c, err = d.relay(ctx, e.Address)
	} else {
		c, err = d.dialer.DialContext(ctx, "tcp", e.Address)
	}
	if err != nil {
		return nil, dialError{err}
	}
	return c, nil
}

func (e *endpoint) newTransport() *http.Transport {
	d := e.dial
	return &http.Transport{
		DialContext:            func(ctx context.Context, _, _ string) (net.Conn, error) { return e.connect(ctx, d) },
		DisableCompression:     true, // what the app sent is what the client gets
		MaxIdleConnsPerHost:    d.maxIdle,
		IdleConnTimeout:        d.idleTimeout,
		ResponseHeaderTimeout:  d.headerTimeout,
		ExpectContinueTimeout:  time.Second, // an app that knows no 100-continue gets its body a second late
		MaxResponseHeaderBytes: d.maxHeaderBytes,
		WriteBufferSize:        16 << 10,
		ReadBufferSize:         16 << 10,
	}
}

// transport returns what sends to the endpoint. It is made at the first request: tables with thousands
// of idle apps stay cheap.
func (e *endpoint) transport(upgrade bool) *http.Transport {
	e.once.Do(func() {
		e.plain = e.newTransport()
		if e.Protocol == HTTP2 {
			e.h2c = e.newTransport()
			e.h2c.Protocols = new(http.Protocols)
			e.h2c.Protocols.SetUnencryptedHTTP2(true)
		}
	})
	if e.h2c != nil && !upgrade {
		return e.h2c
	}
	return e.plain
}

// close drops the idle connections. A request still in flight keeps its own, which is closed after it:
// keep-alives are off from now on.
func (e *endpoint) close() {
	e.once.Do(func() {})
	for _, t := range []*http.Transport{e.plain, e.h2c} {
		if t != nil {
			t.CloseIdleConnections()
		}
	}
}

func (e *endpoint) ejected(now int64) bool {
	until := e.ejectedUntil.Load()
	return until != 0 && now < until
}

const (
	firstEjection = time.Second
	maxEjection   = 30 * time.Second
)

// refused keeps the endpoint out of the choice for a while, longer each time in a row.
func (e *endpoint) refused(now time.Time) {
	n := min(e.refusals.Add(1), 6)
	e.ejectedUntil.Store(now.Add(min(firstEjection<<(n-1), maxEjection)).UnixNano())
}

func (e *endpoint) answered() {
	if e.refusals.Load() != 0 {
		e.refusals.Store(0)
		e.ejectedUntil.Store(0)
	}
}
