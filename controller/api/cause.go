package api

import (
	"net/http"

	"github.com/cupola-paas/cupola/controller/capi"
	"github.com/cupola-paas/cupola/controller/capi/explain"
	"github.com/cupola-paas/cupola/store"
)

const (
	saidLines   = 8 // of the app's log that are looked at for a cause
	crashEvents = 5
)

// causeRoutes are Cupola's own: why an app does not serve, the same for the command line, the dashboard and programs.
func (s *Server) causeRoutes() []Route {
	return []Route{get("/v3/apps/{guid}/causes", on(appAt, "App", SeeSpace, SeeSpace), s.getCauses)}
}

// getCauses judges what the records say now; it waits for nothing.
func (s *Server) getCauses(c *Ctx) error {
	f := explain.Facts{Stats: map[string][]capi.Stats{}}
	var seen []*snapshot
	err := c.View(func(tx *store.Tx) (err error) {
		seen, err = s.gatherFacts(tx, c.Path("guid"), &f)
		return err
	})
	if err != nil {
		return err
	}
	for _, one := range seen {
		f.Stats[one.process.GUID] = s.presentStats(c, one)
	}
	out := capi.Causes{Resources: explain.Why(f), Said: capi.Array[string]{}}
	if len(out.Resources) > 0 && s.said != nil { // only now, for a log lies on the disk
		f.Said = s.said(f.App.GUID, saidLines)
		if out.Resources = explain.Why(f); explain.SaysMore(out.Resources) {
			out.Said = f.Said
		}
	}
	return c.JSON(http.StatusOK, out)
}

// gatherFacts reads what there is of an app and what was seen of its processes.
func (s *Server) gatherFacts(tx *store.Tx, guid string, f *explain.Facts) ([]*snapshot, error) {
	app, err := store.Apps.Get(tx, guid)
	if err != nil {
		return nil, err
	}
	shown, err := s.presentApp(tx, app)
	f.App = &shown
	if err == nil {
		f.Droplet, err = theOne(tx, store.Droplets, app.CurrentDropletGUID, s.presentDroplet)
	}
	if err == nil {
		f.Build, err = newestOf(tx, store.Builds, guid, s.presentBuild)
	}
	if err == nil {
		f.Package, err = newestOf(tx, store.Packages, guid, s.presentPackage)
	}
	if err == nil {
		f.Routes, err = s.routesOf(tx, guid)
	}
	if err == nil {
		f.Crashes, err = s.crashesOf(tx, guid)
	}
	if err == nil {
		f.Bound, err = boundCauses(tx, guid)
	}
	if err != nil {
		return nil, err
	}
	processes, err := processesOf(tx, guid)
	var seen []*snapshot
	for _, p := range processes {
		one, snapErr := takeSnapshot(tx, p)
		presented, showErr := s.presentProcess(tx, p)
		if err = firstOf(err, snapErr, showErr); err != nil {
			return nil, err
		}
		f.Processes, seen = append(f.Processes, presented), append(seen, one)
	}
	return seen, err
}

// theOne presents the record with that GUID; nil where there is none.
func theOne[T, R any](tx *store.Tx, table *store.Table[T], guid string, present func(*store.Tx, *T) (R, error)) (*R, error) {
	rec, err := table.Get(tx, guid)
	if err != nil {
		return nil, orElse(err, nil)
	}
	out, err := present(tx, rec)
	return &out, err
}

// newestOf presents the record of an app that was made last; nil where there is none.
func newestOf[T, R any](tx *store.Tx, table *store.Table[T], app string, present func(*store.Tx, *T) (R, error)) (*R, error) {
	found, _, err := table.List(tx, store.Query[T]{Where: []store.Cond{store.By("app", app)}, OrderBy: "created_at", Desc: true, Limit: 1})
	if err != nil || len(found) == 0 {
		return nil, err
	}
	out, err := present(tx, found[0])
	return &out, err
}

func (s *Server) routesOf(tx *store.Tx, app string) ([]capi.Route, error) {
	found, _, err := store.Routes.List(tx, store.Query[store.Route]{Where: []store.Cond{store.By("app", app)}, Limit: 1})
	p := s.routePresenter()
	var out []capi.Route
	for _, r := range found {
		shown, showErr := p.present(tx, r)
		out, err = append(out, shown), firstOf(err, showErr)
	}
	return out, err
}

// crashesOf are the newest crashes of an app.
func (s *Server) crashesOf(tx *store.Tx, app string) ([]capi.AuditEvent, error) {
	found, _, err := store.AuditEvents.List(tx, store.Query[store.AuditEvent]{
		Where: []store.Cond{store.By("target", app), store.By("type", "audit.app.process.crash")}, OrderBy: "created_at", Desc: true, Limit: crashEvents,
	})
	var out []capi.AuditEvent
	for _, e := range found {
		shown, showErr := s.presentEvent(tx, e)
		out, err = append(out, shown), firstOf(err, showErr)
	}
	return out, err
}

// boundCauses are what is the matter with the data services that an app is bound to.
func boundCauses(tx *store.Tx, app string) ([]capi.Cause, error) {
	var all []capi.Cause
	err := each(tx, store.ServiceBindings, func(tx *store.Tx, b *store.ServiceBinding) error {
		d, err := store.DataServices.Get(tx, b.InstanceGUID)
		if err != nil {
			return orElse(err, nil)
		}
		i, err := store.ServiceInstances.Get(tx, b.InstanceGUID)
		if err != nil {
			return orElse(err, nil)
		}
		all = append(all, diskCauses(d, i.Name)...)
		return nil
	}, store.By("app", app))
	return all, err
}
