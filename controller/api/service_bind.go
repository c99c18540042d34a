package api

import (
	"encoding/json"
	"fmt"

	"github.com/cupola-paas/cupola/controller/capi"
	"github.com/cupola-paas/cupola/controller/serviceop"
	"github.com/cupola-paas/cupola/store"
)

// bindingsMax is how many bindings one app may have to one service instance.
const bindingsMax = 100

// binding is how an app is bound.
type binding struct {
	several    bool // besides bindings that there are
	waits      bool // for an instance that is still being made, rather than being refused
	parameters json.RawMessage
}

// bind writes a binding of app to a service instance; b has its name and metadata. A second binding of the same two is
// refused unless several are wanted. For a managed instance it returns the operation that is to be begun.
func (c *Ctx) bind(tx *store.Tx, b *store.ServiceBinding, app *store.App, instance *store.ServiceInstance, how binding) (*store.ServiceOperation, error) {
	if b.Name != "" {
		if err := validateName("Name", b.Name); err != nil {
			return nil, err
		}
	}
	if err := makeRoom(tx, b, app, instance, how.several); err != nil {
		return nil, err
	}
	b.Type, b.AppGUID, b.InstanceGUID, b.SpaceGUID = store.BindingApp, app.GUID, instance.GUID, app.SpaceGUID
	if instance.Type == store.ServiceManaged {
		return c.bindManaged(tx, b, instance, how)
	}
	if p := how.parameters; p != nil && string(p) != "null" && string(p) != "{}" {
		return nil, errInvalid("Binding parameters are not supported for user-provided service instances")
	}
	b.LastOperation = succeeded(tx, store.OperationCreate)
	return nil, firstOf(
		store.ServiceBindings.Put(tx, b),
		c.auditBinding(tx, b, "create", map[string]any{"type": b.Type, "name": b.Name, "relationships": map[string]any{
			"app": capi.One(app.GUID), "service_instance": capi.One(instance.GUID)}}))
}

// makeRoom looks at the app's other bindings. One whose making failed gives way.
func makeRoom(tx *store.Tx, b *store.ServiceBinding, app *store.App, instance *store.ServiceInstance, several bool) error {
	others, _, err := store.ServiceBindings.List(tx, store.Query[store.ServiceBinding]{Where: []store.Cond{store.By("app", app.GUID)}})
	if err != nil {
		return err
	}
	same := 0
	for _, o := range others {
		mine := o.InstanceGUID == instance.GUID
		failed := o.Unmade && o.LastOperation.State == store.OperationFailed
		switch {
		case mine && failed && o.LastOperation.Type == store.OperationCreate:
			if err := serviceop.RemoveBinding(tx, o); err != nil {
				return err
			}
		case mine && !several && o.LastOperation.Type == store.OperationDelete:
			return errInvalid("The binding is getting deleted or its deletion failed")
		case mine && !several && o.LastOperation.Running():
			return capi.BindingOperationRunning.Errorf("An operation for the service binding between app %s and service instance %s is in progress.", app.Name, instance.Name)
		case mine && !several:
			return errInvalid("The app is already bound to the service instance")
		case mine && o.Name != b.Name:
			return errInvalid("The binding name cannot be changed for the same app and service instance")
		case mine:
			same++
		case b.Name != "" && o.Name == b.Name:
			return errInvalid(fmt.Sprintf("The binding name is invalid. App binding names must be unique. The app already has a binding with name '%s'.", clip(b.Name, 100)))
		}
	}
	if same >= bindingsMax {
		return errInvalid(fmt.Sprintf("The app has too many bindings to this service instance (limit: %d). Consider deleting existing/orphaned bindings.", bindingsMax))
	}
	return nil
}

// bindManaged writes a binding that the broker is to make.
func (c *Ctx) bindManaged(tx *store.Tx, b *store.ServiceBinding, i *store.ServiceInstance, how binding) (*store.ServiceOperation, error) {
	plan, err := bindable(tx, i, how.waits)
	if err != nil {
		return nil, err
	}
	parameters, err := checkParameters(how.parameters, plan.BindSchema)
	if err != nil {
		return nil, err
	}
	b.Unmade, b.LastOperation = true, started(tx, store.OperationCreate)
	if err := store.ServiceBindings.Put(tx, b); err != nil {
		return nil, err
	}
	o := c.bindingOperation(store.OnBinding, b.GUID, i, plan, store.OperationCreate)
	o.Parameters = parameters
	return o, nil
}

// notMade is what is said of an instance whose creation failed.
func notMade(i *store.ServiceInstance) error {
	return errInvalid(fmt.Sprintf("The service instance %s could not be created, so nothing can be bound to it.", i.Name))
}

// bindable finds the plan of an instance that can be bound now, or, if the binding waits, once it is made.
func bindable(tx *store.Tx, i *store.ServiceInstance, waits bool) (*store.ServicePlan, error) {
	plan, err := store.ServicePlans.Get(tx, i.PlanGUID)
	waits = waits && i.LastOperation.Running() && i.LastOperation.Type == store.OperationCreate
	switch {
	case err != nil:
		return nil, err
	case i.LastOperation.Running() && !waits:
		return nil, capi.InstanceOperationRunning.Errorf("An operation for service instance %s is in progress.", i.Name)
	case i.Unmade && !waits:
		return nil, notMade(i)
	case !plan.Bindable:
		return nil, errInvalid("Service plan does not allow bindings.")
	}
	return plan, nil
}

func (c *Ctx) bindingOperation(on, guid string, i *store.ServiceInstance, plan *store.ServicePlan, kind string) *store.ServiceOperation {
	return &store.ServiceOperation{On: on, Type: kind, TargetGUID: guid, InstanceGUID: i.GUID, BrokerGUID: plan.BrokerGUID, Actor: c.actor()}
}

// createKey writes a service key that the broker is to make.
func (c *Ctx) createKey(tx *store.Tx, b *store.ServiceBinding, i *store.ServiceInstance, parameters json.RawMessage) (*store.ServiceOperation, error) {
	place, err := placeOf(tx, i.SpaceGUID)
	if err != nil {
		return nil, err
	}
	if err := c.Allow(tx, place, "Service instance", SeeSpace, Develop); err != nil {
		return nil, keyInShared(err)
	}
	if i.Type != store.ServiceManaged {
		return nil, errInvalid("Service credential bindings of type 'key' are not supported for user-provided service instances.")
	}
	if err := validateName("Name", b.Name); err != nil {
		return nil, err
	}
	others, _, err := store.ServiceBindings.List(tx, store.Query[store.ServiceBinding]{
		Where: []store.Cond{store.By("instance", i.GUID), store.By("type", store.BindingKey)}, Match: func(o *store.ServiceBinding) bool { return o.Name == b.Name },
	})
	if err != nil {
		return nil, err
	}
	for _, o := range others {
		if !o.Unmade || o.LastOperation.Running() || o.LastOperation.Type == store.OperationDelete {
			return nil, errInvalid(fmt.Sprintf("The binding name is invalid. Key binding names must be unique. The service instance already has a key binding with name '%s'.", clip(b.Name, 100)))
		}
		if err := serviceop.RemoveBinding(tx, o); err != nil {
			return nil, err
		}
	}
	if err := checkKeyQuota(tx, i.SpaceGUID); err != nil {
		return nil, err
	}
	b.Type, b.InstanceGUID, b.SpaceGUID = store.BindingKey, i.GUID, i.SpaceGUID
	return c.bindManaged(tx, b, i, binding{parameters: parameters})
}

// keyInShared tells who sees an instance by a share alone that keys are made where it is.
func keyInShared(err error) error {
	if capi.ResourceNotFound.Code == codeOf(err) {
		return capi.Forbidden()
	}
	return err
}

func codeOf(err error) int {
	if known, ok := err.(*capi.Error); ok {
		return known.Code
	}
	return 0
}

// unbind has the broker delete a binding of a managed instance, and returns the job. What is being made is deleted too.
func (c *Ctx) unbind(tx *store.Tx, b *store.ServiceBinding, i *store.ServiceInstance) (*store.Job, error) {
	if job, err := c.clearWay(tx, b.GUID, b.LastOperation); err != nil || job != nil {
		return job, err
	}
	if i.LastOperation.Running() {
		return nil, needIdle(tx, i)
	}
	o, err := c.unbinding(tx, b, i)
	if err != nil {
		return nil, err
	}
	operation := "service_bindings.delete"
	if b.Type == store.BindingKey {
		operation = "service_keys.delete"
	}
	return serviceop.Begin(tx, o, operation)
}

// clearWay calls off the making of a binding that is to be deleted. If it is being deleted already it returns that job.
func (c *Ctx) clearWay(tx *store.Tx, guid string, last store.Operation) (*store.Job, error) {
	running, err := serviceop.Running(tx, guid)
	switch {
	case err != nil || running == nil:
		return nil, err
	case running.Type != store.OperationDelete:
		return nil, serviceop.Cancel(tx, guid)
	case running.JobGUID != "":
		return store.Jobs.Get(tx, running.JobGUID)
	}
	return nil, capi.BindingOperationRunning.Errorf("The service binding is being deleted with its service instance.")
}

func (c *Ctx) unbinding(tx *store.Tx, b *store.ServiceBinding, i *store.ServiceInstance) (*store.ServiceOperation, error) {
	plan, err := store.ServicePlans.Get(tx, i.PlanGUID)
	if err != nil {
		return nil, err
	}
	b.LastOperation = started(tx, store.OperationDelete)
	return c.bindingOperation(store.OnBinding, b.GUID, i, plan, store.OperationDelete), store.ServiceBindings.Put(tx, b)
}

// beginUnbind has a binding of a managed instance deleted, unless it is being deleted.
func (c *Ctx) beginUnbind(tx *store.Tx, b *store.ServiceBinding) error {
	running, err := serviceop.Running(tx, b.GUID)
	if err != nil || running != nil && running.Type == store.OperationDelete {
		return err
	}
	if err := serviceop.Cancel(tx, b.GUID); err != nil {
		return err
	}
	i, err := store.ServiceInstances.Get(tx, b.InstanceGUID)
	if err != nil {
		return err
	}
	o, err := c.unbinding(tx, b, i)
	if err != nil {
		return err
	}
	return store.ServiceOperations.Put(tx, o)
}

// needMade refuses to show what is not there yet.
func needMade(b *store.ServiceBinding) error {
	switch {
	case !b.Unmade:
		return nil
	case b.LastOperation.Running():
		return capi.ResourceNotFound.Errorf("Creation of service credential binding in progress")
	}
	return capi.ResourceNotFound.Errorf("Creation of service credential binding failed")
}

// getBindingParameters asks the broker, where the catalog says that it can be asked.
func (s *Server) getBindingParameters(c *Ctx) error {
	var b *store.ServiceBinding
	var offering *store.ServiceOffering
	err := c.View(func(tx *store.Tx) (err error) {
		if b, err = store.ServiceBindings.Get(tx, c.Path("guid")); err != nil {
			return err
		}
		i, err := store.ServiceInstances.Get(tx, b.InstanceGUID)
		if err != nil || i.Type != store.ServiceManaged {
			return err
		}
		if err := needMade(b); err != nil {
			return err
		}
		_, offering, _, err = serviceop.Plan(tx, i)
		return err
	})
	if err != nil {
		return err
	}
	return s.answerBindingParameters(c, offering, b.InstanceGUID, b.GUID)
}

func (s *Server) answerBindingParameters(c *Ctx, offering *store.ServiceOffering, instanceGUID, guid string) error {
	if offering == nil || !offering.BindingsRetrievable || s.brokers == nil {
		return capi.BindingParamsUnsupported.Errorf("This service does not support fetching service binding parameters.")
	}
	raw, err := s.brokers.BindingParameters(c.Context(), instanceGUID, guid, c.originator())
	if err != nil {
		return brokerFailed(err)
	}
	return c.JSON(200, raw)
}
