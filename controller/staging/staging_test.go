package staging

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"

	"github.com/cupola-paas/cupola/buildpack"
	"github.com/cupola-paas/cupola/store"
)

// builder ends each build as the test says, and holds it until released when hold is set.
type builder struct {
	mu   sync.Mutex
	got  []buildpack.Request
	hold chan struct{}
	err  error
	bare bool // images without processes
}

// started lists the ids of builds in the order of their start.
func (b *builder) started() []string {
	b.mu.Lock()
	defer b.mu.Unlock()
	var ids []string
	for _, r := range b.got {
		ids = append(ids, r.ID)
	}
	return ids
}

func (b *builder) Build(ctx context.Context, r buildpack.Request) (*buildpack.Result, error) {
	b.mu.Lock()
	b.got = append(b.got, r)
	b.mu.Unlock()
	fmt.Fprintln(r.Log, "building")
	if b.hold != nil {
		select {
		case <-b.hold:
		case <-ctx.Done():
			return nil, &buildpack.Error{Code: buildpack.Canceled, Err: context.Cause(ctx)}
		}
	}
	if b.err != nil {
		return nil, b.err
	}
	if b.bare {
		return &buildpack.Result{Digest: "sha256:cccc"}, nil
	}
	return &buildpack.Result{
		Digest: "sha256:cccc", Processes: []buildpack.Process{{Type: "web", Command: "node server.js"}},
		Buildpacks: []buildpack.Used{{ID: "cupola/nodejs", Version: "1.0.0"}},
	}, nil
}

func (b *builder) Sweep(context.Context, func(string) bool) error { return nil }

type sources struct{ err error }

func (s sources) Unpack(_ context.Context, _ *store.Package, dir string) error {
	return errors.Join(s.err, os.MkdirAll(dir, 0o700))
}

type noEnv struct{}

func (noEnv) Staging(*store.Tx, *store.App, *store.Build) (map[string]string, error) { return nil, nil }

// lines collects the staging log.
type lines struct {
	mu      sync.Mutex
	buf     strings.Builder
	limited *lines // what came under a limit; nil: not told apart
	rate    int    // of that
}

func (l *lines) Staging(_ string, rate int) LineWriter {
	if rate < 0 || l.limited == nil {
		return l
	}
	l.limited.rate = rate
	return l.limited
}

func (l *lines) Close() error { return nil }
func (l *lines) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.buf.Write(p)
}

func (l *lines) text() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.buf.String()
}

type world struct {
	*Loop
	t       *testing.T
	builder *builder
	log     *lines
	app     *store.App
}

func newWorld(t *testing.T) *world {
	t.Helper()
	db, err := store.Open(store.Options{Dir: t.TempDir(), NoSync: true})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { db.Close() })
	w := &world{t: t, builder: &builder{}, log: &lines{}}
	w.Loop = &Loop{
		DB: db, Builder: w.builder, Sources: sources{}, Env: noEnv{}, Logs: w.log,
		Dir: filepath.Join(t.TempDir(), "sources"), Registry: "127.0.0.1:1", Log: slog.New(slog.NewTextHandler(io.Discard, nil)),
	}
	w.update(func(tx *store.Tx) error {
		org := &store.Org{Name: "example"}
		err := store.Orgs.Put(tx, org)
		space := &store.Space{Name: "dev", OrgGUID: org.GUID}
		err = errors.Join(err, store.Spaces.Put(tx, space))
		w.app = &store.App{Name: "hello", SpaceGUID: space.GUID, State: store.AppStopped}
		return errors.Join(err, store.Apps.Put(tx, w.app),
			store.Stacks.Put(tx, &store.Stack{Name: "cupola-13", Default: true, BuildImage: "r/build@sha256:a", RunImage: "r/run@sha256:b"}),
			store.Buildpacks.Put(tx, &store.Buildpack{Name: "nodejs_buildpack", SystemID: "cupola/nodejs", Enabled: true}),
			store.Buildpacks.Put(tx, &store.Buildpack{Name: "go_buildpack", SystemID: "cupola/go"}))
	})
	return w
}

func (w *world) update(fn func(*store.Tx) error) {
	w.t.Helper()
	if err := w.DB.Update(fn); err != nil {
		w.t.Fatal(err)
	}
}

// space makes an org with one space.
func (w *world) space(name string) *store.Space {
	org := &store.Org{Name: name}
	space := &store.Space{Name: "dev"}
	w.update(func(tx *store.Tx) error {
		err := store.Orgs.Put(tx, org)
		space.OrgGUID = org.GUID
		return errors.Join(err, store.Spaces.Put(tx, space))
	})
	return space
}

func (w *world) newBuild(buildpacks ...string) *store.Build {
	b := &store.Build{AppGUID: w.app.GUID, SpaceGUID: w.app.SpaceGUID, State: store.StateStaging, Lifecycle: store.Lifecycle{Buildpacks: buildpacks}}
	w.update(func(tx *store.Tx) error {
		p := &store.Package{AppGUID: w.app.GUID, State: store.StateReady}
		err := store.Packages.Put(tx, p)
		b.PackageGUID = p.GUID
		return errors.Join(err, store.Builds.Put(tx, b))
	})
	return b
}

func (w *world) build(guid string) (b *store.Build) {
	w.update(func(tx *store.Tx) (err error) { b, err = store.Builds.Get(tx, guid); return err })
	return b
}

func (w *world) step() {
	w.t.Helper()
	if err := w.Step(w.t.Context()); err != nil {
		w.t.Fatal(err)
	}
}

func TestABuildBecomesADroplet(t *testing.T) {
	w := newWorld(t)
	b := w.newBuild("nodejs_buildpack")
	w.step()
	w.workers.Wait()
	got := w.build(b.GUID)
	if got.State != store.StateStaged {
		t.Fatalf("build = %s %q, want STAGED", got.State, got.Error)
	}
	w.update(func(tx *store.Tx) error {
		d, err := store.Droplets.Get(tx, got.DropletGUID)
		if err != nil {
			return err
		}
		if d.ImageDigest != "sha256:cccc" || d.ProcessTypes["web"] != "node server.js" || d.Buildpacks[0].Name != "nodejs_buildpack" {
			t.Errorf("droplet = %+v", d)
		}
		return nil
	})
	if got := w.builder.got[0]; !got.Named || len(got.Choices) != 1 || got.Choices[0] != (buildpack.Choice{Name: "nodejs_buildpack", ID: "cupola/nodejs"}) {
		t.Errorf("choices = %+v, named %v, want the system id", got.Choices, got.Named)
	}
	if left, _ := os.ReadDir(w.Dir); len(left) != 0 {
		t.Errorf("%d source folders were left", len(left))
	}
}

// TestLogRateOfABuild: the limit is for what buildpacks print; that a build failed is never dropped.
func TestLogRateOfABuild(t *testing.T) {
	w := newWorld(t)
	w.log.limited = &lines{}
	w.builder.err = &buildpack.Error{Code: buildpack.BuildFailed, Message: "npm exited with 3"}
	b, rate := w.newBuild("nodejs_buildpack"), 100
	b.LogRateBytes = &rate
	w.update(func(tx *store.Tx) error { return store.Builds.Put(tx, b) })
	w.step()
	w.workers.Wait()
	if got := w.log.limited; got.text() != "building\n" || got.rate != rate {
		t.Errorf("under a limit of %d bytes a second came %q, want what the build prints, and %d", got.rate, got.text(), rate)
	}
	if want := "Staging starts\nnpm exited with 3\nStaging failed\n"; w.log.text() != want {
		t.Errorf("without a limit came %q, want %q", w.log.text(), want)
	}
}

func TestFailuresAreNamed(t *testing.T) {
	for _, c := range []struct {
		name string
		err  error
		bp   string
		want string
	}{
		{"nothing detects", &buildpack.Error{Code: buildpack.NoBuildpackDetected, Message: "tried cupola/go (no go.mod)"}, "",
			"NoAppDetectedError - An app was not successfully detected by any available buildpack. tried cupola/go (no go.mod)"},
		{"buildpack fails", &buildpack.Error{Code: buildpack.BuildFailed, Buildpack: "cupola/nodejs", ExitCode: 3, Message: "npm exited with 3"}, "",
			"BuildpackCompileFailed - cupola/nodejs: npm exited with 3"},
		{"too slow", &buildpack.Error{Code: buildpack.TimedOut, Message: "took longer than 15m"}, "", "StagingTimeExpired - took longer than 15m"},
		{"disk full", fmt.Errorf("export: %w", store.ErrNoSpace), "", "StagingError - the disk of the platform is full: ask its operator to make room, then push again"},
		{"unknown buildpack", nil, "cobol_buildpack", "StagingError - cobol_buildpack: there is no such buildpack: see `cupola buildpacks`"},
		{"disabled buildpack", nil, "go_buildpack", "StagingError - go_buildpack: this buildpack is disabled: see `cupola buildpacks`"},
	} {
		t.Run(c.name, func(t *testing.T) {
			w := newWorld(t)
			w.builder.err = c.err
			var names []string
			if c.bp != "" {
				names = []string{c.bp}
			}
			b := w.newBuild(names...)
			w.step()
			w.workers.Wait()
			got := w.build(b.GUID)
			if got.State != store.StateFailed || got.Error != c.want {
				t.Errorf("build = %s %q, want FAILED %q", got.State, got.Error, c.want)
			}
			if got.DropletGUID != "" {
				t.Error("a failed build has a droplet")
			}
		})
	}
}

func TestOneBuildAtATimeForAnApp(t *testing.T) {
	w := newWorld(t)
	w.builder.hold = make(chan struct{})
	first, second := w.newBuild(), w.newBuild()
	w.step()
	w.step()
	close(w.builder.hold)
	w.workers.Wait()
	if a, b := w.build(first.GUID).State, w.build(second.GUID).State; a != store.StateStaged || b != store.StateStaging {
		t.Fatalf("states = %s, %s, want the second still waiting", a, b)
	}
	w.step()
	w.workers.Wait()
	if got := w.build(second.GUID).State; got != store.StateStaged {
		t.Errorf("second build = %s, want STAGED", got)
	}
}

func TestCancel(t *testing.T) {
	w := newWorld(t)
	w.builder.hold = make(chan struct{})
	b := w.newBuild()
	w.step()
	w.update(func(tx *store.Tx) error {
		got, err := store.Builds.Get(tx, b.GUID)
		got.Canceled = true
		return errors.Join(err, store.Builds.Put(tx, got))
	})
	w.step()
	w.workers.Wait()
	if got := w.build(b.GUID); got.State != store.StateFailed || got.Error != "StagingError - the build was cancelled" {
		t.Errorf("build = %s %q", got.State, got.Error)
	}
}

func TestAStopLeavesTheBuildToTheNextRun(t *testing.T) {
	w := newWorld(t)
	w.builder.hold = make(chan struct{})
	b := w.newBuild()
	ctx, cancel := context.WithCancel(context.Background())
	if err := w.Step(ctx); err != nil {
		t.Fatal(err)
	}
	cancel()
	w.workers.Wait()
	if got := w.build(b.GUID).State; got != store.StateStaging {
		t.Fatalf("build = %s after a stop, want STAGING", got)
	}
	close(w.builder.hold)
	w.step()
	w.workers.Wait()
	if got := w.build(b.GUID).State; got != store.StateStaged {
		t.Errorf("build = %s after the next run, want STAGED", got)
	}
}

func TestABuildWaitsForItsStack(t *testing.T) {
	w := newWorld(t)
	b := w.newBuild()
	w.update(func(tx *store.Tx) error {
		s, err := store.Stacks.Find(tx, "name", "cupola-13")
		s.BuildImage = ""
		return errors.Join(err, store.Stacks.Put(tx, s))
	})
	w.step()
	w.step()
	w.workers.Wait()
	if got := w.build(b.GUID).State; got != store.StateStaging || len(w.builder.got) != 0 {
		t.Errorf("build = %s with %d builder calls, want it to wait", got, len(w.builder.got))
	}
	if got := strings.Count(w.log.buf.String(), "Waiting for the platform's stack"); got != 1 {
		t.Errorf("the log says %d times what the build waits for, want once:\n%s", got, w.log.buf.String())
	}
}
