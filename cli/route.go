package cli

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/urfave/cli/v2"
	"golang.org/x/sync/errgroup"

	"github.com/cupola-paas/cupola/controller/capi"
)

const routeCategory = "Routes and domains"

func (k *console) routeCommands() []*cli.Command {
	address := []cli.Flag{
		&cli.StringFlag{Name: "hostname", Aliases: []string{"n"}, Usage: "`HOST` in front of the domain"},
		&cli.StringFlag{Name: "path", Usage: "`PATH` behind the domain"},
	}
	with := func(more ...cli.Flag) []cli.Flag { return slices.Concat(address, more) }
	return []*cli.Command{
		k.command(spec{name: "routes", aliases: []string{"r"}, category: routeCategory, summary: "list the routes of the space",
			flags: []cli.Flag{jsonFlag, labelFlag, &cli.BoolFlag{Name: "org-level", Usage: "of all spaces of the org"}}, need: aSpace, run: routes}),
		k.command(spec{name: "create-route", category: routeCategory, summary: "reserve a route", args: "DOMAIN", min: 1, max: 1,
			examples: []string{"cupola create-route example.com --hostname shop --path /cart"}, flags: address, need: aSpace, run: createRoute}),
		k.command(spec{name: "map-route", category: routeCategory, summary: "lead a route to an app; the route is made if needed", args: "APP_NAME DOMAIN", min: 2, max: 2,
			examples: []string{"cupola map-route my-app example.com --hostname shop"},
			flags: with(&cli.IntFlag{Name: "app-port", Usage: "`PORT` that the app listens on, when it is not the usual one"},
				&cli.StringFlag{Name: "app-protocol", Usage: "`PROTOCOL` that the app speaks: http1 or http2"}),
			need: aSpace, run: mapRoute}),
		k.command(spec{name: "unmap-route", category: routeCategory, summary: "no longer lead a route to an app; the route stays", args: "APP_NAME DOMAIN", min: 2, max: 2,
			flags: address, need: aSpace, run: unmapRoute}),
		k.command(spec{name: "delete-route", category: routeCategory, summary: "delete a route", args: "DOMAIN", min: 1, max: 1,
			flags: with(forceFlag), need: aSpace, run: deleteRoute}),
		k.command(spec{name: "delete-orphaned-routes", category: routeCategory, summary: "delete the routes of the space that lead nowhere",
			flags: []cli.Flag{forceFlag}, need: aSpace, run: deleteOrphanedRoutes}),
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
			return []string{spaceNames[r.Relationships.Space.GUID()], s.appURL(r.URL), r.Protocol, destinationNames(r, appNames)}
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
}

func (a address) String() string {
	if a.host == "" {
		return a.domain.Name + a.path
	}
	return a.host + "." + a.domain.Name + a.path
}

func (s *session) address(ctx context.Context, c *cli.Context, domainName string) (address, error) {
	a := address{host: c.String("hostname"), path: c.String("path")}
	if a.path != "" && !strings.HasPrefix(a.path, "/") {
		a.path = "/" + a.path
	}
	domain, err := s.client.DomainByName(ctx, domainName)
	if notFound(err) {
		return a, withHint(fmt.Errorf("there is no domain %s", quote(domainName)), "see: cupola domains")
	}
	a.domain = domain
	return a, err
}

func (s *session) makeRoute(ctx context.Context, a address) (*capi.Route, error) {
	return s.client.CreateRoute(ctx, capi.RouteCreate{Host: a.host, Path: a.path,
		Relationships: capi.RouteCreateRelationships{Space: capi.To(s.cfg.Space.GUID), Domain: capi.To(a.domain.GUID)}})
}

func createRoute(ctx context.Context, s *session, c *cli.Context) error {
	a, err := s.address(ctx, c, c.Args().First())
	if err != nil {
		return err
	}
	route, err := s.makeRoute(ctx, a)
	if taken(err) {
		s.ui.Notef("Route %s is there already.", s.ui.Name(a.String()))
		return nil
	}
	if err != nil {
		return err
	}
	s.ui.Notef("Route %s is made.", s.ui.Name(route.URL))
	s.ui.Hintf("next: cupola map-route APP_NAME %s", strings.TrimSpace(a.domain.Name+" "+a.flags()))
	return nil
}

// flags is how the route was named on the command line.
func (a address) flags() string {
	var parts []string
	if a.host != "" {
		parts = append(parts, "--hostname "+a.host)
	}
	if a.path != "" {
		parts = append(parts, "--path "+a.path)
	}
	return strings.Join(parts, " ")
}

func mapRoute(ctx context.Context, s *session, c *cli.Context) error {
	app, err := s.app(ctx, c.Args().Get(0))
	if err != nil {
		return err
	}
	a, err := s.address(ctx, c, c.Args().Get(1))
	if err != nil {
		return err
	}
	route, err := s.client.FindRoute(ctx, a.domain.GUID, a.host, a.path)
	if notFound(err) {
		route, err = s.makeRoute(ctx, a)
	}
	if err != nil {
		return err
	}
	if err := s.client.MapRoute(ctx, route.GUID, app.GUID, c.Int("app-port"), c.String("app-protocol")); err != nil {
		return err
	}
	s.ui.Notef("Route %s leads to %s.", s.ui.Name(s.appURL(route.URL)), s.ui.Name(app.Name))
	return nil
}

func unmapRoute(ctx context.Context, s *session, c *cli.Context) error {
	app, err := s.app(ctx, c.Args().Get(0))
	if err != nil {
		return err
	}
	a, err := s.address(ctx, c, c.Args().Get(1))
	if err != nil {
		return err
	}
	route, err := s.client.FindRoute(ctx, a.domain.GUID, a.host, a.path)
	if notFound(err) {
		return withHint(fmt.Errorf("there is no route %s", a), "see: cupola routes")
	}
	if err != nil {
		return err
	}
	destinations, err := s.client.Destinations(ctx, route.GUID)
	if err != nil {
		return err
	}
	removed := 0
	for _, d := range destinations {
		if d.App.GUID != app.GUID {
			continue
		}
		if err := s.client.UnmapRoute(ctx, route.GUID, d.GUID); err != nil && !notFound(err) {
			return err
		}
		removed++
	}
	if removed == 0 {
		return errors.New("the route " + a.String() + " does not lead to " + quote(app.Name))
	}
	s.ui.Notef("Route %s no longer leads to %s.", s.ui.Name(a.String()), s.ui.Name(app.Name))
	return nil
}

func deleteRoute(ctx context.Context, s *session, c *cli.Context) error {
	a, err := s.address(ctx, c, c.Args().First())
	if err != nil {
		return err
	}
	route, err := s.client.FindRoute(ctx, a.domain.GUID, a.host, a.path)
	if notFound(err) {
		s.ui.Notef("There is no route %s.", a)
		return nil
	}
	if err != nil {
		return err
	}
	if ok, err := s.sure(c, "Delete route %s?", a); !ok {
		return err
	}
	if err := s.client.DeleteRoute(ctx, route.GUID); err != nil && !notFound(err) {
		return err
	}
	s.ui.Notef("Route %s is deleted.", a)
	return nil
}

func deleteOrphanedRoutes(ctx context.Context, s *session, c *cli.Context) error {
	if ok, err := s.sure(c, "Delete all routes of space %s that lead nowhere?", quote(s.cfg.Space.Name)); !ok {
		return err
	}
	if err := s.client.DeleteUnmappedRoutes(ctx, s.cfg.Space.GUID); err != nil {
		return err
	}
	s.ui.Notef("Routes that lead nowhere are deleted.")
	return nil
}
