package controller

import (
	"context"
	"fmt"
	"io"
	"log/slog"
	"os"
	"runtime"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"golang.org/x/sync/errgroup"

	"github.com/cupola-paas/cupola/controller/appenv"
	"github.com/cupola-paas/cupola/controller/collect"
	"github.com/cupola-paas/cupola/controller/identity"
	"github.com/cupola-paas/cupola/controller/routing"
	"github.com/cupola-paas/cupola/controller/scheduling"
	"github.com/cupola-paas/cupola/node"
	"github.com/cupola-paas/cupola/router"
	"github.com/cupola-paas/cupola/store"
)

// perApp is how many instances each app of the simulation has, perNode how many a node takes before nodes are lost.
const perApp, perNode = 10, 100

// TestScale prints what the controller's loops cost with many nodes (docs/scale.md): the real store, scheduling, routing,
// log collection and router table over a simulated engine. CUPOLA_SCALE is the numbers of nodes, such as 10,100,1000.
func TestScale(t *testing.T) {
	sizes := os.Getenv("CUPOLA_SCALE")
	if sizes == "" {
		t.Skip("set CUPOLA_SCALE to numbers of nodes, such as 10,100,1000, to see what the loops cost")
	}
	fmt.Printf("%6s %9s  %-34s %9s %9s %9s %9s\n", "nodes", "instances", "what", "seconds", "CPU s", "heap MB", "calls")
	for size := range strings.SplitSeq(sizes, ",") {
		nodes, err := strconv.Atoi(size)
		if err != nil {
			t.Fatal(err)
		}
		newFleet(t, nodes).scenario()
	}
}

// fleet is a controller with a simulated cluster.
type fleet struct {
	t       *testing.T
	db      *store.DB
	cluster *cluster
	router  *counted
	apps    []string
	want    int // instances in all
	stop    func()
}

func newFleet(t *testing.T, nodes int) *fleet {
	db, err := store.Open(store.Options{Dir: t.TempDir()})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { db.Close() })
	f := &fleet{t: t, db: db, cluster: newCluster(nodes)}
	f.fill(nodes * perNode / perApp)
	f.start()
	return f
}

// fill calls the apps, as pushes would have.
func (f *fleet) fill(apps int) {
	f.t.Helper()
	domain := &store.Domain{Name: "apps.example.com"}
	var space *store.Space
	f.update(func(tx *store.Tx) error {
		org := &store.Org{Name: "example"}
		if err := store.Orgs.Put(tx, org); err != nil {
			return err
		}
		space = &store.Space{Name: "dev", OrgGUID: org.GUID}
		if err := store.Spaces.Put(tx, space); err != nil {
			return err
		}
		return store.Domains.Put(tx, domain)
	})
	for first := 0; first < apps; first += 500 {
		f.update(func(tx *store.Tx) error {
			for n := first; n < min(first+500, apps); n++ {
				if err := f.push(tx, fmt.Sprint("app-", n), space, domain); err != nil {
					return err
				}
			}
			return nil
		})
	}
}

func (f *fleet) push(tx *store.Tx, name string, space *store.Space, domain *store.Domain) error {
	app := &store.App{Name: name, SpaceGUID: space.GUID, State: store.AppStarted}
	if err := store.Apps.Put(tx, app); err != nil {
		return err
	}
	droplet := &store.Droplet{AppGUID: app.GUID, SpaceGUID: space.GUID, State: store.StateStaged, ImageDigest: "sha256:aaaa"}
	if err := store.Droplets.Put(tx, droplet); err != nil {
		return err
	}
	app.CurrentDropletGUID = droplet.GUID
	if err := store.Apps.Put(tx, app); err != nil {
		return err
	}
	process := &store.Process{Meta: store.Meta{GUID: app.GUID}, AppGUID: app.GUID, SpaceGUID: space.GUID, Type: "web", Command: "run", Instances: perApp, MemoryMB: 64, Version: "v1"}
	if err := store.Processes.Put(tx, process); err != nil {
		return err
	}
	f.apps, f.want = append(f.apps, app.GUID), f.want+perApp
	return store.Routes.Put(tx, &store.Route{
		Host: name, DomainGUID: domain.GUID, SpaceGUID: space.GUID,
		Destinations: []store.Destination{{GUID: "d-" + name, AppGUID: app.GUID, ProcessType: "web"}},
	})
}

// start runs the loops, as a controller that starts does.
func (f *fleet) start() {
	f.t.Helper()
	quiet := slog.New(slog.NewTextHandler(io.Discard, nil))
	table, err := router.New(router.Options{HTTPAddr: "127.0.0.1:0", Logger: quiet})
	if err != nil {
		f.t.Fatal(err)
	}
	f.router = &counted{Router: table}
	issuer, err := identity.New(f.db, func() []byte { return nil })
	if err != nil {
		f.t.Fatal(err)
	}
	who := &identity.Loop{DB: f.db, Issuer: issuer, Engine: f.cluster, Log: quiet}
	loops := []func(context.Context) error{
		(&scheduling.Loop{
			DB: f.db, Engine: f.cluster, Router: f.router, Finish: who.Finish, Env: appenv.Env{API: "https://api.example.com"}, Logs: noPlatformLogs{}, Log: quiet,
			Images: scheduling.Images{Registry: "registry.example.com"},
		}).Run,
		(&routing.Loop{DB: f.db, Router: f.router, Log: quiet}).Run,
		(&collect.Loop{DB: f.db, Engine: f.cluster, Sink: noLines{}, Log: quiet}).Run,
		(&collect.Life{DB: f.db, Say: func(collect.Source, string, string) {}, Cell: "example", Log: quiet}).Run,
	}
	ctx, cancel := context.WithCancel(f.t.Context())
	g, ctx := errgroup.WithContext(ctx)
	for _, run := range loops {
		g.Go(func() error { return run(ctx) })
	}
	f.stop = func() {
		cancel()
		if err := g.Wait(); err != nil {
			f.t.Error(err)
		}
	}
}

func (f *fleet) scenario() {
	defer func() { f.stop() }()
	begun := f.now() // the loops have begun with the fleet
	f.rested("all apps started", begun)
	f.measured("controller started again", func() { f.stop(); f.start() })
	f.measured("one app scaled by one", func() { f.scale(f.apps[0], perApp+1) })
	f.measured("100 apps scaled by one", func() {
		for _, app := range f.apps[1:min(101, len(f.apps))] {
			f.scale(app, perApp+1)
		}
	})
	f.measured("one node lost", func() { f.cluster.lose(1) })
	f.measured("a tenth of the nodes lost", func() { f.cluster.lose(max(1, len(f.cluster.load)/10)) })
	idle := f.now()
	time.Sleep(30 * time.Second)
	f.print("nothing for 30 s", idle)
}

func (f *fleet) scale(app string, to int) {
	f.update(func(tx *store.Tx) error {
		p, err := store.Processes.Get(tx, app)
		if err != nil {
			return err
		}
		f.want += to - p.Instances
		p.Instances = to
		return store.Processes.Put(tx, p)
	})
}

func (f *fleet) measured(what string, do func()) {
	begun := f.now()
	do()
	f.rested(what, begun)
}

// rested waits until all that is wanted runs and the router sends requests there, and prints what that took.
func (f *fleet) rested(what string, begun moment) {
	f.t.Helper()
	changed := f.db.Watch(f.t.Context(), store.Instances.Name())
	give := time.After(30 * time.Minute)
	for !f.atRest() {
		select {
		case <-changed:
		case <-time.After(5 * time.Millisecond): // the router's table is no part of the store
		case <-give:
			f.t.Fatalf("%s: it does not come to rest", what)
		}
	}
	f.print(what, begun)
}

// atRest compares numbers, so that asking costs nothing worth counting.
func (f *fleet) atRest() bool {
	all, running := f.cluster.numbers()
	if running != f.want || all != f.want || f.router.total.Load() != int64(f.want) {
		return false
	}
	records, ready := 0, 0
	err := f.db.View(func(tx *store.Tx) (err error) {
		if records, err = store.Instances.Count(tx); err != nil {
			return err
		}
		ready, err = store.Instances.Count(tx, store.By("state", store.InstanceRunning))
		return err
	})
	if err != nil {
		f.t.Fatal(err)
	}
	return records == f.want && ready == f.want && f.moved()
}

// moved reports whether the store knows where those instances are that lost their node.
func (f *fleet) moved() bool {
	same := true
	err := f.db.View(func(tx *store.Tx) error {
		for id, address := range f.cluster.refugees() {
			i, err := store.Instances.Get(tx, id)
			if err != nil || i.Address != address {
				same = false
				return err
			}
		}
		return nil
	})
	if err != nil {
		f.t.Fatal(err)
	}
	return same
}

// moment is what had been used at a time.
type moment struct {
	at    time.Time
	cpu   time.Duration
	calls int64
}

func (f *fleet) now() moment {
	var u syscall.Rusage
	if err := syscall.Getrusage(syscall.RUSAGE_SELF, &u); err != nil {
		f.t.Fatal(err)
	}
	return moment{time.Now(), time.Duration(u.Utime.Nano() + u.Stime.Nano()), f.cluster.calls.Load()}
}

func (f *fleet) print(what string, begun moment) {
	now := f.now()
	runtime.GC()
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	all, _ := f.cluster.numbers()
	fmt.Printf("%6d %9d  %-34s %9.2f %9.2f %9d %9d\n", len(f.cluster.load), all, what,
		now.at.Sub(begun.at).Seconds(), (now.cpu - begun.cpu).Seconds(), m.HeapAlloc>>20, now.calls-begun.calls)
}

func (f *fleet) update(do func(*store.Tx) error) {
	f.t.Helper()
	if err := f.db.Update(do); err != nil {
		f.t.Fatal(err)
	}
}

type noPlatformLogs struct{}

func (noPlatformLogs) Platform(string, string, string, string) {}

type noLines struct{}

func (noLines) Line(collect.Source, node.LogLine)  {}
func (noLines) Last(collect.Source) (at time.Time) { return }
