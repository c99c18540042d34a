// Package controller is the control plane put together: it opens the store, the registry, the engine, the
// router and the builder in their order, runs the loops, and closes everything in reverse. The `server`
// command is its only caller.
//
// Stopping it stops no app: containers go on, and the next start takes them back.
package controller

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/netip"
	"os"
	"path/filepath"
	"strconv"
	"time"

	"golang.org/x/sync/errgroup"

	"github.com/cupola-paas/cupola/buildpack"
	"github.com/cupola-paas/cupola/controller/api"
	"github.com/cupola-paas/cupola/controller/auth"
	"github.com/cupola-paas/cupola/controller/builders"
	"github.com/cupola-paas/cupola/controller/cleanup"
	"github.com/cupola-paas/cupola/controller/dashboard"
	"github.com/cupola-paas/cupola/controller/discovery"
	"github.com/cupola-paas/cupola/controller/door"
	"github.com/cupola-paas/cupola/controller/identity"
	"github.com/cupola-paas/cupola/controller/logs"
	"github.com/cupola-paas/cupola/controller/migration"
	"github.com/cupola-paas/cupola/controller/nomadserver"
	"github.com/cupola-paas/cupola/controller/routerfeed"
	"github.com/cupola-paas/cupola/controller/servicemap"
	"github.com/cupola-paas/cupola/controller/services"
	"github.com/cupola-paas/cupola/node"
	"github.com/cupola-paas/cupola/node/docker"
	"github.com/cupola-paas/cupola/router"
	"github.com/cupola-paas/cupola/store"
)

// closeTime bounds each part's Close, so that a stop takes no longer than 10 s in all.
const closeTime = 2 * time.Second

// Server is a running control plane.
type Server struct {
	config Config
	log    *slog.Logger

	db        *store.DB
	blobs     *store.Blobs
	resources *store.Resources
	registry  *store.Registry
	logs      *logs.Store
	engine    node.Engine
	local     *docker.Docker  // Docker on this machine: builds, and instances unless a cluster runs them
	migration *migration.Loop // nil: there is no cluster
	certs     *router.Certificates
	issuer    *identity.Issuer // of instances' certificates
	hosts     *knownHosts
	// serviceKey and serviceRoots are what all routers need for route services.
	serviceKey, serviceRoots []byte
	router                   *router.Router
	feed                     *routerfeed.Feed // of tables, to router and to those elsewhere
	// routerInside is where containers reach the router; the zero value: nowhere but where DNS says.
	routerInside netip.Addr
	auth         *auth.Auth
	builder      *buildpack.Builder
	cluster      *builders.Cluster // of machines that build; nil: there is none
	stacks       *stacks
	sink         *logSink
	api          *api.Server          // made by Run
	page         *dashboard.Dashboard // its streams end with the loops
	ssh          sshDoor
	door         *door.Door          // nil: all runs on this machine
	ownNomad     *nomadserver.Server // nil: there is no cluster, or it is somebody else's
	nodesPort    string              // where it is served
	names        *discovery.Server   // made by Run
	access       *accessLog
	tags         *tagger
	figures      *usage
	calls        *servicemap.Loop
	data         *dataServices      // made by Run
	brokers      *services.Loop     // made by Run
	cleanup      *cleanup.Loop      // made by Run
	builtIn      []services.BuiltIn // brokers of the platform's own, registered at every start

	installation     string
	registryPassword string
	pullPassword     string
	generated        string // the admin password, when it was made by this start
	closers          []func() error
}

// Open validates c and opens everything; on an error what was opened is closed again. ctx bounds the opening
// only. The store comes first, since all others keep something in it; the router listens before anything
// that must know its port; the engine comes late, so that a busy port is told before Docker is touched.
func Open(ctx context.Context, c Config) (_ *Server, err error) {
	c = c.WithDefaults()
	if err := c.Validate(); err != nil {
		return nil, err
	}
	s := &Server{config: c, log: c.Log}
	defer func() {
		if err != nil {
			err = errors.Join(err, s.Close())
		}
	}()
	for _, open := range []func(context.Context) error{
		s.openStore, s.openRegistry, s.openLogs, s.openRouter, s.openAuth, s.openSSH, s.openDoor, s.openEngine, s.openBuilder,
	} {
		if err := open(ctx); err != nil {
			return nil, err
		}
	}
	s.wireStacks()
	return s, nil
}

func (s *Server) onClose(f func() error) { s.closers = append(s.closers, f) }

// Close closes in reverse order and tries all of it.
func (s *Server) Close() error {
	var errs []error
	for i := len(s.closers) - 1; i >= 0; i-- {
		errs = append(errs, s.closers[i]())
	}
	s.closers = nil
	return errors.Join(errs...)
}

func (s *Server) dir(parts ...string) string {
	return filepath.Join(append([]string{s.config.DataDir}, parts...)...)
}

func (s *Server) openStore(context.Context) (err error) {
	if err := os.MkdirAll(s.config.DataDir, 0o700); err != nil {
		return fmt.Errorf("make the data folder: %w: give another with --data-dir", err)
	}
	if s.db, err = store.Open(store.Options{Dir: s.dir("store")}); err != nil {
		if errors.Is(err, store.ErrLocked) {
			return fmt.Errorf("another cupola server uses %s: stop it, or give another --data-dir", s.config.DataDir)
		}
		return fmt.Errorf("open the store in %s: %w", s.config.DataDir, err)
	}
	s.onClose(s.db.Close)
	if s.blobs, err = store.OpenBlobs(s.dir("blobs")); err != nil {
		return err
	}
	if s.resources, err = store.OpenResources(s.dir("resources")); err != nil {
		return err
	}
	if s.installation, err = setting(s.db, installationSetting, randomHex(4)); err != nil {
		return err
	}
	if s.registryPassword, err = setting(s.db, registrySetting, randomHex(20)); err != nil {
		return err
	}
	if s.pullPassword, err = setting(s.db, pullSetting, randomHex(20)); err != nil {
		return err
	}
	return seed(s.db, s.config, s.config.Builder == "")
}

func (s *Server) openRegistry(context.Context) (err error) {
	s.registry, err = store.OpenRegistry(store.RegistryOptions{
		Dir: s.dir("registry"), Addr: s.config.RegistryAddr, Password: s.registryPassword, PullPassword: s.pullPassword,
	})
	if err != nil {
		return fmt.Errorf("open the image registry: %w", err)
	}
	s.onClose(func() error {
		ctx, cancel := context.WithTimeout(context.Background(), closeTime)
		defer cancel()
		return s.registry.Close(ctx)
	})
	return s.db.Update(func(tx *store.Tx) error { // for Purge, which opens no registry
		return store.Settings.Put(tx, &store.Setting{Meta: store.Meta{GUID: registryHostSetting}, Value: []byte(s.registry.Host())})
	})
}

func (s *Server) openLogs(context.Context) (err error) {
	const mb = 1 << 20
	s.logs, err = logs.Open(logs.Options{
		Dir: s.dir("logs"), PerSourceBytes: int64(s.config.LogAppMB) * mb, MaxBytes: int64(s.config.LogMB) * mb, MaxAge: s.config.LogAge,
	})
	if err != nil {
		return fmt.Errorf("open the log store: %w", err)
	}
	s.onClose(s.logs.Close)
	s.tags = newTagger(s.db)
	s.sink = &logSink{store: s.logs, tags: s.tags, log: s.log}
	return nil
}

func (s *Server) openAuth(context.Context) (err error) {
	providers, err := s.config.OIDC.providers()
	if err != nil {
		return err
	}
	s.auth, err = auth.New(auth.Options{DB: s.db, UAAURL: s.url("uaa"), LoginURL: s.url("login"), DashboardURL: s.url("dashboard"), Providers: providers, Log: s.log})
	if err != nil {
		return err
	}
	s.onClose(func() error { s.auth.Close(); return nil })
	s.generated, err = s.auth.EnsureAdmin(s.config.AdminUser, s.config.AdminPassword)
	return err
}

// routerPorts are what apps may connect to on this machine.
func (s *Server) routerPorts() []int {
	var ports []int
	for _, addr := range []string{s.router.HTTPAddr(), s.router.HTTPSAddr()} {
		if _, p, err := net.SplitHostPort(addr); err == nil {
			if n, err := strconv.Atoi(p); err == nil {
				ports = append(ports, n)
			}
		}
	}
	return ports
}

// url is the public origin of one of the platform's own names.
func (s *Server) url(name string) string { return s.config.url(name, s.router.HTTPSAddr()) }

// APIURL is the public origin of the API.
func (s *Server) APIURL() string { return s.url("api") }

// GeneratedPassword is the admin's password if this start made it; it is never to be had again.
func (s *Server) GeneratedPassword() (user, password string) { return s.config.AdminUser, s.generated }

// Run serves until ctx ends, then stops from the outside in: first the router stops taking requests, then
// the loops end, then Close may be called.
func (s *Server) Run(ctx context.Context) error {
	loops, err := s.loops()
	if err != nil {
		return err
	}
	g, ctx := errgroup.WithContext(ctx)
	g.Go(func() error { return s.router.Serve(ctx) })
	defer context.AfterFunc(ctx, s.logs.CloseStreams)() // they would not end by themselves
	for _, run := range append(loops, s.serveSSH, s.serveNodes) {
		g.Go(func() error { return run(ctx) })
	}
	s.log.Info("serving", "api", s.APIURL(), "http", s.router.HTTPAddr(), "https", s.router.HTTPSAddr(), "installation", s.installation)
	err = g.Wait()
	s.access.flush()
	return err
}
