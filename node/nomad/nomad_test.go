package nomad

import (
	"context"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/netip"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/google/uuid"
	"github.com/hashicorp/nomad/api"
	"golang.org/x/sys/unix"

	"github.com/cupola-paas/cupola/node"
	"github.com/cupola-paas/cupola/node/docker"
	"github.com/cupola-paas/cupola/node/enginetest"
)

func quiet() *slog.Logger { return slog.New(slog.NewTextHandler(io.Discard, nil)) }

// cluster is a Nomad that is server and client at once, on loopback ports of its own.
type cluster struct {
	address, dir, program, config string
	cmd                           *exec.Cmd
}

// startCluster starts one that ends with the test. It skips where there is no nomad, no Docker, or no right to run
// containers. more is configuration besides.
func startCluster(t *testing.T, more ...string) *cluster {
	t.Helper()
	program, err := exec.LookPath("nomad")
	if err != nil {
		t.Skip("no nomad on PATH: the engine is not tested against a cluster here")
	}
	if os.Getuid() != 0 {
		t.Skip("not root: a Nomad client needs that")
	}
	if c, err := net.Dial("unix", "/var/run/docker.sock"); err != nil {
		t.Skip("no Docker here: the engine is not tested against a cluster")
	} else {
		c.Close()
	}
	dir := t.TempDir()
	ports := freePorts(t, 3)
	config := filepath.Join(dir, "config")
	text := fmt.Sprintf(`
data_dir  = %q
bind_addr = "127.0.0.1"
advertise {
  http = "127.0.0.1"
  rpc  = "127.0.0.1"
  serf = "127.0.0.1"
}
ports {
  http = %d
  rpc  = %d
  serf = %d
}
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
  reserved { memory = 256 }
}
plugin "docker" {
  config {
    volumes { enabled = false }
    allow_privileged = false
    gc { image = false }
  }
}
`, filepath.Join(dir, "data"), ports[0], ports[1], ports[2])
	if err := os.Mkdir(config, 0o700); err != nil {
		t.Fatal(err)
	}
	for n, text := range append([]string{text}, more...) {
		if err := os.WriteFile(filepath.Join(config, fmt.Sprintf("%d.hcl", n)), []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	c := &cluster{address: fmt.Sprintf("http://127.0.0.1:%d", ports[0]), dir: dir, program: program, config: config}
	c.run(t)
	t.Cleanup(func() {
		c.stop(t)
		if t.Failed() {
			log, _ := os.ReadFile(filepath.Join(dir, "nomad.log"))
			keep := filepath.Join(os.TempDir(), "nomad-test.log")
			_ = os.WriteFile(keep, log, 0o600)
			t.Logf("Nomad's log is in %s", keep)
		}
		unmount(t, filepath.Join(dir, "data"))
	})
	awaitNode(t, c.address)
	return c
}

// run starts Nomad, with what it has on disk.
func (c *cluster) run(t *testing.T) {
	t.Helper()
	out, err := os.OpenFile(filepath.Join(c.dir, "nomad.log"), os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o600)
	if err != nil {
		t.Fatal(err)
	}
	defer out.Close()
	c.cmd = exec.Command(c.program, "agent", "-config", c.config)
	c.cmd.Stdout, c.cmd.Stderr = out, out
	if err := c.cmd.Start(); err != nil {
		t.Fatal(err)
	}
}

// stop ends it; containers go on.
func (c *cluster) stop(t *testing.T) {
	t.Helper()
	if err := c.cmd.Process.Signal(os.Interrupt); err != nil {
		return // it has been stopped
	}
	_ = c.cmd.Wait() // it ends with the status of a signal
}

// unmount takes away what Nomad leaves mounted in its folder, so that the folder can be removed.
func unmount(t *testing.T, dir string) {
	t.Helper()
	text, err := os.ReadFile("/proc/mounts")
	if err != nil {
		t.Fatal(err)
	}
	for line := range strings.Lines(string(text)) {
		if f := strings.Fields(line); len(f) > 1 && strings.HasPrefix(f[1], dir+"/") {
			if err := unix.Unmount(f[1], 0); err != nil {
				t.Logf("unmount %s: %v", f[1], err)
			}
		}
	}
}

func freePorts(t *testing.T, n int) []int {
	t.Helper()
	var all []int
	for range n {
		l, err := net.Listen("tcp", "127.0.0.1:0")
		if err != nil {
			t.Fatal(err)
		}
		defer l.Close()
		all = append(all, l.Addr().(*net.TCPAddr).Port)
	}
	return all
}

// awaitNode waits until the cluster has a leader and a node that is ready.
func awaitNode(t *testing.T, address string) {
	t.Helper()
	c, err := api.NewClient(&api.Config{Address: address})
	if err != nil {
		t.Fatal(err)
	}
	give := time.Now().Add(time.Minute)
	for {
		nodes, _, err := c.Nodes().List(&api.QueryOptions{})
		if err == nil && len(nodes) == 1 && nodes[0].Status == api.NodeStatusReady && nodes[0].Drivers["docker"] != nil && nodes[0].Drivers["docker"].Healthy {
			return
		}
		if time.Now().After(give) {
			t.Fatalf("the cluster is not ready: %v, %v", nodes, err)
		}
		time.Sleep(100 * time.Millisecond)
	}
}

// opener opens engines of one installation on a cluster.
func opener(t *testing.T, address, installation string, change ...func(*Options)) func(t *testing.T, images string) *Nomad {
	t.Cleanup(func() {
		d, err := docker.Open(context.Background(), docker.Options{Installation: installation, Attach: true, Logger: quiet()})
		if err != nil {
			t.Error(err)
			return
		}
		if err := d.Purge(context.Background()); err != nil {
			t.Error(err)
		}
		if err := d.Close(); err != nil {
			t.Error(err)
		}
	})
	places := &remembered{m: map[string]string{}} // longer than an engine
	return func(t *testing.T, _ string) *Nomad {
		t.Helper()
		d, err := docker.Open(context.Background(), docker.Options{Installation: installation, Attach: true, Resync: time.Hour, Logger: quiet()})
		if err != nil {
			t.Fatal(err)
		}
		o := Options{
			Installation: installation, Address: address, Local: d, Places: places, LocalDNS: []netip.Addr{d.Gateway()},
			Backoff: enginetest.Backoff, Resync: time.Hour, Logger: quiet(),
		}
		for _, do := range change {
			do(&o)
		}
		e, err := Open(context.Background(), o)
		if err != nil {
			t.Fatal(err)
		}
		return e
	}
}

func TestEngine(t *testing.T) {
	open := opener(t, startCluster(t).address, "t"+uuid.NewString()[:7])
	enginetest.Run(t, func(t *testing.T, images string) node.Engine { return open(t, images) })
}
