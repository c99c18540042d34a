package dashboard

import (
	"context"
	"errors"
	"net/http"
	"sync"
	"time"

	"github.com/cupola-paas/cupola/controller/capi"
)

// appView is the page of one app. Each Broken sentence says why its part is missing.
type appView struct {
	frame
	GUID, Name, Wanted, API string
	Place                   place
	State                   state
	Counts                  []string
	Processes               []processRow
	Instances               instances
	Routes                  []link
	Droplet                 *dropletView
	Build                   *buildView // the last one, when it is not simply done
	Deploying               string
	Env                     envView
	Logs                    logsView
	Events                  []eventRow

	BrokenInstances, BrokenRoutes, BrokenDroplet, BrokenEvents string
}

type processRow struct {
	Type                string
	Instances, MemoryMB int
}

// dropletView is what the app runs.
type dropletView struct {
	Made       time.Time
	Stack      string
	Image      string
	Buildpacks []string
}

type buildView struct {
	State state
	Text  string
}

type eventRow struct {
	At         time.Time
	What, Whom string
}

func (d *Dashboard) appPage(w http.ResponseWriter, r *http.Request, s *session) error {
	return d.showApp(w, r, s, "")
}

// showApp shows the page with the environment values that reveal names (envAll: all of them).
func (d *Dashboard) showApp(w http.ResponseWriter, r *http.Request, s *session, reveal string) error {
	guid := r.PathValue("guid")
	if !guidGrammar.MatchString(guid) {
		return errNoPage
	}
	ctx, cancel := context.WithTimeout(r.Context(), callTimeout)
	defer cancel()
	app, err := s.client.App(ctx, guid)
	if err != nil {
		return err
	}
	v := appView{GUID: app.GUID, Name: app.Name, Wanted: app.State, API: d.apiURL}
	if err := d.readApp(ctx, s.client, app, &v, reveal); err != nil {
		return err
	}
	v.frame = newFrame(s, app.Name, "apps")
	d.render(w, http.StatusOK, "app", &v)
	return nil
}

// readApp fills the page; the parts are read side by side, and one that fails leaves the others be.
func (d *Dashboard) readApp(ctx context.Context, c *capi.Client, app *capi.App, v *appView, reveal string) error {
	var wg sync.WaitGroup
	var placeErr error
	wg.Go(func() {
		var p *place
		if p, placeErr = readPlace(ctx, c, app.Relationships.Space.GUID()); placeErr == nil {
			v.Place = *p
		}
	})
	wg.Go(func() { v.BrokenInstances = broken(d.readInstances(ctx, c, app, v)) })
	wg.Go(func() { v.BrokenRoutes = broken(d.readRoutes(ctx, c, app.GUID, v)) })
	wg.Go(func() { v.BrokenDroplet = broken(readDroplet(ctx, c, app.GUID, v)) })
	wg.Go(func() { v.BrokenEvents = broken(readEvents(ctx, c, app.GUID, v)) })
	wg.Go(func() { v.Env = readEnv(ctx, c, app.GUID, reveal) })
	wg.Go(func() { v.Logs = recentLogs(ctx, c, app.GUID) })
	wg.Wait()
	return placeErr
}

func (d *Dashboard) readInstances(ctx context.Context, c *capi.Client, app *capi.App, v *appView) error {
	processes, err := appProcesses(ctx, c, app.GUID)
	if err != nil {
		return err
	}
	v.State, v.Counts = appState(app.State, processes)
	for _, p := range processes {
		v.Processes = append(v.Processes, processRow{p.Type, p.Instances, p.MemoryInMB})
	}
	v.Instances = d.readStats(ctx, c, app, processes)
	return nil
}

func appProcesses(ctx context.Context, c *capi.Client, guid string) ([]capi.Process, error) {
	list, err := onePage[capi.Process](ctx, c, "/v3/apps/"+guid+"/processes", capi.Filter{"embed": {"process_instances"}, "per_page": {"50"}})
	if err != nil {
		return nil, err
	}
	return list.Resources, nil
}

func (d *Dashboard) readRoutes(ctx context.Context, c *capi.Client, guid string, v *appView) error {
	list, err := onePage[capi.Route](ctx, c, "/v3/apps/"+guid+"/routes", capi.Filter{"per_page": {"100"}})
	if err != nil {
		return err
	}
	for _, r := range list.Resources {
		v.Routes = append(v.Routes, link{r.URL, d.routeURL(r.Protocol, r.URL)})
	}
	return nil
}

// readDroplet reads what the app runs, and whether something new is on its way.
func readDroplet(ctx context.Context, c *capi.Client, guid string, v *appView) error {
	builds, err := onePage[capi.Build](ctx, c, "/v3/apps/"+guid+"/builds", capi.Filter{"order_by": {"-created_at"}, "per_page": {"1"}})
	if err != nil {
		return err
	}
	if len(builds.Resources) == 1 {
		v.Build = showBuild(builds.Resources[0])
	}
	active, err := onePage[capi.Deployment](ctx, c, "/v3/deployments", capi.Filter{"app_guids": {guid}, "status_values": {"ACTIVE"}, "per_page": {"1"}})
	if err != nil {
		return err
	}
	if len(active.Resources) == 1 {
		v.Deploying = active.Resources[0].Strategy
	}
	droplet, err := c.CurrentDroplet(ctx, guid)
	if errors.Is(err, capi.ResourceNotFound) {
		return nil
	}
	if err != nil {
		return err
	}
	v.Droplet = showDroplet(droplet)
	return nil
}

func showBuild(b capi.Build) *buildView {
	switch b.State {
	case "STAGING":
		return &buildView{state{toneWait, "staging"}, "A new droplet is being built."}
	case "FAILED":
		return &buildView{state{toneBad, "build failed"}, text(b.Error)}
	}
	return nil
}

func showDroplet(droplet *capi.Droplet) *dropletView {
	out := &dropletView{Made: droplet.CreatedAt.Time, Stack: text(droplet.Stack)}
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

func readEvents(ctx context.Context, c *capi.Client, guid string, v *appView) error {
	list, err := onePage[capi.AuditEvent](ctx, c, "/v3/audit_events",
		capi.Filter{"target_guids": {guid}, "order_by": {"-created_at"}, "per_page": {"20"}})
	if err != nil {
		return err
	}
	for _, e := range list.Resources {
		v.Events = append(v.Events, eventRow{e.CreatedAt.Time, e.Type, e.Actor.Name})
	}
	return nil
}
