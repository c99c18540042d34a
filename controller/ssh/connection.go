package ssh

import (
	"context"
	"errors"
	"net"
	"regexp"
	"runtime/debug"
	"strconv"
	"strings"
	"sync"
	"time"

	"golang.org/x/crypto/ssh"
)

// connection is one that came in.
type connection struct {
	s        *Server
	ssh      *ssh.ServerConn
	visit    *Visit
	remote   string
	channels sync.WaitGroup
	open     chan struct{} // one token for each open channel
}

// serve shakes hands and serves the channels of a connection until it ends.
func (s *Server) serve(ctx context.Context, conn net.Conn, address string) {
	stop := context.AfterFunc(ctx, func() { _ = conn.Close() })
	defer stop()
	defer conn.Close()
	c, channels, requests := s.greet(ctx, conn, address)
	s.throttle.greeted()
	if c == nil {
		return
	}
	s.came(c)
	defer s.went(c)
	ctx, cancel := context.WithCancel(ctx)
	defer c.channels.Wait()
	defer cancel() // what still runs in the instance ends with its connection
	c.channels.Go(func() { answer(requests) })
	for n := range channels {
		c.accept(ctx, n)
	}
}

// greet returns nil when the client has not come in; then the connection is of no more use.
func (s *Server) greet(ctx context.Context, conn net.Conn, address string) (*connection, <-chan ssh.NewChannel, <-chan *ssh.Request) {
	var visit *Visit
	config := &ssh.ServerConfig{
		ServerVersion: serverVersion, MaxAuthTries: maxAuthTries,
		PasswordCallback: func(meta ssh.ConnMetadata, password []byte) (_ *ssh.Permissions, err error) {
			visit, err = s.enter(ctx, meta, string(password), address)
			return nil, err
		},
	}
	config.AddHostKey(s.o.HostKey)
	if err := conn.SetDeadline(time.Now().Add(handshakeTime)); err != nil {
		return nil, nil, nil
	}
	sc, channels, requests, err := ssh.NewServerConn(conn, config)
	if err != nil {
		s.log.Debug("SSH handshake", "remote", conn.RemoteAddr(), "error", err)
		return nil, nil, nil
	}
	if err := conn.SetDeadline(time.Time{}); err != nil {
		return nil, nil, nil
	}
	return &connection{
		s: s, ssh: sc, visit: visit, remote: conn.RemoteAddr().String(), open: make(chan struct{}, maxChannels),
	}, channels, requests
}

// enter asks the gate.
func (s *Server) enter(ctx context.Context, meta ssh.ConnMetadata, code, address string) (*Visit, error) {
	guid, index, ok := parseUser(meta.User())
	if !ok || code == "" || len(code) > 256 {
		s.throttle.fail(address)
		return nil, ErrDenied
	}
	visit, err := s.o.Gate.Enter(ctx, Knock{GUID: guid, Index: index, Code: code, Remote: meta.RemoteAddr().String()})
	if errors.Is(err, ErrDenied) {
		s.throttle.fail(address)
	} else if err != nil {
		s.log.Error("SSH login", "error", err)
		err = ErrDenied
	}
	return visit, err
}

var userName = regexp.MustCompile(`^cf:([0-9a-fA-F]{8}(?:-[0-9a-fA-F]{4}){3}-[0-9a-fA-F]{12})/(0|[1-9][0-9]{0,5})$`)

// parseUser reads cf:GUID/INDEX.
func parseUser(user string) (guid string, index int, ok bool) {
	m := userName.FindStringSubmatch(user)
	if m == nil {
		return "", 0, false
	}
	index, err := strconv.Atoi(m[2])
	return strings.ToLower(m[1]), index, err == nil
}

func (s *Server) came(c *connection) {
	s.mu.Lock()
	s.guests[c] = struct{}{}
	s.mu.Unlock()
	s.line(c.visit, "Successful remote access by "+c.remote)
	s.log.Info("SSH session begins", "app", c.visit.AppGUID, "instance", c.visit.InstanceID, "remote", c.remote)
	if !s.o.Gate.Stays(c.visit) { // what changed before we were in the list
		_ = c.ssh.Close()
	}
}

func (s *Server) went(c *connection) {
	s.mu.Lock()
	delete(s.guests, c)
	s.mu.Unlock()
	s.line(c.visit, "Remote access ended for "+c.remote)
}

func (s *Server) line(v *Visit, text string) {
	s.o.Logs.Platform(v.AppGUID, "SSH", strconv.Itoa(v.Index), text)
}

// answer says yes to requests that ask whether we are alive, and no to others, such as for remote forwarding.
func answer(requests <-chan *ssh.Request) {
	for r := range requests {
		if r.WantReply {
			_ = r.Reply(strings.HasPrefix(r.Type, "keepalive@"), nil) // a connection that is gone ends the range
		}
	}
}

// accept begins a channel, or refuses it.
func (c *connection) accept(ctx context.Context, n ssh.NewChannel) {
	kinds := map[string]func(context.Context, ssh.NewChannel){"session": c.session, "direct-tcpip": c.forward}
	serve := kinds[n.ChannelType()]
	if serve == nil {
		_ = n.Reject(ssh.UnknownChannelType, "only sessions and local forwarding are served")
		return
	}
	select {
	case c.open <- struct{}{}:
	default:
		_ = n.Reject(ssh.ResourceShortage, "too many channels are open")
		return
	}
	c.channels.Go(func() {
		defer func() { <-c.open }()
		defer c.s.caught()
		serve(ctx, n)
	})
}

// caught, deferred, keeps a mistake of ours in one connection from ending the server.
func (s *Server) caught() {
	if p := recover(); p != nil {
		s.log.Error("SSH connection", "panic", p, "stack", string(debug.Stack()))
	}
}
