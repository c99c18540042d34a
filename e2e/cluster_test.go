package e2e

import (
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

// With CUPOLA_E2E_ENGINE=nomad all tests of this package run on a Nomad cluster of this machine, by the same
// words: one suite, two engines. Without it, TestOnNomad alone does so, where a nomad is on PATH.

// cluster is a Nomad that is server and client at once.
type cluster struct {
	address string
	dir     string
	cmd     *exec.Cmd
}

var errNoNomad = errors.New("no nomad on PATH")

const nomadConfig = `
data_dir  = %q
bind_addr = "127.0.0.1"
advertise {
  http = "127.0.0.1"
  rpc  = "127.0.0.1"
  serf = "127.0.0.1"
}
ports {
  http = %s
  rpc  = %s
  serf = %s
}
disable_update_check = true
server {
  enabled          = true
  bootstrap_expect = 1
}
client {
  enabled           = true
  network_interface = "lo"
  options = {
    "driver.allowlist"     = "docker"
    "fingerprint.denylist" = "env_aws,env_gce,env_azure,env_digitalocean,consul,vault"
  }
}
plugin "docker" {
  config {
    allow_privileged = false
    volumes { enabled = false }
  }
}
`

// startCluster starts one on free ports, in a folder of its own.
func startCluster(dir string) (*cluster, error) {
	program, err := exec.LookPath("nomad")
	if err != nil {
		return nil, errNoNomad
	}
	addresses, err := freePorts(3)
	if err != nil {
		return nil, err
	}
	var ports []any
	for _, a := range addresses {
		ports = append(ports, a[strings.LastIndex(a, ":")+1:])
	}
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return nil, err
	}
	config := filepath.Join(dir, "agent.hcl")
	text := fmt.Sprintf(nomadConfig, append([]any{filepath.Join(dir, "data")}, ports...)...)
	if err := os.WriteFile(config, []byte(text), 0o600); err != nil {
		return nil, err
	}
	log, err := os.Create(filepath.Join(dir, "nomad.log"))
	if err != nil {
		return nil, err
	}
	defer log.Close()
	c := &cluster{address: "http://" + addresses[0], dir: dir, cmd: exec.Command(program, "agent", "-config", config)}
	c.cmd.Stdout, c.cmd.Stderr = log, log
	c.cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	if err := c.cmd.Start(); err != nil {
		return nil, err
	}
	return c, c.ready(time.Minute)
}

// ready waits until the cluster has a node that can run containers.
func (c *cluster) ready(limit time.Duration) error {
	deadline := time.Now().Add(limit)
	for time.Now().Before(deadline) {
		var nodes []struct {
			Status  string
			Drivers map[string]struct{ Healthy bool }
		}
		if res, err := http.Get(c.address + "/v1/nodes"); err == nil {
			err = json.NewDecoder(res.Body).Decode(&nodes)
			res.Body.Close()
			if err == nil && len(nodes) == 1 && nodes[0].Status == "ready" && nodes[0].Drivers["docker"].Healthy {
				return nil
			}
		}
		time.Sleep(100 * time.Millisecond)
	}
	raw, _ := os.ReadFile(filepath.Join(c.dir, "nomad.log"))
	return fmt.Errorf("Nomad is not ready after %v:\n%s", limit, raw)
}

// remove ends Nomad and what it has left mounted.
func (c *cluster) remove() {
	_ = c.cmd.Process.Signal(os.Interrupt)
	_ = c.cmd.Wait()
	mounts, _ := os.ReadFile("/proc/mounts")
	for line := range strings.Lines(string(mounts)) {
		if f := strings.Fields(line); len(f) > 1 && strings.HasPrefix(f[1], c.dir+"/") {
			_ = unix.Unmount(f[1], 0)
		}
	}
	_ = os.RemoveAll(c.dir)
}

// onNomad makes a platform run its instances on a cluster of its own.
func (p *platform) onNomad() error {
	c, err := startCluster(filepath.Join(p.dir, "nomad"))
	if c != nil {
		p.cluster = c
	}
	if err == nil {
		p.joins(c)
	}
	return err
}

// joins makes a platform run its instances on a cluster, which others may use beside it.
func (p *platform) joins(c *cluster) {
	p.env = append(p.env, "CUPOLA_ENGINE=nomad", "CUPOLA_NOMAD_ADDR="+c.address, "CUPOLA_NODES=127.0.0.1:0")
}

// jobs are the names of Nomad's jobs that are not stopped.
func (c *cluster) jobs(t *testing.T) []string {
	t.Helper()
	res, err := http.Get(c.address + "/v1/jobs")
	if err != nil {
		t.Fatal(err)
	}
	defer res.Body.Close()
	var all []struct {
		ID   string
		Stop bool
	}
	if err := json.NewDecoder(res.Body).Decode(&all); err != nil {
		t.Fatal(err)
	}
	var names []string
	for _, j := range all {
		if !j.Stop {
			names = append(names, j.ID)
		}
	}
	return names
}

// ownPlatform is one for the test alone, not started yet. It skips where no cluster can be had.
func ownPlatform(t *testing.T) *platform {
	t.Helper()
	if _, err := exec.LookPath("nomad"); err != nil {
		t.Skip("no nomad on PATH: the cluster is not tested here")
	}
	if os.Getuid() != 0 {
		t.Skip("not root: Nomad's client needs that")
	}
	p, err := newPlatform(t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := p.remove(); err != nil {
			t.Error(err)
		}
	})
	return p
}

func (p *platform) mustStart(t *testing.T) {
	t.Helper()
	if err := p.start(); err != nil {
		t.Fatal(err)
	}
	if err := p.ready(20 * time.Minute); err != nil {
		t.Fatal(err)
	}
}

// TestFromOneMachineToACluster: what ran on Docker goes on when the platform is given a cluster, and moves there
// with no failed request.
func TestFromOneMachineToACluster(t *testing.T) {
	p := ownPlatform(t)
	p.mustStart(t)
	u := newUser(t, p)
	u.must("push", "mover", "-p", "apps/static", "-m", "64M")
	u.answers("mover", "/", http.StatusOK, "")
	if err := p.stop(); err != nil {
		t.Fatal(err)
	}
	if err := p.onNomad(); err != nil {
		t.Fatal(err)
	}
	p.mustStart(t)
	u.answers("mover", "/", http.StatusOK, "")
	if jobs := p.cluster.jobs(t); len(jobs) != 0 {
		t.Fatalf("just after the start Nomad has the jobs %v: nothing was restarted yet", jobs)
	}
	if got := u.must("nodes"); !strings.Contains(got, "READY") {
		t.Errorf("cupola nodes says:\n%s", got)
	}
	done := make(chan struct{})
	failed := askAll(done, func() (int, string, error) { return p.get("mover", "/") })
	u.must("restart", "mover", "--strategy", "rolling")
	close(done)
	if why, is := <-failed; is {
		t.Errorf("a request failed while the app moved: %s", why)
	}
	if jobs := p.cluster.jobs(t); len(jobs) != 1 {
		t.Errorf("after the move Nomad has the jobs %v, want one", jobs)
	}
	u.answers("mover", "/", http.StatusOK, "")
	if err := p.stop(); err != nil {
		t.Fatal(err)
	}
	back := *p
	back.env = append(p.env, "CUPOLA_ENGINE=docker", "CUPOLA_NOMAD_ADDR=", "CUPOLA_NODES=")
	if err := back.start(); err != nil {
		t.Fatal(err)
	}
	select {
	case err := <-back.exited:
		if err == nil || !strings.Contains(p.tail(5), "instances run in the Nomad cluster") {
			t.Errorf("the way back with instances in the cluster: %v\n%s", err, p.tail(5))
		}
	case <-time.After(time.Minute):
		back.kill()
		t.Error("the server went back to Docker while instances run in the cluster")
	}
}

// TestOnNomad: the same push on a cluster.
func TestOnNomad(t *testing.T) {
	p := shared
	if p.cluster == nil {
		p = ownPlatform(t)
		if err := p.onNomad(); err != nil {
			t.Fatal(err)
		}
		p.mustStart(t)
	}
	u := newUser(t, p)
	u.must("push", "on-nomad", "-p", "apps/static", "-i", "2", "-m", "64M")
	u.answers("on-nomad", "/", http.StatusOK, "")
	if n := len(p.cluster.jobs(t)); n < 2 {
		t.Errorf("Nomad has %d jobs, want one for each of 2 instances", n)
	}
	u.must("run-task", "on-nomad", "--command", "echo from-a-task", "--wait")
	if got := u.must("logs", "on-nomad", "--recent"); !strings.Contains(got, "from-a-task") {
		t.Errorf("the task's line is not in the logs:\n%s", got)
	}
	u.must("enable-ssh", "on-nomad")
	if got := u.must("ssh", "on-nomad", "-c", "echo inside-$CF_INSTANCE_INDEX"); !strings.Contains(got, "inside-0") {
		t.Errorf("ssh says %q", got)
	}
	u.must("scale", "on-nomad", "-i", "1")
	u.must("restart", "on-nomad", "--strategy", "rolling")
	u.answers("on-nomad", "/", http.StatusOK, "")
	u.must("delete", "-f", "-r", "on-nomad")
	for range 100 {
		if len(p.cluster.jobs(t)) == 0 {
			return
		}
		time.Sleep(100 * time.Millisecond)
	}
	t.Errorf("after the app was deleted Nomad has the jobs %v", p.cluster.jobs(t))
}
