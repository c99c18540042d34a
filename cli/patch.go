package cli

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/urfave/cli/v2"

	"github.com/cupola-paas/cupola/controller/capi"
)

func (k *console) patchCommands() []*cli.Command {
	return []*cli.Command{
		k.command(spec{name: "patch", category: catalogueCategory, summary: "put apps onto the newest OS packages, without a build", args: "[APP_NAME...]", max: -1,
			details: "An app's image stands on the run image of its stack. Where the stack has a newer one since, patch puts the app's own layers onto it and\n" +
				"replaces running instances one after another, so that no request fails; stopped apps take it at their next start. An app that does not\n" +
				"become healthy on it goes back to what ran before. Without names it is all apps of the space. It may be ended and given again.\n" +
				"With --services it is data services in place of apps: each is backed up, restarted on the newest image, and goes back on failure.",
			examples: []string{"cupola patch --plan", "cupola patch my-app", "cupola patch --refresh --everywhere", "cupola patch --services --everywhere"},
			flags: []cli.Flag{jsonFlag, &cli.BoolFlag{Name: "plan", Usage: "only list the apps that would be patched"},
				&cli.BoolFlag{Name: "everywhere", Usage: "the apps of all spaces that you see"},
				&cli.BoolFlag{Name: "refresh", Usage: "first assemble the stack again with the newest packages (admins)"},
				&cli.BoolFlag{Name: "services", Usage: "upgrade data services in place of apps; each does not answer for some seconds"},
				&cli.BoolFlag{Name: "keep-going", Usage: "go on with the next app when one fails"}},
			need: aLogin, run: patchApps, api: []string{"GET /v3/stacks", "POST /v3/stacks/:guid/actions/refresh", "GET /v3/stacks/:guid/apps", "GET /v3/apps/:guid/droplets/current",
				"POST /v3/droplets/:guid/actions/rebase", "POST /v3/deployments", "PATCH /v3/apps/:guid/relationships/current_droplet",
				"GET /v3/service_instances", "GET /v3/service_plans/:guid", "PATCH /v3/service_instances/:guid"}}),
	}
}

// turn is what became of one of many that were to be changed one after another.
type turn struct {
	GUID    string  `json:"guid"`
	Name    string  `json:"name"`
	Outcome string  `json:"outcome"` // planned, failed, or what was done
	Error   string  `json:"error,omitempty"`
	Seconds float64 `json:"seconds"`
}

func (t *turn) its() *turn { return t }

// inTurn changes one after another and notes in the turn of each what became of it: done, or failed and why. It ends at the first that
// fails, unless it is to keep going. The error names all that failed.
func inTurn[P interface{ its() *turn }](ctx context.Context, all []P, keepGoing bool, done string, change func(n int, one P) error) error {
	var failures []error
	for i, one := range all {
		t, began := one.its(), time.Now()
		err := change(i+1, one)
		t.Seconds, t.Outcome = time.Since(began).Seconds(), done
		if err == nil {
			continue
		}
		t.Outcome, t.Error = "failed", err.Error()
		failures = append(failures, fmt.Errorf("%s: %w", t.Name, err))
		if !keepGoing || ctx.Err() != nil {
			break
		}
	}
	return errors.Join(failures...)
}

// patched is what became of an app; --json prints them.
type patched struct {
	turn
	State string `json:"state"`
	Stack string `json:"stack"`

	app *capi.App
}

func patchApps(ctx context.Context, s *session, c *cli.Context) error {
	names := c.Args().Slice()
	switch {
	case c.Bool("everywhere") && len(names) > 0:
		return badUsage("name apps of the target space, or give --everywhere, not both")
	case !c.Bool("everywhere") && s.cfg.Space.GUID == "":
		return withHint(errors.New("no space is targeted"), "choose one: cupola target -o ORG -s SPACE, or give --everywhere")
	}
	if c.Bool("refresh") {
		if err := s.refreshStacks(ctx); err != nil {
			return err
		}
	}
	if c.Bool("services") {
		return s.patchServices(ctx, c, names)
	}
	todo, err := s.outdated(ctx, names, c.Bool("everywhere"))
	if err != nil {
		return err
	}
	if !c.Bool("plan") {
		err = inTurn(ctx, todo, c.Bool("keep-going"), "patched", func(n int, p *patched) error {
			s.ui.Notef("Patching %s (%d of %d):", s.ui.Name(p.Name), n, len(todo))
			return s.patchOne(ctx, p.app, time.Now())
		})
	}
	return errors.Join(list(s, c, todo, "All apps stand on the newest run image.", []string{"name", "requested state", "stack", "outcome", "seconds"}, func(p *patched) []string {
		return []string{s.ui.Name(p.Name), strings.ToLower(p.State), p.Stack, p.Outcome, fmt.Sprintf("%.1f", p.Seconds)}
	}), err)
}

// refreshStacks asks for the newest packages and waits until the stack has them.
func (s *session) refreshStacks(ctx context.Context) error {
	all, err := s.client.Stacks(ctx, capi.Filter{}.With("default", "true"))
	if err != nil {
		return err
	}
	for _, st := range all {
		s.ui.Notef("Assembling the stack %s with the newest packages; this takes some minutes.", s.ui.Name(st.Name))
		if err := s.client.RefreshStack(ctx, st.GUID); err != nil {
			return fmt.Errorf("refresh the stack %s: %w", st.Name, err)
		}
	}
	return nil
}

// outdated are the apps on an older run image than their stack has. With names it is those, all of which must exist.
func (s *session) outdated(ctx context.Context, names []string, everywhere bool) ([]*patched, error) {
	wanted := map[string]bool{}
	for _, name := range names {
		app, err := s.app(ctx, name)
		if err != nil {
			return nil, err
		}
		wanted[app.GUID] = true
	}
	stacks, err := s.client.Stacks(ctx, capi.Filter{})
	if err != nil {
		return nil, err
	}
	out := []*patched{}
	for _, st := range stacks {
		apps, err := s.client.OutdatedApps(ctx, st.GUID)
		if err != nil {
			return nil, err
		}
		for _, app := range apps {
			if !everywhere && app.Relationships.Space.GUID() != s.cfg.Space.GUID || len(names) > 0 && !wanted[app.GUID] {
				continue
			}
			out = append(out, &patched{turn: turn{GUID: app.GUID, Name: app.Name, Outcome: "planned"}, State: app.State, Stack: st.Name, app: &app})
		}
	}
	slices.SortStableFunc(out, func(a, b *patched) int { return strings.Compare(a.Name, b.Name) })
	return out, nil
}

func (s *session) patchOne(ctx context.Context, app *capi.App, began time.Time) error {
	d, err := s.client.CurrentDroplet(ctx, app.GUID)
	if err != nil {
		return err
	}
	fresh, err := s.client.RebaseDroplet(ctx, d.GUID)
	if err != nil {
		return err
	}
	if app.State != "STARTED" {
		return s.client.SetCurrentDroplet(ctx, app.GUID, fresh.GUID)
	}
	return s.deploy(ctx, app, fresh.GUID, strategy{name: "rolling"}, began)
}
