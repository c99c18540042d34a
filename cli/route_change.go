package cli

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"strings"

	"github.com/urfave/cli/v2"

	"github.com/cupola-paas/cupola/controller/capi"
)

func createRoute(ctx context.Context, s *session, c *cli.Context) error {
	options, err := optionsOf(c)
	if err != nil {
		return err
	}
	a, err := s.address(ctx, c, c.Args().First())
	if err != nil {
		return err
	}
	route, err := s.makeRoute(ctx, a, options)
	if taken(err) {
		s.ui.Notef("Route %s is there already.", s.ui.Name(a.String()))
		return nil
	}
	if err != nil {
		return err
	}
	s.ui.Notef("Route %s is made.", s.ui.Name(route.URL))
	if route.Port != nil {
		a.port = *route.Port
	}
	s.ui.Hintf("next: cupola map-route APP_NAME %s", strings.TrimSpace(a.domain.Name+" "+a.flags()))
	return s.answer(route)
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
	if a.port != 0 {
		parts = append(parts, fmt.Sprintf("--port %d", a.port))
	}
	return strings.Join(parts, " ")
}

// routeToMap is the route of an address, made if there is none. A TCP route without a port is always a new one, whose
// port the platform chooses.
func (s *session) routeToMap(ctx context.Context, a address, options map[string]any) (*capi.Route, error) {
	if a.tcp() && a.port == 0 {
		return s.makeRoute(ctx, a, options)
	}
	route, err := s.findRoute(ctx, a)
	if notFound(err) {
		return s.makeRoute(ctx, a, options)
	}
	return route, err
}

func mapRoute(ctx context.Context, s *session, c *cli.Context) error {
	options, err := optionsOf(c)
	if err != nil {
		return err
	}
	app, err := s.app(ctx, c.Args().Get(0))
	if err != nil {
		return err
	}
	a, err := s.address(ctx, c, c.Args().Get(1))
	if err != nil {
		return err
	}
	route, err := s.routeToMap(ctx, a, options)
	if err != nil {
		return err
	}
	if err := s.client.MapRoute(ctx, route.GUID, app.GUID, c.Int("app-port"), c.String("app-protocol")); err != nil {
		return err
	}
	s.ui.Notef("Route %s leads to %s.", s.ui.Name(s.routeURL(*route)), s.ui.Name(app.Name))
	return s.answer(route)
}

func unmapRoute(ctx context.Context, s *session, c *cli.Context) error {
	l, err := s.leadsTo(ctx, c)
	if err != nil {
		return err
	}
	for _, d := range l.destinations {
		if err := s.client.UnmapRoute(ctx, l.route.GUID, d.GUID); err != nil && !notFound(err) {
			return err
		}
	}
	s.ui.Notef("Route %s no longer leads to %s.", s.ui.Name(l.address), s.ui.Name(l.app.Name))
	return nil
}

// lead is how a route leads to an app.
type lead struct {
	app          *capi.App
	address      string
	route        *capi.Route
	destinations []capi.Destination // one or more
}

// leadsTo finds the app of the first argument and the route of the second, which must lead there.
func (s *session) leadsTo(ctx context.Context, c *cli.Context) (lead, error) {
	app, err := s.app(ctx, c.Args().Get(0))
	if err != nil {
		return lead{}, err
	}
	a, route, err := s.mustFindRoute(ctx, c, c.Args().Get(1))
	if err != nil {
		return lead{}, err
	}
	all, err := s.client.Destinations(ctx, route.GUID)
	if err != nil {
		return lead{}, err
	}
	l := lead{app: app, address: a.String(), route: route}
	for _, d := range all {
		if d.App.GUID == app.GUID {
			l.destinations = append(l.destinations, d)
		}
	}
	if len(l.destinations) == 0 {
		return lead{}, errors.New("the route " + l.address + " does not lead to " + quote(app.Name))
	}
	return l, nil
}

func deleteRoute(ctx context.Context, s *session, c *cli.Context) error {
	a, err := s.address(ctx, c, c.Args().First())
	if err != nil {
		return err
	}
	route, err := s.findRoute(ctx, a)
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

func updateRoute(ctx context.Context, s *session, c *cli.Context) error {
	options, err := optionsOf(c)
	if err != nil {
		return err
	}
	if len(options) == 0 {
		return badUsage("update-route needs --option or --remove-option")
	}
	a, route, err := s.mustFindRoute(ctx, c, c.Args().First())
	if err != nil {
		return err
	}
	return s.update(ctx, "/v3/routes/"+route.GUID, capi.RouteUpdate{Options: options}, "Route %s is changed.", s.ui.Name(a.String()))
}

func updateDestination(ctx context.Context, s *session, c *cli.Context) error {
	protocol := c.String("app-protocol")
	if protocol != "http1" && protocol != "http2" {
		return badUsage("--app-protocol is http1 or http2, not %s", quote(protocol))
	}
	l, err := s.leadsTo(ctx, c)
	if err != nil {
		return err
	}
	for _, d := range l.destinations {
		in := capi.DestinationUpdate{Protocol: capi.Some(protocol)}
		if err := s.client.Act(ctx, http.MethodPatch, "/v3/routes/"+l.route.GUID+"/destinations/"+d.GUID, in); err != nil {
			return err
		}
	}
	s.ui.Notef("Route %s speaks %s with %s.", s.ui.Name(l.address), protocol, s.ui.Name(l.app.Name))
	return nil
}
