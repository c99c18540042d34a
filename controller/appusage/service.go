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
	return store.ServiceUsageEvents.Put(tx, &store.ServiceUsageEvent{
		State: state, SpaceGUID: space.GUID, SpaceName: space.Name, OrgGUID: space.OrgGUID,
		InstanceGUID: i.GUID, InstanceName: i.Name, InstanceType: kind,
	})
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
