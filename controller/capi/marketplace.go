package capi

import "encoding/json"

// ServiceBroker sells service offerings.
type ServiceBroker struct {
	Resource
	Name          string              `json:"name"`
	URL           string              `json:"url"`
	Relationships BrokerRelationships `json:"relationships"`
	Metadata      Metadata            `json:"metadata"`
	Links         Links               `json:"links"`
}

// BrokerRelationships of a ServiceBroker: the space of one that is for that space alone.
type BrokerRelationships struct {
	Space *ToOne `json:"space,omitempty"`
}

// BrokerCreate is the body of POST /v3/service_brokers.
type BrokerCreate struct {
	Name           string                `json:"name"`
	URL            string                `json:"url"`
	Authentication *BrokerAuthentication `json:"authentication,omitempty"`
	Relationships  BrokerRelationships   `json:"relationships"`
	Metadata       *MetadataPatch        `json:"metadata,omitempty"`
}

// BrokerUpdate is the body of PATCH /v3/service_brokers/:guid.
type BrokerUpdate struct {
	Name           *string               `json:"name,omitempty"`
	URL            *string               `json:"url,omitempty"`
	Authentication *BrokerAuthentication `json:"authentication,omitempty"`
	Metadata       *MetadataPatch        `json:"metadata,omitempty"`
}

// BrokerAuthentication is how the platform logs in at a broker; the type is basic.
type BrokerAuthentication struct {
	Type        string            `json:"type"`
	Credentials BrokerCredentials `json:"credentials"`
}

// BrokerCredentials are those of basic authentication.
type BrokerCredentials struct {
	Username string `json:"username"`
	Password string `json:"password"`
}

// ServiceOffering is what a broker sells.
type ServiceOffering struct {
	Resource
	Name             string                `json:"name"`
	Description      string                `json:"description"`
	Available        bool                  `json:"available"`
	Tags             Array[string]         `json:"tags"`
	Requires         Array[string]         `json:"requires"`
	Shareable        bool                  `json:"shareable"`
	DocumentationURL *string               `json:"documentation_url"`
	BrokerCatalog    OfferingCatalog       `json:"broker_catalog"`
	Relationships    OfferingRelationships `json:"relationships"`
	Metadata         Metadata              `json:"metadata"`
	Links            Links                 `json:"links"`
}

// OfferingCatalog is what the broker's catalog says of an offering.
type OfferingCatalog struct {
	ID       string           `json:"id"`
	Metadata json.RawMessage  `json:"metadata"`
	Features OfferingFeatures `json:"features"`
}

// OfferingFeatures are what an offering can do.
type OfferingFeatures struct {
	PlanUpdateable       bool `json:"plan_updateable"`
	Bindable             bool `json:"bindable"`
	InstancesRetrievable bool `json:"instances_retrievable"`
	BindingsRetrievable  bool `json:"bindings_retrievable"`
	AllowContextUpdates  bool `json:"allow_context_updates"`
}

// OfferingRelationships of a ServiceOffering.
type OfferingRelationships struct {
	ServiceBroker ToOne `json:"service_broker"`
}

// Values of ServicePlan.VisibilityType.
const (
	VisibilityPublic       = "public"
	VisibilityAdmin        = "admin"
	VisibilityOrganization = "organization"
	VisibilitySpace        = "space"
)

// ServicePlan is a size or kind of an offering.
type ServicePlan struct {
	Resource
	Name            string            `json:"name"`
	VisibilityType  string            `json:"visibility_type"`
	Available       bool              `json:"available"`
	Free            bool              `json:"free"`
	Costs           Array[PlanCost]   `json:"costs"`
	Description     string            `json:"description"`
	MaintenanceInfo json.RawMessage   `json:"maintenance_info"`
	BrokerCatalog   PlanCatalog       `json:"broker_catalog"`
	Schemas         PlanSchemas       `json:"schemas"`
	Relationships   PlanRelationships `json:"relationships"`
	Metadata        Metadata          `json:"metadata"`
	Links           Links             `json:"links"`
}

// PlanCost is what a plan costs.
type PlanCost struct {
	Amount   float64 `json:"amount"`
	Currency string  `json:"currency"`
	Unit     string  `json:"unit"`
}

// PlanCatalog is what the broker's catalog says of a plan.
type PlanCatalog struct {
	ID                     string          `json:"id"`
	Metadata               json.RawMessage `json:"metadata"`
	MaximumPollingDuration *int            `json:"maximum_polling_duration"` // seconds
	Features               PlanFeatures    `json:"features"`
}

// PlanFeatures are what a plan can do.
type PlanFeatures struct {
	PlanUpdateable bool `json:"plan_updateable"`
	Bindable       bool `json:"bindable"`
}

// PlanSchemas are the JSON Schemas of parameters; each is an object, empty where anything goes.
type PlanSchemas struct {
	ServiceInstance struct {
		Create ParametersSchema `json:"create"`
		Update ParametersSchema `json:"update"`
	} `json:"service_instance"`
	ServiceBinding struct {
		Create ParametersSchema `json:"create"`
	} `json:"service_binding"`
}

// ParametersSchema holds a JSON Schema.
type ParametersSchema struct {
	Parameters json.RawMessage `json:"parameters"`
}

// PlanRelationships of a ServicePlan; Space is that of a broker for one space.
type PlanRelationships struct {
	ServiceOffering ToOne  `json:"service_offering"`
	Space           *ToOne `json:"space,omitempty"`
}

// PlanVisibility says who may use a plan.
type PlanVisibility struct {
	Type          string             `json:"type"`
	Organizations []PlanOrganization `json:"organizations,omitempty"`
	Space         *PlanSpace         `json:"space,omitempty"`
}

// PlanOrganization is an org that may use a plan.
type PlanOrganization struct {
	GUID string `json:"guid"`
	Name string `json:"name,omitempty"`
}

// PlanSpace is the space that may use a plan.
type PlanSpace struct {
	GUID string `json:"guid"`
	Name string `json:"name"`
}

// PlanVisibilityChange is the body of PATCH and POST /v3/service_plans/:guid/visibility.
type PlanVisibilityChange struct {
	Type          string             `json:"type"`
	Organizations []PlanOrganization `json:"organizations,omitempty"`
}

// ServiceRouteBinding sends a route's requests through a service instance.
type ServiceRouteBinding struct {
	Resource
	RouteServiceURL *string                   `json:"route_service_url"`
	LastOperation   LastOperation             `json:"last_operation"`
	Relationships   RouteBindingRelationships `json:"relationships"`
	Metadata        Metadata                  `json:"metadata"`
	Links           Links                     `json:"links"`
}

// RouteBindingRelationships of a ServiceRouteBinding.
type RouteBindingRelationships struct {
	ServiceInstance *ToOne `json:"service_instance,omitempty"`
	Route           *ToOne `json:"route,omitempty"`
}

// RouteBindingCreate is the body of POST /v3/service_route_bindings.
type RouteBindingCreate struct {
	Parameters    json.RawMessage           `json:"parameters,omitempty"`
	Relationships RouteBindingRelationships `json:"relationships"`
	Metadata      *MetadataPatch            `json:"metadata,omitempty"`
}

// SharedUsage is how many apps of a space are bound to a shared service instance.
type SharedUsage struct {
	Space         GUID `json:"space"`
	BoundAppCount int  `json:"bound_app_count"`
}
