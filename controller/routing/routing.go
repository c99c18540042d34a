// Package routing is the loop that keeps the router's table equal to the store: healthy instances joined
// with the destinations of routes. It writes nothing to the store and calls no other loop; the controller
// runs it.
//
// It looks at what has changed, and at everything only at its start, now and then after that, and after an error.
package routing

import (
	"context"
	"fmt"
	"log/slog"
	"time"

	"github.com/cupola-paas/cupola/router"
	"github.com/cupola-paas/cupola/store"
)

// DefaultPort is where a web process listens when neither it nor the destination names a port.
const DefaultPort = 8080

// pause is the least time between two passes, so that a burst of changes costs one table, not many. A
// change after a quiet time is seen at once.
const pause = 25 * time.Millisecond

// resync is how often everything is looked at without need, against a change lost to a bug.
const resync = 10 * time.Minute

// Tables takes tables and changes of them; *router.Router is one.
type Tables interface {
	SetTable(router.Table) error
	Change(router.Change) error
}

// Loop builds tables. System are the platform's own routes (API, login, log cache), always present. One goroutine at a
// time may use it.
type Loop struct {
	DB     *store.DB
	Router Tables
	System []router.Route
	// Zone is that of this machine, for instances that run here.
	Zone string
	Log  *slog.Logger

	model *model // what the router has; nil: nobody knows
}

// Run steps until ctx ends.
func (l *Loop) Run(ctx context.Context) error {
	feed := l.DB.Follow(ctx, store.Routes.Name(), store.Domains.Name(), store.RoutePolicies.Name(), store.Instances.Name())
	due, wait := time.Time{}, resync
	for {
		changes := feed.Take()
		if changes.All = changes.All || l.model == nil || !time.Now().Before(due); changes.All {
			due, wait = time.Now().Add(resync), resync
		}
		if err := l.follow(changes); err != nil {
			l.Log.Error("routing table not renewed", "error", err)
			due, wait = time.Time{}, time.Second
		}
		if !store.Sleep(ctx, pause, nil) || !store.Sleep(ctx, wait, feed.Wake()) {
			return nil
		}
	}
}

// Step looks at everything and hands the router what is new.
func (l *Loop) Step() error { return l.follow(store.Changes{All: true}) }

// follow reads one moment of the store, as far as it has changed, and hands the difference over.
func (l *Loop) follow(changes store.Changes) error {
	if l.model == nil {
		return l.begin()
	}
	p := l.pass()
	err := l.DB.View(func(tx *store.Tx) error {
		if changes.All {
			return p.all(tx)
		}
		return p.some(tx, changes)
	})
	if err != nil {
		l.model = nil // half of a pass is in it
		return fmt.Errorf("read routes: %w", err)
	}
	change := p.difference()
	if len(change.Set) == 0 && len(change.Remove) == 0 {
		return nil
	}
	if err := l.Router.Change(change); err != nil {
		l.model = nil
		return err
	}
	return nil
}

// begin hands over a whole table.
func (l *Loop) begin() error {
	l.model = newModel()
	p := l.pass()
	if err := l.DB.View(p.all); err != nil {
		l.model = nil
		return fmt.Errorf("read routes: %w", err)
	}
	table := router.Table{Routes: append(append([]router.Route{}, l.System...), p.difference().Set...)}
	if err := l.Router.SetTable(table); err != nil {
		l.model = nil
		return err
	}
	return nil
}
