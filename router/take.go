package router

import (
	"context"
	"net"
	"sync"
)

// handed is a listener for connections that were accepted elsewhere.
type handed struct {
	conns  chan net.Conn
	closed chan struct{}
	once   sync.Once
}

func newHanded() *handed { return &handed{conns: make(chan net.Conn), closed: make(chan struct{})} }

func (h *handed) Accept() (net.Conn, error) {
	select {
	case c := <-h.conns:
		return c, nil
	case <-h.closed:
		return nil, net.ErrClosed
	}
}

func (h *handed) Close() error {
	h.once.Do(func() { close(h.closed) })
	return nil
}

func (h *handed) Addr() net.Addr { return &net.TCPAddr{} }

// Take serves a connection that somebody else accepted, as one of the HTTPS port if secure, else of the HTTP port. Its
// RemoteAddr is the client's. It closes conn in any case, at once if it returns an error: Serve has ended, or ctx has.
func (rt *Router) Take(ctx context.Context, conn net.Conn, secure bool) error {
	h := rt.plainTaken
	if secure {
		h = rt.secureTaken
	}
	select {
	case h.conns <- conn:
		return nil
	case <-h.closed:
		conn.Close()
		return net.ErrClosed
	case <-ctx.Done():
		conn.Close()
		return ctx.Err()
	}
}
