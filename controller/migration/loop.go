// Package migration moves what runs from one engine to another, app by app, while requests go on being answered: from this
// machine's Docker to a cluster, or back.
//
// It starts and stops nothing itself. It tells the engine where workloads belong, and of which apps those that are
// elsewhere are to leave; the scheduling loop then makes each instance anew at the target and stops the old one once the new
// one gets requests. What is wanted lies in the store (store.Migration) and what is done shows in where things run, so a
// migration that was cut off goes on by itself, and another one in the other direction takes its place at any moment. The
// controller runs it, and it calls no other loop.
package migration

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"maps"
	"net/netip"
	"slices"
	"sync"
	"time"

	"github.com/cupola-paas/cupola/node"
	"github.com/cupola-paas/cupola/store"
)

const (
	pause  = 100 * time.Millisecond // between two passes, so that a burst is one
	resync = 5 * time.Second        // while a migration is under way, and
	idle   = time.Minute            // else
	// patience is how long an app counts among those that move at the same time; one that takes longer goes on, and another
	// one begins.
	patience = 3 * time.Minute
)

// Labels of workloads (see package scheduling).
const (
	labelApp     = "app"
	labelProcess = "process"
	labelService = "service_instance"
)

// Engine is one of two; a node.Engine that is a node.Settler is one.
type Engine interface {
	List(ctx context.Context) ([]node.Status, error)
	Find(ids ...string) []node.Status
	Settle(s node.Settlement)
}

// Loop migrates. Its fields are set before it is used and not changed.
type Loop struct {
	DB     *store.DB
	Engine Engine // may be set after First
	// Reachable reports whether apps on every machine reach what has that address on this one; nil: they reach nothing of it.
	Reachable func(netip.Addr) bool
	Clock     func() time.Time
	Log       *slog.Logger

	mu     sync.Mutex
	said   bool                 // the engine was told
	home   string               // what it was told last
	moving map[string]string    // likewise: the apps that move, by GUID, with the engine where they belong
	begun  map[string]time.Time // since when
}

// First is where workloads belong as the store says, for an engine that is opened.
func (l *Loop) First() (node.Settlement, error) {
	m, err := l.read()
	if err != nil || m == nil {
		return node.Settlement{Stays: l.stays}, err
	}
	return node.Settlement{Home: m.Target, Stays: l.stays}, nil
}

// read returns the migration, nil if there was never one.
func (l *Loop) read() (m *store.Migration, err error) {
	err = l.DB.View(func(tx *store.Tx) (err error) {
		m, err = store.Migrations.Get(tx, store.MigrationGUID)
		return err
	})
	if errors.Is(err, store.ErrNotFound) {
		return nil, nil
	}
	return m, err
}

// Run steps until ctx ends.
func (l *Loop) Run(ctx context.Context) error {
	changed := l.DB.Watch(ctx, store.Migrations.Name(), store.Instances.Name(), store.Tasks.Name(), store.DataBindings.Name())
	for {
		wait := idle
		busy, err := l.Step(ctx)
		if err != nil && ctx.Err() == nil {
			l.Log.Warn("migration: pass not finished", "error", err)
		}
		if busy || err != nil {
			wait = resync
		}
		if !store.Sleep(ctx, pause, nil) || !store.Sleep(ctx, wait, changed) {
			return nil
		}
	}
}

// Step looks at what is where and says what is to leave. It must have been called once before anything is scheduled, so that
// of two instances with one index the right one goes. It reports whether a migration is under way.
func (l *Loop) Step(ctx context.Context) (bool, error) {
	m, err := l.read()
	if err != nil {
		return false, err
	}
	switch {
	case m == nil:
		l.settle("", nil)
	case m.State != store.MigrationRunning:
		l.settle(m.Target, nil)
	default:
		return l.step(ctx, m)
	}
	return false, nil
}

func (l *Loop) step(ctx context.Context, m *store.Migration) (bool, error) {
	list, err := l.Engine.List(ctx)
	if err != nil {
		return false, err
	}
	bound, err := l.bound()
	if err != nil {
		return false, err
	}
	c := countAstray(list, m.Target, bound)
	l.settle(m.Target, l.choose(c, m.Parallel))
	if len(c.apps) > 0 || c.tasks > 0 || c.data > 0 {
		return true, nil
	}
	return false, l.finish(m)
}

// settle tells the engine, if it was told other before, and remembers since when apps move.
func (l *Loop) settle(home string, moving map[string]string) {
	l.mu.Lock()
	same := l.said && l.home == home && maps.Equal(l.moving, moving)
	begun := map[string]time.Time{}
	for app, target := range moving {
		begun[app] = l.now()
		if at, known := l.begun[app]; known && l.moving[app] == target {
			begun[app] = at
		}
	}
	l.said, l.home, l.moving, l.begun = true, home, moving, begun
	l.mu.Unlock()
	if same {
		return
	}
	s := node.Settlement{Home: home, Stays: l.stays}
	if len(moving) > 0 {
		s.Leaves = func(engine string, labels map[string]string) bool {
			target, is := moving[labels[labelApp]]
			return is && labels[labelProcess] != "" && engine != target
		}
	}
	l.Engine.Settle(s)
}

func (l *Loop) now() time.Time {
	if l.Clock == nil {
		return time.Now()
	}
	return l.Clock()
}

// count is what there is to move.
type count struct {
	apps  map[string]*astray // with instances that are not where they belong
	tasks int                // that run elsewhere than at the target
	data  int                // data services on machines of the cluster that shall be done without
}

// astray is an app.
type astray struct {
	belongs string // the engine
	there   bool   // some of it is there already
}

// countAstray looks at all that runs. bound are the apps that belong on this machine for their data services.
func countAstray(list []node.Status, target string, bound map[string]string) count {
	c := count{apps: map[string]*astray{}}
	there := map[string]bool{}
	for _, s := range list {
		app := s.Labels[labelApp]
		if s.Labels[labelService] != "" && target == node.EngineDocker && s.Engine != node.EngineDocker {
			c.data++
		}
		if app == "" || s.Labels[labelService] != "" {
			continue
		}
		switch belongs := belongs(app, target, bound); {
		case s.Labels[labelProcess] == "":
			if s.Engine != target && s.State != node.Exited {
				c.tasks++
			}
		case s.Engine == belongs:
			there[app] = true
		default:
			c.apps[app] = &astray{belongs: belongs}
		}
	}
	for app, a := range c.apps {
		a.there = there[app]
	}
	return c
}

// belongs is the engine where instances of an app are to be.
func belongs(app, target string, bound map[string]string) string {
	if bound[app] != "" {
		return node.EngineDocker
	}
	return target
}

// choose picks the apps that move now. What is in both places must go on, lest one of two instances with the same index go
// that serves; of the others so many begin as there are places free, and who is late takes none.
func (l *Loop) choose(c count, parallel int) map[string]string {
	l.mu.Lock()
	defer l.mu.Unlock()
	moving, active := map[string]string{}, 0
	var rest []string
	for app, a := range c.apps {
		at, known := l.begun[app]
		known = known && l.moving[app] == a.belongs
		if !known && !a.there {
			rest = append(rest, app)
			continue
		}
		moving[app] = a.belongs
		if !known || l.now().Sub(at) < patience {
			active++
		}
	}
	slices.Sort(rest)
	for _, app := range rest[:min(len(rest), max(0, max(1, parallel)-active))] {
		moving[app] = c.apps[app].belongs
	}
	return moving
}

// finish writes down that all is done, unless another migration has begun meanwhile.
func (l *Loop) finish(m *store.Migration) error {
	err := l.DB.Update(func(tx *store.Tx) error {
		now, err := store.Migrations.Get(tx, store.MigrationGUID)
		if err != nil || !now.UpdatedAt.Equal(m.UpdatedAt) {
			return err
		}
		now.State, now.EndedAt = store.MigrationDone, tx.Now
		return store.Migrations.Put(tx, now)
	})
	if err != nil {
		return fmt.Errorf("end of the migration: %w", err)
	}
	l.Log.Info("all has moved", "engine", m.Target)
	return nil
}

// stays reports whether a workload is of an app that uses a data service which it reaches from this machine alone.
func (l *Loop) stays(labels map[string]string) bool {
	app := labels[labelApp]
	if app == "" {
		return false
	}
	var all []*store.DataBinding
	err := l.DB.View(func(tx *store.Tx) (err error) {
		all, _, err = store.DataBindings.List(tx, store.Query[store.DataBinding]{Where: []store.Cond{store.By("app", app)}})
		return err
	})
	if err != nil {
		l.Log.Warn("bindings of an app not read", "app", app, "error", err)
	}
	return slices.ContainsFunc(all, l.here)
}

// here reports whether a binding is to a data service that is reached from this machine alone: no machine of the cluster runs
// it, or reaches where it is.
func (l *Loop) here(b *store.DataBinding) bool {
	return !slices.ContainsFunc(l.Engine.Find(b.ServiceGUID), func(s node.Status) bool {
		at, err := netip.ParseAddr(s.Address)
		return s.Engine != node.EngineDocker || err == nil && l.Reachable != nil && l.Reachable(at)
	})
}

// bound are the apps that must be on this machine for their data services, each with one of these.
func (l *Loop) bound() (map[string]string, error) {
	var all []*store.DataBinding
	err := l.DB.View(func(tx *store.Tx) error {
		all = slices.Collect(store.DataBindings.All(tx))
		return nil
	})
	out := map[string]string{}
	for _, b := range all {
		if b.AppGUID != "" && l.here(b) {
			out[b.AppGUID] = b.ServiceGUID
		}
	}
	return out, err
}

// state reports whether an app moves, and whether it has taken longer than it should.
func (l *Loop) state(app string) (moves, late bool) {
	l.mu.Lock()
	defer l.mu.Unlock()
	at, moves := l.begun[app]
	return moves, moves && l.now().Sub(at) >= patience
}
