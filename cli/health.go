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

// checkFlags are those of a health or readiness check.
func checkFlags() []cli.Flag {
	return []cli.Flag{processFlag,
		&cli.StringFlag{Name: "endpoint", Value: "/", Usage: "`PATH` that is asked for, with http"},
		&cli.IntFlag{Name: "invocation-timeout", Usage: "`SECONDS` that one check may take"},
		&cli.IntFlag{Name: "interval", Usage: "`SECONDS` between checks"}}
}

func (k *console) healthCommands() []*cli.Command {
	read := []string{"GET /v3/apps", "GET /v3/apps/:guid/processes"}
	write := append(slices.Clone(read), "PATCH /v3/processes/:guid")
	return []*cli.Command{
		k.command(spec{name: "get-health-check", category: appCategory, summary: "show how the platform finds out whether instances are alive", args: "APP_NAME", min: 1, max: 1,
			flags: []cli.Flag{jsonFlag}, need: aSpace, run: getHealthCheck, api: read}),
		k.command(spec{name: "set-health-check", category: appCategory, summary: "change how the platform finds out whether instances are alive",
			args: "APP_NAME port|http|process", min: 2, max: 2, examples: []string{"cupola set-health-check my-app http --endpoint /health"},
			flags: checkFlags(), need: aSpace, run: setHealthCheck, api: write}),
		k.command(spec{name: "get-readiness-health-check", category: appCategory, summary: "show how the platform finds out whether instances can take requests", args: "APP_NAME", min: 1, max: 1,
			flags: []cli.Flag{jsonFlag}, need: aSpace, run: getReadinessCheck, api: read}),
		k.command(spec{name: "set-readiness-health-check", category: appCategory, summary: "change how the platform finds out whether instances can take requests",
			args: "APP_NAME port|http|process", min: 2, max: 2, examples: []string{"cupola set-readiness-health-check my-app http --endpoint /ready"},
			flags: checkFlags(), need: aSpace, run: setReadinessCheck, api: write}),
	}
}

var checkHeader = []string{"process", "health check", "endpoint", "invocation timeout", "interval"}

func seconds(n *int) string {
	if n == nil {
		return ""
	}
	return strconv.Itoa(*n)
}

func (s *session) listChecks(ctx context.Context, c *cli.Context, row func(capi.Process) []string) error {
	app, err := s.app(ctx, c.Args().First())
	if err != nil {
		return err
	}
	all, err := s.client.AppProcesses(ctx, app.GUID)
	if err != nil {
		return err
	}
	return list(s, c, all, "The app has no process yet.", checkHeader, row)
}

func getHealthCheck(ctx context.Context, s *session, c *cli.Context) error {
	return s.listChecks(ctx, c, func(p capi.Process) []string {
		data := p.HealthCheck.Data
		return []string{p.Type, p.HealthCheck.Type, data.Endpoint, seconds(data.InvocationTimeout), seconds(data.Interval)}
	})
}

func getReadinessCheck(ctx context.Context, s *session, c *cli.Context) error {
	return s.listChecks(ctx, c, func(p capi.Process) []string {
		data := p.ReadinessCheck.Data
		return []string{p.Type, p.ReadinessCheck.Type, data.Endpoint, seconds(data.InvocationTimeout), seconds(data.Interval)}
	})
}

func setHealthCheck(ctx context.Context, s *session, c *cli.Context) error {
	return s.setCheck(ctx, c, "health check", func(check *capi.HealthCheckUpdate) capi.ProcessUpdate { return capi.ProcessUpdate{HealthCheck: check} })
}

func setReadinessCheck(ctx context.Context, s *session, c *cli.Context) error {
	return s.setCheck(ctx, c, "readiness check", func(check *capi.HealthCheckUpdate) capi.ProcessUpdate {
		return capi.ProcessUpdate{ReadinessCheck: check}
	})
}

func (s *session) setCheck(ctx context.Context, c *cli.Context, noun string, update func(*capi.HealthCheckUpdate) capi.ProcessUpdate) error {
	check, err := checkOf(c)
	if err != nil {
		return err
	}
	app, err := s.app(ctx, c.Args().First())
	if err != nil {
		return err
	}
	p, err := s.processOf(ctx, app, c.String("process"))
	if err != nil {
		return err
	}
	changed, err := s.client.UpdateProcess(ctx, p.GUID, update(check))
	if err != nil {
		return err
	}
	s.ui.Notef("The %s of %s is %s.", noun, s.ui.Name(app.Name), check.Type)
	s.ui.Hintf("for it to take effect: cupola restart %s", app.Name)
	return s.answer(changed)
}

// checkOf reads the second argument and the flags.
func checkOf(c *cli.Context) (*capi.HealthCheckUpdate, error) {
	kind := c.Args().Get(1)
	if kind == "none" {
		kind = "process"
	}
	if !slices.Contains([]string{"port", "http", "process"}, kind) {
		return nil, badUsage("a health check is port, http or process, not %q", kind)
	}
	check := &capi.HealthCheckUpdate{Type: kind, Data: &capi.HealthCheckDataUpdate{}}
	if kind == "http" {
		check.Data.Endpoint = capi.Some(c.String("endpoint"))
	}
	for flag, to := range map[string]*capi.Optional[capi.Int]{"invocation-timeout": &check.Data.InvocationTimeout, "interval": &check.Data.Interval} {
		if !c.IsSet(flag) {
			continue
		}
		if c.Int(flag) < 1 {
			return nil, badUsage("--%s must be a positive number of seconds", flag)
		}
		*to = capi.Some(capi.Int(c.Int(flag)))
	}
	return check, nil
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
