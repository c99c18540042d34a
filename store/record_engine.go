package store

import "time"

// MigrationGUID is the GUID of the one Migration that there is.
const MigrationGUID = "engine"

// States of a Migration.
const (
	MigrationRunning = "RUNNING"
	MigrationDone    = "DONE" // all that can is at the target
)

// Migration moves what runs from one engine to another, and says where what starts belongs from then on. Another one takes
// its place; without one everything starts in the cluster, where there is one.
type Migration struct {
	Meta
	Target   string    `json:"target"` // docker or nomad
	Parallel int       `json:"parallel"`
	State    string    `json:"state"`
	BeganAt  time.Time `json:"began_at"`
	EndedAt  time.Time `json:"ended_at,omitzero"`
	Maker    Actor     `json:"maker"`
}
