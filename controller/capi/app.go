package capi

import "encoding/json"

// Lifecycle types.
const (
	LifecycleBuildpack = "buildpack"
	LifecycleCNB       = "cnb"
	LifecycleDocker    = "docker"
)

// App is a name in a space with environment, processes and a current droplet.
type App struct {
	Resource
	Name          string           `json:"name"`
	State         string           `json:"state"` // STARTED or STOPPED: what is wanted
	Lifecycle     Lifecycle        `json:"lifecycle"`
	Relationships AppRelationships `json:"relationships"`
	Metadata      Metadata         `json:"metadata"`
	Links         Links            `json:"links"`
}

// AppRelationships of an App.
type AppRelationships struct {
	Space          ToOne `json:"space"`
	CurrentDroplet ToOne `json:"current_droplet"`
}

// Lifecycle says how an app's source becomes a droplet.
type Lifecycle struct {
	Type string        `json:"type"`
	Data LifecycleData `json:"data"`
}

// LifecycleData has no fields for Docker.
type LifecycleData struct {
	Buildpacks  Array[string] `json:"buildpacks"`
	Stack       string        `json:"stack"`
	Credentials any           `json:"credentials,omitempty"` // cnb, write-only
}

// MarshalJSON writes {} as the data of a Docker lifecycle, and an empty stack as null.
func (l Lifecycle) MarshalJSON() ([]byte, error) {
	if l.Type == LifecycleDocker {
		return json.Marshal(map[string]any{"type": l.Type, "data": struct{}{}})
	}
	type data struct {
		Buildpacks Array[string] `json:"buildpacks"`
		Stack      *string       `json:"stack"`
	}
	return json.Marshal(struct {
		Type string `json:"type"`
		Data data   `json:"data"`
	}{l.Type, data{l.Data.Buildpacks, nullable(l.Data.Stack)}})
}

// LifecycleUpdate is a Lifecycle of a request. Buildpacks null or empty means detection, Stack null the default.
type LifecycleUpdate struct {
	Type string              `json:"type,omitempty"`
	Data LifecycleDataUpdate `json:"data"`
}

// LifecycleDataUpdate is LifecycleData of a request.
type LifecycleDataUpdate struct {
	Buildpacks  Optional[[]string]       `json:"buildpacks,omitzero"`
	Stack       Optional[string]         `json:"stack,omitzero"`
	Credentials Optional[map[string]any] `json:"credentials,omitzero"`
}

// AppCreate is the body of POST /v3/apps.
type AppCreate struct {
	Name                 string                 `json:"name"`
	EnvironmentVariables map[string]string      `json:"environment_variables,omitempty"`
	Lifecycle            *LifecycleUpdate       `json:"lifecycle,omitempty"`
	Relationships        AppCreateRelationships `json:"relationships"`
	Metadata             *MetadataPatch         `json:"metadata,omitempty"`
}

// AppCreateRelationships says where a new app belongs.
type AppCreateRelationships struct {
	Space *ToOne `json:"space"`
}

// AppUpdate is the body of PATCH /v3/apps/:guid.
type AppUpdate struct {
	Name      *string          `json:"name,omitempty"`
	Lifecycle *LifecycleUpdate `json:"lifecycle,omitempty"`
	Metadata  *MetadataPatch   `json:"metadata,omitempty"`
}

// AppEnv is the answer of GET /v3/apps/:guid/env.
type AppEnv struct {
	EnvironmentVariables Strings  `json:"environment_variables"`
	StagingEnv           Strings  `json:"staging_env_json"`
	RunningEnv           Strings  `json:"running_env_json"`
	SystemEnv            Map[any] `json:"system_env_json"`
	ApplicationEnv       Map[any] `json:"application_env_json"`
}

// EnvVars is the answer of the environment variable endpoints.
type EnvVars struct {
	Var   Strings `json:"var"`
	Links Links   `json:"links"`
}

// EnvVarsPatch merges into environment variables; a nil value deletes its key. Values are strings,
// numbers or booleans.
type EnvVarsPatch struct {
	Var map[string]any `json:"var"`
}

// AppFeature is one feature of an app, such as ssh.
type AppFeature struct {
	Name        string `json:"name"`
	Description string `json:"description"`
	Enabled     bool   `json:"enabled"`
}

// FeatureUpdate turns a feature of an app or a space on or off.
type FeatureUpdate struct {
	Enabled *bool `json:"enabled"`
}

// SSHEnabled is the answer of GET /v3/apps/:guid/ssh_enabled.
type SSHEnabled struct {
	Enabled bool   `json:"enabled"`
	Reason  string `json:"reason"`
}

// AppPermissions is the answer of GET /v3/apps/:guid/permissions.
type AppPermissions struct {
	ReadBasicData     bool `json:"read_basic_data"`
	ReadSensitiveData bool `json:"read_sensitive_data"`
}
