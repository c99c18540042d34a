package cli

import (
	"context"
	"fmt"
	"slices"
	"strconv"

	"github.com/urfave/cli/v2"

	"github.com/cupola-paas/cupola/controller/capi"
)

var processFlag = &cli.StringFlag{Name: "process", Value: "web", Usage: "`TYPE` of the process"}

func (k *console) healthCommands() []*cli.Command {
	return []*cli.Command{
		k.command(spec{name: "get-health-check", category: appCategory, summary: "show how the instances of an app are checked", args: "APP_NAME", min: 1, max: 1,
			flags: []cli.Flag{jsonFlag}, need: aSpace, run: getHealthCheck}),
		k.command(spec{name: "set-health-check", category: appCategory, summary: "change how the instances of an app are checked",
			args: "APP_NAME port|http|process", min: 2, max: 2,
			examples: []string{"cupola set-health-check my-app http --endpoint /health"},
			flags: []cli.Flag{processFlag,
				&cli.StringFlag{Name: "endpoint", Value: "/", Usage: "`PATH` that is asked for, with http"},
				&cli.IntFlag{Name: "invocation-timeout", Usage: "`SECONDS` that one check may take"}},
			need: aSpace, run: setHealthCheck}),
	}
}

func getHealthCheck(ctx context.Context, s *session, c *cli.Context) error {
	app, err := s.app(ctx, c.Args().First())
	if err != nil {
		return err
	}
	all, err := s.client.AppProcesses(ctx, app.GUID)
	if err != nil {
		return err
	}
	return list(s, c, all, "The app has no process yet.", []string{"process", "health check", "endpoint", "invocation timeout"}, func(p capi.Process) []string {
		timeout := ""
		if t := p.HealthCheck.Data.InvocationTimeout; t != nil {
			timeout = strconv.Itoa(*t)
		}
		return []string{p.Type, p.HealthCheck.Type, p.HealthCheck.Data.Endpoint, timeout}
	})
}

func setHealthCheck(ctx context.Context, s *session, c *cli.Context) error {
	kind := c.Args().Get(1)
	if kind == "none" {
		kind = "process"
	}
	if !slices.Contains([]string{"port", "http", "process"}, kind) {
		return badUsage("a health check is port, http or process, not %q", kind)
	}
	app, err := s.app(ctx, c.Args().First())
	if err != nil {
		return err
	}
	p, err := s.processOf(ctx, app, c.String("process"))
	if err != nil {
		return err
	}
	check := &capi.HealthCheckUpdate{Type: kind, Data: &capi.HealthCheckDataUpdate{}}
	if kind == "http" {
		check.Data.Endpoint = capi.Some(c.String("endpoint"))
	}
	if seconds := c.Int("invocation-timeout"); seconds > 0 {
		check.Data.InvocationTimeout = capi.Some(capi.Int(seconds))
	}
	if _, err := s.client.UpdateProcess(ctx, p.GUID, capi.ProcessUpdate{HealthCheck: check}); err != nil {
		return err
	}
	s.ui.Notef("The health check of %s is %s.", s.ui.Name(app.Name), kind)
	s.ui.Hintf("for it to take effect: cupola restart %s", app.Name)
	return nil
}

// processOf is the newest process of a type: during a deployment there are two webs.
func (s *session) processOf(ctx context.Context, app *capi.App, kind string) (*capi.Process, error) {
	all, err := s.client.AppProcesses(ctx, app.GUID)
	if err != nil {
		return nil, err
	}
	for _, p := range slices.Backward(all) {
		if p.Type == kind {
			return &p, nil
		}
	}
	return nil, fmt.Errorf("app %s has no process of type %s, only %s", quote(app.Name), quote(kind),
		joinNames(all, func(p capi.Process) string { return p.Type }))
}
