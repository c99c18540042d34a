package e2e

import (
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"
)

// TestBadPushes: each gets a message that names the thing and the way out, an exit code, and leaves no app
// that was not there.
func TestBadPushes(t *testing.T) {
	t.Parallel()
	u := newUser(t, shared)
	empty := t.TempDir()
	brokenManifest := filepath.Join(t.TempDir(), "manifest.yml")
	writeFile(t, brokenManifest, "applications:\n- name: x\n  memory: [oops\n")
	cases := []struct {
		name string
		args []string
		want []string // all of them, in any case
		made bool     // the app exists afterwards: it was made before the failure could be known
	}{
		{"no such folder", []string{"push", "bad-a", "-p", "/no/such/folder"}, []string{"/no/such/folder", "no"}, false},
		{"empty folder", []string{"push", "bad-b", "-p", empty}, []string{"empty"}, false},
		{"malformed manifest", []string{"push", "-f", brokenManifest}, []string{"manifest.yml:3:"}, false},
		{"name too long", []string{"push", strings.Repeat("n", 300), "-p", "apps/static"}, []string{"255"}, false},
		{"a name that makes no host", []string{"push", "🚀", "-p", "apps/static", "--no-manifest"}, []string{"🚀", "route"}, false},
		{"nothing detects", []string{"push", "bad-c", "-p", "apps/bad/nothing"}, []string{"detect", "nodejs", "package.json"}, true},
		{"build fails", []string{"push", "bad-d", "-p", "apps/bad/build-fails"}, []string{"3"}, true},
		{"wrong port", []string{"push", "bad-e", "-p", "apps/bad/wrong-port", "-t", "5"}, []string{"3000", "8080"}, true},
		{"localhost only", []string{"push", "bad-f", "-p", "apps/bad/localhost", "-t", "5"}, []string{"127.0.0.1"}, true},
		{"unhealthy", []string{"push", "bad-g", "-p", "apps/bad/unhealthy", "-t", "5", "-u", "http", "--endpoint", "/health"}, []string{"/health", "500"}, true},
		{"crashes", []string{"push", "bad-h", "-p", "apps/bad/crash"}, []string{"exit"}, true},
		{"unknown buildpack", []string{"push", "bad-i", "-p", "apps/static", "-b", "cobol_buildpack"}, []string{"cobol_buildpack"}, false},
		{"unknown command", []string{"psuh"}, []string{"push"}, false},
		{"no such app", []string{"app", "there-is-no-such-app"}, []string{"there-is-no-such-app", "no app"}, false},
	}
	for _, c := range cases {
		t.Run(c.name, func(t *testing.T) {
			r := u.try(c.args...)
			if r.code == 0 {
				t.Fatalf("exit 0, want a failure\n%s", r.all())
			}
			text := strings.ToLower(r.all())
			for _, w := range c.want {
				if !strings.Contains(text, strings.ToLower(w)) {
					t.Errorf("the message lacks %q:\n%s", w, r.all())
				}
			}
			if len(c.args) > 1 && c.args[0] == "push" && !c.made {
				if out := u.must("apps"); strings.Contains(out, c.args[1]) {
					t.Errorf("a half-made app was left:\n%s", out)
				}
			}
		})
	}
}

// TestABadBuildLeavesTheOldVersionServing pushes a working version, then broken ones.
func TestABadBuildLeavesTheOldVersionServing(t *testing.T) {
	t.Parallel()
	u := newUser(t, shared)
	dir, app := sample(t, "node"), host(t, "keep")
	u.must("push", app, "-p", dir, "-f", filepath.Join(dir, "manifest.yml"))
	if r := u.try("push", app, "-p", "apps/bad/build-fails"); r.code == 0 {
		t.Error("a failing build ended with exit 0")
	}
	u.answers(app, "/", 200, "")
	if r := u.try("push", app, "-p", "apps/bad/crash"); r.code == 0 {
		t.Errorf("a version that crashes at once was deployed with exit 0:\n%s", r.all())
	}
	u.answers(app, "/", 200, "")
}

// TestLimitsOfABuild: too slow and too hungry builds end with the reason.
func TestLimitsOfABuild(t *testing.T) {
	u := newUser(t, shared)
	r := u.try("push", host(t, "hog"), "-p", "apps/bad/memory-hog")
	if r.code == 0 || !strings.Contains(strings.ToLower(r.all()), "memory") {
		t.Errorf("a build that takes too much memory: exit %d\n%s", r.code, r.all())
	}
}

// TestRoutesOfOthers: a route that another space has is refused and named.
func TestRoutesOfOthers(t *testing.T) {
	t.Parallel()
	u := newUser(t, shared)
	dir, app := sample(t, "static"), host(t, "mine")
	u.must("push", app, "-p", dir, "-f", filepath.Join(dir, "manifest.yml"))
	org := strings.ToLower(t.Name())
	u.must("create-space", "other", "-o", org)
	u.must("target", "-o", org, "-s", "other")
	r := u.try("push", app, "-p", dir, "-f", filepath.Join(dir, "manifest.yml"))
	if r.code == 0 || !strings.Contains(r.all(), app) || !strings.Contains(strings.ToLower(r.all()), "space") {
		t.Errorf("pushing onto another space's route: exit %d\n%s", r.code, r.all())
	}
}

// TestSignInFailures: wrong password, no login, unreachable API.
func TestSignInFailures(t *testing.T) {
	home := t.TempDir()
	shared.run(home, "api", shared.url("api", ""), "--skip-ssl-validation")
	for _, c := range []struct {
		name string
		args []string
		want string
	}{
		{"not logged in", []string{"apps"}, "login"},
		{"wrong password", []string{"login", "-u", "admin", "-p", "wrong-password"}, "password"},
		{"unreachable", []string{"api", "https://api.example.localhost:1"}, "api.example.localhost"},
	} {
		r := shared.run(home, c.args...)
		if r.code == 0 || !strings.Contains(strings.ToLower(r.all()), c.want) {
			t.Errorf("%s: exit %d, want a message with %q:\n%s", c.name, r.code, c.want, r.all())
		}
	}
}

// TestServerRefusesToStart: each wrong start is one sentence and a non-zero exit.
func TestServerRefusesToStart(t *testing.T) {
	t.Parallel()
	taken, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer taken.Close()
	for _, c := range []struct {
		name string
		args []string
		want []string
	}{
		{"port taken", []string{"--https", taken.Addr().String()}, []string{taken.Addr().String()[10:], "in use"}},
		{"bad address", []string{"--http", "nonsense"}, []string{"--http", "nonsense"}},
		{"bad domain", []string{"--domain", "not a domain"}, []string{"--domain"}},
		{"no docker", []string{"--docker-host", "unix:///no/such/docker.sock"}, []string{"docker"}},
		{"registry not on loopback", []string{"--registry", "0.0.0.0:5999"}, []string{"--registry", "loopback"}},
		{"unknown engine", []string{"--engine", "magic"}, []string{"--engine", "magic"}},
		{"data folder in use", []string{"--data-dir", filepath.Join(shared.dir, "data")}, []string{"--data-dir"}},
	} {
		t.Run(c.name, func(t *testing.T) {
			ports, err := freePorts(3)
			if err != nil {
				t.Fatal(err)
			}
			args := append([]string{"server", "--data-dir", t.TempDir(), "--http", ports[0], "--https", ports[1], "--registry", ports[2]}, c.args...)
			cmd := exec.Command(shared.binary, args...)
			cmd.Env = os.Environ()
			end := time.AfterFunc(30*time.Second, func() { _ = cmd.Process.Signal(syscall.SIGTERM) })
			defer end.Stop()
			r := finish(cmd)
			if r.code == 0 {
				t.Fatalf("the server started:\n%s", r.all())
			}
			for _, w := range c.want {
				if !strings.Contains(strings.ToLower(r.err), strings.ToLower(w)) {
					t.Errorf("the message lacks %q:\n%s", w, r.err)
				}
			}
		})
	}
}
