package builders

import (
	"cmp"
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"slices"
	"strings"
	"sync"
	"time"

	"golang.org/x/sync/errgroup"

	"github.com/cupola-paas/cupola/buildpack"
	"github.com/cupola-paas/cupola/controller/staging"
	"github.com/cupola-paas/cupola/node"
	"github.com/cupola-paas/cupola/store"
)

// ClusterOptions say what a Cluster stands on. All but BuildEnv, CABundle, Foreign and Parallel are required.
type ClusterOptions struct {
	Engine node.Reserver
	// Reach is where the agent of a machine is, and how it is known.
	Reach func(machine string) (address string, config *tls.Config, err error)
	// Push makes a password that writes images of a repository until revoke is called, and PushUser goes with it.
	Push     func(repository string) (token string, revoke func())
	PushUser string
	// Holder is an image whose container does nothing (see buildpack.PushHolder), that PullUser may read.
	Holder               func(ctx context.Context) (string, error)
	PullUser, PullSecret string
	Host                 string                   // of the registry, as references name it
	Images               func() ([]string, error) // that builds begin with now
	Blobs                Blobs
	// See buildpack.Options and buildpack.Site.
	BuildEnv map[string]string
	CABundle string
	Foreign  bool
	Parallel int // builds at the same time on each machine; zero: by its size
	Log      *slog.Logger
}

// Blobs opens the bits of packages and buildpacks; *store.Blobs is one.
type Blobs interface {
	Open(sha256 string) (*os.File, error)
}

// Cluster is the machines of an engine that build.
type Cluster struct {
	o       ClusterOptions
	version string
	ahead   ahead

	mu     sync.Mutex
	coming map[string]int // by machine: builds for which room is being asked
	holder string
}

var _ staging.Machines = (*Cluster)(nil)

// NewCluster makes a Cluster. Nothing is asked of a machine yet.
func NewCluster(o ClusterOptions) (*Cluster, error) {
	version, err := Version()
	return &Cluster{o: o, version: version, coming: map[string]int{}, ahead: ahead{seen: map[fetch]time.Time{}}}, err
}

// How long the questions before a build may take, and how often a build that waits looks again without news.
const (
	askTime  = 5 * time.Second
	restTime = 500 * time.Millisecond
	lookTime = 15 * time.Second
)

// Builds reports whether the labels are those of a machine that builds.
func Builds(labels map[string]string) bool {
	value, ok := labels[Label]
	return ok && value != "false"
}

// Moved implements staging.Machines.
func (c *Cluster) Moved() <-chan struct{} { return c.o.Engine.Moved() }

// Places implements staging.Machines.
func (c *Cluster) Places(l buildpack.Limits) int {
	n := 0
	for _, m := range c.builders() {
		n += c.parallel(m, l)
	}
	return n
}

func (c *Cluster) parallel(m node.Machine, l buildpack.Limits) int {
	if c.o.Parallel > 0 {
		return c.o.Parallel
	}
	return staging.Parallel(cmp.Or(m.Cores, 1), m.MemoryMB, l)
}

// builders are the machines that build now.
func (c *Cluster) builders() []node.Machine {
	all, err := c.o.Engine.Machines(context.Background()) // from memory
	if err != nil {
		return nil
	}
	return slices.DeleteFunc(all, func(m node.Machine) bool {
		return !m.Up || !m.Eligible || !m.Agent || m.Away != nil || m.DiskFull || !Builds(m.Labels)
	})
}

// of are the machines for builds of a pool: its own, or else the common ones.
func of(all []node.Machine, pool string) []node.Machine {
	in := func(pool string) (some []node.Machine) {
		for _, m := range all {
			if m.Pool == pool {
				some = append(some, m)
			}
		}
		return some
	}
	if own := in(pool); len(own) > 0 {
		return own
	}
	return in("")
}

// Seat implements staging.Machines.
func (c *Cluster) Seat(ctx context.Context, a staging.Ask, tell func(text string)) (staging.Seat, error) {
	known := map[string]answered{}
	for {
		moved := c.Moved()
		all := of(c.builders(), a.Pool)
		if len(all) == 0 {
			tell("Building on the server's machine: no node with the label " + Label + " is ready")
			return nil, nil
		}
		usable, why := c.usable(ctx, all, a, known)
		if len(usable) == 0 && ctx.Err() == nil {
			tell("Building on the server's machine: " + why)
			return nil, nil
		}
		if ctx.Err() == nil && !slices.ContainsFunc(usable, func(m node.Machine) bool { return m.MemoryMB >= a.Limits.MemoryMB }) {
			return nil, &buildpack.Error{Code: buildpack.Internal, Message: fmt.Sprintf("no machine that builds has the %d MB of memory that a build gets: label a larger one, or start the server with less --build-memory", a.Limits.MemoryMB)}
		}
		s, waits, err := c.take(ctx, usable, a)
		if s != nil || err != nil {
			return s, err
		}
		tell(waits)
		if err := pause(ctx, moved); err != nil {
			return nil, err
		}
	}
}

// pause waits for news, for a while, and in any case so long that a busy cluster is not asked all the time.
func pause(ctx context.Context, news <-chan struct{}) error {
	rest, look := time.After(restTime), time.After(lookTime)
	select {
	case <-ctx.Done():
	case <-rest:
		select {
		case <-ctx.Done():
		case <-news:
		case <-look:
		}
	}
	if ctx.Err() != nil {
		return &buildpack.Error{Code: buildpack.Canceled, Message: "the build was canceled", Err: context.Cause(ctx)}
	}
	return nil
}

// answered is what a machine said when it was asked.
type answered struct {
	cached bool
	why    string // it is not used; empty: it is
}

// usable asks the machines that were not asked yet, and sorts those that will do: the one that has the cache first, then by
// free memory.
func (c *Cluster) usable(ctx context.Context, all []node.Machine, a staging.Ask, known map[string]answered) (usable []node.Machine, why string) {
	fresh := slices.DeleteFunc(slices.Clone(all), func(m node.Machine) bool {
		_, asked := known[m.ID]
		return asked || isHere(m)
	})
	said := make([]answered, len(fresh))
	var group errgroup.Group
	group.SetLimit(16)
	for i, m := range fresh {
		group.Go(func() error {
			said[i] = c.askOne(ctx, m, a.CacheID)
			return nil
		})
	}
	_ = group.Wait()
	for i, m := range fresh {
		known[m.ID] = said[i]
	}
	for _, m := range all {
		if said := known[m.ID]; said.why != "" {
			why = said.why
			delete(known, m.ID) // it is asked again
			continue
		}
		usable = append(usable, m)
	}
	rank := func(m node.Machine) int {
		switch {
		case slices.Contains(a.Avoid, m.Name):
			return 2
		case known[m.ID].cached && m.MemoryMB-m.ReservedMB >= a.Limits.MemoryMB:
			return 0
		}
		return 1
	}
	slices.SortStableFunc(usable, func(x, y node.Machine) int {
		return cmp.Or(cmp.Compare(rank(x), rank(y)), cmp.Compare(y.MemoryMB-y.ReservedMB, x.MemoryMB-x.ReservedMB))
	})
	return usable, why
}

// isHere reports whether it is the controller's own machine.
func isHere(m node.Machine) bool { return m.Address == "" }

func (c *Cluster) askOne(ctx context.Context, m node.Machine, cacheID string) answered {
	ctx, cancel := context.WithTimeout(ctx, askTime)
	defer cancel()
	said := state{}
	err := c.with(m.ID, func(a *agent) error { return a.call(ctx, "GET", statePath+"?cache="+cacheID, nil, &said) })
	switch {
	case err != nil:
		c.o.Log.Warn("a node with the label builder does not answer", "node", m.Name, "error", err)
		return answered{why: "node " + m.Name + " does not answer"}
	case said.Version != c.version:
		return answered{why: "node " + m.Name + " runs another version of cupola: install the server's there"}
	}
	return answered{cached: said.Cached}
}

// take keeps room on the first machine that has some. Otherwise it says what is waited for.
func (c *Cluster) take(ctx context.Context, all []node.Machine, a staging.Ask) (staging.Seat, string, error) {
	holder, err := c.image(ctx)
	if err != nil {
		return nil, "", err
	}
	busy, lost := 0, error(nil)
	for _, m := range all {
		if !c.claim(m, a.Limits) {
			busy++
			continue
		}
		if m.MemoryMB-m.ReservedMB < a.Limits.MemoryMB { // data services count here, of which Nomad does not know
			c.unclaim(m)
			continue
		}
		gone, err := c.o.Engine.Reserve(ctx, node.Reservation{
			ID: a.ID, Machine: m.ID, MemoryMB: a.Limits.MemoryMB, DiskMB: a.Limits.DiskMB, Image: holder, PullUser: c.o.PullUser, PullSecret: c.o.PullSecret,
		})
		c.unclaim(m)
		switch {
		case err == nil:
			return &seat{c, m, a.ID, gone}, "", nil
		case ctx.Err() != nil:
			return nil, "", &buildpack.Error{Code: buildpack.Canceled, Message: "the build was canceled", Err: context.Cause(ctx)}
		case !errors.Is(err, node.ErrInsufficient):
			c.o.Log.Warn("no room is kept for a build", "node", m.Name, "build", a.ID, "error", err)
			lost = fmt.Errorf("node %s: %w", m.Name, err)
		}
	}
	return nil, waiting(all, a.Limits, busy, lost), nil
}

// waiting says in words why a build waits.
func waiting(all []node.Machine, l buildpack.Limits, busy int, lost error) string {
	switch {
	case busy == len(all):
		return "Waiting: all machines that build have as many builds as they bear"
	case lost != nil:
		return "Waiting for a machine to build on: " + lost.Error()
	}
	var free []string
	for _, m := range all {
		free = append(free, fmt.Sprintf("%s has %d MB free", m.Name, max(0, m.MemoryMB-m.ReservedMB)))
	}
	return fmt.Sprintf("Waiting for room: the build needs %d MB of memory and %d MB of disk that no app has (%s)", l.MemoryMB, l.DiskMB, strings.Join(free, ", "))
}

// claim notes that room is asked for, if the machine bears one more build.
func (c *Cluster) claim(m node.Machine, l buildpack.Limits) bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	now := m.Builds
	for _, x := range c.builders() {
		if x.ID == m.ID {
			now = x.Builds
		}
	}
	if now+c.coming[m.ID] >= c.parallel(m, l) {
		return false
	}
	c.coming[m.ID]++
	return true
}

func (c *Cluster) unclaim(m node.Machine) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.coming[m.ID]--; c.coming[m.ID] == 0 {
		delete(c.coming, m.ID)
	}
}

// image is the one that keeps places, made at the first build.
func (c *Cluster) image(ctx context.Context) (string, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.holder != "" {
		return c.holder, nil
	}
	ref, err := c.o.Holder(ctx)
	if err == nil {
		c.holder = ref
	}
	return ref, err
}

// Holds reports whether an image is the one that keeps places of builds.
func (c *Cluster) Holds(repository, digest string) bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.holder == c.o.Host+"/"+repository+"@"+digest
}

// Sweep implements staging.Machines.
func (c *Cluster) Sweep(ctx context.Context) error {
	var errs []error
	for _, id := range c.o.Engine.Reserved() {
		errs = append(errs, c.o.Engine.Unreserve(ctx, id))
	}
	return errors.Join(errs...)
}

// Caches removes the build caches that keep does not want from all machines with an agent, whether they build now or did so once.
// A machine that does not answer is told of in the error.
func (c *Cluster) Caches(ctx context.Context, keep func(cacheID string) bool) error {
	all, err := c.o.Engine.Machines(ctx)
	errs := []error{err}
	for _, m := range all {
		if !m.Agent || isHere(m) {
			continue
		}
		err := c.with(m.ID, func(a *agent) error { return a.sweepCaches(ctx, keep) })
		if err != nil {
			errs = append(errs, fmt.Errorf("build caches on node %s: %w", m.Name, err))
		}
	}
	return errors.Join(errs...)
}

// seat is a staging.Seat.
type seat struct {
	c       *Cluster
	machine node.Machine
	id      string
	gone    <-chan struct{}
}

func (s *seat) Machine() string       { return s.machine.Name }
func (s *seat) Here() bool            { return isHere(s.machine) }
func (s *seat) Gone() <-chan struct{} { return s.gone }

// releaseTime bounds the wait for a machine to give room back, and endTime what is left of it when the server stops.
const (
	releaseTime = time.Minute
	endTime     = 2 * time.Second
)

// Release implements staging.Seat.
func (s *seat) Release(life context.Context) {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(life), releaseTime)
	defer cancel()
	defer context.AfterFunc(life, func() { time.AfterFunc(endTime, cancel) })()
	if err := s.c.o.Engine.Unreserve(ctx, s.id); err != nil {
		s.c.o.Log.Warn("room that was kept for a build is not given back yet", "node", s.machine.Name, "build", s.id, "error", err)
	}
}

// Build implements staging.Seat.
func (s *seat) Build(ctx context.Context, ship staging.Shipment) (result *buildpack.Result, err error) {
	o, revoke, err := s.c.order(ship)
	defer revoke()
	if err != nil {
		return nil, err
	}
	bits, err := s.c.o.Blobs.Open(ship.Package.SHA256)
	if err != nil {
		return nil, fmt.Errorf("the bits of package %s: %w", ship.Package.GUID, err)
	}
	defer bits.Close()
	err = s.c.with(s.machine.ID, func(a *agent) error {
		if err := s.c.sendUploads(ctx, a, ship.Uploads); err != nil {
			return err
		}
		result, err = a.build(ctx, o, bits, ship.Request.Log)
		return err
	})
	return result, s.blame(ctx, err)
}

// blame says of an error that has not to do with the app that the machine failed.
func (s *seat) blame(ctx context.Context, err error) error {
	var known *buildpack.Error
	switch {
	case err == nil:
		return nil
	case ctx.Err() != nil:
		return &buildpack.Error{Code: buildpack.Canceled, Message: "the build was canceled", Err: context.Cause(ctx)}
	case !errors.As(err, &known):
		return fmt.Errorf("%w: %v", staging.ErrMachineLost, err)
	case known.Code == buildpack.Canceled || known.Code == buildpack.Internal:
		return fmt.Errorf("%w: %w", staging.ErrMachineLost, known)
	}
	return known
}

// order is what the machine is told. revoke must be called in any case.
func (c *Cluster) order(ship staging.Shipment) (o *order, revoke func(), err error) {
	r := ship.Request
	token, revoke := c.o.Push(strings.TrimPrefix(r.Repository, c.o.Host+"/"))
	o = &order{
		Version: c.version, Keep: ship.Keep, Egress: ship.Egress, Host: c.o.Host, User: c.o.PushUser, Token: token, Env: c.o.BuildEnv, Foreign: c.o.Foreign,
		Request: request{
			ID: r.ID, CacheID: r.CacheID, Choices: r.Choices, Named: r.Named, Env: r.Env, Files: r.Files, BuildImage: r.BuildImage,
			RunImage: r.RunImage, Repository: r.Repository, Previous: r.Previous, Limits: r.Limits,
		},
	}
	for _, b := range ship.Uploads {
		u := upload{}
		if b != nil {
			u = upload{staging.UploadKey(b), b.Lifecycle}
		}
		o.Uploads = append(o.Uploads, u)
	}
	if c.o.CABundle != "" {
		o.CA, err = os.ReadFile(c.o.CABundle)
	}
	return o, revoke, err
}

// sendUploads brings the uploaded buildpacks that the machine does not have.
func (c *Cluster) sendUploads(ctx context.Context, a *agent, uploads []*store.Buildpack) error {
	sums := map[string]string{}
	var keys []string
	for _, b := range uploads {
		if b != nil && sums[staging.UploadKey(b)] == "" {
			sums[staging.UploadKey(b)] = b.SHA256
			keys = append(keys, staging.UploadKey(b))
		}
	}
	if len(keys) == 0 {
		return nil
	}
	missing, err := a.missing(ctx, keys)
	for _, key := range missing {
		if err == nil {
			err = c.sendUpload(ctx, a, key, sums[key])
		}
	}
	return err
}

func (c *Cluster) sendUpload(ctx context.Context, a *agent, key, sum string) error {
	f, err := c.o.Blobs.Open(sum)
	if err != nil {
		return fmt.Errorf("the bits of a buildpack: %w", err)
	}
	defer f.Close()
	return a.upload(ctx, key, f)
}
