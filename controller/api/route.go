package api

import (
	"net/http"
	"slices"

	"github.com/cupola-paas/cupola/controller/appenv"
	"github.com/cupola-paas/cupola/controller/capi"
	"github.com/cupola-paas/cupola/store"
)

func (s *Server) routeRoutes() []Route {
	see := on(routeFor(SeeRoutes), "Route", SeeRoutes, SeeRoutes)
	owner := on(ownedRoute, "Route", SeeRoutes, Operate)
	operate := on(routeFor(Operate), "Route", SeeRoutes, Operate)
	filters := []string{"hosts", "paths", "ports", "domain_guids", "space_guids", "organization_guids", "app_guids", "service_instance_guids", "include"}
	return append([]Route{
		index("/v3/routes", signedIn(), s.listRoutes, filters...),
		index("/v3/apps/{guid}/routes", on(appAt, "App", SeeSpace, SeeSpace), s.listRoutes, "hosts", "paths", "ports", "domain_guids", "include"),
		post("/v3/routes", inBody(), s.createRoute),
		{"GET", "/v3/routes/{guid}", see, s.getRoute, []string{"include"}, nil},
		patch("/v3/routes/{guid}", owner, s.updateRoute),
		del("/v3/routes/{guid}", owner, s.deleteRoute),
		index("/v3/routes/{guid}/destinations", see, s.listDestinations, "app_guids"),
		post("/v3/routes/{guid}/destinations", operate, s.addDestinations),
		patch("/v3/routes/{guid}/destinations", operate, s.replaceDestinations),
		patch("/v3/routes/{guid}/destinations/{destination}", operate, s.updateDestination),
		del("/v3/routes/{guid}/destinations/{destination}", operate, s.removeDestination),
		get("/v3/domains/{guid}/route_reservations", signedIn(), s.getReservation),
		del("/v3/spaces/{guid}/routes", on(spaceAt, "Space", SeeSpace, Operate), s.deleteUnmapped),
	}, s.routeShareRoutes()...)
}

func routeMeta(r *store.Route) *store.Meta { return &r.Meta }

// routePresenter shows routes and reads each domain once.
type routePresenter struct {
	s       *Server
	domains map[string]*store.Domain
}

func (s *Server) routePresenter() *routePresenter {
	return &routePresenter{s, map[string]*store.Domain{}}
}

func (p *routePresenter) domain(tx *store.Tx, guid string) (*store.Domain, error) {
	if d := p.domains[guid]; d != nil {
		return d, nil
	}
	d, err := store.Domains.Get(tx, guid)
	if err == nil {
		p.domains[guid] = d
	}
	return d, err
}

func (p *routePresenter) present(tx *store.Tx, r *store.Route) (capi.Route, error) {
	d, err := p.domain(tx, r.DomainGUID)
	if err != nil {
		return capi.Route{}, err
	}
	base := "/v3/routes/" + r.GUID
	out := capi.Route{
		Resource: resource(&r.Meta), Protocol: "http", Host: r.Host, Path: r.Path, URL: appenv.RouteURL(r, d.Name),
		Destinations: presentDestinations(r.Destinations), Options: r.Options,
		Relationships: capi.RouteRelationships{Space: capi.One(r.SpaceGUID), Domain: capi.One(r.DomainGUID)},
		Metadata:      metadata(&r.Meta),
		Links: capi.Links{
			"self": p.s.link(base), "space": p.s.link("/v3/spaces/" + r.SpaceGUID), "domain": p.s.link("/v3/domains/" + r.DomainGUID),
			"destinations": p.s.link(base + "/destinations"),
		},
	}
	if r.Port != 0 {
		out.Protocol, out.Port = "tcp", &r.Port
	}
	return out, nil
}

func presentDestinations(all []store.Destination) []capi.Destination {
	out := make([]capi.Destination, 0, len(all))
	for _, d := range all {
		port, protocol := destinationPort(d), destinationProtocol(d)
		out = append(out, capi.Destination{
			GUID: d.GUID, CreatedAt: capi.At(d.CreatedAt), UpdatedAt: capi.At(d.UpdatedAt), Weight: d.Weight,
			App:  capi.DestinationApp{GUID: d.AppGUID, Process: &capi.DestinationProcess{Type: d.ProcessType}},
			Port: &port, Protocol: &protocol,
		})
	}
	return out
}

func destinationPort(d store.Destination) int {
	if d.Port == 0 {
		return appenv.DefaultPort
	}
	return d.Port
}

func destinationProtocol(d store.Destination) string {
	if d.Protocol == "" {
		return "http1"
	}
	return d.Protocol
}

func (s *Server) listRoutes(c *Ctx) error {
	return c.answerPage(func(tx *store.Tx) (*page, error) {
		where, err := c.filterSpacesFor(tx, SeeRoutes, "in_space")
		if err != nil {
			return nil, err
		}
		if app := c.Path("guid"); app != "" {
			where = append(where, store.By("app", app))
		}
		where = c.filterBy(where, "hosts", "host", "paths", "path", "ports", "port", "domain_guids", "domain", "app_guids", "app")
		if c.Filter.Has("service_instance_guids") {
			where = append(where, store.By("guid")) // no route has a service yet
		}
		p := s.routePresenter()
		return answerList(c, tx, Listing[store.Route, capi.Route]{
			Table: store.Routes, Meta: routeMeta, Present: p.present, Where: where,
			Include: func(tx *store.Tx, routes []*store.Route) (*capi.Included, error) {
				return c.includeForRoutes(tx, p, routes)
			},
		})
	})
}

func (c *Ctx) includeForRoutes(tx *store.Tx, p *routePresenter, routes []*store.Route) (*capi.Included, error) {
	asked, err := c.wantsInclude("domain", "space", "space.organization", "route_policies")
	if err != nil || len(asked) == 0 {
		return nil, err
	}
	out := &capi.Included{}
	if slices.Contains(asked, "route_policies") {
		if out.RoutePolicies, err = c.policiesOf(tx, routes); err != nil {
			return nil, err
		}
	}
	var spaces, domains []string
	for _, r := range routes {
		spaces, domains = append(spaces, r.SpaceGUID), append(domains, r.DomainGUID)
	}
	if slices.Contains(asked, "domain") {
		slices.Sort(domains)
		for _, guid := range slices.Compact(domains) {
			d, err := p.domain(tx, guid)
			if err != nil {
				return nil, err
			}
			out.Domains = append(out.Domains, c.s.presentDomain(d))
		}
	}
	orgs := slices.Contains(asked, "space.organization")
	if !orgs && !slices.Contains(asked, "space") {
		return out, nil
	}
	return out, c.includeSpaces(tx, out, spaces, true, orgs)
}

func (s *Server) getRoute(c *Ctx) error {
	return c.View(func(tx *store.Tx) error {
		r, err := store.Routes.Get(tx, c.Path("guid"))
		if err != nil {
			return notFound(err, "Route")
		}
		p := s.routePresenter()
		shown, err := p.present(tx, r)
		if err != nil {
			return err
		}
		included, err := c.includeForRoutes(tx, p, []*store.Route{r})
		if err != nil {
			return err
		}
		return c.JSON(http.StatusOK, struct {
			capi.Route
			Included *capi.Included `json:"included,omitempty"`
		}{shown, included})
	})
}

func (s *Server) updateRoute(c *Ctx) error {
	var in capi.RouteUpdate
	if err := c.decode(&in); err != nil {
		return err
	}
	return s.changeRoute(c, func(tx *store.Tx, r *store.Route) (any, error) {
		options, err := mergeOptions(r.Options, in.Options)
		if err != nil {
			return nil, err
		}
		if r.Options, err = c.checkOptions(tx, options); err != nil {
			return nil, err
		}
		if err := patchMetadata(&r.Meta, in.Metadata); err != nil {
			return nil, err
		}
		if err := store.Routes.Put(tx, r); err != nil {
			return nil, err
		}
		if err := c.audit(tx, Event{Type: "audit.route.update", Target: routeTarget(tx, r), Place: c.place, Data: request(map[string]any{"options": in.Options})}); err != nil {
			return nil, err
		}
		return s.routePresenter().present(tx, r)
	})
}

// changeRoute lets change alter and write the route that the path names, and answers what it returns.
func (s *Server) changeRoute(c *Ctx, change func(*store.Tx, *store.Route) (any, error)) error {
	var shown any
	err := c.Update(func(tx *store.Tx) error {
		r, err := store.Routes.Get(tx, c.Path("guid"))
		if err != nil {
			return err
		}
		shown, err = change(tx, r)
		return err
	})
	if err != nil {
		return err
	}
	return c.JSON(http.StatusOK, shown)
}

// routeTarget names the route in an event by its URL.
func routeTarget(tx *store.Tx, r *store.Route) store.Actor {
	name := r.Host
	if d, err := store.Domains.Get(tx, r.DomainGUID); err == nil {
		name = appenv.RouteURL(r, d.Name)
	}
	return store.Actor{GUID: r.GUID, Type: "route", Name: name}
}

func (s *Server) deleteRoute(c *Ctx) error {
	var job *store.Job
	err := c.Update(func(tx *store.Tx) error {
		r, err := store.Routes.Get(tx, c.Path("guid"))
		if err != nil {
			return err
		}
		if err := s.removeRoute(c, tx, c.place, r); err != nil {
			return err
		}
		job, err = completeJob(tx, "route.delete", "route", r.GUID)
		return err
	})
	if err != nil {
		return err
	}
	return c.Accepted(job.GUID, nil)
}

func (s *Server) removeRoute(c *Ctx, tx *store.Tx, place Place, r *store.Route) error {
	if err := c.audit(tx, Event{Type: "audit.route.delete-request", Target: routeTarget(tx, r), Place: place}); err != nil {
		return err
	}
	return firstOf(c.removeRouteRecord(tx, r), syncPortsOf(tx, r.Destinations...))
}

// deleteUnmapped deletes the routes of a space that lead nowhere.
func (s *Server) deleteUnmapped(c *Ctx) error {
	if c.R.URL.Query().Get("unmapped") != "true" {
		return errInvalid("Mass delete not supported for mapped routes. Use 'unmapped=true' parameter to delete all unmapped routes.")
	}
	var job *store.Job
	err := c.Update(func(tx *store.Tx) error {
		routes, _, err := store.Routes.List(tx, store.Query[store.Route]{
			Where: []store.Cond{store.By("space", c.Path("guid"))},
			Match: func(r *store.Route) bool { return len(r.Destinations) == 0 },
		})
		if err != nil {
			return err
		}
		for _, r := range routes {
			if err := s.removeRoute(c, tx, c.place, r); err != nil {
				return err
			}
		}
		job, err = completeJob(tx, "space.delete_unmapped_routes", "space", c.Path("guid"))
		return err
	})
	if err != nil {
		return err
	}
	return c.Accepted(job.GUID, nil)
}
