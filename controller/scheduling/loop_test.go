package scheduling

import (
	"context"
	"errors"
	"io"
	"log/slog"
	"maps"
	"math/rand/v2"
	"net"
	"reflect"
	"slices"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/cupola-paas/cupola/node"
	"github.com/cupola-paas/cupola/store"
)

// engine is a node.Engine in memory: what was started is there, healthy once the test says so.
type engine struct {
	mu       sync.Mutex
	there    map[string]node.Status
	started  []string
	stopped  []string
	startErr error
	listErr  error
	*node.Feed
}

func newEngine() *engine {
	return &engine{there: map[string]node.Status{}, Feed: node.NewFeed()}
}

func (e *engine) Start(_ context.Context, w node.Workload) error {
	e.mu.Lock()
	defer e.mu.Unlock()
	if e.startErr != nil {
		return e.startErr
	}
	e.started = append(e.started, w.ID)
	if _, ok := e.there[w.ID]; !ok {
		e.there[w.ID] = node.Status{ID: w.ID, Labels: w.Labels, State: node.Starting, StartedAt: time.Now()}
		e.Note(w.ID)
	}
	return nil
}

func (e *engine) Stop(_ context.Context, id string, _ time.Duration) error {
	e.mu.Lock()
	defer e.mu.Unlock()
	e.stopped = append(e.stopped, id)
	delete(e.there, id)
	e.Note(id)
	return nil
}

func (e *engine) Find(ids ...string) (found []node.Status) {
	e.mu.Lock()
	defer e.mu.Unlock()
	for _, id := range ids {
		if s, ok := e.there[id]; ok {
			found = append(found, s)
		}
	}
	return found
}

func (e *engine) List(context.Context) ([]node.Status, error) {
	e.mu.Lock()
	defer e.mu.Unlock()
	var out []node.Status
	for _, s := range e.there {
		out = append(out, s)
	}
	return out, e.listErr
}

// set changes what the engine reports of the workloads that match.
func (e *engine) set(change func(*node.Status)) {
	e.mu.Lock()
	defer e.mu.Unlock()
	for id, s := range e.there {
		was := s
		if change(&s); !reflect.DeepEqual(s, was) {
			e.there[id] = s
			e.Note(id)
		}
	}
}

// put has the engine run what nobody started.
func (e *engine) put(s node.Status) {
	e.mu.Lock()
	defer e.mu.Unlock()
	e.there[s.ID] = s
	e.Note(s.ID)
}

// any is one of its workloads, empty if it has none.
func (e *engine) any(random *rand.Rand) string {
	e.mu.Lock()
	defer e.mu.Unlock()
	if ids := slices.Sorted(maps.Keys(e.there)); len(ids) > 0 {
		return ids[random.IntN(len(ids))]
	}
	return ""
}

func (e *engine) healthy() {
	e.set(func(s *node.Status) { s.State, s.Ready, s.Address = node.Running, true, "10.0.0.2" })
}

func (e *engine) count() int {
	e.mu.Lock()
	defer e.mu.Unlock()
	return len(e.there)
}

func (e *engine) Usage(context.Context, ...string) (map[string]node.Usage, error) {
	return nil, nil
}
func (e *engine) Logs(context.Context, string, time.Time, func(node.LogLine)) error { return nil }
func (e *engine) Exec(context.Context, string, node.Exec) (int, error)              { return 0, nil }
func (e *engine) Dial(context.Context, string, string, string) (net.Conn, error) {
	return nil, node.ErrNotFound
}
func (e *engine) Ping(context.Context) error                     { return nil }
func (e *engine) Close() error                                   { return nil }
func (e *engine) SetNetwork(context.Context, node.Network) error { return nil }
func (e *engine) UpdateFiles(context.Context, string, map[string][]byte) error {
	return nil
}
func (e *engine) Volumes(context.Context) ([]node.VolumeStatus, error) { return nil, nil }
func (e *engine) RemoveVolume(context.Context, string) error           { return nil }

var _ node.Engine = (*engine)(nil)

type drained struct{}

func (drained) WaitDrained(context.Context, string) error { return nil }

type noEnv struct{}

func (noEnv) Running(*store.Tx, *store.App, *store.Process, *store.Droplet, *store.Instance) (map[string]string, error) {
	return map[string]string{"PORT": "8080"}, nil
}
func (noEnv) Task(*store.Tx, *store.App, *store.Task, *store.Droplet) (map[string]string, error) {
	return nil, nil
}

type noLogs struct{}

func (noLogs) Platform(string, string, string, string) {}

// world is a loop over a real store with one started app of two web instances.
type world struct {
	*Loop
	t      *testing.T
	engine *engine
	app    *store.App
	web    *store.Process
	feed   *store.Follower
	later  atomic.Int64 // how far the store's clock is ahead, in ns
}

func newWorld(t *testing.T) *world {
	t.Helper()
	w := &world{t: t}
	clock := func() time.Time { return time.Now().Add(time.Duration(w.later.Load())) }
	db, err := store.Open(store.Options{Dir: t.TempDir(), NoSync: true, Clock: clock})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := db.Check(); err != nil {
			t.Errorf("store check: %v", err)
		}
		db.Close()
	})
	w.engine, w.feed = newEngine(), db.Follow(t.Context(), watched...)
	w.Loop = &Loop{
		DB: db, Engine: w.engine, Router: drained{}, Env: noEnv{}, Logs: noLogs{}, Pace: -1,
		Log: slog.New(slog.NewTextHandler(io.Discard, nil)),
	}
	w.update(func(tx *store.Tx) error {
		org := &store.Org{Name: "example"}
		if err := store.Orgs.Put(tx, org); err != nil {
			return err
		}
		space := &store.Space{Name: "dev", OrgGUID: org.GUID}
		if err := store.Spaces.Put(tx, space); err != nil {
			return err
		}
		d := w.droplet(tx, "sha256:aaaa")
		w.app = &store.App{Name: "hello", SpaceGUID: space.GUID, State: store.AppStarted, CurrentDropletGUID: d.GUID}
		if err := store.Apps.Put(tx, w.app); err != nil {
			return err
		}
		w.web = &store.Process{
			Meta: store.Meta{GUID: w.app.GUID}, AppGUID: w.app.GUID, Type: "web", Instances: 2, MemoryMB: 64, Version: "v1",
		}
		return store.Processes.Put(tx, w.web)
	})
	return w
}

func (w *world) droplet(tx *store.Tx, digest string) *store.Droplet {
	d := &store.Droplet{State: store.StateStaged, Repository: "droplets/x", ImageDigest: digest, ProcessTypes: map[string]string{"web": "run"}}
	if err := store.Droplets.Put(tx, d); err != nil {
		w.t.Fatal(err)
	}
	return d
}

func (w *world) update(fn func(*store.Tx) error) {
	w.t.Helper()
	if err := w.DB.Update(fn); err != nil {
		w.t.Fatal(err)
	}
}

// step makes one pass and waits for the work it began.
// step is one pass as Run makes it: of what has changed, once everything was looked at.
func (w *world) step() {
	w.t.Helper()
	w.init()
	wrote, ran := w.feed.Take(), w.engine.TakeChanges()
	if _, err := w.Loop.step(context.Background(), w.book == nil, wrote, ran); err != nil {
		w.t.Fatal(err)
	}
	w.workers.Wait()
}

// all is one pass that looks at everything.
func (w *world) all() (time.Duration, error) {
	w.init()
	return w.Loop.step(context.Background(), true, store.Changes{}, node.Changes{})
}

func (w *world) steps(n int) {
	for range n {
		w.step()
	}
}

func (w *world) instances() []*store.Instance {
	var out []*store.Instance
	if err := w.DB.View(func(tx *store.Tx) error {
		out = slices.Collect(store.Instances.All(tx))
		return nil
	}); err != nil {
		w.t.Fatal(err)
	}
	return out
}

func (w *world) running() int {
	n := 0
	for _, i := range w.instances() {
		if i.State == store.InstanceRunning && i.Routable {
			n++
		}
	}
	return n
}

func TestStartsWhatIsWanted(t *testing.T) {
	w := newWorld(t)
	w.step()
	if got := w.engine.count(); got != 2 {
		t.Fatalf("workloads after the first pass = %d, want 2", got)
	}
	for _, i := range w.instances() {
		if i.State != store.InstanceStarting || len(i.GUID) != 28 {
			t.Errorf("new instance = %s %q, want STARTING with a GUID of 28 characters", i.State, i.GUID)
		}
	}
	w.engine.healthy()
	w.step()
	if w.running() != 2 {
		t.Fatalf("running after the engine reported = %d, want 2", w.running())
	}
	before := len(w.engine.started)
	w.steps(3)
	if len(w.engine.started) != before {
		t.Errorf("repeated passes started %d more", len(w.engine.started)-before)
	}
}

func TestScalesAndStops(t *testing.T) {
	w := newWorld(t)
	w.step()
	w.engine.healthy()
	w.step()
	w.web.Instances = 1
	w.update(func(tx *store.Tx) error { return store.Processes.Put(tx, w.web) })
	w.steps(2)
	left := w.instances()
	if w.engine.count() != 1 || len(left) != 1 || left[0].Index != 0 {
		t.Fatalf("after scaling to 1: %d workloads, %d records, want index 0 alone", w.engine.count(), len(left))
	}
	w.app.State = store.AppStopped
	w.update(func(tx *store.Tx) error { return store.Apps.Put(tx, w.app) })
	w.steps(2)
	if w.engine.count() != 0 || len(w.instances()) != 0 {
		t.Errorf("after stop: %d workloads, %d records, want none", w.engine.count(), len(w.instances()))
	}
}

func TestANewVersionReplacesInstances(t *testing.T) {
	w := newWorld(t)
	w.step()
	old := slices.Clone(w.engine.started)
	w.web.Version = "v2"
	w.update(func(tx *store.Tx) error { return store.Processes.Put(tx, w.web) })
	w.steps(2)
	for _, id := range old {
		if !slices.Contains(w.engine.stopped, id) {
			t.Errorf("instance %s of the old version was not stopped", id)
		}
	}
	if w.engine.count() != 2 || len(w.instances()) != 2 {
		t.Errorf("after restart: %d workloads, %d records, want 2 and 2", w.engine.count(), len(w.instances()))
	}
}

func TestOrphansAreStopped(t *testing.T) {
	w := newWorld(t)
	w.engine.put(node.Status{ID: "orphan", State: node.Running, Labels: map[string]string{labelProcess: "gone"}})
	w.step()
	if !slices.Contains(w.engine.stopped, "orphan") {
		t.Error("a workload without a record was left running")
	}
}

func TestAForgottenWorkloadIsStartedUnderItsName(t *testing.T) {
	w := newWorld(t)
	w.step()
	id := w.engine.started[0]
	delete(w.engine.there, id)
	w.step()
	if _, ok := w.engine.there[id]; !ok || len(w.instances()) != 2 {
		t.Errorf("the engine forgot %s and it was not started again under the same name", id)
	}
}

func TestADeletedRecordIsReplaced(t *testing.T) {
	w := newWorld(t)
	w.step()
	victim := w.instances()[0]
	w.update(func(tx *store.Tx) error { return store.Instances.Delete(tx, victim.GUID) })
	w.steps(2)
	indexes := map[int]bool{}
	for _, i := range w.instances() {
		indexes[i.Index] = true
	}
	if !slices.Contains(w.engine.stopped, victim.GUID) || len(indexes) != 2 {
		t.Errorf("terminated instance: stopped=%v, indexes now %v", w.engine.stopped, indexes)
	}
}

func TestAnUnavailableEngineChangesNothing(t *testing.T) {
	w := newWorld(t)
	w.step()
	w.engine.healthy()
	w.step()
	w.engine.listErr = node.ErrUnavailable
	if _, err := w.all(); !errors.Is(err, node.ErrUnavailable) {
		t.Fatalf("Step = %v, want ErrUnavailable", err)
	}
	if w.running() != 2 {
		t.Errorf("running = %d after the engine went away, want 2 as last seen", w.running())
	}
}

func TestAFailedStartSaysWhy(t *testing.T) {
	w := newWorld(t)
	w.engine.startErr = node.ErrInsufficient
	w.step()
	for _, i := range w.instances() {
		if i.State != store.InstanceDown || i.Details != "insufficient resources" {
			t.Errorf("instance = %s %q, want DOWN with the reason", i.State, i.Details)
		}
	}
}

func TestACrashIsAnEvent(t *testing.T) {
	w := newWorld(t)
	w.step()
	w.engine.set(func(s *node.Status) {
		s.State, s.Crashes, s.ExitStatus, s.Details = node.Crashed, 1, 1, "exited with status 1"
	})
	w.steps(2)
	if got := w.events("app.crash", "audit.app.process.crash"); got != [2]int{2, 2} {
		t.Errorf("events of two crashed instances = %v, want 2 of each kind", got)
	}
	if i := w.instances()[0]; i.State != store.InstanceCrashed || i.Details != "exited with status 1" {
		t.Errorf("record = %s %q", i.State, i.Details)
	}
}

func TestReadinessIsAnEvent(t *testing.T) {
	w := newWorld(t)
	ready := func(is bool) {
		t.Helper()
		w.engine.set(func(s *node.Status) { s.State, s.Ready = node.Running, is })
		w.steps(2)
	}
	w.step()
	ready(true)
	ready(false)
	if got := w.events("audit.app.process.ready", "audit.app.process.not-ready"); got != [2]int{} {
		t.Errorf("events without a readiness check = %v, want none", got)
	}
	w.update(func(tx *store.Tx) error {
		w.web.ReadinessCheck.Type = "http"
		return store.Processes.Put(tx, w.web)
	})
	ready(true)
	ready(false)
	ready(true)
	if got := w.events("audit.app.process.ready", "audit.app.process.not-ready"); got != [2]int{4, 2} {
		t.Errorf("events of two instances = %v, want ready 4 times and not ready twice", got)
	}
}

// events counts the audit events of two types.
func (w *world) events(a, b string) (n [2]int) {
	w.update(func(tx *store.Tx) error {
		for e := range store.AuditEvents.All(tx) {
			switch e.Type {
			case a:
				n[0]++
			case b:
				n[1]++
			}
		}
		return nil
	})
	return n
}

func TestTasksRunOnce(t *testing.T) {
	w := newWorld(t)
	task := &store.Task{AppGUID: w.app.GUID, SequenceID: 1, Command: "true", State: taskPending, DropletGUID: w.app.CurrentDropletGUID}
	w.update(func(tx *store.Tx) error { return store.Tasks.Put(tx, task) })
	w.step()
	w.step()
	state := func() (got *store.Task) {
		w.update(func(tx *store.Tx) (err error) { got, err = store.Tasks.Get(tx, task.GUID); return err })
		return got
	}
	if got := state(); got.State != taskRunning {
		t.Fatalf("task state = %s, want RUNNING", got.State)
	}
	w.engine.set(func(s *node.Status) {
		if s.ID == task.GUID {
			s.State, s.ExitStatus = node.Exited, 3
		}
	})
	w.steps(2)
	if got := state(); got.State != taskFailed || got.FailureReason != "exited with status 3" {
		t.Errorf("task = %s %q", got.State, got.FailureReason)
	}
	if _, there := w.engine.there[task.GUID]; !there {
		t.Error("the container of a finished task went before its log can have been read")
	}
	if due, err := w.all(); err != nil || due <= 0 || due > lastWords {
		t.Errorf("step = %v, %v; want to be called again within %v", due, err, lastWords)
	}
	w.later.Add(int64(lastWords))
	w.book = nil // it is not the real time that has passed
	w.step()
	if _, there := w.engine.there[task.GUID]; there {
		t.Error("the container of a finished task was left")
	}
}
