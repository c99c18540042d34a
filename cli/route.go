package cli

import (
	"context"
	"fmt"
	"slices"
	"strconv"
	"strings"

	"github.com/urfave/cli/v2"
	"golang.org/x/sync/errgroup"

	"github.com/cupola-paas/cupola/controller/capi"
)

const routeCategory = "Routes and domains"

// routeFlags name a route; more are the command's own.
func routeFlags(more ...cli.Flag) []cli.Flag {
	return slices.Concat([]cli.Flag{
		&cli.StringFlag{Name: "hostname", Aliases: []string{"n"}, Usage: "`HOST` in front of the domain"},
		&cli.StringFlag{Name: "path", Usage: "`PATH` behind the domain"},
		&cli.IntFlag{Name: "port", Usage: "`PORT` of a TCP route"},
	}, more)
}

var optionFlag = &cli.StringSliceFlag{Name: "option", Aliases: []string{"o"}, Usage: "`NAME=VALUE` of an option, such as loadbalancing=least-connection; can be repeated"}

func (k *console) routeCommands() []*cli.Command {
	find := []string{"GET /v3/domains", "GET /v3/routes"}
	api := func(more ...string) []string { return slices.Concat(find, more) }
	return []*cli.Command{
		k.command(spec{name: "routes", aliases: []string{"r"}, category: routeCategory, summary: "list the routes of the space",
			flags: []cli.Flag{jsonFlag, labelFlag, &cli.BoolFlag{Name: "org-level", Usage: "of all spaces of the org"}}, need: aSpace, run: routes,
			api: []string{"GET /v3/routes", "GET /v3/apps", "GET /v3/spaces"}}),
		k.command(spec{name: "route", aliases: []string{"ro"}, category: routeCategory, summary: "show a route and where it leads", args: "DOMAIN", min: 1, max: 1,
			examples: []string{"cupola route example.com --hostname shop"}, flags: routeFlags(), need: anOrg, run: showRoute, api: api("GET /v3/apps")}),
		k.command(spec{name: "check-route", category: routeCategory, summary: "say whether there is a route, in any space", args: "DOMAIN", min: 1, max: 1,
			flags: routeFlags(), need: aLogin, run: checkRoute, api: []string{"GET /v3/domains", "GET /v3/domains/:guid/route_reservations"}}),
		k.command(spec{name: "create-route", category: routeCategory, summary: "reserve a route", args: "DOMAIN", min: 1, max: 1,
			examples: []string{"cupola create-route example.com --hostname shop --path /cart", "cupola create-route tcp.example.com --port 1025"},
			flags:    routeFlags(optionFlag), need: aSpace, run: createRoute, api: []string{"GET /v3/domains", "POST /v3/routes"}}),
		k.command(spec{name: "update-route", category: routeCategory, summary: "change how requests of a route are spread", args: "DOMAIN", min: 1, max: 1,
			details:  "Options are loadbalancing (round-robin, least-connection, hash), hash_header and hash_balance.",
			examples: []string{"cupola update-route example.com -n shop -o loadbalancing=least-connection", "cupola update-route example.com -n shop -r loadbalancing"},
			flags:    routeFlags(optionFlag, &cli.StringSliceFlag{Name: "remove-option", Aliases: []string{"r"}, Usage: "`NAME` of an option that is to go; can be repeated"}),
			need:     aSpace, run: updateRoute, api: api("PATCH /v3/routes/:guid")}),
		k.command(spec{name: "map-route", category: routeCategory, summary: "lead a route to an app; the route is made if needed", args: "APP_NAME DOMAIN", min: 2, max: 2,
			examples: []string{"cupola map-route my-app example.com --hostname shop", "cupola map-route my-app tcp.example.com --port 1025"},
			flags: routeFlags(&cli.IntFlag{Name: "app-port", Usage: "`PORT` that the app listens on, when it is not the usual one"},
				&cli.StringFlag{Name: "app-protocol", Usage: "`PROTOCOL` that the app speaks: http1 or http2"}, optionFlag),
			need: aSpace, run: mapRoute, api: api("GET /v3/apps", "POST /v3/routes", "POST /v3/routes/:guid/destinations")}),
		k.command(spec{name: "update-destination", category: routeCategory, summary: "change the protocol that a route speaks with an app", args: "APP_NAME DOMAIN", min: 2, max: 2,
			flags: routeFlags(&cli.StringFlag{Name: "app-protocol", Usage: "`PROTOCOL`: http1 or http2"}),
			need:  aSpace, run: updateDestination, api: api("GET /v3/apps", "GET /v3/routes/:guid/destinations", "PATCH /v3/routes/:guid/destinations/:guid")}),
		k.command(spec{name: "unmap-route", category: routeCategory, summary: "no longer lead a route to an app; the route stays", args: "APP_NAME DOMAIN", min: 2, max: 2,
			flags: routeFlags(), need: aSpace, run: unmapRoute, api: api("GET /v3/apps", "GET /v3/routes/:guid/destinations", "DELETE /v3/routes/:guid/destinations/:guid")}),
		k.command(spec{name: "delete-route", category: routeCategory, summary: "delete a route", args: "DOMAIN", min: 1, max: 1,
			flags: routeFlags(forceFlag), need: aSpace, run: deleteRoute, api: api("DELETE /v3/routes/:guid")}),
		k.command(spec{name: "delete-orphaned-routes", category: routeCategory, summary: "delete the routes of the space that lead nowhere",
			flags: []cli.Flag{forceFlag}, need: aSpace, run: deleteOrphanedRoutes, api: []string{"DELETE /v3/spaces/:guid/routes?unmapped=true"}}),
	}
}

func routes(ctx context.Context, s *session, c *cli.Context) error {
	filter := capi.Filter{"space_guids": {s.cfg.Space.GUID}, "per_page": {"5000"}}
	if c.Bool("org-level") {
		filter = capi.Filter{"organization_guids": {s.cfg.Org.GUID}, "per_page": {"5000"}}
	}
	var (
		all    []capi.Route
		apps   []capi.App
		spaces []capi.Space
	)
	group, ctx := errgroup.WithContext(ctx)
	group.Go(func() (err error) { all, err = s.client.Routes(ctx, labelled(c, filter)); return err })
	if !c.Bool("json") {
		group.Go(func() (err error) { apps, err = s.client.Apps(ctx, filter); return err })
		group.Go(func() (err error) {
			spaces, err = s.client.Spaces(ctx, capi.Filter{"organization_guids": {s.cfg.Org.GUID}, "per_page": {"5000"}})
			return err
		})
	}
	if err := group.Wait(); err != nil {
		return err
	}
	appNames, spaceNames := map[string]string{}, map[string]string{}
	for _, a := range apps {
		appNames[a.GUID] = a.Name
	}
	for _, sp := range spaces {
		spaceNames[sp.GUID] = sp.Name
	}
	return list(s, c, all, "There is no route yet. One comes with a push, or: cupola create-route DOMAIN --hostname HOST",
		[]string{"space", "url", "protocol", "apps"}, func(r capi.Route) []string {
			return []string{spaceNames[r.Relationships.Space.GUID()], s.routeURL(r), r.Protocol, destinationNames(r, appNames)}
		})
}

func destinationNames(r capi.Route, apps map[string]string) string {
	var names []string
	for _, d := range r.Destinations {
		name := apps[d.App.GUID]
		if name == "" {
			name = d.App.GUID
		}
		if d.App.Process != nil && d.App.Process.Type != "web" {
			name += ":" + d.App.Process.Type
		}
		if !slices.Contains(names, name) {
			names = append(names, name)
		}
	}
	return strings.Join(names, ", ")
}

// address is a route as the flags name it.
type address struct {
	domain     *capi.Domain
	host, path string
	port       int // of a TCP route; 0: none is named
}

func (a address) String() string {
	name := a.domain.Name + a.path
	if a.host != "" {
		name = a.host + "." + name
	}
	if a.port != 0 {
		name += fmt.Sprintf(":%d", a.port)
	}
	return name
}

// tcp says that routes of the domain have a port and no name.
func (a address) tcp() bool { return slices.Contains(a.domain.SupportedProtocols, "tcp") }

func (s *session) address(ctx context.Context, c *cli.Context, domainName string) (address, error) {
	a := address{host: c.String("hostname"), path: c.String("path"), port: c.Int("port")}
	if a.port != 0 && a.host+a.path != "" {
		return a, badUsage("--port is for TCP routes, which have neither --hostname nor --path")
	}
	if a.port < 0 || a.port > 65535 {
		return a, badUsage("--port is a number from 1 to 65535, not %d", a.port)
	}
	if a.path != "" && !strings.HasPrefix(a.path, "/") {
		a.path = "/" + a.path
	}
	domain, err := find[capi.Domain](ctx, s, domainKind, domainName, nil)
	a.domain = domain
	return a, err
}

// findRoute is the route of an address; ResourceNotFound when there is none.
func (s *session) findRoute(ctx context.Context, a address) (*capi.Route, error) {
	if a.port == 0 {
		return s.client.FindRoute(ctx, a.domain.GUID, a.host, a.path)
	}
	return capi.First[capi.Route](ctx, s.client, "/v3/routes", capi.Filter{"domain_guids": {a.domain.GUID}, "hosts": {""}, "paths": {""}, "ports": {strconv.Itoa(a.port)}}, "Route")
}

// mustFindRoute is findRoute with an error that says what to do.
func (s *session) mustFindRoute(ctx context.Context, c *cli.Context, domainName string) (address, *capi.Route, error) {
	a, err := s.address(ctx, c, domainName)
	if err != nil {
		return a, nil, err
	}
	route, err := s.findRoute(ctx, a)
	if notFound(err) {
		err = withHint(fmt.Errorf("there is no route %s", a), "see: cupola routes")
	}
	return a, route, err
}

func (s *session) makeRoute(ctx context.Context, a address, options map[string]any) (*capi.Route, error) {
	in := capi.RouteCreate{Host: a.host, Path: a.path, Options: options,
		Relationships: capi.RouteCreateRelationships{Space: capi.To(s.cfg.Space.GUID), Domain: capi.To(a.domain.GUID)}}
	if a.port != 0 {
		port := capi.Int(a.port)
		in.Port = &port
	}
	return s.client.CreateRoute(ctx, in)
}

// optionsOf are the route options of the flags; nil when there is none.
func optionsOf(c *cli.Context) (map[string]any, error) {
	var options map[string]any
	for _, given := range c.StringSlice("option") {
		name, value, ok := strings.Cut(given, "=")
		if !ok || name == "" {
			return nil, badUsage("-o %s is no option", quote(given)).withHint("write it as: -o loadbalancing=least-connection")
		}
		if options == nil {
			options = map[string]any{}
		}
		options[name] = value
	}
	for _, name := range c.StringSlice("remove-option") {
		if options == nil {
			options = map[string]any{}
		}
		options[name] = nil
	}
	return options, nil
}
