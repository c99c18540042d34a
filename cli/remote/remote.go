// Package remote is the client of the platform's SSH endpoint: a shell or a command in an instance of an app, and
// connections that are led there. It is told all that it needs; it knows neither the API nor the login.
package remote

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"strings"
	"time"

	"golang.org/x/crypto/ssh"
	"golang.org/x/sync/errgroup"
)

// Options say where to connect to and what to do there.
type Options struct {
	Address     string // HOST:PORT
	Fingerprint string // of the host key, see checkKey
	SkipHostKey bool   // trust any host key
	User        string // cf:PROCESS/INDEX
	Code        string // one-time password

	Command   string // empty: a shell
	NoCommand bool   // neither: only Forwards
	TTY       TTY
	Forwards  []Forward

	In        *os.File
	Out, Err  *os.File
	Listening func(from, to string) // called for each forward that listens; may be nil
}

// TTY says when the other side gets a terminal.
type TTY int

// TTYAuto is a terminal for a shell, when there is one here; TTYWanted for a command too.
const (
	TTYAuto TTY = iota
	TTYNever
	TTYWanted
	TTYAlways
)

var (
	// ErrHostKey says that the server has another key than the platform names.
	ErrHostKey = errors.New("the key of the SSH server is not the one that the platform names")
	// ErrRefused says that the server did not take the one-time password.
	ErrRefused = errors.New("the SSH server refused the login")
)

// ExitError is the exit code of a remote command that is not 0; of one that a signal ended it is 255.
type ExitError struct {
	Code   int
	Signal string
}

func (e *ExitError) Error() string {
	if e.Signal != "" {
		return "the remote command was ended by signal " + e.Signal
	}
	return fmt.Sprintf("the remote command ended with code %d", e.Code)
}

const (
	dialTimeout = 10 * time.Second
	keepAlive   = 30 * time.Second
)

// Run connects and returns when the remote command has ended, or, with NoCommand, when ctx ends.
func Run(ctx context.Context, o Options) error {
	client, err := dial(ctx, o)
	if err != nil {
		return err
	}
	defer client.Close()
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	group, ctx := errgroup.WithContext(ctx)
	listeners, err := listen(ctx, o)
	if err != nil {
		return err
	}
	for _, l := range listeners {
		group.Go(func() error { return l.serve(ctx, client) })
	}
	group.Go(func() error { beat(ctx, client); return nil })
	group.Go(func() error {
		defer cancel()
		if o.NoCommand {
			return wait(ctx, client)
		}
		return session(ctx, client, o)
	})
	return group.Wait()
}

func dial(ctx context.Context, o Options) (*ssh.Client, error) {
	check := checkKey(o.Fingerprint)
	if o.SkipHostKey {
		check = ssh.InsecureIgnoreHostKey()
	}
	dialer := net.Dialer{Timeout: dialTimeout}
	conn, err := dialer.DialContext(ctx, "tcp", loopback(o.Address))
	if err != nil {
		return nil, fmt.Errorf("the SSH server at %s can't be reached: %w", o.Address, err)
	}
	config := &ssh.ClientConfig{User: o.User, Auth: []ssh.AuthMethod{ssh.Password(o.Code)}, HostKeyCallback: check, Timeout: dialTimeout}
	stop := context.AfterFunc(ctx, func() { _ = conn.Close() }) // a handshake knows no context
	defer stop()
	link, channels, requests, err := ssh.NewClientConn(conn, o.Address, config)
	switch {
	case err == nil:
		return ssh.NewClient(link, channels, requests), nil
	case ctx.Err() != nil:
		err = context.Cause(ctx)
	case errors.Is(err, ErrHostKey):
		err = ErrHostKey
	case strings.Contains(err.Error(), "unable to authenticate"):
		err = ErrRefused
	default:
		err = fmt.Errorf("the SSH server at %s: %w", o.Address, err)
	}
	return nil, errors.Join(err, ignoreClosed(conn.Close()))
}

// loopback reaches every name under localhost on loopback (RFC 6761 6.3), which many resolvers don't.
func loopback(address string) string {
	host, port, err := net.SplitHostPort(address)
	if err == nil && (host == "localhost" || strings.HasSuffix(host, ".localhost")) {
		return net.JoinHostPort("127.0.0.1", port)
	}
	return address
}

func ignoreClosed(err error) error {
	if errors.Is(err, net.ErrClosed) {
		return nil
	}
	return err
}

// beat keeps the connection from being taken for a dead one, and notices when it is.
func beat(ctx context.Context, client *ssh.Client) {
	ticker := time.NewTicker(keepAlive)
	defer ticker.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-ticker.C:
			if _, _, err := client.SendRequest("keepalive@cloudfoundry.org", true, nil); err != nil {
				return // the session sees the broken connection too
			}
		}
	}
}

// wait returns when ctx ends, which is how a forward is ended, or with an error when the connection breaks.
func wait(ctx context.Context, client *ssh.Client) error {
	broken := make(chan error, 1)
	go func() { broken <- client.Wait() }()
	select {
	case <-ctx.Done():
		_ = client.Close() // so that the goroutine ends
		<-broken
		return nil
	case err := <-broken:
		if err == nil || errors.Is(err, io.EOF) {
			return errors.New("the SSH server has ended the connection")
		}
		return err
	}
}
