package node

import "context"

// Reservation asks for room for a build on one machine. It counts there as a workload does, and no memory or processor that it
// was given is given to a workload as well.
type Reservation struct {
	ID         string // of the build
	Machine    string // Machine.ID
	MemoryMB   int
	DiskMB     int
	Image      string // whose container does nothing until it is asked to end; by digest, in the platform's registry
	PullUser   string // credentials for Image's registry
	PullSecret string
}

// Reserver is an engine that keeps room on its machines for what somebody else runs there. Its methods may be called at
// the same time.
type Reserver interface {
	Machines
	// Reserve returns once the room is kept. gone is closed when it is not any more: the machine was lost, or somebody took
	// it away; after that, too, Unreserve is called. ErrInsufficient: the machine has no room now.
	Reserve(ctx context.Context, r Reservation) (gone <-chan struct{}, err error)
	// Unreserve gives the room back. What is not kept is no error.
	Unreserve(ctx context.Context, id string) error
	// Reserved lists the ids of all reservations, those of an earlier process too.
	Reserved() []string
	// Prepull has a machine fetch an image that it does not have, by any reference; one of the platform's registry it reads as
	// it does for workloads. ErrUnavailable: it does not answer.
	Prepull(ctx context.Context, machine, image string) error
	// Moved is closed when machines, or what they have room for, may be others than when it was called.
	Moved() <-chan struct{}
}
