package scheduling

import (
	"errors"
	"time"

	"github.com/cupola-paas/cupola/node"
	"github.com/cupola-paas/cupola/store"
)

// watched are the tables that decide what is to run.
var watched = []store.TableName{
	store.Apps.Name(), store.Processes.Name(), store.Instances.Name(), store.Deployments.Name(), store.Tasks.Name(), store.Droplets.Name(),
}

// book remembers to which app belongs what there was at the last pass, so that a change of anything, its going
// included, leads to the apps to look at. Run's goroutine owns it.
type book struct {
	records   map[string]string              // app of processes, instances, tasks, deployments and droplets, by GUID
	workloads map[string]string              // app of what the engine runs, by id; empty: it did not say
	byApp     map[string]map[string]struct{} // the same the other way round
	due       map[string]time.Time           // apps that time alone brings forward
}

func newBook() *book {
	return &book{
		records: map[string]string{}, workloads: map[string]string{}, byApp: map[string]map[string]struct{}{}, due: map[string]time.Time{},
	}
}

// scope is what one pass looks at: everything, or some apps with all that is theirs.
type scope struct {
	all  bool
	apps map[string]bool // workloads without an app go under the empty one
}

func (s scope) guids() []string {
	out := make([]string, 0, len(s.apps))
	for guid := range s.apps {
		out = append(out, guid)
	}
	return out
}

// workload notes that the engine runs id for an app, or, with ok false, that it does no more.
func (b *book) workload(id, app string, ok bool) {
	if was, known := b.workloads[id]; known && (!ok || was != app) {
		delete(b.workloads, id)
		if delete(b.byApp[was], id); len(b.byApp[was]) == 0 {
			delete(b.byApp, was)
		}
	}
	if !ok {
		return
	}
	b.workloads[id] = app
	if b.byApp[app] == nil {
		b.byApp[app] = map[string]struct{}{}
	}
	b.byApp[app][id] = struct{}{}
}

// ran adds the apps of workloads that have changed. find is the engine's.
func (b *book) ran(s scope, ids map[string]struct{}, find func(...string) []node.Status) {
	list := make([]string, 0, len(ids))
	for id := range ids {
		list = append(list, id)
		if app, known := b.workloads[id]; known {
			s.apps[app] = true
		}
	}
	there := make(map[string]bool, len(ids))
	for _, w := range find(list...) {
		if there[w.ID] = true; !ours(w) {
			continue
		}
		b.workload(w.ID, w.Labels[labelApp], true)
		s.apps[w.Labels[labelApp]] = true
	}
	for _, id := range list {
		if !there[id] {
			b.workload(id, "", false)
		}
	}
}

// wrote adds the apps of records that have changed.
func (b *book) wrote(tx *store.Tx, s scope, c store.Changes) error {
	for guid := range c.Of(store.Apps.Name()) {
		s.apps[guid] = true
	}
	return errors.Join(
		noteRecords(tx, b, s, c, store.Processes, func(p *store.Process) string { return p.AppGUID }),
		noteRecords(tx, b, s, c, store.Instances, func(i *store.Instance) string { return i.AppGUID }),
		noteRecords(tx, b, s, c, store.Deployments, func(d *store.Deployment) string { return d.AppGUID }),
		noteRecords(tx, b, s, c, store.Tasks, func(t *store.Task) string { return t.AppGUID }),
		noteRecords(tx, b, s, c, store.Droplets, func(d *store.Droplet) string { return d.AppGUID }),
	)
}

func noteRecords[T any](tx *store.Tx, b *book, s scope, c store.Changes, t *store.Table[T], app func(*T) string) error {
	for guid := range c.Of(t.Name()) {
		if was, known := b.records[guid]; known {
			s.apps[was] = true
		}
		r, err := t.Get(tx, guid)
		if errors.Is(err, store.ErrNotFound) {
			delete(b.records, guid)
			continue
		}
		if err != nil {
			return err
		}
		b.records[guid] = app(r)
		s.apps[app(r)] = true
	}
	return nil
}

// later asks for a look at an app after d, or sooner if that was asked for before.
func (b *book) later(app string, d time.Duration) {
	if d <= 0 {
		return
	}
	at := time.Now().Add(d)
	if was, known := b.due[app]; !known || at.Before(was) {
		b.due[app] = at
	}
}

// overdue moves the apps whose time has come into the scope.
func (b *book) overdue(s scope) {
	now := time.Now()
	for app, at := range b.due {
		if !now.Before(at) {
			delete(b.due, app)
			s.apps[app] = true
		}
	}
}

// next is how long until an app is due, zero if none is.
func (b *book) next() (wait time.Duration) {
	for _, at := range b.due {
		wait = sooner(wait, max(time.Until(at), time.Millisecond))
	}
	return wait
}

// ours tells instances and tasks of apps from data services, which package dataservice runs.
func ours(s node.Status) bool { return s.Labels[labelService] == "" }
