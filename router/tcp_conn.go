package router

import (
	"context"
	"errors"
	"net"
	"os"
	"sync/atomic"
	"time"
)

// serve carries one client's connection to an instance and back.
func (p *tcpPort) serve(client net.Conn) {
	key := edgeKey{p.rt.callers.of(client.RemoteAddr().String()), true}
	ep, app := p.connect()
	if ep == nil {
		p.failed.Add(1)
		if r := p.rt.lookup.Load().tcp[p.number]; r != nil {
			p.rt.callers.enter(r.app, key).leave(Unanswered)
		}
		reset(client)
		return
	}
	defer p.rt.registry.release(ep)
	ep.app.connections.Add(1)
	edge := p.rt.callers.enter(ep.app, key)
	defer edge.inFlight.Add(-1)
	edge.counts[Answered].Add(1) // now: a connection may last for days
	stop := context.AfterFunc(p.ctx, func() {
		client.Close()
		app.Close()
	})
	defer stop()
	var last atomic.Int64
	last.Store(time.Now().UnixNano())
	idle := p.rt.opts.TCPIdleTimeout
	in, out, _ := tunnel(&idleConn{client, idle, &last}, &idleConn{app, idle, &last})
	p.bytesIn.Add(in)
	p.bytesOut.Add(out)
}

// connect chooses an instance, counts the connection in and dials; where that fails, another instance.
func (p *tcpPort) connect() (*endpoint, net.Conn) {
	var c choice
	for len(c.tried) < maxAttempts {
		r := p.rt.lookup.Load().tcp[p.number]
		if r == nil {
			return nil, nil
		}
		ep := r.pool.pick(nil, &c)
		if ep == nil {
			return nil, nil
		}
		if !p.rt.registry.acquire(ep) {
			continue // it has left; the table is a newer one
		}
		conn, err := ep.connect(p.ctx, p.rt.registry.dial)
		if err == nil {
			ep.answered()
			return ep, conn
		}
		p.rt.registry.release(ep)
		if p.ctx.Err() != nil {
			return nil, nil
		}
		ep.refused(time.Now())
		p.rt.tally.retries.Add(1)
		c.tried = append(c.tried, ep)
		p.rt.log.Debug("an instance refused a TCP connection", "port", p.number, "instance", ep.InstanceID, "error", err)
	}
	p.rt.tally.endpointErrors.Add(1)
	return nil, nil
}

// idleConn is one of two connections that are at rest only when both are: last is when either had a byte.
type idleConn struct {
	net.Conn
	idle time.Duration
	last *atomic.Int64
}

func (c *idleConn) Read(b []byte) (int, error) {
	for {
		rest := c.idle - time.Since(time.Unix(0, c.last.Load()))
		if err := c.SetReadDeadline(time.Now().Add(max(rest, time.Millisecond))); err != nil {
			return 0, err
		}
		n, err := c.Conn.Read(b)
		if n > 0 {
			c.last.Store(time.Now().UnixNano())
		}
		if n > 0 || !errors.Is(err, os.ErrDeadlineExceeded) || time.Since(time.Unix(0, c.last.Load())) >= c.idle {
			return n, err
		}
	}
}

func (c *idleConn) Write(b []byte) (int, error) {
	if err := c.SetWriteDeadline(time.Now().Add(c.idle)); err != nil {
		return 0, err
	}
	return c.Conn.Write(b)
}

// CloseWrite ends the outgoing half.
func (c *idleConn) CloseWrite() error { return closeWrite(c.Conn) }
