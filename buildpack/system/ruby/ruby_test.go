package ruby

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/cupola-paas/cupola/buildpack/system/cnb"
)

func testBuild(t *testing.T, files map[string]string) *build {
	t.Helper()
	dir := t.TempDir()
	for name, text := range files {
		path := filepath.Join(dir, name)
		if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(path, []byte(text), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	b := &build{c: &cnb.Context{AppDir: dir, LayersDir: t.TempDir(), Log: cnb.NewLog(t.Output())}, version: "3.3.8", gems: &cnb.Layer{}}
	var err error
	if b.lock, err = readLock(filepath.Join(dir, "Gemfile.lock")); err != nil {
		t.Fatal(err)
	}
	return b
}

func locked(gems ...string) string {
	text := "GEM\n  remote: https://rubygems.org/\n  specs:\n"
	for _, g := range gems {
		text += "    " + g + "\n      rake (>= 1)\n"
	}
	return text + "\nDEPENDENCIES\n  rack\n"
}

func TestStartCommand(t *testing.T) {
	for _, c := range []struct {
		name  string
		files map[string]string
		want  string
	}{
		{"rackup", map[string]string{"config.ru": "", "Gemfile.lock": locked("rack (3.2.6)", "rackup (2.3.1)", "webrick (1.9.2)")}, "bundle exec rackup config.ru -p $PORT -o 0.0.0.0"},
		{"the rackup of old", map[string]string{"config.ru": "", "Gemfile.lock": locked("rack (2.2.9)")}, "bundle exec rackup config.ru -p $PORT -o 0.0.0.0"},
		{"thin", map[string]string{"config.ru": "", "Gemfile.lock": locked("rack (3.2.6)", "thin (2.0.1)")}, "bundle exec thin start -R config.ru -e $RACK_ENV -a 0.0.0.0 -p $PORT"},
		{"puma", map[string]string{"config.ru": "", "Gemfile.lock": locked("rack (3.2.6)", "puma (6.4.0)", "thin (2.0.1)")}, "bundle exec puma -b tcp://0.0.0.0:$PORT -e $RACK_ENV config.ru"},
		{"Rails", map[string]string{"config.ru": "", "bin/rails": "", "Gemfile.lock": locked("railties (8.0.1)", "puma (6.4.0)")}, "bundle exec rails server -b 0.0.0.0 -p $PORT -e $RAILS_ENV"},
		{"no server", map[string]string{"config.ru": "", "Gemfile.lock": locked("rack (3.2.6)")}, ""},
		{"no Rack", map[string]string{"app.rb": "", "Gemfile.lock": locked("puma (6.4.0)")}, ""},
	} {
		if got := testBuild(t, c.files).guess(); got != c.want {
			t.Errorf("%s: %q, want %q", c.name, got, c.want)
		}
	}
}

func TestRubyVersions(t *testing.T) {
	for _, c := range []struct{ name, gemfile, want, problem string }{
		{"the same", "ruby '3.3.8'\ngem 'x'\n", "ruby '~> 3.3.0'\ngem 'x'\n", ""},
		{"another patch", "source 'x'\nruby \"3.3.1\"\n", "source 'x'\nruby \"~> 3.3.0\"\n", ""},
		{"another patch in brackets", "ruby('3.3.1')\n", "ruby('~> 3.3.0')\n", ""},
		{"a range", "ruby '>= 3.1'\n", "ruby '>= 3.1'\n", ""},
		{"another minor version", "ruby '3.1.4'\n", "ruby '3.1.4'\n", "asks for Ruby 3.1.4 and the stack has 3.3.8"},
		{"a comment", "# ruby '3.1.4'\n", "# ruby '3.1.4'\n", ""},
	} {
		b := testBuild(t, map[string]string{"Gemfile": c.gemfile})
		err := b.checkVersions()
		if (err == nil) != (c.problem == "") || err != nil && !strings.Contains(err.Error(), c.problem) {
			t.Errorf("%s: %v, want %q", c.name, err, c.problem)
		}
		if text, _ := os.ReadFile(b.c.Path("Gemfile")); string(text) != c.want {
			t.Errorf("%s: the Gemfile is %q, want %q", c.name, text, c.want)
		}
	}
	for lock, want := range map[string]string{
		"GEM\n\nRUBY VERSION\n   ruby 3.3.1p55\n\nBUNDLED WITH\n   2.5\n": "GEM\n\nRUBY VERSION\n   ruby 3.3.8\n\nBUNDLED WITH\n   2.5\n",
		"GEM\n\nBUNDLED WITH\n   2.5\n":                                   "GEM\n\nRUBY VERSION\n   ruby 3.3.8\n\nBUNDLED WITH\n   2.5\n",
		"GEM\n":                                                           "GEM\n\nRUBY VERSION\n   ruby 3.3.8\n",
	} {
		b := testBuild(t, map[string]string{"Gemfile": "ruby '3.3.1'\n", "Gemfile.lock": lock})
		if err := b.checkVersions(); err != nil {
			t.Fatal(err)
		}
		if text, _ := os.ReadFile(b.c.Path("Gemfile.lock")); string(text) != want {
			t.Errorf("the lock is %q, want %q", text, want)
		}
	}
	b := testBuild(t, map[string]string{"Gemfile": "ruby file: '.ruby-version'\n", ".ruby-version": "ruby-3.3.0\n"})
	if err := b.checkVersions(); err != nil {
		t.Fatal(err)
	}
	if text, _ := os.ReadFile(b.c.Path(".ruby-version")); string(text) != "3.3.8\n" {
		t.Errorf(".ruby-version is %q", text)
	}
}
