package services

import (
	"errors"
	"strings"

	"github.com/cupola-paas/cupola/controller/serviceop"
	"github.com/cupola-paas/cupola/controller/services/osb"
	"github.com/cupola-paas/cupola/store"
)

// task is an operation with all that a request to the broker needs, as it was at one moment.
type task struct {
	op       *store.ServiceOperation
	broker   *store.ServiceBroker
	plan     *store.ServicePlan
	offering *store.ServiceOffering
	instance *store.ServiceInstance
	binding  *store.ServiceBinding
	route    *store.ServiceRouteBinding

	wanted   *store.ServicePlan // of an update to another plan
	space    *store.Space
	org      *store.Org
	routeURL string
	app      *store.App
	left     *store.Operation // of a binding that is still there, when the instance is to be deleted
}

// load reads the operation and what it is about. It returns store.ErrNotFound when any of it has gone.
func load(tx *store.Tx, guid string) (t *task, err error) {
	t = &task{}
	if t.op, err = store.ServiceOperations.Get(tx, guid); err != nil {
		return nil, err
	}
	if t.op.On == store.OnBroker || t.op.Orphan {
		t.broker, err = store.ServiceBrokers.Get(tx, t.op.BrokerGUID)
		return t, err
	}
	return t, t.loadTarget(tx)
}

func (t *task) loadTarget(tx *store.Tx) (err error) {
	switch t.op.On {
	case store.OnBinding:
		if t.binding, err = store.ServiceBindings.Get(tx, t.op.TargetGUID); err != nil {
			return err
		}
		if t.binding.AppGUID != "" {
			if t.app, err = store.Apps.Get(tx, t.binding.AppGUID); err != nil {
				return err
			}
		}
	case store.OnRouteBinding:
		if t.route, err = store.ServiceRouteBindings.Get(tx, t.op.TargetGUID); err != nil {
			return err
		}
		if t.routeURL, err = routeURL(tx, t.route.RouteGUID); err != nil {
			return err
		}
	}
	if t.instance, err = store.ServiceInstances.Get(tx, t.op.InstanceGUID); err != nil {
		return err
	}
	if t.op.Change.PlanGUID != "" {
		if t.wanted, err = store.ServicePlans.Get(tx, t.op.Change.PlanGUID); err != nil {
			return err
		}
	}
	return errors.Join(t.loadLeft(tx), t.loadPlan(tx), t.loadPlace(tx))
}

// loadLeft looks for a binding that must go before the instance and has not.
func (t *task) loadLeft(tx *store.Tx) error {
	if t.op.On != store.OnInstance || t.op.Type != store.OperationDelete {
		return nil
	}
	of := []store.Cond{store.By("instance", t.instance.GUID)}
	bindings, _, err := store.ServiceBindings.List(tx, store.Query[store.ServiceBinding]{Where: of, Limit: 1})
	if err != nil {
		return err
	}
	for _, b := range bindings {
		t.left = &b.LastOperation
	}
	routes, _, err := store.ServiceRouteBindings.List(tx, store.Query[store.ServiceRouteBinding]{Where: of, Limit: 1})
	for _, b := range routes {
		t.left = &b.LastOperation
	}
	return err
}

func (t *task) loadPlan(tx *store.Tx) (err error) {
	t.plan, t.offering, t.broker, err = serviceop.Plan(tx, t.instance)
	return err
}

func (t *task) loadPlace(tx *store.Tx) (err error) {
	if t.space, err = store.Spaces.Get(tx, t.instance.SpaceGUID); err != nil {
		return err
	}
	t.org, err = store.Orgs.Get(tx, t.space.OrgGUID)
	return err
}

// routeURL is host.domain/path, as brokers are told of routes.
func routeURL(tx *store.Tx, guid string) (string, error) {
	r, err := store.Routes.Get(tx, guid)
	if err != nil {
		return "", err
	}
	d, err := store.Domains.Get(tx, r.DomainGUID)
	if err != nil {
		return "", err
	}
	if r.Host == "" {
		return d.Name + r.Path, nil
	}
	return r.Host + "." + d.Name + r.Path, nil
}

func (t *task) address() osb.Broker {
	b := osb.Broker{URL: t.broker.URL, Username: t.broker.Username, Password: t.broker.Password}
	if t.op != nil {
		b.Private = osb.Private(t.op.Parameters)
	}
	if t.binding != nil {
		b.Private = append(b.Private, osb.Private(t.binding.Credentials)...)
	}
	return b
}

func (t *task) osbInstance() osb.Instance {
	if t.op != nil && t.op.Orphan {
		return osb.Instance{ID: t.op.InstanceGUID, OfferingID: t.op.OfferingID, PlanID: t.op.PlanID}
	}
	return osb.Instance{ID: t.instance.GUID, OfferingID: t.offering.CatalogID, PlanID: t.plan.CatalogID}
}

func (t *task) osbBinding() osb.Binding {
	return osb.Binding{Instance: t.osbInstance(), BindingID: t.op.TargetGUID}
}

// who is the person whose request began the operation.
func (t *task) who() osb.Identity {
	if t.op.Actor.Type != "user" {
		return osb.Identity{UserID: t.op.Actor.GUID}
	}
	return osb.Identity{UserID: t.op.Actor.GUID, Username: t.op.Actor.Name}
}

// platform is what the context of every request names (OSB Profile, Context Object, Cloud Foundry).
const platform = "cloudfoundry"

func (t *task) instanceContext(name string) map[string]any {
	out := t.bindingContext()
	out["instance_name"] = name
	annotate(out, "instance_annotations", &t.instance.Meta)
	return out
}

func (t *task) bindingContext() map[string]any {
	out := map[string]any{
		"platform": platform, "organization_guid": t.org.GUID, "organization_name": t.org.Name, "space_guid": t.space.GUID, "space_name": t.space.Name,
	}
	annotate(out, "organization_annotations", &t.org.Meta)
	annotate(out, "space_annotations", &t.space.Meta)
	return out
}

// annotate tells those annotations that have a prefix: the others are people's own.
func annotate(out map[string]any, name string, m *store.Meta) {
	told := map[string]string{}
	for key, value := range m.Annotations {
		if strings.Contains(key, "/") {
			told[key] = value
		}
	}
	out[name] = told
}

func (t *task) provision() osb.Provision {
	return osb.Provision{
		ServiceID: t.offering.CatalogID, PlanID: t.plan.CatalogID, OrgGUID: t.org.GUID, SpaceGUID: t.space.GUID, Context: t.instanceContext(t.instance.Name),
		Parameters: t.op.Parameters, MaintenanceInfo: versionOf(t.instance.MaintenanceInfo),
	}
}

func (t *task) update() osb.Update {
	plan, name := t.plan, t.instance.Name
	if t.wanted != nil {
		plan = t.wanted
	}
	if t.op.Change.Name != nil {
		name = *t.op.Change.Name
	}
	return osb.Update{
		ServiceID: t.offering.CatalogID, PlanID: plan.CatalogID, Context: t.instanceContext(name), Parameters: t.op.Parameters,
		MaintenanceInfo: versionOf(t.op.Change.MaintenanceInfo),
		PreviousValues: osb.PreviousValues{
			ServiceID: t.offering.CatalogID, PlanID: t.plan.CatalogID, OrgGUID: t.org.GUID, SpaceGUID: t.space.GUID, MaintenanceInfo: versionOf(t.instance.MaintenanceInfo),
		},
	}
}

func (t *task) bind() osb.Bind {
	b := osb.Bind{ServiceID: t.offering.CatalogID, PlanID: t.plan.CatalogID, Context: t.bindingContext(), Parameters: t.op.Parameters}
	switch {
	case t.route != nil:
		b.BindResource = map[string]any{"route": t.routeURL}
	case t.app != nil:
		b.AppGUID = t.app.GUID
		b.BindResource = map[string]any{"app_guid": t.app.GUID, "space_guid": t.app.SpaceGUID, "app_name": t.app.Name}
		annotate(b.BindResource, "app_annotations", &t.app.Meta)
	}
	return b
}
