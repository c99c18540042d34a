// Package routerfeed tells routers on other machines what the router of the controller serves: the whole table first and
// then each change, certificates, and where the platform's own names are answered. From them it hears which version they serve,
// what they count and the lines of their access logs.
//
// It is reached through the controller's door, which has seen by the certificate that a node asks whose record lets it route.
package routerfeed

import (
	"net/netip"
	"time"

	"github.com/cupola-paas/cupola/router"
)

// Paths below the door.
const (
	Path             = "/v1/routing/"
	WatchPath        = Path + "watch"
	SeenPath         = Path + "seen"
	ReportPath       = Path + "report"
	CertificatesPath = Path + "certificates"
	ChallengePath    = Path + "challenge"
	ConnectPath      = Path + "connect"
)

const (
	// Beat is how long the feed is silent at most; who hears nothing for three of them is cut off.
	Beat = 5 * time.Second
	// Protocol is what a connection at ConnectPath is changed to.
	Protocol = "cupola-routing"
	// LocalLife is how long certificates of the local CA are good for that routers get: so long after it was removed can one
	// that was broken into show them.
	LocalLife = 7 * 24 * time.Hour
)

// Message is one line of the feed. A change holds for the table of version After alone; whoever has another one asks for the
// whole. A message of a version alone says that there is nothing new.
type Message struct {
	Version  string                `json:"version"`         // of the table, once the message is heeded
	After    string                `json:"after,omitempty"` // of the table that Change is for
	Change   *router.Change        `json:"change,omitempty"`
	Whole    bool                  `json:"whole,omitempty"` // Routes are all that there are
	Routes   []router.Route        `json:"routes,omitempty"`
	Settings *Settings             `json:"settings,omitempty"` // when they are others than before
	Callers  map[netip.Addr]string `json:"callers,omitempty"`  // likewise: the app of each container on the router's machine
}

// Settings are what a router needs to know besides routes.
type Settings struct {
	Zone     string   `json:"zone,omitempty"` // that the router is in
	Platform []string `json:"platform"`       // hosts whose TLS the controller ends
	// ServiceKey seals the signatures of route services, and ServiceRoots (PEM) vouch for their certificates besides the machine's.
	ServiceKey   []byte `json:"service_key"`
	ServiceRoots []byte `json:"service_roots,omitempty"`
	// Inside are networks where no route service is.
	Inside []netip.Prefix `json:"inside,omitempty"`
	// InstanceCAs (PEM) vouch for the certificates of instances.
	InstanceCAs []byte         `json:"instance_cas"`
	Tracing     router.Tracing `json:"tracing"`
	Challenges  bool           `json:"challenges,omitempty"` // of ACME may come
}

// Seen is what a router says when it has heeded a change, or when an instance that left its table has no request any more.
type Seen struct {
	Version  string   `json:"version"`
	Draining []string `json:"draining,omitempty"` // ids of instances that have left and have requests in flight still
}

// Report is what a router has counted and logged.
type Report struct {
	Session string    `json:"session"` // another one: all counts began anew
	Began   time.Time `json:"began"`   // when that was
	Lines   []Line    `json:"lines,omitempty"`
	Dropped uint64    `json:"dropped,omitempty"` // lines that there was no room for, since the last report
	// Counts are sent when they have changed; absent ones are as they were.
	Counts bool               `json:"counts,omitempty"` // Edges and Apps are all that have changed
	Edges  []router.Edge      `json:"edges,omitempty"`
	Apps   []router.AppSample `json:"apps,omitempty"`
}

// Bounds of a Report.
const (
	MaxLines  = 2000
	MaxReport = 32 << 20 // bytes
)

// Line is a request as a router tells of it.
type Line struct {
	router.Access
	Error string `json:",omitempty"` // in the place of Access.Error
}

// CertificatesRequest asks for certificates.
type CertificatesRequest struct {
	Key   []byte   `json:"key"`   // the router's own public key (PKIX), for certificates of the local CA
	Names []string `json:"names"` // hosts of the table; MaxNames at most
	// Ahead says that no client waits: what would have to be obtained first is left out.
	Ahead bool `json:"ahead,omitempty"`
}

// MaxNames is how many names one CertificatesRequest may have.
const MaxNames = 100

// Certificate is one of them.
type Certificate struct {
	Chain string `json:"chain"`         // PEM, the host's own first
	Key   string `json:"key,omitempty"` // PEM; empty: it is for the router's own key
	// Makeshift says that another one is wanted and could not be had: it is asked for again soon.
	Makeshift bool `json:"makeshift,omitempty"`
}

// Certificates are those that there are, by name.
type Certificates struct {
	Certificates map[string]Certificate `json:"certificates"`
}

// Fallback is the name in the certificate for clients that ask for none, or for one that is not routed. It is nobody's
// (RFC 2606).
const Fallback = "router.invalid"

// What a connection at ConnectPath is for.
const (
	ToHTTP     = "http"  // the controller's router, without TLS
	ToHTTPS    = "https" // likewise, with TLS
	ToInstance = "instance"
)
