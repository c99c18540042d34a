package capi

import "time"

// Backup is the content of one of the platform's own data services at a moment (ours, not in CAPI v3).
type Backup struct {
	Resource
	State      string     `json:"state"` // in progress, succeeded or failed
	Error      string     `json:"error"`
	Bytes      int64      `json:"bytes"`
	SHA256     string     `json:"sha256"`
	FinishedAt *time.Time `json:"finished_at"`
	ProvedAt   *time.Time `json:"proved_at"` // when it was restored and queried; null: it never was
	Proof      string     `json:"proof"`     // what the query answered, or why it could not be restored
}

// DataService tells of the data in an instance of one of the platform's own data services (ours, not in CAPI v3).
type DataService struct {
	KeepsData bool         `json:"keeps_data"` // through restarts; false: it is a cache
	Backups   bool         `json:"backups"`    // it can be backed up
	LastProof *BackupProof `json:"last_proof"` // null: no backup was ever restored on trial
	// Recovery tells which moments can be restored; null: none, only backups.
	Recovery *DataRecovery `json:"recovery"`
	// Causes are why it does not do all that it should; empty: it does.
	Causes Array[Cause]  `json:"causes"`
	Usage  *ServiceUsage `json:"usage"` // null: not known yet
}

// ServiceUsage is what the server of a data service used when it was looked at, and what its plan allows. What is not known
// is null, what has no limit 0.
type ServiceUsage struct {
	At               Time     `json:"at"`
	CPU              *float64 `json:"cpu"` // cores
	MemoryBytes      *int64   `json:"memory_bytes"`
	MemoryLimit      int64    `json:"memory_limit_bytes"`
	DiskBytes        *int64   `json:"disk_bytes"`
	DiskLimit        int64    `json:"disk_limit_bytes"`
	Connections      *int     `json:"connections"`
	ConnectionsLimit int      `json:"connections_limit"`
}

// DataRecovery tells which moments of a data service can be restored (ours, not in CAPI v3).
type DataRecovery struct {
	Windows []DataWindow `json:"windows"` // the oldest first; none: there is no base backup yet
	// Open says that the last window goes on to this moment: what is not archived yet is archived before it is restored.
	Open      bool         `json:"open"`
	LastProof *BackupProof `json:"last_proof"` // the base backup that was last recovered on trial; null: none was
	Trouble   string       `json:"trouble"`    // why something cannot be archived now; empty: it can
	TroubleAt *time.Time   `json:"trouble_at"`
}

// DataWindow is from when to when every moment can be restored.
type DataWindow struct {
	From  time.Time `json:"from"`
	Until time.Time `json:"until"` // what is archived
	Bytes int64     `json:"bytes"` // that this takes
}

// BackupProof is the backup that was last restored and queried.
type BackupProof struct {
	GUID      string `json:"guid"`
	CreatedAt Time   `json:"created_at"`
	ProvedAt  Time   `json:"proved_at"`
	Proof     string `json:"proof"` // what the query answered
}

// UndeleteRequest may name what a service instance that comes back is called then, and the space that it comes into.
type UndeleteRequest struct {
	Name          string                   `json:"name,omitempty"`
	Relationships ServiceInstanceRelatesTo `json:"relationships"`
}

// RestoreRequest names a backup, or else a moment, and the service instance that had it then, when it is another one.
type RestoreRequest struct {
	Backup          GUID   `json:"backup,omitzero"`
	Time            string `json:"time,omitempty"` // RFC 3339, with fractions of a second or without
	ServiceInstance GUID   `json:"service_instance,omitzero"`
}

// DeletedServiceInstance is one whose data is still there (ours, not in CAPI v3).
type DeletedServiceInstance struct {
	Resource
	Name          string                   `json:"name"`
	PurgeAt       time.Time                `json:"purge_at"` // when its data is destroyed
	Relationships ServiceInstanceRelatesTo `json:"relationships"`
}
