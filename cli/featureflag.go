package cli

import (
	"context"
	"encoding/json"
	"errors"
	"net/http"
	"slices"

	"github.com/urfave/cli/v2"

	"github.com/cupola-paas/cupola/controller/capi"
)

const flagCategory = "Feature flags and environment groups"

func (k *console) featureFlagCommands() []*cli.Command {
	return []*cli.Command{
		k.command(spec{name: "feature-flags", category: flagCategory, summary: "list the feature flags", need: aLogin, run: featureFlags, api: []string{"GET /v3/feature_flags"}}),
		k.command(spec{name: "feature-flag", category: flagCategory, summary: "show a feature flag", args: "FEATURE_FLAG", min: 1, max: 1, need: aLogin,
			run: featureFlag, api: []string{"GET /v3/feature_flags/:name"}}),
		k.command(spec{name: "enable-feature-flag", category: flagCategory, summary: "let people use a feature", args: "FEATURE_FLAG", min: 1, max: 1, need: aLogin,
			run: switchFlag(true), api: []string{"PATCH /v3/feature_flags/:name"}}),
		k.command(spec{name: "disable-feature-flag", category: flagCategory, summary: "keep people from using a feature; administrators can", args: "FEATURE_FLAG", min: 1, max: 1, need: aLogin,
			run: switchFlag(false), api: []string{"PATCH /v3/feature_flags/:name"}}),
	}
}

func flagState(enabled bool) string {
	if enabled {
		return "enabled"
	}
	return "disabled"
}

func featureFlags(ctx context.Context, s *session, c *cli.Context) error {
	all, err := capi.All[capi.FeatureFlag](ctx, s.client, "/v3/feature_flags", nil)
	if err != nil {
		return err
	}
	return list(s, c, all, "There is no feature flag.", []string{"name", "state"}, func(f capi.FeatureFlag) []string {
		return []string{s.ui.Name(f.Name), flagState(f.Enabled)}
	})
}

func noFlag(name string, err error) error {
	if notFound(err) {
		return withHint(errors.New("there is no feature flag "+quote(name)), "see: cupola feature-flags")
	}
	return err
}

func featureFlag(ctx context.Context, s *session, c *cli.Context) error {
	name := c.Args().First()
	f, err := capi.Get[capi.FeatureFlag](ctx, s.client, "/v3/feature_flags/"+pathPart(name))
	if err != nil {
		return noFlag(name, err)
	}
	return list(s, c, []capi.FeatureFlag{*f}, "", []string{"name", "state", "message"}, func(f capi.FeatureFlag) []string {
		return []string{s.ui.Name(f.Name), flagState(f.Enabled), text(f.CustomErrorMessage)}
	})
}

func switchFlag(on bool) func(context.Context, *session, *cli.Context) error {
	return func(ctx context.Context, s *session, c *cli.Context) error {
		name := c.Args().First()
		err := s.update(ctx, "/v3/feature_flags/"+pathPart(name), capi.FeatureFlagUpdate{Enabled: &on}, "Feature flag %s is %s.", s.ui.Name(name), flagState(on))
		return noFlag(name, err)
	}
}

func (k *console) environmentGroupCommands() []*cli.Command {
	commands := []*cli.Command{}
	for _, g := range []struct{ name, show, set string }{{"running", "revg", "srevg"}, {"staging", "sevg", "ssevg"}} {
		path := "/v3/environment_variable_groups/" + g.name
		commands = append(commands,
			k.command(spec{name: g.name + "-environment-variable-group", aliases: []string{g.show}, category: flagCategory,
				summary: "show the variables that all " + g.name + " apps get", need: aLogin, api: []string{"GET " + path},
				run: func(ctx context.Context, s *session, _ *cli.Context) error { return s.showEnvGroup(ctx, path) }}),
			k.command(spec{name: "set-" + g.name + "-environment-variable-group", aliases: []string{g.set}, category: flagCategory,
				summary: "set the variables that all " + g.name + " apps get; others of the group go", args: "JSON", min: 1, max: 1,
				examples: []string{"cupola set-" + g.name + `-environment-variable-group '{"HTTP_PROXY":"http://proxy.example.com:8080"}'`, "cupola set-" + g.name + "-environment-variable-group group.json"},
				need:     aLogin, api: []string{"GET " + path, "PATCH " + path},
				run: func(ctx context.Context, s *session, c *cli.Context) error {
					return s.setEnvGroup(ctx, path, g.name, c.Args().First())
				}}))
	}
	return commands
}

func (s *session) showEnvGroup(ctx context.Context, path string) error {
	group, err := capi.Get[capi.EnvGroup](ctx, s.client, path)
	switch {
	case err != nil:
		return err
	case s.ui.WantsJSON():
		return s.ui.JSON(group)
	}
	var rows [][]string
	for name, value := range group.Var {
		rows = append(rows, []string{s.ui.Name(name), value})
	}
	slices.SortFunc(rows, slices.Compare)
	s.ui.Table("The group is empty.", []string{"variable", "value"}, rows)
	return nil
}

// setEnvGroup makes the group what the JSON says: a PATCH merges, so what is gone is sent as null.
func (s *session) setEnvGroup(ctx context.Context, path, name, given string) error {
	wanted, err := jsonObject(given)
	if err != nil {
		return badUsage("the variables are a JSON object such as '{\"NAME\":\"value\"}': %v", err)
	}
	old, err := capi.Get[capi.EnvGroup](ctx, s.client, path)
	if err != nil {
		return err
	}
	for variable := range old.Var {
		if _, stays := wanted[variable]; !stays {
			wanted[variable] = nil
		}
	}
	changed, err := capi.Change[json.RawMessage](ctx, s.client, http.MethodPatch, path, capi.EnvVarsPatch{Var: wanted})
	if err != nil {
		return err
	}
	s.ui.Notef("The %s environment variable group is set, for the next restart of apps.", name)
	return s.answer(changed)
}
