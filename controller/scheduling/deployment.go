package scheduling

import (
	"errors"
	"fmt"
	"time"

	"github.com/google/uuid"

	"github.com/cupola-paas/cupola/controller/appusage"
	"github.com/cupola-paas/cupola/controller/revision"
	"github.com/cupola-paas/cupola/store"
)

// defaultPace is the least time between two growths of a deployment, and before its end.
const defaultPace = 3 * time.Second

// crashesToRollBack is after how many crashes of new instances, none of which was ever healthy, a
// deployment gives up and goes back.
const crashesToRollBack = 3

// errNothing aborts a transaction that found nothing to write.
var errNothing = errors.New("nothing to write")

// stepDeployments takes one step of each active deployment. The web process has been cloned: the clone
// grows as its instances become healthy, the old ones shrink by as many, so that the number of healthy
// instances never falls below what is wanted (contract 2.5).
func (l *Loop) stepDeployments(s scope) error {
	which := []store.Cond{store.By("status", store.DeploymentActive)}
	if !s.all {
		which = []store.Cond{store.By("app", s.guids()...), which[0]}
	}
	var active []*store.Deployment
	err := l.DB.View(func(tx *store.Tx) (err error) {
		active, _, err = store.Deployments.List(tx, store.Query[store.Deployment]{Where: which})
		return err
	})
	if err != nil {
		return fmt.Errorf("read deployments: %w", err)
	}
	for _, d := range active {
		l.book.records[d.GUID] = d.AppGUID
		var due time.Duration
		err := l.DB.Update(func(tx *store.Tx) (err error) {
			due, err = stepDeployment(tx, d.GUID, l.pace())
			return err
		})
		if err != nil && !errors.Is(err, errNothing) {
			return fmt.Errorf("step deployment %s: %w", d.GUID, err)
		}
		l.book.later(d.AppGUID, due)
	}
	return nil
}

func (l *Loop) pace() time.Duration {
	if l.Pace == 0 {
		return defaultPace
	}
	return max(0, l.Pace)
}

// sooner returns the shorter of two waits, of which zero is none.
func sooner(a, b time.Duration) time.Duration {
	if a == 0 || b == 0 {
		return a + b
	}
	return min(a, b)
}

// rollout is one deployment with what it moves, read in one transaction.
type rollout struct {
	tx        *store.Tx
	d         *store.Deployment
	app       *store.App
	new       *store.Process
	old       []*store.Process // web processes before the new one, oldest first
	healthy   int              // running and routable instances of new
	crashes   int              // the worst crash count of new's instances
	crash     string           // its details
	trouble   string           // why an instance of new is not running, in words
	pace      time.Duration    // between two growths
	due       time.Duration    // until the pace lets it go on; zero: something else is waited for
	oldUp     int              // instances of old that run, or have crashed: nobody waits for those
	instances int              // of new, in any state
	wrote     bool
}

// stepDeployment reads the deployment afresh, so that a cancel by the API is never overwritten.
func stepDeployment(tx *store.Tx, guid string, pace time.Duration) (due time.Duration, err error) {
	r, err := readRollout(tx, guid)
	if err != nil {
		return 0, err
	}
	switch {
	case r == nil:
		return 0, nil // it could only be ended, and was
	case r.d.Status != store.DeploymentActive:
		return 0, errNothing
	case r.d.Reason == store.DeploymentCanceling:
		err = r.rollBack()
	case r.d.Reason == store.DeploymentPaused:
		return 0, errNothing
	default:
		if r.d.WantedInstances > 1 { // with one there is nothing to go slowly about
			r.pace = pace
		}
		err = r.advance()
	}
	if err == nil && !r.wrote {
		err = errNothing
	}
	return r.due, err
}

func readRollout(tx *store.Tx, guid string) (*rollout, error) {
	d, err := store.Deployments.Get(tx, guid)
	if err != nil {
		return nil, err
	}
	r := &rollout{tx: tx, d: d}
	if r.app, err = store.Apps.Get(tx, d.AppGUID); err != nil {
		return nil, r.finish(store.DeploymentCanceled, "the app was deleted")
	}
	processes, _, err := store.Processes.List(tx, store.Query[store.Process]{Where: []store.Cond{store.By("app", d.AppGUID)}})
	if err != nil {
		return nil, err
	}
	for _, p := range processes {
		switch {
		case p.GUID == d.NewProcessGUID:
			r.new = p
		case p.Type == d.NewProcessType:
			r.old = append(r.old, p)
		}
	}
	if r.new == nil {
		return nil, r.finish(store.DeploymentCanceled, "its process was deleted")
	}
	return r, r.countInstances()
}

func (r *rollout) countInstances() error {
	list, _, err := store.Instances.List(r.tx, store.Query[store.Instance]{Where: []store.Cond{store.By("app", r.app.GUID)}})
	if err != nil {
		return err
	}
	for _, i := range list {
		running := i.State == store.InstanceRunning && i.Routable
		switch {
		case i.ProcessGUID == r.new.GUID && i.State != store.InstanceStopping:
			r.instances++
			if running {
				r.healthy++
			}
			if i.CrashCount > r.crashes {
				r.crashes, r.crash = i.CrashCount, i.Details
			}
			if i.State == store.InstanceCrashed || i.State == store.InstanceDown {
				r.trouble = i.Details
			}
		case i.ProcessType == r.new.Type && (running || i.State == store.InstanceCrashed):
			r.oldUp++
		}
	}
	return nil
}

// advance grows the new process and shrinks the old one.
func (r *rollout) advance() error {
	if r.app.State != store.AppStarted {
		return r.complete()
	}
	if r.healthy == 0 && r.d.HealthyAt.IsZero() && r.crashes >= crashesToRollBack {
		return r.giveUp()
	}
	target := r.target()
	if err := r.note(); err != nil {
		return err
	}
	if err := r.grow(target); err != nil {
		return err
	}
	if err := r.shrinkOld(r.d.WantedInstances - r.healthy + r.extra()); err != nil {
		return err
	}
	switch {
	case r.healthy < target:
		return nil
	case target < r.d.WantedInstances || r.canaryUnfinished():
		return r.pause()
	case r.oldInstances() == 0 && r.rested():
		return r.complete()
	}
	return nil
}

// extra is how many more instances than wanted a canary's step has: one, so that the old version keeps its whole
// strength beside the first new instance.
func (r *rollout) extra() int {
	if r.canaryUnfinished() {
		return 1
	}
	return 0
}

// grow adds new instances, of which max_in_flight at most are not healthy yet.
func (r *rollout) grow(target int) error {
	want := min(target, r.healthy+max(1, r.d.MaxInFlight))
	if want <= r.new.Instances || !r.canaryUnfinished() && !r.rested() {
		return nil
	}
	r.d.StepAt, r.wrote = r.tx.Now, true
	return errors.Join(store.Deployments.Put(r.tx, r.d), r.scale(r.new, want))
}

// rested reports whether the newest instances have been there for the pace: a version that breaks under its first
// requests is seen before more of it starts.
func (r *rollout) rested() bool {
	left := r.pace - r.tx.Now.Sub(r.d.StepAt)
	if left > 0 {
		r.due = left
	}
	return left <= 0
}

// note remembers when a new instance was first healthy, from when on crashes don't roll back by themselves, and
// what keeps one from running.
func (r *rollout) note() error {
	first := r.healthy > 0 && r.d.HealthyAt.IsZero()
	if !first && r.d.Error == r.trouble {
		return nil
	}
	if first {
		r.d.HealthyAt = r.tx.Now
	}
	r.d.Error, r.wrote = r.trouble, true
	return store.Deployments.Put(r.tx, r.d)
}

// target is how many new instances this step of the deployment wants.
func (r *rollout) target() int {
	if !r.canaryUnfinished() {
		return r.d.WantedInstances
	}
	weight := 0
	if n := r.d.CanaryStep; n >= 1 && n <= len(r.d.CanarySteps) {
		weight = r.d.CanarySteps[n-1]
	}
	return max(1, (r.d.WantedInstances*weight+50)/100)
}

// canaryUnfinished: the step after the last is the ordinary roll.
func (r *rollout) canaryUnfinished() bool {
	return r.d.Strategy == "canary" && r.d.CanaryStep <= max(1, len(r.d.CanarySteps))
}

func (r *rollout) oldInstances() int {
	n := 0
	for _, p := range r.old {
		n += p.Instances
	}
	return n
}

// shrinkOld leaves at most n old instances in all, taking from the oldest process first.
func (r *rollout) shrinkOld(n int) error {
	surplus := r.oldInstances() - max(0, n)
	for _, p := range r.old {
		if surplus <= 0 {
			break
		}
		take := min(surplus, p.Instances)
		if take > 0 {
			if err := r.scale(p, p.Instances-take); err != nil {
				return err
			}
		}
		surplus -= take
	}
	return nil
}

func (r *rollout) scale(p *store.Process, n int) error {
	was := *p
	p.Instances = n
	r.wrote = true
	return errors.Join(store.Processes.Put(r.tx, p), appusage.Process(r.tx, r.app, p, &was))
}

// remove ends a process.
func (r *rollout) remove(p *store.Process) error {
	if r.app.State == store.AppStarted {
		if err := appusage.ProcessEnded(r.tx, r.app, p); err != nil {
			return err
		}
	}
	if err := putProcessEvent(r.tx, r.app, p, "audit.app.process.delete", map[string]any{"process_guid": p.GUID, "process_type": p.Type}); err != nil {
		return err
	}
	return store.Processes.Delete(r.tx, p.GUID)
}

func (r *rollout) pause() error {
	if r.d.Strategy != "canary" {
		return nil
	}
	r.d.Reason, r.d.StatusAt = store.DeploymentPaused, r.tx.Now
	r.wrote = true
	return store.Deployments.Put(r.tx, r.d)
}

// complete removes the old web processes and restarts the other types on the new droplet.
func (r *rollout) complete() error {
	for _, p := range r.old {
		if err := r.remove(p); err != nil {
			return err
		}
	}
	r.new.Instances, r.new.DeploymentGUID, r.new.DropletGUID = r.d.WantedInstances, "", ""
	if err := store.Processes.Put(r.tx, r.new); err != nil {
		return err
	}
	r.app.CurrentDropletGUID = r.d.DropletGUID
	if err := store.Apps.Put(r.tx, r.app); err != nil {
		return err
	}
	if err := r.restartOthers(); err != nil {
		return err
	}
	return r.finish(store.DeploymentDeployed, "")
}

func (r *rollout) restartOthers() error {
	processes, _, err := store.Processes.List(r.tx, store.Query[store.Process]{Where: []store.Cond{store.By("app", r.app.GUID)}})
	if err != nil {
		return err
	}
	for _, p := range processes {
		if p.Type == r.new.Type {
			continue
		}
		p.Version, p.DropletGUID, p.RevisionGUID = uuid.NewString(), "", r.d.RevisionGUID
		if err := store.Processes.Put(r.tx, p); err != nil {
			return err
		}
	}
	return nil
}

// giveUp starts the way back by itself; the reason is kept for people.
func (r *rollout) giveUp() error {
	r.d.Reason, r.d.StatusAt = store.DeploymentCanceling, r.tx.Now
	r.d.Error = fmt.Sprintf("the new version crashed %d times and was never healthy: %s", r.crashes, r.crash)
	r.wrote = true
	return store.Deployments.Put(r.tx, r.d)
}

// rollBack grows the old process again, then takes the new one away.
func (r *rollout) rollBack() error {
	if len(r.old) == 0 {
		return r.complete() // nothing to go back to
	}
	last := r.previous()
	if missing := r.before() - r.oldInstances(); missing > 0 {
		return r.scale(last, last.Instances+missing)
	}
	if r.oldUp < r.before() && r.healthy > 0 {
		return nil // old instances are still starting; the new ones serve until then
	}
	if err := r.remove(r.new); err != nil {
		return err
	}
	if r.d.PreviousDropletGUID != "" {
		r.app.CurrentDropletGUID = r.d.PreviousDropletGUID
		if err := store.Apps.Put(r.tx, r.app); err != nil {
			return err
		}
	}
	if err := r.keepOnly(last); err != nil {
		return err
	}
	return r.finish(store.DeploymentCanceled, r.d.Error)
}

// before is how many instances there were.
func (r *rollout) before() int {
	if r.d.PreviousInstances > 0 {
		return r.d.PreviousInstances
	}
	return r.d.WantedInstances
}

// previous is the process to go back to: that of the droplet before, not what a superseded deployment had begun.
func (r *rollout) previous() *store.Process {
	last := r.old[len(r.old)-1]
	for _, p := range r.old {
		if p.DropletGUID == r.d.PreviousDropletGUID {
			last = p
		}
	}
	return last
}

// keepOnly makes one of the old processes the app's web process again and gives the app back what it was made of.
func (r *rollout) keepOnly(last *store.Process) error {
	for _, p := range r.old {
		if p.GUID == last.GUID {
			continue
		}
		if err := r.remove(p); err != nil {
			return err
		}
	}
	last.Instances, last.DropletGUID, last.DeploymentGUID = r.before(), "", ""
	if err := store.Processes.Put(r.tx, last); err != nil {
		return err
	}
	before, err := store.Revisions.Get(r.tx, r.d.PreviousRevisionGUID)
	if !r.d.ByRevision || err != nil {
		return nil
	}
	return revision.Restore(r.tx, r.app, before)
}

// finish ends the deployment.
func (r *rollout) finish(reason, cause string) error {
	r.d.Status, r.d.Reason, r.d.StatusAt, r.d.Error = store.DeploymentFinalized, reason, r.tx.Now, cause
	r.wrote = true
	return store.Deployments.Put(r.tx, r.d)
}
