package capi

// Revision is what an app was made of at one of its starts.
type Revision struct {
	Resource
	Version       int                    `json:"version"`
	Droplet       GUID                   `json:"droplet"`
	Processes     Map[RevisionProcess]   `json:"processes"` // by type
	Sidecars      Array[RevisionSidecar] `json:"sidecars"`
	Description   string                 `json:"description"`
	Deployable    bool                   `json:"deployable"` // its droplet is still there
	Relationships RevisionRelationships  `json:"relationships"`
	Metadata      Metadata               `json:"metadata"`
	Links         Links                  `json:"links"`
}

// RevisionProcess is a process type of a Revision; Command is null for the droplet's own.
type RevisionProcess struct {
	Command *string `json:"command"`
}

// RevisionSidecar is a sidecar of a Revision.
type RevisionSidecar struct {
	Name         string        `json:"name"`
	Command      string        `json:"command"`
	ProcessTypes Array[string] `json:"process_types"`
	MemoryInMB   *int          `json:"memory_in_mb"`
}

// RevisionRelationships of a Revision.
type RevisionRelationships struct {
	App ToOne `json:"app"`
}

// SidecarCreate is the body of POST /v3/apps/:guid/sidecars.
type SidecarCreate struct {
	Name         string        `json:"name"`
	Command      string        `json:"command"`
	ProcessTypes []string      `json:"process_types"`
	MemoryInMB   Optional[Int] `json:"memory_in_mb,omitzero"`
}

// SidecarUpdate is the body of PATCH /v3/sidecars/:guid; what is absent stays.
type SidecarUpdate struct {
	Name         *string            `json:"name,omitempty"`
	Command      *string            `json:"command,omitempty"`
	ProcessTypes Optional[[]string] `json:"process_types,omitzero"`
	MemoryInMB   Optional[Int]      `json:"memory_in_mb,omitzero"`
}
