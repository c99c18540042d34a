// Package serviceop writes the records of service operations: what brokers are to be asked for, and what becomes of
// instances and bindings without asking them. The API and the services loop call it in the transaction of the change.
package serviceop

import (
	"errors"

	"github.com/cupola-paas/cupola/controller/appusage"
	"github.com/cupola-paas/cupola/controller/capi"
	"github.com/cupola-paas/cupola/store"
)

// open lists the operations on a target but its clean-up.
func open(tx *store.Tx, targetGUID string) ([]*store.ServiceOperation, error) {
	all, _, err := store.ServiceOperations.List(tx, store.Query[store.ServiceOperation]{
		Where: []store.Cond{store.By("target", targetGUID)},
		Match: func(o *store.ServiceOperation) bool { return !o.Orphan },
	})
	return all, err
}

// Running returns the operation that the target is in, or nil. Clean-up after a target that has gone is none.
func Running(tx *store.Tx, targetGUID string) (*store.ServiceOperation, error) {
	all, err := open(tx, targetGUID)
	if err != nil || len(all) == 0 {
		return nil, err
	}
	return all[0], nil
}

// Begin writes o with a job that tells of it, which it returns. The job leads to the target, unless that is to be deleted.
func Begin(tx *store.Tx, o *store.ServiceOperation, operation string) (*store.Job, error) {
	job := &store.Job{Operation: operation, State: capi.JobProcessing, ResourceType: o.On, ResourceGUID: o.TargetGUID}
	if err := store.Jobs.Put(tx, job); err != nil {
		return nil, err
	}
	o.JobGUID = job.GUID
	return job, store.ServiceOperations.Put(tx, o)
}

// Plan finds the plan, offering and broker of a managed service instance.
func Plan(tx *store.Tx, i *store.ServiceInstance) (*store.ServicePlan, *store.ServiceOffering, *store.ServiceBroker, error) {
	return ByPlan(tx, i.PlanGUID)
}

// ByPlan finds a plan with its offering and broker.
func ByPlan(tx *store.Tx, planGUID string) (*store.ServicePlan, *store.ServiceOffering, *store.ServiceBroker, error) {
	plan, err := store.ServicePlans.Get(tx, planGUID)
	if err != nil {
		return nil, nil, nil, err
	}
	offering, err := store.ServiceOfferings.Get(tx, plan.OfferingGUID)
	if err != nil {
		return nil, nil, nil, err
	}
	broker, err := store.ServiceBrokers.Get(tx, plan.BrokerGUID)
	return plan, offering, broker, err
}

// Orphan is the clean-up of something at the broker of an instance, with all that it needs when the records are gone.
func Orphan(tx *store.Tx, on, targetGUID string, i *store.ServiceInstance, actor store.Actor) error {
	plan, offering, broker, err := Plan(tx, i)
	if err != nil {
		return err
	}
	return store.ServiceOperations.Put(tx, &store.ServiceOperation{
		On: on, Type: store.OperationDelete, TargetGUID: targetGUID, Orphan: true, BrokerGUID: broker.GUID, InstanceGUID: i.GUID,
		OfferingID: offering.CatalogID, PlanID: plan.CatalogID, Actor: actor,
	})
}

// Cancel deletes the operations on a target whose outcome nobody waits for any more, with their jobs told as ended. What a
// broker may have made of an earlier one is still cleaned up.
func Cancel(tx *store.Tx, targetGUID string) error {
	all, err := open(tx, targetGUID)
	if err != nil {
		return err
	}
	for _, o := range all {
		if err := store.ServiceOperations.Delete(tx, o.GUID); err != nil {
			return err
		}
		if err := Complete(tx, o.JobGUID, nil); err != nil {
			return err
		}
	}
	return nil
}

// Complete ends a job well, unless other operations belong to it or it has failed. An empty GUID is no job.
func Complete(tx *store.Tx, jobGUID string, warnings []string) error {
	job, err := openJob(tx, jobGUID)
	if job == nil || err != nil {
		return err
	}
	job.Warnings = append(job.Warnings, warnings...)
	left, err := store.ServiceOperations.Count(tx, store.By("job", jobGUID))
	if err != nil {
		return err
	}
	if left == 0 {
		job.State = capi.JobComplete
	}
	return store.Jobs.Put(tx, job)
}

// Fail ends a job with an error. An empty GUID is no job.
func Fail(tx *store.Tx, jobGUID string, why *capi.Error) error {
	job, err := openJob(tx, jobGUID)
	if job == nil || err != nil {
		return err
	}
	job.State = capi.JobFailed
	job.Errors = append(job.Errors, store.JobError{Code: why.Code, Title: why.Title, Detail: why.Detail})
	return store.Jobs.Put(tx, job)
}

// Polling tells that the broker has taken the job's operation on.
func Polling(tx *store.Tx, jobGUID string) error {
	job, err := openJob(tx, jobGUID)
	if job == nil || err != nil || job.State == capi.JobPolling {
		return err
	}
	job.State = capi.JobPolling
	return store.Jobs.Put(tx, job)
}

func openJob(tx *store.Tx, guid string) (*store.Job, error) {
	if guid == "" {
		return nil, nil
	}
	job, err := store.Jobs.Get(tx, guid)
	if errors.Is(err, store.ErrNotFound) {
		return nil, nil
	}
	if err != nil || job.State == capi.JobComplete || job.State == capi.JobFailed {
		return nil, err
	}
	return job, nil
}

// RemoveBinding deletes a credential binding's record and what is under way with it.
func RemoveBinding(tx *store.Tx, b *store.ServiceBinding) error {
	return errors.Join(store.ServiceBindings.Delete(tx, b.GUID), Cancel(tx, b.GUID))
}

// RemoveRouteBinding deletes a route binding's record and what is under way with it; the route's requests go to its apps
// again.
func RemoveRouteBinding(tx *store.Tx, b *store.ServiceRouteBinding) error {
	return errors.Join(SetRouteService(tx, b.RouteGUID, ""), store.ServiceRouteBindings.Delete(tx, b.GUID), Cancel(tx, b.GUID))
}

// SetRouteService makes the requests of a route go through the route service at the address; empty: to its apps.
func SetRouteService(tx *store.Tx, routeGUID, address string) error {
	r, err := store.Routes.Get(tx, routeGUID)
	if errors.Is(err, store.ErrNotFound) || err == nil && r.RouteServiceURL == address {
		return nil
	}
	if err != nil {
		return err
	}
	r.RouteServiceURL = address
	return store.Routes.Put(tx, r)
}

// RemoveInstance deletes an instance's record with its bindings and what is under way with them, without asking the broker.
func RemoveInstance(tx *store.Tx, i *store.ServiceInstance) error {
	of := store.Query[store.ServiceBinding]{Where: []store.Cond{store.By("instance", i.GUID)}}
	bindings, _, err := store.ServiceBindings.List(tx, of)
	if err != nil {
		return err
	}
	for _, b := range bindings {
		if err := RemoveBinding(tx, b); err != nil {
			return err
		}
	}
	routes, _, err := store.ServiceRouteBindings.List(tx, store.Query[store.ServiceRouteBinding]{Where: of.Where})
	if err != nil {
		return err
	}
	for _, b := range routes {
		if err := RemoveRouteBinding(tx, b); err != nil {
			return err
		}
	}
	return errors.Join(keepDescription(tx, i), appusage.Service(tx, i, appusage.Deleted), store.ServiceInstances.Delete(tx, i.GUID), Cancel(tx, i.GUID))
}

// keepDescription writes what a data service of the platform's own is called and marked with beside its data, which outlives
// the instance: it has that again when it is restored.
func keepDescription(tx *store.Tx, i *store.ServiceInstance) error {
	d, err := store.DataServices.Get(tx, i.GUID)
	if errors.Is(err, store.ErrNotFound) {
		return nil
	}
	if err != nil {
		return err
	}
	d.Name, d.Tags, d.Labels, d.Annotations = i.Name, i.Tags, i.Labels, i.Annotations
	return store.DataServices.Put(tx, d)
}

// ForgetBinding deletes a binding's record at once and has the broker told, who may be slow.
func ForgetBinding(tx *store.Tx, b *store.ServiceBinding, actor store.Actor) error {
	i, err := store.ServiceInstances.Get(tx, b.InstanceGUID)
	if err != nil {
		return err
	}
	if err := RemoveBinding(tx, b); err != nil || i.Type != store.ServiceManaged {
		return err
	}
	return Orphan(tx, store.OnBinding, b.GUID, i, actor)
}

// ForgetRouteBinding is ForgetBinding for route bindings.
func ForgetRouteBinding(tx *store.Tx, b *store.ServiceRouteBinding, actor store.Actor) error {
	i, err := store.ServiceInstances.Get(tx, b.InstanceGUID)
	if err != nil {
		return err
	}
	if err := RemoveRouteBinding(tx, b); err != nil || i.Type != store.ServiceManaged {
		return err
	}
	return Orphan(tx, store.OnRouteBinding, b.GUID, i, actor)
}

// ForgetInstance deletes an instance's record with its bindings at once and has the broker told, who may be slow.
func ForgetInstance(tx *store.Tx, i *store.ServiceInstance, actor store.Actor) error {
	if i.Type == store.ServiceManaged {
		where := []store.Cond{store.By("instance", i.GUID)}
		bindings, _, err := store.ServiceBindings.List(tx, store.Query[store.ServiceBinding]{Where: where})
		if err != nil {
			return err
		}
		for _, b := range bindings {
			if err := ForgetBinding(tx, b, actor); err != nil {
				return err
			}
		}
		routes, _, err := store.ServiceRouteBindings.List(tx, store.Query[store.ServiceRouteBinding]{Where: where})
		if err != nil {
			return err
		}
		for _, b := range routes {
			if err := ForgetRouteBinding(tx, b, actor); err != nil {
				return err
			}
		}
	}
	if err := RemoveInstance(tx, i); err != nil || i.Type != store.ServiceManaged {
		return err
	}
	return Orphan(tx, store.OnInstance, i.GUID, i, actor)
}
