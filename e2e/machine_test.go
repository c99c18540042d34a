package e2e

import (
	"crypto/ed25519"
	"crypto/tls"
	"errors"
	"fmt"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strings"
	"syscall"
	"testing"
	"time"

	"golang.org/x/crypto/ssh"
)

// machine is a virtual one: a kernel, a systemd, control groups v2 and a clock of its own, which no cell has. Programs inside are
// run over SSH.
type machine struct {
	cs       *cells
	dir, tap string
	address  string
	key      ed25519.PrivateKey
	qemu     *exec.Cmd
}

// packages of Debian that a node needs, and those that the tests do.
const machinePackages = "systemd,systemd-sysv,udev,dbus,docker.io,iproute2,iptables,kmod,linux-image-cloud-amd64,initramfs-tools,ca-certificates,apparmor,procps,openssh-server"

// TestMachine: a node and a router on a machine as it is delivered, with systemd. They come back after a reboot, and a
// wrong clock is told and does no harm. Without KVM it takes some seven minutes, so it runs only if CUPOLA_E2E_MACHINE is set: 1, or kvm.
func TestMachine(t *testing.T) {
	if os.Getenv("CUPOLA_E2E_MACHINE") == "" {
		t.Skip("CUPOLA_E2E_MACHINE is not set: no virtual machine is tested")
	}
	needCells(t)
	for _, name := range []string{"qemu-system-x86_64", "debootstrap"} {
		if _, err := exec.LookPath(name); err != nil || runtime.GOARCH != "amd64" {
			t.Skipf("no %s on PATH, or another processor than amd64: no virtual machine is tested", name)
		}
	}
	cs := newNetwork(t)
	cs.startServers(1)
	cs.startPlatform("CUPOLA_ENGINE=nomad", "CUPOLA_NOMAD_ADDR="+strings.Join(cs.agents(), ","))
	m := cs.newMachine()
	out := m.must(fmt.Sprintf("cupola node join %s --router --token %s", cs.p.url("api", ""), cs.token("--router")))
	if !strings.Contains(out, "cgroups v2") || !strings.Contains(out, "cupola-node.service and cupola-router.service") {
		t.Errorf("a machine with systemd joins:\n%s", out)
	}
	ready := func() bool { return cs.states()["machine"] == "READY" }
	cs.eventually("the machine is READY", 3*time.Minute, ready)
	if err := cs.p.ready(5 * time.Minute); err != nil {
		t.Fatal(err)
	}
	u := newUser(t, cs.p)
	u.must("push", "site", "-p", "apps/static", "-m", "64M")
	m.answers("site")

	m.must("systemctl stop cupola-node")
	if out := m.must("docker ps -q"); strings.TrimSpace(out) == "" {
		t.Error("the instance ended with cupola-node.service")
	}
	m.must("systemctl start cupola-node")
	cs.eventually("the machine is READY after its service was started again", 3*time.Minute, ready)

	boot := m.must("cat /proc/sys/kernel/random/boot_id")
	_, _ = m.do("systemctl reboot") // which breaks the connection
	cs.eventually("the machine boots", 5*time.Minute, func() bool { now, err := m.do("cat /proc/sys/kernel/random/boot_id"); return err == nil && now != boot })
	cs.eventually("the machine is READY after a reboot", 5*time.Minute, ready)
	m.answers("site")
	m.wrongClock(u)
}

// wrongClock sets the clock of the machine ahead and far behind.
func (m *machine) wrongClock(u *user) {
	cs := m.cs
	cs.t.Helper()
	for _, by := range []string{"+5 minutes", "-2 days"} {
		m.must("date -s '" + by + "'")
		cs.eventually("the clock is told to be off by "+by, time.Minute, func() bool { return cs.states()["machine"] == "CLOCK OFF" })
		m.answers("site")
		u.must("restart", "site")
		m.answers("site")
		for _, line := range strings.Split(strings.TrimSpace(u.must("logs", "site", "--recent")), "\n") {
			stamp, _, _ := strings.Cut(line, " ")
			at, err := time.Parse("2006-01-02T15:04:05.99-0700", stamp)
			if err == nil && (time.Until(at) > 30*time.Second || time.Since(at) > time.Hour) {
				cs.t.Errorf("with a clock that is off by %s the log has the line %s", by, line)
			}
		}
		m.must(fmt.Sprintf("date -s @%d", time.Now().Unix()))
		cs.eventually("the clock is right again", time.Minute, func() bool { return cs.states()["machine"] == "READY" })
	}
}

// newMachine makes the disk of a machine and starts it.
func (cs *cells) newMachine() *machine {
	cs.t.Helper()
	_, key, err := ed25519.GenerateKey(nil)
	if err != nil {
		cs.t.Fatal(err)
	}
	m := &machine{cs: cs, dir: filepath.Join(cs.dir, "machine"), tap: cs.bridge + "t", address: cs.prefix + "200", key: key}
	root := m.root()
	if err := m.makeDisk(root); err != nil {
		cs.t.Fatal(err)
	}
	for _, args := range [][]string{{"tuntap", "add", m.tap, "mode", "tap"}, {"link", "set", m.tap, "master", cs.bridge, "up"}} {
		if err := run(exec.Command("ip", args...)); err != nil {
			cs.t.Fatal(err)
		}
	}
	cs.t.Cleanup(func() { _ = exec.Command("ip", "link", "del", m.tap).Run() })
	m.start(root)
	return m
}

// root is a Debian in a folder that survives, made the first time.
func (m *machine) root() string {
	t := m.cs.t
	t.Helper()
	root := envOr("CUPOLA_E2E_MACHINE_ROOT", "/var/cache/cupola/machine")
	done := filepath.Join(root, "etc", "cupola-machine")
	if _, err := os.Stat(done); err == nil {
		return root
	}
	for _, cmd := range []*exec.Cmd{
		exec.Command("rm", "-rf", root),
		exec.Command("debootstrap", "--variant=minbase", "--include="+machinePackages, "bookworm", root),
		exec.Command("chroot", root, "systemctl", "enable", "systemd-networkd", "ssh", "docker"),
		exec.Command("touch", done),
	} {
		if err := run(cmd); err != nil {
			t.Fatal(err)
		}
	}
	return root
}

// makeDisk copies the root to a disk, with what is this machine's own.
func (m *machine) makeDisk(root string) (err error) {
	disk, mount := filepath.Join(m.dir, "disk.img"), filepath.Join(m.dir, "mount")
	if err := os.MkdirAll(mount, 0o700); err != nil {
		return err
	}
	for _, cmd := range []*exec.Cmd{
		exec.Command("truncate", "-s", fmt.Sprint(diskSize), disk), exec.Command("mkfs.ext4", "-q", "-m", "0", "-d", root, disk), exec.Command("mount", "-o", "loop", disk, mount),
	} {
		if err := run(cmd); err != nil {
			return err
		}
	}
	defer func() { err = errors.Join(err, run(exec.Command("umount", mount))) }()
	public, err := ssh.NewPublicKey(m.key.Public())
	if err != nil {
		return err
	}
	server := m.cs.prefix + "1"
	for path, text := range map[string]string{
		"etc/hostname":                    "machine\n",
		"etc/hosts":                       fmt.Sprintf("127.0.0.1 localhost machine\n%s api.%s\n", server, m.cs.p.domain),
		"etc/fstab":                       "/dev/vda / ext4 rw 0 1\n",
		"etc/systemd/network/eth.network": fmt.Sprintf("[Match]\nName=eth0\n[Network]\nAddress=%s/24\nGateway=%s\n", m.address, server),
		"root/.ssh/authorized_keys":       string(ssh.MarshalAuthorizedKey(public)),
	} {
		path = filepath.Join(mount, path)
		if err := errors.Join(os.MkdirAll(filepath.Dir(path), 0o755), os.WriteFile(path, []byte(text), 0o644)); err != nil {
			return err
		}
	}
	nomad, err := exec.LookPath("nomad")
	if err != nil {
		return err
	}
	bin := filepath.Join(mount, "usr", "local", "bin")
	return errors.Join(run(exec.Command("cp", "-L", nomad, filepath.Join(bin, "nomad"))), run(exec.Command("cp", "-L", m.cs.p.binary, filepath.Join(bin, "cupola"))))
}

// start turns the machine on, and waits until it can be used.
func (m *machine) start(root string) {
	t := m.cs.t
	t.Helper()
	var boot []string
	for _, name := range []string{"vmlinuz-*", "initrd.img-*"} {
		found, _ := filepath.Glob(filepath.Join(root, "boot", name))
		if len(found) != 1 {
			t.Fatalf("%s has not one %s: delete it, and it is made again", root, name)
		}
		boot = append(boot, found[0])
	}
	processor := []string{"-accel", "tcg,thread=multi", "-cpu", "max"}
	if os.Getenv("CUPOLA_E2E_MACHINE") == "kvm" {
		processor = []string{"-accel", "kvm", "-cpu", "host"}
	}
	m.qemu = exec.Command("qemu-system-x86_64", append(processor, "-machine", "q35", "-smp", "2", "-m", "2048", "-nodefaults", "-display", "none",
		"-serial", "file:"+filepath.Join(m.dir, "console.log"), "-kernel", boot[0], "-initrd", boot[1], "-append", "root=/dev/vda rw console=ttyS0 net.ifnames=0",
		"-drive", "file="+filepath.Join(m.dir, "disk.img")+",format=raw,if=virtio", "-netdev", "tap,id=n0,ifname="+m.tap+",script=no,downscript=no",
		"-device", "virtio-net-pci,netdev=n0", "-device", "virtio-rng-pci")...)
	m.qemu.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
	if err := startForGood(m.qemu); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if t.Failed() {
			out, _ := m.do("journalctl --no-pager --lines=60 --unit=cupola-node --unit=cupola-router")
			t.Logf("--- the machine's journal ---\n%s", out)
		}
		kill(m.qemu)
	})
	m.cs.eventually("the machine boots, and its Docker answers", 5*time.Minute, func() bool { _, err := m.do("docker version"); return err == nil })
}

// do runs a command line inside, and returns all that it prints.
func (m *machine) do(line string) (string, error) {
	signer, err := ssh.NewSignerFromKey(m.key)
	if err != nil {
		return "", err
	}
	conn, err := (&net.Dialer{Timeout: 2 * time.Second}).Dial("tcp", m.address+":22")
	if err != nil {
		return "", err
	}
	defer conn.Close()
	_ = conn.SetDeadline(time.Now().Add(5 * time.Minute)) // a machine that reboots says nothing
	c, channels, requests, err := ssh.NewClientConn(conn, m.address, &ssh.ClientConfig{
		User: "root", Auth: []ssh.AuthMethod{ssh.PublicKeys(signer)}, HostKeyCallback: ssh.InsecureIgnoreHostKey()})
	if err != nil {
		return "", err
	}
	client := ssh.NewClient(c, channels, requests)
	defer client.Close()
	session, err := client.NewSession()
	if err != nil {
		return "", err
	}
	out, err := session.CombinedOutput(line)
	return string(out), err
}

// must is do for what has to work.
func (m *machine) must(line string) string {
	m.cs.t.Helper()
	out, err := m.do(line)
	if err != nil {
		m.cs.t.Fatalf("on the machine, %s: %v\n%s", line, err, out)
	}
	return out
}

// answers waits until an app answers at the router of the machine.
func (m *machine) answers(app string) {
	m.cs.t.Helper()
	host := app + "." + m.cs.p.domain
	client := http.Client{Timeout: 20 * time.Second, Transport: &http.Transport{
		TLSClientConfig: &tls.Config{InsecureSkipVerify: true, ServerName: host}, DisableKeepAlives: true}}
	var last string
	defer func() {
		if m.cs.t.Failed() {
			m.cs.t.Logf("the last answer: %s", last)
		}
	}()
	m.cs.eventually(app+" answers at the machine's router", 4*time.Minute, func() bool {
		req, err := http.NewRequest(http.MethodGet, "https://"+m.address+"/", nil)
		if err != nil {
			m.cs.t.Fatal(err)
		}
		req.Host = host
		res, err := client.Do(req)
		if err != nil {
			last = err.Error()
			return false
		}
		res.Body.Close()
		last = res.Status
		return res.StatusCode == http.StatusOK
	})
}
