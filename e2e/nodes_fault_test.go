package e2e

import (
	"bufio"
	"encoding/json"
	"fmt"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"
)

// dockerHealthy is what Nomad thinks of Docker on a machine.
func (cs *cells) dockerHealthy(c *cell) bool {
	cs.t.Helper()
	var nodes []struct {
		Name    string
		Drivers map[string]struct{ Healthy bool }
	}
	cs.nomad(http.MethodGet, "/v1/nodes", &nodes)
	for _, n := range nodes {
		if n.Name == c.name {
			return n.Drivers["docker"].Healthy
		}
	}
	return false
}

// served asks the app spread all the time while do runs: nothing of it may fail.
func (cs *cells) served(when string, do func()) {
	cs.t.Helper()
	done := make(chan struct{})
	failed := cs.answersAll("spread", done)
	do()
	close(done)
	if why, is := <-failed; is {
		cs.t.Errorf("a request failed %s: %s", when, why)
	}
}

// partSlow: Docker on a machine answers nobody any more, without being dead. What runs there goes on, more instances start
// on the other machines, and those that were meant for the slow one start when it is itself again.
func partSlow(cs *cells, u *user) {
	c := cs.all[1]
	dockerd := child(cs, c.docker.Process.Pid)
	signal := func(pid int, s syscall.Signal) {
		if err := syscall.Kill(pid, s); err != nil {
			cs.t.Fatal(err)
		}
	}
	cs.served("while a machine was slow", func() {
		signal(dockerd, syscall.SIGSTOP)
		defer func() {
			signal(dockerd, syscall.SIGCONT)
			signal(c.docker.Process.Pid, syscall.SIGCONT) // who waits for it has stopped itself
		}()
		// Not by the command, which waits for all of them.
		u.must("curl", "/v3/apps/"+u.guid("spread")+"/processes/web/actions/scale", "-X", "POST", "-d", `{"instances":6}`)
		took := cs.eventually("the machines that are not slow start more instances", time.Minute, func() bool { return u.running("spread") > 3 })
		cs.t.Logf("more instances run elsewhere after %s", took.Round(100*time.Millisecond))
	})
	took := cs.eventually("all that was asked for runs when the machine is itself again", 2*time.Minute, func() bool { return u.running("spread") == 6 })
	cs.t.Logf("all run after another %s", took.Round(100*time.Millisecond))
	u.must("scale", "spread", "-i", "3")
}

// disk is where Docker of the machine keeps everything.
func (c *cell) disk() string { return filepath.Join(c.dir, "docker") }

// diskSize is of a machine's disk; a file with holes holds it.
const diskSize = 8 << 30

// makeDisk gives the machine a disk of its own for Docker, which keeps its content when the machine is powered off.
func (cs *cells) makeDisk(c *cell) {
	cs.t.Helper()
	image := filepath.Join(c.dir, "disk.img")
	if _, err := os.Stat(image); err != nil {
		f, err := os.Create(image)
		if err != nil {
			cs.t.Fatal(err)
		}
		if err := f.Truncate(diskSize); err != nil {
			cs.t.Fatal(err)
		}
		f.Close()
		if err := os.Mkdir(c.disk(), 0o700); err != nil {
			cs.t.Fatal(err)
		}
		if err := run(exec.Command("mkfs.ext4", "-q", "-m", "0", image)); err != nil {
			cs.t.Fatal(err)
		}
	}
	if err := run(c.inside("mount", "-o", "loop", image, c.disk())); err != nil {
		cs.t.Fatal(err)
	}
}

// fill leaves a few MB free on the machine's disk. What it returns makes room again.
func (cs *cells) fill(c *cell) (free func()) {
	cs.t.Helper()
	ballast := filepath.Join(c.disk(), "ballast")
	out, err := c.inside("df", "--output=avail", "-B1", c.disk()).Output()
	if err != nil {
		cs.t.Fatal(err)
	}
	avail := strings.Fields(string(out))
	// All of it but what the file itself costs the file system.
	bytes, err := strconv.Atoi(avail[len(avail)-1])
	if err != nil {
		cs.t.Fatal(err)
	}
	if err := run(c.inside("fallocate", "-l", strconv.Itoa(bytes-16<<20), ballast)); err != nil {
		cs.t.Fatal(err)
	}
	return func() {
		if err := run(c.inside("rm", "-f", ballast)); err != nil {
			cs.t.Error(err)
		}
	}
}

// partDisk: the disk of a machine is full. What runs there goes on, and a new app runs on another machine.
func partDisk(cs *cells, u *user) {
	c := cs.all[1]
	cs.served("while a disk was full", func() {
		free := cs.fill(c)
		defer free()
		began := time.Now()
		u.must("push", "third", "-p", "apps/static", "-m", "64M", "--no-wait")
		defer u.must("delete", "-f", "-r", "third")
		u.must("scale", "third", "-i", "3")
		cs.eventually("a new app runs", 90*time.Second, func() bool { return u.running("third") == 3 })
		cs.t.Logf("a new app runs beside a full disk after %s", time.Since(began).Round(100*time.Millisecond))
		cs.eventually("nodes says which machine is full", 30*time.Second, func() bool { return cs.states()[c.name] == "DISK FULL" })
	})
}

// partRegistry: no machine reaches the server's images. An instance whose image is on its machine starts again without
// them; a new app starts soon after they can be had again.
func partRegistry(cs *cells, u *user) {
	block := []string{"INPUT", "-i", cs.bridge, "-p", "tcp", "--dport", cs.door(), "-j", "REJECT", "--reject-with", "tcp-reset"}
	unblock := cs.rule(block)
	defer unblock()
	c := cs.where(u, "single")
	for _, id := range cs.containersOf(c, u.guid("single")) {
		if err := run(c.inside("docker", "-H", "unix:///run/docker.sock", "kill", id)); err != nil {
			cs.t.Fatal(err)
		}
	}
	took := cs.eventually("an instance starts again without the registry", 30*time.Second, func() bool {
		status, _, err := cs.p.get("single", "/")
		return err == nil && status == http.StatusOK
	})
	cs.t.Logf("an instance whose image was there answers again after %s", took.Round(100*time.Millisecond))
	r := u.try("push", "late", "-p", "apps/static", "-m", "64M")
	defer u.must("delete", "-f", "-r", "late")
	if r.code == 0 || !strings.Contains(r.all(), "could not start: Failed to pull") {
		cs.t.Errorf("push of an app whose image cannot be had: exit %d\n%s", r.code, r.all())
	}
	unblock()
	took = cs.eventually("the new app runs when the registry is back", 90*time.Second, func() bool { return u.running("late") == 1 })
	cs.t.Logf("a new app runs %s after the registry is back", took.Round(100*time.Millisecond))
}

// door is the port where machines get images.
func (cs *cells) door() string {
	cs.t.Helper()
	text, err := os.ReadFile(filepath.Join(cs.all[0].dir, "node", "node.json"))
	if err != nil {
		cs.t.Fatal(err)
	}
	var n struct{ Server string }
	if err := json.Unmarshal(text, &n); err != nil {
		cs.t.Fatal(err)
	}
	return portText(n.Server)
}

// rule adds a rule to this machine's firewall. What it returns takes it away; twice does no harm.
func (cs *cells) rule(rule []string) (remove func()) {
	cs.t.Helper()
	if err := run(exec.Command("iptables", append([]string{"-w", "-I"}, rule...)...)); err != nil {
		cs.t.Fatal(err)
	}
	there := true
	remove = func() {
		if !there {
			return
		}
		there = false
		if err := run(exec.Command("iptables", append([]string{"-w", "-D"}, rule...)...)); err != nil {
			cs.t.Error(err)
		}
	}
	cs.t.Cleanup(remove)
	return remove
}

// containersOf are the ids of an app's containers on a machine.
func (cs *cells) containersOf(c *cell, app string) []string {
	cs.t.Helper()
	out, err := c.inside("docker", "-H", "unix:///run/docker.sock", "ps", "-q", "--no-trunc", "--filter", "label=cupola.label.app="+app).Output()
	if err != nil {
		cs.t.Fatal(err)
	}
	return strings.Fields(string(out))
}

// noisy is a job that nobody runs.
const noisy = `job "noise" {
  datacenters = ["nowhere"]
  type        = "batch"
  meta { run = "%d" }
  group "g" {
    task "t" {
      driver = "docker"
      config { image = "none" }
    }
  }
}
`

// forgetEvents has so much happen in Nomad that it does not remember what was before.
func (cs *cells) forgetEvents(far *cell, at string) {
	cs.t.Helper()
	file := filepath.Join(cs.dir, "noise.hcl")
	for n := range 6 { // each is several events
		if err := os.WriteFile(file, fmt.Appendf(nil, noisy, n), 0o600); err != nil {
			cs.t.Fatal(err)
		}
		if err := run(far.inside("nomad", "job", "run", at, "-detach", file)); err != nil {
			cs.t.Fatal(err)
		}
	}
}

// remembers reports whether Nomad would tell one who follows its events that a job was purged, before what forgetEvents did last.
func (cs *cells) remembers(job string) bool {
	cs.t.Helper()
	client := http.Client{Timeout: time.Minute}
	res, err := client.Get("http://" + cs.servers[0].http + "/v1/event/stream?topic=Job&index=0")
	if err != nil {
		cs.t.Fatal(err)
	}
	defer res.Body.Close()
	in := bufio.NewReader(res.Body)
	for {
		line, err := in.ReadString('\n')
		if err != nil {
			cs.t.Fatal(err)
		}
		if strings.Contains(line, "JobDeregistered") && strings.Contains(line, job) {
			return true
		}
		if strings.Contains(line, `"run":"5"`) {
			return false
		}
	}
}

// partGap: the server is cut off from Nomad, while a job is purged and Nomad forgets that it was, events too. When it hears again it
// compares everything.
func partGap(cs *cells, u *user) {
	cs.served("while the server was cut off from Nomad", func() {
		var unblock []func()
		for _, s := range cs.servers {
			unblock = append(unblock, cs.rule([]string{"OUTPUT", "-o", "lo", "-d", cs.prefix + "1", "-p", "tcp", "--dport", portText(s.http), "-j", "REJECT", "--reject-with", "tcp-reset"}))
		}
		cs.eventually("the controller says that Nomad is away", 30*time.Second, func() bool {
			status, body, err := cs.p.get("api", "/readyz")
			return err == nil && status != http.StatusOK && strings.Contains(body, "Nomad")
		})
		far := cs.all[0]
		at := "-address=http://" + cs.servers[0].http
		out, err := far.inside("nomad", "job", "status", at).Output()
		if err != nil {
			cs.t.Fatal(err)
		}
		var job string
		for line := range strings.Lines(string(out)) {
			if f := strings.Fields(line); len(f) > 1 && strings.HasPrefix(f[0], "cupola-") {
				job = f[0]
			}
		}
		for _, args := range [][]string{{"nomad", "job", "stop", at, "-purge", "-yes", "-detach", job}, {"nomad", "system", "gc", at}} {
			if err := run(far.inside(args...)); err != nil {
				cs.t.Fatal(err)
			}
		}
		cs.forgetEvents(far, at)
		for _, do := range unblock {
			do()
		}
		if cs.remembers(job) {
			cs.t.Errorf("Nomad has not forgotten that %s was purged: no gap is shown", job)
		}
		took := cs.eventually("Nomad is followed again", 30*time.Second, func() bool {
			status, _, err := cs.p.get("api", "/readyz")
			return err == nil && status == http.StatusOK
		})
		cs.t.Logf("Nomad is followed again after %s", took.Round(100*time.Millisecond))
		if err := run(far.inside("nomad", "job", "stop", at, "-purge", "-yes", "-detach", "noise")); err != nil {
			cs.t.Error(err)
		}
	})
}

// steps are how far a deployment is, as its clients can see it: how it stands, and how many instances each
// generation of the process wants and has. It asks by itself: while a command starts, a step may be over.
func (u *user) steps(token, app, deployment string) (text, status string) {
	u.t.Helper()
	ask := func(path string, into any) {
		if err := u.ask(token, path, into); err != nil {
			u.t.Fatal(err)
		}
	}
	var d struct {
		Status struct {
			Value, Reason string
			Canary        struct{ Steps struct{ Current int } }
		}
	}
	var processes struct {
		Resources []struct {
			GUID, Type string
			Instances  int
		}
	}
	ask("/v3/deployments/"+deployment, &d)
	ask("/v3/apps/"+app+"/processes?order_by=created_at", &processes)
	var all strings.Builder
	fmt.Fprint(&all, d.Status.Value, " ", d.Status.Reason, " ", d.Status.Canary.Steps.Current)
	for _, p := range processes.Resources {
		var stats struct{ Resources []struct{ State string } }
		ask("/v3/processes/"+p.GUID+"/stats", &stats)
		up := 0
		for _, s := range stats.Resources {
			if s.State == "RUNNING" {
				up++
			}
		}
		if p.Type == "web" {
			fmt.Fprintf(&all, " %d/%d", up, p.Instances)
		}
	}
	return all.String(), d.Status.Reason
}

// TestKilledInEveryStepOfADeployment kills the server each time that a deployment has come a step further, and starts it again. The
// deployment ends as it should, and there are never less instances than wanted.
func TestKilledInEveryStepOfADeployment(t *testing.T) {
	const wanted = 3
	p := own(t)
	u := newUser(t, p)
	dir := sample(t, "static")
	u.must("push", "stepper", "-p", dir, "-f", filepath.Join(dir, "manifest.yml"), "-i", fmt.Sprint(wanted))
	app := u.guid("stepper")
	for _, strategy := range []string{"rolling", "canary"} {
		t.Run(strategy, func(t *testing.T) {
			mine := *u
			mine.t = t
			before := containers(t, p)
			var droplet struct{ GUID string }
			mine.curl("/v3/apps/"+app+"/droplets/current", &droplet)
			body := fmt.Sprintf(`{"strategy":%q,"droplet":{"guid":%q},"relationships":{"app":{"data":{"guid":%q}}}}`, strategy, droplet.GUID, app)
			var d struct{ GUID string }
			mine.curlPost("/v3/deployments", body, &d)
			token := strings.TrimSpace(mine.must("oauth-token"))
			kills := mine.killAtEachStep(token, app, d.GUID, wanted)
			t.Logf("killed %d times", kills)
			if kills < 2 { // on a cluster instances start meanwhile
				t.Errorf("the server was killed at %d steps, want 2 or more", kills)
			}
			mine.eventually("just the wanted instances are there", func() bool { return len(containers(t, p)) == wanted })
			for id := range containers(t, p) {
				if _, old := before[id]; old {
					t.Errorf("container %s of before the deployment still runs", id)
				}
			}
			if text, _ := mine.steps(token, app, d.GUID); !strings.HasSuffix(text, fmt.Sprintf(" %d/%d", wanted, wanted)) || strings.Count(text, "/") != 1 {
				t.Errorf("after the deployment: %s", text)
			}
			mine.answers("stepper", "/", http.StatusOK, "")
		})
	}
}

// killAtEachStep returns how often it killed the server until the deployment was done.
func (u *user) killAtEachStep(token, app, deployment string, wanted int) int {
	u.t.Helper()
	seen := map[string]bool{}
	for end := time.Now().Add(5 * time.Minute); time.Now().Before(end); {
		text, reason := u.steps(token, app, deployment)
		switch {
		case reason == "DEPLOYED":
			return len(seen)
		case reason != "DEPLOYING" && reason != "PAUSED":
			u.t.Fatalf("after %d kills the deployment is %s", len(seen), text)
		}
		if !seen[text] {
			seen[text] = true
			u.platform.kill()
			if n := len(containers(u.t, u.platform)); n < wanted {
				u.t.Errorf("at %q %d containers run, want %d or more", text, n, wanted)
			}
			u.platform.boot(u.t)
			continue
		}
		if reason == "PAUSED" {
			u.must("curl", "/v3/deployments/"+deployment+"/actions/continue", "-X", "POST")
			u.eventually("the deployment goes on", func() bool { _, r := u.steps(token, app, deployment); return r != "PAUSED" })
		}
	}
	u.t.Fatalf("the deployment does not end:\n%s", serverLogOnFailure(u.platform))
	return 0
}
