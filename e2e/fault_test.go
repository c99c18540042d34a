package e2e

import (
	"context"
	"encoding/json"
	"fmt"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"
)

// own starts a platform for one test that stops, kills or starves it.
func own(t *testing.T) *platform {
	t.Helper()
	p := unstarted(t)
	p.boot(t)
	return p
}

// unstarted is a platform of the test's own that ends with it, not started yet.
func unstarted(t *testing.T) *platform {
	t.Helper()
	dir, err := os.MkdirTemp("", "cupola-e2e-own-")
	if err != nil {
		t.Fatal(err)
	}
	p, err := newPlatform(dir)
	if err != nil {
		t.Fatal(err)
	}
	if shared.cluster != nil { // which is not the platform's, and stays
		p.joins(shared.cluster)
	}
	t.Cleanup(func() {
		if t.Failed() {
			t.Logf("--- server log ---\n%s", p.tail(30))
		}
		if err := p.remove(); err != nil {
			t.Errorf("clean-up: %v", err)
		}
	})
	return p
}

func (p *platform) boot(t *testing.T) {
	t.Helper()
	if err := p.start(); err != nil {
		t.Fatal(err)
	}
	if err := p.ready(10 * time.Minute); err != nil {
		t.Fatal(err)
	}
}

// containers are the running app containers, by id with the time each was started.
func containers(t *testing.T, p *platform) map[string]string {
	t.Helper()
	out := map[string]string{}
	for _, c := range listContainers(t, false) {
		if c.Labels["cupola.installation"] == p.installation(t) {
			out[c.ID] = inspectStarted(t, c.ID)
		}
	}
	return out
}

// container is what Docker's API tells of one.
type container struct {
	ID     string
	Names  []string
	Labels map[string]string
	State  string
}

// dockerSocket is where the machine's Docker Engine listens.
const dockerSocket = "/var/run/docker.sock"

// dockerGet asks the Docker Engine's API.
func dockerGet(t *testing.T, path string, into any) {
	t.Helper()
	client := http.Client{Transport: &http.Transport{DialContext: func(ctx context.Context, _, _ string) (net.Conn, error) {
		return (&net.Dialer{}).DialContext(ctx, "unix", dockerSocket)
	}}}
	resp, err := client.Get("http://docker" + path)
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	if err := json.NewDecoder(resp.Body).Decode(into); err != nil {
		t.Fatal(err)
	}
}

func listContainers(t *testing.T, all bool) (out []container) {
	t.Helper()
	dockerGet(t, fmt.Sprintf("/containers/json?all=%t", all), &out)
	return out
}

func inspectStarted(t *testing.T, id string) string {
	t.Helper()
	var c struct{ State struct{ StartedAt string } }
	dockerGet(t, "/containers/"+id+"/json", &c)
	return c.State.StartedAt
}

// installation is the id that all of the platform's containers carry; the server writes it into its log.
func (p *platform) installation(t *testing.T) string {
	t.Helper()
	raw, err := os.ReadFile(p.log.Name())
	if err != nil {
		t.Fatal(err)
	}
	_, rest, ok := strings.Cut(string(raw), `"installation":"`)
	if !ok {
		t.Fatal("the server's log does not name the installation")
	}
	id, _, _ := strings.Cut(rest, `"`)
	return id
}

// TestAppsOutliveTheServer: stopped with SIGTERM or killed, the server leaves apps running; started again
// it takes them back without restarting any.
func TestAppsOutliveTheServer(t *testing.T) {
	t.Parallel()
	p := own(t)
	u := newUser(t, p)
	dir, app := sample(t, "static"), host(t, "outlive")
	u.must("push", app, "-p", dir, "-f", filepath.Join(dir, "manifest.yml"), "-i", "2")
	before := containers(t, p)
	if len(before) != 2 {
		t.Fatalf("containers of the app: %v, want 2", before)
	}
	for _, end := range []struct {
		name string
		do   func()
	}{
		{"SIGTERM", func() {
			began := time.Now()
			if err := p.stop(); err != nil {
				t.Errorf("stop: %v", err)
			}
			t.Logf("stopped in %v", time.Since(began))
		}},
		{"SIGKILL", p.kill},
	} {
		end.do()
		if after := containers(t, p); !equal(before, after) {
			t.Fatalf("%s: containers %v became %v", end.name, before, after)
		}
		p.boot(t)
		u.answers(app, "/", 200, "")
		if after := containers(t, p); !equal(before, after) {
			t.Fatalf("after the next start: containers %v became %v", before, after)
		}
	}
}

func equal(a, b map[string]string) bool {
	if len(a) != len(b) {
		return false
	}
	for k, v := range a {
		if b[k] != v {
			return false
		}
	}
	return true
}

// TestKilledInEveryPhaseOfAPush kills the server while a push goes through each phase. After the next start
// the app of before still runs, nothing is orphaned, and the push can be repeated.
func TestKilledInEveryPhaseOfAPush(t *testing.T) {
	t.Parallel()
	p := own(t)
	u := newUser(t, p)
	stable := host(t, "stable")
	static := sample(t, "static")
	u.must("push", stable, "-p", static, "-f", filepath.Join(static, "manifest.yml"))
	kept := containers(t, p)

	dir := sample(t, "node")
	for n, phase := range []string{"Uploading", "Staging", "detect", "build", "export", "Starting"} {
		t.Run(phase, func(t *testing.T) {
			app := fmt.Sprintf("phase-%d", n)
			cmd := exec.Command(p.binary, "push", app, "-p", dir, "-f", filepath.Join(dir, "manifest.yml"))
			cmd.Env = append(slices.Clone(p.env), "CUPOLA_HOME="+u.home)
			seen := &untilText{text: phase, found: make(chan struct{}), done: make(chan struct{})}
			cmd.Stdout, cmd.Stderr = seen, seen
			if err := cmd.Start(); err != nil {
				t.Fatal(err)
			}
			go func() { _ = cmd.Wait(); close(seen.done) }()
			select {
			case <-seen.found:
			case <-seen.done:
				t.Logf("the push was done before %q was seen", phase)
			case <-time.After(3 * time.Minute):
				t.Fatalf("%q was not seen in:\n%s", phase, seen.String())
			}
			p.kill()
			_ = cmd.Process.Kill()
			<-seen.done
			for id, started := range kept {
				if got := inspectStarted(t, id); got != started {
					t.Errorf("the container of a running app was restarted")
				}
			}
			p.boot(t)
			u.answers(stable, "/", 200, "")
			u.must("push", app, "-p", dir, "-f", filepath.Join(dir, "manifest.yml"))
			u.answers(app, "/", 200, "")
			u.must("delete", app, "-f", "-r")
			u.eventually("no container but the stable app's", func() bool {
				left := 0
				for _, c := range listContainers(t, true) {
					if c.Labels["cupola.installation"] == p.installation(t) {
						left++
					}
				}
				return left == len(kept)
			})
			if left, _ := filepath.Glob(filepath.Join(p.dir, "data", "build", "builds", "*")); len(left) != 0 {
				t.Errorf("work folders were left: %v", left)
			}
		})
	}
}

// TestACrashedInstanceComesBack kills a container from outside.
func TestACrashedInstanceComesBack(t *testing.T) {
	t.Parallel()
	p := own(t)
	u := newUser(t, p)
	dir, app := sample(t, "node"), host(t, "crash")
	u.must("push", app, "-p", dir, "--no-manifest", "-m", "128M")
	u.answers(app, "/", 200, "")
	for id := range containers(t, p) {
		if out, err := exec.Command("docker", "kill", id).CombinedOutput(); err != nil {
			t.Skipf("no docker client to kill a container with: %v %s", err, out)
		}
	}
	u.eventually("a crash event", func() bool { return strings.Contains(u.must("events", app), "crash") })
	u.answers(app, "/", 200, "")
}
