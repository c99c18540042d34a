package services

import (
	"encoding/json"
	"errors"
	"fmt"
	"net/url"
	"slices"
	"strings"

	"github.com/cupola-paas/cupola/controller/appusage"
	"github.com/cupola-paas/cupola/controller/capi"
	"github.com/cupola-paas/cupola/controller/serviceop"
	"github.com/cupola-paas/cupola/controller/services/osb"
	"github.com/cupola-paas/cupola/store"
)

// note changes the last operation of the target and writes it.
func (t *task) note(tx *store.Tx, change func(*store.Operation)) error {
	if t.op.Orphan {
		return nil
	}
	last := t.last()
	before := *last
	change(last)
	if *last == before {
		return nil
	}
	last.UpdatedAt = tx.Now
	return t.put(tx)
}

// last is the last operation of the target.
func (t *task) last() *store.Operation {
	switch {
	case t.binding != nil:
		return &t.binding.LastOperation
	case t.route != nil:
		return &t.route.LastOperation
	}
	return &t.instance.LastOperation
}

func (t *task) put(tx *store.Tx) error {
	switch {
	case t.binding != nil:
		return store.ServiceBindings.Put(tx, t.binding)
	case t.route != nil:
		return store.ServiceRouteBindings.Put(tx, t.route)
	}
	return store.ServiceInstances.Put(tx, t.instance)
}

// fail ends an operation that the broker did not do. What a creation may have left at the broker is to be deleted
// there (OSB, Orphan Mitigation); the record stays, with what went wrong, until somebody deletes it.
func fail(tx *store.Tx, t *task, why error, orphan bool) error {
	text := why.Error()
	errs := []error{
		t.note(tx, func(o *store.Operation) { o.State, o.Description = store.OperationFailed, text }),
		store.ServiceOperations.Delete(tx, t.op.GUID),
		serviceop.Fail(tx, t.op.JobGUID, jobError(t, why)),
	}
	if orphan && t.op.Type == store.OperationCreate {
		errs = append(errs, serviceop.Orphan(tx, t.op.On, t.op.TargetGUID, t.instance, t.op.Actor))
	}
	return errors.Join(errs...)
}

// tryAgain puts off the clean-up of an orphan, or gives it up after many tries.
func (l *Loop) tryAgain(tx *store.Tx, t *task, why error) error {
	o := t.op
	if o.Attempts++; o.Attempts >= orphanTries {
		l.Log.Error("broker keeps what it was to delete: delete it there by hand", "broker", t.broker.Name, "on", o.On, "target", o.TargetGUID, "instance", o.InstanceGUID, "error", why)
		return store.ServiceOperations.Delete(tx, o.GUID)
	}
	pause := l.OrphanPause
	if pause == 0 {
		pause = orphanPause
	}
	o.Polling, o.BrokerOperation = false, ""
	o.NotBefore = tx.Now.Add(min(pause<<(o.Attempts-1), orphanPauseMax))
	return store.ServiceOperations.Put(tx, o)
}

func (t *task) succeed(tx *store.Tx, dashboard *string, bound osb.Bound) error {
	return t.succeedSaying(tx, dashboard, bound, "")
}

// succeedSaying ends an operation that the broker did, with what it said of it.
func (t *task) succeedSaying(tx *store.Tx, dashboard *string, bound osb.Bound, description string) error {
	if err := store.ServiceOperations.Delete(tx, t.op.GUID); err != nil || t.op.Orphan {
		return err
	}
	if t.op.Type == store.OperationDelete {
		return errors.Join(t.audit(tx, store.OperationDelete), t.remove(tx), serviceop.Complete(tx, t.op.JobGUID, nil))
	}
	var err error
	switch t.op.On {
	case store.OnInstance:
		err = t.made(tx, dashboard)
	case store.OnBinding:
		err = t.bound(bound)
	case store.OnRouteBinding:
		err = t.routeBound(tx, bound)
	}
	if err != nil {
		return t.takeBack(tx, err)
	}
	last := t.last()
	last.State, last.Description, last.UpdatedAt = store.OperationSucceeded, description, tx.Now
	return errors.Join(t.put(tx), t.tell(tx), t.audit(tx, t.op.Type), serviceop.Complete(tx, t.op.JobGUID, nil))
}

// takeBack fails an operation that the broker did in a way that the platform can't use.
func (t *task) takeBack(tx *store.Tx, why error) error {
	var known *unusableError
	if !errors.As(why, &known) {
		return why
	}
	if err := store.ServiceOperations.Put(tx, t.op); err != nil {
		return err
	}
	return fail(tx, t, why, true)
}

// unusableError is why what a broker gave can't be used.
type unusableError struct{ text string }

func (e *unusableError) Error() string { return e.text }

func (t *task) remove(tx *store.Tx) error {
	switch t.op.On {
	case store.OnBinding:
		return serviceop.RemoveBinding(tx, t.binding)
	case store.OnRouteBinding:
		return serviceop.RemoveRouteBinding(tx, t.route)
	}
	return serviceop.RemoveInstance(tx, t.instance)
}

// made brings into an instance what a creation or an update has changed.
func (t *task) made(tx *store.Tx, dashboard *string) error {
	i := t.instance
	if dashboard != nil && validURL(*dashboard) {
		i.DashboardURL = *dashboard
	}
	i.Unmade = false
	c := t.op.Change
	if c.PlanGUID != "" {
		i.PlanGUID = c.PlanGUID
	}
	if len(c.MaintenanceInfo) > 0 {
		i.MaintenanceInfo = c.MaintenanceInfo
	}
	if c.Tags != nil {
		i.Tags = *c.Tags
	}
	if c.Name != nil {
		taken, err := store.ServiceInstances.Find(tx, "space_name", i.SpaceGUID+"/"+*c.Name)
		if err == nil && taken.GUID != i.GUID {
			return nil // somebody was quicker with the name; all else is done
		}
		i.Name = *c.Name
	}
	return nil
}

// tell writes what somebody pays for.
func (t *task) tell(tx *store.Tx) error {
	switch {
	case t.op.On != store.OnInstance:
		return nil
	case t.op.Type == store.OperationCreate:
		return appusage.Service(tx, t.instance, appusage.Created)
	case t.op.Change.PlanGUID != "" || t.op.Change.Name != nil:
		return appusage.Service(tx, t.instance, appusage.Updated)
	}
	return nil
}

// bound brings into a binding what the broker gave.
func (t *task) bound(b osb.Bound) error {
	if b.VolumeMounts {
		return &unusableError{"The service broker gave volume mounts, which this platform does not have: use a plan without them"}
	}
	if b.SyslogDrainURL != "" && !slices.Contains(t.offering.Requires, "syslog_drain") {
		return &unusableError{"The service broker gave a syslog_drain_url, but its catalog does not say that the offering requires syslog_drain"}
	}
	if b.SyslogDrainURL != "" && !validURL(b.SyslogDrainURL) {
		return &unusableError{"The service broker gave a syslog_drain_url that is not a valid url"}
	}
	t.binding.Credentials, t.binding.SyslogDrainURL, t.binding.Unmade = b.Credentials, b.SyslogDrainURL, false
	return nil
}

// routeBound sends the route's requests where the broker says; it may say nothing.
func (t *task) routeBound(tx *store.Tx, b osb.Bound) error {
	if b.RouteServiceURL != "" {
		if u, err := url.Parse(b.RouteServiceURL); err != nil || u.Scheme != "https" || u.Host == "" || len(b.RouteServiceURL) > urlBytes {
			return &unusableError{"The service broker gave a route_service_url that is not a valid url that begins with https://"}
		}
	}
	t.route.RouteServiceURL, t.route.Unmade = b.RouteServiceURL, false
	return serviceop.SetRouteService(tx, t.route.RouteGUID, b.RouteServiceURL)
}

const urlBytes = 4096

func validURL(text string) bool {
	u, err := url.Parse(text)
	return err == nil && u.Host != "" && u.Scheme != "" && len(text) <= urlBytes
}

// jobError is the error of a job, in Cloud Foundry's codes.
func jobError(t *task, why error) *capi.Error {
	kind := capi.UnableToPerform
	var refused *osb.Error
	if errors.As(why, &refused) {
		kind = refused.APIKind()
	}
	return kind.Errorf("%s of service instance %s could not be completed: %s", verb(t.op), t.instance.Name, strings.TrimSuffix(why.Error(), "."))
}

// verb is what clients call the operation.
func verb(o *store.ServiceOperation) string {
	if o.On == store.OnInstance {
		return o.Type
	}
	if o.Type == store.OperationDelete {
		return "unbind"
	}
	return "bind"
}

// audit writes an audit event of the target, by who began the operation.
func (t *task) audit(tx *store.Tx, what string) error {
	target := store.Actor{GUID: t.op.TargetGUID, Type: "service_instance", Name: t.instance.Name}
	data := map[string]any{}
	place := t.instance.SpaceGUID
	switch {
	case t.binding != nil:
		target.Type, target.Name, place = "service_binding", t.binding.Name, t.binding.SpaceGUID
		if t.binding.Type == store.BindingKey {
			target.Type = "service_key"
		}
		data = map[string]any{"app_guid": t.binding.AppGUID, "service_instance_guid": t.instance.GUID}
	case t.route != nil:
		target.Type, target.Name, place = "service_route_binding", "", t.route.SpaceGUID
		data = map[string]any{"route_guid": t.route.RouteGUID, "service_instance_guid": t.instance.GUID}
	}
	space, err := store.Spaces.Get(tx, place)
	if err != nil {
		return err
	}
	raw, err := json.Marshal(data)
	if err != nil {
		return err
	}
	return store.AuditEvents.Put(tx, &store.AuditEvent{
		Type: fmt.Sprintf("audit.%s.%s", target.Type, what), Actor: t.op.Actor, Target: target, Data: raw, SpaceGUID: space.GUID, OrgGUID: space.OrgGUID,
	})
}

// auditStart tells that the broker has taken it on.
func (t *task) auditStart(tx *store.Tx) error {
	if t.op.Orphan {
		return nil
	}
	return t.audit(tx, "start_"+t.op.Type)
}
