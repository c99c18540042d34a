package osb

import (
	"context"
	"encoding/json"
	"errors"
	"net/http"
	"net/url"
	"strings"
	"time"
)

// Instance names a service instance with the ids of the broker's catalog.
type Instance struct {
	ID, OfferingID, PlanID string
}

// Binding names a binding of an instance.
type Binding struct {
	Instance
	BindingID string
}

// Provision is the body of a creation (OSB, Provisioning).
type Provision struct {
	ServiceID       string          `json:"service_id"`
	PlanID          string          `json:"plan_id"`
	OrgGUID         string          `json:"organization_guid"`
	SpaceGUID       string          `json:"space_guid"`
	Context         any             `json:"context,omitempty"`
	Parameters      json.RawMessage `json:"parameters,omitempty"`
	MaintenanceInfo json.RawMessage `json:"maintenance_info,omitempty"`
}

// Update is the body of a change (OSB, Updating a Service Instance).
type Update struct {
	ServiceID       string          `json:"service_id"`
	PlanID          string          `json:"plan_id,omitempty"`
	Context         any             `json:"context,omitempty"`
	Parameters      json.RawMessage `json:"parameters,omitempty"`
	PreviousValues  PreviousValues  `json:"previous_values"`
	MaintenanceInfo json.RawMessage `json:"maintenance_info,omitempty"`
}

// PreviousValues is what an instance was before a change.
type PreviousValues struct {
	ServiceID       string          `json:"service_id,omitempty"`
	PlanID          string          `json:"plan_id,omitempty"`
	OrgGUID         string          `json:"organization_id,omitempty"`
	SpaceGUID       string          `json:"space_id,omitempty"`
	MaintenanceInfo json.RawMessage `json:"maintenance_info,omitempty"`
}

// Bind is the body of a binding (OSB, Binding).
type Bind struct {
	ServiceID    string          `json:"service_id"`
	PlanID       string          `json:"plan_id"`
	AppGUID      string          `json:"app_guid,omitempty"`
	BindResource map[string]any  `json:"bind_resource,omitempty"`
	Context      any             `json:"context,omitempty"`
	Parameters   json.RawMessage `json:"parameters,omitempty"`
}

// Result is what a broker answered to a creation, change or deletion that it did or took on.
type Result struct {
	// Async says that the broker works on it: ask LastOperation with Operation.
	Async      bool
	Operation  string
	RetryAfter time.Duration // until the first question; negative: the broker doesn't say
	// DashboardURL of an instance; nil: it says nothing.
	DashboardURL *string
	Bound        Bound
}

// Bound is what a binding has.
type Bound struct {
	Credentials     json.RawMessage // a JSON object, or nothing
	SyslogDrainURL  string
	RouteServiceURL string
	VolumeMounts    bool            // there are some
	Parameters      json.RawMessage // of a fetched binding
}

// States of a LastOperation.
const (
	InProgress = "in progress"
	Succeeded  = "succeeded"
	Failed     = "failed"
)

// LastOperation is how a broker gets on.
type LastOperation struct {
	State       string
	Description string
	RetryAfter  time.Duration // negative: the broker doesn't say
	Gone        bool          // it says that the thing isn't there (410), which ends a deletion well
}

func instancePath(id string) string { return "/v2/service_instances/" + url.PathEscape(id) }

func bindingPath(b Binding) string {
	return instancePath(b.ID) + "/service_bindings/" + url.PathEscape(b.BindingID)
}

func incomplete(q url.Values) url.Values { q.Set("accepts_incomplete", "true"); return q }

func ids(i Instance) url.Values {
	return url.Values{"service_id": {i.OfferingID}, "plan_id": {i.PlanID}}
}

// Provision makes a service instance.
func (c *Client) Provision(ctx context.Context, b Broker, id string, body Provision, who Identity) (*Result, error) {
	return c.change(ctx, b, call{method: http.MethodPut, path: instancePath(id), query: incomplete(url.Values{}), body: body, who: who},
		http.StatusOK, http.StatusCreated)
}

// Update changes a service instance.
func (c *Client) Update(ctx context.Context, b Broker, id string, body Update, who Identity) (*Result, error) {
	return c.change(ctx, b, call{method: http.MethodPatch, path: instancePath(id), query: incomplete(url.Values{}), body: body, who: who}, http.StatusOK)
}

// Deprovision deletes a service instance. One that the broker does not have is an *Error of kind Gone.
func (c *Client) Deprovision(ctx context.Context, b Broker, i Instance, who Identity) (*Result, error) {
	return c.change(ctx, b, call{method: http.MethodDelete, path: instancePath(i.ID), query: incomplete(ids(i)), who: who}, http.StatusOK)
}

// Bind makes a binding.
func (c *Client) Bind(ctx context.Context, b Broker, binding Binding, body Bind, who Identity) (*Result, error) {
	return c.change(ctx, b, call{method: http.MethodPut, path: bindingPath(binding), query: incomplete(url.Values{}), body: body, who: who},
		http.StatusOK, http.StatusCreated)
}

// Unbind deletes a binding. One that the broker does not have is an *Error of kind Gone.
func (c *Client) Unbind(ctx context.Context, b Broker, binding Binding, who Identity) (*Result, error) {
	return c.change(ctx, b, call{method: http.MethodDelete, path: bindingPath(binding), query: incomplete(ids(binding.Instance)), who: who}, http.StatusOK)
}

// change sends a request and reads its answer, whose status must be one of done, or 202.
func (c *Client) change(ctx context.Context, b Broker, r call, done ...int) (*Result, error) {
	a, err := c.do(ctx, b, r)
	if err != nil {
		return nil, err
	}
	async := a.status == http.StatusAccepted
	if !async && a.status != done[0] && (len(done) < 2 || a.status != done[1]) {
		return nil, a.problem()
	}
	var body struct {
		Operation       string          `json:"operation"`
		DashboardURL    *string         `json:"dashboard_url"`
		Credentials     json.RawMessage `json:"credentials"`
		SyslogDrainURL  string          `json:"syslog_drain_url"`
		RouteServiceURL string          `json:"route_service_url"`
		VolumeMounts    []any           `json:"volume_mounts"`
	}
	if err := a.object(&body); err != nil {
		return nil, a.malformed(err)
	}
	if err := isObject(body.Credentials); err != nil {
		return nil, a.malformed(err)
	}
	if len(body.Operation) > 10000 {
		return nil, a.malformed(errors.New("the answer's operation has more than 10,000 characters"))
	}
	return &Result{
		Async: async, Operation: body.Operation, RetryAfter: a.retryAfter, DashboardURL: body.DashboardURL,
		Bound: Bound{Credentials: notNull(body.Credentials), SyslogDrainURL: body.SyslogDrainURL, RouteServiceURL: body.RouteServiceURL, VolumeMounts: len(body.VolumeMounts) > 0},
	}, nil
}

func notNull(raw json.RawMessage) json.RawMessage {
	if string(raw) == "null" {
		return nil
	}
	return raw
}

func isObject(raw json.RawMessage) error {
	if text := strings.TrimSpace(string(raw)); text != "" && text != "null" && text[0] != '{' {
		return errors.New("the answer's credentials are not a JSON object")
	}
	return nil
}

// InstanceOperation asks how far the broker is with an instance.
func (c *Client) InstanceOperation(ctx context.Context, b Broker, i Instance, operation string, who Identity) (*LastOperation, error) {
	return c.lastOperation(ctx, b, instancePath(i.ID), i, operation, who)
}

// BindingOperation asks how far the broker is with a binding.
func (c *Client) BindingOperation(ctx context.Context, b Broker, binding Binding, operation string, who Identity) (*LastOperation, error) {
	return c.lastOperation(ctx, b, bindingPath(binding), binding.Instance, operation, who)
}

func (c *Client) lastOperation(ctx context.Context, b Broker, path string, i Instance, operation string, who Identity) (*LastOperation, error) {
	query := ids(i)
	if operation != "" {
		query.Set("operation", operation)
	}
	r := call{method: http.MethodGet, path: path + "/last_operation", query: query, who: who}
	a, err := c.do(ctx, b, r)
	if err != nil {
		return nil, err
	}
	switch a.status {
	case http.StatusOK:
	case http.StatusGone:
		return &LastOperation{Gone: true, RetryAfter: -1}, nil
	default:
		return nil, a.problem()
	}
	var body struct {
		State       string `json:"state"`
		Description string `json:"description"`
	}
	if err := a.object(&body); err != nil {
		return nil, a.malformed(err)
	}
	switch body.State {
	case InProgress, Succeeded, Failed:
		return &LastOperation{State: body.State, Description: a.say(body.Description), RetryAfter: a.retryAfter}, nil
	}
	return nil, a.malformed(errors.New("the answer's state must be 'in progress', 'succeeded' or 'failed'"))
}

// Fetched is what a broker tells of an instance that it lets be fetched.
type Fetched struct {
	PlanID       string
	DashboardURL string
	Parameters   json.RawMessage // a JSON object
}

// FetchInstance asks for an instance (OSB, Fetching a Service Instance). A 404 is an *Error of kind Rejected.
func (c *Client) FetchInstance(ctx context.Context, b Broker, i Instance, who Identity) (*Fetched, error) {
	var body struct {
		PlanID       string          `json:"plan_id"`
		DashboardURL string          `json:"dashboard_url"`
		Parameters   json.RawMessage `json:"parameters"`
	}
	err := c.fetch(ctx, b, call{method: http.MethodGet, path: instancePath(i.ID), query: ids(i), who: who}, &body)
	if err != nil {
		return nil, err
	}
	return &Fetched{PlanID: body.PlanID, DashboardURL: body.DashboardURL, Parameters: orEmpty(body.Parameters)}, nil
}

// FetchBinding asks for a binding (OSB, Fetching a Service Binding).
func (c *Client) FetchBinding(ctx context.Context, b Broker, binding Binding, who Identity) (*Bound, error) {
	var body struct {
		Credentials     json.RawMessage `json:"credentials"`
		SyslogDrainURL  string          `json:"syslog_drain_url"`
		RouteServiceURL string          `json:"route_service_url"`
		VolumeMounts    []any           `json:"volume_mounts"`
		Parameters      json.RawMessage `json:"parameters"`
	}
	r := call{method: http.MethodGet, path: bindingPath(binding), query: ids(binding.Instance), who: who}
	if err := c.fetch(ctx, b, r, &body); err != nil {
		return nil, err
	}
	if err := isObject(body.Credentials); err != nil {
		return nil, (&answer{status: http.StatusOK}).malformed(err)
	}
	return &Bound{
		Credentials: notNull(body.Credentials), SyslogDrainURL: body.SyslogDrainURL, RouteServiceURL: body.RouteServiceURL,
		VolumeMounts: len(body.VolumeMounts) > 0, Parameters: orEmpty(body.Parameters),
	}, nil
}

func (c *Client) fetch(ctx context.Context, b Broker, r call, dst any) error {
	a, err := c.do(ctx, b, r)
	if err != nil {
		return err
	}
	if a.status != http.StatusOK {
		return a.problem()
	}
	if err := a.object(dst); err != nil {
		return a.malformed(err)
	}
	return nil
}

func orEmpty(raw json.RawMessage) json.RawMessage {
	if text := strings.TrimSpace(string(raw)); text == "" || text[0] != '{' {
		return json.RawMessage("{}")
	}
	return raw
}
