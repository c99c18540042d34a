package e2e

import (
	"encoding/json"
	"fmt"
	"io/fs"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"
)

// A cell is a machine of its own, as far as programs can tell: its own network, processes, mounts and Docker. To
// kill its first process kills all of it at once, as a power cut would.
type cell struct {
	name, dir, address string
	link               string // the end of its cable on this machine
	first              *exec.Cmd
	docker, node       *exec.Cmd
}

// cells are machines on one network, at whose first address this machine is, with a cluster of Nomad servers there.
type cells struct {
	t       *testing.T
	p       *platform
	dir     string
	bridge  string
	prefix  string // of the network: three numbers and a dot
	all     []*cell
	servers []*nomadServer
}

type nomadServer struct {
	http, rpc, serf string
	dir             string
	cmd             *exec.Cmd
}

// inside runs a program in the cell.
func (c *cell) inside(args ...string) *exec.Cmd {
	at := []string{"-t", fmt.Sprint(c.first.Process.Pid), "-n", "-m", "-p"}
	return exec.Command("nsenter", append(at, args...)...)
}

func run(cmd *exec.Cmd) error {
	if out, err := cmd.CombinedOutput(); err != nil {
		return fmt.Errorf("%s: %w: %s", strings.Join(cmd.Args, " "), err, out)
	}
	return nil
}

// needCells skips where no such machines can be had.
func needCells(t *testing.T) {
	t.Helper()
	if os.Getuid() != 0 {
		t.Skip("not root: no machines can be made of namespaces")
	}
	for _, name := range []string{"nomad", "dockerd", "mkfs.ext4", "docker-init", "nsenter", "ip", "mount"} {
		if _, err := exec.LookPath(name); err != nil {
			t.Skipf("no %s on PATH: nodes that join are not tested here", name)
		}
	}
	if testing.Short() {
		t.Skip("-short: nodes that join are not tested")
	}
}

// newCells makes the network, three Nomad servers and a platform that runs its instances there, and then so many
// machines that join it.
func newCells(t *testing.T, many int) *cells {
	t.Helper()
	cs := newNetwork(t)
	cs.startServers(3)
	cs.startPlatform("CUPOLA_ENGINE=nomad", "CUPOLA_NOMAD_ADDR="+strings.Join(cs.agents(), ","))
	cs.addAll(many)
	cs.eventually("all nodes are READY", time.Minute, func() bool { return cs.count("READY") == many })
	return cs
}

// newNetwork makes the network alone.
func newNetwork(t *testing.T) *cells {
	t.Helper()
	needCells(t)
	dir, err := os.MkdirTemp("", "cupola-e2e-cells-")
	if err != nil {
		t.Fatal(err)
	}
	tag := os.Getpid() % 250
	cs := &cells{t: t, dir: dir, bridge: fmt.Sprintf("cupe2e%d", tag), prefix: fmt.Sprintf("10.213.%d.", tag)}
	t.Cleanup(cs.remove)
	for _, args := range [][]string{
		// With an address of its own: one that follows the cables' would change under the machines' feet.
		{"link", "add", cs.bridge, "address", "02:cf:00:00:00:01", "type", "bridge"}, {"addr", "add", cs.prefix + "1/24", "dev", cs.bridge}, {"link", "set", cs.bridge, "up"},
	} {
		if err := run(exec.Command("ip", args...)); err != nil {
			t.Fatal(err)
		}
	}
	// The machines reach each other, whatever this one forbids those of its own Docker.
	cs.rule([]string{"FORWARD", "-i", cs.bridge, "-o", cs.bridge, "-j", "ACCEPT"})
	return cs
}

// addAll makes machines, has them join, and waits until the platform can be used.
func (cs *cells) addAll(many int) {
	cs.t.Helper()
	for n := range many {
		cs.add(fmt.Sprintf("cell-%d", n+1))
	}
	if err := cs.p.ready(5 * time.Minute); err != nil {
		cs.t.Fatal(err)
	}
}

// eventually waits until something is so; the limit is what is promised.
func (cs *cells) eventually(what string, limit time.Duration, so func() bool) time.Duration {
	cs.t.Helper()
	began := time.Now()
	for !so() {
		if time.Since(began) > limit {
			cs.t.Fatalf("not within %s: %s", limit, what) // remove tells the rest
		}
		time.Sleep(100 * time.Millisecond)
	}
	return time.Since(began)
}

// report is what helps to see why, the shortest last: who reads the log of a machine far away may see its end only.
func (cs *cells) report() string {
	var out strings.Builder
	fmt.Fprintf(&out, "%s\n", serverLogOnFailure(cs.p))
	for _, c := range cs.all {
		for _, name := range []string{"node.log", "dockerd.log"} {
			raw, _ := os.ReadFile(filepath.Join(c.dir, name))
			lines := strings.Split(strings.TrimSpace(string(raw)), "\n")
			fmt.Fprintf(&out, "--- %s %s ---\n", c.name, name)
			for _, line := range lines[max(0, len(lines)-6):] {
				fmt.Fprintf(&out, "%.220s\n", line)
			}
		}
	}
	fmt.Fprintf(&out, "--- containers: %s\n--- attempts in Nomad:\n", cs.containers())
	for _, a := range cs.attempts() {
		fmt.Fprintln(&out, a)
	}
	return out.String()
}

// attempts are the allocations that the servers know and that aren't over, one a line.
func (cs *cells) attempts() []string {
	client := http.Client{Timeout: 2 * time.Second}
	for _, s := range cs.servers {
		res, err := client.Get("http://" + s.http + "/v1/allocations")
		if err != nil {
			continue
		}
		var list []struct{ ID, JobID, NodeName, DesiredStatus, ClientStatus string }
		err = json.NewDecoder(res.Body).Decode(&list)
		res.Body.Close()
		if err != nil {
			continue
		}
		var all []string
		for _, a := range list {
			if a.ClientStatus != "complete" {
				all = append(all, fmt.Sprintf("%s %s on %s: wanted %s, is %s", a.ID, a.JobID, a.NodeName, a.DesiredStatus, a.ClientStatus))
			}
		}
		return all
	}
	return nil
}

// addresses are free ports of this machine on the cells' network.
func (cs *cells) addresses(n int) []string {
	cs.t.Helper()
	var all []string
	for range n {
		l, err := net.Listen("tcp", cs.prefix+"1:0")
		if err != nil {
			cs.t.Fatal(err)
		}
		defer l.Close()
		all = append(all, l.Addr().String())
	}
	return all
}

func portText(address string) string { return address[strings.LastIndex(address, ":")+1:] }

const serverConfig = `
name      = %q
data_dir  = %q
bind_addr = %q
ports {
  http = %s
  rpc  = %s
  serf = %s
}
disable_update_check = true
leave_on_terminate   = false
server {
  enabled           = true
  bootstrap_expect  = %d
  min_heartbeat_ttl = "5s"
  heartbeat_grace   = "5s"
  raft_multiplier   = 1
  event_buffer_size = 10
  server_join { retry_join = %s }
}
`

func (cs *cells) startServers(n int) {
	cs.t.Helper()
	at := cs.addresses(3 * n)
	var join []string
	for i := range n {
		join = append(join, at[3*i+2])
	}
	peers, err := json.Marshal(join)
	if err != nil {
		cs.t.Fatal(err)
	}
	for i := range n {
		s := &nomadServer{http: at[3*i], rpc: at[3*i+1], serf: at[3*i+2], dir: filepath.Join(cs.dir, fmt.Sprintf("server-%d", i+1))}
		text := fmt.Sprintf(serverConfig, fmt.Sprintf("server-%d", i+1), filepath.Join(s.dir, "data"), cs.prefix+"1", portText(s.http), portText(s.rpc), portText(s.serf), n, peers)
		if err := os.MkdirAll(s.dir, 0o700); err != nil {
			cs.t.Fatal(err)
		}
		if err := os.WriteFile(filepath.Join(s.dir, "agent.hcl"), []byte(text), 0o600); err != nil {
			cs.t.Fatal(err)
		}
		cs.servers = append(cs.servers, s)
		s.start(cs.t)
	}
	cs.eventuallyLeader(time.Minute)
}

func (s *nomadServer) start(t *testing.T) {
	t.Helper()
	log, err := os.OpenFile(filepath.Join(s.dir, "nomad.log"), os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o600)
	if err != nil {
		t.Fatal(err)
	}
	defer log.Close()
	s.cmd = exec.Command("nomad", "agent", "-config", filepath.Join(s.dir, "agent.hcl"))
	s.cmd.Stdout, s.cmd.Stderr = log, log
	if err := s.cmd.Start(); err != nil {
		t.Fatal(err)
	}
}

func kill(cmd *exec.Cmd) {
	if cmd != nil && cmd.Process != nil {
		_ = cmd.Process.Kill()
		_ = cmd.Wait()
	}
}

// leader is the RPC address of the leader; empty: there is none.
func (cs *cells) leader() string {
	client := http.Client{Timeout: 2 * time.Second}
	for _, s := range cs.servers {
		if s.cmd == nil {
			continue
		}
		res, err := client.Get("http://" + s.http + "/v1/status/leader")
		if err != nil {
			continue
		}
		var leader string
		err = json.NewDecoder(res.Body).Decode(&leader)
		res.Body.Close()
		if err == nil && leader != "" {
			return leader
		}
	}
	return ""
}

func (cs *cells) eventuallyLeader(limit time.Duration) {
	cs.t.Helper()
	for end := time.Now().Add(limit); cs.leader() == ""; time.Sleep(100 * time.Millisecond) {
		if time.Now().After(end) {
			cs.t.Fatalf("Nomad has no leader within %s", limit)
		}
	}
}

// agents are the addresses of the servers.
func (cs *cells) agents() []string {
	var all []string
	for _, s := range cs.servers {
		all = append(all, "http://"+s.http)
	}
	return all
}

// startPlatform starts one whose API the cells reach. It is asked only whether it lives: without nodes it is not ready.
func (cs *cells) startPlatform(env ...string) {
	cs.t.Helper()
	dir := filepath.Join(cs.dir, "platform")
	if err := os.MkdirAll(dir, 0o700); err != nil {
		cs.t.Fatal(err)
	}
	p, err := newPlatform(dir)
	if err != nil {
		cs.t.Fatal(err)
	}
	cs.p = p
	p.env = append(append(p.env, "CUPOLA_HTTPS=0.0.0.0:"+portText(p.https), "CUPOLA_NODES="+cs.addresses(1)[0]), env...)
	if err := p.start(); err != nil {
		cs.t.Fatal(err)
	}
	cs.eventually("the API answers", time.Minute, func() bool {
		status, _, err := p.get("api", "/healthz")
		return err == nil && status == http.StatusOK
	})
}

// operator is the administrator without an org.
func (cs *cells) operator() *user {
	cs.t.Helper()
	u := &user{platform: cs.p, t: cs.t, home: filepath.Join(cs.dir, "operator")}
	if _, err := os.Stat(u.home); err != nil {
		if err := os.MkdirAll(u.home, 0o700); err != nil {
			cs.t.Fatal(err)
		}
		u.must("api", cs.p.url("api", ""), "--skip-ssl-validation")
		u.must("login", "-u", "admin", "-p", password)
	}
	return u
}

// states are the nodes' states by name.
func (cs *cells) states() map[string]string {
	var all []struct{ Name, State string }
	r := cs.operator().try("nodes", "--json")
	_ = json.Unmarshal([]byte(r.out), &all)
	out := map[string]string{}
	for _, n := range all {
		out[n.Name] = n.State
	}
	return out
}

func (cs *cells) count(state string) int {
	n := 0
	for _, s := range cs.states() {
		if s == state {
			n++
		}
	}
	return n
}

// add makes a machine, and has it join.
func (cs *cells) add(name string) *cell {
	cs.t.Helper()
	n := len(cs.all)
	c := &cell{name: name, dir: filepath.Join(cs.dir, name), address: fmt.Sprintf("%s%d", cs.prefix, n+2), link: fmt.Sprintf("%sv%d", cs.bridge, n)}
	cs.all = append(cs.all, c)
	if err := os.MkdirAll(c.dir, 0o700); err != nil {
		cs.t.Fatal(err)
	}
	hosts := fmt.Sprintf("127.0.0.1 localhost %s\n%s1 api.%s\n", name, cs.prefix, cs.p.domain)
	if err := os.WriteFile(filepath.Join(c.dir, "hosts"), []byte(hosts), 0o644); err != nil {
		cs.t.Fatal(err)
	}
	cs.boot(c)
	r := cs.join(c, cs.token())
	if r.code != 0 {
		cs.t.Fatalf("%s does not join:\n%s", name, r.all())
	}
	cs.startNode(c)
	return c
}

// token lets in one machine.
func (cs *cells) token(flags ...string) string {
	cs.t.Helper()
	var made struct{ Token string }
	o := cs.operator()
	o.decode(o.must(append([]string{"node", "token", "--json"}, flags...)...), &made)
	return made.Token
}

// join runs the command on the machine.
func (cs *cells) join(c *cell, token string, more ...string) result {
	args := []string{cs.p.binary, "node", "join", cs.p.url("api", ""), "--address", c.address, "--name", c.name, "--dir", filepath.Join(c.dir, "node")}
	cmd := c.inside(append(args, more...)...)
	cmd.Env = append(os.Environ(), "CUPOLA_HOME="+filepath.Join(c.dir, "home"), "CUPOLA_NODE_TOKEN="+token, "NO_COLOR=1")
	return finish(cmd)
}

// boot starts the machine: its network, its own /run, its Docker.
func (cs *cells) boot(c *cell) {
	cs.t.Helper()
	c.first = exec.Command("docker-init", "--", "sleep", "infinity") // it buries the dead, as an init does
	c.first.SysProcAttr = &syscall.SysProcAttr{Cloneflags: syscall.CLONE_NEWNET | syscall.CLONE_NEWNS | syscall.CLONE_NEWPID, Pdeathsig: syscall.SIGKILL}
	if err := startForGood(c.first); err != nil {
		cs.t.Skipf("no namespaces can be made here: %v", err)
	}
	pid := fmt.Sprint(c.first.Process.Pid)
	for _, cmd := range []*exec.Cmd{
		exec.Command("ip", "link", "add", c.link, "type", "veth", "peer", "name", "eth0", "netns", pid),
		exec.Command("ip", "link", "set", c.link, "master", cs.bridge, "up"),
		c.inside("ip", "link", "set", "lo", "up"),
		c.inside("ip", "addr", "add", c.address+"/24", "dev", "eth0"),
		c.inside("ip", "link", "set", "eth0", "up"),
		c.inside("ip", "route", "add", "default", "via", cs.prefix+"1"),
		c.inside("mount", "--make-rprivate", "/"),
		c.inside("mount", "-t", "proc", "proc", "/proc"),
		c.inside("mount", "-t", "tmpfs", "tmpfs", "/run"),
		c.inside("mount", "--bind", filepath.Join(c.dir, "hosts"), "/etc/hosts"),
	} {
		if err := run(cmd); err != nil {
			cs.t.Fatal(err)
		}
	}
	cs.makeDisk(c)
	cs.startDocker(c)
}

// startForGood starts a program that the kernel ends with this process: it does so when the thread ends that started it, and
// threads end when a test has changed one for itself, so this one stays.
func startForGood(cmd *exec.Cmd) error {
	started := make(chan error)
	go func() {
		runtime.LockOSThread()
		started <- cmd.Start()
		select {}
	}()
	return <-started
}

func (cs *cells) background(c *cell, log string, args ...string) *exec.Cmd {
	cs.t.Helper()
	out, err := os.OpenFile(filepath.Join(c.dir, log), os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o600)
	if err != nil {
		cs.t.Fatal(err)
	}
	defer out.Close()
	cmd := c.inside(args...)
	cmd.Stdout, cmd.Stderr = out, out
	cmd.Env = append(os.Environ(), "CUPOLA_HOME="+filepath.Join(c.dir, "home"))
	if err := cmd.Start(); err != nil {
		cs.t.Fatal(err)
	}
	return cmd
}

func (c *cell) cgroup() string { return "cupola-" + filepath.Base(filepath.Dir(c.dir)) + "-" + c.name }

func (cs *cells) startDocker(c *cell) {
	cs.t.Helper()
	c.docker = cs.background(c, "dockerd.log", "dockerd", "--data-root", c.disk(), "--exec-root", "/run/docker", "--pidfile", "/run/docker.pid",
		"--cgroup-parent", "/"+c.cgroup(), "-H", "unix:///run/docker.sock")
	cs.eventually("Docker answers on "+c.name, time.Minute, func() bool { return c.inside("docker", "-H", "unix:///run/docker.sock", "version").Run() == nil })
}

func (cs *cells) startNode(c *cell) {
	cs.t.Helper()
	c.node = cs.background(c, "node.log", cs.p.binary, "node", "run", "--dir", filepath.Join(c.dir, "node"))
}

// cut takes the machine off the network, or plugs it in again.
func (cs *cells) cut(c *cell, off bool) {
	cs.t.Helper()
	state := "up"
	if off {
		state = "down"
	}
	if err := run(exec.Command("ip", "link", "set", c.link, state)); err != nil {
		cs.t.Fatal(err)
	}
}

// powerOff ends the machine as a power cut does.
func (cs *cells) powerOff(c *cell) {
	_ = c.first.Process.Kill()
	// The kernel ends a machine when each program in it has been waited for. Who brought one there does, unless it was stopped with it.
	for _, who := range []*exec.Cmd{c.docker, c.node} {
		if who != nil && who.Process != nil {
			_ = who.Process.Signal(syscall.SIGCONT)
			_ = who.Wait()
		}
	}
	_ = c.first.Wait()
	c.docker, c.node = nil, nil
}

// remove ends everything and leaves nothing behind.
func (cs *cells) remove() {
	t := cs.t
	if t.Failed() && cs.p != nil {
		t.Log(cs.report())
	}
	if cs.p != nil {
		if err := cs.p.remove(); err != nil {
			t.Errorf("clean-up: %v", err)
		}
	}
	for _, c := range cs.all {
		if c.first != nil {
			cs.powerOff(c)
		}
		_ = exec.Command("ip", "link", "del", c.link).Run() // it goes with its machine
		removeCgroups(c.cgroup())
	}
	for _, s := range cs.servers {
		kill(s.cmd)
	}
	_ = exec.Command("ip", "link", "del", cs.bridge).Run() // absent if it could not be made
	if err := os.RemoveAll(cs.dir); err != nil {
		t.Errorf("clean-up: %v", err)
	}
}

// removeCgroups takes away the empty folders of containers that were killed with their machine.
func removeCgroups(name string) {
	roots, _ := filepath.Glob("/sys/fs/cgroup/*/" + name)
	for _, root := range append(roots, "/sys/fs/cgroup/"+name) {
		var dirs []string
		_ = filepath.WalkDir(root, func(path string, d fs.DirEntry, err error) error {
			if err == nil && d.IsDir() {
				dirs = append(dirs, path)
			}
			return nil
		})
		slices.Reverse(dirs) // what is inside first
		for _, dir := range dirs {
			_ = syscall.Rmdir(dir)
		}
	}
}
