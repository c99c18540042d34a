package capi

// Task is a command run once on a droplet.
type Task struct {
	Resource
	SequenceID    int               `json:"sequence_id"`
	Name          string            `json:"name"`
	Command       string            `json:"command,omitempty"` // left out in lists
	User          string            `json:"user"`
	State         string            `json:"state"`
	MemoryInMB    int               `json:"memory_in_mb"`
	DiskInMB      int               `json:"disk_in_mb"`
	LogRateLimit  int               `json:"log_rate_limit_in_bytes_per_second"`
	Result        TaskResult        `json:"result"`
	DropletGUID   string            `json:"droplet_guid"`
	Relationships TaskRelationships `json:"relationships"`
	Metadata      Metadata          `json:"metadata"`
	Links         Links             `json:"links"`
}

// TaskResult says why a task failed; null otherwise.
type TaskResult struct {
	FailureReason *string `json:"failure_reason"`
}

// TaskRelationships of a Task.
type TaskRelationships struct {
	App ToOne `json:"app"`
}

// TaskCreate is the body of POST /v3/apps/:guid/tasks.
type TaskCreate struct {
	Command      string         `json:"command,omitempty"`
	Template     *TaskTemplate  `json:"template,omitempty"`
	Name         string         `json:"name,omitempty"`
	DropletGUID  string         `json:"droplet_guid,omitempty"`
	MemoryInMB   *Int           `json:"memory_in_mb,omitempty"`
	DiskInMB     *Int           `json:"disk_in_mb,omitempty"`
	LogRateLimit *Int           `json:"log_rate_limit_in_bytes_per_second,omitempty"`
	Metadata     *MetadataPatch `json:"metadata,omitempty"`
}

// TaskTemplate is the process whose command a task runs.
type TaskTemplate struct {
	Process GUID `json:"process"`
}
