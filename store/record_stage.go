package store

import "time"

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
	LogRateBytes    *int        `json:"log_rate_bytes,omitempty"` // nil: unlimited
	CreatedBy       Actor       `json:"created_by"`
	Canceled        bool        `json:"canceled,omitempty"`
	Phases          []PhaseTime `json:"phases,omitempty"`
	Machine         string      `json:"machine,omitempty"` // of the cluster that built it, by name; empty: the server's, without a place in the cluster
}

// LogRate is how many bytes a second of what the build prints are kept; Unlimited: all.
func (b *Build) LogRate() int {
	if b.LogRateBytes == nil {
		return Unlimited
	}
	return *b.LogRateBytes
}

// PhaseTime is how long one phase of a build took.
type PhaseTime struct {
	Name     string        `json:"name"`
	Duration time.Duration `json:"duration"`
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
	RunImage     string             `json:"run_image,omitempty"` // that the image stands on, by digest; empty: a Docker app's, or not known
	SizeBytes    int64              `json:"size_bytes,omitempty"`
}

// standsOn is the name of the stack that the image of a droplet stands on; empty: none, such as a Docker app's.
func (d *Droplet) standsOn() string {
	if d.State != StateStaged || d.Docker.Image != "" {
		return ""
	}
	return d.Stack
}

// DropletBuildpack is one buildpack that took part in a build.
type DropletBuildpack struct {
	Name          string `json:"name"` // Cloud Foundry's name, such as nodejs_buildpack
	DetectOutput  string `json:"detect_output,omitempty"`
	BuildpackName string `json:"buildpack_name,omitempty"`
	Version       string `json:"version,omitempty"`
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
