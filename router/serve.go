package router

import (
	"bufio"
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"net/netip"
	"runtime/debug"
	"sync"
	"syscall"
	"time"
)

// Listen opens the ports; ctx ends only the attempt. A port that is taken is an error that names it.
func (rt *Router) Listen(ctx context.Context) error {
	rt.mu.Lock()
	defer rt.mu.Unlock()
	var err error
	if rt.http, err = rt.listen(ctx, "HTTP", rt.opts.HTTPAddr); err != nil {
		return err
	}
	if rt.https, err = rt.listen(ctx, "HTTPS", rt.opts.HTTPSAddr); err != nil {
		rt.closeLocked()
		return err
	}
	if c, ok := rt.opts.Certificates.(*Certificates); ok {
		c.listening(rt.http, rt.https)
	}
	rt.front.begin()
	return nil
}

// also is a further listener on the port of one that there is.
type also struct {
	net.Listener
	secure bool
}

// ListenAlso opens the ports of Listen on one more address of this machine, unless they are open on all of them. It comes
// after Listen and before Serve.
func (rt *Router) ListenAlso(ctx context.Context, address netip.Addr) error {
	rt.mu.Lock()
	defer rt.mu.Unlock()
	for _, ln := range []net.Listener{rt.http, rt.https} {
		if ln == nil {
			continue
		}
		at, err := netip.ParseAddrPort(ln.Addr().String())
		if err != nil || at.Addr().IsUnspecified() || at.Addr() == address {
			continue
		}
		more, err := rt.listen(ctx, "router", netip.AddrPortFrom(address, at.Port()).String())
		if err != nil {
			return err
		}
		rt.also = append(rt.also, also{more, ln == rt.https})
	}
	return nil
}

func (rt *Router) listen(ctx context.Context, what, addr string) (net.Listener, error) {
	if addr == "" {
		return nil, nil
	}
	ln, err := new(net.ListenConfig).Listen(ctx, "tcp", addr)
	switch {
	case errors.Is(err, syscall.EADDRINUSE):
		return nil, fmt.Errorf("%s port %s is in use: stop the program that listens there or give another %s address", what, addr, what)
	case errors.Is(err, syscall.EACCES):
		return nil, fmt.Errorf("%s port %s is not allowed to this user: start as root or give a port above 1023", what, addr)
	case err != nil:
		return nil, fmt.Errorf("%s address %q cannot be listened on, it must be host:port: %w", what, addr, err)
	}
	return &listener{Listener: ln, writeTimeout: rt.opts.WriteTimeout}, nil
}

// Close gives the ports up. It is needed only where Serve is never called.
func (rt *Router) Close() error {
	rt.front.end()
	rt.mu.Lock()
	defer rt.mu.Unlock()
	return rt.closeLocked()
}

func (rt *Router) closeLocked() error {
	var errs []error
	for _, ln := range rt.also {
		errs = append(errs, ln.Close())
	}
	for _, ln := range []net.Listener{rt.http, rt.https} {
		if ln != nil {
			errs = append(errs, ln.Close())
		}
	}
	return errors.Join(errs...)
}

// HTTPAddr returns the host:port that plain HTTP is served on, or an empty string.
func (rt *Router) HTTPAddr() string { return rt.addr(func() net.Listener { return rt.http }) }

// HTTPSAddr returns the host:port that HTTPS is served on, or an empty string.
func (rt *Router) HTTPSAddr() string { return rt.addr(func() net.Listener { return rt.https }) }

func (rt *Router) addr(of func() net.Listener) string {
	rt.mu.Lock()
	defer rt.mu.Unlock()
	if ln := of(); ln != nil {
		return ln.Addr().String()
	}
	return ""
}

// Serve answers requests until ctx ends. Then the ports are closed, upgraded connections end, and other
// requests in flight have Options.DrainTimeout to finish before they are cut. When Serve returns, nothing
// of it is left running. Its error is nil after an orderly end, whether or not all requests made it.
func (rt *Router) Serve(ctx context.Context) error {
	rt.mu.Lock()
	plain, secure, more := rt.http, rt.https, rt.also
	rt.mu.Unlock()
	if plain == nil && secure == nil {
		return errors.New("the router does not listen yet: call Listen before Serve")
	}
	base, cut := context.WithCancel(context.Background())
	defer cut()
	var servers []*http.Server
	failed := make(chan error, 4+len(more))
	var passing []func(context.Context)
	var wg sync.WaitGroup
	start := func(ln net.Listener, serve func(*http.Server) error) {
		if ln == nil {
			return
		}
		s := rt.server(base)
		servers = append(servers, s)
		wg.Go(func() {
			if err := serve(s); !errors.Is(err, http.ErrServerClosed) {
				failed <- fmt.Errorf("serve %s: %w", ln.Addr(), err)
			}
		})
	}
	start(plain, func(s *http.Server) error { return s.Serve(plain) })
	serveTLS := func(ln net.Listener) func(*http.Server) error {
		if ln != nil {
			own, end := rt.pass(ln)
			ln, passing = own, append(passing, end)
		}
		return func(s *http.Server) error {
			s.TLSConfig = rt.tlsConfig()
			return s.ServeTLS(ln, "", "")
		}
	}
	start(secure, serveTLS(secure))
	for _, ln := range more {
		if ln.secure {
			start(ln, serveTLS(ln))
		} else {
			start(ln, func(s *http.Server) error { return s.Serve(ln) })
		}
	}
	if secure != nil {
		taken := &listener{Listener: rt.secureTaken, writeTimeout: rt.opts.WriteTimeout}
		start(taken, func(s *http.Server) error {
			s.TLSConfig = rt.tlsConfig()
			return s.ServeTLS(taken, "", "")
		})
	}
	taken := &listener{Listener: rt.plainTaken, writeTimeout: rt.opts.WriteTimeout}
	start(taken, func(s *http.Server) error { return s.Serve(taken) })
	ports, closePorts := context.WithCancel(context.Background())
	defer closePorts()
	wg.Go(func() { rt.front.serve(ports) })
	var err error
	select {
	case <-ctx.Done():
	case err = <-failed:
	}
	closePorts()
	rt.drain(servers, cut, passing)
	wg.Wait()
	return err
}

// drain closes the ports at once, then waits for requests in flight, then cuts what is left.
func (rt *Router) drain(servers []*http.Server, cut context.CancelFunc, passing []func(context.Context)) {
	rt.endUpgrades()
	grace, cancel := context.WithTimeout(context.Background(), rt.opts.DrainTimeout)
	defer cancel()
	var wg sync.WaitGroup
	for _, s := range servers {
		wg.Go(func() {
			if s.Shutdown(grace) != nil {
				rt.log.Warn("requests were cut at the end of the grace", "in_flight", rt.tally.inFlight.Load())
				cut()
				s.Close()
			}
		})
	}
	for _, end := range passing {
		wg.Go(func() { end(grace) })
	}
	wg.Wait()
	rt.waitHandlers()
}

// lastWait is for handlers that do not heed the end of their context.
const lastWait = 2 * time.Second

func (rt *Router) waitHandlers() {
	done := make(chan struct{})
	go func() {
		rt.requests.Wait()
		close(done)
	}()
	select {
	case <-done:
	case <-time.After(lastWait):
		rt.log.Error("handlers ignore the end of their requests", "in_flight", rt.tally.inFlight.Load())
	}
}

func (rt *Router) server(base context.Context) *http.Server {
	protocols := new(http.Protocols)
	protocols.SetHTTP1(true)
	protocols.SetHTTP2(true)
	protocols.SetUnencryptedHTTP2(true) // gRPC behind a load balancer that ends TLS
	return &http.Server{
		Handler:           rt,
		Protocols:         protocols,
		HTTP2:             &http.HTTP2Config{MaxConcurrentStreams: 250, SendPingTimeout: 30 * time.Second, PingTimeout: 15 * time.Second},
		MaxHeaderBytes:    rt.opts.MaxHeaderBytes,
		ReadHeaderTimeout: rt.opts.ReadHeaderTimeout,
		IdleTimeout:       rt.opts.IdleTimeout,
		BaseContext:       func(net.Listener) context.Context { return base },
		ErrorLog:          slog.NewLogLogger(rt.log.Handler(), slog.LevelDebug), // strangers' broken handshakes
	}
}

func (rt *Router) tlsConfig() *tls.Config {
	c := &tls.Config{
		MinVersion: tls.VersionTLS12,
		NextProtos: []string{"h2", "http/1.1", acmeTLSProtocol},
		CipherSuites: []uint16{ // of TLS 1.2; those of 1.3 are not a matter of choice
			tls.TLS_ECDHE_ECDSA_WITH_AES_128_GCM_SHA256, tls.TLS_ECDHE_RSA_WITH_AES_128_GCM_SHA256,
			tls.TLS_ECDHE_ECDSA_WITH_AES_256_GCM_SHA384, tls.TLS_ECDHE_RSA_WITH_AES_256_GCM_SHA384,
			tls.TLS_ECDHE_ECDSA_WITH_CHACHA20_POLY1305_SHA256, tls.TLS_ECDHE_RSA_WITH_CHACHA20_POLY1305_SHA256,
		},
		GetCertificate: rt.opts.Certificates.GetCertificate,
	}
	c.GetConfigForClient = rt.askCaller(c.Clone())
	return c
}

// ServeHTTP answers one request. It is exported for the server's sake.
func (rt *Router) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	started := time.Now()
	rt.requests.Add(1)
	rt.tally.inFlight.Add(1)
	defer func() {
		rt.tally.inFlight.Add(-1)
		rt.requests.Done()
	}()
	if !r.ProtoAtLeast(1, 1) {
		// net/http ignores Transfer-Encoding in HTTP/1.0 and would take the chunks for the next request
		// (RFC 9112 6.1 wants the connection closed).
		w.Header().Set("Connection", "close")
	}
	body := newRequestBody(w, r, rt.opts.BodyReadTimeout)
	host, ok := normalHost(r.Host)
	if !ok {
		rt.reject(w, http.StatusBadRequest, errEmptyHost, "The request's Host is missing or is not a name.")
		return
	}
	if r.Method == http.MethodConnect {
		rt.reject(w, http.StatusMethodNotAllowed, "", "This is not a forward proxy.")
		return
	}
	if r.TLS == nil && rt.opts.Certificates != nil && rt.opts.Certificates.ServeChallenge(w, r) {
		rt.tally.count(http.StatusOK)
		return
	}
	m := rt.lookup.Load().match(host, routePath(r))
	switch {
	case m == nil:
		rt.unknown(w, r, host)
	case rt.opts.RedirectHTTP && r.TLS == nil && !m.allowHTTP && m.admits == nil:
		rt.redirect(w, r, host)
	case m.handler != nil:
		if body != nil {
			r.Body = body
			defer body.finish()
		}
		rt.serveHandler(w, r, m, started)
	default:
		rt.proxy(w, r, m, host, body, started)
	}
}

func (rt *Router) reject(w http.ResponseWriter, status int, reason, text string) {
	rt.tally.count(status)
	refuse(w, status, reason, text)
}

func (rt *Router) unknown(w http.ResponseWriter, r *http.Request, host string) {
	rt.tally.unknown.Add(1)
	rt.tally.count(http.StatusNotFound)
	setRequestIDs(r.Header)
	w.Header()[headerVcapRequestID] = r.Header[headerVcapRequestID]
	refuseUnknown(w, host)
}

// redirect names our own HTTPS port, unless it is the one that needs no naming.
func (rt *Router) redirect(w http.ResponseWriter, r *http.Request, host string) {
	status := http.StatusPermanentRedirect // keeps method and body
	if r.Method == http.MethodGet || r.Method == http.MethodHead {
		status = http.StatusMovedPermanently // known to every client
	}
	_, port, _ := net.SplitHostPort(rt.HTTPSAddr())
	if port != "443" {
		host = net.JoinHostPort(host, port)
	}
	rt.tally.count(status)
	w.Header().Set("Location", "https://"+host+r.URL.RequestURI())
	w.WriteHeader(status)
}

// serveHandler calls a route that lives in this process, with the same forwarding fields as an app gets.
func (rt *Router) serveHandler(w http.ResponseWriter, r *http.Request, m *route, started time.Time) {
	rt.forwardHeader(r.Header, r, started)
	w.Header()[headerVcapRequestID] = r.Header[headerVcapRequestID]
	seen := &statusWriter{ResponseWriter: w}
	defer func() {
		if p := recover(); p != nil {
			rt.tally.count(http.StatusInternalServerError)
			if p != http.ErrAbortHandler {
				rt.log.Error("a handler panicked", "host", r.Host, "path", r.URL.Path, "panic", p, "stack", string(debug.Stack()))
			}
			panic(http.ErrAbortHandler)
		}
		rt.tally.count(seen.status())
	}()
	m.handler.ServeHTTP(seen, r)
}

// statusWriter remembers the status. http.ResponseController sees through it.
type statusWriter struct {
	http.ResponseWriter
	code int
}

func (s *statusWriter) Unwrap() http.ResponseWriter { return s.ResponseWriter }

func (s *statusWriter) WriteHeader(code int) {
	if s.code < 200 {
		s.code = code
	}
	s.ResponseWriter.WriteHeader(code)
}

// Flush is for handlers that ask for an http.Flusher.
func (s *statusWriter) Flush() { _ = http.NewResponseController(s.ResponseWriter).Flush() }

// Hijack is for handlers that ask for an http.Hijacker.
func (s *statusWriter) Hijack() (net.Conn, *bufio.ReadWriter, error) {
	return http.NewResponseController(s.ResponseWriter).Hijack()
}

func (s *statusWriter) status() int {
	if s.code == 0 {
		return http.StatusOK
	}
	return s.code
}
