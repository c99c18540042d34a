package dataservice

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"slices"
	"sync"
	"time"

	"github.com/cupola-paas/cupola/controller/dataservice/vault"
	"github.com/cupola-paas/cupola/node"
	"github.com/cupola-paas/cupola/store"
)

const (
	// KeepDeleted is how long the volume of a deleted instance stays.
	KeepDeleted = 7 * 24 * time.Hour

	idlePass    = 2 * time.Second // between two looks at instances that are to be kept running
	emptyPass   = time.Hour       // while there are none
	retryAfter  = 5 * time.Second // an instance that could not be kept running
	readyLimit  = 3 * time.Minute // until a server that was started takes clients
	readyLook   = 10 * time.Millisecond
	crashLimit  = 3 // crashes in a row after which a start has failed
	certificate = 90 * 24 * time.Hour
	renewAt     = certificate / 2
)

// LabelService marks workloads that are data services; its value is the instance's GUID. The scheduling loop leaves
// them alone.
const LabelService = "service_instance"

// Engine runs the servers; a node.Engine is one.
type Engine interface {
	Start(ctx context.Context, w node.Workload) error
	Stop(ctx context.Context, id string, grace time.Duration) error
	List(ctx context.Context) ([]node.Status, error)
	Find(ids ...string) []node.Status
	Exec(ctx context.Context, id string, e node.Exec) (int, error)
	Usage(ctx context.Context, ids ...string) (map[string]node.Usage, error)
	UpdateFiles(ctx context.Context, id string, files map[string][]byte) error
	Logs(ctx context.Context, id string, since time.Time, fn func(node.LogLine)) error
	RemoveVolume(ctx context.Context, id string) error
}

// Images makes what servers run from.
type Images interface {
	// Image returns where in the platform's registry the image of an offering is, and makes it first where it is
	// not there, which can take minutes. A fresh one has the newest packages.
	Image(ctx context.Context, o *Offering, fresh bool) (repository, digest string, err error)
}

// Issuer signs certificates of servers.
type Issuer interface {
	Server(name, address string, life time.Duration) (cert, key, ca []byte, err error)
}

// Registry is where the engine pulls images.
type Registry struct{ Host, Username, Password string }

// Logs keeps what servers print.
type Logs interface {
	ServiceLine(serviceGUID string, line node.LogLine)
	ServiceUsage(serviceGUID string, u Usage)
	// LastService is the time of the newest line that is kept; zero if there is none.
	LastService(serviceGUID string) time.Time
}

// Manager makes the records of the broker so and keeps them so: a loop with a worker for each instance that there is
// something to do for. Its fields are set before Run and not changed.
type Manager struct {
	DB        *store.DB
	Engine    Engine
	Images    Images
	Issuer    Issuer
	Registry  Registry
	Catalogue Catalogue
	Logs      Logs        // nil: none
	Vault     vault.Vault // where backups are kept; nil: none are made
	// Spool has backups while they are restored, sealed as they are in Vault, and, sealed too, what a restore replaces, which is
	// put back when that fails.
	Spool vault.Folder
	// BackupEvery is the time between two backups of an instance that nobody asked for, zero: none are made. Of those that
	// succeeded the newest BackupKeep stay; zero: all.
	BackupEvery time.Duration
	BackupKeep  int
	// MeasureEvery is the longest time between two looks at what an instance uses; zero: 30 seconds.
	MeasureEvery time.Duration
	// FirstBase is how old an instance is before its first base backup; zero: 2 minutes. Later ones are made BackupEvery.
	FirstBase time.Duration
	Log       *slog.Logger

	init sync.Once
	wake chan struct{}
	work sync.WaitGroup

	mu        sync.Mutex
	locks     map[string]*instanceLock
	busy      map[string]bool      // instances with a worker
	again     map[string]time.Time // not before then, after a failure
	following map[string]bool      // instances whose output is read
	waiters   map[string][]chan struct{}
	watched   map[string]*watched // what is known of instances that run
	standbys  map[string]*standby // by instance
	made      map[string]bool     // digests of images that this process has made
	// definitions are catalogue files of instances, parsed, by their text: one for each version that there was.
	definitions map[string]*Offering
}

// instanceLock lets one thing be done to an instance at a time.
type instanceLock struct {
	ch    chan struct{}
	users int
}

func (m *Manager) prepare() {
	m.init.Do(func() {
		m.wake = make(chan struct{}, 1)
		m.locks, m.busy, m.again, m.following = map[string]*instanceLock{}, map[string]bool{}, map[string]time.Time{}, map[string]bool{}
		m.waiters, m.watched, m.definitions = map[string][]chan struct{}{}, map[string]*watched{}, map[string]*Offering{}
		m.standbys, m.made = map[string]*standby{}, map[string]bool{}
	})
}

// Run keeps the instances until ctx ends; their servers go on.
func (m *Manager) Run(ctx context.Context) error {
	m.prepare()
	defer m.work.Wait()
	m.clear(ctx)
	changed := m.DB.Watch(ctx, store.DataServices.Name(), store.DataBackups.Name())
	for {
		wait := m.step(ctx)
		timer := time.NewTimer(wait)
		select {
		case <-ctx.Done():
			timer.Stop()
			return nil
		case <-changed:
		case <-m.wake:
		case <-timer.C:
		}
		timer.Stop()
	}
}

// step looks at every instance and starts a worker for those that need one. It returns when to look again.
func (m *Manager) step(ctx context.Context) time.Duration {
	var all []*store.DataService
	backups := map[string][]*store.DataBackup{}
	archives := map[string][]*store.DataArchive{}
	err := m.DB.View(func(tx *store.Tx) error {
		for s := range store.DataServices.All(tx) {
			all = append(all, s)
		}
		for b := range store.DataBackups.All(tx) {
			backups[b.ServiceGUID] = append(backups[b.ServiceGUID], b)
		}
		for a := range store.DataArchives.All(tx) {
			archives[a.ServiceGUID] = append(archives[a.ServiceGUID], a)
		}
		return nil
	})
	if err != nil {
		m.Log.Error("data services not read", "error", err)
		return idlePass
	}
	if m.Vault != nil {
		for guid, list := range archives {
			m.stepRetention(ctx, guid, list)
		}
		m.stepLeft(ctx, all, backups)
	}
	if len(all) == 0 {
		return emptyPass
	}
	seen, err := m.statuses(ctx)
	if err != nil {
		m.Log.Warn("data services not looked at", "error", err)
		return idlePass
	}
	m.forgetOthers(all)
	for _, s := range all {
		m.stepMeasure(ctx, s, seen[s.GUID])
		if m.Logs != nil && seen[s.GUID].ID != "" {
			m.follow(ctx, s)
		}
		if needsWork(s, seen, time.Now()) {
			m.begin(ctx, s.GUID)
		}
		m.stepBackups(ctx, s, backups[s.GUID])
		m.stepArchives(ctx, s, archives[s.GUID])
	}
	return idlePass
}

func (m *Manager) statuses(ctx context.Context) (map[string]node.Status, error) {
	list, err := m.Engine.List(ctx)
	if err != nil {
		return nil, err
	}
	seen := make(map[string]node.Status, len(list))
	for _, s := range list {
		if s.Labels[LabelService] != "" {
			seen[s.ID] = s
		}
	}
	return seen, nil
}

func needsWork(s *store.DataService, seen map[string]node.Status, now time.Time) bool {
	_, there := seen[s.GUID]
	switch s.State {
	case store.DataCreating, store.DataUpdating, store.DataRestoring, store.DataDeleting:
		return true
	case store.DataReady:
		if s.Disk == store.DataStopped {
			return there
		}
		return !there || now.Sub(s.CertificateAt) > renewAt
	case store.DataDeleted:
		return there || now.After(s.PurgeAt)
	}
	return there // failed: its server is of no use
}

// begin starts the worker of an instance unless it has one.
func (m *Manager) begin(ctx context.Context, guid string) {
	m.beginWork(ctx, guid, func() error { return m.attend(ctx, guid) })
}

// beginWork runs one thing at a time for a key: an instance, or a backup.
func (m *Manager) beginWork(ctx context.Context, guid string, do func() error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.busy[guid] || time.Now().Before(m.again[guid]) {
		return
	}
	m.busy[guid] = true
	m.work.Go(func() {
		err := do()
		m.mu.Lock()
		delete(m.busy, guid)
		delete(m.again, guid)
		if err != nil {
			m.again[guid] = time.Now().Add(retryAfter)
		}
		for _, ch := range m.waiters[guid] {
			close(ch)
		}
		delete(m.waiters, guid)
		m.mu.Unlock()
		if err != nil && ctx.Err() == nil {
			m.Log.Warn("data service not as it should be; it is tried again", "service_instance", guid, "error", err)
		}
		m.nudge()
	})
}

func (m *Manager) nudge() {
	select {
	case m.wake <- struct{}{}:
	default:
	}
}

// expect returns what is closed when the worker of an instance has ended its next piece of work, and what forgets it.
// It is called before that work is written down, so that no end is missed.
func (m *Manager) expect(guid string) (done <-chan struct{}, forget func()) {
	m.prepare()
	ch := make(chan struct{})
	m.mu.Lock()
	defer m.mu.Unlock()
	m.waiters[guid] = append(m.waiters[guid], ch)
	return ch, func() {
		m.mu.Lock()
		defer m.mu.Unlock()
		rest := slices.DeleteFunc(m.waiters[guid], func(c chan struct{}) bool { return c == ch })
		if m.waiters[guid] = rest; len(rest) == 0 {
			delete(m.waiters, guid)
		}
	}
}

// lock waits until nothing else is done to the instance.
func (m *Manager) lock(ctx context.Context, guid string) (unlock func(), err error) {
	m.prepare()
	m.mu.Lock()
	l := m.locks[guid]
	if l == nil {
		l = &instanceLock{ch: make(chan struct{}, 1)}
		m.locks[guid] = l
	}
	l.users++
	m.mu.Unlock()
	leave := func() {
		m.mu.Lock()
		defer m.mu.Unlock()
		if l.users--; l.users == 0 {
			delete(m.locks, guid)
		}
	}
	select {
	case l.ch <- struct{}{}:
		return func() { <-l.ch; leave() }, nil
	case <-ctx.Done():
		leave()
		return nil, ctx.Err()
	}
}

// get reads an instance; store.ErrNotFound when there is none.
func (m *Manager) get(guid string) (s *store.DataService, err error) {
	err = m.DB.View(func(tx *store.Tx) (err error) {
		s, err = store.DataServices.Get(tx, guid)
		return err
	})
	return s, err
}

// change reads an instance, lets fn alter it, and writes it, in one transaction.
func (m *Manager) change(guid string, fn func(tx *store.Tx, s *store.DataService) error) error {
	return m.DB.Update(func(tx *store.Tx) error {
		s, err := store.DataServices.Get(tx, guid)
		if err != nil {
			return err
		}
		if err := fn(tx, s); err != nil {
			return err
		}
		return store.DataServices.Put(tx, s)
	})
}

// offering is what an instance is run by: the catalogue file of the time when its image was made, so that a file that
// was changed or taken away since does not touch it before it is upgraded. nil: there is none, or not any more.
func (m *Manager) offering(s *store.DataService) *Offering {
	if len(s.Definition) == 0 {
		return m.Catalogue.offering(s.OfferingID)
	}
	m.prepare()
	m.mu.Lock()
	o := m.definitions[string(s.Definition)]
	m.mu.Unlock()
	if o != nil {
		return o
	}
	o, err := parseOffering(s.Definition)
	if err != nil {
		m.Log.Error("catalogue file of a data service not understood; that of today is taken", "service_instance", s.GUID, "error", err)
		return m.Catalogue.offering(s.OfferingID)
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	m.definitions[string(s.Definition)] = o
	return o
}

// kind is the offering and plan of an instance.
func (m *Manager) kind(s *store.DataService) (*Offering, *Plan, error) {
	o := m.offering(s)
	p := o.plan(s.PlanID)
	if p == nil {
		return nil, nil, fmt.Errorf("no catalogue file has the offering %s with the plan %s: put the file back", s.OfferingID, s.PlanID)
	}
	return o, p, nil
}

// follow reads what a server prints for as long as it is there.
func (m *Manager) follow(ctx context.Context, s *store.DataService) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.following[s.GUID] {
		return
	}
	m.following[s.GUID] = true
	guid, since := s.GUID, s.CreatedAt.Add(-time.Second)
	if last := m.Logs.LastService(guid); last.After(since) {
		since = last
	}
	m.work.Go(func() {
		err := m.Engine.Logs(ctx, guid, since, func(line node.LogLine) { m.Logs.ServiceLine(guid, line) })
		if err != nil && ctx.Err() == nil && !errors.Is(err, node.ErrNotFound) {
			m.Log.Warn("logs of a data service are not followed", "service_instance", guid, "error", err)
		}
		m.mu.Lock()
		defer m.mu.Unlock()
		delete(m.following, guid)
	})
}
