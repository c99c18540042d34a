package capi

// Hidden stands in lists in place of what only a single GET shows.
const Hidden = "[PRIVATE DATA HIDDEN IN LISTS]"

// Process is one process type of an app and what is wanted of it.
type Process struct {
	Resource
	Version        string                `json:"version"`
	Type           string                `json:"type"`
	Command        *string               `json:"command"`
	User           string                `json:"user"`
	Instances      int                   `json:"instances"`
	MemoryInMB     int                   `json:"memory_in_mb"`
	DiskInMB       int                   `json:"disk_in_mb"`
	LogRateLimit   int                   `json:"log_rate_limit_in_bytes_per_second"` // -1: none
	HealthCheck    HealthCheck           `json:"health_check"`
	ReadinessCheck ReadinessCheck        `json:"readiness_health_check"`
	Embedded       *Array[InstanceState] `json:"process_instances,omitempty"` // with embed=process_instances
	Relationships  ProcessRelationships  `json:"relationships"`
	Metadata       Metadata              `json:"metadata"`
	Links          Links                 `json:"links"`
}

// ProcessRelationships of a Process.
type ProcessRelationships struct {
	App      ToOne  `json:"app"`
	Revision *ToOne `json:"revision"`
}

// HealthCheck says when an instance is alive: type port, http or process.
type HealthCheck struct {
	Type string          `json:"type"`
	Data HealthCheckData `json:"data"`
}

// HealthCheckData in seconds; nil is the platform's default. Endpoint is for http only.
type HealthCheckData struct {
	Timeout           *int   `json:"timeout"`
	InvocationTimeout *int   `json:"invocation_timeout"`
	Interval          *int   `json:"interval"`
	Endpoint          string `json:"endpoint,omitempty"`
}

// ReadinessCheck says when an instance gets requests.
type ReadinessCheck struct {
	Type string             `json:"type"`
	Data ReadinessCheckData `json:"data"`
}

// ReadinessCheckData in seconds; nil is the platform's default.
type ReadinessCheckData struct {
	InvocationTimeout *int   `json:"invocation_timeout"`
	Interval          *int   `json:"interval"`
	Endpoint          string `json:"endpoint,omitempty"`
}

// ProcessUpdate is the body of PATCH /v3/processes/:guid. Command null means the droplet's command.
type ProcessUpdate struct {
	Command        Optional[string]   `json:"command,omitzero"`
	User           Optional[string]   `json:"user,omitzero"`
	HealthCheck    *HealthCheckUpdate `json:"health_check,omitempty"`
	ReadinessCheck *HealthCheckUpdate `json:"readiness_health_check,omitempty"`
	Metadata       *MetadataPatch     `json:"metadata,omitempty"`
}

// HealthCheckUpdate is a health or readiness check of a request.
type HealthCheckUpdate struct {
	Type string                 `json:"type,omitempty"`
	Data *HealthCheckDataUpdate `json:"data,omitempty"`
}

// HealthCheckDataUpdate in seconds; null means the platform's default. Timeout is for liveness only.
type HealthCheckDataUpdate struct {
	Timeout           Optional[Int]    `json:"timeout,omitzero"`
	InvocationTimeout Optional[Int]    `json:"invocation_timeout,omitzero"`
	Interval          Optional[Int]    `json:"interval,omitzero"`
	Endpoint          Optional[string] `json:"endpoint,omitzero"`
}

// ProcessScale is the body of the scale action; what is nil stays.
type ProcessScale struct {
	Instances    *Int `json:"instances,omitempty"`
	MemoryInMB   *Int `json:"memory_in_mb,omitempty"`
	DiskInMB     *Int `json:"disk_in_mb,omitempty"`
	LogRateLimit *Int `json:"log_rate_limit_in_bytes_per_second,omitempty"`
}

// InstanceState is an entry of process_instances; Since is in seconds.
type InstanceState struct {
	Index int    `json:"index"`
	State string `json:"state"`
	Since int64  `json:"since"`
}

// Sidecar is a further command in a process's container.
type Sidecar struct {
	Resource
	Name          string               `json:"name"`
	Command       string               `json:"command"`
	ProcessTypes  Array[string]        `json:"process_types"`
	MemoryInMB    *int                 `json:"memory_in_mb"`
	Origin        string               `json:"origin"`
	Relationships SidecarRelationships `json:"relationships"`
}

// SidecarRelationships of a Sidecar.
type SidecarRelationships struct {
	App ToOne `json:"app"`
}
