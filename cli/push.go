package cli

import (
	"context"
	"errors"
	"fmt"
	"os"
	"strings"

	"github.com/urfave/cli/v2"

	"github.com/cupola-paas/cupola/cli/manifest"
)

func (k *console) pushCommands() []*cli.Command {
	return []*cli.Command{
		k.command(spec{name: "push", aliases: []string{"p"}, category: startCategory, summary: "push source and get a running app", args: "[APP_NAME]", max: 1,
			details: "Reads manifest.yml in this folder if there is one; flags stand above it. Files that .cfignore names stay here,\n" +
				"and only those that have changed are sent. An app that runs is replaced without dropping a request.",
			examples: []string{"cupola push my-app", "cupola push my-app -p web -m 256M -i 2", "cupola push -f prod.yml --var host=shop", "cupola push my-app --strategy none"},
			flags:    pushFlags(), need: aSpace, run: push,
			api: []string{"POST /v3/spaces/:guid/actions/apply_manifest", "GET /v3/jobs/:guid", "GET /v3/apps", "POST /v3/resource_matches", "POST /v3/packages", "POST /v3/packages/:guid/upload",
				"GET /v3/packages/:guid", "POST /v3/droplets", "POST /v3/droplets/:guid/upload", "POST /v3/builds", "GET /v3/builds/:guid", "log-cache GET /api/v1/read/:guid",
				"PATCH /v3/apps/:guid/relationships/current_droplet", "POST /v3/apps/:guid/actions/restart", "POST /v3/deployments", "GET /v3/deployments/:guid",
				"GET /v3/apps/:guid/processes", "GET /v3/processes/:guid/stats", "POST /v3/spaces/:guid/manifest_diff (--plan)",
				"GET /v3/service_instances (--plan)", "GET /v3/service_credential_bindings (--plan)", "GET /v3/service_plans (--plan)"}}),
		k.command(spec{name: "diff", category: startCategory, summary: "show how the apps differ from the manifest", args: "[APP_NAME]", max: 1,
			details:  "The exit code is 0 when nothing differs and 1 when something does.",
			examples: []string{"cupola diff", "cupola diff -f prod.yml --var host=shop"},
			flags:    []cli.Flag{&cli.StringFlag{Name: "manifest", Aliases: []string{"f"}, Usage: "`FILE` or folder of the manifest"}, varFlag, varsFileFlag, redactFlag},
			need:     aSpace, run: diffManifest, api: []string{"POST /v3/spaces/:guid/manifest_diff"}}),
	}
}

var (
	varFlag      = &cli.StringSliceFlag{Name: "var", Usage: "`NAME=VALUE` of a variable in the manifest; can be repeated"}
	varsFileFlag = &cli.StringSliceFlag{Name: "vars-file", Usage: "`FILE` of variables in the manifest; can be repeated"}
	redactFlag   = &cli.BoolFlag{Name: "redact-env", Usage: "do not show values of environment variables"}
)

func pushFlags() []cli.Flag {
	flags := []cli.Flag{
		&cli.StringFlag{Name: "manifest", Aliases: []string{"f"}, Usage: "`FILE` or folder of the manifest"},
		&cli.BoolFlag{Name: "no-manifest", Usage: "read no manifest"},
		varFlag, varsFileFlag, redactFlag,
		&cli.StringFlag{Name: "docker-image", Aliases: []string{"o"}, Usage: "`IMAGE` to run instead of source, such as registry.example.com/shop:1"},
		&cli.StringFlag{Name: "docker-username", Usage: "`USERNAME` for its registry; the password comes from CUPOLA_DOCKER_PASSWORD"},
		&cli.StringFlag{Name: "droplet", Usage: "`FILE` of a droplet (download-droplet): it is not staged again"},
		&cli.StringFlag{Name: "lifecycle", Usage: "`LIFECYCLE`: buildpack, cnb or docker"},
		&cli.StringFlag{Name: "path", Aliases: []string{"p"}, Usage: "`FOLDER` or zip with the source"},
		&cli.StringSliceFlag{Name: "buildpack", Aliases: []string{"b"}, Usage: "`BUILDPACK` to use; can be repeated; null: detect it"},
		&cli.StringFlag{Name: "stack", Aliases: []string{"s"}, Usage: "`STACK` to run on"},
		&cli.StringFlag{Name: "start-command", Aliases: []string{"c"}, Usage: "`COMMAND` that starts the app; null: the buildpack's own"},
		&cli.IntFlag{Name: "instances", Aliases: []string{"i"}, Usage: "`NUMBER` of instances"},
		&cli.StringFlag{Name: "memory", Aliases: []string{"m"}, Usage: "`MEMORY` of an instance, such as 256M"},
		&cli.StringFlag{Name: "disk", Aliases: []string{"k"}, Usage: "`DISK` of an instance, such as 1G"},
		&cli.StringFlag{Name: "log-rate-limit", Aliases: []string{"l"}, Usage: "`RATE` of log bytes a second, such as 16K; -1 for no limit"},
		&cli.StringFlag{Name: "health-check-type", Aliases: []string{"u"}, Usage: "`TYPE` of the health check: port, http or process"},
		&cli.StringFlag{Name: "endpoint", Usage: "`PATH` that the health check asks for, with http"},
		&cli.IntFlag{Name: "app-start-timeout", Aliases: []string{"t"}, Usage: "`SECONDS` that an instance may take to become healthy"},
		&cli.BoolFlag{Name: "no-route", Usage: "make no route, and remove those that there are"},
		&cli.BoolFlag{Name: "random-route", Usage: "make a route with random words"},
		&cli.BoolFlag{Name: "no-start", Usage: "upload the source, and neither stage nor start it"},
		&cli.BoolFlag{Name: "plan", Usage: "show what would change, and change nothing"},
		&cli.BoolFlag{Name: "wait", Usage: "end when all instances are healthy, which is what happens without --no-wait"},
		&cli.BoolFlag{Name: "task", Usage: "stage it for tasks: it is not started and gets no route"},
	}
	return append(flags, strategyFlags("rolling for an app that runs")...)
}

// pushPlan is a push that has been checked as far as that goes without the server.
type pushPlan struct {
	manifest *manifest.Manifest
	path     string // of -p, for the only app
	strategy strategy
	droplet  string // file of a droplet in place of source
	noStart  bool
	task     bool
}

func push(ctx context.Context, s *session, c *cli.Context) error {
	plan, err := planPush(s, c)
	if err != nil {
		return err
	}
	p := newPusher(s, plan)
	defer p.close()
	if c.Bool("plan") {
		return p.showPlan(ctx, c.Bool("redact-env"))
	}
	return p.run(ctx)
}

func planPush(s *session, c *cli.Context) (*pushPlan, error) {
	if err := checkPushFlags(c); err != nil {
		return nil, err
	}
	chosen, err := strategyOf(c)
	if err != nil {
		return nil, err
	}
	m, err := loadManifest(c)
	if err != nil {
		return nil, err
	}
	for _, w := range m.Warnings {
		s.ui.Warnf("%s", w)
	}
	if (c.String("path") != "" || c.String("droplet") != "") && len(m.Apps) > 1 {
		return nil, manifest.ErrSeveralApps
	}
	if err := m.Override(overrides(c)); err != nil {
		return nil, err
	}
	return &pushPlan{manifest: m, path: c.String("path"), strategy: chosen, droplet: c.String("droplet"), noStart: c.Bool("no-start"), task: c.Bool("task")}, nil
}

func checkPushFlags(c *cli.Context) error {
	exclusive := [][2]string{
		{"no-manifest", "manifest"}, {"no-manifest", "var"}, {"no-manifest", "vars-file"}, {"no-route", "random-route"},
		{"no-start", "no-wait"}, {"wait", "no-wait"}, {"docker-image", "path"}, {"docker-image", "droplet"}, {"docker-image", "buildpack"},
		{"droplet", "path"}, {"droplet", "buildpack"}, {"plan", "droplet"}, {"no-start", "task"}, {"no-start", "strategy"}, {"task", "strategy"},
	}
	for _, pair := range exclusive {
		if c.IsSet(pair[0]) && c.IsSet(pair[1]) {
			return badUsage("--%s and --%s exclude each other", pair[0], pair[1])
		}
	}
	if len(c.StringSlice("buildpack")) > 1 {
		for _, b := range c.StringSlice("buildpack") {
			if b == "null" || b == "default" {
				return badUsage("-b %s can't stand beside other buildpacks", b)
			}
		}
	}
	if c.IsSet("docker-username") && !c.IsSet("docker-image") {
		return badUsage("--docker-username needs --docker-image")
	}
	if c.IsSet("app-start-timeout") && c.Int("app-start-timeout") < 1 {
		return badUsage("-t must be a positive number of seconds")
	}
	if c.IsSet("instances") && c.Int("instances") < 0 {
		return badUsage("-i must not be negative")
	}
	if c.String("health-check-type") == "http" && c.String("endpoint") == "" {
		return badUsage("-u http needs --endpoint PATH")
	}
	return nil
}

// loadManifest reads the manifest, or makes one from the app's name where there is no file.
func loadManifest(c *cli.Context) (*manifest.Manifest, error) {
	name := c.Args().First()
	file, err := locateManifest(c)
	if err != nil {
		return nil, err
	}
	if file == "" {
		if name == "" {
			return nil, badUsage("which app? There is no manifest.yml here").withHint("next: cupola push APP_NAME")
		}
		if err := manifest.CheckName(name); err != nil {
			return nil, err
		}
		return manifest.ForApp(name), nil
	}
	vars, err := manifest.LoadVariables(c.StringSlice("vars-file"), c.StringSlice("var"))
	if err != nil {
		return nil, err
	}
	m, err := manifest.Load(file, vars)
	if err != nil || name == "" {
		return m, err
	}
	return m, m.Select(name)
}

func locateManifest(c *cli.Context) (string, error) {
	if c.Bool("no-manifest") {
		return "", nil
	}
	where := c.String("manifest")
	if where == "" {
		where = "."
	}
	file, err := manifest.Locate(where)
	if errors.Is(err, manifest.ErrNotFound) {
		if c.IsSet("manifest") {
			return "", fmt.Errorf("there is no manifest.yml in %s: check the path given with -f", where)
		}
		return "", nil
	}
	return strings.TrimPrefix(file, "./"), err
}

func overrides(c *cli.Context) manifest.Overrides {
	o := manifest.Overrides{
		Buildpacks: c.StringSlice("buildpack"), Command: c.String("start-command"), Memory: c.String("memory"), Disk: c.String("disk"),
		LogRate: c.String("log-rate-limit"), Stack: c.String("stack"), HealthCheckType: c.String("health-check-type"),
		Endpoint: c.String("endpoint"), Timeout: c.Int("app-start-timeout"), NoRoute: c.Bool("no-route"),
		RandomRoute: c.Bool("random-route"), Task: c.Bool("task"), Lifecycle: c.String("lifecycle"),
		DockerImage: c.String("docker-image"), DockerUsername: c.String("docker-username"),
	}
	if c.IsSet("instances") {
		n := c.Int("instances")
		o.Instances = &n
	}
	return o
}

// sourceOf is where the source of an app is: -p, else what the manifest says, else this folder.
func (p *pushPlan) sourceOf(app *manifest.App) (string, error) {
	switch {
	case p.path != "":
		return p.path, nil
	case app.Path != "":
		return app.Path, nil
	}
	return os.Getwd()
}
