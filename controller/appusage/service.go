package appusage

import (
	"errors"

	"github.com/cupola-paas/cupola/store"
)

// States of an event of a service instance.
const (
	Created = "CREATED"
	Updated = "UPDATED"
	Deleted = "DELETED"
)

// Service tells that a service instance began, changed or ended.
func Service(tx *store.Tx, i *store.ServiceInstance, state string) error {
	if i.Unmade {
		return nil // nobody pays for it
	}
	space, err := store.Spaces.Get(tx, i.SpaceGUID)
	if errors.Is(err, store.ErrNotFound) {
		return nil
	}
	if err != nil {
		return err
	}
	kind := "managed_service_instance"
	if i.Type == store.ServiceUserProvided {
		kind = "user_provided_service_instance"
	}
	e := &store.ServiceUsageEvent{
		State: state, SpaceGUID: space.GUID, SpaceName: space.Name, OrgGUID: space.OrgGUID,
		InstanceGUID: i.GUID, InstanceName: i.Name, InstanceType: kind,
	}
	if err := setPlan(tx, e, i.PlanGUID); err != nil {
		return err
	}
	return store.ServiceUsageEvents.Put(tx, e)
}

// setPlan names what a managed service instance is of.
func setPlan(tx *store.Tx, e *store.ServiceUsageEvent, planGUID string) error {
	if planGUID == "" {
		return nil
	}
	plan, err := store.ServicePlans.Get(tx, planGUID)
	if err != nil {
		return err
	}
	offering, err := store.ServiceOfferings.Get(tx, plan.OfferingGUID)
	if err != nil {
		return err
	}
	broker, err := store.ServiceBrokers.Get(tx, plan.BrokerGUID)
	if err != nil {
		return err
	}
	e.PlanGUID, e.PlanName, e.OfferingGUID, e.OfferingName = plan.GUID, plan.Name, offering.GUID, offering.Name
	e.BrokerGUID, e.BrokerName = broker.GUID, broker.Name
	return nil
}

// ReseedServices deletes all events of service instances and writes CREATED for those that there are.
func ReseedServices(tx *store.Tx) error {
	var guids []string
	for e := range store.ServiceUsageEvents.All(tx) {
		guids = append(guids, e.GUID)
	}
	for _, guid := range guids {
		if err := store.ServiceUsageEvents.Delete(tx, guid); err != nil {
			return err
		}
	}
	var instances []*store.ServiceInstance
	for i := range store.ServiceInstances.All(tx) {
		instances = append(instances, i)
	}
	for _, i := range instances {
		if err := Service(tx, i, Created); err != nil {
			return err
		}
	}
	return nil
}
