package capi

// Domain is a DNS name under which routes are made.
type Domain struct {
	Resource
	Name               string        `json:"name"`
	Internal           bool          `json:"internal"`
	RouterGroup        *GUID         `json:"router_group"`
	SupportedProtocols Array[string] `json:"supported_protocols"`
	// Both are there only where routes are kept for those whom route policies let in.
	EnforceRoutePolicies bool                `json:"enforce_route_policies,omitempty"`
	RoutePoliciesScope   string              `json:"route_policies_scope,omitempty"` // any, org or space
	Relationships        DomainRelationships `json:"relationships"`
	Metadata             Metadata            `json:"metadata"`
	Links                Links               `json:"links"`
}

// DomainRelationships: Organization is null for a shared domain.
type DomainRelationships struct {
	Organization        ToOne  `json:"organization"`
	SharedOrganizations ToMany `json:"shared_organizations"`
}

// DomainCreate is the body of POST /v3/domains.
type DomainCreate struct {
	Name                 string                     `json:"name"`
	Internal             *bool                      `json:"internal,omitempty"`
	RouterGroup          *GUID                      `json:"router_group,omitempty"`
	EnforceRoutePolicies *bool                      `json:"enforce_route_policies,omitempty"`
	RoutePoliciesScope   *string                    `json:"route_policies_scope,omitempty"`
	Relationships        *DomainCreateRelationships `json:"relationships,omitempty"`
	Metadata             *MetadataPatch             `json:"metadata,omitempty"`
}

// DomainCreateRelationships makes a private domain of an organization.
type DomainCreateRelationships struct {
	Organization        *ToOne  `json:"organization,omitempty"`
	SharedOrganizations *ToMany `json:"shared_organizations,omitempty"`
}

// MetadataUpdate is the body of a PATCH that knows only metadata.
type MetadataUpdate struct {
	Metadata *MetadataPatch `json:"metadata,omitempty"`
}
