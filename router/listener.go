package router

import (
	"net"
	"time"
)

// listener gives every write of its connections an end: a client that stops reading is dropped, however
// long the response may take as a whole.
type listener struct {
	net.Listener
	writeTimeout time.Duration
}

func (l *listener) Accept() (net.Conn, error) {
	c, err := l.Listener.Accept()
	if err != nil {
		return nil, err
	}
	return &conn{Conn: c, writeTimeout: l.writeTimeout}, nil
}

type conn struct {
	net.Conn
	writeTimeout time.Duration
}

// Write sets the deadline itself, because net/http keeps none while a handler runs.
func (c *conn) Write(p []byte) (int, error) {
	if err := c.Conn.SetWriteDeadline(time.Now().Add(c.writeTimeout)); err != nil {
		return 0, err
	}
	return c.Conn.Write(p)
}

// CloseWrite ends the outgoing half of the connection.
func (c *conn) CloseWrite() error { return closeWrite(c.Conn) }
