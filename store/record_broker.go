package store

import "time"

// ServiceBroker sells service offerings over the Open Service Broker API.
type ServiceBroker struct {
	Meta
	Name      string `json:"name"`
	URL       string `json:"url"`
	Username  string `json:"username"`
	Password  string `json:"password"`
	SpaceGUID string `json:"space_guid,omitempty"` // its plans are for this space alone
	BuiltIn   bool   `json:"built_in,omitempty"`   // the platform's own: nobody can change or delete it
}

// ServiceOffering is what a broker sells, as its catalog says (OSB, Service Offering Object).
type ServiceOffering struct {
	Meta
	BrokerGUID           string   `json:"broker_guid"`
	SpaceGUID            string   `json:"space_guid,omitempty"` // of the broker
	CatalogID            string   `json:"catalog_id"`
	Name                 string   `json:"name"`
	Description          string   `json:"description"`
	Available            bool     `json:"available"` // it stands in the catalog
	Tags                 []string `json:"tags,omitempty"`
	Requires             []string `json:"requires,omitempty"` // route_forwarding, syslog_drain, volume_mount
	Bindable             bool     `json:"bindable"`
	PlanUpdateable       bool     `json:"plan_updateable"`
	InstancesRetrievable bool     `json:"instances_retrievable"`
	BindingsRetrievable  bool     `json:"bindings_retrievable"`
	AllowContextUpdates  bool     `json:"allow_context_updates"`
	Shareable            bool     `json:"shareable"`
	DocumentationURL     string   `json:"documentation_url,omitempty"`
	Metadata             []byte   `json:"metadata,omitempty"`            // a JSON object
	DashboardClientID    string   `json:"dashboard_client_id,omitempty"` // of the OAuth2 client that we made for it
}

// ServicePlan is a size or kind of an offering (OSB, Service Plan Object), with who may use it.
type ServicePlan struct {
	Meta
	OfferingGUID    string        `json:"offering_guid"`
	BrokerGUID      string        `json:"broker_guid"`
	SpaceGUID       string        `json:"space_guid,omitempty"` // of the broker
	CatalogID       string        `json:"catalog_id"`
	Name            string        `json:"name"`
	Description     string        `json:"description"`
	Available       bool          `json:"available"` // it stands in the catalog
	Free            bool          `json:"free"`
	Bindable        bool          `json:"bindable"`
	PlanUpdateable  bool          `json:"plan_updateable"`
	Public          bool          `json:"public,omitempty"`    // for everybody
	OrgGUIDs        []string      `json:"org_guids,omitempty"` // or for these
	MaximumPolling  time.Duration `json:"maximum_polling,omitempty"`
	MaintenanceInfo []byte        `json:"maintenance_info,omitempty"` // this and the others: JSON objects
	Metadata        []byte        `json:"metadata,omitempty"`
	CreateSchema    []byte        `json:"create_schema,omitempty"`
	UpdateSchema    []byte        `json:"update_schema,omitempty"`
	BindSchema      []byte        `json:"bind_schema,omitempty"`
}

// PublicPlan is the value of the index "visible" of plans for everybody.
const PublicPlan = "public"

// ServiceRouteBinding sends the requests of a route through a service instance.
type ServiceRouteBinding struct {
	Meta
	InstanceGUID    string    `json:"instance_guid"`
	RouteGUID       string    `json:"route_guid"`
	SpaceGUID       string    `json:"space_guid"`
	RouteServiceURL string    `json:"route_service_url,omitempty"`
	Unmade          bool      `json:"unmade,omitempty"` // the broker has not made it
	LastOperation   Operation `json:"last_operation"`
}

// What a ServiceOperation works on.
const (
	OnBroker       = "service_broker"
	OnInstance     = "service_instance"
	OnBinding      = "service_credential_binding"
	OnRouteBinding = "service_route_binding"
)

// Types of an Operation.
const (
	OperationCreate = "create"
	OperationUpdate = "update"
	OperationDelete = "delete"
)

// ServiceOperation is something that a broker is to be asked for, or was asked for and has not ended. The services
// loop works off these records and deletes each when it has ended.
type ServiceOperation struct {
	Meta
	On         string `json:"on"`
	Type       string `json:"type"`
	TargetGUID string `json:"target_guid"` // of the broker, instance or binding
	// Orphan is set when there is no record of the target any more, or none that is of use: the broker is asked to
	// delete what it may have, several times if need be, and nobody waits for it.
	Orphan       bool          `json:"orphan,omitempty"`
	BrokerGUID   string        `json:"broker_guid"`
	InstanceGUID string        `json:"instance_guid,omitempty"` // of the target, or of its binding
	OfferingID   string        `json:"offering_id,omitempty"`   // the broker's own id, for orphans
	PlanID       string        `json:"plan_id,omitempty"`
	JobGUID      string        `json:"job_guid,omitempty"` // that tells of it; empty: none
	Actor        Actor         `json:"actor"`
	Parameters   []byte        `json:"parameters,omitempty"` // a JSON object
	Change       ServiceChange `json:"change,omitzero"`      // of an update
	Broker       BrokerChange  `json:"broker,omitzero"`      // of a broker's update

	Polling         bool      `json:"polling,omitempty"`          // the broker has taken it on and is asked how it gets on
	BrokerOperation string    `json:"broker_operation,omitempty"` // what the broker calls it
	Attempts        int       `json:"attempts,omitempty"`
	NotBefore       time.Time `json:"not_before,omitzero"` // of the next step
	Deadline        time.Time `json:"deadline,omitzero"`   // when the broker must have ended it
}

// ServiceChange is what an update makes of a service instance once the broker has done it. Nil leaves a thing as it is.
type ServiceChange struct {
	Name            *string   `json:"name,omitempty"`
	PlanGUID        string    `json:"plan_guid,omitempty"`
	MaintenanceInfo []byte    `json:"maintenance_info,omitempty"`
	Tags            *[]string `json:"tags,omitempty"`
}

// BrokerChange is what an update makes of a broker once its catalog could be read so. Empty leaves a thing as it is.
type BrokerChange struct {
	Name     string `json:"name,omitempty"`
	URL      string `json:"url,omitempty"`
	Username string `json:"username,omitempty"`
	Password string `json:"password,omitempty"`
}
