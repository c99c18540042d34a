package capi

// Space is the place in an organization that owns apps and routes.
type Space struct {
	Resource
	Name          string             `json:"name"`
	Relationships SpaceRelationships `json:"relationships"`
	Metadata      Metadata           `json:"metadata"`
	Links         Links              `json:"links"`
}

// SpaceRelationships of a Space.
type SpaceRelationships struct {
	Organization ToOne `json:"organization"`
	Quota        ToOne `json:"quota"`
}

// SpaceCreate is the body of POST /v3/spaces.
type SpaceCreate struct {
	Name          string                   `json:"name"`
	Relationships SpaceCreateRelationships `json:"relationships"`
	Metadata      *MetadataPatch           `json:"metadata,omitempty"`
}

// SpaceCreateRelationships says where a new space belongs.
type SpaceCreateRelationships struct {
	Organization *ToOne `json:"organization"`
}

// SpaceUpdate is the body of PATCH /v3/spaces/:guid.
type SpaceUpdate struct {
	Name     *string        `json:"name,omitempty"`
	Metadata *MetadataPatch `json:"metadata,omitempty"`
}

// SpaceFeature is a feature of a space; ssh is the only one.
type SpaceFeature struct {
	Name        string `json:"name"`
	Description string `json:"description"`
	Enabled     bool   `json:"enabled"`
}

// SpaceFeatures is the answer of GET /v3/spaces/:guid/features.
type SpaceFeatures struct {
	Features Array[SpaceFeature] `json:"features"`
}
