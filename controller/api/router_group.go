package api

import (
	"errors"
	"fmt"
	"net/http"
	"strings"

	"github.com/cupola-paas/cupola/controller/capi"
	"github.com/cupola-paas/cupola/store"
)

// RoutingPath is where the routing API lives on the API's host. Its errors have a shape of their own.
const RoutingPath = "/routing"

// DefaultRouterGroup is the group that every platform has.
const DefaultRouterGroup = "default-tcp"

func (s *Server) routerGroupRoutes() []Route {
	const all = RoutingPath + "/v1/router_groups"
	return []Route{
		{"GET", all, on(platformAt, "Router group", SeePlatform, SeePlatform), s.listRouterGroups, []string{"name"}, nil},
		get(all+"/{guid}", on(platformAt, "Router group", SeePlatform, SeePlatform), s.getRouterGroup),
		put(all+"/{guid}", on(platformAt, "Router group", SeePlatform, Administer), s.updateRouterGroup),
	}
}

func presentRouterGroup(g *store.RouterGroup) capi.RouterGroup {
	return capi.RouterGroup{GUID: g.GUID, Name: g.Name, Type: g.Type, ReservablePorts: g.ReservablePorts}
}

// listRouterGroups answers with a plain array. A name that no group has is 404, as in Cloud Foundry's routing API.
func (s *Server) listRouterGroups(c *Ctx) error {
	return c.answer(func(tx *store.Tx) (any, error) {
		var where []store.Cond
		if c.Filter.Has("name") {
			where = append(where, store.By("name", c.Filter.Value("name")))
		}
		groups, _, err := store.RouterGroups.List(tx, store.Query[store.RouterGroup]{Where: where})
		if err != nil {
			return nil, err
		}
		if len(groups) == 0 && len(where) > 0 {
			return nil, capi.ResourceNotFound.Errorf("Router Group '%s' not found", clip(c.Filter.Value("name"), 100))
		}
		out := make([]capi.RouterGroup, 0, len(groups))
		for _, g := range groups {
			out = append(out, presentRouterGroup(g))
		}
		return out, nil
	})
}

func (s *Server) getRouterGroup(c *Ctx) error {
	return c.answer(func(tx *store.Tx) (any, error) {
		g, err := store.RouterGroups.Get(tx, c.Path("guid"))
		if err != nil {
			return nil, notFound(err, "Router group")
		}
		return presentRouterGroup(g), nil
	})
}

// updateRouterGroup changes the ports that may be reserved. Ports that routes have stay theirs.
func (s *Server) updateRouterGroup(c *Ctx) error {
	var in capi.RouterGroupUpdate
	if err := c.decode(&in); err != nil {
		return err
	}
	if _, err := ParsePortRanges(in.ReservablePorts); err != nil {
		return errInvalid(fmt.Sprintf("reservable_ports: %v: write ranges such as 1024-1123", err))
	}
	return c.change(http.StatusOK, func(tx *store.Tx) (any, error) {
		g, err := store.RouterGroups.Get(tx, c.Path("guid"))
		if err != nil {
			return nil, notFound(err, "Router group")
		}
		if in.Name != "" && in.Name != g.Name || in.Type != "" && in.Type != g.Type {
			return nil, errInvalid("name and type of a router group cannot be changed")
		}
		g.ReservablePorts = in.ReservablePorts
		return presentRouterGroup(g), store.RouterGroups.Put(tx, g)
	})
}

// inRoutingAPI reports whether a request is one of the routing API's.
func inRoutingAPI(r *http.Request) bool { return strings.HasPrefix(r.URL.Path, RoutingPath+"/") }

// routingErrorNames are the names that the routing API has for statuses.
var routingErrorNames = map[int]string{
	http.StatusUnauthorized: "UnauthorizedError", http.StatusForbidden: "UnauthorizedError",
	http.StatusNotFound: "ResourceNotFoundError", http.StatusInternalServerError: "InternalError",
}

// routingError puts an error into the routing API's shape. A token that is no longer good is said in words that make
// clients ask for a new one.
func routingError(e *capi.Error) capi.RoutingError {
	out := capi.RoutingError{Name: routingErrorNames[e.Status], Message: e.Detail}
	if out.Name == "" {
		out.Name = "ProcessRequestError"
	}
	if errors.Is(e, capi.InvalidAuthToken) {
		out.Message = "Token is expired"
	}
	return out
}
