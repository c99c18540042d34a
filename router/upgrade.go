package router

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"strings"
	"sync/atomic"
)

// switchProtocols hands the connection over to the protocol that client and app have agreed on, and
// carries bytes both ways until both have said all or one side breaks.
func (x *exchange) switchProtocols(res *http.Response) {
	defer res.Body.Close()
	app, ok := res.Body.(io.ReadWriteCloser)
	if !ok || x.upgrade == "" || !strings.EqualFold(res.Header.Get("Upgrade"), x.upgrade) {
		x.access.Error = fmt.Errorf("instance %s changed to protocol %q, but the client asked for %q",
			x.access.InstanceID, res.Header.Get("Upgrade"), x.upgrade)
		x.refuse(http.StatusBadGateway, errEndpointFailure, "The app changed to a protocol that was not asked for.")
		return
	}
	client, err := x.hijack(res)
	if err != nil {
		x.access.Error = fmt.Errorf("take over the client's connection: %w", err)
		panic(http.ErrAbortHandler)
	}
	defer client.Close()
	x.access.Upgraded = true
	x.tunnel(client, app)
}

// hijacked is a client's connection together with what the server had read ahead.
type hijacked struct {
	net.Conn
	ahead io.Reader
}

func (c hijacked) Read(p []byte) (int, error) { return c.ahead.Read(p) }

// CloseWrite ends the outgoing half, if the connection has halves.
func (c hijacked) CloseWrite() error { return closeWrite(c.Conn) }

// hijack sends the header of res and takes the connection from the server.
func (x *exchange) hijack(res *http.Response) (hijacked, error) {
	h := x.w.Header()
	upgrade := res.Header.Get("Upgrade")
	copyResponseHeader(h, res)
	h["Connection"], h["Upgrade"] = []string{"Upgrade"}, []string{upgrade}
	delete(h, "Content-Type")
	conn, rw, err := http.NewResponseController(x.w).Hijack()
	if err != nil {
		return hijacked{}, err
	}
	// RFC 9110 15.2.2: the header alone; its length fields would mean nothing.
	head := http.Response{StatusCode: http.StatusSwitchingProtocols, ProtoMajor: 1, ProtoMinor: 1, Header: h}
	if err := errors.Join(head.Write(rw), rw.Flush()); err != nil {
		conn.Close()
		return hijacked{}, err
	}
	return hijacked{Conn: conn, ahead: rw.Reader}, nil
}

// tunnel carries bytes until both directions have ended, or the router does.
func (x *exchange) tunnel(client hijacked, app io.ReadWriteCloser) {
	stop := context.AfterFunc(x.rt.upgrades, func() {
		client.Close()
		app.Close()
	})
	defer stop()
	var err error
	x.access.BytesIn, x.access.BytesOut, err = tunnel(client, app)
	if err != nil && !errors.Is(err, net.ErrClosed) {
		x.access.Error = err
	}
}

// tunnel returns when both directions have ended. A direction that ends cleanly closes only its half: the
// other side may still be talking. An error in one ends both. Both are closed when it returns.
func tunnel(client, app io.ReadWriteCloser) (bytesIn, bytesOut int64, err error) {
	defer client.Close()
	defer app.Close()
	var in, out atomic.Int64
	inbound := make(chan error, 1)
	go func() { inbound <- pipe(app, client, &in) }()
	outErr := pipe(client, app, &out)
	if outErr != nil {
		client.Close()
		app.Close()
	}
	inErr := <-inbound
	return in.Load(), out.Load(), errors.Join(inErr, outErr)
}

// pipe copies src to dst and then ends dst's half. After an error it closes both, so that the other
// direction ends too.
func pipe(dst io.WriteCloser, src io.ReadCloser, n *atomic.Int64) error {
	buf := copyBuffers.Get().(*[copyBufferBytes]byte)
	defer copyBuffers.Put(buf)
	for {
		read, readErr := src.Read(buf[:])
		if read > 0 {
			written, err := dst.Write(buf[:read])
			n.Add(int64(written))
			if err != nil {
				return closeBoth(dst, src, err)
			}
		}
		if errors.Is(readErr, io.EOF) {
			if closeWrite(dst) != nil {
				return closeBoth(dst, src, nil)
			}
			return nil
		}
		if readErr != nil {
			return closeBoth(dst, src, readErr)
		}
	}
}

func closeBoth(a, b io.Closer, err error) error {
	a.Close()
	b.Close()
	return err
}

var errNoHalfClose = errors.New("the connection has no halves")

func closeWrite(w any) error {
	if c, ok := w.(interface{ CloseWrite() error }); ok {
		return c.CloseWrite()
	}
	return errNoHalfClose
}
