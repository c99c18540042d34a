package capi

import "encoding/json"

// Types of a ServiceInstance and of a ServiceCredentialBinding.
const (
	ServiceManaged      = "managed"
	ServiceUserProvided = "user-provided"
	BindingApp          = "app"
	BindingKey          = "key"
)

// ServiceInstance is a service instance. What a user-provided one has and a managed one has not is absent there.
type ServiceInstance struct {
	Resource
	Name             string                       `json:"name"`
	Type             string                       `json:"type"`
	Tags             Array[string]                `json:"tags"`
	LastOperation    LastOperation                `json:"last_operation"`
	SyslogDrainURL   Optional[string]             `json:"syslog_drain_url,omitzero"`
	RouteServiceURL  Optional[string]             `json:"route_service_url,omitzero"`
	MaintenanceInfo  json.RawMessage              `json:"maintenance_info,omitempty"` // this and the two below: of a managed one
	UpgradeAvailable *bool                        `json:"upgrade_available,omitempty"`
	DashboardURL     Optional[string]             `json:"dashboard_url,omitzero"`
	Data             *DataService                 `json:"data_service,omitempty"`
	Relationships    ServiceInstanceRelationships `json:"relationships"`
	Metadata         Metadata                     `json:"metadata"`
	Links            Links                        `json:"links"`
}

// ServiceInstanceRelationships of a ServiceInstance; ServicePlan is there for a managed one.
type ServiceInstanceRelationships struct {
	Space       ToOne  `json:"space"`
	ServicePlan *ToOne `json:"service_plan,omitempty"`
}

// LastOperation is the last thing that was done to a service instance or binding.
type LastOperation struct {
	Type        string `json:"type"`
	State       string `json:"state"`
	Description string `json:"description"`
	CreatedAt   Time   `json:"created_at"`
	UpdatedAt   Time   `json:"updated_at"`
}

// ServiceInstanceCreate is the body of POST /v3/service_instances.
type ServiceInstanceCreate struct {
	Type            string                   `json:"type"`
	Name            string                   `json:"name"`
	Tags            []string                 `json:"tags,omitempty"`
	Parameters      json.RawMessage          `json:"parameters,omitempty"`
	Credentials     json.RawMessage          `json:"credentials,omitempty"`
	SyslogDrainURL  *string                  `json:"syslog_drain_url,omitempty"`
	RouteServiceURL *string                  `json:"route_service_url,omitempty"`
	Relationships   ServiceInstanceRelatesTo `json:"relationships"`
	Metadata        *MetadataPatch           `json:"metadata,omitempty"`
}

// ServiceInstanceRelatesTo names the space and, for a managed service instance, the plan.
type ServiceInstanceRelatesTo struct {
	Space       *ToOne `json:"space,omitempty"`
	ServicePlan *ToOne `json:"service_plan,omitempty"`
}

// ServiceInstanceUpdate is the body of PATCH /v3/service_instances/:guid.
type ServiceInstanceUpdate struct {
	Name            *string                   `json:"name,omitempty"`
	Tags            Optional[[]string]        `json:"tags,omitzero"`
	Parameters      json.RawMessage           `json:"parameters,omitempty"`
	Credentials     json.RawMessage           `json:"credentials,omitempty"`
	SyslogDrainURL  Optional[string]          `json:"syslog_drain_url,omitzero"`
	RouteServiceURL Optional[string]          `json:"route_service_url,omitzero"`
	Relationships   *ServiceInstanceRelatesTo `json:"relationships,omitempty"`
	MaintenanceInfo json.RawMessage           `json:"maintenance_info,omitempty"`
	Metadata        *MetadataPatch            `json:"metadata,omitempty"`
}

// ServicePermissions is what the caller may do with a service instance.
type ServicePermissions struct {
	Manage bool `json:"manage"`
	Read   bool `json:"read"`
}

// ServiceCredentialBinding gives a service instance's credentials to an app, or is a key.
type ServiceCredentialBinding struct {
	Resource
	Name          *string              `json:"name"`
	Type          string               `json:"type"`
	LastOperation LastOperation        `json:"last_operation"`
	Relationships BindingRelationships `json:"relationships"`
	Metadata      Metadata             `json:"metadata"`
	Links         Links                `json:"links"`
}

// BindingRelationships of a ServiceCredentialBinding; a key has no app.
type BindingRelationships struct {
	App             *ToOne `json:"app,omitempty"`
	ServiceInstance *ToOne `json:"service_instance,omitempty"`
}

// BindingCreate is the body of POST /v3/service_credential_bindings.
type BindingCreate struct {
	Type          string               `json:"type"`
	Name          *string              `json:"name,omitempty"`
	Parameters    json.RawMessage      `json:"parameters,omitempty"`
	Strategy      string               `json:"strategy,omitempty"` // single (also empty) or multiple
	Relationships BindingRelationships `json:"relationships"`
	Metadata      *MetadataPatch       `json:"metadata,omitempty"`
}

// BindingDetails is what an app gets from a binding.
type BindingDetails struct {
	Credentials    json.RawMessage        `json:"credentials"`
	SyslogDrainURL string                 `json:"syslog_drain_url,omitempty"`
	VolumeMounts   Array[json.RawMessage] `json:"volume_mounts"`
}
