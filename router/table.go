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

// Change is what is different in the next table. No name is in it twice.
type Change struct {
	Set    []Route // new routes, and those that take the place of the one with their name
	Remove []Name  // of routes that go; one that is not there is no mistake
}

// Name is what tells one route from all others.
type Name struct {
	Host, Path string
	Port       int
}

// Route is a host and path, or a TCP port, with where it leads to.
type Route struct {
	// Host is lower case, without port; "*.example.com" stands for any name below example.com.
	Host string
	// Path is empty or begins with a slash; it matches whole segments.
	Path string
	// Port makes it a TCP route: the port on which the router listens for it. Such a route has no host, path,
	// handler or hash balancing.
	Port int
	// AppGUID goes into the X-CF-ApplicationID header and the access log.
	AppGUID string
	// Endpoints may be empty: the route exists but nothing serves it.
	Endpoints []Endpoint
	// Handler serves the route in this process, instead of Endpoints (the API, the log cache).
	Handler http.Handler
	// LoadBalancing is round-robin (also the empty string), least-connection or hash.
	LoadBalancing string
	// HashHeader names the request header whose value chooses the instance; hash alone needs it.
	HashHeader string
	// HashBalance bounds, for hash, the requests in flight at one instance to this many times the
	// average; zero means no bound, otherwise it is 1 or more.
	HashBalance float64
	// ServiceURL is where requests go before they go to Endpoints: the https:// URL of a route service, which sends them
	// back (see RouteServices). Empty: none.
	ServiceURL string
	// Admits, if set, says who alone may use the route. A TCP route and one with a handler have none.
	Admits *Admission
	// AllowHTTP keeps Options.RedirectHTTP away from this route (the CA certificate is fetched without TLS).
	AllowHTTP bool
}

// Name returns what tells r from all other routes.
func (r *Route) Name() Name { return Name{r.Host, r.Path, r.Port} }

// Endpoint is one instance that can be sent requests.
type Endpoint struct {
	Address     string // ip:port
	InstanceID  string
	Index       int
	ProcessGUID string
	AppGUID     string // of this instance; a route may lead to several apps
	Protocol    string // http1 (also the empty string) or http2; without meaning in a TCP route
	Weight      int    // its share among the endpoints of the route, up to MaxWeight; zero: 1
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
