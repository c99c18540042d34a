package cli

import (
	"context"
	"errors"
	"net/http"

	"github.com/urfave/cli/v2"

	"github.com/cupola-paas/cupola/controller/capi"
)

func (k *console) sshSwitchCommands() []*cli.Command {
	space := []string{"GET /v3/spaces", "PATCH /v3/spaces/:guid/features/ssh"}
	app := []string{"GET /v3/apps", "PATCH /v3/apps/:guid/features/ssh"}
	return []*cli.Command{
		k.command(spec{name: "ssh-enabled", category: sshCategory, summary: "say whether one can log in to the instances of an app", args: "APP_NAME", min: 1, max: 1, need: aSpace,
			run: sshEnabled, api: []string{"GET /v3/apps", "GET /v3/apps/:guid/ssh_enabled"}}),
		k.command(spec{name: "enable-ssh", category: sshCategory, summary: "allow SSH to the instances of an app", args: "APP_NAME", min: 1, max: 1, need: aSpace, run: switchAppSSH(true), api: app}),
		k.command(spec{name: "disable-ssh", category: sshCategory, summary: "forbid SSH to the instances of an app", args: "APP_NAME", min: 1, max: 1, need: aSpace, run: switchAppSSH(false), api: app}),
		k.command(spec{name: "space-ssh-allowed", category: sshCategory, summary: "say whether SSH is allowed in a space", args: "SPACE", min: 1, max: 1, need: anOrg,
			run: spaceSSHAllowed, api: []string{"GET /v3/spaces", "GET /v3/spaces/:guid/features/ssh"}}),
		k.command(spec{name: "allow-space-ssh", category: sshCategory, summary: "allow SSH in a space", args: "SPACE", min: 1, max: 1, need: anOrg, run: switchSpaceSSH(true), api: space}),
		k.command(spec{name: "disallow-space-ssh", category: sshCategory, summary: "forbid SSH in a space", args: "SPACE", min: 1, max: 1, need: anOrg, run: switchSpaceSSH(false), api: space}),
	}
}

func sshEnabled(ctx context.Context, s *session, c *cli.Context) error {
	app, err := s.app(ctx, c.Args().First())
	if err != nil {
		return err
	}
	state, err := capi.Get[capi.SSHEnabled](ctx, s.client, "/v3/apps/"+app.GUID+"/ssh_enabled")
	switch {
	case err != nil:
		return err
	case s.ui.WantsJSON():
		return s.ui.JSON(state)
	case state.Enabled:
		s.ui.Println("SSH is enabled for app " + s.ui.Name(app.Name) + ".")
	default:
		s.ui.Println("SSH is not enabled for app " + s.ui.Name(app.Name) + ": " + state.Reason + ".")
	}
	return nil
}

func switchAppSSH(on bool) func(context.Context, *session, *cli.Context) error {
	return func(ctx context.Context, s *session, c *cli.Context) error {
		app, err := s.app(ctx, c.Args().First())
		if err != nil {
			return err
		}
		feature, err := capi.Change[capi.AppFeature](ctx, s.client, http.MethodPatch, "/v3/apps/"+app.GUID+"/features/ssh", capi.FeatureUpdate{Enabled: &on})
		if err != nil {
			return err
		}
		s.ui.Notef("SSH is %s for app %s.", flagState(on), s.ui.Name(app.Name))
		if on {
			s.ui.Hintf("for it to take effect: cupola restart %s", app.Name)
		}
		return s.answer(feature)
	}
}

func spaceSSHAllowed(ctx context.Context, s *session, c *cli.Context) error {
	space, err := s.space(ctx, s.cfg.Org, c.Args().First())
	if err != nil {
		return err
	}
	feature, err := capi.Get[capi.SpaceFeature](ctx, s.client, "/v3/spaces/"+space.GUID+"/features/ssh")
	if errors.Is(err, capi.UnknownRequest) {
		return errors.New("this platform has no SSH")
	}
	switch {
	case err != nil:
		return err
	case s.ui.WantsJSON():
		return s.ui.JSON(feature)
	case feature.Enabled:
		s.ui.Println("SSH is allowed in space " + s.ui.Name(space.Name) + ".")
	default:
		s.ui.Println("SSH is not allowed in space " + s.ui.Name(space.Name) + ".")
	}
	return nil
}

func switchSpaceSSH(on bool) func(context.Context, *session, *cli.Context) error {
	return func(ctx context.Context, s *session, c *cli.Context) error {
		space, err := s.space(ctx, s.cfg.Org, c.Args().First())
		if err != nil {
			return err
		}
		feature, err := capi.Change[capi.SpaceFeature](ctx, s.client, http.MethodPatch, "/v3/spaces/"+space.GUID+"/features/ssh", capi.FeatureUpdate{Enabled: &on})
		if err != nil {
			return err
		}
		words := "allowed"
		if !on {
			words = "no longer allowed"
		}
		s.ui.Notef("SSH is %s in space %s.", words, s.ui.Name(space.Name))
		return s.answer(feature)
	}
}
