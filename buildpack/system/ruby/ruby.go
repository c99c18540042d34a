// Package ruby is the buildpack cupola/ruby: it runs apps on the Ruby and Bundler of the stack, which a rebase patches.
//
// Gems come from Gemfile and Gemfile.lock into a layer that is kept until they change; with gems in vendor/cache the
// build asks nothing of the network. Gems with native code are compiled. Settings: BUNDLE_WITHOUT and Bundler's others.
//
// The app needs not be of exactly the stack's Ruby: a difference in the third number is warned of and let pass.
package ruby

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"

	"github.com/cupola-paas/cupola/buildpack/system/cnb"
)

// Buildpack builds Ruby apps.
type Buildpack struct{}

var _ cnb.Buildpack = Buildpack{}

// Detect passes apps with a Gemfile.
func (Buildpack) Detect(c *cnb.Context) error {
	if c.Has("Gemfile") {
		return nil
	}
	return cnb.Passf("no Gemfile")
}

// Build installs gems and finds the start command.
func (Buildpack) Build(c *cnb.Context) (*cnb.Launch, error) {
	b := &build{c: c}
	for _, step := range []func() error{b.interpreter, b.checkVersions, b.install, b.settings, b.assets} {
		if err := step(); err != nil {
			return nil, err
		}
	}
	return b.start(), nil
}

// build is one run of the buildpack.
type build struct {
	c        *cnb.Context
	version  string   // of the stack's Ruby, such as "3.3.8"
	paths    []string // where it looks for gems by itself
	lock     lock
	gems     *cnb.Layer
	bundling map[string]string // for Bundler, at build and at launch
}

// interpreter asks the stack's Ruby what it is.
func (b *build) interpreter() error {
	out, err := b.c.Output(cnb.Cmd{Args: []string{"ruby", "-e", "puts RUBY_VERSION, Gem.default_path"}})
	if err != nil {
		return fmt.Errorf("the stack has no working Ruby: %w", err)
	}
	lines := strings.Fields(out)
	if len(lines) == 0 {
		return errors.New("the stack's Ruby does not say its version")
	}
	b.version, b.paths = lines[0], lines[1:]
	b.c.Log.Step("Ruby %s of the stack", b.version)
	b.lock, err = readLock(b.c.Path("Gemfile.lock"))
	return err
}

// abi is the version in the names of gem folders: that of Ruby with a zero at the end.
func (b *build) abi() string { return minor(b.version) + ".0" }

const gemsFormat = "1"

// install runs Bundler, unless the gems in the cache fit.
func (b *build) install() error {
	if !b.c.Has("Gemfile") {
		b.c.Log.Info("the app has no Gemfile: Ruby and Bundler are there for others")
		return nil
	}
	var err error
	if b.gems, err = b.c.Layer("gems"); err != nil {
		return err
	}
	b.bundling = map[string]string{
		"BUNDLE_GEMFILE": b.c.Path("Gemfile"), "BUNDLE_PATH": b.gems.Dir, "BUNDLE_VERSION": "system",
		"BUNDLE_WITHOUT": "development:test", "BUNDLE_DISABLE_SHARED_GEMS": "true",
	}
	if without, ok := os.LookupEnv("BUNDLE_WITHOUT"); ok {
		b.bundling["BUNDLE_WITHOUT"] = without
	}
	if b.lock.found {
		b.bundling["BUNDLE_FROZEN"] = "true"
	} else {
		b.c.Log.Warn("there is no Gemfile.lock: run `bundle lock` and push it too, or each build may install other versions")
	}
	b.gems.Launch, b.gems.Build, b.gems.Cache = true, true, true
	key, err := b.key()
	if err != nil {
		return err
	}
	if b.gems.Fits("key", key) {
		b.c.Log.Step("Reusing gems, which have not changed")
		return b.gems.Write()
	}
	if err := b.gems.Reset(); err != nil {
		return err
	}
	if err := b.bundle(); err != nil {
		return err
	}
	b.gems.Metadata["key"] = key
	return b.gems.Write()
}

func (b *build) bundle() error {
	b.c.Log.Step("Installing dependencies with Bundler")
	args := []string{"bundle", "install"}
	if vendored(b.c.Path("vendor", "cache")) {
		b.c.Log.Info("from the folder vendor/cache alone")
		args = append(args, "--local")
	}
	env := map[string]string{"BUNDLE_USER_HOME": filepath.Join(os.TempDir(), "bundle"), "MAKEFLAGS": "-j2"}
	for name, value := range b.bundling {
		env[name] = value
	}
	if err := b.c.Run(cnb.Cmd{Args: args, Env: env}); err != nil {
		return fmt.Errorf("install gems: %w", err)
	}
	// The archives are of no use once they are unpacked.
	return cnb.RemoveAll(b.gems.Path("ruby", b.abi(), "cache"))
}

func vendored(dir string) bool {
	found, err := filepath.Glob(filepath.Join(dir, "*.gem"))
	return err == nil && len(found) > 0
}

// key changes with all that decides what is installed.
func (b *build) key() (string, error) {
	var k cnb.Key
	k.Text(gemsFormat, b.abi(), b.bundling["BUNDLE_WITHOUT"])
	for _, f := range []string{"Gemfile", "Gemfile.lock", ".bundle/config"} {
		if err := k.File(b.c.Path(f)); err != nil {
			return "", err
		}
	}
	gems, err := filepath.Glob(b.c.Path("vendor", "cache", "*"))
	if err != nil {
		return "", err
	}
	for _, name := range gems {
		k.Text(filepath.Base(name)) // names carry the version
	}
	return k.Sum(), nil
}
