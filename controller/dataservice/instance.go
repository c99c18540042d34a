package dataservice

import (
	"crypto/rand"
	"encoding/hex"
	"encoding/json"
	"errors"
	"net/http"

	"github.com/cupola-paas/cupola/store"
)

// platformContext is the part of the context object that is kept (OSB 2.17, "Context Object").
type platformContext struct {
	OrgGUID      string `json:"organization_guid"`
	SpaceGUID    string `json:"space_guid"`
	InstanceName string `json:"instance_name"`
}

// instanceRequest is the body of provision and update.
type instanceRequest struct {
	ServiceID       string                     `json:"service_id"`
	PlanID          string                     `json:"plan_id"`
	Context         platformContext            `json:"context"`
	OrgGUID         string                     `json:"organization_guid"`
	SpaceGUID       string                     `json:"space_guid"`
	Parameters      map[string]json.RawMessage `json:"parameters"`
	MaintenanceInfo *maintenanceInfo           `json:"maintenance_info"`
}

func (q *instanceRequest) check(version string) error {
	if len(q.Parameters) > 0 {
		return badRequest("The plan takes no parameters.")
	}
	if q.MaintenanceInfo != nil && q.MaintenanceInfo.Version != version {
		return errMaintenance
	}
	return nil
}

func acceptsIncomplete(r *http.Request) bool {
	return r.URL.Query().Get("accepts_incomplete") == "true"
}

func newOperationID() string {
	var b [8]byte
	rand.Read(b[:]) // never fails
	return hex.EncodeToString(b[:])
}

func inProgress(s *store.DataService) bool { return s.Operation.State == store.OperationInProgress }

// begin writes a new operation into s.
func beginOperation(tx *store.Tx, s *store.DataService, kind string) {
	s.OperationID = newOperationID()
	s.Operation = store.Operation{Type: kind, State: store.OperationInProgress, CreatedAt: tx.Now, UpdatedAt: tx.Now}
}

// provision is PUT /v2/service_instances/:id (OSB 2.17, "Provisioning").
func (b *Broker) provision(r *http.Request) (int, any, error) {
	var q instanceRequest
	if err := decode(r, &q); err != nil {
		return 0, nil, err
	}
	o, p, err := b.kind(q.ServiceID, q.PlanID)
	if err != nil {
		return 0, nil, err
	}
	version, err := b.Manager.version(o)
	if err == nil {
		err = q.check(version)
	}
	if err != nil {
		return 0, nil, err
	}
	if !acceptsIncomplete(r) {
		return 0, nil, errAsyncRequired
	}
	guid := r.PathValue("instance")
	var was *store.DataService
	done, forget := b.Manager.expect(guid)
	defer forget()
	err = b.Manager.DB.Update(func(tx *store.Tx) error {
		s, err := store.DataServices.Get(tx, guid)
		if err == nil {
			was = s
			return nil
		}
		if !errors.Is(err, store.ErrNotFound) {
			return err
		}
		s = &store.DataService{
			Meta: store.Meta{GUID: guid}, OfferingID: o.ID, PlanID: p.ID, Ports: o.Ports, State: store.DataCreating, Name: q.Context.InstanceName,
			OrgGUID: first(q.Context.OrgGUID, q.OrgGUID), SpaceGUID: first(q.Context.SpaceGUID, q.SpaceGUID), Secrets: map[string]string{},
		}
		for _, name := range o.Secrets {
			s.Secrets[name] = newSecret()
		}
		beginOperation(tx, s, "create")
		return store.DataServices.Put(tx, s)
	})
	if err != nil {
		return 0, nil, err
	}
	if was != nil {
		return provisionedBefore(was, o, p)
	}
	s, err := b.settle(r.Context(), guid, done)
	switch {
	case err != nil:
		return 0, nil, err
	case s == nil || s.State == store.DataFailed:
		// The platform learns the reason by polling, and cleans up (OSB 2.17, "Orphan Mitigation").
		return http.StatusAccepted, pendingOf(s), nil
	case inProgress(s):
		return http.StatusAccepted, pendingOf(s), nil
	}
	return http.StatusCreated, struct{}{}, nil
}

func first(a, b string) string {
	if a != "" {
		return a
	}
	return b
}

func pendingOf(s *store.DataService) *pendingResponse {
	if s == nil {
		return &pendingResponse{}
	}
	return &pendingResponse{Operation: s.OperationID}
}

// provisionedBefore answers a request for an instance that exists: the same again is no error.
func provisionedBefore(s *store.DataService, o *Offering, p *Plan) (int, any, error) {
	same := s.OfferingID == o.ID && s.PlanID == p.ID
	switch {
	case same && s.State == store.DataCreating:
		return http.StatusAccepted, pendingOf(s), nil
	case same && s.State == store.DataReady:
		return http.StatusOK, struct{}{}, nil
	case s.State == store.DataDeleting:
		return 0, nil, errConcurrency
	}
	return 0, nil, errConflict
}

// fetch is GET /v2/service_instances/:id (OSB 2.17, "Fetching a Service Instance").
func (b *Broker) fetch(r *http.Request) (int, any, error) {
	s, err := b.instance(r, errNotThere)
	if err != nil {
		return 0, nil, err
	}
	switch s.State {
	case store.DataUpdating, store.DataRestoring:
		return 0, nil, errConcurrency
	case store.DataReady:
	default:
		return 0, nil, errNotThere
	}
	out := map[string]any{"service_id": s.OfferingID, "plan_id": s.PlanID, "parameters": map[string]any{}}
	if s.Version != "" {
		out["maintenance_info"] = maintenanceInfo{Version: s.Version}
	}
	return http.StatusOK, out, nil
}

// update is PATCH /v2/service_instances/:id (OSB 2.17, "Updating a Service Instance").
func (b *Broker) update(r *http.Request) (int, any, error) {
	var q instanceRequest
	if err := decode(r, &q); err != nil {
		return 0, nil, err
	}
	s, err := b.instance(r, errNotThere)
	if err != nil {
		return 0, nil, err
	}
	o := b.Manager.Catalogue.offering(q.ServiceID)
	plan := first(q.PlanID, s.PlanID)
	switch {
	case q.ServiceID == "":
		return 0, nil, badRequest("service_id is required.")
	case o == nil || q.ServiceID != s.OfferingID:
		return 0, nil, badRequest("service_id is not that of the service instance.")
	case o.plan(plan) == nil:
		return 0, nil, badRequest("plan_id names no plan of the service.")
	}
	version, err := b.Manager.version(o)
	if err == nil {
		err = q.check(version)
	}
	if err != nil {
		return 0, nil, err
	}
	upgrade := q.MaintenanceInfo != nil && s.Version != version
	if (plan != s.PlanID || upgrade) && !acceptsIncomplete(r) {
		return 0, nil, errAsyncRequired
	}
	done, forget := b.Manager.expect(s.GUID)
	defer forget()
	err = b.Manager.change(s.GUID, func(tx *store.Tx, now *store.DataService) error {
		switch {
		case inProgress(now):
			return errConcurrency
		case now.State != store.DataReady:
			return errNotThere
		}
		now.Name = first(q.Context.InstanceName, now.Name)
		if upgrade {
			if err := b.Manager.beginUpgrade(tx, now); err != nil {
				return err
			}
		}
		if plan != now.PlanID || upgrade {
			now.State, now.NextPlanID = store.DataUpdating, plan
			beginOperation(tx, now, "update")
		}
		return nil
	})
	if err != nil || plan == s.PlanID && !upgrade {
		return http.StatusOK, struct{}{}, err
	}
	after, err := b.settle(r.Context(), s.GUID, done)
	switch {
	case err != nil:
		return 0, nil, err
	case after == nil || inProgress(after) || after.Operation.State == store.OperationFailed:
		return http.StatusAccepted, pendingOf(after), nil
	}
	return http.StatusOK, struct{}{}, nil
}

// deprovision is DELETE /v2/service_instances/:id (OSB 2.17, "Deprovisioning"). The data stays for KeepDeleted if the
// instance was ever usable.
func (b *Broker) deprovision(r *http.Request) (int, any, error) {
	q := r.URL.Query()
	if q.Get("service_id") == "" || q.Get("plan_id") == "" {
		return 0, nil, badRequest("service_id and plan_id are required.")
	}
	s, err := b.instance(r, errGone)
	if err != nil {
		return 0, nil, err
	}
	if q.Get("service_id") != s.OfferingID {
		return 0, nil, badRequest("service_id is not that of the service instance.")
	}
	if s.State != store.DataDeleted && !acceptsIncomplete(r) {
		return 0, nil, errAsyncRequired
	}
	done, forget := b.Manager.expect(s.GUID)
	defer forget()
	err = b.Manager.change(s.GUID, func(tx *store.Tx, now *store.DataService) error {
		switch now.State {
		case store.DataDeleting:
			return nil
		case store.DataDeleted:
			return errGone
		case store.DataCreating, store.DataUpdating, store.DataRestoring:
			return errConcurrency
		case store.DataReady:
			now.PurgeAt = tx.Now.Add(KeepDeleted)
		}
		now.State = store.DataDeleting
		beginOperation(tx, now, "delete")
		return nil
	})
	if err != nil {
		return 0, nil, err
	}
	after, err := b.settle(r.Context(), s.GUID, done)
	if err != nil {
		return 0, nil, err
	}
	if after == nil || after.State == store.DataDeleted {
		return http.StatusOK, struct{}{}, nil
	}
	return http.StatusAccepted, pendingOf(after), nil
}

// lastOperation is GET /v2/service_instances/:id/last_operation (OSB 2.17, "Polling Last Operation for Service Instances").
func (b *Broker) lastOperation(r *http.Request) (int, any, error) {
	s, err := b.instance(r, errGone)
	if err != nil {
		return 0, nil, err
	}
	q := r.URL.Query()
	if id := q.Get("service_id"); id != "" && id != s.OfferingID {
		return 0, nil, badRequest("service_id is not that of the service instance.")
	}
	if op := q.Get("operation"); op != "" && op != s.OperationID {
		return 0, nil, badRequest("operation is not the last one of the service instance.")
	}
	if s.State == store.DataDeleted {
		return 0, nil, errGone
	}
	out := map[string]any{"state": s.Operation.State}
	if s.Operation.Description != "" {
		out["description"] = s.Operation.Description
	}
	if s.Operation.State == store.OperationFailed {
		out["instance_usable"], out["update_repeatable"] = s.State == store.DataReady, true
	}
	return http.StatusOK, out, nil
}
