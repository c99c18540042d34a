package api

import (
	"github.com/cupola-paas/cupola/store"
)

// removeOrg deletes an org with its spaces, private domains, space quotas and roles.
func (c *Ctx) removeOrg(tx *store.Tx, org *store.Org) error {
	by := store.By("org", org.GUID)
	return firstOf(
		each(tx, store.Spaces, c.removeSpace, by),
		each(tx, store.Roles, func(tx *store.Tx, r *store.Role) error { return store.Roles.Delete(tx, r.GUID) }, by),
		each(tx, store.Domains, c.removeDomain, by),
		each(tx, store.Domains, func(tx *store.Tx, d *store.Domain) error {
			d.SharedOrgGUIDs = without(d.SharedOrgGUIDs, org.GUID)
			return store.Domains.Put(tx, d)
		}, store.By("shared_org", org.GUID)),
		each(tx, store.SpaceQuotas, func(tx *store.Tx, q *store.Quota) error { return store.SpaceQuotas.Delete(tx, q.GUID) }, by),
		each(tx, store.ServicePlans, func(tx *store.Tx, p *store.ServicePlan) error {
			p.OrgGUIDs = without(p.OrgGUIDs, org.GUID)
			return store.ServicePlans.Put(tx, p)
		}, by),
		each(tx, store.IsolationSegments, func(tx *store.Tx, i *store.IsolationSegment) error {
			i.OrgGUIDs = without(i.OrgGUIDs, org.GUID)
			return store.IsolationSegments.Put(tx, i)
		}, by),
		store.Orgs.Delete(tx, org.GUID),
	)
}

// removeSpace deletes a space with its apps, service instances, routes and roles.
func (c *Ctx) removeSpace(tx *store.Tx, space *store.Space) error {
	by := store.By("space", space.GUID)
	return firstOf(
		each(tx, store.Apps, c.removeApp, by),
		each(tx, store.ServiceInstances, c.removeServiceInstance, by),
		each(tx, store.ServiceInstances, c.unshareFrom(space.GUID), store.By("in_space", space.GUID)),
		each(tx, store.ServiceBrokers, c.removeSpaceBroker, by),
		each(tx, store.Routes, c.removeRouteRecord, by),
		each(tx, store.Routes, func(tx *store.Tx, r *store.Route) error {
			r.SharedSpaceGUIDs = without(r.SharedSpaceGUIDs, space.GUID)
			return store.Routes.Put(tx, r)
		}, store.By("shared_space", space.GUID)),
		each(tx, store.Roles, func(tx *store.Tx, r *store.Role) error { return store.Roles.Delete(tx, r.GUID) }, by),
		each(tx, store.SecurityGroups, unbindFrom(space.GUID), store.By("running_space", space.GUID)),
		each(tx, store.SecurityGroups, unbindFrom(space.GUID), store.By("staging_space", space.GUID)),
		store.Spaces.Delete(tx, space.GUID),
	)
}

// removeDomain deletes a domain with the routes under it.
func (c *Ctx) removeDomain(tx *store.Tx, d *store.Domain) error {
	return firstOf(
		each(tx, store.Routes, c.removeRouteRecord, store.By("domain", d.GUID)),
		store.Domains.Delete(tx, d.GUID))
}

func unbindFrom(spaceGUID string) func(*store.Tx, *store.SecurityGroup) error {
	return func(tx *store.Tx, g *store.SecurityGroup) error {
		g.RunningSpaces, g.StagingSpaces = without(g.RunningSpaces, spaceGUID), without(g.StagingSpaces, spaceGUID)
		return store.SecurityGroups.Put(tx, g)
	}
}

// each calls do with every record that meets the conditions.
func each[T any](tx *store.Tx, table *store.Table[T], do func(*store.Tx, *T) error, where ...store.Cond) error {
	records, _, err := table.List(tx, store.Query[T]{Where: where})
	if err != nil {
		return err
	}
	for _, rec := range records {
		if err := do(tx, rec); err != nil {
			return err
		}
	}
	return nil
}
