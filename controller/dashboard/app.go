package dashboard

import (
	"context"
	"errors"
	"slices"
	"sync"
	"time"

	"github.com/cupola-paas/cupola/controller/capi"
)

// appPages are those of one app, a tab each.
func (d *Dashboard) appPages() map[string]reader {
	return map[string]reader{
		"/apps/{guid}":                   d.appOverview,
		"/apps/{guid}/logs":              d.appLogs,
		"/apps/{guid}/deployments":       d.appDeployments,
		"/apps/{guid}/revisions/{other}": d.appRevision,
		"/apps/{guid}/scale":             d.appScale,
		"/apps/{guid}/environment":       d.appEnvironment,
		"/apps/{guid}/routes":            d.appRoutes,
		"/apps/{guid}/services":          d.appServices,
		"/apps/{guid}/tasks":             d.appTasks,
		"/apps/{guid}/events":            d.appEvents,
		"/apps/{guid}/push":              d.appPush,
	}
}

// appHead is what each tab of an app begins with.
type appHead struct {
	frame
	GUID, Name, Wanted, API string
	Place                   place
	State                   state
	Counts                  []string
	Tabs                    []navItem

	app       *capi.App
	processes []capi.Process
}

var appTabs = []navItem{
	{Href: "", Text: "Overview"}, {Href: "/logs", Text: "Logs"}, {Href: "/deployments", Text: "Deployments"}, {Href: "/scale", Text: "Scale"},
	{Href: "/environment", Text: "Environment"}, {Href: "/routes", Text: "Routes"}, {Href: "/services", Text: "Services"},
	{Href: "/tasks", Text: "Tasks"}, {Href: "/events", Text: "Events"}, {Href: "/push", Text: "Push"},
}

// readHead reads the app and its processes. It fails where the app can't be seen.
func (d *Dashboard) readHead(ctx context.Context, q *ask, tab string, h *appHead) error {
	app, err := q.c.App(ctx, q.guid())
	if err != nil {
		return err
	}
	h.app, h.GUID, h.Name, h.Wanted, h.API = app, app.GUID, app.Name, app.State, d.apiURL
	h.Title, h.Section, h.Live = app.Name, "/apps", true
	h.Tabs = slices.Clone(appTabs)
	for i := range h.Tabs {
		h.Tabs[i].Current = h.Tabs[i].Href == tab
		h.Tabs[i].Href = "/apps/" + app.GUID + h.Tabs[i].Href
	}
	p, err := readPlace(ctx, q.c, app.Relationships.Space.GUID())
	if err != nil {
		return err
	}
	h.Place = *p
	if h.processes, err = appProcesses(ctx, q.c, app.GUID); err != nil {
		return err
	}
	h.State, h.Counts = appState(app.State, h.processes)
	return nil
}

func appProcesses(ctx context.Context, c *capi.Client, guid string) ([]capi.Process, error) {
	list, err := onePage[capi.Process](ctx, c, "/v3/apps/"+guid+"/processes", capi.Filter{"embed": {"process_instances"}, "per_page": {"50"}})
	if err != nil {
		return nil, err
	}
	return list.Resources, nil
}

// appView is the first tab. Each Broken sentence says why its part is missing.
type appView struct {
	appHead
	matter
	Instances  instances
	Requests   *requestsView
	Charts     []chartView
	Routes     []link
	Droplet    *dropletView
	Build      *buildRow // the last one, when it is not simply done
	Deployment *deploymentView
	Events     []eventRow

	BrokenCauses, BrokenRoutes, BrokenDroplet, BrokenEvents string
}

// cause is why an app does not serve, as whole sentences.
type cause struct{ Text, Do, Command string }

// dropletView is what the app runs.
type dropletView struct {
	GUID       string
	Made       time.Time
	Stack      string
	Image      string
	Buildpacks []string
}

func (d *Dashboard) appOverview(ctx context.Context, q *ask) (screen, error) {
	v := appView{}
	if err := d.readHead(ctx, q, "", &v.appHead); err != nil {
		return screen{}, err
	}
	var wg sync.WaitGroup
	wg.Go(func() { v.BrokenCauses = broken(v.matter.read(ctx, q.c, v.GUID)) })
	wg.Go(func() { v.Instances = d.readStats(ctx, q.c, v.app, v.processes) })
	wg.Go(func() { v.Requests = readRequests(ctx, q.c, v.GUID) })
	var seen figures
	wg.Go(func() { seen = d.appFigures(ctx, q, v.GUID) })
	wg.Go(func() { v.BrokenRoutes = broken(d.readRoutes(ctx, q.c, &v)) })
	wg.Go(func() { v.BrokenDroplet = broken(readDroplet(ctx, q.c, &v)) })
	wg.Go(func() {
		var err error
		v.Events, err = readChanges(ctx, q.c, capi.Filter{"target_guids": {v.GUID}}, 6)
		v.BrokenEvents = broken(err)
	})
	wg.Wait()
	v.Charts = seen.views
	v.Instances.count(seen.requests)
	return screen{"app-overview", &v}, nil
}

// matter is why an app does not serve.
type matter struct {
	Causes []cause
	Said   []string // the app's last lines, where a cause asks for them
}

// read asks the API. Causes of the kinds in but are left out.
func (m *matter) read(ctx context.Context, c *capi.Client, guid string, but ...string) error {
	all, err := capi.Get[capi.Causes](ctx, c, "/v3/apps/"+guid+"/causes")
	if err != nil {
		return err
	}
	for _, one := range all.Resources {
		if slices.Contains(but, one.Kind) {
			continue
		}
		do := one.Do
		if one.Command != "" {
			do += ":"
		}
		m.Causes = append(m.Causes, cause{sentence(errors.New(plainText([]byte(one.Text)))), upper(do), one.Command})
	}
	for _, line := range all.Said {
		m.Said = append(m.Said, plainText([]byte(line)))
	}
	return nil
}

func (d *Dashboard) readRoutes(ctx context.Context, c *capi.Client, v *appView) error {
	list, err := onePage[capi.Route](ctx, c, "/v3/apps/"+v.GUID+"/routes", capi.Filter{"per_page": {"100"}})
	if err != nil {
		return err
	}
	for _, r := range list.Resources {
		v.Routes = append(v.Routes, link{r.URL, d.routeURL(r.Protocol, r.URL)})
	}
	return nil
}

// readDroplet reads what the app runs, and whether something new is on its way.
func readDroplet(ctx context.Context, c *capi.Client, v *appView) error {
	newest := capi.Filter{"order_by": {"-created_at"}, "per_page": {"1"}}
	builds, err := onePage[capi.Build](ctx, c, "/v3/apps/"+v.GUID+"/builds", newest)
	if err != nil {
		return err
	}
	if len(builds.Resources) == 1 {
		b := builds.Resources[0]
		if b.State != "STAGED" {
			v.Build = &buildRow{GUID: b.GUID, State: buildState(b.State), Began: b.CreatedAt.Time, Error: text(b.Error)}
		}
	}
	if v.Deployment, err = activeDeployment(ctx, c, v.GUID, v.processes); err != nil {
		return err
	}
	droplet, err := c.CurrentDroplet(ctx, v.GUID)
	if errors.Is(err, capi.ResourceNotFound) {
		return nil
	}
	if err != nil {
		return err
	}
	v.Droplet = showDroplet(droplet)
	return nil
}

func showDroplet(droplet *capi.Droplet) *dropletView {
	out := &dropletView{GUID: droplet.GUID, Made: droplet.CreatedAt.Time, Stack: text(droplet.Stack)}
	if droplet.Image != nil {
		out.Image = *droplet.Image
	}
	if droplet.Buildpacks == nil {
		return out
	}
	for _, b := range *droplet.Buildpacks {
		name := b.Name
		if b.BuildpackName != nil && *b.BuildpackName != "" {
			name = *b.BuildpackName
		}
		if b.Version != nil && *b.Version != "" {
			name += " " + *b.Version
		}
		out.Buildpacks = append(out.Buildpacks, name)
	}
	return out
}

// requestsView is what the router has seen of an app in the last minute.
type requestsView struct {
	Rate, P50, P95, Errors string
	Bad                    bool // more than one in a hundred failed
	InFlight               int
}

func readRequests(ctx context.Context, c *capi.Client, guid string) *requestsView {
	s, err := capi.Get[capi.RequestStats](ctx, c, "/v3/apps/"+guid+"/request_stats")
	if err != nil {
		return nil
	}
	v := &requestsView{Rate: rate(s.RequestsPerSecond), P50: "–", P95: "–", Errors: "–", InFlight: s.InFlight}
	if s.Requests > 0 {
		share := float64(s.Status["5xx"]) / float64(s.Requests) * 100
		v.P50, v.P95, v.Errors, v.Bad = milliseconds(s.LatencyMS["p50"]), milliseconds(s.LatencyMS["p95"]), decimals(share, 1)+" %", share > 1
	}
	return v
}
