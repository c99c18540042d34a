package lifecycle

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"slices"

	"github.com/cupola-paas/cupola/buildpack/launcher"
	"github.com/cupola-paas/cupola/buildpack/lifecycle/environ"
)

// build runs bin/build of each buildpack in order (Buildpack API, Phase #5).
func (r *Run) build(group Group, plan []Entry, o *Outcome) error {
	if err := r.dropOthers(group); err != nil {
		return err
	}
	m := launcher.Metadata{Buildpacks: group.records()}
	env := r.baseEnv()
	for _, e := range group {
		next, err := r.buildOne(e.Descriptor, env, plan, &m, o)
		if err != nil {
			o.Buildpack = e.Info.ID
			return err
		}
		plan = next
	}
	return WriteTOML(filepath.Join(r.LayersDir, launcher.MetadataPath), m)
}

// dropOthers removes what was restored for buildpacks that do not take part.
func (r *Run) dropOthers(group Group) error {
	keep := []string{"config", "sbom"}
	for _, e := range group {
		keep = append(keep, launcher.EscapeID(e.Info.ID))
	}
	entries, err := os.ReadDir(r.LayersDir)
	if err != nil {
		return err
	}
	for _, e := range entries {
		if e.IsDir() && !slices.Contains(keep, e.Name()) {
			if err := os.RemoveAll(filepath.Join(r.LayersDir, e.Name())); err != nil {
				return err
			}
		}
	}
	return nil
}

// buildOne runs one buildpack, takes in what it left and returns the plan that remains.
func (r *Run) buildOne(d *Descriptor, env *environ.Env, plan []Entry, m *launcher.Metadata, o *Outcome) ([]Entry, error) {
	dir := filepath.Join(r.LayersDir, launcher.EscapeID(d.Info.ID))
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return nil, err
	}
	if err := r.program(d, dir, env, plan, o); err != nil {
		return nil, err
	}
	if err := collectLayers(dir, d, env); err != nil {
		return nil, invalid(d, err)
	}
	f, err := readLaunch(dir, d.API)
	if err != nil {
		return nil, invalid(d, err)
	}
	addLaunch(m, o, f, d.Info.ID, d.API)
	remaining, err := remainingPlan(dir, d.Info.ID, plan)
	if err != nil {
		return nil, invalid(d, err)
	}
	return remaining, nil
}

func invalid(d *Descriptor, err error) error {
	return &FailedError{ExitBuildFailed, fmt.Errorf("buildpack %s %s left something invalid: %w", d.Info.ID, d.Info.Version, err)}
}

// program runs bin/build with its plan file.
func (r *Run) program(d *Descriptor, dir string, env *environ.Env, plan []Entry, o *Outcome) error {
	temp, err := os.MkdirTemp("", "plan")
	if err != nil {
		return err
	}
	defer os.RemoveAll(temp)
	planPath := filepath.Join(temp, "plan.toml")
	if err := WriteTOML(planPath, bpPlan{planFor(d.Info.ID, plan)}); err != nil {
		return err
	}
	own := map[string]string{"CNB_LAYERS_DIR": dir, "CNB_BP_PLAN_PATH": planPath}
	full, err := r.buildpackEnv(env, d, own)
	if err != nil {
		return err
	}
	cmd := exec.Command(filepath.Join(d.Dir, "bin", "build"), dir, r.PlatformDir, planPath)
	cmd.Dir, cmd.Env, cmd.Stdout, cmd.Stderr = r.AppDir, full.List(), r.Stdout, r.Stderr
	if err := cmd.Run(); err != nil {
		return buildFailed(d, err, o)
	}
	return nil
}

func buildFailed(d *Descriptor, err error, o *Outcome) error {
	var exit *exec.ExitError
	if errors.As(err, &exit) {
		o.ExitCode = exit.ExitCode()
		if o.ExitCode < 0 { // ended by a signal
			o.ExitCode = 128 + signal(exit)
		}
		err = fmt.Errorf("exit status %d", o.ExitCode)
	}
	return &FailedError{ExitBuildFailed, fmt.Errorf("buildpack %s %s failed: %w", d.Info.ID, d.Info.Version, err)}
}

// bpPlan is the file at CNB_BP_PLAN_PATH (Buildpack API, Buildpack Plan).
type bpPlan struct {
	Entries []Require `toml:"entries"`
}

func planFor(id string, plan []Entry) []Require {
	var list []Require
	for _, e := range plan {
		if e.providedBy(id) {
			list = append(list, e.Requires...)
		}
	}
	return list
}

// remainingPlan is the plan without what the buildpack met: all it provides but what it lists as unmet.
func remainingPlan(dir, id string, plan []Entry) ([]Entry, error) {
	var f struct {
		Unmet []Provide `toml:"unmet"`
	}
	if err := ReadTOML(filepath.Join(dir, "build.toml"), &f); err != nil {
		return nil, err
	}
	for _, u := range f.Unmet {
		known := slices.ContainsFunc(plan, func(e Entry) bool { return e.name() == u.Name && e.providedBy(id) })
		if !known {
			return nil, fmt.Errorf("build.toml: unmet %q is not in the plan that the buildpack got", u.Name)
		}
	}
	return slices.DeleteFunc(slices.Clone(plan), func(e Entry) bool {
		unmet := slices.Contains(f.Unmet, Provide{e.name()})
		return e.providedBy(id) && !unmet
	}), nil
}

// collectLayers hides ignored layers and adds build layers to the environment of later buildpacks.
func collectLayers(dir string, d *Descriptor, env *environ.Env) error {
	names, layers, err := ReadLayers(dir)
	if err != nil {
		return err
	}
	if err := checkSBOMs(dir, d.Info.SBOMFormats); err != nil {
		return err
	}
	var build []string
	for _, name := range names {
		path := filepath.Join(dir, name)
		if layers[name].Types == (Types{}) {
			if err := ignore(path); err != nil {
				return err
			}
		}
		if layers[name].Types.Build {
			build = append(build, path)
		}
	}
	env.AddLayerPaths(build, environ.BuildPaths)
	for _, path := range build {
		for _, sub := range []string{"env", "env.build"} {
			if err := env.ApplyDir(filepath.Join(path, sub), "override"); err != nil {
				return err
			}
		}
	}
	return nil
}

// ignore renames a layer's folder so that later buildpacks cannot come to depend on it.
func ignore(path string) error {
	if err := os.RemoveAll(path + ".ignore"); err != nil {
		return err
	}
	if err := os.Rename(path, path+".ignore"); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	return nil
}
