// Package scheduling is the loop that makes the engine run what the store wants: so many instances of each
// process of each started app, the steps of deployments, tasks. It writes back what it observes.
//
// It is level-triggered: a pass compares what the store wants of some apps with what the engine runs of them, and takes
// one step. The apps are those that something has changed about; now and then it is all of them, so that a lost change
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
	resync      = 30 * time.Second      // between two looks at everything, and
	resyncShare = 100                   // so many times what one took
	retry       = 2 * time.Second       // after an engine or store error
	pause       = 10 * time.Millisecond // between two passes, so that a burst is one pass
	stopGrace   = 10 * time.Second      // between the stop signal and the kill
	drainGrace  = 10 * time.Second      // for requests in flight, before the stop signal
	startLimit  = 5 * time.Minute       // for one Start, a pull included
	maxStarting = 8                     // Starts at the same time
	writeAtOnce = 500                   // records in one transaction
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

	book *book // of Run's goroutine; nil: nothing is known yet

	mu       sync.Mutex
	busy     map[string]bool    // ids with a worker
	ended    map[string]bool    // apps whose workers have ended since the last pass
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
	feed := l.DB.Follow(ctx, watched...)
	var due time.Time // of the next look at everything
	for {
		begun := time.Now()
		wrote, ran := feed.Take(), l.Engine.TakeChanges()
		all := wrote.All || ran.All || l.book == nil || !begun.Before(due)
		next, err := l.step(ctx, all, wrote, ran)
		if err != nil && ctx.Err() == nil {
			l.Log.Warn("scheduling pass not finished", "error", err)
			l.book = nil // half of a pass may be in it
			next = retry
		} else if all {
			took := time.Since(begun)
			due = begun.Add(max(resync, resyncShare*took))
		}
		wait := time.Until(due)
		if next > 0 && (next < wait || err != nil) {
			wait = next
		}
		if !l.sleep(ctx, wait, feed.Wake()) {
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
		l.busy, l.ended = map[string]bool{}, map[string]bool{}
		l.failures = map[string]failure{}
	}
}

// sleep waits for a change or the time; it reports false when ctx ended.
func (l *Loop) sleep(ctx context.Context, d time.Duration, changed <-chan struct{}) bool {
	if !store.Sleep(ctx, pause, nil) {
		return false
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

// step compares everything, or the apps that the changes concern, and starts what that calls for. Repeating it does no
// harm. It returns after how long something is due, zero if nothing is.
func (l *Loop) step(ctx context.Context, all bool, wrote store.Changes, ran node.Changes) (time.Duration, error) {
	s := scope{all: all, apps: map[string]bool{}}
	if all {
		l.book = newBook()
	} else if err := l.narrow(s, wrote, ran); err != nil {
		return 0, err
	}
	l.released(s)
	if !s.all && len(s.apps) == 0 {
		return l.book.next(), nil
	}
	seen, err := l.statuses(ctx, s)
	if err != nil {
		return 0, err
	}
	err = errors.Join(l.stepInstances(ctx, s, seen), l.stepDeployments(s), l.stepTasks(ctx, s, seen))
	return l.book.next(), err
}

// narrow finds the apps to look at.
func (l *Loop) narrow(s scope, wrote store.Changes, ran node.Changes) error {
	l.book.ran(s, ran.IDs, l.Engine.Find)
	l.book.overdue(s)
	return l.DB.View(func(tx *store.Tx) error { return l.book.wrote(tx, s, wrote) })
}

// released takes over the apps whose workers have ended.
func (l *Loop) released(s scope) {
	l.mu.Lock()
	defer l.mu.Unlock()
	for app := range l.ended {
		s.apps[app] = true
	}
	clear(l.ended)
}

// statuses are the engine's workloads in the scope, by id.
func (l *Loop) statuses(ctx context.Context, s scope) (map[string]node.Status, error) {
	var list []node.Status
	if s.all {
		var err error
		if list, err = l.Engine.List(ctx); err != nil {
			return nil, err
		}
	} else {
		var ids []string
		for app := range s.apps {
			for id := range l.book.byApp[app] {
				ids = append(ids, id)
			}
		}
		list = l.Engine.Find(ids...)
	}
	seen := make(map[string]node.Status, len(list))
	for _, w := range list {
		if ours(w) {
			seen[w.ID] = w
			l.book.workload(w.ID, w.Labels[labelApp], true)
		}
	}
	return seen, nil
}

// nudge asks for another pass.
func (l *Loop) nudge() {
	select {
	case l.wake <- struct{}{}:
	default:
	}
}
