package capi

// Deployment replaces the instances of an app's web process by those of another droplet.
type Deployment struct {
	Resource
	Status          DeploymentStatus       `json:"status"`
	Strategy        string                 `json:"strategy"` // rolling or canary
	Options         DeploymentOptions      `json:"options"`
	Droplet         Ref                    `json:"droplet"`
	PreviousDroplet GUIDOrNull             `json:"previous_droplet"`
	NewProcesses    Array[NewProcess]      `json:"new_processes"`
	Revision        *DeploymentRevision    `json:"revision"` // null where the app keeps none
	Relationships   DeploymentRelationship `json:"relationships"`
	Metadata        Metadata               `json:"metadata"`
	Links           Links                  `json:"links"`
}

// DeploymentStatus says where it stands: ACTIVE (DEPLOYING, PAUSED, CANCELING) or FINALIZED (DEPLOYED,
// CANCELED, SUPERSEDED).
type DeploymentStatus struct {
	Value   string            `json:"value"`
	Reason  string            `json:"reason"`
	Details DeploymentDetails `json:"details"`
	Canary  *DeploymentCanary `json:"canary,omitempty"`
}

// DeploymentDetails are the times of a deployment and why it does not get on.
type DeploymentDetails struct {
	LastHealthyAt Time   `json:"last_successful_healthcheck"`
	LastChangeAt  Time   `json:"last_status_change"`
	Error         string `json:"error,omitempty"`
}

// DeploymentCanary is how far a canary deployment is.
type DeploymentCanary struct {
	Steps CanaryProgress `json:"steps"`
}

// CanaryProgress counts from 1.
type CanaryProgress struct {
	Current int `json:"current"`
	Total   int `json:"total"`
}

// DeploymentOptions of a request and of an answer.
type DeploymentOptions struct {
	MaxInFlight  *Int           `json:"max_in_flight,omitempty"`
	WebInstances *Int           `json:"web_instances,omitempty"`
	MemoryInMB   *Int           `json:"memory_in_mb,omitempty"`
	DiskInMB     *Int           `json:"disk_in_mb,omitempty"`
	LogRateLimit *Int           `json:"log_rate_limit_in_bytes_per_second,omitempty"`
	Canary       *CanaryOptions `json:"canary,omitempty"`
}

// CanaryOptions are the steps of a canary deployment.
type CanaryOptions struct {
	Steps Array[CanaryStep] `json:"steps"`
}

// CanaryStep is a share of the instances in percent.
type CanaryStep struct {
	InstanceWeight Int `json:"instance_weight"`
}

// NewProcess is a process that a deployment made.
type NewProcess struct {
	GUID string `json:"guid"`
	Type string `json:"type"`
}

// DeploymentRevision is the revision that is deployed.
type DeploymentRevision struct {
	GUID    string `json:"guid"`
	Version int    `json:"version,omitempty"`
}

// DeploymentRelationship of a Deployment.
type DeploymentRelationship struct {
	App ToOne `json:"app"`
}

// DeploymentCreate is the body of POST /v3/deployments.
type DeploymentCreate struct {
	Droplet       *GUID                      `json:"droplet,omitempty"`
	Revision      *DeploymentRevision        `json:"revision,omitempty"`
	Strategy      string                     `json:"strategy,omitempty"`
	Options       *DeploymentOptions         `json:"options,omitempty"`
	Relationships PackageCreateRelationships `json:"relationships"`
	Metadata      *MetadataPatch             `json:"metadata,omitempty"`
}
