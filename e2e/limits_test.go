package e2e

import (
	"crypto/rand"
	"errors"
	"io"
	"net"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"
)

// dockerProxy stands between a platform and the machine's Docker, so that a test can take Docker away.
type dockerProxy struct {
	listener net.Listener
	path     string

	mu   sync.Mutex
	cut  bool
	open map[net.Conn]bool
}

func newDockerProxy(t *testing.T) *dockerProxy {
	t.Helper()
	p := &dockerProxy{path: filepath.Join(t.TempDir(), "docker.sock"), open: map[net.Conn]bool{}}
	var err error
	if p.listener, err = net.Listen("unix", p.path); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { p.listener.Close() })
	go p.serve()
	return p
}

func (p *dockerProxy) serve() {
	for {
		c, err := p.listener.Accept()
		if err != nil {
			return
		}
		go p.relay(c)
	}
}

func (p *dockerProxy) relay(c net.Conn) {
	defer c.Close()
	up, err := net.Dial("unix", dockerSocket)
	if err != nil || !p.track(c, up) {
		return
	}
	defer up.Close()
	go func() {
		_, _ = io.Copy(up, c)
		_ = up.(*net.UnixConn).CloseWrite()
	}()
	_, _ = io.Copy(c, up)
}

// track remembers connections, so that they can be cut; it refuses while Docker is away.
func (p *dockerProxy) track(conns ...net.Conn) bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	for _, c := range conns {
		p.open[c] = true
	}
	return !p.cut
}

// set takes Docker away or brings it back.
func (p *dockerProxy) set(away bool) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.cut = away
	if away {
		for c := range p.open {
			c.Close()
		}
		clear(p.open)
	}
}

// TestDockerGoesAwayAndComesBack: while Docker does not answer, apps serve, the platform says what it waits
// for and takes no harm; afterwards a push works.
func TestDockerGoesAwayAndComesBack(t *testing.T) {
	t.Parallel()
	docker := newDockerProxy(t)
	p := unstarted(t)
	p.env = append(p.env, "CUPOLA_DOCKER_HOST=unix://"+docker.path, "CUPOLA_BUILD_TIMEOUT=20s")
	p.boot(t)
	t.Cleanup(func() { docker.set(false) })
	u := newUser(t, p)
	dir, app := sample(t, "static"), host(t, "away")
	u.must("push", app, "-p", dir, "-f", filepath.Join(dir, "manifest.yml"))

	docker.set(true)
	if shared.cluster == nil { // elsewhere instances can be started without the server's own Docker
		u.eventually("readiness names Docker", func() bool {
			status, body, err := p.get("api", "/readyz")
			return err == nil && status == 503 && strings.Contains(strings.ToLower(body), "docker")
		})
	}
	u.answers(app, "/", 200, "")
	r := u.try("push", app, "-p", dir, "-f", filepath.Join(dir, "manifest.yml"))
	if r.code == 0 || !strings.Contains(strings.ToLower(r.all()), "docker") {
		t.Errorf("a push without Docker: exit %d, want a failure that names it\n%s", r.code, r.all())
	}
	docker.set(false)
	u.eventually("ready again", func() bool {
		status, _, err := p.get("api", "/readyz")
		return err == nil && status == 200
	})
	u.must("push", app, "-p", dir, "-f", filepath.Join(dir, "manifest.yml"))
	u.answers(app, "/", 200, "")

	t.Run("a build over its time", func(t *testing.T) {
		began := time.Now()
		r := u.try("push", "slow", "-p", "apps/bad/slow-build")
		if r.code == 0 || !strings.Contains(r.all(), "20s") {
			t.Errorf("a build over its time: exit %d, want a message with the limit\n%s", r.code, r.all())
		}
		t.Logf("ended after %v", time.Since(began).Round(time.Second))
	})
}

// TestDiskFull fills the disk of the platform during an export. The push fails with the cause, the app of
// before serves, and after room was made the same push works.
func TestDiskFull(t *testing.T) {
	p := unstarted(t)
	data := filepath.Join(p.dir, "data")
	if err := os.MkdirAll(data, 0o700); err != nil {
		t.Fatal(err)
	}
	if err := syscall.Mount("tmpfs", data, "tmpfs", 0, "size=900m"); err != nil {
		t.Skipf("no file system of a known size can be mounted here: %v", err)
	}
	t.Cleanup(func() {
		if err := errors.Join(p.stop(), p.purge(), syscall.Unmount(data, syscall.MNT_DETACH)); err != nil {
			t.Error(err)
		}
	})
	p.boot(t)
	u := newUser(t, p)
	dir, app := sample(t, "static"), host(t, "full")
	u.must("push", app, "-p", dir, "-f", filepath.Join(dir, "manifest.yml"))
	u.answers(app, "/", 200, "")

	// 24 MB that nothing compresses are stored three times before the export (package, resource, source),
	// which wants to store them once more.
	filler := filepath.Join(data, "filler")
	for _, c := range []struct {
		phase string
		free  int64
	}{{"upload", 40 << 20}, {"export", 105 << 20}} {
		writeRandom(t, filepath.Join(dir, "public", "noise.bin"), 24<<20)
		leave(t, data, filler, c.free)
		r := u.try("push", app, "-p", dir, "-f", filepath.Join(dir, "manifest.yml"))
		if r.code == 0 || !strings.Contains(strings.ToLower(r.all()), "disk") || !strings.Contains(strings.ToLower(r.all()), "full") {
			t.Errorf("a push whose %s fills the disk: exit %d, want a message about the disk\n%s", c.phase, r.code, r.all())
		}
		if staged := strings.Contains(r.err, "Staging"); staged != (c.phase == "export") {
			t.Errorf("the disk was to be full in the %s:\n%s", c.phase, r.all())
		}
		u.answers(app, "/", 200, "")
	}
	if err := os.Remove(filler); err != nil {
		t.Fatal(err)
	}
	u.must("push", app, "-p", dir, "-f", filepath.Join(dir, "manifest.yml"))
	u.answers(app, "/noise.bin", 200, "")
}

func writeRandom(t *testing.T, file string, size int64) {
	t.Helper()
	f, err := os.Create(file)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	if _, err := io.CopyN(f, rand.Reader, size); err != nil {
		t.Fatal(err)
	}
}

// leave fills a file system until only so many bytes are free.
func leave(t *testing.T, dir, filler string, free int64) {
	t.Helper()
	_ = os.Remove(filler)
	var s syscall.Statfs_t
	if err := syscall.Statfs(dir, &s); err != nil {
		t.Fatal(err)
	}
	take := int64(s.Bavail)*s.Bsize - free
	if take < 0 {
		t.Fatalf("only %d MB are free to begin with", int64(s.Bavail)*s.Bsize>>20)
	}
	f, err := os.Create(filler)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	if err := syscall.Fallocate(int(f.Fd()), 0, 0, take); err != nil {
		t.Fatal(err)
	}
}
