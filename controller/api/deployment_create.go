package api

import (
	"fmt"
	"maps"
	"net/http"

	"github.com/google/uuid"

	"github.com/cupola-paas/cupola/controller/appusage"
	"github.com/cupola-paas/cupola/controller/capi"
	"github.com/cupola-paas/cupola/controller/revision"
	"github.com/cupola-paas/cupola/store"
)

const canaryStepsMax = 100

// createDeployment writes the deployment and the new web process that it grows; the scheduling loop steps it.
// The app's current droplet changes when the deployment is complete.
func (s *Server) createDeployment(c *Ctx) error {
	var in capi.DeploymentCreate
	if err := c.decode(&in); err != nil {
		return err
	}
	d, err := newDeployment(in)
	if err != nil {
		return err
	}
	err = c.Update(func(tx *store.Tx) error {
		app, place, err := c.appInBody(tx, in.Relationships.App.GUID(), Operate)
		if err != nil {
			return err
		}
		if err := c.auditNewProcesses(tx, app, place, func() error { return s.deploy(tx, c, app, d, in) }); err != nil {
			return err
		}
		return c.audit(tx, Event{Type: "audit.app.deployment.create", Target: appTarget(app), Place: place, Data: map[string]any{
			"deployment_guid": d.GUID, "droplet_guid": d.DropletGUID, "strategy": d.Strategy,
		}})
	})
	if err != nil {
		return err
	}
	s.apiLine(d.AppGUID, fmt.Sprintf("Created %s deployment of app with guid %s", d.Strategy, d.AppGUID))
	return s.answerDeployment(c, http.StatusCreated, d)
}

// newDeployment checks what of the body needs no look at the store.
func newDeployment(in capi.DeploymentCreate) (*store.Deployment, error) {
	d := &store.Deployment{
		Strategy: in.Strategy, Status: store.DeploymentActive, Reason: store.DeploymentDeploying, MaxInFlight: 1, NewProcessType: "web",
	}
	if d.Strategy == "" {
		d.Strategy = "rolling"
	}
	if d.Strategy != "rolling" && d.Strategy != "canary" {
		return nil, errInvalid(fmt.Sprintf("Strategy '%s' is not a supported deployment strategy: use rolling or canary", clip(d.Strategy, 50)))
	}
	if in.Revision != nil && in.Droplet != nil {
		return nil, errInvalid("Cannot set both fields 'droplet' and 'revision'")
	}
	if err := patchMetadata(&d.Meta, in.Metadata); err != nil {
		return nil, err
	}
	if d.Strategy == "canary" {
		d.CanaryStep = 1
	}
	return d, deploymentOptions(d, in.Options)
}

func deploymentOptions(d *store.Deployment, o *capi.DeploymentOptions) error {
	if o == nil {
		return nil
	}
	if o.MaxInFlight != nil {
		if d.MaxInFlight = int(*o.MaxInFlight); d.MaxInFlight < 1 || d.MaxInFlight > instancesMax {
			return errInvalid(fmt.Sprintf("Max in flight must be an integer between 1 and %d", instancesMax))
		}
	}
	for _, f := range []struct {
		in *capi.Int
		to **int
	}{{o.WebInstances, &d.WebInstances}, {o.MemoryInMB, &d.MemoryMB}, {o.DiskInMB, &d.DiskMB}, {o.LogRateLimit, &d.LogRateBytes}} {
		if f.in != nil {
			n := int(*f.in)
			*f.to = &n
		}
	}
	if o.WebInstances != nil && *o.WebInstances < 1 {
		return errInvalid("Options web instances must be greater than 0")
	}
	if o.Canary == nil {
		return nil
	}
	if d.Strategy != "canary" {
		return errInvalid("Canary options are only valid for the strategy canary")
	}
	if len(o.Canary.Steps) > canaryStepsMax {
		return errInvalid(fmt.Sprintf("Canary steps may be %d at most", canaryStepsMax))
	}
	last := 0
	for _, step := range o.Canary.Steps {
		w := int(step.InstanceWeight)
		if w < 1 || w > 100 || w < last {
			return errInvalid("Canary steps must have an instance_weight between 1 and 100, in ascending order")
		}
		d.CanarySteps, last = append(d.CanarySteps, w), w
	}
	return nil
}

// deploy fills in the deployment from the app and writes all that it changes.
func (s *Server) deploy(tx *store.Tx, c *Ctx, app *store.App, d *store.Deployment, in capi.DeploymentCreate) error {
	guid := app.CurrentDropletGUID
	if in.Droplet != nil {
		guid = in.Droplet.GUID
	}
	var back *store.Revision
	if in.Revision != nil {
		var err error
		if back, err = revisionToRollBackTo(tx, app, in.Revision.GUID); err != nil {
			return err
		}
		guid = back.DropletGUID
	}
	if guid == "" {
		return errInvalid("Invalid droplet. Please specify a droplet in the request or set a current droplet for the app.")
	}
	droplet, err := usableDroplet(tx, app, guid)
	if err != nil {
		return err
	}
	d.GUID, d.AppGUID, d.SpaceGUID, d.StatusAt = uuid.NewString(), app.GUID, app.SpaceGUID, tx.Now
	d.DropletGUID, d.PreviousDropletGUID = droplet.GUID, app.CurrentDropletGUID
	wanted, err := supersede(tx, app)
	if err != nil {
		return err
	}
	if err := addMissingProcesses(tx, app, droplet); err != nil {
		return err
	}
	restore, why, err := rollBack(tx, app, d, back)
	if err != nil {
		return err
	}
	if app.State == store.AppStopped {
		return s.deployStopped(tx, c, app, droplet, d, in.Options, why)
	}
	revised, err := c.revise(tx, app, droplet.GUID, why...)
	if err != nil {
		return err
	}
	if revised != nil {
		d.RevisionGUID, d.RevisionVersion = revised.GUID, revised.Version
	}
	return deployRunning(tx, app, d, wanted, in.Options, restore)
}

// rollBack writes the revision, if there is one, into the app. The web process that runs keeps its command until it
// is replaced: restore gives it back once the new process has been made from it.
func rollBack(tx *store.Tx, app *store.App, d *store.Deployment, to *store.Revision) (restore func() error, why []string, err error) {
	restore = func() error { return nil }
	if to == nil {
		return restore, nil, nil
	}
	web, err := webProcess(tx, app)
	if err != nil {
		return nil, nil, err
	}
	if web != nil {
		d.PreviousRevisionGUID = web.RevisionGUID
		restore = func() error { return setCommand(tx, web.GUID, web.Command) }
	}
	d.ByRevision = true
	return restore, []string{fmt.Sprintf("Rolled back to revision %d.", to.Version)}, revision.Restore(tx, app, to)
}

func setCommand(tx *store.Tx, processGUID, command string) error {
	p, err := store.Processes.Get(tx, processGUID)
	if err != nil || p.Command == command {
		return err
	}
	p.Command = command
	return store.Processes.Put(tx, p)
}

// supersede ends a deployment under way and returns how many web instances it was to reach, or 0.
func supersede(tx *store.Tx, app *store.App) (int, error) {
	old, err := activeDeployment(tx, app.GUID)
	if err != nil || old == nil {
		return 0, err
	}
	old.Status, old.Reason, old.StatusAt = store.DeploymentFinalized, store.DeploymentSuperseded, tx.Now
	return old.WantedInstances, store.Deployments.Put(tx, old)
}

// deployStopped is the ordinary start of an app on the droplet: there is nothing to replace.
func (s *Server) deployStopped(tx *store.Tx, c *Ctx, app *store.App, droplet *store.Droplet, d *store.Deployment, o *capi.DeploymentOptions, why []string) error {
	web, err := webProcess(tx, app)
	if err != nil {
		return err
	}
	if web != nil {
		if err := resize(web, o); err != nil {
			return err
		}
		d.WantedInstances = web.Instances
		if err := putProcess(tx, app, web); err != nil {
			return err
		}
	}
	if err := assignDroplet(tx, app, droplet); err != nil {
		return err
	}
	if err := s.startNow(tx, c, app, why...); err != nil {
		return err
	}
	if web != nil {
		if err := revisionOfProcess(tx, web.GUID, d); err != nil {
			return err
		}
	}
	d.Status, d.Reason, d.HealthyAt = store.DeploymentFinalized, store.DeploymentDeployed, tx.Now
	return store.Deployments.Put(tx, d)
}

// revisionOfProcess notes in d the revision that the process has.
func revisionOfProcess(tx *store.Tx, guid string, d *store.Deployment) error {
	p, err := store.Processes.Get(tx, guid)
	if err != nil || p.RevisionGUID == "" {
		return err
	}
	r, err := store.Revisions.Get(tx, p.RevisionGUID)
	if err == nil {
		d.RevisionGUID, d.RevisionVersion = r.GUID, r.Version
	}
	return err
}

// deployRunning pins the running processes to what they run and puts the new web process beside them.
func deployRunning(tx *store.Tx, app *store.App, d *store.Deployment, wanted int, o *capi.DeploymentOptions, restore func() error) error {
	web, err := webProcess(tx, app)
	if err != nil {
		return err
	}
	if web == nil {
		return errInvalid("The app has no web process to deploy; restart it instead")
	}
	clone := cloneProcess(web, d)
	if wanted > 0 {
		clone.Instances = wanted
	}
	d.PreviousInstances = clone.Instances
	if err := resize(clone, o); err != nil {
		return err
	}
	if err := checkProcessMemory(tx, app.SpaceGUID, clone.MemoryMB); err != nil {
		return err
	}
	d.WantedInstances, d.NewProcessGUID = clone.Instances, clone.GUID
	clone.Instances = min(clone.Instances, firstStep(d))
	if d.OldProcessGUIDs, err = pinProcesses(tx, app, d.PreviousDropletGUID); err != nil {
		return err
	}
	d.StepAt = tx.Now
	for _, step := range []func() error{
		restore,
		func() error { return store.Processes.Put(tx, clone) },
		func() error { return appusage.Process(tx, app, clone, nil) },
		func() error { return checkSidecars(tx, app, processTooSmall) },
		func() error { return checkMemory(tx, app.SpaceGUID) },
	} {
		if err := step(); err != nil {
			return err
		}
	}
	return store.Deployments.Put(tx, d)
}

// pinProcesses gives every web process of the app the droplet that it runs now, and returns their GUIDs.
func pinProcesses(tx *store.Tx, app *store.App, droplet string) ([]string, error) {
	processes, _, err := store.Processes.List(tx, store.Query[store.Process]{
		Where: []store.Cond{store.By("app_type", app.GUID+"/web")},
	})
	if err != nil {
		return nil, err
	}
	var guids []string
	for _, p := range processes {
		guids = append(guids, p.GUID)
		if p.DropletGUID != "" {
			continue
		}
		p.DropletGUID = droplet
		if err := store.Processes.Put(tx, p); err != nil {
			return nil, err
		}
	}
	return guids, nil
}

// firstStep is how many new instances start at once.
func firstStep(d *store.Deployment) int {
	n := d.MaxInFlight
	if d.Strategy == "canary" {
		target := 1
		if len(d.CanarySteps) > 0 {
			target = canaryInstances(d.WantedInstances, d.CanarySteps[0])
		}
		n = min(n, target)
	}
	return max(1, n)
}

// canaryInstances is the share of the instances that a step of a canary has: at least one.
func canaryInstances(wanted, weight int) int { return max(1, (wanted*weight+50)/100) }

func cloneProcess(p *store.Process, d *store.Deployment) *store.Process {
	clone := *p
	clone.Meta = store.Meta{GUID: uuid.NewString(), Labels: maps.Clone(p.Labels), Annotations: maps.Clone(p.Annotations)}
	clone.Version, clone.DeploymentGUID, clone.DropletGUID = uuid.NewString(), d.GUID, d.DropletGUID
	clone.RevisionGUID = d.RevisionGUID
	return &clone
}

func resize(p *store.Process, o *capi.DeploymentOptions) error {
	if o == nil {
		return nil
	}
	return scale(p, capi.ProcessScale{Instances: o.WebInstances, MemoryInMB: o.MemoryInMB, DiskInMB: o.DiskInMB, LogRateLimit: o.LogRateLimit})
}
