package remote

import (
	"context"
	"fmt"
	"io"
	"net"
	"strconv"
	"strings"

	"golang.org/x/crypto/ssh"
	"golang.org/x/sync/errgroup"
)

// Forward leads connections to an address here to another, as seen from the instance.
type Forward struct {
	From, To string // HOST:PORT
}

// ParseForward reads [ADDRESS:]PORT:HOST:PORT; IPv6 addresses stand in brackets. Without ADDRESS it is loopback.
func ParseForward(text string) (Forward, error) {
	bad := fmt.Errorf("%q is not [ADDRESS:]PORT:HOST:PORT", text)
	parts, ok := splitAddresses(text)
	if !ok {
		return Forward{}, bad
	}
	if len(parts) == 3 {
		parts = append([]string{"localhost"}, parts...)
	}
	if len(parts) != 4 || parts[2] == "" {
		return Forward{}, bad
	}
	for _, port := range []string{parts[1], parts[3]} {
		if n, err := strconv.Atoi(port); err != nil || n < 0 || n > 65535 {
			return Forward{}, bad
		}
	}
	return Forward{From: net.JoinHostPort(parts[0], parts[1]), To: net.JoinHostPort(parts[2], parts[3])}, nil
}

// splitAddresses splits at colons that are not in brackets.
func splitAddresses(text string) (parts []string, ok bool) {
	for {
		if rest, bracket := strings.CutPrefix(text, "["); bracket {
			host, after, closed := strings.Cut(rest, "]")
			after, more := strings.CutPrefix(after, ":")
			if !closed || !more {
				return nil, false
			}
			parts, text = append(parts, host), after
			continue
		}
		part, rest, more := strings.Cut(text, ":")
		parts, text = append(parts, part), rest
		if !more {
			return parts, true
		}
	}
}

// listener is a forward that listens.
type listener struct {
	net.Listener
	to string
}

// listen opens all forwards or none.
func listen(ctx context.Context, o Options) ([]listener, error) {
	var all []listener
	for _, f := range o.Forwards {
		var config net.ListenConfig
		l, err := config.Listen(ctx, "tcp", f.From)
		if err != nil {
			for _, open := range all {
				_ = open.Close() // nothing has connected yet
			}
			return nil, fmt.Errorf("listen at %s: %w", f.From, err)
		}
		all = append(all, listener{l, f.To})
		if o.Listening != nil {
			o.Listening(l.Addr().String(), f.To)
		}
	}
	return all, nil
}

// serve leads connections on until ctx ends.
func (l listener) serve(ctx context.Context, client *ssh.Client) error {
	stop := context.AfterFunc(ctx, func() { _ = l.Close() })
	defer stop()
	var group errgroup.Group
	defer func() { _ = group.Wait() }() // its functions return nil
	for {
		conn, err := l.Accept()
		if ctx.Err() != nil {
			return nil
		}
		if err != nil {
			return fmt.Errorf("accept at %s: %w", l.Addr(), err)
		}
		group.Go(func() error {
			lead(ctx, client, conn, l.to)
			return nil
		})
	}
}

// lead joins a connection with one that the instance opens.
func lead(ctx context.Context, client *ssh.Client, conn net.Conn, to string) {
	defer conn.Close()
	remote, err := client.DialContext(ctx, "tcp", to)
	if err != nil {
		return // as a port where nobody listens
	}
	defer remote.Close()
	stop := context.AfterFunc(ctx, func() { _, _ = conn.Close(), remote.Close() })
	defer stop()
	var group errgroup.Group
	group.Go(func() error { pour(remote, conn); return nil })
	pour(conn, remote)
	_ = group.Wait() // its functions return nil
}

// pour copies one way and passes the end of it on.
func pour(to, from net.Conn) {
	_, _ = io.Copy(to, from) // an error here is the end of the connection there
	if half, ok := to.(interface{ CloseWrite() error }); ok {
		_ = half.CloseWrite()
		return
	}
	_ = to.Close()
}
