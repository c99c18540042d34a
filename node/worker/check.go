package worker

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/docker/docker/api/types/system"
	"github.com/docker/docker/client"
	"golang.org/x/sys/unix"

	"github.com/cupola-paas/cupola/node/nomad"
	"github.com/cupola-paas/cupola/node/nomad/program"
)

// Least that a node must have.
const (
	minKernel  = "4.15"
	minDocker  = "20.10.0"
	minDiskMB  = 2048
	lowDiskMB  = 10 * 1024
	maxSkew    = 30 * time.Second
	dockerTime = 15 * time.Second // for Docker to say what it is
	wayTime    = 5 * time.Second  // for others to take a connection
)

// How a finding stands.
const (
	OK   = "ok"
	Warn = "warning" // it works, with less than it should
	Fail = "failed"
)

// Finding is what one look at the machine has shown.
type Finding struct {
	What   string `json:"check"`
	State  string `json:"state"` // OK, Warn or Fail
	Detail string `json:"detail"`
	Mend   string `json:"mend,omitempty"` // what to do, unless it is OK
}

// Machine is what is looked at.
type Machine struct {
	Dir          string
	Address      string
	DockerHost   string
	NomadProgram string
	// Ports that must be free, by what they are for: host:port.
	Ports map[string]string
	// Clock is what time the controller says that it is, and Asked when it was asked; zero: it was not.
	Clock, Asked time.Time
}

// Check looks at everything that a node needs and says what to mend. It changes nothing.
func Check(ctx context.Context, m Machine) []Finding {
	all := []Finding{checkRoot(), checkKernel(), checkClock(m), checkAddress(m.Address)}
	all = append(all, checkDocker(ctx, m.DockerHost)...)
	return append(append(all, checkTools(), checkNomad(ctx, m.NomadProgram), checkDisk("disk for the node", m.Dir)), checkPorts(m.Ports)...)
}

// Failed reports whether the machine cannot be a node as it is.
func Failed(all []Finding) bool {
	for _, f := range all {
		if f.State == Fail {
			return true
		}
	}
	return false
}

func checkRoot() Finding {
	if os.Geteuid() != 0 {
		return Finding{"root", Fail, "this is user " + strconv.Itoa(os.Geteuid()), "run it as root: Nomad's client and the rules of the network need that"}
	}
	return Finding{"root", OK, "yes", ""}
}

func checkKernel() Finding {
	var u unix.Utsname
	if err := unix.Uname(&u); err != nil {
		return Finding{"kernel", Fail, err.Error(), "use Linux"}
	}
	release := unix.ByteSliceToString(u.Release[:])
	if !atLeast(release, minKernel) {
		return Finding{"kernel", Fail, release, "upgrade to Linux " + minKernel + " or later"}
	}
	return Finding{"kernel", OK, release, ""}
}

// checkClock compares the clocks; the controller's answer may have taken as long as it took.
func checkClock(m Machine) Finding {
	if m.Clock.IsZero() {
		return Finding{"clock", Warn, "the server did not say what time it is", "compare the clocks of both machines"}
	}
	skew := m.Asked.Sub(m.Clock).Round(time.Second)
	if skew.Abs() > maxSkew {
		return Finding{"clock", Fail, fmt.Sprintf("%s away from the server's", skew.Abs()), "let both machines follow a time server (timedatectl set-ntp true)"}
	}
	return Finding{"clock", OK, fmt.Sprintf("%s away from the server's", skew.Abs()), ""}
}

func checkAddress(address string) Finding {
	iface, err := interfaceOf(address)
	if err != nil {
		return Finding{"address", Fail, err.Error(), "give --address with an address of this machine at which the server reaches it"}
	}
	return Finding{"address", OK, address + " on " + iface, ""}
}

func checkDocker(ctx context.Context, host string) []Finding {
	info, err := askDocker(ctx, host)
	if err != nil {
		return []Finding{{"docker", Fail, err.Error(), "install Docker Engine and start it (systemctl start docker), or name its socket with --docker-host"}}
	}
	found := Finding{"docker", OK, info.ServerVersion, ""}
	switch {
	case info.OSType != "linux":
		found = Finding{"docker", Fail, "it runs " + info.OSType + " containers", "use a Docker with Linux containers"}
	case !atLeast(info.ServerVersion, minDocker):
		found = Finding{"docker", Fail, info.ServerVersion, "upgrade Docker Engine to " + minDocker + " or later"}
	}
	return []Finding{found, checkCgroups(info), checkDisk("disk for images", info.DockerRootDir)}
}

func askDocker(ctx context.Context, host string) (system.Info, error) {
	opts := []client.Opt{client.FromEnv, client.WithAPIVersionNegotiation()}
	if host != "" {
		opts = append(opts, client.WithHost(host))
	}
	c, err := client.NewClientWithOpts(opts...)
	if err != nil {
		return system.Info{}, err
	}
	defer c.Close()
	ctx, cancel := context.WithTimeout(ctx, dockerTime)
	defer cancel()
	return c.Info(ctx)
}

func checkCgroups(info system.Info) Finding {
	version := "cgroups v" + info.CgroupVersion
	switch {
	case !info.MemoryLimit:
		return Finding{"cgroups", Fail, version + ": no memory limits", "boot the kernel with cgroup_enable=memory"}
	case !info.PidsLimit:
		return Finding{"cgroups", Fail, version + ": no process limits", "use a kernel with the pids controller"}
	case !info.SwapLimit:
		return Finding{"cgroups", Warn, version + ": memory limits do not count swap", "boot with swapaccount=1, or without swap"}
	}
	return Finding{"cgroups", OK, version, ""}
}

// checkTools looks for what makes the rules of the network.
func checkTools() Finding {
	for _, name := range []string{"iptables", "iptables-restore", "iptables-save"} {
		if _, err := exec.LookPath(name); err != nil {
			return Finding{"firewall", Fail, "there is no " + name, "install iptables: without it nothing keeps apps apart"}
		}
	}
	text, err := os.ReadFile("/proc/sys/net/bridge/bridge-nf-call-iptables")
	if err != nil || strings.TrimSpace(string(text)) != "1" {
		return Finding{"firewall", Warn, "apps on this machine can reach one another", "load br_netfilter and set net.bridge.bridge-nf-call-iptables=1 (Docker does so when it makes its first network)"}
	}
	return Finding{"firewall", OK, "iptables", ""}
}

func checkNomad(ctx context.Context, name string) Finding {
	_, version, err := program.Version(ctx, name)
	if err != nil {
		return Finding{"nomad", Fail, err.Error(), "install Nomad " + nomad.MinVersion + " or later, or name the program with --nomad"}
	}
	return Finding{"nomad", OK, version, ""}
}

// checkDisk looks at the nearest folder that exists.
func checkDisk(what, dir string) Finding {
	for {
		if _, err := os.Stat(dir); err == nil || dir == "/" || dir == "." {
			break
		}
		dir = filepath.Dir(dir)
	}
	var s unix.Statfs_t
	if err := unix.Statfs(dir, &s); err != nil {
		return Finding{what, Warn, err.Error(), "see that " + dir + " can be read"}
	}
	free := int(s.Bavail * uint64(s.Bsize) >> 20)
	detail := fmt.Sprintf("%d MB free in %s", free, dir)
	switch {
	case free < minDiskMB:
		return Finding{what, Fail, detail, fmt.Sprintf("make room: %d MB are the least, %d MB are better", minDiskMB, lowDiskMB)}
	case free < lowDiskMB:
		return Finding{what, Warn, detail, fmt.Sprintf("have %d MB or more for images and what instances write", lowDiskMB)}
	}
	return Finding{what, OK, detail, ""}
}

func checkPorts(ports map[string]string) []Finding {
	var all []Finding
	for _, what := range slices.Sorted(maps.Keys(ports)) {
		address := ports[what]
		l, err := net.Listen("tcp", address)
		if err != nil {
			mend := "end what uses it, or give another one"
			if errors.Is(err, unix.EADDRNOTAVAIL) {
				mend = "give --address with an address of this machine"
			}
			all = append(all, Finding{what, Fail, err.Error(), mend})
			continue
		}
		if err := l.Close(); err != nil {
			all = append(all, Finding{what, Warn, err.Error(), "look at it again"})
			continue
		}
		all = append(all, Finding{what, OK, address + " is free", ""})
	}
	return all
}

// CheckWay looks whether what a node needs of others is reached from here, as far as that is known once it has joined.
func CheckWay(ctx context.Context, n *Node) []Finding {
	all := []Finding{{What: "server's port for nodes", Detail: n.Server, Mend: "let this machine reach it: images and certificates come from there"}}
	for _, at := range n.Nomad.Servers {
		all = append(all, Finding{What: "Nomad's server", Detail: at, Mend: "let this machine reach it: it says what to run here"})
	}
	ctx, cancel := context.WithTimeout(ctx, wayTime)
	defer cancel()
	var work sync.WaitGroup
	for i := range all {
		work.Go(func() { all[i] = reached(ctx, all[i]) })
	}
	work.Wait()
	return all
}

// reached settles a finding by a connection to what its Detail names.
func reached(ctx context.Context, f Finding) Finding {
	conn, err := (&net.Dialer{}).DialContext(ctx, "tcp", f.Detail)
	if err != nil {
		f.State, f.Detail = Warn, err.Error()
		return f
	}
	_ = conn.Close() // nothing was said on it
	f.State, f.Mend = OK, ""
	return f
}

// atLeast compares the numbers at the beginning of two versions.
func atLeast(version, least string) bool {
	have, want := numbers(version), numbers(least)
	if len(have) == 0 {
		return false
	}
	for n, w := range want {
		h := 0
		if n < len(have) {
			h = have[n]
		}
		if h != w {
			return h > w
		}
	}
	return true
}

func numbers(version string) []int {
	var all []int
	for _, part := range strings.FieldsFunc(version, func(r rune) bool { return r == '.' || r == '-' || r == '+' }) {
		n, err := strconv.Atoi(part)
		if err != nil {
			break
		}
		all = append(all, n)
	}
	return all
}
