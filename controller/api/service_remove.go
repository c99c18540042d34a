package api

import (
	"github.com/cupola-paas/cupola/controller/serviceop"
	"github.com/cupola-paas/cupola/store"
)

// This file is what becomes of services when an app, a route, a space or an org is deleted: the records go at once,
// and the services loop has the brokers delete their part.

// forgetBindings deletes the bindings of an app.
func (c *Ctx) forgetBindings(tx *store.Tx, appGUID string) error {
	return each(tx, store.ServiceBindings, func(tx *store.Tx, b *store.ServiceBinding) error {
		return firstOf(c.auditBinding(tx, b, "delete", nil), serviceop.ForgetBinding(tx, b, c.actor()))
	}, store.By("app", appGUID))
}

// removeServiceInstance deletes an instance with its bindings.
func (c *Ctx) removeServiceInstance(tx *store.Tx, i *store.ServiceInstance) error {
	place, err := placeOf(tx, i.SpaceGUID)
	if err != nil {
		return err
	}
	return firstOf(c.auditService(tx, i, place, "delete", nil), serviceop.ForgetInstance(tx, i, c.actor()))
}

// unshareFrom takes instances out of a space that goes.
func (c *Ctx) unshareFrom(spaceGUID string) func(*store.Tx, *store.ServiceInstance) error {
	return func(tx *store.Tx, i *store.ServiceInstance) error {
		i.SharedSpaceGUIDs = without(i.SharedSpaceGUIDs, spaceGUID)
		return store.ServiceInstances.Put(tx, i)
	}
}

// removeSpaceBroker deletes a broker of a space. Its instances, which lie in that space alone, are gone; what it had
// been told to delete is not waited for.
func (c *Ctx) removeSpaceBroker(tx *store.Tx, b *store.ServiceBroker) error {
	place, err := marketPlace(tx, b.SpaceGUID)
	if err != nil {
		return err
	}
	return c.removeBroker(tx, b, place)
}

// removeRouteRecord deletes a route with its route service binding and its policies.
func (c *Ctx) removeRouteRecord(tx *store.Tx, r *store.Route) error {
	return firstOf(
		each(tx, store.ServiceRouteBindings, func(tx *store.Tx, b *store.ServiceRouteBinding) error {
			return firstOf(c.auditRouteBinding(tx, b, "delete", nil), serviceop.ForgetRouteBinding(tx, b, c.actor()))
		}, store.By("route", r.GUID)),
		each(tx, store.RoutePolicies, func(tx *store.Tx, p *store.RoutePolicy) error { return store.RoutePolicies.Delete(tx, p.GUID) }, store.By("route", r.GUID)),
		store.Routes.Delete(tx, r.GUID))
}
