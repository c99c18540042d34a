package api

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"strings"

	"github.com/cupola-paas/cupola/controller/appusage"
	"github.com/cupola-paas/cupola/controller/capi"
	"github.com/cupola-paas/cupola/controller/serviceop"
	"github.com/cupola-paas/cupola/controller/services/osb"
	"github.com/cupola-paas/cupola/controller/services/schema"
	"github.com/cupola-paas/cupola/store"
)

// presentManaged adds what managed service instances have.
func (s *Server) presentManaged(tx *store.Tx, i *store.ServiceInstance, out *capi.ServiceInstance) error {
	plan, err := store.ServicePlans.Get(tx, i.PlanGUID)
	if err != nil {
		return err
	}
	base := "/v3/service_instances/" + i.GUID
	out.LastOperation = presentOperation(ownOperation(tx, i))
	out.Relationships.ServicePlan = capi.To(i.PlanGUID)
	out.MaintenanceInfo, out.DashboardURL = objectOr(i.MaintenanceInfo), optional(i.DashboardURL)
	upgrade := !i.Unmade && versionOf(plan.MaintenanceInfo) != "" && versionOf(plan.MaintenanceInfo) != versionOf(i.MaintenanceInfo)
	out.UpgradeAvailable = &upgrade
	if out.Data, err = s.presentData(tx, i); err != nil {
		return err
	}
	out.Links["service_plan"] = s.link("/v3/service_plans/" + i.PlanGUID)
	out.Links["parameters"] = s.link(base + "/parameters")
	out.Links["shared_spaces"] = s.link(base + "/relationships/shared_spaces")
	return nil
}

// versionOf is the version in maintenance_info, or empty.
func versionOf(raw []byte) string {
	var info struct {
		Version string `json:"version"`
	}
	if len(raw) == 0 || json.Unmarshal(raw, &info) != nil {
		return ""
	}
	return info.Version
}

var errNoPlan = errInvalid("Invalid service plan. Ensure that the service plan exists, is available, and you have access to it.")

// planFor finds a plan of which instances may be made at the place.
func planFor(tx *store.Tx, place Place, guid string) (*store.ServicePlan, error) {
	p, err := store.ServicePlans.Get(tx, guid)
	if err != nil {
		return nil, orElse(err, errNoPlan)
	}
	if !p.Available || !usablePlan(p, place) {
		return nil, errNoPlan
	}
	return p, nil
}

// parametersBytes is the most that parameters may have.
const parametersBytes = 512 << 10

// checkParameters returns the parameters that a request gave, nil for none, after a look at the plan's schema.
func checkParameters(raw json.RawMessage, planSchema []byte) ([]byte, error) {
	raw = bytes.TrimSpace(raw)
	if len(raw) == 0 || string(raw) == "null" {
		raw = nil
	}
	if raw != nil && raw[0] != '{' || len(raw) > parametersBytes {
		return nil, errInvalid(fmt.Sprintf("Parameters must be an object of at most %d bytes", parametersBytes))
	}
	problems, err := schema.Check(planSchema, raw)
	if err != nil {
		return nil, errInvalid("Parameters cannot be checked: " + err.Error())
	}
	if len(problems) == 0 {
		return raw, nil
	}
	texts := make([]string, len(problems))
	for i, p := range problems {
		texts[i] = clip(p.String(), 300)
	}
	return nil, errInvalid("Parameters do not fit the schema of the service plan: " + strings.Join(texts, "; "))
}

// started is an operation that the services loop is to do.
func started(tx *store.Tx, kind string) store.Operation {
	return store.Operation{Type: kind, State: store.OperationInitial, CreatedAt: tx.Now, UpdatedAt: tx.Now}
}

func (s *Server) createManaged(c *Ctx, in *capi.ServiceInstanceCreate, spaceGUID string) error {
	switch {
	case in.Relationships.ServicePlan.GUID() == "":
		return errInvalid("Relationships Service plan can't be blank: name the plan as relationships.service_plan.data.guid")
	case in.Credentials != nil || in.SyslogDrainURL != nil || in.RouteServiceURL != nil:
		return errInvalid("A managed service instance has neither credentials, a syslog_drain_url nor a route_service_url of its own: its broker gives them")
	}
	return c.begin(nil, func(tx *store.Tx) (*store.Job, error) {
		place, err := c.placeForService(tx, spaceGUID)
		if err != nil {
			return nil, err
		}
		plan, err := planFor(tx, place, in.Relationships.ServicePlan.GUID())
		if err != nil {
			return nil, err
		}
		i := &store.ServiceInstance{Name: in.Name, SpaceGUID: place.SpaceGUID, Tags: in.Tags}
		if err := patchMetadata(&i.Meta, in.Metadata); err != nil {
			return nil, err
		}
		o, err := c.makeManaged(tx, i, plan, in.Parameters)
		if err != nil {
			return nil, err
		}
		return serviceop.Begin(tx, o, "service_instance.create")
	})
}

// makeManaged writes an instance of a plan that the broker is to make, and returns what it is to be asked for.
func (c *Ctx) makeManaged(tx *store.Tx, i *store.ServiceInstance, plan *store.ServicePlan, raw json.RawMessage) (*store.ServiceOperation, error) {
	parameters, err := checkParameters(raw, plan.CreateSchema)
	if err != nil {
		return nil, err
	}
	i.Type, i.PlanGUID, i.MaintenanceInfo = store.ServiceManaged, plan.GUID, plan.MaintenanceInfo
	i.Unmade, i.LastOperation = true, started(tx, store.OperationCreate)
	if err := firstOf(validateServiceInstance(i), nameFree(tx, i), checkServiceQuota(tx, i, plan), putServiceInstance(tx, i)); err != nil {
		return nil, err
	}
	o := c.instanceOperation(i, plan, store.OperationCreate)
	o.Parameters = parameters
	return o, nil
}

// nameFree refuses a name that another instance has that is shared with the space.
func nameFree(tx *store.Tx, i *store.ServiceInstance) error {
	shared, err := store.ServiceInstances.GUIDs(tx, store.By("name", i.Name), store.By("in_space", i.SpaceGUID))
	if err == nil && len(shared) > 0 && (len(shared) > 1 || shared[0] != i.GUID) {
		err = errInvalid("The service instance name is taken: " + i.Name)
	}
	return err
}

func (c *Ctx) instanceOperation(i *store.ServiceInstance, plan *store.ServicePlan, kind string) *store.ServiceOperation {
	return &store.ServiceOperation{On: store.OnInstance, Type: kind, TargetGUID: i.GUID, InstanceGUID: i.GUID, BrokerGUID: plan.BrokerGUID, Actor: c.actor()}
}

// needIdle refuses to touch an instance with which something is under way.
func needIdle(tx *store.Tx, i *store.ServiceInstance) error {
	running, err := serviceop.Running(tx, i.GUID)
	if err != nil || running == nil {
		return err
	}
	return capi.InstanceOperationRunning.Errorf("An operation for service instance %s is in progress.", i.Name)
}

// updateManaged writes at once what the broker need not know. For the rest it returns a job.
func (c *Ctx) updateManaged(tx *store.Tx, i *store.ServiceInstance, in *capi.ServiceInstanceUpdate) (*store.Job, error) {
	switch {
	case in.Credentials != nil || in.SyslogDrainURL.Set || in.RouteServiceURL.Set:
		return nil, errInvalid("A managed service instance has neither credentials, a syslog_drain_url nor a route_service_url of its own: its broker gives them")
	case in.Relationships != nil && in.Relationships.Space != nil:
		return nil, errInvalid("Unknown field(s): 'relationships.space': a service instance stays in its space")
	}
	if err := firstOf(needIdle(tx, i), patchMetadata(&i.Meta, in.Metadata)); err != nil {
		return nil, err
	}
	plan, offering, _, err := serviceop.Plan(tx, i)
	if err != nil {
		return nil, err
	}
	o, err := c.wantedChange(tx, i, plan, offering, in)
	if err != nil {
		return nil, err
	}
	if o == nil {
		return nil, firstOf(c.changeRecord(tx, i, in), c.auditService(tx, i, c.place, "update", redacted(*in)))
	}
	i.LastOperation = started(tx, store.OperationUpdate)
	if err := store.ServiceInstances.Put(tx, i); err != nil {
		return nil, err
	}
	return serviceop.Begin(tx, o, "service_instance.update")
}

// changeRecord changes name and tags without the broker.
func (c *Ctx) changeRecord(tx *store.Tx, i *store.ServiceInstance, in *capi.ServiceInstanceUpdate) error {
	renamed := in.Name != nil && *in.Name != i.Name
	if in.Name != nil {
		i.Name = *in.Name
	}
	if in.Tags.Set {
		i.Tags = in.Tags.Or(nil)
	}
	if in.Name != nil || in.Tags.Set {
		i.LastOperation = succeeded(tx, store.OperationUpdate)
	}
	if err := firstOf(validateServiceInstance(i), nameFree(tx, i), putServiceInstance(tx, i)); err != nil || !renamed {
		return err
	}
	return appusage.Service(tx, i, appusage.Updated)
}

// wantedChange is what the broker must be asked for, or nil when it need not be.
func (c *Ctx) wantedChange(tx *store.Tx, i *store.ServiceInstance, plan *store.ServicePlan, offering *store.ServiceOffering, in *capi.ServiceInstanceUpdate) (*store.ServiceOperation, error) {
	o := c.instanceOperation(i, plan, store.OperationUpdate)
	target, err := c.wantedPlan(tx, i, plan, in)
	if err != nil {
		return nil, err
	}
	if target != plan {
		o.Change.PlanGUID, o.Change.MaintenanceInfo = target.GUID, target.MaintenanceInfo
	}
	if o.Parameters, err = checkUpdateParameters(in.Parameters, target); err != nil {
		return nil, err
	}
	upgrade, err := wantedVersion(in.MaintenanceInfo, target, i)
	if err != nil {
		return nil, err
	}
	if upgrade {
		o.Change.MaintenanceInfo = target.MaintenanceInfo
	}
	renamed := in.Name != nil && *in.Name != i.Name && offering.AllowContextUpdates
	if target == plan && in.Parameters == nil && !upgrade && !renamed {
		return nil, nil
	}
	if i.Unmade {
		return nil, errInvalid("The service instance could not be created, so it cannot be updated: delete it and make another")
	}
	return o, checkChange(tx, i, in, o)
}

// checkChange keeps name and tags until the broker has done its part, after checking them now.
func checkChange(tx *store.Tx, i *store.ServiceInstance, in *capi.ServiceInstanceUpdate, o *store.ServiceOperation) error {
	next := *i
	if in.Name != nil && *in.Name != i.Name {
		next.Name, o.Change.Name = *in.Name, in.Name
	}
	if in.Tags.Set {
		next.Tags = in.Tags.Or(nil)
		o.Change.Tags = &next.Tags
	}
	if err := firstOf(validateServiceInstance(&next), nameFree(tx, &next)); err != nil {
		return err
	}
	return nil
}

func checkUpdateParameters(raw json.RawMessage, plan *store.ServicePlan) ([]byte, error) {
	if raw == nil {
		return nil, nil
	}
	return checkParameters(raw, plan.UpdateSchema)
}

// wantedPlan is the plan that the instance is to have: plan itself, if nothing else is asked for.
func (c *Ctx) wantedPlan(tx *store.Tx, i *store.ServiceInstance, plan *store.ServicePlan, in *capi.ServiceInstanceUpdate) (*store.ServicePlan, error) {
	if in.Relationships == nil || in.Relationships.ServicePlan.GUID() == "" || in.Relationships.ServicePlan.GUID() == plan.GUID {
		return plan, nil
	}
	place, err := placeOf(tx, i.SpaceGUID)
	if err != nil {
		return nil, err
	}
	target, err := planFor(tx, place, in.Relationships.ServicePlan.GUID())
	switch {
	case err != nil:
		return nil, err
	case target.OfferingGUID != plan.OfferingGUID:
		return nil, errInvalid("service plan relates to a different service offering")
	case !plan.PlanUpdateable:
		return nil, errInvalid("The service does not support changing plans.")
	}
	return target, checkPaidPlan(tx, i.SpaceGUID, target)
}

// wantedVersion reports whether the broker is to bring the instance to the plan's version of maintenance_info.
func wantedVersion(raw json.RawMessage, plan *store.ServicePlan, i *store.ServiceInstance) (bool, error) {
	if raw == nil || string(raw) == "null" {
		return false, nil
	}
	var info struct {
		Version string `json:"version"`
	}
	has := versionOf(plan.MaintenanceInfo)
	switch err := json.Unmarshal(raw, &info); {
	case err != nil || info.Version == "":
		return false, errInvalid("Maintenance info must be an object with a version")
	case has == "":
		return false, errInvalid("The service broker does not support upgrades for service instances created from this plan.")
	case has != info.Version:
		return false, errInvalid("maintenance_info.version requested is invalid. Please ensure the catalog is up to date and you are providing a version supported by this service plan.")
	}
	return versionOf(i.MaintenanceInfo) != has, nil
}

// deleteManaged has the bindings of an instance deleted, and then the instance. What is being made is deleted when the
// broker has ended that: until then a deletion is refused, unless the broker has not even been asked.
func (c *Ctx) deleteManaged(tx *store.Tx, i *store.ServiceInstance) (*store.Job, error) {
	if len(i.SharedSpaceGUIDs) > 0 {
		return nil, capi.InstanceHasShares.Errorf("Service instances must be unshared before they can be deleted. "+
			"Unsharing %s will automatically delete any bindings that have been made to applications in other spaces.", i.Name)
	}
	if running, err := serviceop.Running(tx, i.GUID); err != nil || running != nil {
		if running != nil && running.Type == store.OperationDelete && running.JobGUID != "" {
			return store.Jobs.Get(tx, running.JobGUID) // it is under way
		}
		if running == nil || running.Type != store.OperationCreate {
			return nil, firstOf(err, needIdle(tx, i))
		}
		if err := serviceop.Cancel(tx, i.GUID); err != nil { // the broker deletes what it has of it (OSB, Deprovisioning)
			return nil, err
		}
	}
	plan, err := store.ServicePlans.Get(tx, i.PlanGUID)
	if err != nil {
		return nil, err
	}
	of := store.By("instance", i.GUID)
	if err := firstOf(each(tx, store.ServiceBindings, c.beginUnbind, of), each(tx, store.ServiceRouteBindings, c.beginRouteUnbind, of)); err != nil {
		return nil, err
	}
	i.LastOperation = started(tx, store.OperationDelete)
	if err := store.ServiceInstances.Put(tx, i); err != nil {
		return nil, err
	}
	return serviceop.Begin(tx, c.instanceOperation(i, plan, store.OperationDelete), "service_instance.delete")
}

// purgeAllowed deletes an instance without asking its broker, for operators, and for developers in the space of a
// broker that is for that space.
func (c *Ctx) purgeAllowed(tx *store.Tx, i *store.ServiceInstance) error {
	if !c.Admin() {
		plan, err := store.ServicePlans.Get(tx, i.PlanGUID)
		if orElse(err, nil) != nil {
			return err
		}
		if err != nil || plan.SpaceGUID == "" {
			return capi.Forbidden()
		}
	}
	return firstOf(c.auditUnbound(tx, i), c.purgeInstance(tx, i))
}

// getServiceParameters asks the broker, where the catalog says that it can be asked.
func (s *Server) getServiceParameters(c *Ctx) error {
	var offering *store.ServiceOffering
	err := c.View(func(tx *store.Tx) error {
		i, err := store.ServiceInstances.Get(tx, c.Path("guid"))
		if err != nil || i.Type != store.ServiceManaged {
			return err
		}
		if i.Unmade {
			return capi.NotFound("Service instance")
		}
		if err := needIdle(tx, i); err != nil {
			return err
		}
		_, offering, _, err = serviceop.Plan(tx, i)
		return err
	})
	if err != nil {
		return err
	}
	if offering == nil || !offering.InstancesRetrievable || s.brokers == nil {
		return capi.InstanceParamsUnsupported.Errorf("This service does not support fetching service instance parameters.")
	}
	raw, err := s.brokers.InstanceParameters(c.Context(), c.Path("guid"), c.originator())
	if err != nil {
		return brokerFailed(err)
	}
	return c.JSON(200, raw)
}

// brokerFailed makes an API error of what a broker answered.
func brokerFailed(err error) error {
	var refused *osb.Error
	if errors.As(err, &refused) {
		return refused.APIError()
	}
	return err
}

// originator is the caller as brokers are told of it.
func (c *Ctx) originator() osb.Identity {
	return osb.Identity{UserID: c.who.UserGUID, Username: c.who.Username}
}
