package api

import (
	"fmt"
	"net/http"
	"regexp"
	"strings"

	"github.com/cupola-paas/cupola/controller/capi"
	"github.com/cupola-paas/cupola/store"
)

// routePolicyAt is the place of the policy's route, which is its owner's.
func routePolicyAt(tx *store.Tx, c *Ctx) (Place, error) {
	p, err := store.RoutePolicies.Get(tx, c.Path("guid"))
	if err != nil {
		return Place{}, err
	}
	return placeOfRoute(tx, p.RouteGUID)
}

func placeOfRoute(tx *store.Tx, guid string) (Place, error) {
	r, err := store.Routes.Get(tx, guid)
	if err != nil {
		return Place{}, err
	}
	return placeOf(tx, r.SpaceGUID)
}

func (s *Server) routePolicyRoutes() []Route {
	const all, one, noun = "/v3/route_policies", "/v3/route_policies/{guid}", "Route policy"
	show := get(one, on(routePolicyAt, noun, SeeRoutes, SeeRoutes), s.getRoutePolicy)
	show.Query = []string{"include"}
	develop := on(routePolicyAt, noun, SeeRoutes, Develop)
	return []Route{
		index(all, signedIn(), s.listRoutePolicies, "route_guids", "space_guids", "sources", "source_guids", "include"),
		post(all, inBody(), s.createRoutePolicy),
		show,
		patch(one, develop, s.updateRoutePolicy),
		del(one, develop, s.deleteRoutePolicy),
	}
}

// sourceGrammar is what the source of a policy may be (CAPI v3, Route Policies).
var sourceGrammar = regexp.MustCompile(`^cf:(any|(app|space|org):[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12})$`)

func (s *Server) presentRoutePolicy(_ *store.Tx, p *store.RoutePolicy) (capi.RoutePolicy, error) {
	out := capi.RoutePolicy{
		Resource: resource(&p.Meta), Source: p.Source(), Metadata: metadata(&p.Meta),
		Relationships: capi.RoutePolicyRelationships{Route: capi.One(p.RouteGUID)},
		Links:         capi.Links{"self": s.link("/v3/route_policies/" + p.GUID), "route": s.link("/v3/routes/" + p.RouteGUID)},
	}
	of := capi.One(p.SourceGUID)
	switch p.SourceType {
	case store.SourceApp:
		out.Relationships.App, out.Links["app"] = of, s.link("/v3/apps/"+p.SourceGUID)
	case store.SourceSpace:
		out.Relationships.Space, out.Links["space"] = of, s.link("/v3/spaces/"+p.SourceGUID)
	case store.SourceOrg:
		out.Relationships.Organization, out.Links["organization"] = of, s.link("/v3/organizations/"+p.SourceGUID)
	}
	return out, nil
}

// auditRoutePolicy writes audit.route_policy.<what>.
func (c *Ctx) auditRoutePolicy(tx *store.Tx, p *store.RoutePolicy, place Place, what string, data map[string]any) error {
	return c.audit(tx, Event{
		Type: "audit.route_policy." + what, Target: store.Actor{GUID: p.GUID, Type: "route_policy", Name: p.Source()}, Place: place, Data: data,
	})
}

func (s *Server) listRoutePolicies(c *Ctx) error {
	if sources, ok := c.Filter.List("sources"); ok {
		for _, source := range sources {
			if !sourceGrammar.MatchString(source) {
				return errQuery("Sources contains invalid source format: " + clip(source, 100))
			}
		}
	}
	return c.answer(func(tx *store.Tx) (any, error) {
		where := c.filterBy(nil, "route_guids", "route", "sources", "source", "source_guids", "source_guid")
		spaces, all, err := c.spacesInView(tx, SeeRoutes)
		if err != nil {
			return nil, err
		}
		if !all {
			routes, err := store.Routes.GUIDs(tx, store.By("space", spaces...))
			if err != nil {
				return nil, err
			}
			where = append(where, store.By("route", routes...))
		}
		var found []*store.RoutePolicy
		p, err := answerList(c, tx, Listing[store.RoutePolicy, capi.RoutePolicy]{
			Table: store.RoutePolicies, Meta: func(p *store.RoutePolicy) *store.Meta { return &p.Meta }, Where: where, Present: s.presentRoutePolicy,
			Include: func(_ *store.Tx, all []*store.RoutePolicy) (*capi.Included, error) {
				found = all
				return nil, nil
			},
		})
		if err != nil {
			return nil, err
		}
		included, err := c.includeForRoutePolicies(tx, found)
		return withIncluded(p, included), err
	})
}

func (s *Server) getRoutePolicy(c *Ctx) error {
	if _, err := c.wantsInclude("source", "route"); err != nil {
		return errInvalid(c.translate(err).Detail)
	}
	return c.answer(func(tx *store.Tx) (any, error) {
		p, err := store.RoutePolicies.Get(tx, c.Path("guid"))
		if err != nil {
			return nil, err
		}
		shown, err := s.presentRoutePolicy(tx, p)
		if err != nil {
			return nil, err
		}
		included, err := c.includeForRoutePolicies(tx, []*store.RoutePolicy{p})
		return withIncluded(shown, included), err
	})
}

func (s *Server) createRoutePolicy(c *Ctx) error {
	var in capi.RoutePolicyCreate
	if err := c.decode(&in); err != nil {
		return err
	}
	switch {
	case in.Source == "":
		return errInvalid("Source can't be blank")
	case !sourceGrammar.MatchString(in.Source):
		return errInvalid("Source must be in format 'cf:app:<uuid>', 'cf:space:<uuid>', 'cf:org:<uuid>', or 'cf:any'")
	case in.Relationships.Route.GUID() == "":
		return errInvalid("Relationships Route can't be blank: name it as relationships.route.data.guid")
	}
	p := &store.RoutePolicy{RouteGUID: in.Relationships.Route.GUID(), SourceType: store.SourceAny}
	if in.Source != "cf:any" {
		p.SourceType, p.SourceGUID, _ = strings.Cut(strings.TrimPrefix(in.Source, "cf:"), ":")
	}
	if err := patchMetadata(&p.Meta, in.Metadata); err != nil {
		return err
	}
	return c.change(http.StatusCreated, func(tx *store.Tx) (any, error) {
		r, err := store.Routes.Get(tx, p.RouteGUID)
		if err != nil {
			return nil, notFound(err, "Route")
		}
		place, err := placeOf(tx, r.SpaceGUID)
		if err != nil {
			return nil, err
		}
		if err := c.Allow(tx, place, "Route", SeeSpace, Develop); err != nil {
			return nil, err
		}
		if err := firstOf(checkPolicyDomain(tx, r, p), checkPolicyBeside(tx, p)); err != nil {
			return nil, err
		}
		if err := store.RoutePolicies.Put(tx, p); err != nil {
			return nil, err
		}
		asked := map[string]any{"source": in.Source, "route_guid": r.GUID}
		if err := c.auditRoutePolicy(tx, p, place, "create", request(asked)); err != nil {
			return nil, err
		}
		return s.presentRoutePolicy(tx, p)
	})
}

// checkPolicyDomain refuses a policy that the route's domain would never look at, or whose source it shuts out.
func checkPolicyDomain(tx *store.Tx, r *store.Route, p *store.RoutePolicy) error {
	d, err := store.Domains.Get(tx, r.DomainGUID)
	switch {
	case err != nil:
		return err
	case d.Internal:
		return errInvalid("Cannot create route policies for routes on internal domains. Internal routes use container-to-container networking and bypass the router.")
	case !d.EnforceRoutePolicies:
		return errInvalid(fmt.Sprintf("Cannot create route policies for route '%s': the route's domain does not have enforce_route_policies enabled.", r.GUID))
	case d.RoutePoliciesScope == store.ScopeSpace && p.SourceType == store.SourceOrg:
		return errInvalid(fmt.Sprintf("Source '%s' is not allowed: domain's route_policies_scope is 'space'.", p.Source()))
	}
	return nil
}

// maxRoutePolicies bounds what one route has, and so the table that the router holds.
const maxRoutePolicies = 1000

// checkPolicyBeside compares with the route's other policies: none may be there twice, and cf:any has none beside it.
func checkPolicyBeside(tx *store.Tx, p *store.RoutePolicy) error {
	others, _, err := store.RoutePolicies.List(tx, store.Query[store.RoutePolicy]{Where: []store.Cond{store.By("route", p.RouteGUID)}})
	if err != nil {
		return err
	}
	for _, o := range others {
		switch {
		case o.Source() == p.Source():
			return errInvalid(fmt.Sprintf("A route policy with source '%s' already exists for this route.", p.Source()))
		case p.SourceType == store.SourceAny:
			return errInvalid("source 'cf:any' cannot coexist with other route policies on the same route")
		case o.SourceType == store.SourceAny:
			return errInvalid("source cannot coexist with the existing 'cf:any' policy on this route")
		}
	}
	if len(others) >= maxRoutePolicies {
		return errInvalid(fmt.Sprintf("A route may have %d route policies at most: allow a space or an org instead of its apps", maxRoutePolicies))
	}
	return nil
}

func (s *Server) updateRoutePolicy(c *Ctx) error {
	var in capi.MetadataUpdate
	if err := c.decode(&in); err != nil {
		return err
	}
	return c.change(http.StatusOK, func(tx *store.Tx) (any, error) {
		p, err := store.RoutePolicies.Get(tx, c.Path("guid"))
		if err != nil {
			return nil, err
		}
		err = firstOf(patchMetadata(&p.Meta, in.Metadata), store.RoutePolicies.Put(tx, p),
			c.auditRoutePolicy(tx, p, c.place, "update", request(map[string]any{"metadata": in.Metadata})))
		if err != nil {
			return nil, err
		}
		return s.presentRoutePolicy(tx, p)
	})
}

func (s *Server) deleteRoutePolicy(c *Ctx) error {
	err := c.Update(func(tx *store.Tx) error {
		p, err := store.RoutePolicies.Get(tx, c.Path("guid"))
		if err != nil {
			return err
		}
		return firstOf(c.auditRoutePolicy(tx, p, c.place, "delete", nil), store.RoutePolicies.Delete(tx, p.GUID))
	})
	if err != nil {
		return err
	}
	return c.NoContent()
}
