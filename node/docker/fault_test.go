package docker

import (
	"context"
	"errors"
	"io"
	"net"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/docker/docker/api/types/container"
	"github.com/docker/docker/client"

	"github.com/cupola-paas/cupola/node"
)

// wire is a socket in front of Docker's that can be cut.
type wire struct {
	path, target string
	mu           sync.Mutex
	l            net.Listener
	conns        map[net.Conn]bool
	wg           sync.WaitGroup
}

func newWire(t *testing.T) *wire {
	t.Helper()
	target, ok := strings.CutPrefix(client.DefaultDockerHost, "unix://")
	if h := os.Getenv("DOCKER_HOST"); h != "" {
		target, ok = strings.CutPrefix(h, "unix://")
	}
	if !ok {
		t.Skip("Docker is not reached by a socket")
	}
	w := &wire{path: filepath.Join(t.TempDir(), "docker.sock"), target: target, conns: map[net.Conn]bool{}}
	w.join(t)
	t.Cleanup(func() { w.cut(); w.wg.Wait() })
	return w
}

func (w *wire) join(t *testing.T) {
	t.Helper()
	l, err := net.Listen("unix", w.path)
	if err != nil {
		t.Fatal(err)
	}
	w.mu.Lock()
	w.l = l
	w.mu.Unlock()
	w.wg.Go(func() {
		for {
			in, err := l.Accept()
			if err != nil {
				return
			}
			w.wg.Go(func() { w.carry(in) })
		}
	})
}

func (w *wire) carry(in net.Conn) {
	out, err := net.Dial("unix", w.target)
	if err != nil {
		in.Close()
		return
	}
	w.mu.Lock()
	w.conns[in], w.conns[out] = true, true
	w.mu.Unlock()
	var both sync.WaitGroup
	both.Go(func() { _, _ = io.Copy(out, in); out.Close() })
	both.Go(func() { _, _ = io.Copy(in, out); in.Close() })
	both.Wait()
	w.mu.Lock()
	defer w.mu.Unlock()
	delete(w.conns, in)
	delete(w.conns, out)
}

func (w *wire) cut() {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.l.Close()
	for c := range w.conns {
		c.Close()
	}
}

// TestDockerAway cuts the connection while instances run, change and vanish.
func TestDockerAway(t *testing.T) {
	f := newFixture(t)
	w := newWire(t)
	d := f.open(t, func(o *Options) { o.Host = "unix://" + w.path })
	direct := f.open(t, nil)
	kept, crashes, removed := f.workload(nil), f.workload(nil), f.workload(nil)
	for _, x := range []node.Workload{kept, crashes, removed} {
		start(t, d, x)
		until(t, d, x.ID, "it is ready", isReady)
	}
	before := status(d, kept.ID)
	w.cut()
	waitDown(t, d, true)

	ctx := context.Background()
	if err := d.Ping(ctx); !errors.Is(err, node.ErrUnavailable) {
		t.Errorf("ping = %v, want ErrUnavailable", err)
	}
	if err := d.Start(ctx, f.workload(nil)); !errors.Is(err, node.ErrUnavailable) {
		t.Errorf("start = %v, want ErrUnavailable", err)
	}
	if _, err := d.Usage(ctx); !errors.Is(err, node.ErrUnavailable) {
		t.Errorf("usage = %v, want ErrUnavailable", err)
	}
	if err := d.Stop(ctx, "another", 0); !errors.Is(err, node.ErrUnavailable) {
		t.Errorf("stop = %v, want ErrUnavailable", err)
	}
	if s := status(d, kept.ID); !s.Ready || s.Address != before.Address {
		t.Errorf("while Docker is away the status is %+v, want what was seen last", s)
	}
	if err := direct.api.ContainerRemove(ctx, direct.containerName(removed.ID), container.RemoveOptions{Force: true}); err != nil {
		t.Fatal(err)
	}
	// direct has not seen these workloads start; its own client ends one's process as a crash would.
	endProcess(t, direct, crashes.ID)

	w.join(t)
	waitDown(t, d, false)
	until(t, d, crashes.ID, "its crash is known", func(s node.Status) bool { return s.Crashes == 1 && s.Ready })
	until(t, d, removed.ID, "it is gone", func(s node.Status) bool { return s.ID == "" })
	if s := status(d, kept.ID); !s.StartedAt.Equal(before.StartedAt) || s.Generation != before.Generation {
		t.Errorf("after the interruption it is %+v, was %+v", s, before)
	}
	if err := d.Stop(ctx, kept.ID, -1); err != nil {
		t.Errorf("stop = %v", err)
	}
}

// endProcess ends a container's process from within and waits until Docker has restarted it.
func endProcess(t *testing.T, d *Docker, id string) {
	t.Helper()
	ctx := context.Background()
	name := d.containerName(id)
	was, err := d.api.ContainerInspect(ctx, name)
	if err != nil {
		t.Fatal(err)
	}
	conn, err := net.Dial("tcp", net.JoinHostPort(d.address(was).String(), "8080"))
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	if _, err := io.WriteString(conn, "GET /exit HTTP/1.0\r\n\r\n"); err != nil {
		t.Fatal(err)
	}
	_, _ = io.Copy(io.Discard, conn) // until the process is gone
	give := time.After(time.Minute)
	for {
		c, err := d.api.ContainerInspect(ctx, name)
		if err != nil {
			t.Fatal(err)
		}
		if c.RestartCount == 1 && c.State.Running && !c.State.Restarting {
			return
		}
		select {
		case <-give:
			t.Fatal("Docker did not restart it")
		case <-time.After(20 * time.Millisecond):
		}
	}
}

func waitDown(t *testing.T, d *Docker, want bool) {
	t.Helper()
	give := time.After(time.Minute)
	for d.isDown() != want {
		select {
		case <-d.Changed():
		case <-give:
			t.Fatalf("waited in vain for down = %t", want)
		}
	}
}

// TestHeldAcrossRestarts: what was held back when the engine ended without a word is held back again, and
// an engine that closes in order leaves nothing down.
func TestHeldAcrossRestarts(t *testing.T) {
	f := newFixture(t)
	w := f.workload(func(w *node.Workload) { w.Env["EXIT"], w.Liveness = "4", node.Check{} })
	d := f.open(t, func(o *Options) { o.Backoff = time.Hour })
	start(t, d, w)
	until(t, d, w.ID, "it is held back", func(s node.Status) bool { return s.Crashes == 4 })
	waitExited(t, d, w.ID)

	second := f.open(t, func(o *Options) { o.Backoff = time.Hour }) // as after a kill -9 of the first
	if s := status(second, w.ID); s.State != node.Crashed || s.ExitStatus != 4 || s.Crashes != 4 || !strings.Contains(s.Details, "status 4") {
		t.Errorf("taken back as %+v, want it crashed", s)
	}
	was := status(d, w.ID).StartedAt
	if err := second.Close(); err != nil {
		t.Fatal(err)
	}
	c, err := d.api.ContainerInspect(context.Background(), d.containerName(w.ID))
	if err != nil {
		t.Fatal(err)
	}
	if !started(c).After(was) {
		t.Error("an engine that closed left an instance down that only it would have started")
	}
}

// TestCrashesForgotten: what has been healthy long enough begins to count anew.
func TestCrashesForgotten(t *testing.T) {
	f := newFixture(t)
	d := f.open(t, func(o *Options) { o.HealthyAfter = 3 * time.Second })
	w := f.workload(nil)
	start(t, d, w)
	until(t, d, w.ID, "it is ready", isReady)
	endProcess(t, d, w.ID)
	until(t, d, w.ID, "it is ready after a crash", func(s node.Status) bool { return s.Ready && s.Crashes == 1 })
	until(t, d, w.ID, "the crash is forgotten", func(s node.Status) bool { return s.Ready && s.Crashes == 0 })
}

func waitExited(t *testing.T, d *Docker, id string) {
	t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
	defer cancel()
	wait, errs := d.api.ContainerWait(ctx, d.containerName(id), container.WaitConditionNotRunning)
	select {
	case <-wait:
	case err := <-errs:
		t.Fatal(err)
	}
}
