package capi

// Buildpack is an entry of the buildpack catalogue.
type Buildpack struct {
	Resource
	Name      string   `json:"name"`
	Stack     *string  `json:"stack"`
	State     string   `json:"state"` // AWAITING_UPLOAD or READY
	Filename  *string  `json:"filename"`
	Position  int      `json:"position"`
	Enabled   bool     `json:"enabled"`
	Locked    bool     `json:"locked"`
	Lifecycle string   `json:"lifecycle"`
	Metadata  Metadata `json:"metadata"`
	Links     Links    `json:"links"`
}

// BuildpackUpdate is the body of POST /v3/buildpacks and of PATCH /v3/buildpacks/:guid.
type BuildpackUpdate struct {
	Name      *string          `json:"name,omitempty"`
	Stack     Optional[string] `json:"stack,omitzero"`
	Position  *Int             `json:"position,omitempty"`
	Enabled   *bool            `json:"enabled,omitempty"`
	Locked    *bool            `json:"locked,omitempty"`
	Lifecycle *string          `json:"lifecycle,omitempty"`
	Metadata  *MetadataPatch   `json:"metadata,omitempty"`
}
