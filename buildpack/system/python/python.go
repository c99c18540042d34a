// Package python is the buildpack cupola/python: it runs apps on the Python of the stack, which a rebase patches.
//
// Dependencies come from requirements.txt, pyproject.toml (with uv.lock or poetry.lock where there is one) or
// Pipfile.lock, into a virtual environment that is kept until they change. A folder "vendor" with wheels or
// source archives makes the build work without a package index. Settings: BP_PYTHON_START.
//
// The app itself is not installed as a package: its folder, and "src" in it, are on Python's path.
package python

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"

	"github.com/cupola-paas/cupola/buildpack/system/cnb"
)

// Buildpack builds Python apps.
type Buildpack struct{}

var _ cnb.Buildpack = Buildpack{}

// declared are files that make an app one of Python's; sources are programs that say it without.
var (
	declared = []string{"requirements.txt", "pyproject.toml", "Pipfile.lock", "Pipfile", "setup.py"}
	sources  = []string{"app.py", "main.py", "server.py", "wsgi.py", "manage.py"}
)

// Detect passes apps that declare dependencies or have one of the usual programs.
func (Buildpack) Detect(c *cnb.Context) error {
	for _, f := range append(append([]string{}, declared...), sources...) {
		if c.Has(f) {
			return nil
		}
	}
	return cnb.Passf("no requirements.txt, pyproject.toml or Pipfile, and no app.py, main.py, server.py, wsgi.py or manage.py")
}

// Build makes the virtual environment and finds the start command.
func (Buildpack) Build(c *cnb.Context) (*cnb.Launch, error) {
	b := &build{c: c}
	if err := b.interpreter(); err != nil {
		return nil, err
	}
	deps, err := findDependencies(c)
	if err != nil {
		return nil, err
	}
	if err := checkPython(deps.requires, b.version); err != nil {
		return nil, err
	}
	if err := b.environment(deps); err != nil {
		return nil, err
	}
	if err := b.launchLayer(); err != nil {
		return nil, err
	}
	return b.start()
}

// build is one run of the buildpack.
type build struct {
	c       *cnb.Context
	python  string // the stack's interpreter
	version string // such as "3.13.5"
	venv    *cnb.Layer
}

// interpreter finds the stack's Python, and not one that a shim on PATH stands for.
func (b *build) interpreter() error {
	b.python = "python3"
	if st, err := os.Stat("/usr/bin/python3"); err == nil && !st.IsDir() {
		b.python = "/usr/bin/python3"
	}
	out, err := b.c.Output(cnb.Cmd{Args: []string{b.python, "-c", "import platform; print(platform.python_version())"}})
	if err != nil {
		return fmt.Errorf("the stack has no working Python: %w", err)
	}
	b.version = strings.TrimSpace(out)
	b.c.Log.Step("Python %s of the stack", b.version)
	for _, f := range []string{"runtime.txt", ".python-version"} {
		text, err := os.ReadFile(b.c.Path(f))
		want := strings.TrimPrefix(strings.TrimSpace(string(text)), "python-")
		if err == nil && want != "" && !sameMinor(want, b.version) {
			b.c.Log.Warn("%s asks for Python %s; the stack has %s, which is used", f, want, b.version)
		}
	}
	return nil
}

// minor is "3.13" of "3.13.5". A virtual environment holds for all patches of one.
func minor(version string) string {
	parts := strings.SplitN(version, ".", 3)
	return strings.Join(parts[:min(2, len(parts))], ".")
}

func sameMinor(want, have string) bool {
	want = strings.TrimSuffix(want, ".x")
	return minor(want) == minor(have) || want == strings.Split(have, ".")[0]
}

const venvFormat = "1"

// environment makes the virtual environment, unless the one in the cache fits.
func (b *build) environment(deps *dependencies) error {
	if deps.empty() {
		return nil
	}
	var err error
	if b.venv, err = b.c.Layer("venv"); err != nil {
		return err
	}
	cache, err := b.c.Layer("pip-cache")
	if err != nil {
		return err
	}
	cache.Cache = true
	if err := cache.Write(); err != nil {
		return err
	}
	b.venv.Launch, b.venv.Build, b.venv.Cache = true, true, true
	key, err := deps.key(b.c, venvFormat, minor(b.version))
	if err != nil {
		return err
	}
	if b.venv.Fits("key", key) {
		b.c.Log.Step("Reusing dependencies, which have not changed")
		return b.venv.Write()
	}
	b.c.Log.Step("Installing dependencies from %s", deps.from)
	if err := b.venv.Reset(); err != nil {
		return err
	}
	if err := b.install(deps, cache.Dir); err != nil {
		return err
	}
	b.venv.Metadata["key"] = key
	return b.venv.Write()
}

// install runs the stack's pip, so that the environment needs none of its own.
func (b *build) install(deps *dependencies, cacheDir string) error {
	if err := b.c.Run(cnb.Cmd{Args: []string{b.python, "-m", "venv", "--without-pip", b.venv.Dir}, Quiet: true}); err != nil {
		return err
	}
	args, cleanUp, err := deps.pipArgs(b.c)
	if err != nil {
		return err
	}
	defer cleanUp()
	pip := []string{b.python, "-m", "pip", "--python", b.venv.Path("bin", "python"), "install",
		"--disable-pip-version-check", "--no-input", "--no-compile", "--no-warn-script-location", "--cache-dir", cacheDir}
	if b.c.Has("vendor") && hasArchives(b.c.Path("vendor")) {
		b.c.Log.Info("from the folder vendor alone")
		pip = append(pip, "--no-index", "--find-links", b.c.Path("vendor"))
	}
	if err := b.c.Run(cnb.Cmd{Args: append(pip, args...)}); err != nil {
		return fmt.Errorf("install dependencies: %w", err)
	}
	// Images keep no file times, by which Python would tell whether its compiled files are fresh. These say
	// that they are.
	return b.c.Run(cnb.Cmd{Quiet: true, Args: []string{
		b.python, "-m", "compileall", "-q", "-q", "-j", "0", "--invalidation-mode", "unchecked-hash", b.venv.Path("lib"),
	}, Env: map[string]string{"PYTHONDONTWRITEBYTECODE": ""}})
}

func hasArchives(dir string) bool {
	for _, pattern := range []string{"*.whl", "*.tar.gz", "*.zip"} {
		if found, err := filepath.Glob(filepath.Join(dir, pattern)); err == nil && len(found) > 0 {
			return true
		}
	}
	return false
}

// launchLayer sets what Python apps expect: output at once, and their own modules on the path.
func (b *build) launchLayer() error {
	layer, err := b.c.Layer("settings")
	if err != nil {
		return err
	}
	if err := layer.Reset(); err != nil {
		return err
	}
	layer.Launch = true
	path := b.c.AppDir
	if b.c.Has("src") {
		path += ":" + b.c.Path("src")
	}
	if err := layer.LaunchEnv("PYTHONPATH", "prepend", path); err != nil {
		return err
	}
	for name, value := range map[string]string{"PYTHONUNBUFFERED": "1", "PYTHONFAULTHANDLER": "1"} {
		if err := layer.LaunchEnv(name, "default", value); err != nil {
			return err
		}
	}
	if b.venv != nil {
		if err := layer.LaunchEnv("VIRTUAL_ENV", "default", b.venv.Dir); err != nil {
			return err
		}
	}
	return layer.Write()
}
