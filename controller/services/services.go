// Package services is the loop that drives service brokers: it works off store.ServiceOperation records, in which the
// API says what a broker is to be asked for, and writes back what came of it into the brokers, instances, bindings and
// jobs that they name.
//
// It is level-triggered: a record stays until its operation has ended, so that what a crash cut off is found and asked
// for again, which the Open Service Broker API makes harmless (the same id and body). The controller runs it.
package services

import (
	"context"
	"encoding/json"
	"errors"
	"log/slog"
	"sync"
	"time"

	"github.com/cupola-paas/cupola/controller/serviceop"
	"github.com/cupola-paas/cupola/controller/services/osb"
	"github.com/cupola-paas/cupola/store"
)

// Times and bounds of the loop.
const (
	workersMax     = 32 // operations in which a broker is being waited for
	perBroker      = 8  // of them at one broker, so that one that hangs does not hold up the others
	resync         = time.Minute
	retry          = 2 * time.Second // after a store error
	firstPoll      = 5 * time.Second // how long a broker has before it is asked how it gets on
	slowestPoll    = time.Minute
	soonestPoll    = time.Second            // even if a broker says sooner
	builtInPoll    = 200 * time.Millisecond // the same for our own
	defaultPolling = 24 * time.Hour         // until an operation of a broker that never ends is given up
	orphanTries    = 10
	orphanPause    = 30 * time.Second // doubled after each try
	orphanPauseMax = time.Hour
)

// Client asks brokers; *osb.Client is one.
type Client interface {
	Catalog(ctx context.Context, b osb.Broker) (*osb.Catalog, error)
	Provision(ctx context.Context, b osb.Broker, id string, body osb.Provision, who osb.Identity) (*osb.Result, error)
	Update(ctx context.Context, b osb.Broker, id string, body osb.Update, who osb.Identity) (*osb.Result, error)
	Deprovision(ctx context.Context, b osb.Broker, i osb.Instance, who osb.Identity) (*osb.Result, error)
	Bind(ctx context.Context, b osb.Broker, binding osb.Binding, body osb.Bind, who osb.Identity) (*osb.Result, error)
	Unbind(ctx context.Context, b osb.Broker, binding osb.Binding, who osb.Identity) (*osb.Result, error)
	InstanceOperation(ctx context.Context, b osb.Broker, i osb.Instance, operation string, who osb.Identity) (*osb.LastOperation, error)
	BindingOperation(ctx context.Context, b osb.Broker, binding osb.Binding, operation string, who osb.Identity) (*osb.LastOperation, error)
	FetchInstance(ctx context.Context, b osb.Broker, i osb.Instance, who osb.Identity) (*osb.Fetched, error)
	FetchBinding(ctx context.Context, b osb.Broker, binding osb.Binding, who osb.Identity) (*osb.Bound, error)
}

var _ Client = (*osb.Client)(nil)

// Loop drives brokers. Its fields are set before Run and not changed.
type Loop struct {
	DB *store.DB
	// For is the client for a broker: those that belong to a space may not go everywhere.
	For func(b *store.ServiceBroker) Client
	// Dashboards keeps the OAuth2 clients of brokers' dashboards; nil: there are none.
	Dashboards Dashboards
	// BuiltIn are the platform's own brokers, which are registered when the loop starts.
	BuiltIn []BuiltIn
	// Polling is how long an operation may take that neither its broker nor its plan bounds; zero: a day.
	Polling time.Duration
	// FirstPoll is how long a broker has before the first question; zero: 5 s. Tests shorten it.
	FirstPoll time.Duration
	// OrphanPause is between the first two tries to delete what a broker may have kept; zero: 30 s.
	OrphanPause time.Duration
	Log         *slog.Logger

	workers sync.WaitGroup
	wake    chan struct{} // a worker ended

	mu      sync.Mutex
	busy    map[string]bool // by GUID of the target that a worker is busy with: one request at a time about each
	running map[string]int  // workers by broker
}

// Dashboards keeps OAuth2 clients for the dashboards of brokers (OSB Profile, Dashboard Client Object); *auth.Auth is one.
type Dashboards interface {
	// DashboardHash is what PutDashboard takes for a secret. It may take its time, so it is asked outside of transactions.
	DashboardHash(ctx context.Context, id, secret string) (string, error)
	PutDashboard(tx *store.Tx, id, name, hash, redirect string) error
	DeleteDashboard(tx *store.Tx, id string) error
}

// Run registers the built-in brokers and then steps until ctx ends and its workers have ended.
func (l *Loop) Run(ctx context.Context) error {
	l.init()
	defer l.workers.Wait()
	changed := l.DB.Watch(ctx, store.ServiceOperations.Name())
	if err := l.register(); err != nil {
		return err
	}
	for {
		wait, err := l.Step(ctx)
		if err != nil && ctx.Err() == nil {
			l.Log.Warn("services pass not finished", "error", err)
			wait = retry
		}
		timer := time.NewTimer(wait)
		select {
		case <-ctx.Done():
			timer.Stop()
			return nil
		case <-changed:
		case <-l.wake:
		case <-timer.C:
		}
		timer.Stop()
	}
}

func (l *Loop) init() {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.wake == nil {
		l.wake = make(chan struct{}, 1)
		l.busy, l.running = map[string]bool{}, map[string]int{}
	}
	if l.Log == nil {
		l.Log = slog.Default()
	}
}

// Step looks at all operations and starts workers for those that are due. It returns after how long the next is.
func (l *Loop) Step(ctx context.Context) (time.Duration, error) {
	l.init()
	wait := resync
	var due []*store.ServiceOperation
	err := l.DB.View(func(tx *store.Tx) error {
		for o := range store.ServiceOperations.All(tx) {
			if left := o.NotBefore.Sub(tx.Now); left > 0 {
				wait = min(wait, left)
				continue
			}
			blocked, err := l.blocked(tx, o)
			if err != nil {
				return err
			}
			if !blocked {
				due = append(due, o)
			}
		}
		return nil
	})
	for _, o := range due {
		l.start(ctx, o)
	}
	return wait, err
}

// blocked reports whether an operation must wait for others: a binding for its service instance to be made, and the deletion of
// an instance for that of its bindings. Only what nobody waits for itself waits for the clean-up of orphans, which may take hours.
func (l *Loop) blocked(tx *store.Tx, o *store.ServiceOperation) (bool, error) {
	if o.On == store.OnBinding && o.Type == store.OperationCreate {
		making, err := serviceop.Running(tx, o.InstanceGUID)
		return making != nil && making.Type == store.OperationCreate, err
	}
	if o.On != store.OnInstance || o.Type != store.OperationDelete {
		return false, nil
	}
	n := 0
	others, _, err := store.ServiceOperations.List(tx, store.Query[store.ServiceOperation]{Where: []store.Cond{store.By("instance", o.InstanceGUID)}})
	for _, other := range others {
		if other.On != store.OnInstance && (o.Orphan || !other.Orphan) {
			n++
		}
	}
	return n > 0, err
}

// start gives an operation a worker, unless it has one or there are enough. A worker that ends wakes the loop.
func (l *Loop) start(ctx context.Context, o *store.ServiceOperation) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.busy[o.TargetGUID] || len(l.busy) >= workersMax || l.running[o.BrokerGUID] >= perBroker {
		return
	}
	l.busy[o.TargetGUID] = true
	l.running[o.BrokerGUID]++
	l.workers.Go(func() {
		defer l.done(o)
		if err := l.work(ctx, o.GUID); err != nil && ctx.Err() == nil {
			l.Log.Warn("service operation not finished", "operation", o.GUID, "on", o.On, "type", o.Type, "target", o.TargetGUID, "error", err)
			l.later(o.GUID)
		}
	})
}

func (l *Loop) done(o *store.ServiceOperation) {
	l.mu.Lock()
	defer l.mu.Unlock()
	delete(l.busy, o.TargetGUID)
	if l.running[o.BrokerGUID]--; l.running[o.BrokerGUID] == 0 {
		delete(l.running, o.BrokerGUID)
	}
	select {
	case l.wake <- struct{}{}:
	default:
	}
}

// later puts an operation off whose outcome could not be written.
func (l *Loop) later(guid string) {
	err := l.DB.Update(func(tx *store.Tx) error {
		o, err := store.ServiceOperations.Get(tx, guid)
		if err != nil {
			return err
		}
		o.NotBefore = tx.Now.Add(retry)
		return store.ServiceOperations.Put(tx, o)
	})
	if err != nil && !errors.Is(err, store.ErrNotFound) {
		l.Log.Warn("service operation not put off", "operation", guid, "error", err)
	}
}

// about is what a question on a managed service instance needs: the instance, its plan, its broker.
func (l *Loop) about(instanceGUID, bindingGUID string) (t *task, err error) {
	err = l.DB.View(func(tx *store.Tx) error {
		i, err := store.ServiceInstances.Get(tx, instanceGUID)
		if err != nil {
			return err
		}
		t = &task{instance: i}
		if t.binding, err = store.ServiceBindings.Get(tx, bindingGUID); err != nil && !errors.Is(err, store.ErrNotFound) { // one of a route is none
			return err
		}
		return t.loadPlan(tx)
	})
	return t, err
}

// InstanceParameters asks the broker of a managed service instance for its parameters, a JSON object.
func (l *Loop) InstanceParameters(ctx context.Context, guid string, who osb.Identity) (json.RawMessage, error) {
	t, err := l.about(guid, "")
	if err != nil {
		return nil, err
	}
	found, err := l.For(t.broker).FetchInstance(ctx, t.address(), t.osbInstance(), who)
	if err != nil {
		return nil, err
	}
	return found.Parameters, nil
}

// BindingParameters asks the broker of a credential or route binding for its parameters, a JSON object.
func (l *Loop) BindingParameters(ctx context.Context, instanceGUID, bindingGUID string, who osb.Identity) (json.RawMessage, error) {
	t, err := l.about(instanceGUID, bindingGUID)
	if err != nil {
		return nil, err
	}
	found, err := l.For(t.broker).FetchBinding(ctx, t.address(), osb.Binding{Instance: t.osbInstance(), BindingID: bindingGUID}, who)
	if err != nil {
		return nil, err
	}
	return found.Parameters, nil
}
