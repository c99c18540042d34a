package cli

import (
	"context"
	"fmt"
	"slices"
	"strconv"
	"time"

	"github.com/urfave/cli/v2"

	"github.com/cupola-paas/cupola/cli/ui"
	"github.com/cupola-paas/cupola/controller/capi"
)

func (k *console) revisionCommands() []*cli.Command {
	version := &cli.IntFlag{Name: "version", Usage: "`NUMBER` of the revision"}
	return []*cli.Command{
		k.command(spec{name: "revisions", category: appCategory, summary: "list the revisions of an app: what it was at its starts", args: "APP_NAME", min: 1, max: 1, need: aSpace,
			run: revisions, api: []string{"GET /v3/apps", "GET /v3/apps/:guid/revisions", "GET /v3/apps/:guid/revisions/deployed", "GET /v3/apps/:guid/features/revisions"}}),
		k.command(spec{name: "revision", category: appCategory, summary: "show a revision of an app", args: "APP_NAME", min: 1, max: 1,
			flags: []cli.Flag{&cli.IntFlag{Name: "version", Usage: "`NUMBER` of the revision (default: the one that runs)"}}, need: aSpace,
			run: revision, api: []string{"GET /v3/apps", "GET /v3/apps/:guid/revisions", "GET /v3/apps/:guid/revisions/deployed", "GET /v3/revisions/:guid/environment_variables"}}),
		k.command(spec{name: "rollback", category: appCategory, summary: "deploy an earlier revision of an app", args: "APP_NAME", min: 1, max: 1,
			details:  "Without --version it is the newest revision before the one that runs. A rollback makes a new revision.",
			examples: []string{"cupola rollback my-app", "cupola rollback my-app --version 3 -f"},
			flags:    slices.Concat([]cli.Flag{version, forceFlag}, strategyFlags("rolling")), need: aSpace, run: rollback,
			api: []string{"GET /v3/apps", "GET /v3/apps/:guid/revisions", "GET /v3/apps/:guid/revisions/deployed", "POST /v3/deployments", "GET /v3/deployments/:guid", "GET /v3/processes/:guid/stats"}}),
	}
}

func (s *session) revisionsOf(ctx context.Context, app *capi.App, f capi.Filter) ([]capi.Revision, error) {
	return capi.All[capi.Revision](ctx, s.client, "/v3/apps/"+app.GUID+"/revisions", f)
}

// deployed are the revisions that an app's instances are of; several during a deployment.
func (s *session) deployed(ctx context.Context, app *capi.App) ([]capi.Revision, error) {
	return capi.All[capi.Revision](ctx, s.client, "/v3/apps/"+app.GUID+"/revisions/deployed", nil)
}

func hasRevision(all []capi.Revision, one capi.Revision) bool {
	return slices.ContainsFunc(all, func(r capi.Revision) bool { return r.GUID == one.GUID })
}

func revisions(ctx context.Context, s *session, c *cli.Context) error {
	app, err := s.app(ctx, c.Args().First())
	if err != nil {
		return err
	}
	all, err := s.revisionsOf(ctx, app, capi.Filter{"order_by": {"-created_at"}})
	if err != nil {
		return err
	}
	deployed, err := s.deployed(ctx, app)
	if err != nil {
		return err
	}
	feature, err := capi.Get[capi.AppFeature](ctx, s.client, "/v3/apps/"+app.GUID+"/features/revisions")
	if err == nil && !feature.Enabled {
		s.ui.Warnf("revisions are off for this app: new ones are not made")
	}
	if len(deployed) > 1 {
		s.ui.Notef("Instances of %d revisions run now; a deployment goes on.", len(deployed))
	}
	return list(s, c, all, "App "+app.Name+" has no revision yet.", []string{"revision", "description", "deployable", "guid", "created"}, func(r capi.Revision) []string {
		version := strconv.Itoa(r.Version)
		if hasRevision(deployed, r) {
			version += " (deployed)"
		}
		return []string{version, r.Description, yes(r.Deployable), r.GUID, ui.Time(r.CreatedAt.Time)}
	})
}

// revisionOf is the revision with a version.
func (s *session) revisionOf(ctx context.Context, app *capi.App, version int) (*capi.Revision, error) {
	found, err := s.revisionsOf(ctx, app, capi.Filter{"versions": {strconv.Itoa(version)}})
	if err != nil {
		return nil, err
	}
	if len(found) == 0 {
		return nil, withHint(fmt.Errorf("app %s has no revision %d", quote(app.Name), version), "see: cupola revisions %s", app.Name)
	}
	return &found[0], nil
}

func revision(ctx context.Context, s *session, c *cli.Context) error {
	app, err := s.app(ctx, c.Args().First())
	if err != nil {
		return err
	}
	deployed, err := s.deployed(ctx, app)
	if err != nil {
		return err
	}
	shown := deployed
	if c.IsSet("version") {
		r, err := s.revisionOf(ctx, app, c.Int("version"))
		if err != nil {
			return err
		}
		shown = []capi.Revision{*r}
	}
	if s.ui.WantsJSON() {
		return s.ui.JSON(capi.Array[capi.Revision](shown))
	}
	if len(shown) == 0 {
		s.ui.Notef("No revision of %s runs.", s.ui.Name(app.Name))
	}
	for i, r := range shown {
		if i > 0 {
			s.ui.Println()
		}
		if err := s.showRevision(ctx, r, hasRevision(deployed, r)); err != nil {
			return err
		}
	}
	return nil
}

func (s *session) showRevision(ctx context.Context, r capi.Revision, deployed bool) error {
	env, err := capi.Get[capi.EnvVars](ctx, s.client, "/v3/revisions/"+r.GUID+"/environment_variables")
	if err != nil {
		return err
	}
	s.fields([][2]string{{"revision", strconv.Itoa(r.Version)}, {"deployed", yes(deployed)}, {"description", r.Description}, {"deployable", yes(r.Deployable)},
		{"guid", r.GUID}, {"droplet guid", r.Droplet.GUID}, {"created", ui.Time(r.CreatedAt.Time)}})
	var rows [][]string
	for kind, p := range r.Processes {
		rows = append(rows, []string{kind, text(p.Command)})
	}
	for _, sidecar := range r.Sidecars {
		rows = append(rows, []string{"sidecar " + sidecar.Name, sidecar.Command})
	}
	slices.SortFunc(rows, func(a, b []string) int { return webFirst(a[0], b[0]) })
	s.ui.Println()
	s.ui.Table("It has no process.", []string{"process", "command"}, rows)
	s.ui.Println()
	s.showEnv("Environment", env.Var, true)
	return nil
}

func rollback(ctx context.Context, s *session, c *cli.Context) error {
	plan, err := strategyOf(c)
	if err != nil {
		return err
	}
	if !plan.given {
		plan.name = "rolling"
	}
	if !plan.deploys() {
		return badUsage("a rollback is rolling or canary, not %s", quote(plan.name))
	}
	app, err := s.app(ctx, c.Args().First())
	if err != nil {
		return err
	}
	var to *capi.Revision
	if c.IsSet("version") {
		to, err = s.revisionOf(ctx, app, c.Int("version"))
	} else {
		to, err = s.revisionBefore(ctx, app)
	}
	if err != nil {
		return err
	}
	if !to.Deployable {
		return withHint(fmt.Errorf("the droplet of revision %d is no longer there", to.Version), "see: cupola revisions %s", app.Name)
	}
	if ok, err := s.sure(c, "Roll app %s back to revision %d (%s)?", quote(app.Name), to.Version, to.Description); !ok {
		return err
	}
	s.ui.Notef("Rolling %s back to revision %d (%s):", s.ui.Name(app.Name), to.Version, plan.name)
	in := capi.DeploymentCreate{Revision: &capi.DeploymentRevision{GUID: to.GUID}}
	if err := s.deployTo(ctx, app, in, plan, time.Now()); err != nil {
		return err
	}
	return s.showFinal(ctx, app)
}

// revisionBefore is the newest deployable revision that is older than all that run.
func (s *session) revisionBefore(ctx context.Context, app *capi.App) (*capi.Revision, error) {
	all, err := s.revisionsOf(ctx, app, capi.Filter{"order_by": {"-created_at"}})
	if err != nil {
		return nil, err
	}
	deployed, err := s.deployed(ctx, app)
	if err != nil {
		return nil, err
	}
	oldest := 0
	for _, r := range deployed {
		if oldest == 0 || r.Version < oldest {
			oldest = r.Version
		}
	}
	for _, r := range all {
		if r.Deployable && (oldest == 0 || r.Version < oldest) && !hasRevision(deployed, r) {
			return &r, nil
		}
	}
	return nil, withHint(fmt.Errorf("app %s has no earlier revision to go back to", quote(app.Name)), "see: cupola revisions %s", app.Name)
}
