package store

import "time"

// Meta is what every record has: its identity, its times, its labels. A table fills GUID and the
// times when a record is put; handlers own Labels and Annotations (CAPI v3, metadata).
type Meta struct {
	GUID        string            `json:"guid"`
	CreatedAt   time.Time         `json:"created_at"`
	UpdatedAt   time.Time         `json:"updated_at"`
	Labels      map[string]string `json:"labels,omitempty"`
	Annotations map[string]string `json:"annotations,omitempty"`
}

func (m *Meta) meta() *Meta { return m }

// record is what a Table can hold: a struct that embeds Meta.
type record interface{ meta() *Meta }

// Unlimited is the value of a limit that is not set, in records where zero is a limit of its own.
const Unlimited = -1

// Org is a tenant.
type Org struct {
	Meta
	Name                        string `json:"name"`
	Suspended                   bool   `json:"suspended,omitempty"`
	QuotaGUID                   string `json:"quota_guid,omitempty"`
	DefaultIsolationSegmentGUID string `json:"default_isolation_segment_guid,omitempty"`
}

// Space is the place in an org that owns apps, routes and service instances.
type Space struct {
	Meta
	Name                 string `json:"name"`
	OrgGUID              string `json:"org_guid"`
	QuotaGUID            string `json:"quota_guid,omitempty"`
	SSHDisabled          bool   `json:"ssh_disabled,omitempty"`
	IsolationSegmentGUID string `json:"isolation_segment_guid,omitempty"`
}

// Quota limits an org (OrgGUID empty) or a space of OrgGUID. Unlimited means no limit.
type Quota struct {
	Meta
	Name                string `json:"name"`
	OrgGUID             string `json:"org_guid,omitempty"`
	TotalMemoryMB       int    `json:"total_memory_mb"`
	ProcessMemoryMB     int    `json:"process_memory_mb"`
	TotalInstances      int    `json:"total_instances"`
	AppTasks            int    `json:"app_tasks"`
	LogRateBytes        int    `json:"log_rate_bytes"`
	PaidServicesAllowed bool   `json:"paid_services_allowed"`
	ServiceInstances    int    `json:"service_instances"`
	ServiceKeys         int    `json:"service_keys"`
	Routes              int    `json:"routes"`
	ReservedPorts       int    `json:"reserved_ports"`
	Domains             int    `json:"domains"`
}

// User is a person who can sign in, or a client that has been given roles (Origin empty).
type User struct {
	Meta
	Username     string    `json:"username"`
	Origin       string    `json:"origin"`
	PasswordHash string    `json:"password_hash,omitempty"` // PHC string, argon2id
	PasswordAt   time.Time `json:"password_at,omitzero"`
	Email        string    `json:"email,omitempty"`
	GivenName    string    `json:"given_name,omitempty"`
	FamilyName   string    `json:"family_name,omitempty"`
	Groups       []string  `json:"groups,omitempty"` // scopes such as cloud_controller.admin
	Disabled     bool      `json:"disabled,omitempty"`

	ExternalID     string   `json:"external_id,omitempty"`     // the subject at the identity provider Origin
	ExternalGroups []string `json:"external_groups,omitempty"` // scopes that the provider's groups gave at the last sign-in
	TokenSalt      string   `json:"token_salt,omitempty"`      // a new one ends all tokens
	Version        int      `json:"version,omitempty"`         // of the SCIM resource; each change raises it
}

// Group is a scope that users can be given; who has it stands in User.Groups under the group's name.
type Group struct {
	Meta
	Name        string `json:"name"` // such as cloud_controller.admin
	Description string `json:"description,omitempty"`
	Version     int    `json:"version,omitempty"`
}

// RevokedToken is an access token that ends before its time; its GUID is the token's jti.
type RevokedToken struct {
	Meta
	ExpiresAt time.Time `json:"expires_at"` // by then the token has ended by itself
}

// Client is an OAuth2 client; its GUID is the client id.
type Client struct {
	Meta
	SecretHash   string        `json:"secret_hash,omitempty"` // empty: the empty secret is right (the public client "cf")
	GrantTypes   []string      `json:"grant_types"`
	Scopes       []string      `json:"scopes,omitempty"`      // what a user's token may carry
	Authorities  []string      `json:"authorities,omitempty"` // what its own token carries
	RedirectURIs []string      `json:"redirect_uris,omitempty"`
	AutoApprove  bool          `json:"auto_approve,omitempty"`
	AccessTTL    time.Duration `json:"access_ttl,omitempty"`
	RefreshTTL   time.Duration `json:"refresh_ttl,omitempty"`
	Name         string        `json:"name,omitempty"`       // shown where a user approves it; empty: the id
	TokenSalt    string        `json:"token_salt,omitempty"` // a new one ends all tokens
}

// RefreshToken is a grant that can be renewed until ExpiresAt; its GUID is the token's jti. Without a ClientID it is
// a browser's session at the login page.
type RefreshToken struct {
	Meta
	UserGUID  string    `json:"user_guid"`
	ClientID  string    `json:"client_id"`
	Scopes    []string  `json:"scopes"`
	ExpiresAt time.Time `json:"expires_at"`
}

// Role gives a user a role in one org or one space. Type is a CAPI role type such as space_developer.
// OrgGUID is set for space roles too: the org of the space.
type Role struct {
	Meta
	Type      string `json:"type"`
	UserGUID  string `json:"user_guid"`
	OrgGUID   string `json:"org_guid"`
	SpaceGUID string `json:"space_guid,omitempty"`
}

// Domain is a DNS name under which routes are made; shared with everybody when OrgGUID is empty.
type Domain struct {
	Meta
	Name            string   `json:"name"`
	Internal        bool     `json:"internal,omitempty"`
	OrgGUID         string   `json:"org_guid,omitempty"`
	SharedOrgGUIDs  []string `json:"shared_org_guids,omitempty"`
	RouterGroupGUID string   `json:"router_group_guid,omitempty"`
}

// RouterGroup is a set of ports that routes of its domains share. Its type is tcp.
type RouterGroup struct {
	Meta
	Name            string `json:"name"`
	Type            string `json:"type"`
	ReservablePorts string `json:"reservable_ports"` // such as 1024-1123,2000
}

// Route is a name that leads to apps.
type Route struct {
	Meta
	Host             string            `json:"host"`
	Path             string            `json:"path"` // empty, or begins with a slash
	Port             int               `json:"port,omitempty"`
	DomainGUID       string            `json:"domain_guid"`
	SpaceGUID        string            `json:"space_guid"`
	SharedSpaceGUIDs []string          `json:"shared_space_guids,omitempty"`
	Options          map[string]string `json:"options,omitempty"`
	Destinations     []Destination     `json:"destinations,omitempty"`
}

// Destination is one process of an app that a route leads to.
type Destination struct {
	GUID        string    `json:"guid"`
	AppGUID     string    `json:"app_guid"`
	ProcessType string    `json:"process_type"`
	Port        int       `json:"port,omitempty"`     // zero: the process's first port
	Protocol    string    `json:"protocol,omitempty"` // http1 (also the empty string), http2 or tcp
	Weight      *int      `json:"weight,omitempty"`
	CreatedAt   time.Time `json:"created_at"`
	UpdatedAt   time.Time `json:"updated_at"`
}

// Desired states of an App.
const (
	AppStarted = "STARTED"
	AppStopped = "STOPPED"
)

// App is a name in a space with environment, processes and a current droplet.
type App struct {
	Meta
	Name               string            `json:"name"`
	SpaceGUID          string            `json:"space_guid"`
	State              string            `json:"state"`
	Lifecycle          Lifecycle         `json:"lifecycle"`
	Environment        map[string]string `json:"environment,omitempty"`
	CurrentDropletGUID string            `json:"current_droplet_guid,omitempty"`
	Features           map[string]bool   `json:"features,omitempty"` // only what was set; the API knows the defaults
}

// Lifecycle says how an app's source becomes a droplet.
type Lifecycle struct {
	Type       string   `json:"type"`                 // buildpack, cnb or docker
	Buildpacks []string `json:"buildpacks,omitempty"` // names or URLs, in order; empty: detect
	Stack      string   `json:"stack,omitempty"`
}

// Process is one process type of an app and what is wanted of it.
type Process struct {
	Meta
	AppGUID        string      `json:"app_guid"`
	SpaceGUID      string      `json:"space_guid"`
	Type           string      `json:"type"`
	Command        string      `json:"command,omitempty"` // set by people; empty: the droplet's command for Type
	Instances      int         `json:"instances"`
	MemoryMB       int         `json:"memory_mb"`
	DiskMB         int         `json:"disk_mb"`
	LogRateBytes   int         `json:"log_rate_bytes"`
	HealthCheck    HealthCheck `json:"health_check"`
	ReadinessCheck HealthCheck `json:"readiness_check"`
	Ports          []int       `json:"ports,omitempty"`        // empty: 8080 for web, none for others
	DropletGUID    string      `json:"droplet_guid,omitempty"` // empty: the app's current droplet
	DeploymentGUID string      `json:"deployment_guid,omitempty"`
	RevisionGUID   string      `json:"revision_guid,omitempty"` // what was last deployed; empty: the app has no revisions
	// Version changes with each start and restart of the app. Instances belong to (process, version);
	// those of another version are replaced.
	Version string `json:"version"`
}

// HealthCheck is a liveness or readiness check. Zero durations mean the platform's defaults.
type HealthCheck struct {
	Type              string        `json:"type"`               // port, http or process
	Endpoint          string        `json:"endpoint,omitempty"` // http only
	Timeout           time.Duration `json:"timeout,omitempty"`  // to become healthy, liveness only
	InvocationTimeout time.Duration `json:"invocation_timeout,omitempty"`
	Interval          time.Duration `json:"interval,omitempty"`
}

// Observed states of an Instance (CAPI v3, process stats).
const (
	InstanceStarting = "STARTING"
	InstanceRunning  = "RUNNING"
	InstanceCrashed  = "CRASHED"
	InstanceDown     = "DOWN"
	InstanceStopping = "STOPPING"
)

// Instance is what was last seen of one running copy of a process. Its GUID has the shape 8-4-4-4-4.
type Instance struct {
	Meta
	AppGUID     string    `json:"app_guid"`
	ProcessGUID string    `json:"process_guid"`
	ProcessType string    `json:"process_type"`
	Version     string    `json:"version"`
	Index       int       `json:"index"`
	State       string    `json:"state"`
	Routable    bool      `json:"routable"`
	Address     string    `json:"address,omitempty"` // IP that the router can reach
	Ports       []int     `json:"ports,omitempty"`
	Since       time.Time `json:"since"`
	StartedAt   time.Time `json:"started_at"`
	CrashCount  int       `json:"crash_count,omitempty"`
	Details     string    `json:"details,omitempty"` // why it is not running, in words
	ExitStatus  int       `json:"exit_status,omitempty"`
	MemoryMB    int       `json:"memory_mb"`
	DiskMB      int       `json:"disk_mb"`
}

// Package is the uploaded source bits of an app, or an image reference.
type Package struct {
	Meta
	AppGUID   string      `json:"app_guid"`
	Type      string      `json:"type"` // bits or docker
	State     string      `json:"state"`
	Error     string      `json:"error,omitempty"`
	SHA256    string      `json:"sha256,omitempty"` // also the blob's name
	SizeBytes int64       `json:"size_bytes,omitempty"`
	Docker    DockerImage `json:"docker,omitzero"`
}

// DockerImage is an image by reference with the credentials to pull it.
type DockerImage struct {
	Image    string `json:"image"`
	Username string `json:"username,omitempty"`
	Password string `json:"password,omitempty"`
}

// States of a Package, Build, Droplet (CAPI v3).
const (
	StateAwaitingUpload   = "AWAITING_UPLOAD"
	StateProcessingUpload = "PROCESSING_UPLOAD"
	StateReady            = "READY"
	StateFailed           = "FAILED"
	StateExpired          = "EXPIRED"
	StateCopying          = "COPYING"
	StateStaging          = "STAGING"
	StateStaged           = "STAGED"
)

// Build turns one package into one droplet.
type Build struct {
	Meta
	AppGUID         string      `json:"app_guid"`
	SpaceGUID       string      `json:"space_guid"`
	PackageGUID     string      `json:"package_guid"`
	DropletGUID     string      `json:"droplet_guid,omitempty"`
	State           string      `json:"state"`
	Error           string      `json:"error,omitempty"` // "<Name> - <description>", the names of CC's staging errors
	Lifecycle       Lifecycle   `json:"lifecycle"`
	StagingMemoryMB int         `json:"staging_memory_mb"`
	StagingDiskMB   int         `json:"staging_disk_mb"`
	CreatedBy       Actor       `json:"created_by"`
	Canceled        bool        `json:"canceled,omitempty"`
	Phases          []PhaseTime `json:"phases,omitempty"`
}

// PhaseTime is how long one phase of a build took.
type PhaseTime struct {
	Name     string        `json:"name"`
	Duration time.Duration `json:"duration"`
}

// Actor is who did something: a user, a client (process) or the system.
type Actor struct {
	GUID  string `json:"guid"`
	Type  string `json:"type"` // user or process
	Name  string `json:"name"`
	Email string `json:"email,omitempty"`
}

// Droplet is the runnable result of a build.
type Droplet struct {
	Meta
	AppGUID      string             `json:"app_guid"`
	SpaceGUID    string             `json:"space_guid"`
	BuildGUID    string             `json:"build_guid,omitempty"`
	PackageGUID  string             `json:"package_guid,omitempty"`
	State        string             `json:"state"`
	Error        string             `json:"error,omitempty"`
	Lifecycle    Lifecycle          `json:"lifecycle"`
	Repository   string             `json:"repository,omitempty"` // in our registry, such as droplets/<app guid>
	ImageDigest  string             `json:"image_digest,omitempty"`
	Docker       DockerImage        `json:"docker,omitzero"` // where a Docker app's image was copied from
	User         string             `json:"user,omitempty"`  // of a Docker image; empty: root
	Ports        []int              `json:"ports,omitempty"` // that a Docker image exposes
	Sidecars     []SidecarSpec      `json:"sidecars,omitempty"`
	SHA256       string             `json:"sha256,omitempty"` // blob of an uploaded droplet
	ProcessTypes map[string]string  `json:"process_types,omitempty"`
	Buildpacks   []DropletBuildpack `json:"buildpacks,omitempty"`
	Stack        string             `json:"stack,omitempty"`
	SizeBytes    int64              `json:"size_bytes,omitempty"`
}

// DropletBuildpack is one buildpack that took part in a build.
type DropletBuildpack struct {
	Name          string `json:"name"` // Cloud Foundry's name, such as nodejs_buildpack
	DetectOutput  string `json:"detect_output,omitempty"`
	BuildpackName string `json:"buildpack_name,omitempty"`
	Version       string `json:"version,omitempty"`
}

// SidecarSpec is a further command in the containers of some process types. MemoryMB zero: no part of its own.
type SidecarSpec struct {
	Name         string   `json:"name"`
	Command      string   `json:"command"`
	ProcessTypes []string `json:"process_types,omitempty"`
	MemoryMB     int      `json:"memory_mb,omitempty"`
}

// Origins of a Sidecar.
const (
	SidecarByUser      = "user"
	SidecarByBuildpack = "buildpack"
)

// Sidecar is a SidecarSpec of an app, by a person or by the app's current droplet.
type Sidecar struct {
	Meta
	SidecarSpec
	AppGUID   string `json:"app_guid"`
	SpaceGUID string `json:"space_guid"`
	Origin    string `json:"origin"`
}

// Revision is what an app was made of at one of its starts: droplet, environment, commands and sidecars. It
// does not change.
type Revision struct {
	Meta
	AppGUID     string            `json:"app_guid"`
	SpaceGUID   string            `json:"space_guid"`
	Version     int               `json:"version"` // counts from 1 in each app
	DropletGUID string            `json:"droplet_guid"`
	Description string            `json:"description"`
	Environment map[string]string `json:"environment,omitempty"`
	Commands    map[string]string `json:"commands,omitempty"` // by process type; empty: the droplet's
	Sidecars    []SidecarSpec     `json:"sidecars,omitempty"`
}

// Values and reasons of a deployment's status (CAPI v3).
const (
	DeploymentActive     = "ACTIVE"
	DeploymentFinalized  = "FINALIZED"
	DeploymentDeploying  = "DEPLOYING"
	DeploymentPaused     = "PAUSED"
	DeploymentCanceling  = "CANCELING"
	DeploymentDeployed   = "DEPLOYED"
	DeploymentCanceled   = "CANCELED"
	DeploymentSuperseded = "SUPERSEDED"
)

// Deployment replaces a process's instances by those of another droplet, without a gap.
type Deployment struct {
	Meta
	AppGUID             string `json:"app_guid"`
	SpaceGUID           string `json:"space_guid"`
	Strategy            string `json:"strategy"` // rolling or canary
	Status              string `json:"status"`
	Reason              string `json:"reason"`
	Error               string `json:"error,omitempty"`
	DropletGUID         string `json:"droplet_guid"`
	PreviousDropletGUID string `json:"previous_droplet_guid,omitempty"`
	RevisionGUID        string `json:"revision_guid,omitempty"`
	RevisionVersion     int    `json:"revision_version,omitempty"`
	// ByRevision: the deployment goes back to an earlier revision, environment and commands included. A
	// cancel then gives back those of PreviousRevisionGUID.
	ByRevision           bool     `json:"by_revision,omitempty"`
	PreviousRevisionGUID string   `json:"previous_revision_guid,omitempty"`
	NewProcessGUID       string   `json:"new_process_guid,omitempty"` // the cloned web process
	NewProcessType       string   `json:"new_process_type,omitempty"`
	OldProcessGUIDs      []string `json:"old_process_guids,omitempty"`
	WantedInstances      int      `json:"wanted_instances"`
	PreviousInstances    int      `json:"previous_instances,omitempty"` // that a cancel brings back; zero: WantedInstances
	MaxInFlight          int      `json:"max_in_flight"`
	// What the client asked for the new web process; nil where it said nothing.
	WebInstances *int      `json:"web_instances,omitempty"`
	MemoryMB     *int      `json:"memory_mb,omitempty"`
	DiskMB       *int      `json:"disk_mb,omitempty"`
	LogRateBytes *int      `json:"log_rate_bytes,omitempty"`
	CanarySteps  []int     `json:"canary_steps,omitempty"` // weights in percent
	CanaryStep   int       `json:"canary_step,omitempty"`  // from 1
	HealthyAt    time.Time `json:"healthy_at,omitzero"`
	StatusAt     time.Time `json:"status_at"`
	StepAt       time.Time `json:"step_at,omitzero"` // when new instances were last added
}

// Task is a command run once on a droplet.
type Task struct {
	Meta
	AppGUID       string `json:"app_guid"`
	SpaceGUID     string `json:"space_guid"`
	SequenceID    int    `json:"sequence_id"`
	Name          string `json:"name"`
	Command       string `json:"command"`
	State         string `json:"state"`
	MemoryMB      int    `json:"memory_mb"`
	DiskMB        int    `json:"disk_mb"`
	LogRateBytes  int    `json:"log_rate_bytes"`
	DropletGUID   string `json:"droplet_guid"`
	FailureReason string `json:"failure_reason,omitempty"`
}

// Buildpack is an entry of the buildpack catalogue.
type Buildpack struct {
	Meta
	Name      string `json:"name"` // such as nodejs_buildpack
	Stack     string `json:"stack,omitempty"`
	Lifecycle string `json:"lifecycle"` // buildpack or cnb
	Position  int    `json:"position"`  // from 1, dense
	Enabled   bool   `json:"enabled"`
	Locked    bool   `json:"locked,omitempty"`
	State     string `json:"state"`
	Filename  string `json:"filename,omitempty"`
	SHA256    string `json:"sha256,omitempty"`    // blob of an uploaded buildpack
	SystemID  string `json:"system_id,omitempty"` // id of one of our own, such as cupola/nodejs
	Version   string `json:"version,omitempty"`
}

// Stack is a pair of base images.
type Stack struct {
	Meta
	Name        string `json:"name"`
	Description string `json:"description"`
	Default     bool   `json:"default,omitempty"`
	BuildImage  string `json:"build_image,omitempty"` // by digest; empty until it is prepared
	RunImage    string `json:"run_image,omitempty"`
	State       string `json:"state"` // ACTIVE, RESTRICTED, DEPRECATED or DISABLED
	StateReason string `json:"state_reason,omitempty"`
}

// SecurityGroup is a set of egress rules. Rules is the API's JSON array.
type SecurityGroup struct {
	Meta
	Name          string   `json:"name"`
	Rules         []byte   `json:"rules"`
	Running       bool     `json:"running,omitempty"`
	Staging       bool     `json:"staging,omitempty"`
	RunningSpaces []string `json:"running_spaces,omitempty"`
	StagingSpaces []string `json:"staging_spaces,omitempty"`
}

// NetworkPolicy lets the instances of one app connect to those of another, on ports from first to last.
type NetworkPolicy struct {
	Meta
	SourceAppGUID      string `json:"source_app_guid"`
	DestinationAppGUID string `json:"destination_app_guid"`
	Protocol           string `json:"protocol"` // tcp or udp
	FirstPort          int    `json:"first_port"`
	LastPort           int    `json:"last_port"`
}

// IsolationSegment is a named part of the platform's nodes.
type IsolationSegment struct {
	Meta
	Name     string   `json:"name"`
	OrgGUIDs []string `json:"org_guids,omitempty"`
}

// FeatureFlag is a flag that was changed from its default; its GUID is its name.
type FeatureFlag struct {
	Meta
	Enabled            bool   `json:"enabled"`
	CustomErrorMessage string `json:"custom_error_message,omitempty"`
}

// EnvGroup is an environment variable group; its GUID is running or staging.
type EnvGroup struct {
	Meta
	Var map[string]string `json:"var"`
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

// Types of a ServiceInstance.
const (
	ServiceManaged      = "managed"
	ServiceUserProvided = "user-provided"
)

// ServiceInstance is what one space has: of a plan of the marketplace (managed), or of a service that the platform
// knows nothing of but its credentials (user-provided).
type ServiceInstance struct {
	Meta
	Name            string    `json:"name"`
	Type            string    `json:"type"`
	SpaceGUID       string    `json:"space_guid"`
	Tags            []string  `json:"tags,omitempty"`
	Credentials     []byte    `json:"credentials,omitempty"` // user-provided: a JSON object; all its bindings have them
	SyslogDrainURL  string    `json:"syslog_drain_url,omitempty"`
	RouteServiceURL string    `json:"route_service_url,omitempty"`
	PlanGUID        string    `json:"plan_guid,omitempty"` // managed
	LastOperation   Operation `json:"last_operation"`
}

// Types of a ServiceBinding.
const (
	BindingApp = "app"
	BindingKey = "key"
)

// ServiceBinding gives the credentials of a service instance to an app, or to people (a key).
type ServiceBinding struct {
	Meta
	Type           string    `json:"type"`
	Name           string    `json:"name,omitempty"`
	InstanceGUID   string    `json:"instance_guid"`
	SpaceGUID      string    `json:"space_guid"` // of the app, or for a key of the instance
	AppGUID        string    `json:"app_guid,omitempty"`
	Credentials    []byte    `json:"credentials,omitempty"` // a JSON object; empty for a user-provided instance, whose own count
	SyslogDrainURL string    `json:"syslog_drain_url,omitempty"`
	VolumeMounts   []byte    `json:"volume_mounts,omitempty"` // a JSON array
	LastOperation  Operation `json:"last_operation"`
}

// States of an Operation (CAPI v3, last_operation).
const (
	OperationInitial    = "initial"
	OperationInProgress = "in progress"
	OperationSucceeded  = "succeeded"
	OperationFailed     = "failed"
)

// Operation is the last thing that was done to a service instance or binding.
type Operation struct {
	Type        string    `json:"type"` // create, update or delete
	State       string    `json:"state"`
	Description string    `json:"description,omitempty"`
	CreatedAt   time.Time `json:"created_at"`
	UpdatedAt   time.Time `json:"updated_at"`
}

// Setting is a value of the platform's own under a name, such as a signing key; its GUID is the name.
type Setting struct {
	Meta
	Value []byte `json:"value"`
}
