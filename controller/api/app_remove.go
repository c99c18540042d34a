package api

import (
	"slices"

	"github.com/cupola-paas/cupola/store"
)

// removeApp deletes the app with its processes, packages, builds, droplets, deployments, tasks, service
// bindings and the destinations that lead to it. Instance records stay: the scheduling loop retires them with their workloads.
func (c *Ctx) removeApp(tx *store.Tx, app *store.App) error {
	if err := tellEnded(tx, app); err != nil {
		return err
	}
	for _, remove := range []func(*store.Tx, string) error{
		removeDestinations,
		removeAll(store.Processes, func(p *store.Process) string { return p.GUID }),
		removeAll(store.Deployments, func(d *store.Deployment) string { return d.GUID }),
		removeAll(store.Tasks, func(t *store.Task) string { return t.GUID }),
		removeAll(store.Builds, func(b *store.Build) string { return b.GUID }),
		removeAll(store.Droplets, func(d *store.Droplet) string { return d.GUID }),
		c.forgetBindings,
		removeAll(store.Revisions, func(r *store.Revision) string { return r.GUID }),
		removeAll(store.Sidecars, func(s *store.Sidecar) string { return s.GUID }),
		removeAll(store.NetworkPolicies, func(p *store.NetworkPolicy) string { return p.GUID }),
		removeAll(store.Packages, func(p *store.Package) string { return p.GUID }),
	} {
		if err := remove(tx, app.GUID); err != nil {
			return err
		}
	}
	return store.Apps.Delete(tx, app.GUID)
}

// removeAll deletes the records of a table that belong to an app.
func removeAll[T any](table *store.Table[T], guid func(*T) string) func(*store.Tx, string) error {
	return func(tx *store.Tx, appGUID string) error {
		records, _, err := table.List(tx, store.Query[T]{Where: []store.Cond{store.By("app", appGUID)}})
		if err != nil {
			return err
		}
		for _, rec := range records {
			if err := table.Delete(tx, guid(rec)); err != nil {
				return err
			}
		}
		return nil
	}
}

func removeDestinations(tx *store.Tx, appGUID string) error {
	routes, _, err := store.Routes.List(tx, store.Query[store.Route]{Where: []store.Cond{store.By("app", appGUID)}})
	if err != nil {
		return err
	}
	for _, r := range routes {
		r.Destinations = slices.DeleteFunc(r.Destinations, func(d store.Destination) bool { return d.AppGUID == appGUID })
		if err := store.Routes.Put(tx, r); err != nil {
			return err
		}
	}
	return nil
}
