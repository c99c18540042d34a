package cli

import (
	"context"
	"strconv"

	"github.com/urfave/cli/v2"

	"github.com/cupola-paas/cupola/controller/capi"
)

const catalogueCategory = "Buildpacks and stacks"

func (k *console) catalogueCommands() []*cli.Command {
	return []*cli.Command{
		k.command(spec{name: "buildpacks", category: catalogueCategory, summary: "list the buildpacks in the order of detection",
			flags: []cli.Flag{jsonFlag, labelFlag, &cli.StringFlag{Name: "lifecycle", Usage: "those of a `LIFECYCLE`: buildpack or cnb"}},
			need:  aLogin, run: buildpacks, api: []string{"GET /v3/buildpacks"}}),
		k.command(spec{name: "stacks", category: catalogueCategory, summary: "list the stacks that apps can run on",
			flags: []cli.Flag{jsonFlag, labelFlag}, need: aLogin, run: stacks, api: []string{"GET /v3/stacks"}}),
	}
}

func buildpacks(ctx context.Context, s *session, c *cli.Context) error {
	filter := labelled(c, capi.Filter{})
	if lifecycle := c.String("lifecycle"); lifecycle != "" {
		filter = filter.With("lifecycle", lifecycle)
	}
	all, err := s.client.Buildpacks(ctx, filter)
	if err != nil {
		return err
	}
	header := []string{"position", "name", "stack", "enabled", "locked", "state", "filename", "lifecycle"}
	return list(s, c, all, "There is no buildpack.", header, func(b capi.Buildpack) []string {
		return []string{strconv.Itoa(b.Position), s.ui.Name(b.Name), text(b.Stack), strconv.FormatBool(b.Enabled), strconv.FormatBool(b.Locked),
			b.State, text(b.Filename), b.Lifecycle}
	})
}

func stacks(ctx context.Context, s *session, c *cli.Context) error {
	all, err := s.client.Stacks(ctx, labelled(c, capi.Filter{}))
	if err != nil {
		return err
	}
	return list(s, c, all, "There is no stack.", []string{"name", "description"}, func(st capi.Stack) []string {
		return []string{s.ui.Name(st.Name), text(st.Description)}
	})
}

// text is what p points to, or nothing.
func text(p *string) string {
	if p == nil {
		return ""
	}
	return *p
}
