package lifecycle

import (
	"errors"
	"fmt"
	"io"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"github.com/cupola-paas/cupola/buildpack/launcher"
	"github.com/cupola-paas/cupola/buildpack/lifecycle/environ"
)

// Run is one detection and build. The folders are those of the build container.
type Run struct {
	AppDir, LayersDir, PlatformDir string
	BuildpacksDir, OrderPath       string
	SystemPath                     string // system.toml; may be absent
	BuildConfigDir                 string // operator's environment; may be absent
	OSRelease                      string // names the distribution where the run image's labels do not
	Buildpacks                     []string
	Env                            *environ.Env // of the container
	Stdout, Stderr                 io.Writer

	catalog Catalog
	target  Target
	execEnv string
}

// Analyzed is the part of analyzed.toml that detection and build read: what the run image is.
type Analyzed struct {
	RunImage struct {
		Reference string       `toml:"reference"`
		Target    TargetRecord `toml:"target"`
	} `toml:"run-image"`
}

// TargetRecord is a target with at most one distribution, as analyzed.toml has it.
type TargetRecord struct {
	OS      string `toml:"os,omitempty"`
	Arch    string `toml:"arch,omitempty"`
	Variant string `toml:"variant,omitempty"`
	Distro  Distro `toml:"distro,omitempty"`
}

// AnalyzedFile is the name of analyzed.toml below the layers folder.
const AnalyzedFile = "analyzed.toml"

// FailedError is a failure with the exit code that the specification gives it.
type FailedError struct {
	Code int
	Err  error
}

func (e *FailedError) Error() string { return e.Err.Error() }
func (e *FailedError) Unwrap() error { return e.Err }

// Do detects and builds, and writes group.toml, plan.toml, config/metadata.toml and outcome.json into the
// layers folder. The returned code is the program's exit code.
func (r *Run) Do() int {
	var o Outcome
	err := r.do(&o)
	code := exitCode(err)
	if err != nil && o.Message == "" {
		o.Message = err.Error()
	}
	o.OOMKills = oomKills()
	if err := o.Write(r.LayersDir); err != nil {
		fmt.Fprintf(r.Stderr, "write the outcome: %v\n", err)
		return max(code, ExitInternal)
	}
	return code
}

func exitCode(err error) int {
	var failed *FailedError
	var incompatible *IncompatibleError
	var unknown *UnknownError
	switch {
	case err == nil:
		return 0
	case errors.As(err, &failed):
		return failed.Code
	case errors.As(err, &incompatible):
		return ExitIncompatible
	case errors.As(err, &unknown), errors.Is(err, ErrExtensions):
		return ExitBadBuildpack
	}
	return ExitInternal
}

func (r *Run) do(o *Outcome) error {
	start := time.Now()
	group, plan, err := r.detect(o)
	o.Detect = time.Since(start)
	if err != nil {
		return err
	}
	o.Group = group.records()
	r.announce(group)
	if err := r.writeGroup(o.Group, plan); err != nil {
		return err
	}
	start = time.Now()
	err = r.build(group, plan, o)
	o.Build = time.Since(start)
	return err
}

// NamedVar tells a buildpack that the developer named it. Cloud Foundry does not ask such a buildpack whether it
// detects the app, and ours take part unasked.
const NamedVar = "CUPOLA_NAMED"

func (r *Run) announce(group Group) {
	var names []string
	for _, e := range group {
		names = append(names, e.title())
	}
	fmt.Fprintf(r.Stdout, "-----> Buildpacks: %s\n", strings.Join(names, ", "))
}

// title is what the developer reads: the id and version, or the name of a buildpack that has no version of its own.
func (e Element) title() string {
	if e.Info.Version == "0.0.0" && e.Info.Name != "" {
		return e.Info.Name
	}
	return e.Info.ID + " " + e.Info.Version
}

func (g Group) records() []launcher.Buildpack {
	var list []launcher.Buildpack
	for _, e := range g {
		list = append(list, launcher.Buildpack{
			ID: e.Info.ID, Version: e.Info.Version, API: e.API, Homepage: e.Info.Homepage, Optional: e.Optional,
		})
	}
	return list
}

func (r *Run) writeGroup(group []launcher.Buildpack, plan []Entry) error {
	g := struct {
		Group []launcher.Buildpack `toml:"group"`
	}{group}
	if err := WriteTOML(filepath.Join(r.LayersDir, "group.toml"), g); err != nil {
		return err
	}
	p := struct {
		Entries []Entry `toml:"entries"`
	}{plan}
	return WriteTOML(filepath.Join(r.LayersDir, "plan.toml"), p)
}

// setUp reads what both phases need: the target and the execution environment.
func (r *Run) setUp() error {
	var a Analyzed
	if err := ReadTOML(filepath.Join(r.LayersDir, AnalyzedFile), &a); err != nil {
		return err
	}
	t := a.RunImage.Target
	r.target = Target{OS: t.OS, Arch: t.Arch, Variant: t.Variant}
	if t.Distro.Name != "" {
		r.target.Distros = []Distro{t.Distro}
	}
	r.target = r.target.fill(r.OSRelease)
	r.catalog = Catalog{Dir: r.BuildpacksDir}
	if r.execEnv = r.Env.Get("CNB_EXEC_ENV"); r.execEnv == "" {
		r.execEnv = launcher.DefaultExecEnv
	}
	return nil
}

// inherited are the variables of the container that buildpacks see (Platform API, Buildpack Environment);
// path variables come besides.
var inherited = []string{
	"CNB_STACK_ID", "HOSTNAME", "HOME", "USER", "LANG", "TMPDIR",
	"HTTP_PROXY", "HTTPS_PROXY", "NO_PROXY", "http_proxy", "https_proxy", "no_proxy",
}

// baseEnv is the environment that all buildpacks start from.
func (r *Run) baseEnv() *environ.Env {
	env := &environ.Env{}
	names := inherited
	for _, p := range environ.BuildPaths {
		names = append(names[:len(names):len(names)], p.Var)
	}
	for _, name := range names {
		if v, ok := r.Env.Lookup(name); ok {
			env.Set(name, v)
		}
	}
	return env
}

// buildpackEnv is env with the user's and the operator's variables and our own, for one buildpack.
func (r *Run) buildpackEnv(env *environ.Env, d *Descriptor, own map[string]string) (*environ.Env, error) {
	env = env.Clone()
	if !d.Info.ClearEnv {
		if err := env.ApplyUser(filepath.Join(r.PlatformDir, "env")); err != nil {
			return nil, err
		}
	}
	if err := env.ApplyDir(filepath.Join(r.BuildConfigDir, "env"), "default"); err != nil {
		return nil, err
	}
	for name, value := range r.target.vars() {
		env.Set(name, value)
	}
	for name, value := range own {
		env.Set(name, value)
	}
	if slices.Contains(r.Buildpacks, d.Info.ID) {
		env.Set(NamedVar, "true")
	}
	env.Set("CNB_BUILDPACK_DIR", d.Dir)
	env.Set("CNB_PLATFORM_DIR", r.PlatformDir)
	env.Set("CNB_EXEC_ENV", r.execEnv)
	env.Set("CNB_APP_DIR", r.AppDir)
	return env, nil
}
