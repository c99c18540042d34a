package dashboard

import (
	"context"
	"errors"
	"slices"
	"strings"

	"github.com/cupola-paas/cupola/controller/capi"
)

// buildPages are those of builds and what builds are made with.
func (d *Dashboard) buildPages() map[string]reader {
	return map[string]reader{"/builds": d.builds, "/builds/{guid}": d.buildPage, "/buildpacks": d.buildpacksPage, "/stacks/{guid}": d.stackPage}
}

func (d *Dashboard) buildActions() map[string]writer {
	return map[string]writer{"/builds/{guid}/cancel": d.cancelBuild, "/buildpacks/{guid}": d.changeBuildpack,
		"/stacks/{guid}/refresh": d.refreshStack, "/stacks/{guid}/patch": d.patchApps}
}

// buildsView is the queue of builds, and those before.
type buildsView struct {
	frame
	Builds []buildRow
	Pager  pager
	Show   string
}

func (d *Dashboard) builds(ctx context.Context, q *ask) (screen, error) {
	v := buildsView{Show: q.query("show")}
	f := paged(q.r, "page").With("order_by", "-created_at")
	if slices.Contains([]string{"STAGING", "FAILED", "STAGED"}, v.Show) {
		f = f.With("states", v.Show)
	}
	list, err := onePage[capi.Build](ctx, q.c, "/v3/builds", f)
	if err != nil {
		return screen{}, err
	}
	v.Pager = newPager(q.r, "page", "build", f, list.Pagination)
	if v.Builds, err = buildRows(ctx, q.c, list.Resources); err != nil {
		return screen{}, err
	}
	v.Title, v.Section, v.Live = "Builds", "/builds", true
	return screen{"builds", &v}, nil
}

// buildView is the page of one build, with its log.
type buildView struct {
	frame
	Build   buildRow
	MB      int
	Stack   string
	Droplet string
	Lines   []logLine
	After   string
	Running bool
	Phases  []phaseRow
}

// phaseRow is a part of a build with its time.
type phaseRow struct {
	Name string
	Took meter
}

// readPhases reads what a build took its time for.
func (v *buildView) readPhases(ctx context.Context, c *capi.Client, guid string) error {
	list, err := onePage[capi.BuildPhase](ctx, c, "/v3/builds/"+guid+"/phases", capi.Filter{"per_page": {"100"}})
	if err != nil {
		return err
	}
	var longest int64
	for _, p := range list.Resources {
		longest = max(longest, p.Milliseconds)
	}
	for _, p := range list.Resources {
		v.Phases = append(v.Phases, phaseRow{p.Name, meter{percent(p.Milliseconds, longest), "Time of " + p.Name, milliseconds(float64(p.Milliseconds))}})
	}
	return nil
}

func (d *Dashboard) buildPage(ctx context.Context, q *ask) (screen, error) {
	b, err := q.c.Build(ctx, q.guid())
	if err != nil {
		return screen{}, err
	}
	rows, err := buildRows(ctx, q.c, []capi.Build{*b})
	if err != nil {
		return screen{}, err
	}
	v := buildView{Build: rows[0], MB: b.StagingMemoryMB, Stack: b.Lifecycle.Data.Stack, Droplet: string(b.Droplet), Running: b.State == "STAGING", After: "0"}
	if b.Error != nil {
		v.Build.Error = *b.Error
	}
	until := capi.LogQuery{Start: b.CreatedAt.Time, Limit: 1000, Types: []string{"LOG"}}
	if !v.Running {
		until.End = b.UpdatedAt.Time.Add(2_000_000_000)
	}
	batch, err := q.c.ReadLogs(ctx, v.Build.AppGUID, until)
	if err != nil && statusOf(err) >= 500 {
		return screen{}, err
	}
	if err := v.readPhases(ctx, q.c, b.GUID); err != nil {
		return screen{}, err
	}
	lines, after := showLogs(batch, "0")
	v.After = after
	for _, l := range lines {
		if strings.HasPrefix(l.Source, "STG") {
			v.Lines = append(v.Lines, l)
		}
	}
	v.Title, v.Section, v.Live = "Build of "+v.Build.App, "/builds", true
	return screen{"build", &v}, nil
}

func (d *Dashboard) cancelBuild(ctx context.Context, q *ask) (string, string, error) {
	return "The build is being cancelled.", "/builds/" + q.guid(), q.c.CancelBuild(ctx, q.guid())
}

// buildpacksView is the page of what apps are built with and on.
type buildpacksView struct {
	frame
	Buildpacks []buildpackRow
	Stacks     []stackRow
	Pager      pager
}

type buildpackRow struct {
	GUID                   string
	Position               int
	Name, Stack, Lifecycle string
	State                  state
	Enabled, Locked        bool
}

type stackRow struct {
	GUID, Name, Description string
	State                   state
	Default                 bool
	Apps                    int
}

func (d *Dashboard) buildpacksPage(ctx context.Context, q *ask) (screen, error) {
	f := paged(q.r, "page")
	list, err := onePage[capi.Buildpack](ctx, q.c, "/v3/buildpacks", f)
	if err != nil {
		return screen{}, err
	}
	stacks, err := onePage[capi.Stack](ctx, q.c, "/v3/stacks", capi.Filter{"per_page": {"50"}})
	if err != nil {
		return screen{}, err
	}
	v := buildpacksView{Pager: newPager(q.r, "page", "buildpack", f, list.Pagination)}
	for _, b := range list.Resources {
		v.Buildpacks = append(v.Buildpacks, buildpackRow{
			GUID: b.GUID, Position: b.Position, Name: b.Name, Stack: text(b.Stack), Lifecycle: b.Lifecycle, State: buildpackState(b), Enabled: b.Enabled, Locked: b.Locked,
		})
	}
	for _, one := range stacks.Resources {
		row := showStack(one)
		apps, err := onePage[capi.App](ctx, q.c, "/v3/apps", capi.Filter{"stacks": {one.Name}, "per_page": {"1"}})
		if err != nil {
			return screen{}, err
		}
		row.Apps = apps.Pagination.TotalResults
		v.Stacks = append(v.Stacks, row)
	}
	v.Title, v.Section, v.Live = "Buildpacks and stacks", "/buildpacks", true
	return screen{"buildpacks", &v}, nil
}

func showStack(one capi.Stack) stackRow {
	row := stackRow{GUID: one.GUID, Name: one.Name, Description: text(one.Description), Default: one.Default, State: state{toneOK, "active"}}
	if one.State != "" && one.State != "ACTIVE" {
		row.State = state{toneWait, strings.ToLower(one.State)}
	}
	return row
}

func buildpackState(b capi.Buildpack) state {
	switch {
	case b.State != "READY":
		return state{toneWait, "awaiting upload"}
	case !b.Enabled:
		return state{toneOff, "disabled"}
	case b.Locked:
		return state{toneOK, "ready, locked"}
	}
	return state{toneOK, "ready"}
}

// stackView is the page of one stack: which apps run on it.
type stackView struct {
	frame
	Stack stackRow
	Apps  []appRow
	Pager pager

	Run                  string // the run image that apps should stand on
	Old                  []oldRow
	OldPager             pager
	OldAll               int
	Patching, Refreshing string // how far that is; empty: it does not go on
}

func (d *Dashboard) stackPage(ctx context.Context, q *ask) (screen, error) {
	one, err := capi.Get[capi.Stack](ctx, q.c, "/v3/stacks/"+q.guid())
	if err != nil {
		return screen{}, err
	}
	v := stackView{Stack: showStack(*one), Run: one.RunRootfsImage}
	if err := v.readPatch(ctx, q); err != nil {
		return screen{}, err
	}
	f := paged(q.r, "page").With("stacks", one.Name).With("order_by", "name").With("include", "space.organization")
	list, err := onePage[capi.App](ctx, q.c, "/v3/apps", f)
	if err != nil {
		return screen{}, err
	}
	v.Pager = newPager(q.r, "page", "app", f, list.Pagination)
	if v.Apps, err = d.appRows(ctx, q.c, list); err != nil {
		return screen{}, err
	}
	v.Title, v.Section, v.Live = "Stack "+one.Name, "/buildpacks", true
	return screen{"stack", &v}, nil
}

func (d *Dashboard) changeBuildpack(ctx context.Context, q *ask) (string, string, error) {
	in, yes, no := capi.BuildpackUpdate{}, true, false
	done := ""
	switch q.form("do") {
	case "enable":
		in.Enabled, done = &yes, "The buildpack is enabled."
	case "disable":
		in.Enabled, done = &no, "The buildpack is disabled: builds no longer ask it."
	case "lock":
		in.Locked, done = &yes, "The buildpack is locked."
	case "unlock":
		in.Locked, done = &no, "The buildpack is unlocked."
	case "first":
		first := capi.Int(1)
		in.Position, done = &first, "The buildpack is asked first now."
	default:
		return "", "", errors.Join(errNoPage)
	}
	return done, "/buildpacks", q.c.Act(ctx, "PATCH", "/v3/buildpacks/"+q.guid(), in)
}
