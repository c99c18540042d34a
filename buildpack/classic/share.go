package classic

import (
	"os"
	"path/filepath"
	"strings"

	"github.com/cupola-paas/cupola/buildpack/lifecycle"
)

// shared are the folders of deps/INDEX that go into variables, by the convention of classic buildpacks.
var shared = []struct{ folder, variable string }{
	{"bin", "PATH"}, {"lib", "LD_LIBRARY_PATH"}, {"lib", "LIBRARY_PATH"}, {"include", "CPATH"}, {"pkgconfig", "PKG_CONFIG_PATH"},
}

// share does for buildpacks of the other kind what a classic one's finalize does for itself: it puts what was supplied
// into the environment of the next buildpacks and of the app, and the start scripts to where they are sourced.
func (r *run) share() error {
	if !r.Share {
		return nil
	}
	own := filepath.Join(r.deps(), r.index())
	layer := filepath.Join(r.layers, "environment")
	env := filepath.Join(layer, "env")
	if err := os.MkdirAll(env, 0o755); err != nil {
		return err
	}
	for _, s := range shared {
		dir := filepath.Join(own, s.folder)
		if info, err := os.Stat(dir); err != nil || !info.IsDir() {
			continue
		}
		if err := writeFiles(env, map[string]string{s.variable + ".prepend": dir, s.variable + ".delim": ":"}); err != nil {
			return err
		}
	}
	if err := r.shareVariables(own, env); err != nil {
		return err
	}
	if err := r.shareProfiles(own); err != nil {
		return err
	}
	return lifecycle.WriteTOML(layer+".toml", lifecycle.LayerFile{Types: lifecycle.Types{Build: true, Launch: true}})
}

func writeFiles(dir string, files map[string]string) error {
	for name, text := range files {
		if err := os.WriteFile(filepath.Join(dir, name), []byte(text), 0o644); err != nil {
			return err
		}
	}
	return nil
}

// shareVariables takes over deps/INDEX/env: a file a variable.
func (r *run) shareVariables(own, env string) error {
	dir := filepath.Join(own, "env")
	entries, err := os.ReadDir(dir)
	if err != nil {
		return nil // there are none
	}
	for _, e := range entries {
		if !e.Type().IsRegular() || strings.Contains(e.Name(), ".") {
			continue
		}
		value, err := lifecycle.ReadFile(filepath.Join(dir, e.Name()), maxOutput)
		if err != nil {
			return err
		}
		if err := os.WriteFile(filepath.Join(env, e.Name()+".override"), value, 0o644); err != nil {
			return err
		}
	}
	return nil
}

// shareProfiles copies deps/INDEX/profile.d to where the launcher sources scripts, with the index before the names.
func (r *run) shareProfiles(own string) error {
	dir := filepath.Join(own, "profile.d")
	entries, err := os.ReadDir(dir)
	if err != nil {
		return nil // there are none
	}
	for _, e := range entries {
		if !e.Type().IsRegular() {
			continue
		}
		text, err := lifecycle.ReadFile(filepath.Join(dir, e.Name()), maxOutput)
		if err != nil {
			return err
		}
		if err := os.WriteFile(filepath.Join(r.profile(), r.index()+"_"+e.Name()), text, 0o755); err != nil {
			return err
		}
	}
	return nil
}
