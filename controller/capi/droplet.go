package capi

// Droplet is the runnable result of a build.
type Droplet struct {
	Resource
	State             string                   `json:"state"`
	Error             *string                  `json:"error"`
	Lifecycle         Lifecycle                `json:"lifecycle"`
	ExecutionMetadata string                   `json:"execution_metadata"`
	ProcessTypes      Strings                  `json:"process_types"`
	Checksum          *Checksum                `json:"checksum"`
	Buildpacks        *Array[DropletBuildpack] `json:"buildpacks"` // null for Docker and until it is staged
	Stack             *string                  `json:"stack"`
	Image             *string                  `json:"image"` // Docker only
	Relationships     DropletRelationships     `json:"relationships"`
	Metadata          Metadata                 `json:"metadata"`
	Links             Links                    `json:"links"`
}

// DropletRelationships of a Droplet.
type DropletRelationships struct {
	App ToOne `json:"app"`
}

// DropletBuildpack is a buildpack that took part.
type DropletBuildpack struct {
	Name          string  `json:"name"`
	DetectOutput  *string `json:"detect_output"`
	BuildpackName *string `json:"buildpack_name"`
	Version       *string `json:"version"`
}

// DropletCreate is the body of POST /v3/droplets.
type DropletCreate struct {
	ProcessTypes  map[string]string          `json:"process_types,omitempty"`
	Relationships PackageCreateRelationships `json:"relationships"`
	Metadata      *MetadataPatch             `json:"metadata,omitempty"`
}
