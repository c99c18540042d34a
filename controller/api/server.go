// Package api is the Cloud Controller API v3: it decodes, validates, authorises, writes desired state in
// one transaction, and presents. It does no work itself: the loops stage, schedule and route, and write
// back what they observe.
//
// Every route stands in one table (Routes) behind one authorisation point (guard); a route that nobody
// gave an Access does not start, and a change that nobody allowed is not committed.
package api

import (
	"context"
	"encoding/json"
	"io"
	"log/slog"
	"net/http"
	"net/url"
	"os"
	"strings"
	"time"

	"github.com/cupola-paas/cupola/controller/capi"
	"github.com/cupola-paas/cupola/controller/services/osb"
	"github.com/cupola-paas/cupola/store"
)

// Options is what the API stands on. DB, Auth, Blobs and PublicURL are needed.
type Options struct {
	DB        *store.DB
	Auth      Authenticator
	Blobs     *store.Blobs     // packages and buildpacks
	Resources *store.Resources // files of earlier pushes; nil: nothing ever matches
	PublicURL string           // https://api.DOMAIN[:port], the origin of every link
	Links     Links
	Stats     Stats // nil: no figures
	Logs      Logs  // nil: nowhere
	// SystemHosts are names that no route may take, besides those of PublicURL and Links.
	SystemHosts []string
	// CA returns the certificate of the local CA in PEM form; nil or empty: there is none.
	CA func() []byte
	// Ready reports whether the whole can serve, and what is missing; nil: always.
	Ready func() (bool, []string)
	// ClearCache drops the build caches of an app, or of all apps; nil: there are none.
	ClearCache func(ctx context.Context, appGUID string) error
	// CleanUp removes what no record refers to and says what that freed; nil: there is nothing to remove.
	CleanUp func(ctx context.Context) (capi.CleanUp, error)
	// WriteDroplet writes the droplet of that image as a gzipped tar in Cloud Foundry's layout, start being its web
	// command; nil: droplets can't be downloaded. It has written nothing when the image can't be read.
	WriteDroplet func(ctx context.Context, repository, digest, start string, w io.Writer) error
	// Rebase puts that image onto another run image and returns the new image's digest; nil: it can't be done.
	// An image that forbids it gives UnprocessableEntity.
	Rebase func(ctx context.Context, repository, digest, runImage string) (string, error)
	// Requests tells what the router has seen of an app; nil: nothing.
	Requests func(appGUID string) capi.RequestStats
	// Map tells who called whom; nil: nobody watches.
	Map ServiceMap
	// Brokers asks service brokers what no record says; nil: nothing can be asked.
	Brokers Brokers
	// Dashboards keeps the OAuth2 clients of brokers' dashboards; nil: there are none.
	Dashboards Dashboards
	// Data is what the platform's own broker can do besides; nil: there is none.
	Data DataServices
	// NoBuildpackURLs refuses buildpacks that are not in the catalogue.
	NoBuildpackURLs bool
	// Nodes are the machines of the cluster; nil: all runs on this one.
	Nodes Nodes
	// Joins lets machines become nodes; nil: none can.
	Joins Joins
	// Engines tells of the two engines of a platform with a cluster; nil: there is one.
	Engines Engines
	// Disks and Certificates are what operators watch; nil: nothing is known of them.
	Disks        Disks
	Certificates Certificates
	// Said returns the last n lines that an app itself printed, as text; nil: no log is kept.
	Said    func(appGUID string, n int) []string
	TempDir string        // for uploads under way; empty: the system's
	MaxHold time.Duration // of a long poll; zero: 20 s
	Log     *slog.Logger  // nil: slog.Default
}

// Links are the addresses of the other services that GET / names (contract, 1.1). Empty ones are null.
type Links struct {
	Login, UAA, Logging, LogCache, LogStream, NetworkPolicy, Routing string
	AppSSH, AppSSHFingerprint                                        string
}

// hosts are the names that the platform answers at, which no route may take.
func (s *Server) hosts(more []string) map[string]bool {
	out := map[string]bool{}
	l := s.links
	for _, address := range []string{s.publicURL, l.Login, l.UAA, l.Logging, l.LogCache, l.LogStream, l.NetworkPolicy, l.Routing} {
		if u, err := url.Parse(address); err == nil && u.Hostname() != "" {
			out[strings.ToLower(u.Hostname())] = true
		}
	}
	for _, host := range more {
		out[strings.ToLower(host)] = true
	}
	return out
}

// Stats tells what instances use now; those that are not running are absent.
type Stats interface {
	Usage(ctx context.Context, instanceGUIDs ...string) (map[string]Usage, error)
}

// Brokers asks service brokers; *services.Loop is one. Errors that are an *osb.Error are for the caller.
type Brokers interface {
	// InstanceParameters returns a JSON object.
	InstanceParameters(ctx context.Context, instanceGUID string, who osb.Identity) (json.RawMessage, error)
	// BindingParameters returns a JSON object; the binding may be one of a route.
	BindingParameters(ctx context.Context, instanceGUID, bindingGUID string, who osb.Identity) (json.RawMessage, error)
}

// Dashboards takes back the OAuth2 client of a broker's dashboard when its offering goes.
type Dashboards interface {
	DeleteDashboard(tx *store.Tx, id string) error
}

// Usage is what one instance uses.
type Usage struct {
	Time           time.Time
	CPU            float64 // cores
	CPUEntitlement float64 // share of what it is entitled to; 1 is all of it
	MemoryBytes    int64
	DiskBytes      int64
	LogRate        int64 // bytes a second
}

// Logs takes the lines that the API itself writes into an app's log.
type Logs interface {
	// Platform adds a line, with source type API. It must not block.
	Platform(appGUID, sourceType, instance, text string)
}

// Server is the API as an http.Handler.
type Server struct {
	db              *store.DB
	auth            Authenticator
	blobs           *store.Blobs
	resources       *store.Resources
	publicURL       string
	links           Links
	stats           Stats
	logs            Logs
	ca              func() []byte
	ready           func() (bool, []string)
	clearCache      func(context.Context, string) error
	cleanUp         func(context.Context) (capi.CleanUp, error)
	writeDroplet    func(ctx context.Context, repository, digest, start string, w io.Writer) error
	rebase          func(ctx context.Context, repository, digest, runImage string) (string, error)
	requests        func(string) capi.RequestStats
	serviceMap      ServiceMap
	nodes           Nodes
	engines         Engines
	disks           Disks
	certificates    Certificates
	said            func(appGUID string, n int) []string
	joins           Joins
	brokers         Brokers
	dashboards      Dashboards
	data            DataServices
	tempDir         string
	maxHold         time.Duration
	noBuildpackURLs bool
	log             *slog.Logger

	system map[string]bool // host names of the platform itself
	routes []Route
	mux    *http.ServeMux
}

// New returns the API. It starts no goroutine and opens nothing.
func New(o Options) *Server {
	s := &Server{
		db: o.DB, auth: o.Auth, blobs: o.Blobs, resources: o.Resources, publicURL: o.PublicURL, links: o.Links,
		stats: o.Stats, logs: o.Logs, ca: o.CA, ready: o.Ready, clearCache: o.ClearCache, cleanUp: o.CleanUp, requests: o.Requests, nodes: o.Nodes, joins: o.Joins, engines: o.Engines, writeDroplet: o.WriteDroplet, rebase: o.Rebase, tempDir: o.TempDir, maxHold: o.MaxHold, log: o.Log,
	}
	s.serviceMap = o.Map
	s.brokers, s.dashboards, s.data, s.noBuildpackURLs = o.Brokers, o.Dashboards, o.Data, o.NoBuildpackURLs
	s.disks, s.certificates, s.said = o.Disks, o.Certificates, o.Said
	s.fillDefaults()
	s.system = s.hosts(o.SystemHosts)
	s.compile(s.table())
	return s
}

func (s *Server) fillDefaults() {
	if s.stats == nil {
		s.stats = nothing{}
	}
	if s.logs == nil {
		s.logs = nothing{}
	}
	if s.serviceMap == nil {
		s.serviceMap = func(func(string) (string, bool)) capi.ServiceMap { return capi.ServiceMap{} }
	}
	if s.ca == nil {
		s.ca = func() []byte { return nil }
	}
	if s.ready == nil {
		s.ready = func() (bool, []string) { return true, nil }
	}
	if s.tempDir == "" {
		s.tempDir = os.TempDir()
	}
	if s.requests == nil {
		s.requests = func(string) capi.RequestStats { return capi.RequestStats{} }
	}
	if s.maxHold == 0 {
		s.maxHold = 20 * time.Second
	}
	if s.log == nil {
		s.log = slog.Default()
	}
}

// nothing stands where there are no figures and no log.
type nothing struct{}

func (nothing) Usage(context.Context, ...string) (map[string]Usage, error) { return nil, nil }
func (nothing) Platform(string, string, string, string)                    {}

// apiLine writes a line into an app's log, as the platform speaks there.
func (s *Server) apiLine(appGUID, line string) { s.logs.Platform(appGUID, "API", "0", line) }
