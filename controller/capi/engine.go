package capi

// Engines that run instances.
const (
	EngineDocker = "docker" // this machine's Docker
	EngineNomad  = "nomad"  // a cluster
)

// Engine is where instances run, and what it takes to move them to Target. Cupola's own: Cloud Foundry has no such resource.
type Engine struct {
	Engine    string               `json:"engine"` // where instances start now
	Target    string               `json:"target"` // that the rest is about
	Migration *EngineMigration     `json:"migration"`
	Apps      Array[EngineApp]     `json:"apps"` // with something that runs
	Services  Array[EngineService] `json:"data_services"`
	NeededMB  int                  `json:"needed_memory_in_mb"` // to move what is not at the target
	FreeMB    int                  `json:"free_memory_in_mb"`   // there
	Nodes     int                  `json:"ready_nodes"`         // of the target
	Problems  Array[EngineProblem] `json:"problems"`            // that stand in the way
}

// EngineMigration is the one that is under way, or the last one.
type EngineMigration struct {
	Target    string `json:"target"`
	State     string `json:"state"`    // RUNNING or DONE
	Parallel  int    `json:"parallel"` // apps at the same time
	StartedAt Time   `json:"started_at"`
	EndedAt   *Time  `json:"ended_at"`
}

// EngineApp is an app with instances or tasks that run.
type EngineApp struct {
	GUID   string `json:"guid"`
	Name   string `json:"name"`
	Space  string `json:"space"`
	Org    string `json:"organization"`
	Docker int    `json:"docker_instances"`
	Nomad  int    `json:"nomad_instances"`
	Tasks  int    `json:"tasks"` // that run elsewhere than at the target, and end there
	// MemoryMB is what its instances need that are not at the target.
	MemoryMB int    `json:"memory_in_mb"`
	State    string `json:"state"` // one of MoveWaits and those below it
	Detail   string `json:"detail,omitempty"`
}

// States of an EngineApp.
const (
	MoveWaits   = "TO MOVE"
	MoveGoesOn  = "MOVING"  // new instances are at the target, or will be
	MoveDelayed = "DELAYED" // the new ones do not get healthy; the old ones serve on
	MoveDone    = "MOVED"
	MoveNever   = "STAYS"
	MoveTasks   = "ENDING" // tasks run to their end where they are
)

// EngineService is a data service; it stays where its volume is.
type EngineService struct {
	GUID   string `json:"guid"`
	Name   string `json:"name"`
	Engine string `json:"engine"`          // that runs it
	UsedMB int    `json:"used_disk_in_mb"` // of its volume
}

// EngineProblem stands in the way of a migration.
type EngineProblem struct {
	App    string `json:"app,omitempty"` // that cannot be moved for it; empty: none can
	Detail string `json:"detail"`
	Remedy string `json:"remedy"`
}

// EngineMigrate asks for one.
type EngineMigrate struct {
	Target   string `json:"target"`
	Parallel *int   `json:"parallel,omitempty"` // apps at the same time; nil: 3
	// Force begins in spite of problems: what cannot be moved waits where it is.
	Force bool `json:"force,omitempty"`
}
