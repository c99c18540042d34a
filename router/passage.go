package router

import (
	"bytes"
	"context"
	"crypto/tls"
	"errors"
	"io"
	"net"
	"sync"
	"sync/atomic"
	"time"
)

// Passage carries connections of the HTTPS port whose TLS is ended elsewhere. The name that a client asks for is read, and
// then bytes go both ways: no key for such a name is here.
type Passage struct {
	// Takes reports whether a connection for the name, spelt as in routes, is one of these. It must be quick. Challenges of
	// ACME (TLS-ALPN-01, RFC 8737) are taken whatever their name. Nil: there are none.
	Takes func(host string) bool
	// Dial connects to where TLS is ended, for that client.
	Dial func(ctx context.Context, client net.Addr) (net.Conn, error)
}

// passageRest is how long a passage may be at rest when the router ends; others end with the grace.
const passageRest = time.Second

// passages is a listener that keeps those connections for itself.
type passages struct {
	net.Listener
	rt     *Router
	conns  chan net.Conn // for whoever accepts
	failed chan error    // what the listener ended with
	ctx    context.Context
	cut    context.CancelFunc
	wg     sync.WaitGroup

	mu   sync.Mutex
	open map[*passing]bool
}

// passing is one connection that is passed on.
type passing struct {
	last  atomic.Int64 // when a byte came, either way
	close func()
}

// pass returns what is left of a listener for the router itself, and what ends the rest within the grace.
func (rt *Router) pass(ln net.Listener) (net.Listener, func(grace context.Context)) {
	if rt.opts.Passage.Takes == nil {
		return ln, func(context.Context) {}
	}
	p := &passages{Listener: ln, rt: rt, conns: make(chan net.Conn), failed: make(chan error, 1), open: map[*passing]bool{}}
	p.ctx, p.cut = context.WithCancel(context.Background())
	p.wg.Go(p.listen)
	return p, p.end
}

func (p *passages) listen() {
	for {
		c, err := p.Listener.Accept()
		if err == nil {
			p.wg.Go(func() { p.sort(c) })
			continue
		}
		var temporary interface{ Temporary() bool }
		if !errors.As(err, &temporary) || !temporary.Temporary() || errors.Is(err, net.ErrClosed) {
			p.failed <- err
			return
		}
		select { // too many open files, mostly: others may close some
		case <-time.After(50 * time.Millisecond):
		case <-p.ctx.Done():
		}
	}
}

// Accept returns connections whose TLS is ended here.
func (p *passages) Accept() (net.Conn, error) {
	select {
	case c := <-p.conns:
		return c, nil
	case err := <-p.failed:
		p.failed <- err
		return nil, err
	}
}

// sort reads what a client asks for and says whose connection it is.
func (p *passages) sort(c net.Conn) {
	_ = c.SetReadDeadline(time.Now().Add(p.rt.opts.ReadHeaderTimeout)) // a connection that is broken says so when it is read
	hello, ahead := readHello(p.ctx, c)
	_ = c.SetReadDeadline(time.Time{})
	whole := hijacked{Conn: c, ahead: io.MultiReader(bytes.NewReader(ahead), c)}
	if hello != nil {
		name, _ := serverName(hello.ServerName)
		if isACMEChallenge(hello) || name != "" && p.rt.opts.Passage.Takes(name) {
			p.carry(whole)
			return
		}
	}
	select {
	case p.conns <- whole:
	case <-p.ctx.Done():
		c.Close()
	}
}

var errEnough = errors.New("all that is wanted is known")

// readHello returns what the client says first, and all bytes that were read for that; nil if it is no ClientHello.
func readHello(ctx context.Context, c net.Conn) (hello *tls.ClientHelloInfo, ahead []byte) {
	var read bytes.Buffer
	_ = tls.Server(onlyRead{c, io.TeeReader(c, &read)}, &tls.Config{
		MinVersion: tls.VersionTLS12,
		GetConfigForClient: func(h *tls.ClientHelloInfo) (*tls.Config, error) {
			hello = h
			return nil, errEnough
		},
	}).HandshakeContext(ctx) // it fails in any case
	return hello, read.Bytes()
}

// onlyRead keeps the alert that ends the handshake from the client.
type onlyRead struct {
	net.Conn
	from io.Reader
}

func (c onlyRead) Read(b []byte) (int, error)  { return c.from.Read(b) }
func (c onlyRead) Write(b []byte) (int, error) { return len(b), nil }

// carry passes a connection on until it ends.
func (p *passages) carry(client hijacked) {
	dial, cancel := context.WithTimeout(p.ctx, 2*p.rt.opts.DialTimeout)
	defer cancel()
	far, err := p.rt.opts.Passage.Dial(dial, client.RemoteAddr())
	if err != nil {
		client.Close()
		p.rt.log.Debug("a connection is not passed on", "client", client.RemoteAddr().String(), "error", err)
		return
	}
	one := &passing{close: sync.OnceFunc(func() { client.Close(); far.Close() })}
	one.last.Store(time.Now().UnixNano())
	p.mu.Lock()
	p.open[one] = true
	p.mu.Unlock()
	defer func() {
		p.mu.Lock()
		delete(p.open, one)
		p.mu.Unlock()
	}()
	defer context.AfterFunc(p.ctx, one.close)()
	idle := p.rt.opts.TCPIdleTimeout
	_, _, _ = tunnel(&idleConn{client, idle, &one.last}, &idleConn{far, idle, &one.last}) // either side may break it off
}

// end lets passages that are in use go on until the grace ends.
func (p *passages) end(grace context.Context) {
	defer p.wg.Wait()
	defer p.cut()
	tick := time.NewTicker(100 * time.Millisecond)
	defer tick.Stop()
	for p.closeResting() > 0 {
		select {
		case <-tick.C:
		case <-grace.Done():
			return
		}
	}
}

func (p *passages) closeResting() (left int) {
	p.mu.Lock()
	defer p.mu.Unlock()
	for one := range p.open {
		if time.Since(time.Unix(0, one.last.Load())) > passageRest {
			one.close()
			delete(p.open, one)
		}
	}
	return len(p.open)
}
