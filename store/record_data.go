package store

import "time"

// States of a DataService: what its owner wants of it, and how far that is.
const (
	DataCreating  = "creating"  // becoming usable for the first time
	DataReady     = "ready"     // to be kept running
	DataUpdating  = "updating"  // becoming NextPlanID, restarted for that
	DataRestoring = "restoring" // getting the content of RestoreFrom
	DataDeleting  = "deleting"  // being stopped; its volume stays
	DataDeleted   = "deleted"   // stopped; the volume stays until PurgeAt
	DataFailed    = "failed"    // it never became usable
)

// Types of a DataService's Operation besides those of the marketplace.
const (
	DataRestore  = "restore"
	DataUndelete = "undelete"
)

// What a DataService's Disk can be; empty: it was never full.
const (
	DataFull    = "full"    // the server refuses what takes more
	DataStopped = "stopped" // it went on growing, and its server was stopped
	DataRoom    = "room"    // it was full, and is not any more
)

// DataService is an instance of an offering of the platform's own broker; its GUID is the one that the marketplace
// knows it by. The broker alone writes it, but for what its instance in the marketplace had beside it: name, tags, labels and
// annotations, which are kept here once that is deleted.
type DataService struct {
	Meta
	OfferingID string `json:"offering_id"`
	PlanID     string `json:"plan_id"`
	NextPlanID string `json:"next_plan_id,omitempty"` // while it is updated
	// Version of the offering that its image is of, and the catalogue file of that time, by which its server is run until it
	// is upgraded. Both are empty before there is an image.
	Version    string `json:"version,omitempty"`
	Definition []byte `json:"definition,omitempty"`
	// Upgrade says that the update under way takes a new image, after UpgradeBackup, the GUID of a DataBackup, where the
	// offering has backups.
	Upgrade       bool     `json:"upgrade,omitempty"`
	UpgradeBackup string   `json:"upgrade_backup,omitempty"`
	Ports         []int    `json:"ports"` // that bound apps may connect to
	OrgGUID       string   `json:"org_guid,omitempty"`
	SpaceGUID     string   `json:"space_guid,omitempty"`
	Name          string   `json:"name,omitempty"` // as its space calls it
	Tags          []string `json:"tags,omitempty"` // of one that is deleted, as those of Meta

	State       string    `json:"state"`
	OperationID string    `json:"operation_id,omitempty"` // changes with each operation
	Operation   Operation `json:"operation"`

	Repository    string            `json:"repository,omitempty"` // of its image in the platform's registry
	ImageDigest   string            `json:"image_digest,omitempty"`
	Address       string            `json:"address,omitempty"`
	Secrets       map[string]string `json:"secrets,omitempty"`
	CertificateAt time.Time         `json:"certificate_at"` // when the one in the container was made
	PurgeAt       time.Time         `json:"purge_at"`       // when the volume of a deleted one goes

	RestoreFrom string `json:"restore_from,omitempty"` // GUID of a DataBackup, while that goes on
	// RestoreTo is, while that goes on, the moment whose content it gets, and RestoreOf the GUID of the DataService that
	// had it then. A zero time: RestoreFrom.
	RestoreTo time.Time `json:"restore_to"`
	RestoreOf string    `json:"restore_of,omitempty"`
	// RestoreKey seals what the instance had before any of its restores.
	RestoreKey []byte `json:"restore_key,omitempty"`

	Disk string `json:"disk,omitempty"` // whether its volume holds more than its plan allows: DataFull and the like
	// Evict are users that were unbound while the server was stopped for its disk; it forgets them at its next start.
	Evict []string `json:"evict,omitempty"`
	// Measures says that the keeper in its image can measure the volume.
	Measures bool `json:"measures,omitempty"`
}

// DataBinding is one who may use a DataService; its GUID is the marketplace's.
type DataBinding struct {
	Meta
	ServiceGUID string `json:"service_guid"`
	AppGUID     string `json:"app_guid,omitempty"` // empty: a key
	OfferingID  string `json:"offering_id"`
	PlanID      string `json:"plan_id"`
	User        string `json:"user"`
	Password    string `json:"password"`
	Made        bool   `json:"made"` // the server knows it
}

// DataBackup is the whole content of a DataService at a moment, encrypted with a key of its own.
type DataBackup struct {
	Meta
	ServiceGUID string    `json:"service_guid"`
	OfferingID  string    `json:"offering_id"`
	PlanID      string    `json:"plan_id"`
	State       string    `json:"state"` // OperationInProgress, OperationSucceeded, OperationFailed
	Error       string    `json:"error,omitempty"`
	Bytes       int64     `json:"bytes"`
	SHA256      string    `json:"sha256,omitempty"` // of what is stored
	Key         []byte    `json:"key,omitempty"`
	FinishedAt  time.Time `json:"finished_at"`
	ProvedAt    time.Time `json:"proved_at"` // when it was last restored and queried; zero: never
	Proof       string    `json:"proof,omitempty"`
}

// DataArchive is an unbroken run of what the server of a DataService wrote ahead of its changes, in pieces that are called
// segments, with base backups to begin from. Any moment from the end of one of these to Until can be restored.
type DataArchive struct {
	Meta
	ServiceGUID string    `json:"service_guid"`
	Key         []byte    `json:"key,omitempty"` // from which those of the segments are derived
	First       string    `json:"first"`         // names of the segments that are there; empty: none yet
	Last        string    `json:"last"`
	Until       time.Time `json:"until"` // when Last was written last
	// Closed says why no more segments follow; empty: they do. A later archive begins where this one could not go on.
	Closed string `json:"closed,omitempty"`
	Days   int    `json:"days"` // how far back a restore must be possible

	Bases   []DataBase   `json:"bases,omitempty"`   // the oldest first
	Leaving []DataPieces `json:"leaving,omitempty"` // that are being removed
	// Trouble is why a segment could not be kept when it was last tried; empty: it could.
	Trouble   string    `json:"trouble,omitempty"`
	TroubleAt time.Time `json:"trouble_at"` // since when
	// BaseTrouble is why no base backup could be made or proved when it was last tried, at BaseTriedAt.
	BaseTrouble string    `json:"base_trouble,omitempty"`
	BaseTriedAt time.Time `json:"base_tried_at"`
}

// Window is from when to when any moment can be restored; ok is false while there is none.
func (a *DataArchive) Window() (from, until time.Time, ok bool) {
	for _, b := range a.Bases {
		if b.State == OperationSucceeded && !b.FinishedAt.After(a.Until) {
			return b.FinishedAt, a.Until, true
		}
	}
	return from, until, false
}

// DataBase is a base backup: the files of a server as they were while it went on, to which the segments from Start to End
// belong.
type DataBase struct {
	GUID       string    `json:"guid"`
	Key        []byte    `json:"key,omitempty"`
	State      string    `json:"state"` // OperationInProgress, OperationSucceeded
	BeganAt    time.Time `json:"began_at"`
	FinishedAt time.Time `json:"finished_at"` // no earlier moment can be restored from it
	Start      string    `json:"start"`
	End        string    `json:"end,omitempty"`
	Bytes      int64     `json:"bytes"`
	LogBytes   int64     `json:"log_bytes"` // of the segments from Start to the next base backup
	ProvedAt   time.Time `json:"proved_at"` // when it was restored and queried; zero: never
	Proof      string    `json:"proof,omitempty"`
}

// DataPieces are a base backup, if Base is not empty, and segments, if First is not.
type DataPieces struct {
	Base  string `json:"base,omitempty"`
	First string `json:"first,omitempty"`
	Last  string `json:"last,omitempty"`
}
