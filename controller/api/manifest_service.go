package api

import (
	"errors"
	"fmt"

	"github.com/cupola-paas/cupola/controller/capi"
	"github.com/cupola-paas/cupola/store"
)

// bindServices binds the service instances that the app is not bound to yet.
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
	name := clip(want.name, 100)
	instance, err := store.ServiceInstances.Find(a.tx, "space_name", a.place.SpaceGUID+"/"+want.name)
	if err != nil {
		return orElse(err, errInvalid(fmt.Sprintf("Service instance '%s' could not be found: create it first, or take it out of the manifest", name)))
	}
	n, err := store.ServiceBindings.Count(a.tx, store.By("app", a.app.GUID), store.By("instance", instance.GUID))
	if err != nil || n > 0 {
		return err
	}
	o, err := a.c.bind(a.tx, &store.ServiceBinding{Name: want.binding}, a.app, instance, binding{parameters: want.parameters})
	if err == nil && o != nil {
		a.begun = append(a.begun, o)
	}
	return err
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
