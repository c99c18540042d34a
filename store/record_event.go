package store

// Actor is who did something: a user, a client (process) or the system.
type Actor struct {
	GUID  string `json:"guid"`
	Type  string `json:"type"` // user or process
	Name  string `json:"name"`
	Email string `json:"email,omitempty"`
}

// AuditEvent says who did what to what. Data is the API's JSON object.
type AuditEvent struct {
	Meta
	Type      string `json:"type"`
	Actor     Actor  `json:"actor"`
	Target    Actor  `json:"target"`
	Data      []byte `json:"data,omitempty"`
	SpaceGUID string `json:"space_guid,omitempty"`
	OrgGUID   string `json:"org_guid,omitempty"`
}

// AppUsageEvent says when something that is paid for began, changed or ended (CAPI v3, App Usage Events). Names are
// kept as they were: what they name may be gone when somebody reckons. The Previous fields are nil where there
// was nothing before.
type AppUsageEvent struct {
	Meta
	State             string `json:"state"` // STARTED, STOPPED, BUILDPACK_SET, STAGING_STARTED, TASK_STARTED ...
	PreviousState     string `json:"previous_state,omitempty"`
	AppGUID           string `json:"app_guid"`
	AppName           string `json:"app_name"`
	SpaceGUID         string `json:"space_guid"`
	SpaceName         string `json:"space_name"`
	OrgGUID           string `json:"org_guid"`
	ProcessGUID       string `json:"process_guid,omitempty"`
	ProcessType       string `json:"process_type,omitempty"`
	BuildpackGUID     string `json:"buildpack_guid,omitempty"`
	BuildpackName     string `json:"buildpack_name,omitempty"`
	TaskGUID          string `json:"task_guid,omitempty"`
	TaskName          string `json:"task_name,omitempty"`
	MemoryMB          *int   `json:"memory_mb,omitempty"`
	PreviousMemoryMB  *int   `json:"previous_memory_mb,omitempty"`
	Instances         *int   `json:"instances,omitempty"`
	PreviousInstances *int   `json:"previous_instances,omitempty"`
}

// ServiceUsageEvent says when a service instance began, changed or ended (CAPI v3, Service Usage Events).
type ServiceUsageEvent struct {
	Meta
	State        string `json:"state"` // CREATED, UPDATED, DELETED
	SpaceGUID    string `json:"space_guid"`
	SpaceName    string `json:"space_name"`
	OrgGUID      string `json:"org_guid"`
	InstanceGUID string `json:"instance_guid"`
	InstanceName string `json:"instance_name"`
	InstanceType string `json:"instance_type"` // managed_service_instance or user_provided_service_instance
	PlanGUID     string `json:"plan_guid,omitempty"`
	PlanName     string `json:"plan_name,omitempty"`
	OfferingGUID string `json:"offering_guid,omitempty"`
	OfferingName string `json:"offering_name,omitempty"`
	BrokerGUID   string `json:"broker_guid,omitempty"`
	BrokerName   string `json:"broker_name,omitempty"`
}

// Job is a long operation that a client can poll. States are CAPI's: PROCESSING, POLLING, COMPLETE, FAILED.
type Job struct {
	Meta
	Operation    string     `json:"operation"` // such as app.delete
	State        string     `json:"state"`
	ResourceType string     `json:"resource_type,omitempty"`
	ResourceGUID string     `json:"resource_guid,omitempty"`
	Errors       []JobError `json:"errors,omitempty"`
	Warnings     []string   `json:"warnings,omitempty"`
}

// JobError is one API error in a failed job.
type JobError struct {
	Code   int    `json:"code"`
	Title  string `json:"title"`
	Detail string `json:"detail"`
}
