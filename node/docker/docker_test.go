package docker

import (
	"context"
	"io"
	"log/slog"
	"strings"
	"testing"
	"time"

	"github.com/docker/docker/client"
	"github.com/google/uuid"

	"github.com/cupola-paas/cupola/node"
	"github.com/cupola-paas/cupola/node/enginetest"
)

// fixture is an installation of a test's own, with a registry; all that it leaves behind is removed.
type fixture struct {
	name string
	reg  *enginetest.Registry
	img  string
}

func newFixture(t testing.TB) *fixture {
	t.Helper()
	needDocker(t)
	f := &fixture{name: randomName()}
	t.Cleanup(func() { purge(t, f.name, f.reg.Prefix) }) // after the registry's own clean-up
	f.reg = enginetest.NewRegistry(t)
	f.img = f.reg.Image(t, "2000")
	return f
}

func randomName() string { return "t" + strings.ReplaceAll(uuid.NewString(), "-", "")[:12] }

func needDocker(t testing.TB) {
	t.Helper()
	api, err := client.NewClientWithOpts(client.FromEnv, client.WithAPIVersionNegotiation())
	if err == nil {
		defer api.Close()
		_, err = api.Ping(context.Background())
	}
	if err != nil {
		t.Skipf("Docker cannot be reached: %v", err)
	}
}

func purge(t testing.TB, name, images string) {
	t.Helper()
	ctx := context.Background()
	d, err := Open(ctx, Options{Installation: name, ImagePrefix: images, Logger: quiet()})
	if err != nil {
		t.Error(err)
		return
	}
	if err := d.Purge(ctx); err != nil {
		t.Error(err)
	}
	if _, err := d.RemoveImages(ctx, func(string) bool { return false }); err != nil {
		t.Error(err)
	}
	if err := d.Close(); err != nil {
		t.Error(err)
	}
}

func quiet() *slog.Logger { return slog.New(slog.NewTextHandler(io.Discard, nil)) }

// open opens the fixture's engine; it is closed when the test ends.
func (f *fixture) open(t testing.TB, change func(*Options)) *Docker {
	t.Helper()
	o := Options{Installation: f.name, ImagePrefix: f.reg.Prefix, Backoff: time.Second, Resync: time.Hour, Logger: quiet()}
	if change != nil {
		change(&o)
	}
	d, err := Open(context.Background(), o)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := d.Close(); err != nil {
			t.Error(err)
		}
	})
	return d
}

func (f *fixture) workload(change func(*node.Workload)) node.Workload {
	w := node.Workload{
		ID: uuid.NewString(), Image: f.img, MemoryMB: 64, Ports: []int{8080},
		Env: map[string]string{"PORT": "8080"}, Liveness: node.Check{Type: "port"},
	}
	if change != nil {
		change(&w)
	}
	return w
}

func start(t testing.TB, d *Docker, w node.Workload) {
	t.Helper()
	if err := d.Start(context.Background(), w); err != nil {
		t.Fatal(err)
	}
}

// until waits, woken by Changed, until the workload's status is ok.
func until(t testing.TB, d *Docker, id, what string, ok func(node.Status) bool) node.Status {
	t.Helper()
	give := time.After(time.Minute)
	for {
		s := status(d, id)
		if ok(s) {
			return s
		}
		select {
		case <-d.Changed():
		case <-give:
			t.Fatalf("waited in vain until %s; it is %+v", what, s)
		}
	}
}

func status(d *Docker, id string) node.Status {
	if i := d.find(id); i != nil {
		return i.snapshot()
	}
	return node.Status{}
}

func isReady(s node.Status) bool { return s.Ready }

func TestEngine(t *testing.T) {
	needDocker(t)
	name, prefix := randomName(), ""
	t.Cleanup(func() { purge(t, name, prefix) })
	enginetest.Run(t, func(t *testing.T, images string) node.Engine {
		prefix = images
		d, err := Open(context.Background(), Options{Installation: name, ImagePrefix: images, Backoff: enginetest.Backoff, Resync: time.Hour, Logger: quiet()})
		if err != nil {
			t.Fatal(err)
		}
		return d
	})
}

func TestOpenWithoutDocker(t *testing.T) {
	_, err := Open(context.Background(), Options{Installation: "t1", Host: "unix://" + t.TempDir() + "/docker.sock"})
	if err == nil || !strings.Contains(err.Error(), "docker.sock") || !strings.Contains(err.Error(), "start it") {
		t.Errorf("Open = %v, want an error that names the socket and says what to do", err)
	}
	for _, name := range []string{"", "A", "-a", strings.Repeat("a", 33)} {
		if _, err := Open(context.Background(), Options{Installation: name}); err == nil {
			t.Errorf("Open with installation %q succeeded", name)
		}
	}
}
