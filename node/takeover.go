package node

import (
	"bufio"
	"context"
	"net"
	"net/http"
)

// Ahead is a connection that was one of requests before, with what was read of it already.
type Ahead struct {
	net.Conn
	From *bufio.Reader // of Conn
}

// Read implements net.Conn.
func (a *Ahead) Read(into []byte) (int, error) { return a.From.Read(into) }

// CloseWrite ends the outgoing half; a connection without halves is closed.
func (a *Ahead) CloseWrite() error {
	if half, ok := a.Conn.(interface{ CloseWrite() error }); ok {
		return half.CloseWrite()
	}
	return a.Conn.Close()
}

// TakeOver sends a request that asks for an upgrade to protocol (RFC 9110, 7.8), and takes the connection over if refused has no error
// for the answer; otherwise, and when ctx ends before, the connection is closed.
func TakeOver(ctx context.Context, conn net.Conn, req *http.Request, protocol string, refused func(*http.Response) error) (*Ahead, error) {
	req.Header.Set("Connection", "Upgrade")
	req.Header.Set("Upgrade", protocol)
	stop := context.AfterFunc(ctx, func() { conn.Close() })
	a := &Ahead{conn, bufio.NewReader(conn)}
	err := req.Write(conn)
	var res *http.Response
	if err == nil {
		res, err = http.ReadResponse(a.From, req)
	}
	if err == nil {
		err = refused(res)
	}
	if !stop() {
		err = ctx.Err()
	}
	if err != nil {
		conn.Close()
		return nil, err
	}
	return a, nil
}
