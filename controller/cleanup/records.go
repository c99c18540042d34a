package cleanup

import (
	"errors"
	"time"

	"github.com/cupola-paas/cupola/store"
)

// dropRecords deletes records that are too old or too many. It decides from what it reads in the same
// transaction, so nothing that becomes current meanwhile is lost.
func dropRecords(tx *store.Tx) error {
	inUse, err := dropletsInUse(tx)
	if err != nil {
		return err
	}
	packages := map[string]bool{} // referred to by kept droplets and builds
	var old []func() error
	for app := range store.Apps.All(tx) {
		drop, err := dropOfApp(tx, app, inUse, packages)
		if err != nil {
			return err
		}
		old = append(old, drop...)
	}
	for e := range store.AuditEvents.All(tx) {
		if tx.Now.Sub(e.CreatedAt) < eventsFor {
			break // creation order
		}
		old = append(old, func() error { return store.AuditEvents.Delete(tx, e.GUID) })
	}
	for e := range store.AppUsageEvents.All(tx) {
		if tx.Now.Sub(e.CreatedAt) < eventsFor {
			break
		}
		old = append(old, func() error { return store.AppUsageEvents.Delete(tx, e.GUID) })
	}
	for e := range store.ServiceUsageEvents.All(tx) {
		if tx.Now.Sub(e.CreatedAt) < eventsFor {
			break
		}
		old = append(old, func() error { return store.ServiceUsageEvents.Delete(tx, e.GUID) })
	}
	for j := range store.Jobs.All(tx) {
		if tx.Now.Sub(j.CreatedAt) < jobsFor {
			break
		}
		old = append(old, func() error { return store.Jobs.Delete(tx, j.GUID) })
	}
	for t := range store.RefreshTokens.All(tx) {
		if tx.Now.After(t.ExpiresAt) {
			old = append(old, func() error { return store.RefreshTokens.Delete(tx, t.GUID) })
		}
	}
	var errs []error
	for _, drop := range old {
		errs = append(errs, drop())
	}
	return errors.Join(errs...)
}

// dropletsInUse are those that are current, that processes, instances' processes, open deployments or open
// tasks refer to.
func dropletsInUse(tx *store.Tx) (map[string]bool, error) {
	used := map[string]bool{}
	for a := range store.Apps.All(tx) {
		used[a.CurrentDropletGUID] = true
	}
	for p := range store.Processes.All(tx) {
		used[p.DropletGUID] = true
	}
	active, _, err := store.Deployments.List(tx, store.Query[store.Deployment]{
		Where: []store.Cond{store.By("status", store.DeploymentActive)},
	})
	if err != nil {
		return nil, err
	}
	for _, d := range active {
		used[d.DropletGUID], used[d.PreviousDropletGUID] = true, true
	}
	tasks, _, err := store.Tasks.List(tx, store.Query[store.Task]{
		Where: []store.Cond{store.By("state", "PENDING", "RUNNING", "CANCELING")},
	})
	for _, t := range tasks {
		used[t.DropletGUID] = true
	}
	return used, err
}

func dropOfApp(tx *store.Tx, app *store.App, inUse, packages map[string]bool) ([]func() error, error) {
	var drop []func() error
	droplets, _, err := store.Droplets.List(tx, store.Query[store.Droplet]{Where: []store.Cond{store.By("app", app.GUID)}, Desc: true})
	if err != nil {
		return nil, err
	}
	for n, d := range droplets {
		if n < keepDroplets || inUse[d.GUID] || tx.Now.Sub(d.CreatedAt) < youth {
			packages[d.PackageGUID] = true
			continue
		}
		drop = append(drop, func() error { return store.Droplets.Delete(tx, d.GUID) })
	}
	builds, _, err := store.Builds.List(tx, store.Query[store.Build]{Where: []store.Cond{store.By("app", app.GUID)}, Desc: true})
	if err != nil {
		return nil, err
	}
	for n, b := range builds {
		if n < keepBuilds || b.State == store.StateStaging {
			if b.State == store.StateStaging {
				packages[b.PackageGUID] = true
			}
			continue
		}
		drop = append(drop, func() error { return store.Builds.Delete(tx, b.GUID) })
	}
	all, _, err := store.Packages.List(tx, store.Query[store.Package]{Where: []store.Cond{store.By("app", app.GUID)}, Desc: true})
	if err != nil {
		return nil, err
	}
	for n, p := range all {
		if n < keepDroplets || packages[p.GUID] || tx.Now.Sub(p.CreatedAt) < time.Hour {
			continue
		}
		drop = append(drop, func() error { return store.Packages.Delete(tx, p.GUID) })
	}
	return drop, nil
}
