// Package docker runs workloads as containers of a Docker Engine on this machine.
//
// It relies on Docker for what must go on when nobody is watching (restarting what crashed, starting
// everything after a reboot, keeping the logs) and adds what Docker does not have: health checks, Cloud
// Foundry's back-off, quotas, and bridges from which an app reaches neither the host nor other apps.
// DESIGN.md has the reasons. It never mounts a path of the host, grants a capability, or touches a
// container, image or network that does not carry this installation's label.
package docker

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/netip"
	"regexp"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/docker/docker/api/types/system"
	"github.com/docker/docker/client"
	"golang.org/x/sync/singleflight"

	"github.com/cupola-paas/cupola/node"
)

var _ node.Engine = (*Docker)(nil)

// Options say which Docker to use and how. Only Installation is required.
type Options struct {
	// Installation is the random id of this platform: 1 to 32 lower-case letters, digits and dashes. It
	// labels and names all that is made, so that several platforms can share a Docker.
	Installation string
	// Host of Docker; empty: DOCKER_HOST, else the usual socket.
	Host string
	// AppsSubnet and StagingSubnet are the bridges' networks (CIDR); empty: Docker chooses.
	AppsSubnet, StagingSubnet string
	// HostPorts are the TCP ports of this machine that apps may connect to: the router's. At the gateway of their bridge they
	// always may, elsewhere where a rule of their space allows everything.
	HostPorts []int
	// ImagePrefix is what references of our own images begin with ("127.0.0.1:5870/"). RemoveImages
	// removes nothing else, and nothing at all when it is empty.
	ImagePrefix string
	// Attach says that a scheduler makes the containers, on this machine's network of the same name and with
	// AttachLabels, beside those of this engine's own workloads; it looks after them, but the scheduler restarts them.
	Attach bool
	// DialFar reaches a workload on another machine for one here of the peer from; nil: there are no other machines.
	DialFar func(ctx context.Context, far node.Far, from string, to netip.AddrPort) (net.Conn, error)
	// ReservedMemoryMB is kept from workloads, for the system and the platform itself.
	ReservedMemoryMB int
	// Backoff is the first wait after the crash that follows ImmediateRestarts; it doubles up to
	// BackoffMax. Zero: 30 s, 16 min. HealthyAfter forgets the crashes; zero: 5 min.
	Backoff, BackoffMax, HealthyAfter time.Duration
	// Resync is the interval of the slow full comparison; zero: 1 min.
	Resync time.Duration
	Logger *slog.Logger // nil: slog.Default
}

// ImmediateRestarts is how many crashes in a row are answered by a restart at once.
const ImmediateRestarts = 3

var installationName = regexp.MustCompile(`^[a-z0-9][a-z0-9-]{0,31}$`)

func (o *Options) fill() error {
	if !installationName.MatchString(o.Installation) {
		return fmt.Errorf("docker: installation id %q: use 1 to 32 lower-case letters, digits and dashes", o.Installation)
	}
	for _, p := range o.HostPorts {
		if p < 1 || p > 65535 {
			return fmt.Errorf("docker: host port %d: use 1 to 65535", p)
		}
	}
	o.Backoff = cmpOr(o.Backoff, 30*time.Second)
	o.BackoffMax = max(cmpOr(o.BackoffMax, 16*time.Minute), o.Backoff)
	o.HealthyAfter = cmpOr(o.HealthyAfter, 5*time.Minute)
	o.Resync = cmpOr(o.Resync, time.Minute)
	if o.Logger == nil {
		o.Logger = slog.Default()
	}
	return nil
}

func cmpOr(d, def time.Duration) time.Duration {
	if d <= 0 {
		return def
	}
	return d
}

// Docker is a node.Engine.
type Docker struct {
	o     Options
	log   *slog.Logger
	api   *client.Client
	info  facts
	fw    *firewall
	nets  networks
	users sync.Map // image id + user -> error or nil: see checkUser

	ctx    context.Context // of everything that runs in the background
	cancel context.CancelFunc
	wg     sync.WaitGroup

	*node.Feed
	probes  chan struct{} // one token for each probe under way
	calls   chan struct{} // one token for each background call of Docker
	pulls   singleflight.Group
	sizes   sizeCache
	noInit  atomic.Bool // Docker has no init binary
	noQuota atomic.Bool // Docker refused a storage quota
	full    atomic.Bool // the disk was full at the last look
	taking  sync.Mutex  // one takeBack at a time; before mu

	mu        sync.RWMutex
	instances map[string]*instance
	pending   map[string]node.Workload // being started now; counts in the memory that is taken
	busy      map[string]*keyLock
	down      error // why Docker cannot be reached; nil: it can
	warnings  []string
}

// facts are what Docker says of the machine.
type facts struct {
	memoryMB int
	rootDir  string
	quota    bool // the storage driver limits the writable layer
	local    bool // Docker runs on this machine: its processes are ours to look at
	version  string
}

// Open connects to Docker, makes the networks and rules that are missing, and takes back the workloads of
// the installation that exist. Those that run are probed once before Open returns, so that the first List
// already says which are ready: a controller that restarts need not take routes away.
func Open(ctx context.Context, o Options) (*Docker, error) {
	if err := o.fill(); err != nil {
		return nil, err
	}
	d := &Docker{
		o: o, log: o.Logger.With("engine", "docker"),
		Feed:      node.NewFeed(),
		probes:    make(chan struct{}, 64),
		calls:     make(chan struct{}, 8),
		instances: map[string]*instance{},
		pending:   map[string]node.Workload{},
		busy:      map[string]*keyLock{},
	}
	d.ctx, d.cancel = context.WithCancel(context.Background())
	if err := d.open(ctx); err != nil {
		return nil, errors.Join(err, d.Close())
	}
	return d, nil
}

func (d *Docker) open(ctx context.Context) error {
	if err := d.connect(ctx); err != nil {
		return err
	}
	if err := d.ensureNetworks(ctx); err != nil {
		return err
	}
	d.fw = newFirewall(d)
	if err := d.listenFar(); err != nil {
		return err
	}
	if err := d.fw.apply(); err != nil {
		d.warn("apps and builds can reach this machine and its neighbours more freely than they should: " + err.Error())
	}
	stream := d.subscribe(d.ctx) // before the list, so that nothing falls between
	if err := d.takeBack(ctx, true); err != nil {
		return err
	}
	d.wg.Go(func() { d.follow(stream) })
	d.wg.Go(d.rounds)
	return nil
}

func (d *Docker) connect(ctx context.Context) error {
	opts := []client.Opt{client.FromEnv, client.WithAPIVersionNegotiation()}
	if d.o.Host != "" {
		opts = append(opts, client.WithHost(d.o.Host))
	}
	api, err := client.NewClientWithOpts(opts...)
	if err != nil {
		return fmt.Errorf("docker: host %q: %w; name it like unix:///var/run/docker.sock", d.o.Host, err)
	}
	d.api = api
	ctx, cancel := context.WithTimeout(ctx, 10*time.Second)
	defer cancel()
	info, err := api.Info(ctx)
	if err != nil {
		return fmt.Errorf("%w: Docker does not answer at %s: start it (systemctl start docker), install it, or name another with DOCKER_HOST (%v)",
			node.ErrUnavailable, api.DaemonHost(), err)
	}
	if info.OSType != "linux" {
		return fmt.Errorf("docker: %s runs %s containers; a Docker with Linux containers is needed", api.DaemonHost(), info.OSType)
	}
	d.info = d.learn(info)
	switch {
	case !info.MemoryLimit:
		d.warn("memory limits are not enforced: boot the kernel with cgroup_enable=memory")
	case !info.SwapLimit:
		d.warn("memory limits do not count swap: boot the kernel with swapaccount=1, or without swap")
	}
	if !info.PidsLimit {
		d.warn("process limits are not enforced: the kernel lacks the pids controller")
	}
	return nil
}

func (d *Docker) learn(info system.Info) facts {
	local := strings.HasPrefix(d.api.DaemonHost(), "unix://")
	return facts{
		memoryMB: int(info.MemTotal >> 20),
		rootDir:  info.DockerRootDir,
		quota:    quotaSupported(info, local),
		local:    local,
		version:  info.ServerVersion,
	}
}

// Close ends what runs in this process. Containers go on, and what is held back after crashes is let go,
// so that nothing stays down because nobody is there to start it.
func (d *Docker) Close() error {
	d.cancel()
	d.wg.Wait()
	if d.api == nil {
		return nil
	}
	d.releaseHeld()
	return d.api.Close()
}

// Ping asks Docker for a sign of life.
func (d *Docker) Ping(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, 5*time.Second)
	defer cancel()
	if _, err := d.api.Ping(ctx); err != nil {
		return fmt.Errorf("%w: Docker does not answer at %s: %v", node.ErrUnavailable, d.api.DaemonHost(), err)
	}
	return nil
}

// List implements node.Engine, from memory.
func (d *Docker) List(context.Context) ([]node.Status, error) {
	d.mu.RLock()
	defer d.mu.RUnlock()
	all := make([]node.Status, 0, len(d.instances))
	for _, i := range d.instances {
		all = append(all, i.snapshot())
	}
	return all, nil
}

// Find implements node.Engine.
func (d *Docker) Find(ids ...string) []node.Status {
	d.mu.RLock()
	defer d.mu.RUnlock()
	var found []node.Status
	for _, id := range ids {
		if i := d.instances[id]; i != nil {
			found = append(found, i.snapshot())
		}
	}
	return found
}

// Warnings say what protects less than it should on this machine, each in a sentence.
func (d *Docker) Warnings() []string {
	d.mu.RLock()
	defer d.mu.RUnlock()
	return slices.Clone(d.warnings)
}

// warn logs a sentence and keeps it, once.
func (d *Docker) warn(s string) {
	d.mu.Lock()
	known := slices.Contains(d.warnings, s)
	if !known {
		d.warnings = append(d.warnings, s)
	}
	d.mu.Unlock()
	if !known {
		d.log.Warn("docker engine", "warning", s)
	}
}

func (d *Docker) find(id string) *instance {
	d.mu.RLock()
	defer d.mu.RUnlock()
	return d.instances[id]
}

// keyLock lets one Start or Stop of a workload run at a time.
type keyLock struct {
	sync.Mutex
	users int
}

func (d *Docker) lock(id string) (unlock func()) {
	d.mu.Lock()
	k := d.busy[id]
	if k == nil {
		k = &keyLock{}
		d.busy[id] = k
	}
	k.users++
	d.mu.Unlock()
	k.Lock()
	return func() {
		k.Unlock()
		d.mu.Lock()
		defer d.mu.Unlock()
		if k.users--; k.users == 0 {
			delete(d.busy, id)
		}
	}
}

// slot waits for the right to make a background call, so that a thousand instances do not ask at once.
func (d *Docker) slot(ctx context.Context) (release func(), ok bool) {
	select {
	case d.calls <- struct{}{}:
		return func() { <-d.calls }, true
	case <-ctx.Done():
		return nil, false
	}
}

// failed wraps an error of Docker's client with what was tried.
func failed(what string, err error) error {
	if err == nil {
		return nil
	}
	if unreachable(err) {
		return fmt.Errorf("%s: %w: %v", what, node.ErrUnavailable, err)
	}
	if noSpace(err) {
		return fmt.Errorf("%s: %w: the disk of Docker is full: %v", what, node.ErrInsufficient, err)
	}
	return fmt.Errorf("%s: %w", what, err)
}
