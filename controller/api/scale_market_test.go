package api

import (
	"cmp"
	"fmt"

	"github.com/cupola-paas/cupola/controller/dataservice"
	"github.com/cupola-paas/cupola/store"
)

// market is what a crowd has of the marketplace and of the rules of an organisation: for n apps n service instances, each with a
// binding, a tenth as many keys, backups and deleted instances, a fiftieth as many route bindings and route policies.
type market struct {
	brokers, offerings, plans []string
	instance, segment         string                // one of each
	offering                  *dataservice.Offering // of the platform's own
}

const (
	manyBrokers   = 4
	manyOfferings = 20
	manyPlans     = 60
)

// putMarketplace puts brokers with what they sell, quotas and isolation segments.
func (c *crowd) putMarketplace() {
	c.batch(manyBrokers, func(tx *store.Tx, i int) error {
		b := &store.ServiceBroker{Name: fmt.Sprintf("broker-%d", i), URL: "https://broker.example.com"}
		err := store.ServiceBrokers.Put(tx, b)
		c.brokers = append(c.brokers, b.GUID)
		return err
	})
	c.batch(manyOfferings, func(tx *store.Tx, i int) error {
		o := &store.ServiceOffering{Name: fmt.Sprintf("offering-%02d", i), CatalogID: fmt.Sprint("offering-id-", i), BrokerGUID: c.brokers[i%manyBrokers], Available: true, Bindable: true}
		err := store.ServiceOfferings.Put(tx, o)
		c.offerings = append(c.offerings, o.GUID)
		return err
	})
	c.batch(manyPlans, func(tx *store.Tx, i int) error {
		p := &store.ServicePlan{
			Name: fmt.Sprintf("plan-%02d", i), CatalogID: fmt.Sprint("plan-id-", i), OfferingGUID: c.offerings[i%manyOfferings], BrokerGUID: c.brokers[i%manyBrokers],
			Available: true, Bindable: true, Public: i%2 == 0,
		}
		if !p.Public {
			p.OrgGUIDs = c.orgs[:len(c.orgs)/2]
		}
		err := store.ServicePlans.Put(tx, p)
		c.plans = append(c.plans, p.GUID)
		return err
	})
	c.batch(len(c.orgs), func(tx *store.Tx, i int) error {
		g := &store.IsolationSegment{Name: fmt.Sprintf("segment-%04d", i), OrgGUIDs: c.orgs}
		err := cmp.Or(store.IsolationSegments.Put(tx, g), putQuota(tx, store.OrgQuotas, &store.Quota{Name: fmt.Sprintf("quota-%04d", i)}))
		c.segment = g.GUID
		return err
	})
	c.batch(len(c.spaces), func(tx *store.Tx, i int) error {
		return putQuota(tx, store.SpaceQuotas, &store.Quota{Name: fmt.Sprintf("quota-%04d", i), OrgGUID: c.orgs[i%len(c.orgs)]})
	})
}

func putQuota(tx *store.Tx, table *store.Table[store.Quota], q *store.Quota) error {
	q.TotalMemoryMB, q.ProcessMemoryMB, q.TotalInstances, q.AppTasks, q.LogRateBytes = store.Unlimited, store.Unlimited, store.Unlimited, store.Unlimited, store.Unlimited
	q.ServiceInstances, q.ServiceKeys, q.Routes, q.ReservedPorts, q.Domains = store.Unlimited, store.Unlimited, store.Unlimited, store.Unlimited, store.Unlimited
	return table.Put(tx, q)
}

// putServices puts what an app has of the marketplace.
func (c *crowd) putServices(tx *store.Tx, a *store.App, route string, i int) error {
	name, done := fmt.Sprintf("db-%05d", i), store.Operation{Type: "create", State: store.OperationSucceeded}
	in := &store.ServiceInstance{Meta: store.Meta{Labels: a.Labels}, Name: name, Type: store.ServiceManaged, SpaceGUID: a.SpaceGUID, PlanGUID: c.plans[i%manyPlans], LastOperation: done}
	if i%5 == 4 {
		in.Type, in.PlanGUID, in.Credentials = store.ServiceUserProvided, "", []byte(`{"uri":"https://example.com"}`)
	}
	if err := store.ServiceInstances.Put(tx, in); err != nil {
		return err
	}
	if i%10 == 0 && c.seen(a.SpaceGUID) {
		c.instance = in.GUID // which has a backup
	}
	event := &store.ServiceUsageEvent{
		State: "CREATED", SpaceGUID: a.SpaceGUID, InstanceGUID: in.GUID, InstanceName: name, InstanceType: "managed_service_instance",
		PlanGUID: in.PlanGUID, OfferingGUID: c.offerings[i%manyOfferings],
	}
	binding := &store.ServiceBinding{Type: "app", InstanceGUID: in.GUID, SpaceGUID: a.SpaceGUID, AppGUID: a.GUID, Credentials: []byte(`{"uri":"postgres://example"}`), LastOperation: done}
	if err := cmp.Or(store.ServiceBindings.Put(tx, binding), store.ServiceUsageEvents.Put(tx, event)); err != nil {
		return err
	}
	return cmp.Or(c.putTenth(tx, in, i), putFiftieth(tx, in, route, a.GUID, i))
}

func (c *crowd) putTenth(tx *store.Tx, in *store.ServiceInstance, i int) error {
	if i%10 != 0 {
		return nil
	}
	key := &store.ServiceBinding{Type: "key", Name: "key", InstanceGUID: in.GUID, SpaceGUID: in.SpaceGUID, LastOperation: in.LastOperation}
	kept := store.DataService{OfferingID: c.offering.ID, PlanID: c.offering.Plans[0].ID, Name: in.Name, SpaceGUID: in.SpaceGUID, State: store.DataReady}
	gone := kept
	kept.GUID, gone.State = in.GUID, store.DataDeleted
	backup := &store.DataBackup{ServiceGUID: in.GUID, State: store.OperationSucceeded}
	return cmp.Or(store.ServiceBindings.Put(tx, key), store.DataServices.Put(tx, &gone), store.DataServices.Put(tx, &kept), store.DataBackups.Put(tx, backup))
}

func putFiftieth(tx *store.Tx, in *store.ServiceInstance, route, app string, i int) error {
	if i%50 != 0 {
		return nil
	}
	b := &store.ServiceRouteBinding{InstanceGUID: in.GUID, RouteGUID: route, SpaceGUID: in.SpaceGUID, RouteServiceURL: "https://example.com", LastOperation: in.LastOperation}
	p := &store.RoutePolicy{RouteGUID: route, SourceType: store.SourceApp, SourceGUID: app}
	return cmp.Or(store.ServiceRouteBindings.Put(tx, b), store.RoutePolicies.Put(tx, p))
}

// marketNames are names in the lists of the marketplace, by the last word of a list's address.
func marketNames(middle string) map[string]string {
	return map[string]string{
		"service_brokers": "broker-1", "service_offerings": "offering-01", "service_plans": "plan-01", "service_instances": "db-" + middle,
		"service_credential_bindings": "key", "deleted_service_instances": "db-" + middle, "organization_quotas": "quota-0001", "space_quotas": "quota-0001",
		"isolation_segments": "segment-0001",
	}
}

// marketFilters are what the filters of those lists are given.
func (c *crowd) marketFilters(middle string) map[string]string {
	return map[string]string{
		"service_broker_names": "broker-1", "service_offering_names": "offering-01", "service_plan_names": "plan-01", "service_instance_names": "db-" + middle,
		"service_broker_guids": c.brokers[1], "service_offering_guids": c.offerings[1], "service_plan_guids": c.plans[1], "service_instance_guids": c.instance,
		"service_instance_types": "managed_service_instance", "broker_catalog_ids": "plan-id-1", "available": "true", "app_names": "app-" + middle,
		"route_guids": c.route, "sources": "cf:app:" + c.app, "source_guids": c.app,
		"fields[space]": "name", "fields[space.organization]": "name", "fields[service_plan]": "name", "fields[service_plan.service_offering]": "name",
		"fields[service_plan.service_offering.service_broker]": "name", "fields[service_broker]": "name", "fields[service_offering.service_broker]": "name",
	}
}
