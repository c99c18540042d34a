package controller

import (
	"context"
	"errors"
	"fmt"
	"net"

	gossh "golang.org/x/crypto/ssh"

	"github.com/cupola-paas/cupola/buildpack/embedded"
	"github.com/cupola-paas/cupola/controller/api"
	"github.com/cupola-paas/cupola/controller/auth"
	"github.com/cupola-paas/cupola/controller/capi"
	"github.com/cupola-paas/cupola/controller/ssh"
	"github.com/cupola-paas/cupola/store"
)

// SSHOff as Config.SSHAddr means that nobody gets into apps by SSH.
const SSHOff = "off"

// sshClient is the OAuth client that one-time codes for SSH are made for.
const sshClient = "ssh-proxy"

const sshKeySetting = "ssh.host_key"

// sshDoor is the open port with its key; the zero value when SSH is off.
type sshDoor struct {
	listener             net.Listener
	key                  gossh.Signer
	guest                []byte
	address, fingerprint string // as GET / tells them
}

// openSSH listens before the API, which names the port, begins.
func (s *Server) openSSH(ctx context.Context) error {
	if s.config.SSHAddr == SSHOff {
		return nil
	}
	var failed error
	key, err := setting(s.db, sshKeySetting, func() []byte {
		var key []byte
		key, failed = ssh.NewHostKey()
		return key
	})
	if err = errors.Join(failed, err); err != nil {
		return err
	}
	if s.ssh.key, err = ssh.ParseHostKey([]byte(key)); err != nil {
		return err
	}
	if s.ssh.guest, err = embedded.Guest(); err != nil {
		return err
	}
	if s.ssh.listener, err = ssh.Listen(ctx, s.config.SSHAddr); err != nil {
		return fmt.Errorf("listen for SSH: %w: give another address with --ssh, or --ssh off", err)
	}
	s.onClose(func() error {
		if err := s.ssh.listener.Close(); !errors.Is(err, net.ErrClosed) {
			return err
		}
		return nil
	})
	_, port, err := net.SplitHostPort(s.ssh.listener.Addr().String())
	s.ssh.address, s.ssh.fingerprint = net.JoinHostPort("ssh."+s.config.Domain, port), ssh.Fingerprint(s.ssh.key)
	return err
}

// serveSSH runs beside the loops.
func (s *Server) serveSSH(ctx context.Context) error {
	if s.ssh.listener == nil {
		return nil
	}
	return ssh.New(ssh.Options{
		Listener: s.ssh.listener, HostKey: s.ssh.key, Guest: s.ssh.guest, Gate: sshGate{s}, Engine: s.engine, Logs: s.sink, Log: s.log,
		Watch: func(ctx context.Context) <-chan struct{} {
			return s.db.Watch(ctx, store.Apps.Name(), store.Spaces.Name(), store.Orgs.Name(), store.Roles.Name(), store.Users.Name())
		},
	}).Serve(ctx)
}

// sshGate brings authorization server and API together: whose code is it, and may they come in there?
type sshGate struct{ s *Server }

// visitor is what the gate remembers of who came in.
type visitor struct {
	who    *auth.Identity
	target api.SSHTarget
}

// Enter implements ssh.Gate.
func (g sshGate) Enter(ctx context.Context, k ssh.Knock) (*ssh.Visit, error) {
	who, err := g.s.auth.RedeemCode(sshClient, k.Code)
	if errors.Is(err, store.ErrNotFound) {
		return nil, ssh.ErrDenied
	}
	if err != nil {
		return nil, err
	}
	target, err := g.s.api.EnterSSH(ctx, who, k.GUID, k.Index, k.Remote)
	if answer := (*capi.Error)(nil); errors.As(err, &answer) {
		return nil, ssh.ErrDenied
	}
	if err != nil {
		return nil, err
	}
	return &ssh.Visit{AppGUID: target.AppGUID, InstanceID: target.InstanceGUID, Index: target.Index, Who: visitor{who, target}}, nil
}

// Stays implements ssh.Gate.
func (g sshGate) Stays(v *ssh.Visit) bool {
	who := v.Who.(visitor)
	return g.s.api.StaysSSH(context.Background(), who.who, who.target)
}
