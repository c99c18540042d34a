package store

import "time"

// Types of a ServiceInstance.
const (
	ServiceManaged      = "managed"
	ServiceUserProvided = "user-provided"
)

// ServiceInstance is what one space has: of a plan of the marketplace (managed), or of a service that the platform
// knows nothing of but its credentials (user-provided).
type ServiceInstance struct {
	Meta
	Name            string    `json:"name"`
	Type            string    `json:"type"`
	SpaceGUID       string    `json:"space_guid"`
	Tags            []string  `json:"tags,omitempty"`
	Credentials     []byte    `json:"credentials,omitempty"` // user-provided: a JSON object; all its bindings have them
	SyslogDrainURL  string    `json:"syslog_drain_url,omitempty"`
	RouteServiceURL string    `json:"route_service_url,omitempty"`
	LastOperation   Operation `json:"last_operation"`

	// Of a managed one. Unmade is set until the broker has made it.
	Unmade           bool     `json:"unmade,omitempty"`
	PlanGUID         string   `json:"plan_guid,omitempty"`
	DashboardURL     string   `json:"dashboard_url,omitempty"`
	MaintenanceInfo  []byte   `json:"maintenance_info,omitempty"` // a JSON object: of the version that it has
	SharedSpaceGUIDs []string `json:"shared_space_guids,omitempty"`
}

// Spaces are all in which the instance can be seen and bound: its own, then those that it is shared with.
func (i *ServiceInstance) Spaces() []string {
	return append([]string{i.SpaceGUID}, i.SharedSpaceGUIDs...)
}

// Types of a ServiceBinding.
const (
	BindingApp = "app"
	BindingKey = "key"
)

// ServiceBinding gives the credentials of a service instance to an app, or to people (a key).
type ServiceBinding struct {
	Meta
	Type           string    `json:"type"`
	Name           string    `json:"name,omitempty"`
	InstanceGUID   string    `json:"instance_guid"`
	SpaceGUID      string    `json:"space_guid"` // of the app, or for a key of the instance
	AppGUID        string    `json:"app_guid,omitempty"`
	Credentials    []byte    `json:"credentials,omitempty"` // a JSON object; empty for a user-provided instance, whose own count
	SyslogDrainURL string    `json:"syslog_drain_url,omitempty"`
	LastOperation  Operation `json:"last_operation"`
	// Unmade is set until the broker has made it: there are no credentials yet, or never will be.
	Unmade bool `json:"unmade,omitempty"`
}

// States of an Operation (CAPI v3, last_operation).
const (
	OperationInitial    = "initial"
	OperationInProgress = "in progress"
	OperationSucceeded  = "succeeded"
	OperationFailed     = "failed"
)

// Running reports whether the operation has not ended.
func (o Operation) Running() bool {
	return o.State == OperationInitial || o.State == OperationInProgress
}

// Operation is the last thing that was done to a service instance or binding.
type Operation struct {
	Type        string    `json:"type"` // create, update or delete
	State       string    `json:"state"`
	Description string    `json:"description,omitempty"`
	CreatedAt   time.Time `json:"created_at"`
	UpdatedAt   time.Time `json:"updated_at"`
}
