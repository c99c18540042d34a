package node

import (
	"context"
	"errors"
	"net/netip"
	"time"
)

// ErrMachineUp refuses to forget a machine that may still run something.
var ErrMachineUp = errors.New("it is up: stop it first")

// ErrMachineDown refuses to tell a machine something that it cannot hear.
var ErrMachineDown = errors.New("it is down")

// ErrClock says that a machine holds our certificate, which is good, for one that has ended or begins later: its clock is off by
// more than certificates allow.
var ErrClock = errors.New("its clock is off by a day or more")

// Machine is one of the machines of an engine that has several.
type Machine struct {
	ID       string // the engine's own
	Name     string
	Address  string // where ports of workloads are published; empty: this machine
	Pool     string // see Workload.Pool; empty: the common ones
	Zone     string
	Labels   map[string]string // an operator's; shared, and not to be changed
	Version  string            // of what runs there beside us
	Up       bool
	Eligible bool // new workloads may be placed there
	Agent    bool // somebody of ours looks after the workloads there; without one nothing is placed
	// What workloads reserve there of what there is.
	Workloads, MemoryMB, ReservedMB int
	Builds                          int           // reservations for builds (see Reserver), which count in ReservedMB
	Cores                           int           // processors; zero: not known
	Kept                            int           // workloads that stay, which never leave it; not among Workloads
	DiskFull                        bool          // nothing new is placed there until there is room again
	Skew                            time.Duration // of its clock: positive if it is ahead of ours
	Away                            error         // why the one of ours who looks after it does not answer; nil: it does. ErrClock may be the reason
}

// Host is what somebody who looks after the workloads of a machine says of it.
type Host struct {
	Subnet   netip.Prefix  // where its workloads' addresses are
	DiskFull bool          // Docker's disk has no room for more images and containers
	Skew     time.Duration // see Machine
}

// Machines is an engine that has several. Its methods may be called at the same time.
type Machines interface {
	// Machines returns all, by name.
	Machines(ctx context.Context) ([]Machine, error)
	// SetEligible says whether new workloads may be placed on a machine. Of one where they may not, the
	// workloads have Status.Leaving. ErrNotFound: there is no such machine.
	SetEligible(ctx context.Context, id string, eligible bool) error
	// SetLabels changes labels of a machine; nil takes one away. ErrNotFound: there is no such one; ErrMachineDown: it is down.
	SetLabels(ctx context.Context, id string, labels map[string]*string) error
	// RemoveMachine forgets a machine that is down. ErrNotFound: there is no such one; ErrMachineUp: it is not down.
	RemoveMachine(ctx context.Context, id string) error
}
