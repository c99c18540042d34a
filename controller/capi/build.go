package capi

// Build turns one package into one droplet.
type Build struct {
	Resource
	State           string             `json:"state"` // STAGING, STAGED or FAILED
	StagingMemoryMB int                `json:"staging_memory_in_mb"`
	StagingDiskMB   int                `json:"staging_disk_in_mb"`
	StagingLogRate  int                `json:"staging_log_rate_limit_bytes_per_second"`
	Error           *string            `json:"error"`
	Lifecycle       Lifecycle          `json:"lifecycle"`
	Package         Ref                `json:"package"`
	Droplet         Ref                `json:"droplet"`
	CreatedBy       Creator            `json:"created_by"`
	Relationships   BuildRelationships `json:"relationships"`
	Metadata        Metadata           `json:"metadata"`
	Links           Links              `json:"links"`
}

// BuildRelationships of a Build.
type BuildRelationships struct {
	App ToOne `json:"app"`
}

// Creator is who started a build.
type Creator struct {
	GUID  string `json:"guid"`
	Name  string `json:"name"`
	Email string `json:"email"`
}

// BuildCreate is the body of POST /v3/builds.
type BuildCreate struct {
	Package         *GUID            `json:"package"`
	Lifecycle       *LifecycleUpdate `json:"lifecycle,omitempty"`
	StagingMemoryMB *Int             `json:"staging_memory_in_mb,omitempty"`
	StagingDiskMB   *Int             `json:"staging_disk_in_mb,omitempty"`
	StagingLogRate  *Int             `json:"staging_log_rate_limit_bytes_per_second,omitempty"`
	Metadata        *MetadataPatch   `json:"metadata,omitempty"`
}
