package cli

import (
	"context"
	"encoding/json"
	"fmt"
	"slices"

	"github.com/urfave/cli/v2"

	"github.com/cupola-paas/cupola/cli/ui"
)

func (k *console) environmentCommands() []*cli.Command {
	return []*cli.Command{
		k.command(spec{name: "env", aliases: []string{"e"}, category: appCategory, summary: "show the environment of an app", args: "APP_NAME", min: 1, max: 1,
			flags: []cli.Flag{jsonFlag}, need: aSpace, run: env, api: []string{"GET /v3/apps", "GET /v3/apps/:guid/env"}}),
		k.command(spec{name: "set-env", aliases: []string{"se"}, category: appCategory, summary: "set an environment variable of an app",
			args: "APP_NAME NAME VALUE", min: 3, max: 3, examples: []string{"cupola set-env my-app LOG_LEVEL debug"}, need: aSpace, run: setEnv,
			api: []string{"GET /v3/apps", "PATCH /v3/apps/:guid/environment_variables"}}),
		k.command(spec{name: "unset-env", aliases: []string{"ue"}, category: appCategory, summary: "remove an environment variable of an app",
			args: "APP_NAME NAME", min: 2, max: 2, need: aSpace, run: unsetEnv,
			api: []string{"GET /v3/apps", "PATCH /v3/apps/:guid/environment_variables"}}),
	}
}

func env(ctx context.Context, s *session, c *cli.Context) error {
	app, err := s.app(ctx, c.Args().First())
	if err != nil {
		return err
	}
	all, err := s.client.AppEnv(ctx, app.GUID)
	if err != nil {
		return err
	}
	if c.Bool("json") {
		return s.ui.JSON(all)
	}
	s.ui.Notef("Environment of %s in %s:", s.ui.Name(app.Name), s.ui.Name(s.where()))
	system := map[string]string{}
	for _, source := range []map[string]any{all.SystemEnv, all.ApplicationEnv} {
		for name, value := range source {
			text, err := json.MarshalIndent(value, "", "  ")
			if err != nil {
				return err
			}
			system[name] = string(text)
		}
	}
	s.showEnv("Provided by the system", system, false)
	s.showEnv("Set for this app", all.EnvironmentVariables, true)
	s.showEnv("Set for all running apps", all.RunningEnv, true)
	s.showEnv("Set for all staging apps", all.StagingEnv, true)
	return nil
}

func (s *session) showEnv(title string, vars map[string]string, clean bool) {
	s.ui.Printf("%s:\n", s.ui.Bold(title))
	if len(vars) == 0 {
		s.ui.Printf("  (nothing)\n\n")
		return
	}
	names := make([]string, 0, len(vars))
	for name := range vars {
		names = append(names, name)
	}
	slices.Sort(names)
	for _, name := range names {
		value := vars[name]
		if clean {
			value = ui.Clean(value)
		}
		s.ui.Printf("%s: %s\n", s.ui.Name(ui.Clean(name)), value)
	}
	s.ui.Println()
}

func setEnv(ctx context.Context, s *session, c *cli.Context) error {
	return s.changeEnv(ctx, c.Args().Get(0), c.Args().Get(1), c.Args().Get(2))
}

func unsetEnv(ctx context.Context, s *session, c *cli.Context) error {
	return s.changeEnv(ctx, c.Args().Get(0), c.Args().Get(1), nil)
}

func (s *session) changeEnv(ctx context.Context, appName, name string, value any) error {
	app, err := s.app(ctx, appName)
	if err != nil {
		return err
	}
	if _, err := s.client.PatchAppEnv(ctx, app.GUID, map[string]any{name: value}); err != nil {
		return err
	}
	verb := "set"
	if value == nil {
		verb = "removed"
	}
	s.ui.Notef("%s is %s.", s.ui.Name(ui.Clean(name)), verb)
	s.ui.Hintf("%s", fmt.Sprintf("for it to take effect: cupola restart %s (or restage, when staging needs it)", appName))
	return nil
}
