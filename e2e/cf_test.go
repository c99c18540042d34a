package e2e

import (
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"
)

// cf is somebody with the unmodified `cf` command line, version 8.
type cf struct {
	*user
	binary string
}

// newCF logs in with `cf`. It needs `cf` on PATH, and the names of the platform's own hosts in /etc/hosts,
// because `cf` does not know that *.localhost is this machine.
func newCF(t *testing.T) *cf {
	t.Helper()
	binary, err := exec.LookPath("cf")
	if err != nil {
		t.Skip("no `cf` on PATH: the unmodified client is not tried")
	}
	hostsEntry(t, domain)
	c := &cf{user: &user{platform: shared, t: t, home: t.TempDir()}, binary: binary}
	org := "cf-" + strings.ToLower(t.Name())
	c.cf("api", shared.url("api", ""), "--skip-ssl-validation")
	c.cf("login", "-u", "admin", "-p", password)
	c.cf("create-org", org)
	c.cf("create-space", "dev", "-o", org)
	c.cf("target", "-o", org, "-s", "dev")
	t.Cleanup(func() { c.tryCF("delete-org", "-f", org) })
	return c
}

const hostsFile = "/etc/hosts"

// hosts are the lines that tests have added to the machine's names. Tests that run side by side need the same ones, and a program must
// not find the file while it is written anew: lines are appended, and taken away when all tests have ended.
var hosts struct {
	sync.Mutex
	lines []string
}

// hostsEntry has the names of the platform's own hosts known to all programs.
func hostsEntry(t *testing.T, domain string) {
	t.Helper()
	line := "127.0.0.1"
	for _, h := range []string{"api", "login", "uaa", "log-cache", "ssh"} {
		line += " " + h + "." + domain
	}
	hosts.Lock()
	defer hosts.Unlock()
	if slices.Contains(hosts.lines, line) {
		return
	}
	f, err := os.OpenFile(hostsFile, os.O_APPEND|os.O_WRONLY, 0)
	if err != nil {
		t.Skipf("cannot write %s, so `cf` does not find the platform: %v", hostsFile, err)
	}
	defer f.Close()
	if _, err := f.WriteString(line + "\n"); err != nil {
		t.Fatal(err)
	}
	hosts.lines = append(hosts.lines, line)
}

// forgetHosts takes away what hostsEntry has added.
func forgetHosts() error {
	hosts.Lock()
	defer hosts.Unlock()
	if len(hosts.lines) == 0 {
		return nil
	}
	text, err := os.ReadFile(hostsFile)
	if err != nil {
		return err
	}
	var keep strings.Builder
	for line := range strings.Lines(string(text)) {
		if !slices.Contains(hosts.lines, strings.TrimSuffix(line, "\n")) {
			keep.WriteString(line)
		}
	}
	return os.WriteFile(hostsFile, []byte(keep.String()), 0o644)
}

func (c *cf) tryCF(args ...string) result {
	cmd := exec.Command(c.binary, args...)
	cmd.Env = append(os.Environ(), "CF_HOME="+c.home, "CF_COLOR=false")
	return finish(cmd)
}

func (c *cf) cf(args ...string) string {
	c.t.Helper()
	r := c.tryCF(args...)
	if r.code != 0 {
		c.t.Fatalf("cf %s: exit %d\n%s\n%s", strings.Join(args, " "), r.code, r.all(), serverLogOnFailure(c.platform))
	}
	return r.out
}

// TestUnmodifiedCF is the day of a developer who has only ever heard of `cf`.
func TestUnmodifiedCF(t *testing.T) {
	t.Parallel()
	c := newCF(t)
	dir, app := sample(t, "node"), "cf-app"
	out := c.cf("push", app, "-p", dir, "-f", filepath.Join(dir, "manifest.yml"))
	if !strings.Contains(out, "running") {
		t.Errorf("cf push does not end with a running instance:\n%s", out)
	}
	c.answers(app, "/", 200, "")
	for _, want := range []string{app, "started", "web:1/1"} {
		if out := c.cf("apps"); !strings.Contains(out, want) {
			t.Errorf("cf apps lacks %q:\n%s", want, out)
		}
	}
	if out := c.cf("app", app); !strings.Contains(out, "#0") || !strings.Contains(out, "running") || !strings.Contains(out, "nodejs") {
		t.Errorf("cf app:\n%s", out)
	}
	c.eventually("cf logs --recent shows the app and the API", func() bool {
		out := c.cf("logs", app, "--recent")
		return strings.Contains(out, "[APP/PROC/WEB/0]") && strings.Contains(out, "[API/0]")
	})
	c.followsLogs(app)
	c.cf("scale", app, "-i", "2")
	c.eventually("two instances", func() bool { return strings.Count(c.cf("app", app), "running") == 2 })
	c.cf("scale", app, "-m", "160M", "-f")
	c.cf("stop", app)
	c.answers(app, "/", 404, "")
	c.cf("start", app)
	c.cf("set-env", app, "GREETING", "from cf")
	if out := c.cf("env", app); !strings.Contains(out, "from cf") {
		t.Errorf("cf env:\n%s", out)
	}
	c.cf("restart", app)
	c.cf("restage", app)
	c.answers(app, "/env/GREETING", 200, "from cf")
	c.cf("map-route", app, domain, "--hostname", "cf-other")
	c.answers("cf-other", "/", 200, "")
	if out := c.cf("routes"); !strings.Contains(out, "cf-other") {
		t.Errorf("cf routes:\n%s", out)
	}
	c.cf("unmap-route", app, domain, "--hostname", "cf-other")
	c.answers("cf-other", "/", 404, "")
	if out := c.cf("buildpacks"); !strings.Contains(out, "nodejs_buildpack") || !strings.Contains(out, "binary_buildpack") {
		t.Errorf("cf buildpacks:\n%s", out)
	}
	if out := c.cf("stacks"); !strings.Contains(out, "cupola-") {
		t.Errorf("cf stacks:\n%s", out)
	}
	c.cf("push", "cf-plain", "-p", "apps/static", "--no-manifest", "-m", "64M", "-b", "staticfile_buildpack")
	c.answers("cf-plain", "/", 200, "")
	c.cf("push", app, "-p", dir, "-f", filepath.Join(dir, "manifest.yml"), "--strategy", "rolling")
	c.answers(app, "/", 200, "")
	c.cf("delete", app, "-f", "-r")
	c.answers(app, "/", 404, "")
}

// followsLogs runs `cf logs` until a request's line comes by.
func (c *cf) followsLogs(app string) {
	c.t.Helper()
	cmd := exec.Command(c.binary, "logs", app)
	cmd.Env = append(os.Environ(), "CF_HOME="+c.home)
	seen := &untilText{text: "/tail-me", found: make(chan struct{}), done: make(chan struct{})}
	cmd.Stdout, cmd.Stderr = seen, seen
	if err := cmd.Start(); err != nil {
		c.t.Fatal(err)
	}
	defer func() {
		_ = cmd.Process.Kill()
		_ = cmd.Wait()
	}()
	for range 60 {
		_, _, _ = c.get(app, "/tail-me")
		select {
		case <-seen.found:
			return
		case <-time.After(500 * time.Millisecond):
		}
	}
	c.t.Errorf("cf logs did not show a request's line:\n%s", seen.String())
}
