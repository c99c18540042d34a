// Package router is the data plane: it terminates TLS, finds the route of a request by host and longest
// path, or of a TCP connection by its port, picks an instance and proxies. It serves from an immutable Table
// that somebody else makes; it asks nobody anything while serving.
package router

import "net/http"

// Table is everything the router knows about routes. It is built whole, checked by Router.SetTable, and
// never changed afterwards; Router.Change replaces single routes of it.
type Table struct {
	Routes []Route
}

// Change is what is different in the next table. No name is in it twice. It, and what it is made of, may be sent to
// routers elsewhere as JSON, without handlers.
type Change struct {
	Set    []Route `json:"set,omitempty"`    // new routes, and those that take the place of the one with their name
	Remove []Name  `json:"remove,omitempty"` // of routes that go; one that is not there is no mistake
}

// Name is what tells one route from all others.
type Name struct {
	Host string `json:"host,omitempty"`
	Path string `json:"path,omitempty"`
	Port int    `json:"port,omitempty"`
}

// Route is a host and path, or a TCP port, with where it leads to.
type Route struct {
	// Host is lower case, without port; "*.example.com" stands for any name below example.com.
	Host string `json:"host,omitempty"`
	// Path is empty or begins with a slash; it matches whole segments.
	Path string `json:"path,omitempty"`
	// Port makes it a TCP route: the port on which the router listens for it. Such a route has no host, path,
	// handler or hash balancing.
	Port int `json:"port,omitempty"`
	// AppGUID goes into the X-CF-ApplicationID header and the access log.
	AppGUID string `json:"app,omitempty"`
	// Endpoints may be empty: the route exists but nothing serves it.
	Endpoints []Endpoint `json:"endpoints,omitempty"`
	// Handler serves the route in this process, instead of Endpoints (the API, the log cache).
	Handler http.Handler `json:"-"`
	// LoadBalancing is round-robin (also the empty string), least-connection or hash.
	LoadBalancing string `json:"load_balancing,omitempty"`
	// HashHeader names the request header whose value chooses the instance; hash alone needs it.
	HashHeader string `json:"hash_header,omitempty"`
	// HashBalance bounds, for hash, the requests in flight at one instance to this many times the
	// average; zero means no bound, otherwise it is 1 or more.
	HashBalance float64 `json:"hash_balance,omitempty"`
	// ServiceURL is where requests go before they go to Endpoints: the https:// URL of a route service, which sends them
	// back (see RouteServices). Empty: none.
	ServiceURL string `json:"service_url,omitempty"`
	// Admits, if set, says who alone may use the route. A TCP route and one with a handler have none.
	Admits *Admission `json:"admits,omitempty"`
	// AllowHTTP keeps Options.RedirectHTTP away from this route (the CA certificate is fetched without TLS).
	AllowHTTP bool `json:"allow_http,omitempty"`
}

// Name returns what tells r from all other routes.
func (r *Route) Name() Name { return Name{r.Host, r.Path, r.Port} }

// Endpoint is one instance that can be sent requests.
type Endpoint struct {
	Address     string `json:"address"` // ip:port
	InstanceID  string `json:"instance"`
	Index       int    `json:"index"`
	ProcessGUID string `json:"process,omitempty"`
	AppGUID     string `json:"app,omitempty"`      // of this instance; a route may lead to several apps
	Protocol    string `json:"protocol,omitempty"` // http1 (also the empty string) or http2; without meaning in a TCP route
	Weight      int    `json:"weight,omitempty"`   // its share among the endpoints of the route, up to MaxWeight; zero: 1
	Zone        string `json:"zone,omitempty"`     // that it is in; empty: none
	// Inside says that Address leads to it on one machine alone: a router elsewhere reaches it by Options.Relay.
	Inside bool `json:"inside,omitempty"`
}

// What Route.LoadBalancing may say.
const (
	RoundRobin      = "round-robin"
	LeastConnection = "least-connection"
	Hash            = "hash"
)

// What Endpoint.Protocol may say.
const (
	HTTP1 = "http1"
	HTTP2 = "http2" // without TLS, by prior knowledge (RFC 9113 3.3)
)

// MaxWeight bounds Endpoint.Weight.
const MaxWeight = 1_000_000
