// Package node runs instances of apps. Its Engine is a small contract: run these workloads, keep them
// running with Cloud Foundry's crash rules, tell me how they are. What Docker or Nomad calls things stays
// inside node/docker and node/nomad; the controller's scheduling loop is the caller.
package node

import (
	"context"
	"errors"
	"io"
	"net"
	"os"
	"time"
)

// What callers can tell apart.
var (
	// ErrNotFound says that the engine has no such workload.
	ErrNotFound = errors.New("no such workload")
	// ErrUnavailable says that the engine cannot be reached now (Docker stopped); try again later.
	ErrUnavailable = errors.New("engine unavailable")
	// ErrInsufficient says that the machine has not the resources that the workload asks for.
	ErrInsufficient = errors.New("insufficient resources")
)

// Engine runs workloads. All methods may be called at the same time.
type Engine interface {
	// Start makes the workload exist and run. It is idempotent by Workload.ID: a second Start of a
	// workload that exists changes nothing and returns nil. It returns once the workload was accepted and
	// its image is there; becoming healthy is seen in List. A command that cannot be executed is no error
	// here: it is a crash, seen in List too.
	Start(ctx context.Context, w Workload) error
	// Stop sends the stop signal, waits up to grace (zero: 10 s; negative: not at all), kills, removes.
	// Stopping what is not there is no error.
	Stop(ctx context.Context, id string, grace time.Duration) error
	// List returns every workload of this installation, also those that another run of this process started.
	// It answers from memory and is cheap; while the engine cannot be reached it says what was seen last.
	// The maps in it are shared and must not be changed.
	List(ctx context.Context) ([]Status, error)
	// Find returns those of the workloads that there are, as List does.
	Find(ids ...string) []Status
	// Changed is sent to (capacity one, without blocking) when a List may answer differently.
	Changed() <-chan struct{}
	// TakeChanges returns for which workloads that is so, since it was called last; the first time, all. It is
	// for one caller. Reading what has changed after it misses nothing.
	TakeChanges() Changes
	// Usage returns what the workloads use now; those that are not running are absent.
	Usage(ctx context.Context, ids ...string) (map[string]Usage, error)
	// Logs calls fn with each line that the workload printed after since, in order, until the workload is
	// gone, a task has ended or ctx ends. Starting again with the Time of the last line seen as since gives
	// neither gaps nor repetitions. A line longer than 64 KiB comes in pieces. Text is fn's to keep.
	Logs(ctx context.Context, id string, since time.Time, fn func(LogLine)) error
	// Exec runs a command in a running workload, as the workload's user.
	Exec(ctx context.Context, id string, e Exec) (exitStatus int, err error)
	// Dial connects from inside a running workload, to its own loopback addresses too; network is tcp, and
	// address is host:port with names as the workload knows them. What the workload may not reach cannot
	// be dialed.
	Dial(ctx context.Context, id, network, address string) (net.Conn, error)
	// SetNetwork says what workloads may reach, whole, replacing what was said before. It holds for the
	// workloads that run and for those to come, within seconds, and goes on when this process has ended. Until
	// the first call of a process, what an earlier one said stays.
	SetNetwork(ctx context.Context, n Network) error
	// UpdateFiles replaces files of a workload (see Extra.Files) while it runs.
	UpdateFiles(ctx context.Context, id string, files map[string][]byte) error
	// Volumes lists the volumes of this installation. It looks at the disk, so it is not cheap.
	Volumes(ctx context.Context) ([]VolumeStatus, error)
	// RemoveVolume destroys a volume with all that is in it, for ever. What is not there is no error;
	// ErrVolumeInUse says that a workload has it.
	RemoveVolume(ctx context.Context, id string) error
	// Ping returns nil if the engine can start workloads now, else ErrUnavailable with the reason.
	Ping(ctx context.Context) error
	// Close ends all that the engine started in this process. Workloads go on running.
	Close() error
}

// Workload is one instance of a process, or one task.
type Workload struct {
	ID         string            // instance GUID (8-4-4-4-4) or task GUID
	Labels     map[string]string // given back in Status as they are: app, process, version, index ...
	Image      string            // reference by digest that the engine can pull
	PullUser   string            // credentials for Image's registry
	PullSecret string
	Command    []string // arguments of the image's entrypoint; empty: the image's default
	Entrypoint []string // empty: the image's
	Env        map[string]string
	User       string // empty: the image's
	AllowRoot  bool   // an image whose user is root may run; without capabilities all the same
	MemoryMB   int    // hard limit
	CPUShares  int    // relative weight; zero: from the memory, as Cloud Foundry does
	DiskMB     int    // quota of the writable layer where the storage driver can; else watched
	PIDs       int    // process limit; zero: 1024
	Ports      []int  // that the app listens on; the first is $PORT
	StopSignal string // empty: SIGTERM
	Once       bool   // a task: run to the end, never restarted
	Egress     string // key of Network.Egress
	Peer       string // what policies call it (Policy.From, To)
	Address    string // IP that it had before and wants again, where the engine can; empty: any
	Pool       string // of nodes where it may run, where the engine has several; empty: the common ones
	Liveness   Check
	Readiness  Check
	Volumes    []Volume // data that stays when the workload goes
	// Stays says that, where there are several machines, the workload is always started on the one that it was first on, and gets
	// its address again. While that machine is away it is waited for. With Volumes that is always so.
	Stays bool
	// Finish, when it is set, is called before the workload starts with the address that it will have, empty
	// if the engine does not know it yet, and returns what depends on that.
	Finish func(address string) (Extra, error) `json:"-"`
}

// Extra is what a workload has besides, once its address is known.
type Extra struct {
	Env map[string]string // added to the workload's
	// Files are contents by absolute path. Every user in the workload may read them, none but root may
	// change them. Those of one folder change together.
	Files map[string][]byte
}

// Check is a health check. An http or port check goes to the first port. A zero Timeout, Interval or
// InvocationTimeout means 60 s, 30 s and 1 s. Until it first passes, and while a readiness check fails,
// an engine asks much more often than each Interval, so that nobody waits for a workload that is ready.
//
// A liveness check that does not pass within Timeout of the start, or that fails three times in a row
// later, counts as a crash. A readiness check only decides Status.Ready.
type Check struct {
	Type              string // port, http, process (also the empty string)
	Endpoint          string
	Timeout           time.Duration
	InvocationTimeout time.Duration
	Interval          time.Duration
}

// State of a workload as the engine sees it.
type State string

// The states. Crashed means: ended by itself or killed as unhealthy, waiting for its next start.
const (
	Starting State = "STARTING"
	Running  State = "RUNNING"
	Crashed  State = "CRASHED"
	Stopping State = "STOPPING"
	Exited   State = "EXITED" // a task that ended
)

// Status is what the engine knows of a workload.
type Status struct {
	ID     string
	Labels map[string]string
	Peer   string // Workload.Peer
	// Own says that the engine of one machine runs it there, for a workload that stays; MemoryMB is Workload's.
	Own      bool
	MemoryMB int
	State    State
	Ready    bool   // may get requests: healthy and the readiness check passes
	Address  string // IP that the router on this machine can reach
	// Host and HostPorts are where the ports of Workload.Ports are reached from other machines. An empty Host
	// means that the workload runs on this one: its ports are at Address.
	Host       string
	HostPorts  map[int]int
	Zone       string    // of the machine where it runs
	Since      time.Time // of State
	StartedAt  time.Time
	Crashes    int    // in a row: zero again after 5 healthy minutes
	ExitStatus int    // of the last end
	OOMKilled  bool   // the last end
	Details    string // why it crashed or is not healthy, in words: "listens on 127.0.0.1:8080 only; ..."
	Generation int    // grows with each start of this workload that this process saw
	Leaving    bool   // its machine shall be empty: another is to take its place
	Engine     string // which of a Settler's engines runs it; empty: there is one
}

// Usage is what a workload uses.
type Usage struct {
	Time        time.Time
	CPU         float64 // cores
	MemoryBytes int64
	DiskBytes   int64 // writable layer
	PIDs        int
}

// LogLine is a line of output, without its line end.
type LogLine struct {
	Time   time.Time
	Stderr bool
	Text   []byte
}

// Exec is a command to run inside a workload.
type Exec struct {
	Command        []string
	Env            []string
	TTY            bool
	Stdin          io.Reader // its end ends the command's input; on a terminal by the character that does so
	Stdout, Stderr io.Writer
	Resize         <-chan [2]uint16 // columns, rows
	Signals        <-chan os.Signal // sent to the command's process group
	// Program, if not nil, is run with Command as its arguments: see Program.
	Program *Program
}

// Program is an executable that Exec puts into the workload before it runs it there. It must be linked
// statically, since the workload's image may have nothing but its app. It stays for the workload's life, owned by root.
type Program struct {
	Name    string // lower-case letters
	Content []byte
}
