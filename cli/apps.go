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

const appCategory = "Apps"

func (k *console) appCommands() []*cli.Command {
	return []*cli.Command{
		k.command(spec{name: "apps", aliases: []string{"a"}, category: appCategory, summary: "list the apps of the space",
			examples: []string{"cupola apps", "cupola apps --json", "cupola apps --labels env=prod"},
			flags:    []cli.Flag{jsonFlag, labelFlag, &cli.BoolFlag{Name: "no-stats", Usage: "do not look at instances, which is faster"}},
			need:     aSpace, run: apps, api: []string{"GET /v3/apps", "GET /v3/processes?embed=process_instances", "GET /v3/routes"}}),
		k.command(spec{name: "app", category: appCategory, summary: "show an app and its instances", args: "APP_NAME", min: 1, max: 1,
			flags: []cli.Flag{jsonFlag, guidFlag}, need: aSpace, run: showApp,
			api: []string{"GET /v3/apps", "GET /v3/apps/:guid/processes", "GET /v3/processes/:guid", "GET /v3/processes/:guid/stats", "GET /v3/processes/:guid/sidecars", "GET /v3/apps/:guid/routes", "GET /v3/apps/:guid/droplets/current", "GET /v3/deployments"}}),
		k.command(spec{name: "events", category: appCategory, summary: "show what was done to an app", args: "APP_NAME", min: 1, max: 1,
			flags: []cli.Flag{jsonFlag}, need: aSpace, run: events, api: []string{"GET /v3/apps", "GET /v3/audit_events"}}),
		k.command(spec{name: "delete", aliases: []string{"d"}, category: appCategory, summary: "delete an app", args: "APP_NAME", min: 1, max: 1,
			examples: []string{"cupola delete my-app", "cupola delete my-app -r -f"},
			flags:    []cli.Flag{forceFlag, &cli.BoolFlag{Name: "r", Usage: "delete its routes too"}},
			need:     aSpace, run: deleteApp, api: []string{"GET /v3/apps", "GET /v3/apps/:guid/routes", "GET /v3/service_credential_bindings", "GET /v3/service_instances", "DELETE /v3/apps/:guid", "DELETE /v3/routes/:guid", "GET /v3/jobs/:guid"}}),
	}
}

func apps(ctx context.Context, s *session, c *cli.Context) error {
	filter := capi.Filter{"space_guids": {s.cfg.Space.GUID}, "per_page": {"5000"}}
	var (
		all       []capi.App
		processes []capi.Process
		routes    []capi.Route
	)
	group, gctx := errgroup.WithContext(ctx)
	group.Go(func() (err error) {
		all, err = s.client.Apps(gctx, labelled(c, filter.With("order_by", "name")))
		return err
	})
	if !c.Bool("json") {
		group.Go(func() (err error) { routes, err = s.client.Routes(gctx, filter); return err })
	}
	if !c.Bool("json") && !c.Bool("no-stats") {
		group.Go(func() (err error) {
			processes, err = s.client.Processes(gctx, filter.With("embed", "process_instances"))
			return err
		})
	}
	if err := group.Wait(); err != nil {
		return err
	}
	if !c.Bool("json") {
		s.ui.Notef("Apps in %s:", s.ui.Name(s.where()))
	}
	return list(s, c, all, "There is no app yet. Push one: cupola push APP_NAME", []string{"name", "requested state", "processes", "urls"},
		func(a capi.App) []string {
			return []string{s.ui.Name(a.Name), s.state(a.State), s.processSummary(a.GUID, processes), s.urlsOf(a.GUID, routes)}
		})
}

// state colours what an app or instance is.
func (s *session) state(state string) string {
	text := strings.ToLower(state)
	switch state {
	case "STARTED", "RUNNING", "SUCCEEDED":
		return s.ui.Good(text)
	case "CRASHED", "DOWN", "FAILED":
		return s.ui.Bad(text)
	case "STARTING", "STOPPING", "PENDING", "CANCELING":
		return s.ui.Middling(text)
	}
	return text
}

// processSummary is such as web:2/2, worker:0/1. Two web processes during a deployment count as one.
func (s *session) processSummary(appGUID string, processes []capi.Process) string {
	type count struct{ running, wanted int }
	counts := map[string]count{}
	var types []string
	for _, p := range processes {
		if p.Relationships.App.GUID() != appGUID {
			continue
		}
		if _, seen := counts[p.Type]; !seen {
			types = append(types, p.Type)
		}
		n := counts[p.Type]
		n.wanted += p.Instances
		if p.Embedded != nil {
			for _, i := range *p.Embedded {
				if i.State == "RUNNING" {
					n.running++
				}
			}
		}
		counts[p.Type] = n
	}
	slices.SortFunc(types, webFirst)
	for i, t := range types {
		types[i] = fmt.Sprintf("%s:%d/%d", t, counts[t].running, counts[t].wanted)
	}
	return strings.Join(types, ", ")
}

func webFirst(a, b string) int {
	if (a == "web") != (b == "web") {
		if a == "web" {
			return -1
		}
		return 1
	}
	return strings.Compare(a, b)
}

func (s *session) urlsOf(appGUID string, routes []capi.Route) string {
	var urls []string
	for _, r := range routes {
		if slices.ContainsFunc(r.Destinations, func(d capi.Destination) bool { return d.App.GUID == appGUID }) {
			urls = append(urls, s.routeURL(r))
		}
	}
	return strings.Join(urls, ", ")
}

func deleteApp(ctx context.Context, s *session, c *cli.Context) error {
	name := c.Args().First()
	app, err := s.client.AppByName(ctx, s.cfg.Space.GUID, name)
	if notFound(err) {
		s.ui.Notef("There is no app %s.", quote(name))
		return nil
	}
	if err != nil {
		return err
	}
	var routes []capi.Route
	question := "Delete app %s?"
	if c.Bool("r") {
		question = "Delete app %s and its routes?"
		if routes, err = s.client.AppRoutes(ctx, app.GUID); err != nil {
			return err
		}
		if err := onlyFor(app, routes); err != nil {
			return err
		}
	}
	staying, err := s.staying(ctx, app)
	if err != nil {
		return err
	}
	if staying != "" {
		s.ui.Notef("It is bound to %s; these service instances stay, with their data.", staying)
	}
	if ok, err := s.sure(c, question, quote(name)); !ok {
		return err
	}
	if err := s.client.DeleteApp(ctx, app.GUID); err != nil && !notFound(err) {
		return err
	}
	for _, r := range routes {
		if err := s.client.DeleteRoute(ctx, r.GUID); err != nil && !notFound(err) {
			return fmt.Errorf("app %s is deleted, but not its route %s: %w", quote(name), r.URL, err)
		}
	}
	s.ui.Notef("App %s is deleted.", quote(name))
	return nil
}

// onlyFor refuses to take a route away from another app.
func onlyFor(app *capi.App, routes []capi.Route) error {
	for _, r := range routes {
		for _, d := range r.Destinations {
			if d.App.GUID != app.GUID {
				return withHint(fmt.Errorf("the route %s leads to another app too, so nothing is deleted", r.URL),
					"delete without -r, or first: cupola unmap-route %s DOMAIN", app.Name)
			}
		}
	}
	return nil
}

func events(ctx context.Context, s *session, c *cli.Context) error {
	app, err := s.app(ctx, c.Args().First())
	if err != nil {
		return err
	}
	all, err := s.client.AuditEvents(ctx, capi.Filter{"target_guids": {app.GUID}, "order_by": {"-created_at"}})
	if err != nil {
		return err
	}
	return list(s, c, all, "Nothing is recorded of this app.", []string{"time", "event", "actor", "details"}, func(e capi.AuditEvent) []string {
		return []string{e.CreatedAt.Local().Format("2006-01-02T15:04:05-07:00"), e.Type, e.Actor.Name, eventDetails(e.Data)}
	})
}

// eventDetails are the plain values of an event that a person can use, in a fixed order; --json has them all.
func eventDetails(data map[string]any) string {
	var parts []string
	for key, value := range data {
		if strings.HasSuffix(key, "_guid") || key == "instance" || key == "crash_timestamp" {
			continue
		}
		switch v := value.(type) {
		case map[string]any:
			if inner := eventDetails(v); inner != "" {
				parts = append(parts, inner)
			}
		case nil:
		case float64:
			parts = append(parts, key+": "+strconv.FormatFloat(v, 'f', -1, 64))
		default:
			parts = append(parts, fmt.Sprintf("%s: %v", key, v))
		}
	}
	slices.Sort(parts)
	return strings.Join(parts, ", ")
}
