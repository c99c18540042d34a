package cli

import (
	"context"
	"errors"
	"time"

	"github.com/urfave/cli/v2"

	"github.com/cupola-paas/cupola/controller/capi"
)

func (k *console) deploymentCommands() []*cli.Command {
	return []*cli.Command{
		k.command(spec{name: "cancel-deployment", category: appCategory, summary: "end a deployment and go back to the version before", args: "APP_NAME", min: 1, max: 1,
			need: aSpace, run: cancelDeployment, api: []string{"GET /v3/apps", "GET /v3/deployments", "POST /v3/deployments/:guid/actions/cancel"}}),
		k.command(spec{name: "continue-deployment", category: appCategory, summary: "go on with a canary deployment that pauses", args: "APP_NAME", min: 1, max: 1,
			flags: []cli.Flag{&cli.BoolFlag{Name: "no-wait", Usage: "end when the first new instance is healthy"}}, need: aSpace, run: continueDeployment,
			api: []string{"GET /v3/apps", "GET /v3/deployments", "POST /v3/deployments/:guid/actions/continue", "GET /v3/deployments/:guid"}}),
	}
}

func (s *session) active(ctx context.Context, name string) (*capi.App, *capi.Deployment, error) {
	app, err := s.app(ctx, name)
	if err != nil {
		return nil, nil, err
	}
	d, err := s.activeDeployment(ctx, app.GUID)
	if err == nil && d == nil {
		err = withHint(errors.New("app "+quote(name)+" has no deployment that goes on"), "see: cupola app %s", name)
	}
	return app, d, err
}

func cancelDeployment(ctx context.Context, s *session, c *cli.Context) error {
	app, d, err := s.active(ctx, c.Args().First())
	if err != nil {
		return err
	}
	if err := s.client.CancelDeployment(ctx, d.GUID); err != nil {
		return err
	}
	s.ui.Notef("The deployment of %s is being cancelled; the version before comes back.", s.ui.Name(app.Name))
	s.ui.Hintf("see: cupola app %s", app.Name)
	return nil
}

func continueDeployment(ctx context.Context, s *session, c *cli.Context) error {
	app, d, err := s.active(ctx, c.Args().First())
	if err != nil {
		return err
	}
	began := time.Now()
	if err := s.client.ContinueDeployment(ctx, d.GUID); err != nil {
		return err
	}
	s.ui.Notef("The deployment of %s goes on:", s.ui.Name(app.Name))
	if err := s.followDeployment(ctx, app, d, c.Bool("no-wait"), began); err != nil {
		return err
	}
	return s.showFinal(ctx, app)
}
