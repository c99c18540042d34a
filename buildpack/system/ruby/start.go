package ruby

import (
	"crypto/rand"
	"encoding/hex"
	"os"
	"path/filepath"
	"strings"

	"github.com/cupola-paas/cupola/buildpack/system/cnb"
)

// settings sets at launch what Ruby apps of Cloud Foundry expect, and where Bundler put the gems.
func (b *build) settings() error {
	layer, err := b.c.Layer("settings")
	if err != nil {
		return err
	}
	secret := layer.Metadata["secret"]
	if err := layer.Reset(); err != nil {
		return err
	}
	layer.Launch, layer.Cache = true, true
	values := map[string]string{"RACK_ENV": "production", "MALLOC_ARENA_MAX": "2"}
	for name, value := range b.bundling {
		values[name] = value
	}
	if b.isRails() {
		if secret == "" {
			secret = newSecret()
		}
		layer.Metadata["secret"] = secret
		values["RAILS_ENV"], values["RAILS_LOG_TO_STDOUT"], values["RAILS_SERVE_STATIC_FILES"] = "production", "enabled", "enabled"
		values["SECRET_KEY_BASE"] = secret
	}
	for name, value := range values {
		if err := layer.LaunchEnv(name, "default", value); err != nil {
			return err
		}
	}
	if b.gems != nil {
		own := b.gems.Path("ruby", b.abi())
		if err := layer.LaunchEnv("GEM_PATH", "default", strings.Join(append([]string{own}, b.paths...), ":")); err != nil {
			return err
		}
		if err := layer.LaunchEnv("PATH", "prepend", filepath.Join(own, "bin")); err != nil {
			return err
		}
	}
	return layer.Write()
}

// newSecret is for apps that bring no key of their own to sign cookies with; it stays the same while the cache lives.
func newSecret() string {
	key := make([]byte, 64)
	rand.Read(key)
	return hex.EncodeToString(key)
}

func (b *build) isRails() bool { return b.lock.has("railties") && b.c.Has("config.ru") }

// assets compiles those of a Rails app that did not bring them compiled.
func (b *build) assets() error {
	if !b.isRails() || !b.lock.has("sprockets") && !b.lock.has("propshaft") || b.hasAssets() {
		return nil
	}
	b.c.Log.Step("Compiling assets")
	env := map[string]string{"RAILS_ENV": "production", "RACK_ENV": "production", "SECRET_KEY_BASE_DUMMY": "1"}
	for name, value := range b.bundling {
		env[name] = value
	}
	return b.c.Run(cnb.Cmd{Args: []string{"bundle", "exec", "rake", "assets:precompile"}, Env: env})
}

func (b *build) hasAssets() bool {
	for _, pattern := range []string{".sprockets-manifest-*.json", "manifest-*.json", ".manifest.json"} {
		if found, err := filepath.Glob(b.c.Path("public", "assets", pattern)); err == nil && len(found) > 0 {
			return true
		}
	}
	return false
}

// start finds the start command. A Procfile has the last word, in cnb.
func (b *build) start() *cnb.Launch {
	line := b.guess()
	if line == "" {
		if b.gems != nil && !b.c.Has("Procfile") {
			b.c.Log.Warn("no start command was found: add a Procfile, or push with -c COMMAND")
		}
		return &cnb.Launch{}
	}
	b.c.Log.Step("Start command: %s", line)
	l := cnb.Web(cnb.Command(line)...)
	if b.lock.has("rake") && b.c.Has("Rakefile") {
		l.Set(cnb.Process{Type: "rake", Command: []string{"bundle", "exec", "rake"}})
	}
	return l
}

// guess is the command for the server that the app has.
func (b *build) guess() string {
	const address = "-p $PORT -o 0.0.0.0"
	switch {
	case b.isRails() && isFile(b.c.Path("bin", "rails")):
		return "bundle exec rails server -b 0.0.0.0 -p $PORT -e $RAILS_ENV"
	case !b.c.Has("config.ru"):
		return ""
	case b.lock.has("puma"):
		return "bundle exec puma -b tcp://0.0.0.0:$PORT -e $RACK_ENV config.ru"
	case b.lock.has("thin"):
		return "bundle exec thin start -R config.ru -e $RACK_ENV -a 0.0.0.0 -p $PORT"
	case b.lock.has("rackup"), b.lock.has("rack") && b.lock.major("rack") < "3":
		return "bundle exec rackup config.ru " + address
	}
	return ""
}

func isFile(name string) bool {
	info, err := os.Stat(name)
	return err == nil && info.Mode().IsRegular()
}
