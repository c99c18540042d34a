package migration

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net/netip"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/cupola-paas/cupola/controller/capi"
	"github.com/cupola-paas/cupola/controller/scheduling"
	"github.com/cupola-paas/cupola/node"
	"github.com/cupola-paas/cupola/store"
)

// twin is two engines in memory. What starts is healthy at once, unless refuse says why it does not start.
type twin struct {
	node.Engine // what is not here is not called
	*node.Feed

	mu     sync.Mutex
	says   node.Settlement
	there  map[string]node.Status
	refuse func(engine string, w node.Workload) error
}

func newTwin() *twin {
	return &twin{Feed: node.NewFeed(), there: map[string]node.Status{}, refuse: func(string, node.Workload) error { return nil }}
}

func (e *twin) Changed() <-chan struct{}    { return e.Feed.Changed() }
func (e *twin) TakeChanges() node.Changes   { return e.Feed.TakeChanges() }
func (e *twin) Ping(context.Context) error  { return nil }
func (e *twin) Settle(s node.Settlement)    { e.mu.Lock(); e.says = s; e.mu.Unlock(); e.Note() }
func (e *twin) settlement() node.Settlement { e.mu.Lock(); defer e.mu.Unlock(); return e.says }
func (e *twin) set(refuse func(string, node.Workload) error) {
	e.mu.Lock()
	e.refuse = refuse
	e.mu.Unlock()
}

func (e *twin) Start(_ context.Context, w node.Workload) error {
	says := e.settlement()
	engine := says.Home
	if engine == "" {
		engine = node.EngineNomad
	}
	if says.Stays != nil && says.Stays(w.Labels) {
		engine = node.EngineDocker
	}
	e.mu.Lock()
	defer e.mu.Unlock()
	if err := e.refuse(engine, w); err != nil {
		return err
	}
	if _, ok := e.there[w.ID]; !ok {
		e.there[w.ID] = node.Status{ID: w.ID, Labels: w.Labels, Engine: engine, State: node.Running, Ready: true, StartedAt: time.Now(), Address: "192.0.2.1"}
		e.Note(w.ID)
	}
	return nil
}

func (e *twin) Stop(_ context.Context, id string, _ time.Duration) error {
	e.mu.Lock()
	defer e.mu.Unlock()
	delete(e.there, id)
	e.Note(id)
	return nil
}

func (e *twin) look(s node.Status) node.Status {
	s.Leaving = e.says.Leaves != nil && e.says.Leaves(s.Engine, s.Labels)
	return s
}

func (e *twin) List(context.Context) ([]node.Status, error) {
	e.mu.Lock()
	defer e.mu.Unlock()
	var all []node.Status
	for _, s := range e.there {
		all = append(all, e.look(s))
	}
	return all, nil
}

func (e *twin) Find(ids ...string) (found []node.Status) {
	e.mu.Lock()
	defer e.mu.Unlock()
	for _, id := range ids {
		if s, ok := e.there[id]; ok {
			found = append(found, e.look(s))
		}
	}
	return found
}

// where counts the instances of each app on an engine.
func (e *twin) where(engine string) map[string]int {
	e.mu.Lock()
	defer e.mu.Unlock()
	out := map[string]int{}
	for _, s := range e.there {
		if s.Engine == engine && s.Labels[labelProcess] != "" {
			out[s.Labels[labelApp]]++
		}
	}
	return out
}

type drained struct{}

func (drained) WaitDrained(context.Context, string) error { return nil }

type noEnv struct{}

func (noEnv) Running(*store.Tx, *store.App, *store.Process, *store.Droplet, *store.Instance) (map[string]string, error) {
	return nil, nil
}

func (noEnv) Task(*store.Tx, *store.App, *store.Task, *store.Droplet) (map[string]string, error) {
	return nil, nil
}

type noLogs struct{}

func (noLogs) Platform(string, string, string, string) {}

var quiet = slog.New(slog.NewTextHandler(io.Discard, nil))

// world is a store with apps of two instances each, which run on Docker, and the two loops beside it.
type world struct {
	t     *testing.T
	db    *store.DB
	twin  *twin
	apps  []string
	clock atomic.Int64 // how far the migration's clock is ahead, in ns
	loop  *Loop
	stop  func()

	reachable func(netip.Addr) bool
}

const instances = 2

func newWorld(t *testing.T, apps int) *world {
	t.Helper()
	db, err := store.Open(store.Options{Dir: t.TempDir(), NoSync: true})
	if err != nil {
		t.Fatal(err)
	}
	w := &world{t: t, db: db, twin: newTwin()}
	t.Cleanup(func() {
		w.halt()
		if err := db.Check(); err != nil {
			t.Errorf("store check: %v", err)
		}
		db.Close()
	})
	w.update(func(tx *store.Tx) error {
		org := &store.Org{Name: "example"}
		err := store.Orgs.Put(tx, org)
		space := &store.Space{Name: "dev", OrgGUID: org.GUID}
		err = errors.Join(err, store.Spaces.Put(tx, space))
		d := &store.Droplet{State: store.StateStaged, Repository: "droplets/x", ImageDigest: "sha256:aaaa", ProcessTypes: map[string]string{"web": "run"}}
		err = errors.Join(err, store.Droplets.Put(tx, d))
		for i := range apps {
			guid := fmt.Sprintf("app-%d", i)
			w.apps = append(w.apps, guid)
			err = errors.Join(err, store.Apps.Put(tx, &store.App{Meta: store.Meta{GUID: guid}, Name: guid, SpaceGUID: space.GUID, State: store.AppStarted, CurrentDropletGUID: d.GUID}),
				store.Processes.Put(tx, &store.Process{Meta: store.Meta{GUID: guid}, AppGUID: guid, Type: "web", Instances: instances, MemoryMB: 64, Version: "v1"}))
		}
		return err
	})
	w.twin.Settle(node.Settlement{Home: node.EngineDocker}) // as before there was a cluster
	return w
}

func (w *world) update(fn func(*store.Tx) error) {
	w.t.Helper()
	if err := w.db.Update(fn); err != nil {
		w.t.Fatal(err)
	}
}

// run starts the loops as a server does that begins, with nothing in memory.
func (w *world) run(withMigration bool) {
	w.t.Helper()
	ctx, cancel := context.WithCancel(w.t.Context())
	var wait sync.WaitGroup
	s := &scheduling.Loop{DB: w.db, Engine: w.twin, Router: drained{}, Env: noEnv{}, Logs: noLogs{}, Pace: -1, Log: quiet}
	w.loop = &Loop{DB: w.db, Engine: w.twin, Log: quiet, Reachable: w.reachable, Clock: func() time.Time { return time.Now().Add(time.Duration(w.clock.Load())) }}
	if withMigration {
		if _, err := w.loop.Step(ctx); err != nil {
			w.t.Fatal(err)
		}
		wait.Go(func() { _ = w.loop.Run(ctx) })
	}
	wait.Go(func() { _ = s.Run(ctx) })
	w.stop = func() { cancel(); wait.Wait() }
}

// halt ends the loops, wherever they are.
func (w *world) halt() {
	if w.stop != nil {
		w.stop()
	}
	w.stop = nil
}

// migrate asks for a migration as the API does.
func (w *world) migrate(target string, parallel int) {
	w.t.Helper()
	w.update(func(tx *store.Tx) error {
		return store.Migrations.Put(tx, &store.Migration{Meta: store.Meta{GUID: store.MigrationGUID}, Target: target, Parallel: parallel, State: store.MigrationRunning, BeganAt: tx.Now})
	})
}

// until waits for something that a change of the store brings about.
func (w *world) until(what string, so func() bool) {
	w.t.Helper()
	ctx, cancel := context.WithTimeout(w.t.Context(), time.Minute)
	defer cancel()
	changed := w.db.Watch(ctx, store.Instances.Name(), store.Migrations.Name())
	for !so() {
		select {
		case <-changed:
		case <-w.twin.settledChanged():
		case <-ctx.Done():
			w.t.Fatalf("never: %s; Docker has %v, Nomad has %v", what, w.twin.where(node.EngineDocker), w.twin.where(node.EngineNomad))
		}
	}
}

// settledChanged is a moment later; the engine itself has one reader alone.
func (e *twin) settledChanged() <-chan time.Time { return time.After(20 * time.Millisecond) }

// serving counts what gets requests, by app and index.
func (w *world) serving() map[string]int {
	out := map[string]int{}
	_ = w.db.View(func(tx *store.Tx) error {
		for i := range store.Instances.All(tx) {
			if i.State == store.InstanceRunning && i.Routable {
				out[fmt.Sprintf("%s/%d", i.AppGUID, i.Index)]++
			}
		}
		return nil
	})
	return out
}

func (w *world) allServe() bool { return len(w.serving()) == instances*len(w.apps) }

func (w *world) onlyOn(engine string) bool {
	other := node.EngineDocker
	if engine == other {
		other = node.EngineNomad
	}
	at := w.twin.where(engine)
	for _, app := range w.apps {
		if at[app] != instances {
			return false
		}
	}
	return len(w.twin.where(other)) == 0
}

func (w *world) state() (state string) {
	_ = w.db.View(func(tx *store.Tx) error {
		if m, err := store.Migrations.Get(tx, store.MigrationGUID); err == nil {
			state = m.State
		}
		return nil
	})
	return state
}

// guard fails the test if at any change of the store an index of an app has nobody that gets requests.
func (w *world) guard() (end func()) {
	ctx, cancel := context.WithCancel(w.t.Context())
	changed := w.db.Watch(ctx, store.Instances.Name())
	done := make(chan struct{})
	go func() {
		defer close(done)
		for {
			if got := w.serving(); len(got) != instances*len(w.apps) {
				w.t.Errorf("somebody is not answered: %v", got)
				return
			}
			select {
			case <-changed:
			case <-ctx.Done():
				return
			}
		}
	}()
	return func() { cancel(); <-done }
}

// onDocker is a world whose apps all run on Docker.
func onDocker(t *testing.T, apps int) *world {
	w := newWorld(t, apps)
	w.run(false)
	w.until("all apps serve", w.allServe)
	w.halt()
	if !w.onlyOn(node.EngineDocker) {
		t.Fatal("the apps did not start on Docker")
	}
	return w
}

// TestMovesAppByApp: every app moves, so many at a time as was asked, and back, and at no moment is one without instances.
func TestMovesAppByApp(t *testing.T) {
	w := onDocker(t, 7)
	defer w.guard()()
	var most atomic.Int64
	w.twin.set(func(string, node.Workload) error {
		moving := 0
		if says := w.twin.says.Leaves; says != nil { // its caller has the lock
			for _, app := range w.apps {
				if says(node.EngineDocker, map[string]string{labelApp: app, labelProcess: app}) {
					moving++
				}
			}
		}
		most.Store(max(most.Load(), int64(moving)))
		return nil
	})
	w.migrate(node.EngineNomad, 2)
	w.run(true)
	w.until("all is on Nomad", func() bool { return w.state() == store.MigrationDone && w.onlyOn(node.EngineNomad) })
	if n := most.Load(); n < 1 || n > 2 {
		t.Errorf("%d apps moved at the same time, want 2 at most", n)
	}
	w.migrate(node.EngineDocker, 3)
	w.until("all is on Docker again", func() bool { return w.state() == store.MigrationDone && w.onlyOn(node.EngineDocker) })
}

// TestGoesOnAfterAKill: the server ends in the midst, several times, and what it had begun is finished.
func TestGoesOnAfterAKill(t *testing.T) {
	w := onDocker(t, 5)
	defer w.guard()()
	w.migrate(node.EngineNomad, 1)
	for moved := 1; moved < len(w.apps); moved++ {
		w.run(true)
		w.until("another app has begun", func() bool { return len(w.twin.where(node.EngineNomad)) >= moved })
		w.halt()
	}
	w.run(true)
	w.until("all is on Nomad", func() bool { return w.state() == store.MigrationDone && w.onlyOn(node.EngineNomad) })
}

// TestTurnsBack: in the midst, with apps in both places and one that has nobody at the target yet, all goes back.
func TestTurnsBack(t *testing.T) {
	w := onDocker(t, 5)
	defer w.guard()()
	w.twin.set(func(engine string, x node.Workload) error {
		if engine == node.EngineNomad && (x.Labels[labelApp] == "app-1" || x.Labels["index"] == "1") {
			return node.ErrInsufficient
		}
		return nil
	})
	w.migrate(node.EngineNomad, 4)
	w.run(true)
	w.until("some are on Nomad", func() bool { return len(w.twin.where(node.EngineNomad)) >= 2 })
	w.halt()
	w.migrate(node.EngineDocker, 1)
	w.run(true)
	w.until("all is on Docker", func() bool { return w.state() == store.MigrationDone && w.onlyOn(node.EngineDocker) })
}

// TestWhoCannotMoveStays: an app for which there is no room serves on where it is, others move past it, and it moves when
// there is room.
func TestWhoCannotMoveStays(t *testing.T) {
	w := onDocker(t, 3)
	defer w.guard()()
	w.twin.set(func(engine string, x node.Workload) error {
		if engine == node.EngineNomad && x.Labels[labelApp] == "app-0" {
			return fmt.Errorf("%w: no node has room", node.ErrInsufficient)
		}
		return nil
	})
	w.migrate(node.EngineNomad, 1)
	w.run(true)
	w.until("the first is on its way", func() bool { moves, _ := w.loop.state("app-0"); return moves })
	w.clock.Store(int64(2 * patience))
	w.until("the others have moved", func() bool {
		at := w.twin.where(node.EngineNomad)
		return at["app-1"] == instances && at["app-2"] == instances
	})
	plan := w.plan("")
	if a := plan.Apps[0]; plan.Migration.State != store.MigrationRunning || a.State != capi.MoveDelayed || a.Docker != instances || !strings.Contains(a.Detail, "no node has room") {
		t.Errorf("the plan says %+v of the app without room, in %+v", a, plan.Migration)
	}
	w.twin.set(func(string, node.Workload) error { return nil })
	w.until("all is on Nomad", func() bool { return w.state() == store.MigrationDone && w.onlyOn(node.EngineNomad) })
}

// TestDataStays: a data service stays where its volume is, and with it the app that uses it.
func TestDataStays(t *testing.T) {
	w := onDocker(t, 2)
	w.update(func(tx *store.Tx) error {
		return errors.Join(store.DataServices.Put(tx, &store.DataService{Meta: store.Meta{GUID: "db-1"}, Name: "orders-db"}),
			store.DataBindings.Put(tx, &store.DataBinding{ServiceGUID: "db-1", AppGUID: "app-1"}))
	})
	w.twin.mu.Lock()
	w.twin.there["db-1"] = node.Status{ID: "db-1", Labels: map[string]string{labelService: "db-1"}, Engine: node.EngineDocker, State: node.Running, Address: "192.0.2.9"}
	w.twin.mu.Unlock()
	plan := w.plan(node.EngineNomad)
	if len(plan.Services) != 1 || plan.Services[0].Name != "orders-db" || plan.Services[0].UsedMB != 5 {
		t.Errorf("the plan's data services are %+v", plan.Services)
	}
	if a := plan.Apps[1]; a.State != capi.MoveNever || !strings.Contains(a.Detail, "orders-db") || plan.Apps[0].State != capi.MoveWaits || plan.NeededMB != 128 {
		t.Errorf("the plan's apps are %+v, which need %d MB", plan.Apps, plan.NeededMB)
	}
	w.migrate(node.EngineNomad, 3)
	w.run(true)
	w.until("it is done", func() bool { return w.state() == store.MigrationDone })
	defer func() { // until machines of the cluster reach it
		w.halt()
		w.reachable = func(a netip.Addr) bool { return a.String() == "192.0.2.9" }
		w.migrate(node.EngineNomad, 3)
		w.run(true)
		w.until("the app of the data service has moved, too", func() bool { return w.state() == store.MigrationDone && w.onlyOn(node.EngineNomad) })
	}()
	if docker, nomad := w.twin.where(node.EngineDocker), w.twin.where(node.EngineNomad); docker["app-1"] != instances || nomad["app-0"] != instances || len(docker) != 1 {
		t.Errorf("Docker has %v and Nomad %v", docker, nomad)
	}
}

// TestDataKeepsTheCluster: as long as a machine of the cluster has data, the way back is not at its end.
func TestDataKeepsTheCluster(t *testing.T) {
	w := onDocker(t, 1)
	w.update(func(tx *store.Tx) error {
		return store.DataServices.Put(tx, &store.DataService{Meta: store.Meta{GUID: "db-1"}, Name: "orders-db"})
	})
	far := node.Status{ID: "db-1", Labels: map[string]string{labelService: "db-1"}, State: node.Running}
	w.twin.mu.Lock()
	w.twin.there["db-1"] = far
	w.twin.mu.Unlock()
	plan := w.plan(node.EngineDocker)
	if len(plan.Problems) != 1 || !strings.Contains(plan.Problems[0].Detail, "orders-db has its data on another machine") || plan.Services[0].Engine != node.EngineNomad {
		t.Errorf("the plan has the problems %+v and data services %+v", plan.Problems, plan.Services)
	}
	w.migrate(node.EngineDocker, 1)
	if busy, err := w.loop.Step(t.Context()); !busy || err != nil || w.state() != store.MigrationRunning {
		t.Errorf("with data in the cluster: busy %t, %v, %s", busy, err, w.state())
	}
	if err := w.twin.Stop(t.Context(), far.ID, 0); err != nil {
		t.Fatal(err)
	}
	if busy, err := w.loop.Step(t.Context()); busy || err != nil || w.state() != store.MigrationDone {
		t.Errorf("without it: busy %t, %v, %s", busy, err, w.state())
	}
}

// planner has one node with so much free memory.
func (w *world) planner(machines ...node.Machine) *Planner {
	if w.loop == nil {
		w.loop = &Loop{DB: w.db, Engine: w.twin, Log: quiet}
	}
	return &Planner{
		Loop: w.loop, DockerMB: 4096, Ping: w.twin.Ping,
		Machines: func(context.Context) ([]node.Machine, error) { return machines, nil },
		Volumes: func(context.Context) ([]node.VolumeStatus, error) {
			return []node.VolumeStatus{{ID: "db-1", UsedBytes: 5 << 20, UsedBy: []string{"db-1"}}}, nil
		},
		Image: func(context.Context, string, string) error { return nil },
	}
}

var oneNode = node.Machine{ID: "n1", Name: "vm-1", Up: true, Eligible: true, Agent: true, MemoryMB: 4096}

func (w *world) plan(target string) *capi.Engine {
	w.t.Helper()
	plan, err := w.planner(oneNode).Plan(w.t.Context(), target)
	if err != nil {
		w.t.Fatal(err)
	}
	return plan
}

// TestProblems: what stands in the way is named before anything moves.
func TestProblems(t *testing.T) {
	w := onDocker(t, 2) // 4 instances of 64 MB
	small, drained, foreign := oneNode, oneNode, oneNode
	small.MemoryMB, small.ReservedMB = 256, 100
	drained.Eligible, foreign.Agent = false, false
	old := oneNode
	old.Version = "1.7.7"
	tiny := oneNode
	tiny.MemoryMB = 32
	for _, c := range []struct {
		name     string
		machines []node.Machine
		change   func(*Planner)
		want     []string
	}{
		{"all is well", []node.Machine{oneNode}, nil, nil},
		{"no nodes", nil, nil, []string{"no node of the cluster is READY"}},
		{"none that takes anything", []node.Machine{drained, foreign}, nil, []string{"no node of the cluster is READY"}},
		{"an old Nomad on a node", []node.Machine{oneNode, old}, nil, []string{"node vm-1 runs Nomad 1.7.7"}},
		{"too little memory", []node.Machine{small}, nil, []string{"too little memory: 256 MB are needed, 156 MB are free"}},
		{"half of it reserved", []node.Machine{small}, func(p *Planner) { p.Reserve = 0.5 }, nil},
		{"too small a node", []node.Machine{tiny}, nil, []string{"an instance needs 64 MB", "an instance needs 64 MB", "too little memory"}},
		{"no leader", []node.Machine{oneNode}, func(p *Planner) {
			p.Ping = func(context.Context) error { return errors.New("Nomad has no leader") }
		}, []string{"Nomad has no leader"}},
		{"an image that is gone", []node.Machine{oneNode}, func(p *Planner) {
			p.Image = func(context.Context, string, string) error { return errors.New("404") }
		}, []string{"its image is not in the registry"}},
	} {
		p := w.planner(c.machines...)
		if c.change != nil {
			c.change(p)
		}
		plan, err := p.Plan(t.Context(), node.EngineNomad)
		if err != nil {
			t.Fatal(err)
		}
		var got []string
		for _, x := range plan.Problems {
			got = append(got, x.Detail)
		}
		if !slices.EqualFunc(got, c.want, func(a, b string) bool { return strings.Contains(a, b) }) {
			t.Errorf("%s: problems %q, want %q", c.name, got, c.want)
		}
	}
}

// TestMigrationAlone: how it stands is told without a look at volumes, images and machines; apps are told of while it goes on alone.
func TestMigrationAlone(t *testing.T) {
	w := onDocker(t, 2)
	p := w.planner()
	p.Volumes = func(context.Context) ([]node.VolumeStatus, error) { return nil, errors.New("volumes are looked at") }
	p.Image = func(context.Context, string, string) error { return errors.New("images are looked at") }
	p.Machines = func(context.Context) ([]node.Machine, error) { return nil, errors.New("machines are looked at") }
	for _, c := range []struct {
		name  string
		begin func()
		apps  int
		state string // of the migration; empty: there is none
	}{
		{"none yet", func() {}, 0, ""},
		{"begun", func() { w.migrate(node.EngineNomad, 1) }, 2, store.MigrationRunning},
		{"done", func() {
			w.run(true)
			w.until("all is on Nomad", func() bool { return w.state() == store.MigrationDone })
			w.halt()
		}, 0, store.MigrationDone},
	} {
		c.begin()
		e, err := p.Migration(t.Context())
		if err != nil {
			t.Fatalf("%s: %v", c.name, err)
		}
		state := ""
		if e.Migration != nil {
			state = e.Migration.State
		}
		if len(e.Apps) != c.apps || state != c.state || len(e.Problems) != 0 {
			t.Errorf("%s: %d apps, state %q, problems %v; want %d apps, state %q", c.name, len(e.Apps), state, e.Problems, c.apps, c.state)
		}
	}
}
