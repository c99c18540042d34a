package scheduling

import (
	"errors"
	"fmt"

	"github.com/google/uuid"

	"github.com/cupola-paas/cupola/store"
)

// crashesToRollBack is after how many crashes of new instances, none of which was ever healthy, a
// deployment gives up and goes back.
const crashesToRollBack = 3

// errNothing aborts a transaction that found nothing to write.
var errNothing = errors.New("nothing to write")

// stepDeployments takes one step of each active deployment. The web process has been cloned: the clone
// grows as its instances become healthy, the old ones shrink by as many, so that the number of healthy
// instances never falls below what is wanted (contract 2.5).
func (l *Loop) stepDeployments() error {
	var active []*store.Deployment
	err := l.DB.View(func(tx *store.Tx) (err error) {
		active, _, err = store.Deployments.List(tx, store.Query[store.Deployment]{
			Where: []store.Cond{store.By("status", store.DeploymentActive)},
		})
		return err
	})
	if err != nil {
		return fmt.Errorf("read deployments: %w", err)
	}
	for _, d := range active {
		err := l.DB.Update(func(tx *store.Tx) error { return stepDeployment(tx, d.GUID) })
		if err != nil && !errors.Is(err, errNothing) {
			return fmt.Errorf("step deployment %s: %w", d.GUID, err)
		}
	}
	return nil
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
	oldUp     int              // running instances of old
	instances int              // of new, in any state
	wrote     bool
}

// stepDeployment reads the deployment afresh, so that a cancel by the API is never overwritten.
func stepDeployment(tx *store.Tx, guid string) error {
	r, err := readRollout(tx, guid)
	if err != nil {
		return err
	}
	switch {
	case r == nil:
		return nil // it could only be ended, and was
	case r.d.Status != store.DeploymentActive:
		return errNothing
	case r.d.Reason == store.DeploymentCanceling:
		err = r.rollBack()
	case r.d.Reason == store.DeploymentPaused:
		return errNothing
	default:
		err = r.advance()
	}
	if err == nil && !r.wrote {
		return errNothing
	}
	return err
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
		case i.ProcessType == r.new.Type && running:
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
	if err := r.noteHealthy(); err != nil {
		return err
	}
	if want := min(target, r.healthy+max(1, r.d.MaxInFlight)); want > r.new.Instances {
		if err := r.scale(r.new, want); err != nil {
			return err
		}
	}
	if err := r.shrinkOld(r.d.WantedInstances - r.healthy); err != nil {
		return err
	}
	switch {
	case r.healthy < target:
		return nil
	case target < r.d.WantedInstances || r.canaryUnfinished():
		return r.pause()
	case r.oldInstances() == 0:
		return r.complete()
	}
	return nil
}

// noteHealthy remembers when a new instance was first healthy; from then on crashes don't roll back by
// themselves.
func (r *rollout) noteHealthy() error {
	if r.healthy == 0 || !r.d.HealthyAt.IsZero() {
		return nil
	}
	r.d.HealthyAt, r.wrote = r.tx.Now, true
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
	return max(1, r.d.WantedInstances*weight/100)
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
	p.Instances = n
	r.wrote = true
	return store.Processes.Put(r.tx, p)
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
		if err := store.Processes.Delete(r.tx, p.GUID); err != nil {
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
		p.Version, p.DropletGUID = uuid.NewString(), ""
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
	last := r.old[len(r.old)-1]
	if missing := r.d.WantedInstances - r.oldInstances(); missing > 0 {
		return r.scale(last, last.Instances+missing)
	}
	if r.oldUp < r.d.WantedInstances && r.healthy > 0 {
		return nil // old instances are still starting; the new ones serve until then
	}
	if err := store.Processes.Delete(r.tx, r.new.GUID); err != nil {
		return err
	}
	if r.d.PreviousDropletGUID != "" {
		r.app.CurrentDropletGUID = r.d.PreviousDropletGUID
		if err := store.Apps.Put(r.tx, r.app); err != nil {
			return err
		}
	}
	for _, p := range r.old {
		p.DropletGUID, p.DeploymentGUID = "", ""
		if err := store.Processes.Put(r.tx, p); err != nil {
			return err
		}
	}
	return r.finish(store.DeploymentCanceled, r.d.Error)
}

// finish ends the deployment.
func (r *rollout) finish(reason, cause string) error {
	r.d.Status, r.d.Reason, r.d.StatusAt, r.d.Error = store.DeploymentFinalized, reason, r.tx.Now, cause
	r.wrote = true
	return store.Deployments.Put(r.tx, r.d)
}
