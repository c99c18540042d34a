package store

import "time"

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

// ReadinessChecked tells whether a check of its own decides if an instance may get requests.
func (p *Process) ReadinessChecked() bool {
	return p.ReadinessCheck.Type == "http" || p.ReadinessCheck.Type == "port"
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
	AppGUID     string `json:"app_guid"`
	ProcessGUID string `json:"process_guid"`
	ProcessType string `json:"process_type"`
	Version     string `json:"version"`
	Index       int    `json:"index"`
	State       string `json:"state"`
	Routable    bool   `json:"routable"`
	Address     string `json:"address,omitempty"` // IP that the router can reach
	Ports       []int  `json:"ports,omitempty"`
	// Host and HostPorts are where Ports are reached if the instance runs on another machine than the router.
	Host       string      `json:"host,omitempty"`
	HostPorts  map[int]int `json:"host_ports,omitempty"`
	Zone       string      `json:"zone,omitempty"` // of its machine
	Since      time.Time   `json:"since"`
	StartedAt  time.Time   `json:"started_at"`
	CrashCount int         `json:"crash_count,omitempty"`
	Details    string      `json:"details,omitempty"` // why it is not running, in words
	ExitStatus int         `json:"exit_status,omitempty"`
	MemoryMB   int         `json:"memory_mb"`
	DiskMB     int         `json:"disk_mb"`
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

// EnvGroup is an environment variable group; its GUID is running or staging.
type EnvGroup struct {
	Meta
	Var map[string]string `json:"var"`
}
