package dataservice

import (
	"encoding/json"
	"errors"
	"fmt"
	"net/http"

	"github.com/cupola-paas/cupola/store"
)

// bindRequest is the body of bind.
type bindRequest struct {
	ServiceID    string `json:"service_id"`
	PlanID       string `json:"plan_id"`
	AppGUID      string `json:"app_guid"`
	BindResource struct {
		AppGUID string `json:"app_guid"`
		Route   string `json:"route"`
	} `json:"bind_resource"`
	Parameters  map[string]json.RawMessage `json:"parameters"`
	Predecessor string                     `json:"predecessor_binding_id"`
}

// bindResponse is what a binding is to the platform.
type bindResponse struct {
	Credentials map[string]any `json:"credentials"`
}

// binding reads the binding of a request.
func (b *Broker) binding(r *http.Request, absent error) (found *store.DataBinding, err error) {
	err = b.Manager.DB.View(func(tx *store.Tx) (err error) {
		found, err = store.DataBindings.Get(tx, r.PathValue("binding"))
		return err
	})
	if errors.Is(err, store.ErrNotFound) || err == nil && found.ServiceGUID != r.PathValue("instance") {
		return nil, absent
	}
	return found, err
}

// bind is PUT /v2/service_instances/:id/service_bindings/:id (OSB 2.17, "Binding"). It is done when it is answered.
func (b *Broker) bind(r *http.Request) (int, any, error) {
	var q bindRequest
	if err := decode(r, &q); err != nil {
		return 0, nil, err
	}
	if err := b.checkBind(&q); err != nil {
		return 0, nil, err
	}
	unlock, err := b.Manager.lock(r.Context(), r.PathValue("instance"))
	if err != nil {
		return 0, nil, err
	}
	defer unlock()
	s, err := b.instance(r, errNotThere)
	if err != nil {
		return 0, nil, err
	}
	switch {
	case inProgress(s):
		return 0, nil, errConcurrency
	case s.State != store.DataReady:
		return 0, nil, errNotThere
	case s.Disk == store.DataStopped:
		return 0, nil, errStoppedFull
	case q.ServiceID != s.OfferingID:
		return 0, nil, badRequest("service_id is not that of the service instance.")
	}
	return b.bindLocked(r, s, &q)
}

func (b *Broker) checkBind(q *bindRequest) error {
	if _, _, err := b.kind(q.ServiceID, q.PlanID); err != nil {
		return err
	}
	switch {
	case len(q.Parameters) > 0:
		return badRequest("A binding takes no parameters.")
	case q.BindResource.Route != "":
		return badRequest("The service is not one for routes.")
	}
	return nil
}

// bindLocked makes a binding, or answers for one that is there: the same again gives the same credentials.
func (b *Broker) bindLocked(r *http.Request, s *store.DataService, q *bindRequest) (int, any, error) {
	app := first(q.BindResource.AppGUID, q.AppGUID)
	if err := b.checkPredecessor(s, q.Predecessor); err != nil {
		return 0, nil, err
	}
	var have *store.DataBinding
	err := b.Manager.DB.View(func(tx *store.Tx) (err error) {
		have, err = store.DataBindings.Get(tx, r.PathValue("binding"))
		if errors.Is(err, store.ErrNotFound) {
			have, err = nil, nil
		}
		return err
	})
	if err != nil {
		return 0, nil, err
	}
	status := http.StatusCreated
	if have == nil {
		if err := b.roomForOne(s); err != nil {
			return 0, nil, err
		}
		have = &store.DataBinding{Meta: store.Meta{GUID: r.PathValue("binding")}, ServiceGUID: s.GUID, AppGUID: app, OfferingID: q.ServiceID, PlanID: q.PlanID}
	} else if have.ServiceGUID != s.GUID || have.AppGUID != app || have.OfferingID != q.ServiceID || have.PlanID != q.PlanID {
		return 0, nil, errConflict
	} else if have.Made {
		status = http.StatusOK
	}
	if status == http.StatusOK {
		credentials, err := b.Manager.credentials(s, have)
		return status, bindResponse{credentials}, err
	}
	credentials, err := b.Manager.bind(r.Context(), s, have)
	return status, bindResponse{credentials}, err
}

// roomForOne says when an instance has as many bindings as its server can tell apart.
func (b *Broker) roomForOne(s *store.DataService) error {
	o := b.Manager.offering(s)
	if o == nil || o.MaxBindings == 0 {
		return nil
	}
	all, err := b.Manager.bindings(s.GUID)
	if err == nil && len(all) >= o.MaxBindings {
		err = badRequest(fmt.Sprintf("An instance of %s can have %d bindings: unbind one first.", o.Name, o.MaxBindings))
	}
	return err
}

// checkPredecessor: a rotation names a binding of the same instance (OSB 2.17, "Binding Rotation").
func (b *Broker) checkPredecessor(s *store.DataService, guid string) error {
	if guid == "" {
		return nil
	}
	return b.Manager.DB.View(func(tx *store.Tx) error {
		old, err := store.DataBindings.Get(tx, guid)
		if errors.Is(err, store.ErrNotFound) || err == nil && old.ServiceGUID != s.GUID {
			return badRequest("predecessor_binding_id names no binding of the service instance.")
		}
		return err
	})
}

// fetchBinding is GET of a binding (OSB 2.17, "Fetching a Service Binding").
func (b *Broker) fetchBinding(r *http.Request) (int, any, error) {
	found, err := b.binding(r, errNotThere)
	if err != nil {
		return 0, nil, err
	}
	s, err := b.instance(r, errNotThere)
	if err != nil {
		return 0, nil, err
	}
	if !found.Made {
		return 0, nil, errNotThere
	}
	credentials, err := b.Manager.credentials(s, found)
	return http.StatusOK, bindResponse{credentials}, err
}

// unbind is DELETE of a binding (OSB 2.17, "Unbinding"). Its role is gone when it is answered.
func (b *Broker) unbind(r *http.Request) (int, any, error) {
	q := r.URL.Query()
	if q.Get("service_id") == "" || q.Get("plan_id") == "" {
		return 0, nil, badRequest("service_id and plan_id are required.")
	}
	unlock, err := b.Manager.lock(r.Context(), r.PathValue("instance"))
	if err != nil {
		return 0, nil, err
	}
	defer unlock()
	found, err := b.binding(r, errGone)
	if err != nil {
		return 0, nil, err
	}
	s, err := b.instance(r, errGone)
	if err != nil {
		return 0, nil, err
	}
	if q.Get("service_id") != found.OfferingID {
		return 0, nil, badRequest("service_id is not that of the binding.")
	}
	if inProgress(s) {
		return 0, nil, errConcurrency
	}
	return http.StatusOK, struct{}{}, b.Manager.unbind(r.Context(), s, found)
}

// lastBindingOperation answers for bindings, which are never made asynchronously.
func (b *Broker) lastBindingOperation(r *http.Request) (int, any, error) {
	found, err := b.binding(r, errGone)
	if err != nil {
		return 0, nil, err
	}
	if !found.Made {
		return 0, nil, errNotThere
	}
	return http.StatusOK, map[string]string{"state": store.OperationSucceeded}, nil
}
