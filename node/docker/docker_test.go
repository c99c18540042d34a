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

// installation returns a name of its own for a test, and removes all that it leaves behind.
func installation(t testing.TB) string {
	t.Helper()
	api, err := client.NewClientWithOpts(client.FromEnv, client.WithAPIVersionNegotiation())
	if err == nil {
		_, err = api.Ping(context.Background())
	}
	if err != nil {
		t.Skipf("Docker cannot be reached: %v", err)
	}
	_ = api.Close()
	name := "t" + strings.ReplaceAll(uuid.NewString(), "-", "")[:12]
	t.Cleanup(func() {
		d, err := Open(context.Background(), Options{Installation: name, Logger: quiet()})
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
	return name
}

func quiet() *slog.Logger { return slog.New(slog.NewTextHandler(io.Discard, nil)) }

// open opens an engine for a test; closing it is the test's end.
func open(t testing.TB, o Options) *Docker {
	t.Helper()
	if o.Logger == nil {
		o.Logger = slog.New(slog.NewTextHandler(t.Output(), nil))
	}
	d, err := Open(context.Background(), o)
	if err != nil {
		t.Fatal(err)
	}
	return d
}

func TestEngine(t *testing.T) {
	name := installation(t)
	enginetest.Run(t, func(t *testing.T) node.Engine {
		return open(t, Options{Installation: name, Backoff: enginetest.Backoff, Resync: time.Hour, Logger: quiet()})
	})
}
