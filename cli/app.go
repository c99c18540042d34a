package cli

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/urfave/cli/v2"
	"golang.org/x/sync/errgroup"

	"github.com/cupola-paas/cupola/cli/ui"
	"github.com/cupola-paas/cupola/controller/capi"
)

// appDetails is what `app` shows; with --json it is printed as it is, and its names stay.
type appDetails struct {
	App        *capi.App                 `json:"app"`
	Processes  []capi.Process            `json:"processes"`
	Stats      map[string][]capi.Stats   `json:"stats"`    // by GUID of the process
	Sidecars   map[string][]capi.Sidecar `json:"sidecars"` // by GUID of the process
	Routes     []capi.Route              `json:"routes"`
	Droplet    *capi.Droplet             `json:"droplet"`    // null before the first one is staged
	Deployment *capi.Deployment          `json:"deployment"` // null when none is active
}

func showApp(ctx context.Context, s *session, c *cli.Context) error {
	app, err := s.app(ctx, c.Args().First())
	if err != nil {
		return err
	}
	if c.Bool("guid") {
		s.ui.Println(app.GUID)
		return nil
	}
	details, err := s.details(ctx, app)
	if err != nil {
		return err
	}
	if c.Bool("json") {
		return s.ui.JSON(details)
	}
	s.ui.Notef("App %s in %s:", s.ui.Name(app.Name), s.ui.Name(s.where()))
	s.showDetails(details)
	return nil
}

// details asks for everything about an app at once.
func (s *session) details(ctx context.Context, app *capi.App) (*appDetails, error) {
	d := &appDetails{App: app, Stats: map[string][]capi.Stats{}, Sidecars: map[string][]capi.Sidecar{}, Processes: []capi.Process{}, Routes: []capi.Route{}}
	group, ctx := errgroup.WithContext(ctx)
	group.Go(func() (err error) { return s.processDetails(ctx, d) })
	group.Go(func() error {
		routes, err := s.client.AppRoutes(ctx, app.GUID)
		if len(routes) > 0 {
			d.Routes = routes
		}
		return err
	})
	group.Go(func() error {
		droplet, err := s.client.CurrentDroplet(ctx, app.GUID)
		if notFound(err) {
			return nil
		}
		d.Droplet = droplet
		return err
	})
	group.Go(func() error {
		active, err := s.activeDeployment(ctx, app.GUID)
		d.Deployment = active
		return err
	})
	return d, group.Wait()
}

// activeDeployment is the deployment that goes on for an app; nil when there is none.
func (s *session) activeDeployment(ctx context.Context, appGUID string) (*capi.Deployment, error) {
	all, err := s.client.Deployments(ctx, capi.Filter{"app_guids": {appGUID}, "status_values": {"ACTIVE"},
		"order_by": {"-created_at"}, "page": {"1"}, "per_page": {"1"}})
	if err != nil || len(all) == 0 {
		return nil, err
	}
	return &all[0], nil
}

func (s *session) processDetails(ctx context.Context, d *appDetails) error {
	processes, err := s.client.AppProcesses(ctx, d.App.GUID)
	if err != nil {
		return err
	}
	stats := make([][]capi.Stats, len(processes))
	sidecars := make([][]capi.Sidecar, len(processes))
	whole := slices.Clone(processes) // with the commands, which lists hide
	group, ctx := errgroup.WithContext(ctx)
	for i, p := range processes {
		group.Go(func() error {
			one, err := s.client.Process(ctx, p.GUID)
			if err == nil {
				whole[i] = *one
			}
			return ignoreGone(err)
		})
		group.Go(func() (err error) {
			stats[i], err = s.client.ProcessStats(ctx, p.GUID)
			return ignoreGone(err)
		})
	}
	for i, p := range processes {
		group.Go(func() (err error) {
			sidecars[i], err = capi.All[capi.Sidecar](ctx, s.client, "/v3/processes/"+p.GUID+"/sidecars", nil)
			return ignoreGone(err)
		})
	}
	if err := group.Wait(); err != nil {
		return err
	}
	for i, p := range processes {
		d.Sidecars[p.GUID] = append([]capi.Sidecar{}, sidecars[i]...)
		d.Stats[p.GUID] = append([]capi.Stats{}, stats[i]...)
	}
	slices.SortStableFunc(whole, func(a, b capi.Process) int { return webFirst(a.Type, b.Type) })
	d.Processes = append(d.Processes, whole...)
	return nil
}

// ignoreGone forgives that something went away between two requests, such as a process by a deployment, and that
// the platform does not know such a thing at all.
func ignoreGone(err error) error {
	if notFound(err) || errors.Is(err, capi.UnknownRequest) {
		return nil
	}
	return err
}

func (s *session) showDetails(d *appDetails) {
	fields := [][2]string{
		{"name", s.ui.Name(d.App.Name)},
		{"requested state", s.state(d.App.State)},
		{"urls", joinNames(d.Routes, func(r capi.Route) string { return s.routeURL(r) })},
	}
	if d.Droplet != nil {
		fields = append(fields, [2]string{"last uploaded", ui.Time(d.Droplet.CreatedAt.Time)})
		if d.Droplet.Stack != nil {
			fields = append(fields, [2]string{"stack", *d.Droplet.Stack})
		}
		if d.Droplet.Buildpacks != nil {
			fields = append(fields, [2]string{"buildpacks", joinNames(*d.Droplet.Buildpacks, buildpackLabel)})
		}
	}
	if d.Deployment != nil {
		status := d.Deployment.Status
		fields = append(fields, [2]string{"deployment", fmt.Sprintf("%s, %s (%s)", d.Deployment.Strategy, strings.ToLower(status.Reason), strings.ToLower(status.Value))})
	}
	s.fields(fields)
	for _, p := range d.Processes {
		s.showProcess(d.App, p, d.Stats[p.GUID], d.Sidecars[p.GUID])
	}
}

func buildpackLabel(b capi.DropletBuildpack) string {
	if b.Version != nil && *b.Version != "" {
		return b.Name + " " + *b.Version
	}
	return b.Name
}

func (s *session) showProcess(app *capi.App, p capi.Process, stats []capi.Stats, sidecars []capi.Sidecar) {
	running := 0
	for _, i := range stats {
		if i.State == "RUNNING" {
			running++
		}
	}
	s.ui.Println()
	s.ui.Printf("%s  %d/%d running, memory %s, disk %s\n", s.ui.Bold(p.Type), running, p.Instances, ui.Megabytes(p.MemoryInMB), ui.Megabytes(p.DiskInMB))
	if p.Command != nil && *p.Command != "" && *p.Command != capi.Hidden {
		s.ui.Printf("command: %s\n", ui.Clean(*p.Command))
	}
	if len(sidecars) > 0 {
		s.ui.Printf("sidecars: %s\n", joinNames(sidecars, func(one capi.Sidecar) string { return ui.Clean(one.Name) }))
	}
	if len(stats) == 0 || app.State == "STOPPED" {
		return
	}
	rows := [][]string{{"", "state", "since", "cpu", "memory", "disk", "details"}}
	for _, i := range stats {
		rows = append(rows, s.instanceRow(i))
	}
	s.ui.Printf("%s", ui.Columns(rows))
}

func (s *session) instanceRow(i capi.Stats) []string {
	row := []string{fmt.Sprintf("#%d", i.Index), s.state(i.State), "", "", "", "", ""}
	if i.State == "RUNNING" || i.Uptime > 0 { // an uptime of 0 is an instance that has just come up
		row[2] = ui.Time(time.Now().Add(-time.Duration(i.Uptime) * time.Second))
	}
	if i.Usage != nil && i.State != "DOWN" {
		row[3] = fmt.Sprintf("%.1f%%", i.Usage.CPU*100)
		row[4] = ui.Bytes(i.Usage.Mem) + " of " + ui.Bytes(i.MemQuota)
		row[5] = ui.Bytes(i.Usage.Disk) + " of " + ui.Bytes(i.DiskQuota)
	}
	if i.Details != nil {
		row[6] = *i.Details
	}
	return row
}
