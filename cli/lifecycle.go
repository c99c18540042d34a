package cli

import (
	"context"
	"errors"
	"fmt"
	"regexp"
	"strconv"
	"strings"
	"time"

	"github.com/urfave/cli/v2"

	"github.com/cupola-paas/cupola/cli/ui"
	"github.com/cupola-paas/cupola/controller/capi"
)

func (k *console) lifecycleCommands() []*cli.Command {
	return []*cli.Command{
		k.command(spec{name: "start", aliases: []string{"st"}, category: appCategory, summary: "start an app and wait until it runs", args: "APP_NAME", min: 1, max: 1,
			need: aSpace, run: start, api: []string{"GET /v3/apps", "GET /v3/packages", "GET /v3/packages/:guid/droplets", "POST /v3/apps/:guid/actions/start", "GET /v3/apps/:guid/processes", "GET /v3/processes/:guid/stats"}}),
		k.command(spec{name: "stop", aliases: []string{"sp"}, category: appCategory, summary: "stop an app", args: "APP_NAME", min: 1, max: 1,
			need: aSpace, run: stop, api: []string{"GET /v3/apps", "POST /v3/apps/:guid/actions/stop"}}),
		k.command(spec{name: "restart", aliases: []string{"rs"}, category: appCategory, summary: "stop all instances of an app and start them again", args: "APP_NAME", min: 1, max: 1,
			examples: []string{"cupola restart my-app", "cupola restart my-app --strategy rolling"},
			flags:    strategyFlags("none"), need: aSpace, run: restart,
			api: []string{"GET /v3/apps", "GET /v3/packages", "GET /v3/packages/:guid/droplets", "POST /v3/apps/:guid/actions/restart", "GET /v3/apps/:guid/processes", "GET /v3/processes/:guid/stats", "GET /v3/apps/:guid/droplets/current", "POST /v3/deployments", "GET /v3/deployments/:guid"}}),
		k.command(spec{name: "restage", aliases: []string{"rg"}, category: appCategory, summary: "stage the newest source of an app again and restart it", args: "APP_NAME", min: 1, max: 1,
			flags: strategyFlags("none"), need: aSpace, run: restage,
			api: []string{"GET /v3/apps", "GET /v3/packages", "POST /v3/builds", "GET /v3/builds/:guid", "log-cache GET /api/v1/read/:guid", "PATCH /v3/apps/:guid/relationships/current_droplet", "POST /v3/apps/:guid/actions/restart", "GET /v3/apps/:guid/processes", "GET /v3/processes/:guid/stats", "POST /v3/deployments", "GET /v3/deployments/:guid"}}),
		k.command(spec{name: "scale", category: appCategory, summary: "change how many instances an app has, and how large they are", args: "APP_NAME", min: 1, max: 1,
			details:  "New memory and disk need a restart, which is asked for unless -f is given.",
			examples: []string{"cupola scale my-app", "cupola scale my-app -i 3", "cupola scale my-app -m 512M -f"},
			flags: []cli.Flag{
				&cli.IntFlag{Name: "instances", Aliases: []string{"i"}, Usage: "`NUMBER` of instances"},
				&cli.StringFlag{Name: "m", Usage: "`MEMORY` of an instance, such as 256M"},
				&cli.StringFlag{Name: "k", Usage: "`DISK` of an instance, such as 1G"},
				&cli.StringFlag{Name: "l", Usage: "`RATE` of log bytes a second, such as 16K; -1 for no limit"},
				&cli.BoolFlag{Name: "force", Aliases: []string{"f"}, Usage: "restart without asking"},
				processFlag,
			}, need: aSpace, run: scale,
			api: []string{"GET /v3/apps", "POST /v3/apps/:guid/processes/:type/actions/scale", "POST /v3/apps/:guid/actions/restart", "GET /v3/apps/:guid/processes", "GET /v3/processes/:guid/stats"}}),
	}
}

func start(ctx context.Context, s *session, c *cli.Context) error {
	app, err := s.app(ctx, c.Args().First())
	if err != nil {
		return err
	}
	if app.State == "STARTED" {
		s.ui.Notef("App %s is started already.", s.ui.Name(app.Name))
		return nil
	}
	if err := s.stageNewer(ctx, app); err != nil {
		return err
	}
	return s.launch(ctx, app, s.client.StartApp)
}

// launch starts or restarts an app, waits for its instances and shows what came of it.
func (s *session) launch(ctx context.Context, app *capi.App, action func(context.Context, string) (*capi.App, error)) error {
	s.ui.Notef("Starting app %s in %s:", s.ui.Name(app.Name), s.ui.Name(s.where()))
	began := time.Now()
	started, err := action(ctx, app.GUID)
	if err != nil {
		return startError(app, err)
	}
	if err := s.waitRunning(ctx, started, startWait{since: began}); err != nil {
		return err
	}
	return s.showFinal(ctx, started)
}

func startError(app *capi.App, err error) error {
	var e *capi.Error
	if errors.As(err, &e) && strings.Contains(e.Detail, "Assign a droplet") {
		return withHint(fmt.Errorf("app %s has nothing to run yet", quote(app.Name)), "next: cupola push %s, or cupola restage %s", app.Name, app.Name)
	}
	return err
}

func stop(ctx context.Context, s *session, c *cli.Context) error {
	app, err := s.app(ctx, c.Args().First())
	if err != nil {
		return err
	}
	if app.State == "STOPPED" {
		s.ui.Notef("App %s is stopped already.", s.ui.Name(app.Name))
		return nil
	}
	if _, err := s.client.StopApp(ctx, app.GUID); err != nil {
		return err
	}
	s.ui.Notef("App %s is stopped.", s.ui.Name(app.Name))
	return nil
}

func restart(ctx context.Context, s *session, c *cli.Context) error {
	plan, err := strategyOf(c)
	if err != nil {
		return err
	}
	app, err := s.app(ctx, c.Args().First())
	if err != nil {
		return err
	}
	if err := s.stageNewer(ctx, app); err != nil {
		return err
	}
	if !plan.deploys() {
		return s.launch(ctx, app, s.client.RestartApp)
	}
	droplet, err := s.client.CurrentDroplet(ctx, app.GUID)
	if notFound(err) {
		return startError(app, capi.Invalid("Assign a droplet before starting this app."))
	}
	if err != nil {
		return err
	}
	if err := s.deploy(ctx, app, droplet.GUID, plan, time.Now()); err != nil {
		return err
	}
	return s.showFinal(ctx, app)
}

func restage(ctx context.Context, s *session, c *cli.Context) error {
	plan, err := strategyOf(c)
	if err != nil {
		return err
	}
	app, err := s.app(ctx, c.Args().First())
	if err != nil {
		return err
	}
	pkg, err := s.newestPackage(ctx, app)
	if err != nil {
		return err
	}
	droplet, err := s.stage(ctx, app, pkg, s.logMark(ctx, app.GUID))
	if err != nil {
		return err
	}
	if err := s.release(ctx, app, droplet, plan); err != nil {
		return err
	}
	return s.showFinal(ctx, app)
}

func scale(ctx context.Context, s *session, c *cli.Context) error {
	in, err := scaleOf(c)
	if err != nil {
		return err
	}
	app, err := s.app(ctx, c.Args().First())
	if err != nil {
		return err
	}
	if in == (capi.ProcessScale{}) {
		details, err := s.details(ctx, app)
		if err != nil {
			return err
		}
		if s.ui.WantsJSON() {
			return s.ui.JSON(details)
		}
		for _, p := range details.Processes {
			s.showProcess(app, p, details.Stats[p.GUID], details.Sidecars[p.GUID])
		}
		return nil
	}
	restarts := in.MemoryInMB != nil || in.DiskInMB != nil || in.LogRateLimit != nil
	if restarts && !c.Bool("force") {
		ok, err := s.ui.Confirm("This restarts app %s. Go on?", quote(app.Name))
		if err != nil {
			return withHint(err, "to restart without a question: -f")
		}
		if !ok {
			s.ui.Notef("Nothing is changed.")
			return nil
		}
	}
	p, err := s.client.ScaleProcess(ctx, app.GUID, c.String("process"), in)
	if err != nil {
		return err
	}
	s.ui.Notef("App %s has %s of %s now, each with %s of memory and %s of disk.",
		s.ui.Name(app.Name), ui.Count(p.Instances, "instance"), p.Type, ui.Megabytes(p.MemoryInMB), ui.Megabytes(p.DiskInMB))
	switch {
	case app.State != "STARTED":
		return nil
	case restarts:
		return s.launch(ctx, app, s.client.RestartApp)
	}
	return s.answer(p)
}

func scaleOf(c *cli.Context) (capi.ProcessScale, error) {
	var in capi.ProcessScale
	if c.IsSet("instances") {
		n := capi.Int(c.Int("instances"))
		if n < 0 {
			return in, badUsage("-i must not be negative")
		}
		in.Instances = &n
	}
	var err error
	if in.MemoryInMB, err = megabytes(c, "m"); err != nil {
		return in, err
	}
	if in.DiskInMB, err = megabytes(c, "k"); err != nil {
		return in, err
	}
	in.LogRateLimit, err = byteRate(c, "l")
	return in, err
}

// byteRate is the value of a flag for log bytes a second; -1 is no limit, nil that it is not given.
func byteRate(c *cli.Context, flag string) (*capi.Int, error) {
	rate := c.String(flag)
	if rate == "" {
		return nil, nil
	}
	n, err := parseSize(rate)
	if rate == "-1" {
		n, err = -1, nil
	}
	if err != nil {
		return nil, badUsage("-%s %s", flag, err)
	}
	limit := capi.Int(n)
	return &limit, nil
}

// megabytes is the value of a size flag, nil when it is not given.
func megabytes(c *cli.Context, flag string) (*capi.Int, error) {
	value := c.String(flag)
	if value == "" {
		return nil, nil
	}
	n, err := parseSize(value)
	if err == nil && n < 1<<20 {
		err = fmt.Errorf("must be at least 1M, not %q", value)
	}
	if err != nil {
		return nil, badUsage("-%s %s", flag, err)
	}
	mb := capi.Int(n >> 20)
	return &mb, nil
}

var sizePattern = regexp.MustCompile(`(?i)^(\d+(?:\.\d+)?)([KMGT]?)B?$`)

// maxSize keeps arithmetic in range; no machine has as much.
const maxSize = 1 << 50

func parseSize(text string) (int64, error) {
	m := sizePattern.FindStringSubmatch(text)
	if m == nil || (m[2] == "" && !strings.HasSuffix(strings.ToUpper(text), "B")) {
		return 0, fmt.Errorf("must be a size with its unit, such as 256M or 1G, not %q", text)
	}
	n, err := strconv.ParseFloat(m[1], 64)
	if err != nil {
		return 0, fmt.Errorf("must be a size, not %q", text)
	}
	n *= float64(int64(1) << map[string]int{"": 0, "K": 10, "M": 20, "G": 30, "T": 40}[strings.ToUpper(m[2])])
	if n > maxSize {
		return 0, fmt.Errorf("must be smaller than %q", text)
	}
	return int64(n), nil
}
