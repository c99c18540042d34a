package cli

import (
	"context"
	"fmt"
	"net/url"
	"slices"
	"strconv"
	"strings"

	"github.com/urfave/cli/v2"

	"github.com/cupola-paas/cupola/cli/config"
	"github.com/cupola-paas/cupola/controller/capi"
)

func (k *console) routeShareCommands() []*cli.Command {
	flags := routeFlags(&cli.StringFlag{Name: "s", Usage: "the other `SPACE`"}, &cli.StringFlag{Name: "o", Usage: "`ORG` of the other space, when it is not the targeted one"})
	find := []string{"GET /v3/domains", "GET /v3/routes", "GET /v3/organizations", "GET /v3/spaces"}
	return []*cli.Command{
		k.command(spec{name: "share-route", category: routeCategory, summary: "let the apps of another space have a route too", args: "DOMAIN", min: 1, max: 1,
			examples: []string{"cupola share-route example.com --hostname shop -s staging"}, flags: flags, need: aSpace, run: shareRoute,
			api: append(slices.Clone(find), "POST /v3/routes/:guid/relationships/shared_spaces")}),
		k.command(spec{name: "unshare-route", category: routeCategory, summary: "take a shared route from another space", args: "DOMAIN", min: 1, max: 1,
			flags: flags, need: aSpace, run: unshareRoute, api: append(slices.Clone(find), "DELETE /v3/routes/:guid/relationships/shared_spaces/:guid")}),
		k.command(spec{name: "move-route", category: routeCategory, summary: "give a route to another space", args: "DOMAIN", min: 1, max: 1,
			flags: flags, need: aSpace, run: moveRoute, api: append(slices.Clone(find), "PATCH /v3/routes/:guid/relationships/space")}),
	}
}

// sharing is a route and another space.
func (s *session) sharing(ctx context.Context, c *cli.Context) (a address, routePath string, to config.Target, err error) {
	if c.String("s") == "" {
		return a, "", to, badUsage("%s needs -s SPACE", c.Command.Name)
	}
	a, route, err := s.mustFindRoute(ctx, c, c.Args().First())
	if err != nil {
		return a, "", to, err
	}
	to, err = s.otherSpace(ctx, c)
	return a, "/v3/routes/" + route.GUID, to, err
}

func shareRoute(ctx context.Context, s *session, c *cli.Context) error {
	a, path, to, err := s.sharing(ctx, c)
	if err != nil {
		return err
	}
	if err := s.client.Relate(ctx, path+"/relationships/shared_spaces", to.GUID); err != nil {
		return err
	}
	s.ui.Notef("Apps of space %s can have route %s too.", s.ui.Name(to.Name), s.ui.Name(a.String()))
	return nil
}

func unshareRoute(ctx context.Context, s *session, c *cli.Context) error {
	a, path, to, err := s.sharing(ctx, c)
	if err != nil {
		return err
	}
	if err := s.client.Delete(ctx, path+"/relationships/shared_spaces/"+to.GUID); err != nil {
		return err
	}
	s.ui.Notef("Apps of space %s can no longer have route %s.", s.ui.Name(to.Name), s.ui.Name(a.String()))
	return nil
}

func moveRoute(ctx context.Context, s *session, c *cli.Context) error {
	a, path, to, err := s.sharing(ctx, c)
	if err != nil {
		return err
	}
	if err := s.client.Assign(ctx, path+"/relationships/space", to.GUID); err != nil {
		return err
	}
	s.ui.Notef("Route %s belongs to space %s now.", s.ui.Name(a.String()), s.ui.Name(to.Name))
	return nil
}

func showRoute(ctx context.Context, s *session, c *cli.Context) error {
	a, route, err := s.mustFindRoute(ctx, c, c.Args().First())
	if err != nil {
		return err
	}
	if s.ui.WantsJSON() {
		return s.ui.JSON(route)
	}
	var options []string
	for name, value := range route.Options {
		options = append(options, name+"="+value)
	}
	slices.Sort(options)
	port := ""
	if route.Port != nil {
		port = strconv.Itoa(*route.Port)
	}
	s.fields([][2]string{{"url", s.ui.Name(s.routeURL(*route))}, {"domain", a.domain.Name}, {"host", route.Host}, {"path", route.Path}, {"port", port},
		{"protocol", route.Protocol}, {"options", strings.Join(options, ", ")}})
	s.ui.Println()
	names, err := s.appNames(ctx, route.Destinations)
	if err != nil {
		return err
	}
	rows := make([][]string, len(route.Destinations))
	for i, d := range route.Destinations {
		rows[i] = destinationRow(d, names)
	}
	s.ui.Table("It leads nowhere.", []string{"app", "process", "port", "protocol", "weight"}, rows)
	return nil
}

// appNames are the names of the apps that destinations lead to, as far as they may be seen.
func (s *session) appNames(ctx context.Context, to []capi.Destination) (map[string]string, error) {
	names := map[string]string{}
	if len(to) == 0 {
		return names, nil
	}
	guids := make([]string, len(to))
	for i, d := range to {
		guids[i] = d.App.GUID
	}
	apps, err := s.client.Apps(ctx, capi.Filter{"guids": guids})
	for _, a := range apps {
		names[a.GUID] = a.Name
	}
	return names, err
}

func destinationRow(d capi.Destination, names map[string]string) []string {
	row := []string{names[d.App.GUID], "web", "", text(d.Protocol), ""}
	if row[0] == "" {
		row[0] = d.App.GUID
	}
	if d.App.Process != nil {
		row[1] = d.App.Process.Type
	}
	if d.Port != nil {
		row[2] = strconv.Itoa(*d.Port)
	}
	if d.Weight != nil {
		row[4] = strconv.Itoa(*d.Weight) + "%"
	}
	return row
}

func checkRoute(ctx context.Context, s *session, c *cli.Context) error {
	a, err := s.address(ctx, c, c.Args().First())
	if err != nil {
		return err
	}
	query := url.Values{}
	for key, value := range map[string]string{"host": a.host, "path": a.path} {
		if value != "" {
			query.Set(key, value)
		}
	}
	if a.port != 0 {
		query.Set("port", strconv.Itoa(a.port))
	}
	found, err := capi.Get[capi.RouteReservation](ctx, s.client, domainKind.path+"/"+a.domain.GUID+"/route_reservations?"+query.Encode())
	if err != nil {
		return err
	}
	verb := "does not exist"
	if found.MatchingRoute {
		verb = "exists"
	}
	if s.ui.WantsJSON() {
		return s.ui.JSON(found)
	}
	s.ui.Println(fmt.Sprintf("Route %s %s.", s.ui.Name(a.String()), verb))
	return nil
}
