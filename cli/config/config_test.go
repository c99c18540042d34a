package config

import (
	"errors"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"testing"
)

func TestUpdateKeepsWhatItWrites(t *testing.T) {
	f := At(filepath.Join(t.TempDir(), "new", "home"))
	want := Config{API: "https://api.example.com", AccessToken: "a", RefreshToken: "r", Org: Target{"1", "o"}, Space: Target{"2", "s"}}
	if _, err := f.Update(func(c *Config) error { *c = want; return nil }); err != nil {
		t.Fatal(err)
	}
	got, err := At(f.Dir()).Load()
	if err != nil || got != want {
		t.Errorf("Load() = %+v, %v, want %+v", got, err, want)
	}
	info, err := os.Stat(f.path())
	if err != nil || info.Mode().Perm() != 0o600 {
		t.Errorf("mode of the file = %v, %v, want 0600", info.Mode(), err)
	}
}

func TestUpdateWritesNothingAfterAnError(t *testing.T) {
	f := At(t.TempDir())
	boom := errors.New("boom")
	if _, err := f.Update(func(c *Config) error { c.API = "x"; return boom }); !errors.Is(err, boom) {
		t.Errorf("Update = %v, want boom", err)
	}
	if c, err := f.Load(); err != nil || c.API != "" {
		t.Errorf("Load() = %+v, %v, want nothing", c, err)
	}
}

func TestUpdatesAtTheSameTime(t *testing.T) {
	dir := t.TempDir()
	var wait sync.WaitGroup
	for range 20 {
		wait.Go(func() {
			_, err := At(dir).Update(func(c *Config) error {
				n, _ := strconv.Atoi(c.User)
				c.User = strconv.Itoa(n + 1)
				return nil
			})
			if err != nil {
				t.Error(err)
			}
		})
	}
	wait.Wait()
	if c, err := At(dir).Load(); err != nil || c.User != "20" {
		t.Errorf("after 20 updates the counter is %q, %v", c.User, err)
	}
	left, err := filepath.Glob(filepath.Join(dir, ".config-*"))
	if err != nil || len(left) != 0 {
		t.Errorf("temporary files are left: %v, %v", left, err)
	}
}

func TestLoadDamaged(t *testing.T) {
	f := At(t.TempDir())
	if err := os.WriteFile(f.path(), []byte("{"), 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := f.Load(); err == nil || !strings.Contains(err.Error(), "delete it and log in again") {
		t.Errorf("Load() = %v", err)
	}
}

func TestDir(t *testing.T) {
	t.Setenv("HOME", "/home/me")
	env := map[string]string{}
	get := func(k string) string { return env[k] }
	if got := Dir(get); got != "/home/me/.cupola" {
		t.Errorf("Dir() = %s", got)
	}
	env["CUPOLA_HOME"] = "/x"
	if got := Dir(get); got != "/x" {
		t.Errorf("Dir() = %s", got)
	}
}

// What needs no login works where there is no home, as for a service of systemd; a login says what is missing.
func TestNoHome(t *testing.T) {
	t.Setenv("HOME", "")
	dir := Dir(func(string) string { return "" })
	if dir != "" {
		t.Fatalf("Dir() = %q", dir)
	}
	f := At(dir)
	if c, err := f.Load(); err != nil || c != (Config{}) {
		t.Errorf("Load() = %+v, %v", c, err)
	}
	if _, err := f.Update(func(*Config) error { return nil }); err == nil || !strings.Contains(err.Error(), "set CUPOLA_HOME") {
		t.Errorf("Update() = %v", err)
	}
}
