// Package ssh lets people into running instances by SSH, as Cloud Foundry does (contract 3.9): the user is
// cf:GUID/INDEX, the password a one-time code of the authorization server. It serves commands and shells with
// or without a terminal, sftp, and local port forwarding.
//
// It decides nothing: a Gate says who may come in, and is asked again when something changes, so that a role or a
// switch that is taken away ends what is open. Everything runs inside the instance as its user; nothing is
// run on this machine.
package ssh

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"sync"
	"time"

	"golang.org/x/crypto/ssh"

	"github.com/cupola-paas/cupola/node"
)

// What a stranger can make us hold.
const (
	maxConnections     = 1000
	maxPerAddress      = 100 // connections
	maxHandshakes      = 100 // connections that have not shown a code yet
	maxAuthTries       = 3
	handshakeTime      = 30 * time.Second
	maxChannels        = 64 // of one connection
	maxFailures        = 20 // of one address, in failureWindow
	failureWindow      = 5 * time.Minute
	keepAlive          = 30 * time.Second // of TCP: finds clients that have gone without a word
	serverVersion      = "SSH-2.0-Cupola"
	forwardDialTimeout = 10 * time.Second
)

// ErrDenied says that a code is not good, or its owner may not come in there. The client is not told more.
var ErrDenied = errors.New("access denied")

// Knock is somebody who wants to come in.
type Knock struct {
	GUID   string // of a process or an app
	Index  int
	Code   string
	Remote string // host:port
}

// Visit is somebody who came in.
type Visit struct {
	AppGUID    string
	InstanceID string // of the engine
	Index      int
	Who        any // the Gate's own
}

// Gate says who may come in.
type Gate interface {
	// Enter redeems the code. The error is ErrDenied for whoever may not come in.
	Enter(ctx context.Context, k Knock) (*Visit, error)
	// Stays reports whether somebody who came in may still be there. It is called often.
	Stays(v *Visit) bool
}

// Engine is the part of node.Engine that sessions need.
type Engine interface {
	Exec(ctx context.Context, id string, e node.Exec) (int, error)
	Dial(ctx context.Context, id, network, address string) (net.Conn, error)
}

// Logs takes the lines that the server writes into an app's log.
type Logs interface {
	Platform(appGUID, sourceType, instance, text string)
}

// Options say what a Server stands on. All but Log are needed.
type Options struct {
	Listener net.Listener // of Listen; the server closes it
	HostKey  ssh.Signer
	Gate     Gate
	Engine   Engine
	Logs     Logs
	// Guest is the program that runs in instances: see package guest.
	Guest []byte
	// Watch returns a channel that gets a value when Gate.Stays may answer differently.
	Watch func(context.Context) <-chan struct{}
	Log   *slog.Logger // nil: slog.Default
}

// Server is the SSH server.
type Server struct {
	o        Options
	log      *slog.Logger
	guest    *node.Program
	throttle *throttle

	mu     sync.Mutex
	guests map[*connection]struct{} // that came in
	wg     sync.WaitGroup           // every connection
}

// New makes a server.
func New(o Options) *Server {
	if o.Log == nil {
		o.Log = slog.Default()
	}
	return &Server{
		o: o, log: o.Log, throttle: newThrottle(time.Now), guests: map[*connection]struct{}{},
		guest: &node.Program{Name: "guest", Content: o.Guest},
	}
}

// Listen opens a port for a Server.
func Listen(ctx context.Context, addr string) (net.Listener, error) {
	lc := net.ListenConfig{KeepAlive: keepAlive}
	return lc.Listen(ctx, "tcp", addr)
}

// Serve serves until ctx ends. When it returns, every connection is closed and its goroutines have ended.
func (s *Server) Serve(ctx context.Context) error {
	stop := context.AfterFunc(ctx, func() { _ = s.o.Listener.Close() })
	defer stop()
	serving, cancel := context.WithCancel(ctx)
	defer s.wg.Wait()
	defer cancel() // ends the connections when the listener fails
	s.wg.Go(func() { s.watch(serving) })
	for {
		conn, err := s.o.Listener.Accept()
		switch {
		case err == nil:
			s.accept(serving, conn)
		case ctx.Err() != nil:
			return nil
		case errors.Is(err, net.ErrClosed):
			return fmt.Errorf("serve SSH: %w", err)
		default: // out of file descriptors, most likely: others will go
			s.log.Warn("SSH connection not accepted", "error", err)
			select {
			case <-ctx.Done():
			case <-time.After(100 * time.Millisecond):
			}
		}
	}
}

// accept serves a connection, or closes it when there are too many.
func (s *Server) accept(ctx context.Context, conn net.Conn) {
	address := addressOf(conn.RemoteAddr())
	if !s.throttle.open(address) {
		_ = conn.Close()
		return
	}
	s.wg.Go(func() {
		defer s.throttle.closed(address)
		defer s.caught()
		s.serve(ctx, conn, address)
	})
}

// watch ends the connections of those who may no longer be there.
func (s *Server) watch(ctx context.Context) {
	changed := s.o.Watch(ctx)
	for {
		select {
		case <-ctx.Done():
			return
		case <-changed:
			for _, c := range s.present() {
				if !s.o.Gate.Stays(c.visit) {
					s.log.Info("SSH access withdrawn", "app", c.visit.AppGUID, "remote", c.remote)
					_ = c.ssh.Close()
				}
			}
		}
	}
}

func (s *Server) present() []*connection {
	s.mu.Lock()
	defer s.mu.Unlock()
	all := make([]*connection, 0, len(s.guests))
	for c := range s.guests {
		all = append(all, c)
	}
	return all
}
