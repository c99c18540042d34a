package cli

import (
	"context"
	"slices"

	"github.com/urfave/cli/v2"

	"github.com/cupola-paas/cupola/cli/config"
	"github.com/cupola-paas/cupola/controller/capi"
)

func (k *console) copySourceCommands() []*cli.Command {
	return []*cli.Command{
		k.command(spec{name: "copy-source", category: appCategory, summary: "give an app the source of another, stage and restart it", args: "APP_NAME APP_NAME", min: 2, max: 2,
			details:  "The first app is the source; the second must be there already.",
			examples: []string{"cupola copy-source shop shop-next", "cupola copy-source shop shop -s production --strategy rolling"},
			flags: slices.Concat([]cli.Flag{&cli.StringFlag{Name: "space", Aliases: []string{"s"}, Usage: "`SPACE` of the second app, when it is not the targeted one"},
				&cli.StringFlag{Name: "organization", Aliases: []string{"o"}, Usage: "`ORG` of the second app, when it is not the targeted one"},
				&cli.BoolFlag{Name: "no-restart", Usage: "copy the package, and neither stage nor restart"}}, strategyFlags("none")),
			need: aSpace, run: copySource,
			api: []string{"GET /v3/apps", "GET /v3/organizations", "GET /v3/spaces", "GET /v3/packages", "POST /v3/packages?source_guid=", "GET /v3/packages/:guid",
				"POST /v3/builds", "GET /v3/builds/:guid", "PATCH /v3/apps/:guid/relationships/current_droplet", "POST /v3/apps/:guid/actions/restart", "POST /v3/deployments"}}),
	}
}

func copySource(ctx context.Context, s *session, c *cli.Context) error {
	plan, err := strategyOf(c)
	if err != nil {
		return err
	}
	if c.Bool("no-restart") && (plan.given || plan.noWait) {
		return badUsage("--no-restart excludes --strategy and --no-wait")
	}
	if c.String("organization") != "" && c.String("space") == "" {
		return badUsage("-o needs -s SPACE beside it")
	}
	from, err := s.app(ctx, c.Args().Get(0))
	if err != nil {
		return err
	}
	to, err := s.destinationApp(ctx, c)
	if err != nil {
		return err
	}
	pkg, err := s.newestPackage(ctx, from)
	if err != nil {
		return err
	}
	s.ui.Notef("Copying the source of %s to %s.", s.ui.Name(from.Name), s.ui.Name(to.Name))
	copied, err := s.client.CopyPackage(ctx, pkg, to.GUID)
	if err != nil {
		return err
	}
	if c.Bool("no-restart") {
		s.ui.Notef("Package %s is copied; nothing of app %s that runs has changed.", copied.GUID, s.ui.Name(to.Name))
		return s.answer(copied)
	}
	droplet, err := s.stage(ctx, to, copied.GUID, s.logMark(ctx, to.GUID))
	if err != nil {
		return err
	}
	if err := s.release(ctx, to, droplet, plan); err != nil {
		return err
	}
	return s.showFinal(ctx, to)
}

// destinationApp is the second app, in the space that the flags name.
func (s *session) destinationApp(ctx context.Context, c *cli.Context) (*capi.App, error) {
	org, space := s.cfg.Org, s.cfg.Space
	if name := c.String("organization"); name != "" {
		found, err := s.org(ctx, name)
		if err != nil {
			return nil, err
		}
		org = config.Target{GUID: found.GUID, Name: found.Name}
	}
	if name := c.String("space"); name != "" {
		found, err := s.space(ctx, org, name)
		if err != nil {
			return nil, err
		}
		space = config.Target{GUID: found.GUID, Name: found.Name}
	}
	return s.appIn(ctx, space, c.Args().Get(1))
}
