package api

import (
	"errors"
	"fmt"

	"github.com/cupola-paas/cupola/controller/capi"
	"github.com/cupola-paas/cupola/store"
)

// bindServices binds the service instances that the app is not bound to yet. Those that are not there are made first, where
// the manifest says of what.
func (a *applier) bindServices() error {
	for _, want := range a.want.services {
		err := a.bindService(want)
		var refused *capi.Error
		if errors.As(err, &refused) {
			return errInvalid(fmt.Sprintf("For service '%s': %v", clip(want.name, 100), err))
		}
		if err != nil {
			return err
		}
	}
	return nil
}

func (a *applier) bindService(want manifestService) error {
	instance, err := a.serviceInstance(want)
	if err != nil {
		return err
	}
	if instance.Unmade && !instance.LastOperation.Running() {
		return notMade(instance) // whatever becomes of bindings that waited for it
	}
	bindings, _, err := store.ServiceBindings.List(a.tx, store.Query[store.ServiceBinding]{
		Where: []store.Cond{store.By("app", a.app.GUID), store.By("instance", instance.GUID)},
		Match: func(b *store.ServiceBinding) bool { return !b.Unmade || b.LastOperation.State != store.OperationFailed },
	})
	if err != nil || len(bindings) > 0 {
		return err
	}
	o, err := a.c.bind(a.tx, &store.ServiceBinding{Name: want.binding}, a.app, instance, binding{parameters: want.parameters, waits: true})
	if err == nil && o != nil {
		a.begun = append(a.begun, o)
	}
	return err
}

// serviceInstance is the one of that name in the space, or shared with it; else one that is begun to be made.
func (a *applier) serviceInstance(want manifestService) (*store.ServiceInstance, error) {
	found, _, err := store.ServiceInstances.List(a.tx, store.Query[store.ServiceInstance]{
		Where: []store.Cond{store.By("name", want.name), store.By("in_space", a.place.SpaceGUID)}, Limit: 1,
	})
	switch {
	case err != nil:
		return nil, err
	case len(found) > 0:
		return found[0], nil
	case want.offering == "":
		return nil, errInvalid(fmt.Sprintf("Service instance '%s' could not be found: create it first, say by offering and plan of what it is to be made, or take it out of the manifest",
			clip(want.name, 100)))
	}
	plan, err := a.planNamed(want)
	if err != nil {
		return nil, err
	}
	i := &store.ServiceInstance{Name: want.name, SpaceGUID: a.place.SpaceGUID}
	if err := a.c.needFlag(a.tx, "service_instance_creation", true); err != nil {
		return nil, err
	}
	o, err := a.c.makeManaged(a.tx, i, plan, want.creation)
	if err != nil {
		return nil, err
	}
	a.begun = append(a.begun, o)
	a.lines = append(a.lines, fmt.Sprintf("Service instance %s is made of the offering %s, plan %s", want.name, want.offering, want.plan))
	return i, nil
}

// planNamed is the one plan of the names that can be used in the space.
func (a *applier) planNamed(want manifestService) (*store.ServicePlan, error) {
	offerings, err := store.ServiceOfferings.GUIDs(a.tx, store.By("name", want.offering))
	if err != nil {
		return nil, err
	}
	where := []store.Cond{store.By("name", want.plan), store.By("offering", offerings...)}
	if want.broker != "" {
		brokers, err := store.ServiceBrokers.GUIDs(a.tx, store.By("name", want.broker))
		if err != nil {
			return nil, err
		}
		where = append(where, store.By("broker", brokers...))
	}
	plans, _, err := store.ServicePlans.List(a.tx, store.Query[store.ServicePlan]{
		Where: where, Match: func(p *store.ServicePlan) bool { return p.Available && usablePlan(p, a.place) },
	})
	switch {
	case err != nil:
		return nil, err
	case len(plans) == 0:
		return nil, errInvalid(fmt.Sprintf("There is no plan '%s' of the service offering '%s' for this space: see cf marketplace", clip(want.plan, 100), clip(want.offering, 100)))
	case len(plans) > 1:
		return nil, errInvalid(fmt.Sprintf("Several brokers have the service offering '%s': name one with broker", clip(want.offering, 100)))
	}
	return plans[0], nil
}

// exportServices are an app's bindings as a manifest has them: a name, or a name with that of the binding.
func exportServices(tx *store.Tx, appGUID string) ([]any, error) {
	bindings, _, err := store.ServiceBindings.List(tx, store.Query[store.ServiceBinding]{Where: []store.Cond{store.By("app", appGUID)}})
	if err != nil {
		return nil, err
	}
	var out []any
	seen := map[string]bool{}
	for _, b := range bindings {
		instance, err := store.ServiceInstances.Get(tx, b.InstanceGUID)
		switch {
		case err != nil:
			return nil, err
		case seen[instance.GUID]:
		case b.Name != "":
			out = append(out, map[string]string{"name": instance.Name, "binding_name": b.Name})
		default:
			out = append(out, instance.Name)
		}
		seen[instance.GUID] = true
	}
	return out, nil
}
