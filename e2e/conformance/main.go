// Command conformance runs clients' own test suites against a fresh platform and writes a table of what they
// saw: each spec, passed, failed or skipped, its seconds, and why.
//
// The suites are not ours and nothing of them is here. The caller names an unmodified `cf` program, compiled
// Ginkgo test programs and the folders that these run in. The platform is started on ports 80 and 443 of the
// loopback interface, in a mount namespace of its own in which a wildcard DNS server answers for its domain.
//
//	make build && go run ./e2e/conformance --cf $(which cf) --cats cats.test --cats-dir cf-acceptance-tests \
//	    --smoke smoke-runtime.test --smoke smoke-logging.test --smoke-dir cf-smoke-tests/smoke
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"os"
	"os/signal"
	"path/filepath"
	"strings"
	"syscall"
	"time"
)

// options is what the command line says.
type options struct {
	cf, cupola       string // programs
	cats, catsDir    string
	smoke            many
	smokeDir         string
	ginkgo           string // runs specs side by side; without it they run one after another
	procs            int
	groups           many
	focus, skip      string
	stackCache, work string
	imageArchive     string // docker-archive with the image of the docker group
	privateAddress   string // of this machine, where apps may reach the API if a security group lets them
	set              many   // key=value of the suites' own configuration
	report           string
	limit            time.Duration
	keep             bool
}

// many is a flag that may be given several times, or with commas.
type many []string

func (m *many) String() string { return strings.Join(*m, ",") }
func (m *many) Set(v string) error {
	*m = append(*m, strings.Split(v, ",")...)
	return nil
}

func main() {
	var o options
	flag.StringVar(&o.cf, "cf", "cf", "the unmodified cf `PROGRAM`")
	flag.StringVar(&o.cupola, "cupola", "bin/cupola", "the cupola `PROGRAM`")
	flag.StringVar(&o.cats, "cats", "", "compiled acceptance tests `PROGRAM`")
	flag.StringVar(&o.catsDir, "cats-dir", "", "`FOLDER` that the acceptance tests run in (the root of the suite)")
	flag.Var(&o.smoke, "smoke", "compiled smoke tests `PROGRAM`; may be repeated")
	flag.StringVar(&o.smokeDir, "smoke-dir", "", "`FOLDER` below which each smoke test has its own folder, as in smoke/runtime")
	flag.StringVar(&o.ginkgo, "ginkgo", "", "ginkgo `PROGRAM`, to run specs side by side")
	flag.IntVar(&o.procs, "procs", 3, "`NUMBER` of specs side by side")
	flag.Var(&o.groups, "groups", "`GROUPS` of the acceptance tests (default: all that need neither the internet nor brokers)")
	flag.StringVar(&o.focus, "focus", "", "only specs that match the `REGEXP`")
	flag.StringVar(&o.skip, "skip", "", "no specs that match the `REGEXP`")
	flag.StringVar(&o.stackCache, "stack-cache", os.Getenv("CUPOLA_STACK_CACHE"), "`FOLDER` of assembled stacks")
	flag.StringVar(&o.work, "work", "", "`FOLDER` for the platform's data and the suites' output (default: a new one)")
	flag.StringVar(&o.imageArchive, "docker-image", "", "docker-archive `FILE` of the image that the docker group runs")
	flag.StringVar(&o.privateAddress, "private-address", "", "private `IP` address of this machine, other than a loopback one, at which the security groups' specs reach the API")
	flag.Var(&o.set, "set", "`KEY=VALUE` for the acceptance tests' configuration, the value as JSON or a word; may be repeated")
	flag.StringVar(&o.report, "report", "", "Markdown `FILE` for the table (default: standard output)")
	flag.DurationVar(&o.limit, "limit", 2*time.Hour, "`TIME` after which a suite is stopped")
	flag.BoolVar(&o.keep, "keep", false, "keep the work folder")
	flag.Parse()
	if err := main2(o); err != nil {
		fmt.Fprintln(os.Stderr, "conformance:", err)
		os.Exit(1)
	}
}

func main2(o options) error {
	if os.Geteuid() != 0 {
		return errors.New("ports 80 and 443 and the mount namespace need root")
	}
	if o.cats == "" && len(o.smoke) == 0 {
		return errors.New("name a suite: --cats PROGRAM --cats-dir FOLDER, or --smoke PROGRAM --smoke-dir FOLDER")
	}
	if inside, code, err := enterNamespace(); !inside {
		if err == nil && code != 0 {
			os.Exit(code)
		}
		return err
	}
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	return run(ctx, o)
}

// run starts the platform, runs the suites, writes the report. It fails when a spec failed.
func run(ctx context.Context, o options) (err error) {
	if err := o.complete(); err != nil {
		return err
	}
	resolver, err := startResolver(domain)
	if err != nil {
		return err
	}
	defer resolver.Shutdown()
	p, err := startPlatform(ctx, o)
	if err != nil {
		return err
	}
	defer func() {
		err = errors.Join(err, p.remove())
		if !o.keep && err == nil {
			err = os.RemoveAll(o.work)
		}
	}()
	if o.privateAddress != "" {
		if err := servePrivate(ctx, o.privateAddress); err != nil {
			return err
		}
	}
	image, err := serveImage(o.imageArchive)
	if err != nil {
		return err
	}
	flags := []string{"diego_cnb"} // the specs of such apps count on these; those of the docker group set theirs themselves
	if image != "" {
		flags = append(flags, "diego_docker")
	}
	for _, flag := range flags {
		if err := p.enable(ctx, o, flag); err != nil {
			return err
		}
	}
	var specs []spec
	for _, s := range suites(o, p, image) {
		seen, err := s.run(ctx, o)
		if err != nil {
			return fmt.Errorf("%s: %w", s.name, err)
		}
		specs = append(specs, seen...)
	}
	if err := writeReport(o.report, specs); err != nil {
		return err
	}
	if n := count(specs, failed); n > 0 {
		return fmt.Errorf("%d of %d specs failed", n, len(specs)-count(specs, skipped))
	}
	return nil
}

// complete makes paths absolute, because the suites run in folders of their own, and fills in defaults.
func (o *options) complete() error {
	if o.work == "" {
		dir, err := os.MkdirTemp("", "conformance-")
		if err != nil {
			return err
		}
		o.work = dir
	}
	paths := []*string{&o.cupola, &o.cats, &o.catsDir, &o.smokeDir, &o.ginkgo, &o.stackCache, &o.work, &o.imageArchive}
	for i := range o.smoke {
		paths = append(paths, &o.smoke[i])
	}
	for _, p := range paths {
		if *p == "" {
			continue
		}
		abs, err := filepath.Abs(*p)
		if err != nil {
			return err
		}
		if _, err := os.Stat(abs); err != nil && p != &o.work {
			return err
		}
		*p = abs
	}
	if o.ginkgo != "" && o.cats != "" && filepath.Dir(o.cats) != o.catsDir {
		return fmt.Errorf("ginkgo runs a compiled suite in the folder that it lies in: move %s to %s", o.cats, o.catsDir)
	}
	if len(o.groups) == 0 {
		o.groups = defaultGroups
	}
	return os.MkdirAll(o.work, 0o755)
}
