// Package nomadserver runs a Nomad cluster of the platform's own: one server, which is a client too, by the nomad program
// that an operator installed beside the controller. It makes the configuration with access control, an encrypted gossip and
// TLS both ways, the certificates, which it renews in time, and the token with which the controller uses the cluster.
//
// The program ends with the controller and begins with it again; containers go on meanwhile, on this machine and on others.
// Secrets are kept sealed in the store, and where Nomad reads them in files for root alone.
package nomadserver

import (
	"context"
	"crypto/rand"
	"encoding/base64"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"os"
	"path/filepath"
	"strconv"
	"sync"
	"time"

	"github.com/google/uuid"

	"github.com/cupola-paas/cupola/controller/identity"
	"github.com/cupola-paas/cupola/node/nomad/program"
	"github.com/cupola-paas/cupola/store"
)

const (
	certLife  = 7 * 24 * time.Hour // half of which is its use
	readyTime = 2 * time.Minute    // for Nomad to answer and have a leader

	region, datacenter = "global", "dc1"
	serverName         = "server." + region + ".nomad" // by which clients know servers
	clientName         = "client." + region + ".nomad"
)

// Names of settings, and of files in the folder.
const (
	caSetting        = "nomad.ca"
	gossipSetting    = "nomad.gossip"
	bootstrapSetting = "nomad.bootstrap" // the token that may do everything
	tokenSetting     = "nomad.token"     // the controller's

	caFile     = "ca.crt"
	certFile   = "nomad.crt"
	keyFile    = "nomad.key"
	configFile = "nomad.json"
	dataDir    = "data"
)

// Options say how the server runs. DB, Dir, Program, Address and Ports are required.
type Options struct {
	DB      *store.DB
	Dir     string // that is Nomad's alone
	Program string
	// Address is the IP at which machines that join reach the server. Its HTTP API is on loopback.
	Address         string
	HTTP, RPC, Serf int // ports
	DockerHost      string
	// Oversubscribe lets instances reserve less than their memory limit.
	Oversubscribe bool
	Life          time.Duration // of certificates; zero: a week
	Log           *slog.Logger
}

// Server is one that runs. Its methods may be called at the same time.
type Server struct {
	o       Options
	ca      *identity.Issuer
	program *program.Program
	said    *program.Log
	token   string

	cancel context.CancelFunc
	work   sync.WaitGroup
}

// Open starts the server and waits until it can be used: it has a leader, and the controller's token is known to it. ctx
// bounds the opening alone.
func Open(ctx context.Context, o Options) (*Server, error) {
	if o.Life == 0 {
		o.Life = certLife
	}
	if os.Geteuid() != 0 {
		return nil, errors.New("--nomad needs root: Nomad's client makes cgroups and mounts")
	}
	path, _, err := program.Version(ctx, o.Program)
	if err != nil {
		return nil, fmt.Errorf("--nomad: %w (--nomad-program)", err)
	}
	s := &Server{o: o, said: &program.Log{To: o.Log}}
	s.program = &program.Program{Path: path, Config: s.file(configFile), Out: s.said, Log: o.Log}
	if err := s.prepare(); err != nil {
		return nil, fmt.Errorf("prepare Nomad: %w", err)
	}
	if err := s.portsFree(); err != nil {
		return nil, err
	}
	run, cancel := context.WithCancel(context.Background())
	s.cancel = cancel
	s.work.Go(func() { _ = s.program.Run(run) }) // it returns nil
	s.work.Go(func() { s.keepFresh(run) })
	if err := s.bootstrap(ctx); err != nil {
		return nil, errors.Join(err, s.Close())
	}
	return s, nil
}

func (s *Server) file(name string) string { return filepath.Join(s.o.Dir, name) }

// Close ends Nomad. Containers go on.
func (s *Server) Close() error {
	s.cancel()
	s.work.Wait()
	return nil
}

// URL is the server's HTTP API.
func (s *Server) URL() string { return "https://" + s.loopback(s.o.HTTP) }

// Token is the controller's.
func (s *Server) Token() string { return s.token }

// Files are PEM files: the CA of the server, and the controller's certificate and key, which are replaced in time.
func (s *Server) Files() (ca, cert, key string) {
	return s.file(caFile), s.file(certFile), s.file(keyFile)
}

// Certify makes the certificate of a client on another machine for the key of a request; it opens nothing but RPC as a
// client. ca is what servers are known by. identity.ErrRequest says that it is no request.
func (s *Server) Certify(request []byte) (cert, ca []byte, err error) {
	cert, err = s.ca.Peer(request, clientName, s.o.Life)
	return cert, s.ca.CAPEM(), err
}

func (s *Server) loopback(port int) string { return net.JoinHostPort("127.0.0.1", strconv.Itoa(port)) }
func (s *Server) outside(port int) string  { return net.JoinHostPort(s.o.Address, strconv.Itoa(port)) }

// portsFree tells of a port that somebody else has, which Nomad would say in its log alone.
func (s *Server) portsFree() error {
	for what, at := range map[string]string{"API": s.loopback(s.o.HTTP), "RPC": s.outside(s.o.RPC), "gossip": s.outside(s.o.Serf)} {
		l, err := net.Listen("tcp", at)
		if err != nil {
			return fmt.Errorf("port for Nomad's %s: %w: end what uses it, or give others with --nomad-ports and --nomad-address", what, err)
		}
		if err := l.Close(); err != nil {
			return err
		}
	}
	return nil
}

// prepare lays out what Nomad starts with.
func (s *Server) prepare() (err error) {
	if err := os.MkdirAll(s.o.Dir, 0o700); err != nil {
		return err
	}
	if s.ca, err = identity.NewCA(s.o.DB, caSetting, "Cupola Nomad CA"); err != nil {
		return err
	}
	if err := s.writeCertificate(); err != nil {
		return err
	}
	gossip, err := secret(s.o.DB, gossipSetting, func() string {
		key := make([]byte, 32)
		rand.Read(key)
		return base64.StdEncoding.EncodeToString(key)
	})
	if err != nil {
		return err
	}
	return s.config(gossip).Write(s.file(configFile))
}

// secret returns a setting, which is made when there is none.
func secret(db *store.DB, name string, fresh func() string) (value string, err error) {
	err = db.Update(func(tx *store.Tx) error {
		s, err := store.Settings.Get(tx, name)
		if errors.Is(err, store.ErrNotFound) {
			s = &store.Setting{Meta: store.Meta{GUID: name}, Value: []byte(fresh())}
			err = store.Settings.Put(tx, s)
		}
		if err == nil {
			value = string(s.Value)
		}
		return err
	})
	return value, err
}

func (s *Server) config(gossip string) *program.Config {
	const loopback = "127.0.0.1"
	o := s.o
	return &program.Config{
		Name: "cupola", Region: region, Datacenter: datacenter, DataDir: s.file(dataDir), BindAddr: loopback,
		Addresses: map[string]string{"http": loopback, "rpc": o.Address, "serf": o.Address},
		Ports:     map[string]int{"http": o.HTTP, "rpc": o.RPC, "serf": o.Serf},
		// Servers take the address of RPC from the gossip, so the two are at one.
		Advertise: map[string]string{"http": loopback, "rpc": o.Address, "serf": o.Address},
		LogJSON:   true, NoUpdateCheck: true, ACL: map[string]bool{"enabled": true}, Plugin: program.DockerPlugin(o.DockerHost),
		// So that apps of a dead machine answer elsewhere within half a minute.
		Server: &program.Server{Enabled: true, Bootstrap: 1, Encrypt: gossip, HeartbeatTTL: "5s", HeartbeatGrace: "5s"},
		// Ports of instances are published on loopback: here they are reached in their network.
		Client: program.Client{Enabled: true, NetworkInterface: "lo", Options: program.ClientOptions()},
		TLS: &program.TLS{
			HTTP: true, RPC: true, CAFile: s.file(caFile), CertFile: s.file(certFile), KeyFile: s.file(keyFile), VerifyServer: true, VerifyClient: true,
		},
	}
}

// newSecret is a token's secret as Nomad wants it.
func newSecret() string { return uuid.NewString() }
