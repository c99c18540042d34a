package dashboard

import (
	"context"

	"github.com/cupola-paas/cupola/controller/capi"
)

// policyRow is somebody who may use a route of a domain that enforces route policies.
type policyRow struct {
	GUID string
	Who  link
}

// readPolicies reads who may use routes, by the route's GUID.
func readPolicies(ctx context.Context, c *capi.Client, routes []string) (map[string][]policyRow, error) {
	out := map[string][]policyRow{}
	if len(routes) == 0 {
		return out, nil
	}
	list, err := onePage[capi.RoutePolicy](ctx, c, "/v3/route_policies", capi.Filter{"route_guids": routes, "per_page": {"500"}})
	if err != nil {
		return nil, err
	}
	var apps, spaces, orgs []string
	for _, p := range list.Resources {
		apps, spaces, orgs = append(apps, p.Relationships.App.GUID()), append(spaces, p.Relationships.Space.GUID()), append(orgs, p.Relationships.Organization.GUID())
	}
	appNames, err := appNames(ctx, c, apps)
	if err != nil {
		return nil, err
	}
	known, err := readNames(ctx, c, unique(spaces))
	if err != nil {
		return nil, err
	}
	if err := known.readOrgs(ctx, c, unique(orgs)); err != nil {
		return nil, err
	}
	for _, p := range list.Resources {
		route := p.Relationships.Route.GUID()
		out[route] = append(out[route], policyRow{p.GUID, policySource(p, appNames, known)})
	}
	return out, nil
}

// policySource is who a policy lets in, by name where the reader may see it.
func policySource(p capi.RoutePolicy, apps map[string]string, known names) link {
	if guid := p.Relationships.App.GUID(); guid != "" {
		if name := apps[guid]; name != "" {
			return link{"app " + name, "/apps/" + guid}
		}
		return link{Text: "an app of another space"}
	}
	if guid := p.Relationships.Space.GUID(); guid != "" {
		if s, ok := known.spaces[guid]; ok {
			return link{"space " + s.Name, "/spaces/" + guid}
		}
		return link{Text: "another space"}
	}
	if guid := p.Relationships.Organization.GUID(); guid != "" {
		if o, ok := known.orgs[guid]; ok {
			return link{"org " + o.Name, "/orgs/" + guid}
		}
		return link{Text: "another org"}
	}
	return link{Text: "any app"}
}

// policySources are who may be let in from the page of an app: the apps of its space, its space, its org, any app.
func policySources(ctx context.Context, c *capi.Client, p place) ([]domainChoice, error) {
	list, err := onePage[capi.App](ctx, c, "/v3/apps", capi.Filter{"space_guids": {p.GUID}, "order_by": {"name"}, "per_page": {"500"}})
	if err != nil {
		return nil, err
	}
	space, err := c.Space(ctx, p.GUID)
	if err != nil {
		return nil, err
	}
	out := []domainChoice{{"cf:any", "any app"}, {"cf:space:" + p.GUID, "space " + p.Space}, {"cf:org:" + space.Relationships.Organization.GUID(), "org " + p.Org}}
	for _, a := range list.Resources {
		out = append(out, domainChoice{"cf:app:" + a.GUID, "app " + a.Name})
	}
	return out, nil
}

func (d *Dashboard) createPolicy(ctx context.Context, q *ask) (string, string, error) {
	route := capi.One(q.guid())
	in := capi.RoutePolicyCreate{Source: q.form("source"), Relationships: capi.RoutePolicyCreateRelationships{Route: &route}}
	return "The route lets them in now.", d.cameFrom(q.r), q.c.Act(ctx, "POST", "/v3/route_policies", in)
}

func (d *Dashboard) deletePolicy(ctx context.Context, q *ask) (string, string, error) {
	_, err := q.c.Begin(ctx, "DELETE", "/v3/route_policies/"+q.guid(), nil)
	return "The route is closed to them.", d.cameFrom(q.r), err
}
