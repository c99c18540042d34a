package cli

import (
	"cmp"
	"context"
	"fmt"
	"net/http"
	"slices"
	"strings"

	"github.com/urfave/cli/v2"

	"github.com/cupola-paas/cupola/cli/config"
	"github.com/cupola-paas/cupola/controller/capi"
)

const routePolicyPath = "/v3/route_policies"

func (k *console) routePolicyCommands() []*cli.Command {
	find := []string{"GET /v3/domains", "GET /v3/routes", "GET /v3/organizations", "GET /v3/spaces", "GET /v3/apps"}
	flags := func(more ...cli.Flag) []cli.Flag {
		return slices.Concat([]cli.Flag{
			&cli.StringFlag{Name: "hostname", Aliases: []string{"n"}, Usage: "`HOST` in front of the domain"},
			&cli.StringFlag{Name: "path", Aliases: []string{"p"}, Usage: "`PATH` behind the domain"},
			&cli.StringFlag{Name: "source-app", Usage: "the `APP_NAME` that may use the route"},
			&cli.StringFlag{Name: "source-space", Usage: "the `SPACE` whose apps may use it, or that --source-app is in"},
			&cli.StringFlag{Name: "source-org", Usage: "the `ORG` whose apps may use it, or that --source-space is in"},
			&cli.BoolFlag{Name: "source-any", Usage: "every app may use it"},
			&cli.StringFlag{Name: "source", Usage: "`SOURCE` as the API writes it: cf:app:GUID, cf:space:GUID, cf:org:GUID or cf:any"},
		}, more)
	}
	const details = "The route's domain must enforce route policies. Name one source: an app, a space, an org or any app."
	return []*cli.Command{
		k.command(spec{name: "route-policies", category: routeCategory, summary: "list which apps may use the routes of the space whose domains enforce that",
			flags: []cli.Flag{jsonFlag, &cli.StringFlag{Name: "domain", Aliases: []string{"d"}, Usage: "of routes of this `DOMAIN`"},
				&cli.StringFlag{Name: "hostname", Aliases: []string{"n"}, Usage: "of routes with this `HOST`"}, &cli.StringFlag{Name: "path", Usage: "of routes with this `PATH`"}, labelFlag},
			need: aSpace, run: routePolicies, api: []string{"GET /v3/domains", "GET " + routePolicyPath}}),
		k.command(spec{name: "add-route-policy", category: routeCategory, summary: "let apps use a route", args: "DOMAIN", min: 1, max: 1, details: details,
			examples: []string{"cupola add-route-policy apps.identity --hostname backend --source-app frontend", "cupola add-route-policy apps.identity -n backend --source-space monitoring --source-org platform"},
			flags:    flags(), need: aSpace, run: addRoutePolicy, api: append(slices.Clone(find), "POST "+routePolicyPath)}),
		k.command(spec{name: "remove-route-policy", category: routeCategory, summary: "no longer let apps use a route", args: "DOMAIN", min: 1, max: 1, details: details,
			flags: flags(forceFlag), need: aSpace, run: removeRoutePolicy, api: append(slices.Clone(find), "GET "+routePolicyPath, "DELETE "+routePolicyPath+"/:guid")}),
	}
}

// policySource is the source that the flags name.
func (s *session) policySource(ctx context.Context, c *cli.Context) (string, error) {
	app, space, org := c.String("source-app"), c.String("source-space"), c.String("source-org")
	given := 0
	for _, one := range []bool{c.String("source") != "", c.Bool("source-any"), app+space+org != ""} {
		if one {
			given++
		}
	}
	switch {
	case given != 1:
		return "", badUsage("name one source: --source-app, --source-space, --source-org, --source-any or --source")
	case app != "" && org != "" && space == "":
		return "", badUsage("--source-app in another org needs --source-space too")
	case c.Bool("source-any"):
		return "cf:any", nil
	case c.String("source") != "":
		return c.String("source"), nil
	}
	in := s.cfg.Org
	if org != "" {
		found, err := s.org(ctx, org)
		if err != nil {
			return "", err
		}
		if in = (config.Target{GUID: found.GUID, Name: found.Name}); space == "" {
			return "cf:org:" + found.GUID, nil
		}
	}
	at := s.cfg.Space
	if space != "" {
		found, err := s.space(ctx, in, space)
		if err != nil {
			return "", err
		}
		if at = (config.Target{GUID: found.GUID, Name: found.Name}); app == "" {
			return "cf:space:" + found.GUID, nil
		}
	}
	found, err := s.appIn(ctx, at, app)
	if err != nil {
		return "", err
	}
	return "cf:app:" + found.GUID, nil
}

// policyArgs are the route and the source that a command names.
func (s *session) policyArgs(ctx context.Context, c *cli.Context) (a address, route *capi.Route, source string, err error) {
	if source, err = s.policySource(ctx, c); err == nil {
		a, route, err = s.mustFindRoute(ctx, c, c.Args().First())
	}
	return a, route, source, err
}

func addRoutePolicy(ctx context.Context, s *session, c *cli.Context) error {
	a, route, source, err := s.policyArgs(ctx, c)
	if err != nil {
		return err
	}
	if !a.domain.EnforceRoutePolicies {
		return withHint(fmt.Errorf("domain %s does not enforce route policies, and everybody may use its routes", quote(a.domain.Name)),
			"make one that does: cupola create-shared-domain NEW_DOMAIN --enforce-route-policies --scope org")
	}
	there, err := s.findPolicy(ctx, route.GUID, source)
	if err != nil {
		return err
	}
	if there == nil {
		in := capi.RoutePolicyCreate{Source: source, Relationships: capi.RoutePolicyCreateRelationships{Route: capi.To(route.GUID)}}
		if there, err = capi.Change[capi.RoutePolicy](ctx, s.client, http.MethodPost, routePolicyPath, in); err != nil {
			return err
		}
	}
	s.ui.Notef("%s may use route %s.", source, s.ui.Name(a.String()))
	return s.answer(there)
}

// findPolicy is the policy of a route with a source; nil if there is none.
func (s *session) findPolicy(ctx context.Context, routeGUID, source string) (*capi.RoutePolicy, error) {
	all, err := capi.All[capi.RoutePolicy](ctx, s.client, routePolicyPath, capi.Filter{"route_guids": {routeGUID}})
	for i := range all {
		if all[i].Source == source {
			return &all[i], nil
		}
	}
	return nil, err
}

func removeRoutePolicy(ctx context.Context, s *session, c *cli.Context) error {
	a, route, source, err := s.policyArgs(ctx, c)
	if err != nil {
		return err
	}
	policy, err := s.findPolicy(ctx, route.GUID, source)
	if err != nil {
		return err
	}
	if policy == nil {
		s.ui.Notef("Route %s has no policy for %s.", s.ui.Name(a.String()), source)
		return nil
	}
	if ok, err := s.sure(c, "No longer let %s use route %s?", source, quote(a.String())); !ok {
		return err
	}
	if err := s.client.Delete(ctx, routePolicyPath+"/"+policy.GUID); err != nil && !notFound(err) {
		return err
	}
	s.ui.Notef("%s may no longer use route %s.", source, s.ui.Name(a.String()))
	return nil
}

func routePolicies(ctx context.Context, s *session, c *cli.Context) error {
	filter := labelled(c, capi.Filter{"space_guids": {s.cfg.Space.GUID}, "include": {"route", "source"}})
	routes, names := map[string]capi.Route{}, map[string]string{}
	var all []capi.RoutePolicy
	for page, err := range capi.Pages[capi.RoutePolicy](ctx, s.client, routePolicyPath, filter) {
		if err != nil {
			return err
		}
		all = append(all, page.Resources...)
		rememberSources(page.Included, routes, names)
	}
	wanted, err := s.routeWanted(ctx, c)
	if err != nil {
		return err
	}
	all = slices.DeleteFunc(all, func(p capi.RoutePolicy) bool { return !wanted(routes[p.Relationships.Route.GUID()]) })
	return list(s, c, all, "No route of the space has a policy.", []string{"route", "source", "kind", "name"}, func(p capi.RoutePolicy) []string {
		kind, guid, _ := strings.Cut(strings.TrimPrefix(p.Source, "cf:"), ":")
		route := routes[p.Relationships.Route.GUID()]
		return []string{s.ui.Name(cmp.Or(route.URL, p.Relationships.Route.GUID())), p.Source, kind, names[guid]}
	})
}

func rememberSources(included *capi.Included, routes map[string]capi.Route, names map[string]string) {
	if included == nil {
		return
	}
	for _, r := range included.Routes {
		routes[r.GUID] = r
	}
	for _, a := range included.Apps {
		names[a.GUID] = a.Name
	}
	for _, sp := range included.Spaces {
		names[sp.GUID] = sp.Name
	}
	for _, o := range included.Organizations {
		names[o.GUID] = o.Name
	}
}

// routeWanted reports whether the flags ask for a route.
func (s *session) routeWanted(ctx context.Context, c *cli.Context) (func(capi.Route) bool, error) {
	domain, host, path := "", c.String("hostname"), c.String("path")
	if name := c.String("domain"); name != "" {
		found, err := find[capi.Domain](ctx, s, domainKind, name, nil)
		if err != nil {
			return nil, err
		}
		domain = found.GUID
	}
	if path != "" && path[0] != '/' {
		path = "/" + path
	}
	return func(r capi.Route) bool {
		return (domain == "" || r.Relationships.Domain.GUID() == domain) && (host == "" || r.Host == host) && (path == "" || r.Path == path)
	}, nil
}
