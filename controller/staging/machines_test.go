package staging

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"sync"
	"testing"

	"github.com/cupola-paas/cupola/buildpack"
	"github.com/cupola-paas/cupola/store"
)

// machines are a cluster whose seats and ends of builds are what the test says.
type machines struct {
	mu     sync.Mutex
	ends   []error // of builds, in order; nil: it succeeds
	asked  []Ask
	none   bool // no machine builds
	here   bool // the seats are on this machine
	gone   bool // the room is lost as soon as it is given
	places int
	given  int // seats that were not released
	swept  bool
}

func (m *machines) Places(buildpack.Limits) int { return m.places }
func (m *machines) Sweep(context.Context) error { m.swept = true; return nil }
func (m *machines) Moved() <-chan struct{}      { return nil }
func (m *machines) released(context.Context)    { m.mu.Lock(); m.given--; m.mu.Unlock() }
func (m *machines) last() Ask                   { return m.asked[len(m.asked)-1] }

func (m *machines) Seat(_ context.Context, a Ask, tell func(string)) (Seat, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.asked = append(m.asked, a)
	if m.none {
		tell("Building on the server's machine: why")
		tell("Building on the server's machine: why")
		return nil, nil
	}
	m.given++
	s := &testSeat{m: m, name: fmt.Sprintf("vm-%d", len(m.asked)), gone: make(chan struct{})}
	if m.gone && len(m.asked) == 1 {
		close(s.gone)
	}
	return s, nil
}

type testSeat struct {
	m    *machines
	name string
	gone chan struct{}
}

func (s *testSeat) Machine() string             { return s.name }
func (s *testSeat) Here() bool                  { return s.m.here }
func (s *testSeat) Gone() <-chan struct{}       { return s.gone }
func (s *testSeat) Release(ctx context.Context) { s.m.released(ctx) }

func (s *testSeat) Build(ctx context.Context, ship Shipment) (*buildpack.Result, error) {
	fmt.Fprintln(ship.Request.Log, "building there")
	s.m.mu.Lock()
	n := len(s.m.asked) - 1
	s.m.mu.Unlock()
	if s.m.gone && n == 0 {
		<-ctx.Done()
		return nil, &buildpack.Error{Code: buildpack.Canceled, Err: context.Cause(ctx)}
	}
	if n < len(s.m.ends) && s.m.ends[n] != nil {
		return nil, s.m.ends[n]
	}
	return &buildpack.Result{Digest: "sha256:cccc", Processes: []buildpack.Process{{Type: "web", Command: "serve"}}}, nil
}

func TestBuildsOnMachines(t *testing.T) {
	lost := fmt.Errorf("%w: the connection broke", ErrMachineLost)
	noDocker := fmt.Errorf("%w: %w", ErrMachineLost, &buildpack.Error{Code: buildpack.Internal, Message: "Docker does not answer"})
	for _, c := range []struct {
		name    string
		m       *machines
		state   string
		err     string
		machine string
		log     string
		tries   int
		own     int // builds on this machine
	}{
		{"there", &machines{}, store.StateStaged, "", "vm-1", "Building on machine vm-1\nbuilding there\nUploading complete\n", 1, 0},
		{"no machine builds", &machines{none: true}, store.StateStaged, "", "", "Staging starts\nBuilding on the server's machine: why\nbuilding\n", 1, 1},
		{"a seat on this machine", &machines{here: true}, store.StateStaged, "", "vm-1", "Building on machine vm-1\nbuilding\n", 1, 1},
		{"lost once", &machines{ends: []error{lost}}, store.StateStaged, "", "vm-2", "Machine vm-1 failed (the machine was lost: the connection broke): staging begins again\nBuilding on machine vm-2\n", 2, 0},
		{"lost twice", &machines{ends: []error{lost, lost}}, store.StateFailed, "StagingError - the build was begun 2 times and its machine failed each time", "vm-2", "Staging failed", 2, 0},
		{"its room taken away", &machines{gone: true}, store.StateStaged, "", "vm-2", "Machine vm-1 failed (the machine was lost): staging begins again", 2, 0},
		{"no Docker on both", &machines{ends: []error{noDocker, noDocker}}, store.StateFailed, "StagingError - Docker does not answer", "vm-2", "Docker does not answer\nStaging failed", 2, 0},
		{"the app's fault", &machines{ends: []error{&buildpack.Error{Code: buildpack.OutOfMemory, Message: "too much"}}}, store.StateFailed, "StagingError - too much", "vm-1", "too much\nStaging failed", 1, 0},
	} {
		t.Run(c.name, func(t *testing.T) {
			w := newWorld(t)
			w.Machines = c.m
			w.Pool = func(*store.Tx, *store.App) (string, error) { return "blue", nil }
			b := w.newBuild("nodejs_buildpack")
			w.step()
			w.workers.Wait()
			got := w.build(b.GUID)
			if got.State != c.state || !strings.HasPrefix(got.Error, c.err) || got.Machine != c.machine {
				t.Errorf("build = %s %q on %q, want %s %q on %q", got.State, got.Error, got.Machine, c.state, c.err, c.machine)
			}
			if !strings.Contains(w.log.text(), c.log) {
				t.Errorf("the log lacks %q:\n%s", c.log, w.log.text())
			}
			if len(c.m.asked) != c.tries || c.m.given != 0 || len(w.builder.started()) != c.own {
				t.Errorf("%d seats asked for, %d not given back, %d builds here", len(c.m.asked), c.m.given, len(w.builder.started()))
			}
			if a := c.m.last(); a.Pool != "blue" || a.ID != b.GUID || len(a.Avoid) != c.tries-1 {
				t.Errorf("asked for %+v", a)
			}
			w.update(func(tx *store.Tx) error {
				for e := range store.AuditEvents.All(tx) {
					if has := strings.Contains(string(e.Data), `"machine":"`+c.machine+`"`); has != (c.machine != "") {
						t.Errorf("the event says %s", e.Data)
					}
				}
				return nil
			})
		})
	}
}

// TestPlacesOfACluster: as many builds are begun as its machines bear, but those that find no machine take turns on this one.
func TestPlacesOfACluster(t *testing.T) {
	w := newWorld(t)
	w.Machines, w.Parallel = &machines{none: true, places: 3}, 1
	w.builder.hold = make(chan struct{})
	var builds []*store.Build
	for range 3 {
		w.app = w.newApp()
		builds = append(builds, w.newBuild("nodejs_buildpack"))
	}
	w.step()
	if n := len(w.busy); n != 3 {
		t.Errorf("%d builds are under way, want 3", n)
	}
	for range builds {
		w.builder.hold <- struct{}{}
		if n := len(w.own); n > 1 {
			t.Errorf("%d builds at once on this machine, want 1", n)
		}
	}
	w.workers.Wait()
	for _, b := range builds {
		if got := w.build(b.GUID); got.State != store.StateStaged {
			t.Errorf("build = %s %q", got.State, got.Error)
		}
	}
}

// TestCancelOnAMachine: who cancels ends the build there, and it is not begun again.
func TestCancelOnAMachine(t *testing.T) {
	w := newWorld(t)
	m := &machines{}
	w.Machines = &waitingMachines{m}
	b := w.newBuild("nodejs_buildpack")
	w.step()
	w.update(func(tx *store.Tx) error {
		fresh, err := store.Builds.Get(tx, b.GUID)
		fresh.Canceled = true
		return errors.Join(err, store.Builds.Put(tx, fresh))
	})
	w.step()
	w.workers.Wait()
	if got := w.build(b.GUID); got.State != store.StateFailed || !strings.Contains(got.Error, "cancelled") || len(m.asked) != 0 {
		t.Errorf("build = %s %q after %d seats", got.State, got.Error, len(m.asked))
	}
}

// waitingMachines have never room.
type waitingMachines struct{ *machines }

func (w *waitingMachines) Seat(ctx context.Context, _ Ask, _ func(string)) (Seat, error) {
	<-ctx.Done()
	return nil, &buildpack.Error{Code: buildpack.Canceled, Err: context.Cause(ctx)}
}

func (w *world) newApp() *store.App {
	a := &store.App{Name: fmt.Sprintf("app-%p", new(int)), SpaceGUID: w.app.SpaceGUID, State: store.AppStopped}
	w.update(func(tx *store.Tx) error { return store.Apps.Put(tx, a) })
	return a
}
