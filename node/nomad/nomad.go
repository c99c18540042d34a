// Package nomad runs workloads on a HashiCorp Nomad cluster.
//
// Nomad decides where a workload runs, starts it again after a crash or the loss of its node, and goes on doing
// so while nobody watches. On each node an agent of ours (an attached engine of node/docker) looks after the
// containers that Nomad makes there: it probes them, makes the rules of what they may reach, reads their
// output and runs commands inside. This engine writes jobs, follows Nomad's event stream and the agents, and
// puts the two views together. DESIGN.md has the reasons.
//
// It writes no job of another name than its own, and never asks for a privilege, a namespace or a volume of the host.
package nomad

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/netip"
	"net/url"
	"strings"
	"sync"
	"time"

	"github.com/hashicorp/nomad/api"

	"github.com/cupola-paas/cupola/node"
)

var _ node.Engine = (*Nomad)(nil)

// Agent is what runs on each node beside Nomad's client: the parts of a node.Engine that are about containers
// which exist. An attached *docker.Docker is one.
type Agent interface {
	Stop(ctx context.Context, id string, grace time.Duration) error
	List(ctx context.Context) ([]node.Status, error)
	Changed() <-chan struct{}
	Usage(ctx context.Context, ids ...string) (map[string]node.Usage, error)
	Logs(ctx context.Context, id string, since time.Time, fn func(node.LogLine)) error
	Exec(ctx context.Context, id string, e node.Exec) (int, error)
	Dial(ctx context.Context, id, network, address string) (net.Conn, error)
	SetNetwork(ctx context.Context, n node.Network) error
	UpdateFiles(ctx context.Context, id string, files map[string][]byte) error
	Close() error
	// Host tells how the machine is, from memory.
	Host(ctx context.Context) (node.Host, error)
	Flows(ctx context.Context) ([]node.Flow, error)
	// Start starts a workload that stays there. own says that its image is named without the host of the platform's registry,
	// as Prepull's is.
	Start(ctx context.Context, w node.Workload, own bool) error
	Prepull(ctx context.Context, image string, own bool) error
	Volumes(ctx context.Context) ([]node.VolumeStatus, error)
	RemoveVolume(ctx context.Context, id string) error
}

// Options say which cluster to use and how. Installation and Local are required.
type Options struct {
	// Installation is the random id of this platform (see docker.Options): jobs carry it in their names.
	Installation string
	// Address of a Nomad agent, or of several, separated by commas, of which any will do; empty: NOMAD_ADDR, else http://127.0.0.1:4646. Token and the TLS files likewise come
	// from Nomad's own variables where they are empty.
	Address, Token, Namespace     string
	CACert, ClientCert, ClientKey string
	// Local looks after the containers of the Nomad node on this machine, if there is one, and is told what builds
	// may reach. Close closes it. It runs itself what stays on this machine, and what it ran
	// before there was a cluster.
	Local Local
	// Places remembers where workloads that stay are; nil: all on this machine.
	Places Places
	// LocalDNS are the name servers of workloads on this machine.
	LocalDNS []netip.Addr
	// Connect reaches the agent of another node at host:port; nil: there are no others.
	Connect func(nodeID, address string) (Agent, error)
	// ImagePrefix is what references of our own images begin with. Nodes pull these by way of their agents.
	ImagePrefix string
	// LocalRegistry is where the node on this machine finds these images (host:port), and LocalPull makes the password
	// with which it reads them there: it is asked for a fresh one every pullRenewal, and each must be good for longer.
	LocalRegistry string
	LocalPull     func() string
	// Oversubscribe is the part of its memory limit that a workload reserves, above 0 and below 1. Zero: all of
	// it. Below 1 Nomad's scheduler configuration must allow memory oversubscription.
	Oversubscribe float64
	// See docker.Options. Nomad waits no less than 5 s.
	Backoff, BackoffMax, HealthyAfter time.Duration
	// Resync is the interval of the slow full comparison; zero: 1 min.
	Resync time.Duration
	// Settlement holds until Settle says another.
	Settlement node.Settlement
	Logger     *slog.Logger
}

func (o *Options) fill() {
	o.Backoff = orDefault(o.Backoff, 30*time.Second)
	o.BackoffMax = max(orDefault(o.BackoffMax, 16*time.Minute), o.Backoff)
	o.HealthyAfter = orDefault(o.HealthyAfter, 5*time.Minute)
	o.Resync = orDefault(o.Resync, time.Minute)
	if o.Logger == nil {
		o.Logger = slog.Default()
	}
}

func orDefault(d, def time.Duration) time.Duration {
	if d <= 0 {
		return def
	}
	return d
}

// Nomad is a node.Engine.
type Nomad struct {
	o     Options
	log   *slog.Logger
	api   *api.Client
	build builder

	ctx    context.Context // of everything that runs in the background
	cancel context.CancelFunc
	wg     sync.WaitGroup

	*node.Feed
	images   imageCache
	taking   sync.Mutex // one resync at a time; before mu
	starting keyLocks   // by workload, then by process
	farWake  chan struct{}

	mu        sync.RWMutex
	workloads map[string]*workload
	nodes     map[string]*member
	kept      map[string]*member // workloads that machines other than the controller's keep
	network   *node.Network      // nil until it was said; a new one each time
	targets   map[string]bool    // peers that its policies lead to
	moved     chan struct{}      // closed and replaced when there may be other room
	down      error              // why Nomad cannot be reached; nil: it can
	localNode string             // id of the Nomad node on this machine; empty: none
	self      *api.AgentSelf
	pullMade  time.Time // of Open, then of rounds alone
	settled   node.Settlement
}

// Open connects to Nomad, checks that its version will do, and takes back the workloads of the installation.
func Open(ctx context.Context, o Options) (*Nomad, error) {
	o.fill()
	e := &Nomad{
		o: o, log: o.Logger.With("engine", "nomad"),
		Feed:      node.NewFeed(),
		workloads: map[string]*workload{},
		nodes:     map[string]*member{},
		settled:   o.Settlement,
		kept:      map[string]*member{},
		farWake:   make(chan struct{}, 1),
		moved:     make(chan struct{}),
		build: builder{
			installation: o.Installation, imagePrefix: o.ImagePrefix, backoff: o.Backoff, backoffMax: o.BackoffMax,
			healthyAfter: o.HealthyAfter, oversubscribe: o.Oversubscribe, datacenters: []string{"*"},
		},
	}
	if o.LocalRegistry == "" {
		e.build.imagePrefix = ""
	}
	e.ctx, e.cancel = context.WithCancel(context.Background())
	if err := e.open(ctx); err != nil {
		return nil, errors.Join(err, e.Close())
	}
	return e, nil
}

// client is how Nomad is spoken to: what is not said here is as Nomad's variables say.
func (o *Options) client() *api.Config {
	c := api.DefaultConfig()
	c.Address = cmp.Or(o.Address, c.Address)
	c.SecretID = cmp.Or(o.Token, c.SecretID)
	c.Namespace = cmp.Or(o.Namespace, c.Namespace)
	c.TLSConfig.CACert = cmp.Or(o.CACert, c.TLSConfig.CACert)
	c.TLSConfig.ClientCert = cmp.Or(o.ClientCert, c.TLSConfig.ClientCert)
	c.TLSConfig.ClientKey = cmp.Or(o.ClientKey, c.TLSConfig.ClientKey)
	return c
}

func (e *Nomad) open(ctx context.Context) error {
	c := e.o.client()
	if err := severalAddresses(c); err != nil {
		return err
	}
	var err error
	if err := followCertificate(c); err != nil {
		return fmt.Errorf("nomad: certificates: %w", err)
	}
	if e.api, err = api.NewClient(c); err != nil {
		return fmt.Errorf("nomad: address %q: %w; name it like https://10.0.0.1:4646", c.Address, err)
	}
	self, err := e.checkVersion(c.Address)
	if err != nil {
		return err
	}
	e.self = self
	if err := e.checkOversubscription(ctx); err != nil {
		return err
	}
	if err := e.claimLocal(ctx, c.Address, self); err != nil {
		return err
	}
	stream, err := e.subscribe(e.ctx) // before the list, so that nothing falls between
	if err != nil {
		return err
	}
	if err := e.resync(ctx); err != nil {
		return err
	}
	e.firstLook(ctx)
	e.wg.Go(func() { e.follow(stream) })
	e.wg.Go(e.rounds)
	e.wg.Go(e.relate)
	return nil
}

// Keys of the metadata that an agent gives its node.
const (
	metaAgent    = "agent" // host:port, or local
	metaDNS      = "dns"
	metaDNS2     = "dns2"
	metaRegistry = "registry" // host:port
	metaPull     = "pull"     // password there
	metaFull     = "full"     // set while there is no room on its disk
	metaZone     = "zone"     // an operator's own key, without our prefix
	localAgent   = "local"
	metaOurs     = "cupola" // keys of metadata that begin so are ours
)

// NodeMeta is what a node must say of itself before jobs of the installation are placed there. Registry is host:port
// where Docker there finds images, and Pull the password that goes with it; who reads nodes in Nomad reads that, so it
// should open nothing beyond the machine.
type NodeMeta struct {
	Installation, Agent, Registry, Pull string
	DNS                                 []netip.Addr
}

// Map is the metadata in Nomad's form.
func (n NodeMeta) Map() map[string]string {
	b := builder{installation: n.Installation}
	m := map[string]string{b.metaKey(metaAgent): n.Agent, b.metaKey(metaRegistry): n.Registry, b.metaKey(metaPull): n.Pull}
	for i, key := range []string{metaDNS, metaDNS2} {
		if len(n.DNS) > 0 {
			m[b.metaKey(key)] = n.DNS[min(i, len(n.DNS)-1)].String()
		}
	}
	return m
}

// pullRenewal is how often the node on this machine is told another password for images.
const pullRenewal = 12 * time.Hour

// claimLocal tells the Nomad node on this machine that its agent is here, if the address is this machine's.
func (e *Nomad) claimLocal(ctx context.Context, address string, self *api.AgentSelf) error {
	id := self.Stats["client"]["node_id"]
	if e.o.Local == nil {
		return nil
	}
	if id == "" || !isLocal(address) {
		e.mu.Lock()
		defer e.mu.Unlock()
		m := &member{id: noNode, agentAddress: localAgent, statuses: map[string]node.Status{}}
		e.nodes[noNode] = m
		e.connectLocked(m)
		return nil
	}
	e.localNode = id
	if err := e.tellLocal(ctx); err != nil {
		return err
	}
	agent := e.build.metaKey(metaAgent)
	return e.awaitMeta(ctx, id, func(meta map[string]string) bool { return meta[agent] != "" })
}

// tellLocal gives the node on this machine its metadata, with a fresh password for images.
func (e *Nomad) tellLocal(ctx context.Context) error {
	own := NodeMeta{Installation: e.o.Installation, Agent: localAgent, Registry: e.o.LocalRegistry, DNS: e.o.LocalDNS}
	if e.o.LocalPull != nil {
		own.Pull = e.o.LocalPull()
	}
	meta := map[string]*string{}
	for k, v := range own.Map() {
		meta[k] = &v
	}
	q := (&api.QueryOptions{}).WithContext(ctx)
	if _, err := e.api.Nodes().Meta().Apply(&api.NodeMetaApplyRequest{NodeID: e.localNode, Meta: meta}, q); err != nil {
		return fmt.Errorf("nomad: tell the node on this machine of its agent: %w; the token needs node:write", err)
	}
	e.pullMade = time.Now()
	return nil
}

// awaitMeta waits until the servers know what a node was told to say of itself: it gathers for seconds what it tells
// them, and until then nothing is placed by that.
func (e *Nomad) awaitMeta(ctx context.Context, id string, told func(meta map[string]string) bool) error {
	ctx, cancel := context.WithTimeout(ctx, time.Minute)
	defer cancel()
	q := (&api.QueryOptions{WaitTime: 5 * time.Second}).WithContext(ctx)
	for {
		n, meta, err := e.api.Nodes().Info(id, q)
		if err != nil {
			return fmt.Errorf("nomad: node %s: %w", id, err)
		}
		if told(n.Meta) {
			return nil
		}
		q.WaitIndex = meta.LastIndex
	}
}

func isLocal(address string) bool {
	u, err := url.Parse(address)
	if err != nil {
		return false
	}
	if u.Scheme == "unix" || u.Hostname() == "localhost" {
		return true
	}
	ip, err := netip.ParseAddr(u.Hostname())
	if err != nil {
		return false
	}
	if ip.IsLoopback() {
		return true
	}
	own, err := net.InterfaceAddrs()
	if err != nil {
		return false
	}
	for _, a := range own {
		if n, ok := a.(*net.IPNet); ok && n.IP.String() == ip.String() {
			return true
		}
	}
	return false
}

// Close ends what runs in this process, the local agent too. Workloads go on, and Nomad goes on keeping them.
func (e *Nomad) Close() error {
	e.cancel()
	e.wg.Wait()
	var errs []error
	for _, m := range e.nodes { // nothing runs any more
		errs = append(errs, m.close())
	}
	if e.o.Local != nil {
		errs = append(errs, e.o.Local.Close())
	}
	if e.api != nil {
		e.api.Close()
	}
	return errors.Join(errs...)
}

// Ping implements node.Engine: it asks whether Nomad has a leader, and a node that takes our jobs, or Docker where workloads start there.
func (e *Nomad) Ping(ctx context.Context) error {
	if e.home() == node.EngineDocker {
		return e.o.Local.Ping(ctx)
	}
	return e.PingCluster(ctx)
}

// PingCluster returns nil if workloads can be started in the cluster now, else node.ErrUnavailable with the reason.
func (e *Nomad) PingCluster(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, 5*time.Second)
	defer cancel()
	var leader string
	_, err := e.api.Raw().Query("/v1/status/leader", &leader, (&api.QueryOptions{}).WithContext(ctx))
	if err != nil || leader == "" {
		return fmt.Errorf("%w: Nomad does not answer at %s, or has no leader: %v", node.ErrUnavailable, e.api.Address(), err)
	}
	e.mu.RLock()
	defer e.mu.RUnlock()
	for _, m := range e.nodes {
		if m.takesJobs() {
			return nil
		}
	}
	return fmt.Errorf("%w: no node of the Nomad cluster takes our jobs: join one with cupola node join", node.ErrUnavailable)
}

// List implements node.Engine, from memory.
func (e *Nomad) List(context.Context) ([]node.Status, error) {
	e.mu.RLock()
	defer e.mu.RUnlock()
	all := make([]node.Status, 0, len(e.workloads))
	for _, w := range e.workloads {
		if !w.reserves() {
			all = append(all, e.placedLocked(w.status, node.EngineNomad))
		}
	}
	for id := range e.kept {
		if s, m := e.keptLocked(id); m != nil {
			all = append(all, s)
		}
	}
	return append(all, e.hereLocked()...), nil
}

// Find implements node.Engine.
func (e *Nomad) Find(ids ...string) []node.Status {
	e.mu.RLock()
	defer e.mu.RUnlock()
	var found []node.Status
	for _, id := range ids {
		if w := e.workloads[id]; w != nil && !w.reserves() {
			found = append(found, e.placedLocked(w.status, node.EngineNomad))
		} else if s, m := e.keptLocked(id); m != nil {
			found = append(found, s)
		} else if e.o.Local != nil && e.isHereLocked(id) {
			for _, s := range e.o.Local.Find(id) {
				found = append(found, e.placedLocked(s, node.EngineDocker))
			}
		}
	}
	return found
}

// failed wraps an error of Nomad's client with what was tried.
func failed(what string, err error) error {
	if err == nil {
		return nil
	}
	var response api.UnexpectedResponseError
	var network net.Error
	if errors.As(err, &network) || errors.As(err, &response) && response.HasStatusCode() && response.StatusCode() >= 500 && strings.Contains(err.Error(), "No cluster leader") {
		return fmt.Errorf("%s: %w: %v", what, node.ErrUnavailable, err)
	}
	return fmt.Errorf("%s: %w", what, err)
}

// notFound reports whether Nomad says that there is no such thing.
func notFound(err error) bool {
	var response api.UnexpectedResponseError
	return errors.As(err, &response) && response.HasStatusCode() && response.StatusCode() == 404
}
