package cli

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/urfave/cli/v2"
	"golang.org/x/sync/errgroup"

	"github.com/cupola-paas/cupola/cli/ui"
	"github.com/cupola-paas/cupola/controller/capi"
	"github.com/cupola-paas/cupola/controller/capi/explain"
)

func (k *console) explainCommands() []*cli.Command {
	return []*cli.Command{
		k.command(spec{name: "explain", category: appCategory, summary: "say in plain words what an app is, whether it runs, and what to do when it does not", args: "APP_NAME", min: 1, max: 1,
			need: aSpace, run: explainApp,
			api: []string{"GET /v3/apps", "GET /v3/apps/:guid/processes", "GET /v3/processes/:guid", "GET /v3/processes/:guid/stats", "GET /v3/processes/:guid/sidecars", "GET /v3/apps/:guid/routes",
				"GET /v3/apps/:guid/droplets/current", "GET /v3/apps/:guid/causes", "GET /v3/deployments", "GET /v3/builds", "GET /v3/packages", "GET /v3/audit_events", "log-cache GET /api/v1/read/:guid"}}),
		k.command(spec{name: "open", category: appCategory, summary: "open an app in the browser", args: "APP_NAME", min: 1, max: 1,
			flags: []cli.Flag{&cli.StringFlag{Name: "path", Usage: "`PATH` to open"}, &cli.BoolFlag{Name: "url", Usage: "print the address and open nothing"}},
			need:  aSpace, run: openApp, api: []string{"GET /v3/apps", "GET /v3/apps/:guid/routes"}}),
	}
}

// explanation is all that is known of an app; --json prints it.
type explanation struct {
	*appDetails
	Build   *capi.Build       `json:"last_build"`   // null when there is none
	Package *capi.Package     `json:"last_package"` // null when there is none
	Crashes []capi.AuditEvent `json:"crashes"`      // the newest first
	Log     []logged          `json:"log"`          // the last lines of the app itself
	Causes  []explain.Cause   `json:"causes"`       // why it does not serve, for programs; empty: it does
	Verdict []string          `json:"verdict"`      // why it does not serve; empty: it does
	Todo    []string          `json:"todo"`         // what to do about it
}

const (
	explainedCrashes = 5
	explainedLines   = 10
)

func explainApp(ctx context.Context, s *session, c *cli.Context) error {
	app, err := s.app(ctx, c.Args().First())
	if err != nil {
		return err
	}
	e, err := s.gather(ctx, app)
	if err != nil {
		return err
	}
	if err := e.judge(ctx, s); err != nil {
		return err
	}
	if s.ui.WantsJSON() {
		return s.ui.JSON(e)
	}
	s.tell(e)
	return nil
}

func (s *session) gather(ctx context.Context, app *capi.App) (*explanation, error) {
	e := &explanation{Causes: []explain.Cause{}, Crashes: []capi.AuditEvent{}, Log: []logged{}, Verdict: []string{}, Todo: []string{}}
	newest := capi.Filter{"app_guids": {app.GUID}, "order_by": {"-created_at"}}
	group, ctx := errgroup.WithContext(ctx)
	group.Go(func() (err error) { e.appDetails, err = s.details(ctx, app); return err })
	group.Go(func() error {
		build, err := capi.First[capi.Build](ctx, s.client, "/v3/builds", newest, "Build")
		if err == nil {
			e.Build = build
		}
		return ignoreGone(err)
	})
	group.Go(func() error {
		pkg, err := capi.First[capi.Package](ctx, s.client, "/v3/packages", newest, "Package")
		if err == nil {
			e.Package = pkg
		}
		return ignoreGone(err)
	})
	group.Go(func() error {
		for page, err := range capi.Pages[capi.AuditEvent](ctx, s.client, "/v3/audit_events", capi.Filter{"target_guids": {app.GUID},
			"types": {"audit.app.process.crash"}, "order_by": {"-created_at"}, "per_page": {fmt.Sprint(explainedCrashes)}}) {
			if err != nil {
				return ignoreGone(err)
			}
			e.Crashes = append(e.Crashes, page.Resources...)
			break
		}
		return nil
	})
	group.Go(func() error {
		recent, err := s.client.RecentLogs(ctx, app.GUID)
		if err != nil {
			s.ui.Warnf("the log can't be read: %v", err)
			return nil
		}
		for _, line := range recent {
			if line.Log != nil && strings.HasPrefix(line.Tags["source_type"], "APP") {
				e.Log = append(e.Log, logLine(line))
			}
		}
		e.Log = e.Log[max(0, len(e.Log)-explainedLines):]
		return nil
	})
	return e, group.Wait()
}

// judge asks why the app does not serve. Other Cloud Foundries can't tell: there it is found out here, by the same rules.
func (e *explanation) judge(ctx context.Context, s *session) error {
	got, err := capi.Get[capi.Causes](ctx, s.client, "/v3/apps/"+e.App.GUID+"/causes")
	switch {
	case err == nil:
		e.Causes = got.Resources
	case ignoreGone(err) == nil:
		e.judgeHere()
	default:
		return err
	}
	for _, c := range e.Causes {
		e.Verdict = append(e.Verdict, ui.Clean(c.Text))
		if todo := explain.Todo(c); !slices.Contains(e.Todo, todo) {
			e.Todo = append(e.Todo, todo)
		}
	}
	return nil
}

func (e *explanation) judgeHere() {
	f := explain.Facts{App: e.App, Processes: e.Processes, Stats: e.Stats, Routes: e.Routes, Droplet: e.Droplet, Build: e.Build, Package: e.Package, Crashes: e.Crashes}
	for _, line := range e.Log {
		f.Said = append(f.Said, line.Text)
	}
	e.Causes = explain.Why(f)
}

// tell shows an explanation.
func (s *session) tell(e *explanation) {
	s.ui.Println(s.ui.Bold(ui.Clean(e.App.Name)) + " " + e.whatItIs() + ".")
	for _, p := range e.Processes {
		s.ui.Println("  " + s.processSentence(p, e.Stats[p.GUID]))
	}
	if len(e.Routes) > 0 {
		s.ui.Println("It is reached at " + joinNames(e.Routes, func(r capi.Route) string { return s.ui.Name(s.routeURL(r)) }) + ".")
	}
	if e.Deployment != nil {
		s.ui.Println("A deployment goes on: " + e.Deployment.Strategy + ", " + strings.ToLower(e.Deployment.Status.Reason) + ".")
	}
	s.ui.Println()
	if len(e.Verdict) == 0 {
		s.ui.Println(s.ui.Good("All is well: ") + "every instance runs and passes its health check.")
		return
	}
	for i, reason := range e.Verdict {
		label := s.ui.Bad("Why: ")
		if i > 0 {
			label = "     "
		}
		s.ui.Println(label + full(sentence(ui.Clean(reason))))
	}
	s.tellCrashes(e)
	for i, todo := range e.Todo {
		label := s.ui.Good("Do:  ")
		if i > 0 {
			label = "     "
		}
		s.ui.Println(label + full(sentence(todo)))
	}
}

// full ends a sentence that does not end by itself.
func full(text string) string {
	if strings.HasSuffix(text, "?") || strings.HasSuffix(text, ".") {
		return text
	}
	return text + "."
}

// tellCrashes shows the last crash and what was said before, where crashes are the matter.
func (s *session) tellCrashes(e *explanation) {
	if e.App.State == "STOPPED" || len(e.Crashes) == 0 || !slices.ContainsFunc(e.Verdict, func(v string) bool { return strings.Contains(v, "crashed") }) {
		return
	}
	last := e.Crashes[0]
	s.ui.Printf("     Last crash: %s (%s ago), instance %v, %s\n", ui.Time(last.CreatedAt.Time), ago(time.Since(last.CreatedAt.Time)),
		last.Data["index"], ui.Clean(fmt.Sprint(last.Data["exit_description"])))
	if len(e.Log) > 0 {
		s.ui.Println("     What it said last:")
		for _, line := range e.Log {
			s.ui.Println("       " + ui.Clean(line.Text))
		}
	}
}

// whatItIs is such as: is an app of 2 processes, staged with nodejs 20 on cupola.
func (e *explanation) whatItIs() string {
	text := "is an app without a droplet"
	switch d := e.Droplet; {
	case d == nil:
	case d.Image != nil && *d.Image != "":
		text = "runs the image " + ui.Clean(*d.Image)
	case d.Buildpacks != nil && len(*d.Buildpacks) > 0:
		text = "is staged with " + joinNames(*d.Buildpacks, buildpackLabel)
	default:
		text = "is staged"
	}
	if d := e.Droplet; d != nil {
		if d.Stack != nil && *d.Stack != "" {
			text += " on " + *d.Stack
		}
		text += ", " + ago(time.Since(d.CreatedAt.Time)) + " ago"
	}
	return text + ", and wanted " + strings.ToLower(e.App.State)
}

func (s *session) processSentence(p capi.Process, stats []capi.Stats) string {
	n := tally(stats)
	text := fmt.Sprintf("%s: %d of %d instances run, each with %s of memory; health check: %s", s.ui.Name(p.Type), n["RUNNING"], p.Instances, ui.Megabytes(p.MemoryInMB), explain.CheckWords(p))
	if p.Command != nil && *p.Command != "" && *p.Command != capi.Hidden {
		text += "; command: " + ui.Clean(*p.Command)
	}
	return text
}

// ago is a duration as people say it: 5m, 3h, 2d.
func ago(d time.Duration) string {
	switch {
	case d < time.Minute:
		return fmt.Sprintf("%ds", max(0, int(d.Seconds())))
	case d < time.Hour:
		return fmt.Sprintf("%dm", int(d.Minutes()))
	case d < 48*time.Hour:
		return fmt.Sprintf("%dh", int(d.Hours()))
	}
	return fmt.Sprintf("%dd", int(d.Hours()/24))
}
