package node

import (
	"errors"
	"time"
)

// ErrVolumeInUse says that another workload has the volume: two servers on the same files would ruin them.
var ErrVolumeInUse = errors.New("volume in use")

// Volume is a folder with data that outlives every workload it is mounted in. It belongs to whoever chose its
// ID, a service instance say, and not to the workload.
//
// It is made when a workload that names it is first started, and then begins as a copy of what the image has at Path,
// with owner and mode; a folder that the image's user may write is there for that. Stopping the workload, sweeping,
// purging, a crash or a new engine never remove it: RemoveVolume alone does. Start says ErrVolumeInUse while another
// workload that exists has it.
type Volume struct {
	ID   string // 1 to 128 letters, digits, dots, dashes and underscores; unique in the installation, never used again
	Path string // absolute, where it is seen in the workload
	// SizeMB is how large its content is meant to be. It may be another at each start. An engine need not enforce it:
	// whoever owns the volume compares VolumeStatus.UsedBytes. Zero: as large as the disk.
	SizeMB int
}

// VolumeStatus is what an engine knows of a volume.
type VolumeStatus struct {
	ID        string
	CreatedAt time.Time
	UsedBytes int64    // negative: not known
	UsedBy    []string // IDs of workloads that have it, also those that do not run now
}
