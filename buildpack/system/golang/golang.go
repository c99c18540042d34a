// Package golang is the buildpack cupola/go: it builds Go modules.
//
// The toolchain is the one that go.mod asks for, from the Go module proxy by the go client of the stack, which
// is a bootstrap without a compiler. Settings: BP_GO_VERSION (or GOVERSION), BP_GO_TARGETS (or
// GO_INSTALL_PACKAGE_SPEC), BP_GO_BUILD_FLAGS, BP_GO_BUILD_LDFLAGS, BP_GO_KEEP_SOURCE.
//
// The app's folder goes into the image as Cloud Foundry has it, templates and all, less what only the compiler
// reads: .go files and vendor. BP_GO_KEEP_SOURCE=true keeps these too.
package golang

import (
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"

	"github.com/cupola-paas/cupola/buildpack/system/cnb"
)

// Buildpack builds Go modules.
type Buildpack struct{}

var _ cnb.Buildpack = Buildpack{}

// Detect passes apps that are Go modules or workspaces.
func (Buildpack) Detect(c *cnb.Context) error {
	if c.Has("go.mod") || c.Has("go.work") {
		return nil
	}
	return cnb.Passf("no go.mod")
}

// Build compiles the app's main packages into a launch layer.
func (Buildpack) Build(c *cnb.Context) (*cnb.Launch, error) {
	b := &build{c: c}
	if err := b.toolchain(); err != nil {
		return nil, err
	}
	if err := b.caches(); err != nil {
		return nil, err
	}
	targets, err := b.targets()
	if err != nil {
		return nil, err
	}
	names, err := b.compile(targets)
	if err != nil {
		return nil, err
	}
	if err := b.dropSource(); err != nil {
		return nil, err
	}
	return b.launch(names), nil
}

// build is one run of the buildpack.
type build struct {
	c    *cnb.Context
	goro string            // GOROOT of the toolchain
	env  map[string]string // for the go client of the toolchain
	bin  *cnb.Layer
}

func (b *build) goBin() string { return filepath.Join(b.goro, "bin", "go") }

// caches keeps downloaded modules and compiled packages between builds.
func (b *build) caches() error {
	modules, err := b.c.Layer("modules")
	if err != nil {
		return err
	}
	compiled, err := b.c.Layer("compiled")
	if err != nil {
		return err
	}
	for _, l := range []*cnb.Layer{modules, compiled} {
		l.Cache = true
		if err := l.Write(); err != nil {
			return err
		}
	}
	b.env = map[string]string{
		"GOROOT": b.goro, "GOTOOLCHAIN": "local", "GOMODCACHE": modules.Dir, "GOCACHE": compiled.Dir,
		"GOPATH": filepath.Join(modules.Dir, "path"), "GOFLAGS": goFlags(), "GOENV": "off",
		"PATH": cnb.PathWith(filepath.Join(b.goro, "bin")),
	}
	return nil
}

// goFlags adds to the user's own flags what keeps the cache removable and builds alike everywhere.
func goFlags() string {
	return strings.TrimSpace(os.Getenv("GOFLAGS") + " -modcacherw -buildvcs=false")
}

// targets are the packages to build.
func (b *build) targets() ([]string, error) {
	for _, name := range []string{"BP_GO_TARGETS", "GO_INSTALL_PACKAGE_SPEC"} {
		if t := splitTargets(b.c.Env(name)); len(t) > 0 {
			return t, nil
		}
	}
	out, err := b.c.Output(cnb.Cmd{
		Args: []string{b.goBin(), "list", "-e", "-f", "{{if eq .Name \"main\"}}{{.Dir}}{{end}}", "./..."}, Env: b.env,
	})
	if err != nil {
		return nil, err
	}
	dirs := strings.Fields(out)
	if len(dirs) == 0 {
		return nil, fmt.Errorf("the module has no main package: add one, or name it with BP_GO_TARGETS")
	}
	return choose(b.c.AppDir, dirs), nil
}

// choose prefers the main package at the top; else all of them are built.
func choose(root string, dirs []string) []string {
	var targets []string
	for _, dir := range dirs {
		if dir == root {
			return []string{"."}
		}
		if rel, err := filepath.Rel(root, dir); err == nil {
			targets = append(targets, "./"+filepath.ToSlash(rel))
		}
	}
	return targets
}

// splitTargets takes targets apart at colons, commas and spaces.
func splitTargets(s string) []string {
	return strings.FieldsFunc(s, func(r rune) bool { return r == ':' || r == ',' || r == ' ' || r == '\n' })
}

// compile builds targets into the bin layer and returns the names of the programs, the default first.
func (b *build) compile(targets []string) ([]string, error) {
	layer, err := b.c.Layer("programs")
	if err != nil {
		return nil, err
	}
	if err := layer.Reset(); err != nil {
		return nil, err
	}
	b.bin, layer.Launch = layer, true
	if err := os.Mkdir(layer.Path("bin"), 0o755); err != nil {
		return nil, err
	}
	args := []string{b.goBin(), "build", "-trimpath", "-o", layer.Path("bin") + "/"}
	if flags := b.c.Env("BP_GO_BUILD_LDFLAGS"); flags != "" {
		args = append(args, "-ldflags="+flags)
	}
	args = append(args, strings.Fields(b.c.Env("BP_GO_BUILD_FLAGS"))...)
	b.c.Log.Step("Building %s", strings.Join(targets, " "))
	if b.c.Has("vendor", "modules.txt") {
		b.c.Log.Info("with the modules in vendor")
	}
	if err := b.c.Run(cnb.Cmd{Args: append(args, targets...), Env: b.env}); err != nil {
		return nil, err
	}
	names, err := programs(layer.Path("bin"))
	if err != nil {
		return nil, err
	}
	if len(names) == 0 {
		return nil, fmt.Errorf("%s gave no program: BP_GO_TARGETS must name main packages", strings.Join(targets, " "))
	}
	layer.Metadata = map[string]string{"targets": strings.Join(targets, " ")}
	return defaultFirst(names, targets), layer.Write()
}

func programs(dir string) ([]string, error) {
	entries, err := os.ReadDir(dir)
	if err != nil {
		return nil, err
	}
	var names []string
	for _, e := range entries {
		names = append(names, e.Name())
	}
	return names, nil
}

// defaultFirst puts the program of the web process first: the one named web or server, else the first target's.
func defaultFirst(names, targets []string) []string {
	rank := func(name string) int {
		switch name {
		case "web":
			return 0
		case "server":
			return 1
		case filepath.Base(targets[0]):
			return 2
		}
		return 3
	}
	best := 0
	for i := range names {
		if rank(names[i]) < rank(names[best]) {
			best = i
		}
	}
	out := []string{names[best]}
	out = append(out, names[:best]...)
	return append(out, names[best+1:]...)
}

// launch starts the first program as web, and each of several by its own name too.
func (b *build) launch(names []string) *cnb.Launch {
	l := cnb.Web(b.bin.Path("bin", names[0]))
	if len(names) > 1 {
		for _, n := range names {
			l.Set(cnb.Process{Type: n, Command: []string{b.bin.Path("bin", n)}, Default: n == "web"})
		}
	}
	return l
}

// dropSource removes what only the compiler reads.
func (b *build) dropSource() error {
	if b.c.Env("BP_GO_KEEP_SOURCE") == "true" {
		return nil
	}
	if b.c.Has("vendor", "modules.txt") {
		if err := cnb.RemoveAll(b.c.Path("vendor")); err != nil {
			return err
		}
	}
	return filepath.WalkDir(b.c.AppDir, func(name string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() || filepath.Ext(name) != ".go" {
			return err
		}
		return os.Remove(name)
	})
}
