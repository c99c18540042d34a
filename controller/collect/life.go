package collect

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"strings"

	"github.com/cupola-paas/cupola/store"
)

// Life is the loop that tells in an app's log what happens to its instances, in the words of Cloud Foundry's cells
// (contract, 5.7 and 6.7). What happens while the platform is stopped is not told. Its fields are set before Run and not changed.
type Life struct {
	DB *store.DB
	// Say writes a line of the platform's about an instance, with a source type such as CELL.
	Say  func(src Source, sourceType, text string)
	Cell string // name of the machine
	Log  *slog.Logger

	seen map[string]*store.Instance
}

// Run tells until ctx ends.
func (l *Life) Run(ctx context.Context) error {
	feed := l.DB.Follow(ctx, store.Instances.Name())
	l.seen = map[string]*store.Instance{}
	err := l.DB.View(func(tx *store.Tx) error {
		for i := range store.Instances.All(tx) {
			l.seen[i.GUID] = i
		}
		return nil
	})
	if err != nil {
		return err
	}
	for failed := false; ; {
		select {
		case <-ctx.Done():
			return nil
		case <-feed.Wake():
		}
		changes := feed.Take()
		err := l.step(changes.All || failed, changes.Of(store.Instances.Name()))
		if failed = err != nil; failed {
			l.Log.Warn("instances can't be read", "error", err)
		}
	}
}

// step tells what is different about instances, all of them or those of the ids, from what was seen before.
func (l *Life) step(all bool, ids map[string]struct{}) error {
	return l.DB.View(func(tx *store.Tx) error {
		if all {
			ids = map[string]struct{}{}
			for id := range l.seen {
				ids[id] = struct{}{}
			}
			for i := range store.Instances.All(tx) {
				ids[i.GUID] = struct{}{}
			}
		}
		for id := range ids {
			is, err := store.Instances.Get(tx, id)
			was := l.seen[id]
			switch {
			case err == nil:
				l.seen[id] = is
				l.compare(instanceSource(tx, is), readinessChecked(tx, is), was, is)
			case !errors.Is(err, store.ErrNotFound):
				return err
			case was != nil:
				delete(l.seen, id)
				l.cell(instanceSource(tx, was), "destroyed container for instance %s", id)
			}
		}
		return nil
	})
}

func readinessChecked(tx *store.Tx, i *store.Instance) bool {
	p, err := store.Processes.Get(tx, i.ProcessGUID)
	return err == nil && p.ReadinessChecked()
}

func (l *Life) cell(src Source, format string, args ...any) {
	l.Say(src, "CELL", "Cell "+l.Cell+" "+fmt.Sprintf(format, args...))
}

func (l *Life) compare(src Source, checked bool, was, is *store.Instance) {
	if was == nil {
		l.cell(src, "creating container for instance %s", is.GUID)
		was = &store.Instance{State: store.InstanceStarting}
	}
	if was.State != is.State {
		l.changed(src, was, is)
	}
	wasReady := was.State == store.InstanceRunning && was.Routable
	if !checked || is.State != store.InstanceRunning || wasReady == is.Routable {
		return
	}
	if is.Routable {
		l.Say(src, "CELL", `Container passed the readiness health check. Container marked "ready" and added to route pool.`)
	} else {
		l.Say(src, "CELL", `Container failed the readiness health check. Container marked "not ready" and removed from route pool.`)
	}
}

func (l *Life) changed(src Source, was, is *store.Instance) {
	switch is.State {
	case store.InstanceRunning:
		l.Say(src, "CELL", "Container became healthy")
	case store.InstanceCrashed:
		l.Say(src, src.Type, fmt.Sprintf("Exit status %d", is.ExitStatus))
		if is.Details != "" && !strings.HasPrefix(is.Details, "exited") { // not by itself
			l.Say(src, "HEALTH", "Instance became unhealthy: "+is.Details)
		}
	case store.InstanceStarting:
		if was.State != store.InstanceStarting {
			l.cell(src, "creating container for instance %s", is.GUID)
		}
	case store.InstanceStopping:
		l.cell(src, "stopping instance %s", is.GUID)
	}
}
