package capi

// RoutePolicy lets apps use a route of a domain that enforces route policies.
type RoutePolicy struct {
	Resource
	Source        string                   `json:"source"` // cf:any, or cf:app:GUID, cf:space:GUID, cf:org:GUID
	Metadata      Metadata                 `json:"metadata"`
	Relationships RoutePolicyRelationships `json:"relationships"`
	Links         Links                    `json:"links"`
}

// RoutePolicyRelationships of a RoutePolicy: of the last three, that which is the source.
type RoutePolicyRelationships struct {
	Route        ToOne `json:"route"`
	App          ToOne `json:"app"`
	Space        ToOne `json:"space"`
	Organization ToOne `json:"organization"`
}

// RoutePolicyCreate is the body of POST /v3/route_policies.
type RoutePolicyCreate struct {
	Source        string                         `json:"source"`
	Relationships RoutePolicyCreateRelationships `json:"relationships"`
	Metadata      *MetadataPatch                 `json:"metadata,omitempty"`
}

// RoutePolicyCreateRelationships says which route a new policy is for.
type RoutePolicyCreateRelationships struct {
	Route *ToOne `json:"route"`
}
