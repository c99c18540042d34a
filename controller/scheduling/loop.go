// Package scheduling is the loop that makes the engine run what the store wants: so many instances of each
// process of each started app, the steps of deployments, tasks. It writes back what it observes.
//
// It is level-triggered: a pass compares the store with the engine's list and takes one step; a lost event
// costs time, never correctness. The loop alone writes Instance records, except that the API may delete one
// to have it replaced. A record is written before its workload is started and removed after it has gone, so
// a crash between the two is mended by the next pass. The controller runs it.
package scheduling

import (
	"context"
	"errors"
	"log/slog"
	"sync"
	"time"

	"github.com/cupola-paas/cupola/node"
	"github.com/cupola-paas/cupola/store"
)

// Times of the loop.
const (
	resync      = 30 * time.Second      // a full pass without a wake-up
	retry       = 2 * time.Second       // after an engine or store error
	pause       = 10 * time.Millisecond // between two passes, so that a burst is one pass
	stopGrace   = 10 * time.Second      // between the stop signal and the kill
	drainGrace  = 10 * time.Second      // for requests in flight, before the stop signal
	startLimit  = 5 * time.Minute       // for one Start, a pull included
	maxStarting = 8                     // Starts at the same time
)

// Router is asked when an instance has no more requests in flight; *router.Router is one.
type Router interface {
	// WaitDrained returns once the instance is in no table and serves no request, or ctx ends.
	WaitDrained(ctx context.Context, instanceID string) error
}

// Environment makes the variables of an instance or a task.
type Environment interface {
	Running(tx *store.Tx, app *store.App, p *store.Process, d *store.Droplet, i *store.Instance) (map[string]string, error)
	Task(tx *store.Tx, app *store.App, t *store.Task, d *store.Droplet) (map[string]string, error)
}

// Logs takes the platform's own lines about an app.
type Logs interface {
	Platform(appGUID, sourceType, instance, text string)
}

// Images says how the engine pulls a droplet.
type Images struct {
	Registry         string // host:port
	Username, Secret string
}

// Loop schedules. Its fields are set before Run and not changed.
type Loop struct {
	DB     *store.DB
	Engine node.Engine
	Router Router
	Env    Environment
	Logs   Logs
	Images Images
	// Finish makes what an instance or task of an app gets once its address is known; nil: nothing.
	Finish func(id, appGUID string) func(address string) (node.Extra, error)
	Pace   time.Duration // between two growths of a deployment; zero: 3 s; negative: none
	Log    *slog.Logger

	workers  sync.WaitGroup
	starting chan struct{} // a semaphore
	wake     chan struct{} // a worker ended

	mu       sync.Mutex
	busy     map[string]bool    // ids with a worker
	failures map[string]failure // ids whose last Start failed
}

// failure is why a Start failed and when to try again.
type failure struct {
	count int
	until time.Time
}

// Run steps until ctx ends and its workers have ended. Workloads go on running.
func (l *Loop) Run(ctx context.Context) error {
	l.init()
	defer l.workers.Wait()
	changed := l.DB.Watch(ctx, store.Apps.Name(), store.Processes.Name(), store.Instances.Name(),
		store.Deployments.Name(), store.Tasks.Name(), store.Droplets.Name())
	for {
		wait := resync
		next, err := l.Step(ctx)
		if err != nil && ctx.Err() == nil {
			l.Log.Warn("scheduling pass not finished", "error", err)
			wait = retry
		} else if next > 0 {
			wait = min(wait, next)
		}
		if !l.sleep(ctx, wait, changed) {
			return nil
		}
	}
}

func (l *Loop) init() {
	if l.Finish == nil {
		l.Finish = func(string, string) func(string) (node.Extra, error) { return nil }
	}
	if l.wake == nil {
		l.starting = make(chan struct{}, maxStarting)
		l.wake = make(chan struct{}, 1)
		l.busy = map[string]bool{}
		l.failures = map[string]failure{}
	}
}

// sleep waits for a change or the time; it reports false when ctx ended.
func (l *Loop) sleep(ctx context.Context, d time.Duration, changed <-chan struct{}) bool {
	select {
	case <-ctx.Done():
		return false
	case <-time.After(pause):
	}
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-ctx.Done():
		return false
	case <-changed:
	case <-l.Engine.Changed():
	case <-l.wake:
	case <-timer.C:
	}
	return true
}

// Step makes one whole comparison and starts what it calls for. Repeating it does no harm. It returns after
// how long something is due, zero if nothing is.
func (l *Loop) Step(ctx context.Context) (time.Duration, error) {
	l.init()
	statuses, err := l.Engine.List(ctx)
	if err != nil {
		return 0, err
	}
	seen := make(map[string]node.Status, len(statuses))
	for _, s := range statuses {
		if s.Labels[labelService] == "" { // data services are not this loop's
			seen[s.ID] = s
		}
	}
	next, errInstances := l.stepInstances(ctx, seen)
	due, errDeployments := l.stepDeployments()
	gone, errTasks := l.stepTasks(ctx, seen)
	return sooner(sooner(next, due), gone), errors.Join(errInstances, errDeployments, errTasks)
}

// nudge asks for another pass.
func (l *Loop) nudge() {
	select {
	case l.wake <- struct{}{}:
	default:
	}
}
