package controller

import (
	"context"
	"crypto/x509"
	"errors"
	"fmt"
	"maps"
	"net/http"
	"os"
	"slices"
	"strings"
	"time"

	"github.com/cupola-paas/cupola/buildpack"
	"github.com/cupola-paas/cupola/buildpack/embedded"
	"github.com/cupola-paas/cupola/buildpack/imagecopy"
	"github.com/cupola-paas/cupola/buildpack/stack"
	"github.com/cupola-paas/cupola/buildpack/system"
	"github.com/cupola-paas/cupola/controller/api"
	"github.com/cupola-paas/cupola/controller/appenv"
	"github.com/cupola-paas/cupola/controller/auth"
	"github.com/cupola-paas/cupola/controller/cleanup"
	"github.com/cupola-paas/cupola/controller/collect"
	"github.com/cupola-paas/cupola/controller/dashboard"
	"github.com/cupola-paas/cupola/controller/identity"
	"github.com/cupola-paas/cupola/controller/routing"
	"github.com/cupola-paas/cupola/controller/scheduling"
	"github.com/cupola-paas/cupola/controller/staging"
	"github.com/cupola-paas/cupola/node/nomad"
	"github.com/cupola-paas/cupola/router"
	"github.com/cupola-paas/cupola/store"
)

// registryUser is the registry's one user.
const registryUser = "cupola"

func (s *Server) openRouter(ctx context.Context) (err error) {
	roots, err := acmeRoots(s.config.ACMERoot)
	if err != nil {
		return err
	}
	s.hosts = &knownHosts{db: s.db, system: s.systemNames()}
	s.certs, err = router.NewCertificates(router.CertOptions{
		Storage: newCertStorage(s.db), Allowed: s.hosts.known, Local: s.config.local,
		DefaultHost: "api." + s.config.Domain, ACMEEmail: s.config.ACMEEmail, ACMECA: s.config.ACMECA, ACMERoots: roots, Logger: s.log,
	})
	if err != nil {
		return fmt.Errorf("open the certificates: %w", err)
	}
	s.onClose(s.certs.Close)
	if s.issuer, err = identity.New(s.db, s.certs.CAPEM); err != nil {
		return err
	}
	options, err := s.routerOptions()
	if err != nil {
		return err
	}
	if s.router, err = router.New(options); err != nil {
		return err
	}
	s.openFeed()
	return s.router.Listen(ctx)
}

// acmeRoots reads the CAs that vouch for the ACME server; nil without a file.
func acmeRoots(file string) (*x509.CertPool, error) {
	if file == "" {
		return nil, nil
	}
	pem, err := os.ReadFile(file)
	if err != nil {
		return nil, fmt.Errorf("--acme-ca-root: %w", err)
	}
	pool := x509.NewCertPool()
	if !pool.AppendCertsFromPEM(pem) {
		return nil, fmt.Errorf("--acme-ca-root: %s holds no certificate in PEM form", file)
	}
	return pool, nil
}

// systemNames are the full names of the platform's own hosts.
func (s *Server) systemNames() map[string]bool {
	names := map[string]bool{}
	for _, h := range systemHosts {
		names[h+"."+s.config.Domain] = true
	}
	return names
}

func (s *Server) openBuilder(context.Context) error {
	buildpacks := ""
	if s.config.Builder == "" {
		program, err := embedded.Buildpack()
		if err != nil {
			return err
		}
		buildpacks = s.dir("buildpacks")
		if err := system.Install(buildpacks, program); err != nil {
			return fmt.Errorf("lay out our buildpacks: %w", err)
		}
	}
	var err error
	s.builder, err = buildpack.New(buildpack.Options{
		Dir: s.dir("build"), DockerHost: s.config.DockerHost, Installation: s.installation,
		Network: s.local.StagingNetwork(), Buildpacks: buildpacks,
		Registry: buildpack.Registry{Host: s.registry.Host(), Username: registryUser, Password: s.registryPassword},
		BuildEnv: stagingProxies(os.Environ()), CABundle: hostCABundle(),
		Limits: buildpack.Limits{MemoryMB: s.config.BuildMemoryMB, DiskMB: s.config.BuildDiskMB, Timeout: s.config.BuildTimeout},
	})
	if err != nil {
		return err
	}
	return s.openCluster()
}

// stagingProxies picks what staging may know of the server's environment: proxies and the configuration of
// package clients, nothing else.
func stagingProxies(environ []string) map[string]string {
	names := map[string]bool{
		"HTTP_PROXY": true, "HTTPS_PROXY": true, "NO_PROXY": true, "http_proxy": true, "https_proxy": true, "no_proxy": true,
		"GOPROXY": true, "GONOSUMDB": true, "GONOPROXY": true, "GOSUMDB": true, "GOINSECURE": true, "GOPRIVATE": true,
		"PIP_INDEX_URL": true, "PIP_EXTRA_INDEX_URL": true, "PIP_TRUSTED_HOST": true,
	}
	out := map[string]string{}
	for _, kv := range environ {
		k, v, _ := strings.Cut(kv, "=")
		if names[k] || strings.HasPrefix(strings.ToUpper(k), "NPM_CONFIG_") {
			out[k] = v
		}
	}
	return out
}

// hostCABundle is the file with the CAs that this machine trusts, or nothing.
func hostCABundle() string {
	for _, f := range []string{os.Getenv("SSL_CERT_FILE"), "/etc/ssl/certs/ca-certificates.crt", "/etc/pki/tls/certs/ca-bundle.crt"} {
		if f == "" {
			continue
		}
		if info, err := os.Stat(f); err == nil && info.Mode().IsRegular() {
			return f
		}
	}
	return ""
}

func (s *Server) wireStacks() {
	s.stacks = &stacks{
		db: s.db, config: s.config, log: s.log, state: "the stack",
		registry: stack.Registry{Host: s.registry.Host(), Username: registryUser, Password: s.registryPassword},
		services: s.refreshServices,
	}
	if e, ok := s.engine.(*nomad.Nomad); ok {
		s.stacks.spread = e.Spread
	}
}

// refreshServices makes the images of data services anew, and has the marketplace tell of upgrades.
func (s *Server) refreshServices(ctx context.Context) error {
	changed, err := s.data.manager.Refresh(ctx)
	if changed {
		err = errors.Join(err, s.brokers.Refresh(dataBrokerName))
	}
	return err
}

// ready says whether a push would work now, and what it waits for.
func (s *Server) ready() (bool, []string) {
	var waiting []string
	if w := s.stacks.waiting(); w != "" {
		waiting = append(waiting, w)
	}
	if err := s.engine.Ping(context.Background()); err != nil {
		waiting = append(waiting, err.Error())
	}
	return len(waiting) == 0, waiting
}

// loops wires everything that runs beside the router.
func (s *Server) loops() ([]func(context.Context) error, error) {
	env := appenv.Env{API: s.url("api"), Fallbacks: identity.TrustEnv()}
	who := s.identities()
	var err error
	if s.data, err = s.openDataServices(who); err != nil { // before the brokers are registered
		return nil, err
	}
	servicesLoop, err := s.openServices()
	if err != nil {
		return nil, err
	}
	s.brokers = servicesLoop
	s.calls = s.openMap()
	system, err := s.systemRoutes()
	if err != nil {
		return nil, err
	}
	stagingLoop := &staging.Loop{
		DB: s.db, Builder: s.builder, Sources: sources{s.blobs}, Uploads: uploads{s.blobs}, Env: env, Logs: s.sink,
		Dir: s.dir("build", "sources"), Uploaded: s.dir("build", "uploaded"), Registry: s.registry.Host(), Parallel: s.config.Builds, Log: s.log,
		Place: s.local, Pool: scheduling.Pool, Limits: s.builder.Limits(buildpack.Limits{}),
		Adopter: s.builder, Blobs: droplets{s.blobs},
		Copier: imagecopy.Copier{Host: s.registry.Host(), Username: registryUser, Password: s.registryPassword},
	}
	networkLoops, err := s.networkLoops(context.Background(), who)
	if err != nil {
		return nil, err
	}
	schedulingLoop := &scheduling.Loop{
		Finish: who.Finish,
		DB:     s.db, Engine: s.engine, Router: s.feed, Env: env, Logs: s.sink, Log: s.log,
		Images: scheduling.Images{Registry: s.registry.Host(), Username: store.PullUser, Secret: s.pullPassword},
	}
	routingLoop := &routing.Loop{DB: s.db, Router: s.feed, System: system, Zone: s.config.Zone, Log: s.log}
	s.cleanup = &cleanup.Loop{
		DB: s.db, Images: s.registry, Blobs: s.blobs, Engine: s.local, Log: s.log,
		Apps: []cleanup.AppData{appLogs{s.logs}, caches{s}},
	}
	if s.cluster != nil {
		stagingLoop.Machines, s.cleanup.Keep = s.cluster, s.cluster.Holds
	}
	collectLoop := &collect.Loop{DB: s.db, Engine: s.engine, Sink: s.sink, Log: s.log}
	metricsLoop := &collect.Metrics{
		DB: s.db, Engine: s.engine, Keep: s.sink.Metrics, LogRate: collectLoop.LogRate, CoresPerMB: s.figures.coresPerMemory, Log: s.log,
	}
	s.figures.logRate = collectLoop.LogRate
	cell, err := os.Hostname()
	if err != nil {
		return nil, err
	}
	lifeLoop := &collect.Life{DB: s.db, Say: s.sink.Life, Cell: cell, Log: s.log}
	drainLoop, err := s.openDrains()
	if err != nil {
		return nil, err
	}
	if s.migration != nil { // before anything is scheduled
		if _, err := s.migration.Step(context.Background()); err != nil {
			return nil, err
		}
	}
	if err := routingLoop.Step(); err != nil { // the first request finds a table
		return nil, err
	}
	loops := []func(context.Context) error{
		s.access.run, s.tags.Run, s.stacks.Run, stagingLoop.Run, schedulingLoop.Run, routingLoop.Run, s.cleanup.Run, collectLoop.Run,
		metricsLoop.Run, lifeLoop.Run, drainLoop.Run, s.calls.Run, servicesLoop.Run, s.page.Run,
		s.data.Run, s.data.manager.Run, s.feed.Run,
	}
	if s.migration != nil {
		loops = append(loops, s.migration.Run)
	}
	if s.cluster != nil {
		loops = append(loops, s.cluster.Run)
	}
	return append(loops, networkLoops...), nil
}

// systemRoutes are the platform's own hosts, served in this process.
func (s *Server) systemRoutes() ([]router.Route, error) {
	figures, err := newUsage(s.engine, s.db)
	if err != nil {
		return nil, err
	}
	s.figures = figures
	handler := api.New(api.Options{
		DB: s.db, Auth: s.auth, Blobs: s.blobs, Resources: s.resources, PublicURL: s.url("api"),
		Links: api.Links{Login: s.url("login"), UAA: s.url("uaa"), LogCache: s.url("log-cache"), AppSSH: s.ssh.address, AppSSHFingerprint: s.ssh.fingerprint,
			LogStream: s.url("log-stream"), Routing: s.url("api") + api.RoutingPath, Logging: "wss" + strings.TrimPrefix(s.url("doppler"), "https"),
			NetworkPolicy: s.networkPolicyURL()},
		Stats: figures, Logs: s.sink, CA: s.certs.CAPEM, Ready: s.ready, TempDir: s.dir("build", "uploads"),
		SystemHosts: slices.Collect(maps.Keys(s.systemNames())), ClearCache: s.clearCache, CleanUp: s.cleanUp, Requests: s.requestStats, Map: s.calls.Map, Nodes: s.nodes(), Joins: s.joins(), Engines: s.engines(), Log: s.log, WriteDroplet: s.writeDroplet,
		Disks: &disks{dir: s.config.DataDir, docker: s.local.Machine().Dir}, Certificates: certificates{s.certs, time.Now}, Said: s.said,
		Brokers: s.brokers, Rebase: s.rebase, Dashboards: s.auth, Data: dataActions{s.data.manager}, NoBuildpackURLs: s.config.NoBuildpackURLs,
	})
	s.api = handler
	if err := os.MkdirAll(s.dir("build", "uploads"), 0o700); err != nil {
		return nil, err
	}
	identity := s.auth.Handler()
	handlers := map[string]http.Handler{
		"api": handler, "login": identity, "uaa": identity,
		"log-cache": s.logs.Handler(handler.LogAccess()), "log-stream": s.logs.Stream(handler.LogAccess()),
		"doppler": s.logs.Firehose(handler.LogAccess()),
	}
	hosts := map[string]http.Handler{}
	var routes []router.Route
	for name, h := range handlers {
		host := name + "." + s.config.Domain
		hosts[host] = h
		routes = append(routes, router.Route{Host: host, Handler: secureOnly(h), AllowHTTP: true})
	}
	page, err := dashboard.New(dashboard.Options{
		URL: s.url("dashboard"), APIURL: s.url("api"), LoginURL: s.url("login"), ClientID: auth.DashboardClient, Hosts: hosts, Log: s.log,
	})
	if err != nil {
		return nil, err
	}
	s.page = page
	routes = append(routes, router.Route{Host: "dashboard." + s.config.Domain, Handler: page})
	return routes, nil
}

// secureOnly sends what came without TLS to the same place with it, so that no token crosses the wire in
// clear; the CA certificate and the health of the platform may be asked for by whoever does not trust it yet.
func secureOnly(next http.Handler) http.Handler {
	open := map[string]bool{"/ca.pem": true, "/healthz": true, "/readyz": true}
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.TLS == nil && !open[r.URL.Path] {
			http.Error(w, "this address is served over HTTPS only", http.StatusUpgradeRequired)
			return
		}
		next.ServeHTTP(w, r)
	})
}
