package api

import (
	"net/http"
	"slices"
	"strings"
)

// Handler answers one route. What it returns as an error becomes the response; it must not have written then.
type Handler func(*Ctx) error

// Route is one line of the route table.
type Route struct {
	Method  string
	Pattern string // a path of http.ServeMux, such as /v3/apps/{guid}
	Access  Access
	Handle  Handler
	Query   []string // the parameters it takes; nil: any, unread
	Orders  []string // what order_by may be besides created_at and updated_at
}

func (r Route) String() string { return r.Method + " " + r.Pattern }

// Routes returns the whole route table, for tests that walk it.
func (s *Server) Routes() []Route { return slices.Clone(s.routes) }

// compile registers every route behind the one authorisation point. A route whose Access was left out is
// a mistake of ours and panics at start.
func (s *Server) compile(routes []Route) {
	s.mux = http.NewServeMux()
	for _, r := range routes {
		if r.Access.kind == 0 {
			panic("api: route without access: " + r.String())
		}
		s.routes = append(s.routes, r)
		s.mux.Handle(r.Method+" "+r.Pattern, s.serve(&r))
	}
}

// table is every route of the API.
func (s *Server) table() []Route {
	return slices.Concat(
		s.platformRoutes(), s.appRoutes(), s.processRoutes(), s.packageRoutes(), s.buildRoutes(),
		s.dropletRoutes(), s.deploymentRoutes(), s.taskRoutes(), s.routeRoutes(), s.routePolicyRoutes(), s.jobRoutes(),
		s.manifestRoutes(), s.organisationRoutes(), s.revisionRoutes(), s.sidecarRoutes(), s.usageEventRoutes(), s.nodeRoutes(), s.nodeJoinRoutes(), s.summaryRoutes(), s.serviceMapRoutes(),
		s.causeRoutes(), s.diskRoutes(), s.cleanupRoutes(), s.certificateRoutes(), s.backupStateRoutes(), s.buildPhaseRoutes(), s.engineRoutes(),
	)
}

func get(pattern string, a Access, h Handler) Route { return Route{"GET", pattern, a, h, nil, nil} }
func post(pattern string, a Access, h Handler) Route {
	return Route{"POST", pattern, a, h, nil, nil}
}
func patch(pattern string, a Access, h Handler) Route {
	return Route{"PATCH", pattern, a, h, nil, nil}
}
func put(pattern string, a Access, h Handler) Route { return Route{"PUT", pattern, a, h, nil, nil} }
func del(pattern string, a Access, h Handler) Route {
	return Route{"DELETE", pattern, a, h, nil, nil}
}

// index is a route that lists, with its own query parameters besides those of every list.
func index(pattern string, a Access, h Handler, own ...string) Route {
	return Route{"GET", pattern, a, h, params(own...), nil}
}

// ordered names what else order_by may be.
func (r Route) ordered(by ...string) Route { r.Orders = by; return r }

// cleanPath removes a trailing slash and doubled slashes, which clients do send (contract, 4.1).
func cleanPath(p string) string {
	for strings.Contains(p, "//") {
		p = strings.ReplaceAll(p, "//", "/")
	}
	if len(p) > 1 {
		p = strings.TrimSuffix(p, "/")
	}
	if p == "" {
		return "/"
	}
	return p
}
