package api

import (
	"fmt"
	"maps"
	"net/http"

	"github.com/google/uuid"

	"github.com/cupola-paas/cupola/controller/capi"
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
		if err := s.deploy(tx, app, d, in); err != nil {
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
	if in.Revision != nil {
		return nil, errInvalid("Revisions are not kept by this platform: deploy a droplet by its guid")
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
func (s *Server) deploy(tx *store.Tx, app *store.App, d *store.Deployment, in capi.DeploymentCreate) error {
	guid := app.CurrentDropletGUID
	if in.Droplet != nil {
		guid = in.Droplet.GUID
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
	if app.State == store.AppStopped {
		return s.deployStopped(tx, app, droplet, d, in.Options)
	}
	return deployRunning(tx, app, d, wanted, in.Options)
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
func (s *Server) deployStopped(tx *store.Tx, app *store.App, droplet *store.Droplet, d *store.Deployment, o *capi.DeploymentOptions) error {
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
	if err := s.startNow(tx, app); err != nil {
		return err
	}
	d.Status, d.Reason, d.HealthyAt = store.DeploymentFinalized, store.DeploymentDeployed, tx.Now
	return store.Deployments.Put(tx, d)
}

// deployRunning pins the running processes to what they run and puts the new web process beside them.
func deployRunning(tx *store.Tx, app *store.App, d *store.Deployment, wanted int, o *capi.DeploymentOptions) error {
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
	if err := store.Processes.Put(tx, clone); err != nil {
		return err
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
			target = max(1, d.WantedInstances*d.CanarySteps[0]/100)
		}
		n = min(n, target)
	}
	return max(1, n)
}

func cloneProcess(p *store.Process, d *store.Deployment) *store.Process {
	clone := *p
	clone.Meta = store.Meta{GUID: uuid.NewString(), Labels: maps.Clone(p.Labels), Annotations: maps.Clone(p.Annotations)}
	clone.Version, clone.DeploymentGUID, clone.DropletGUID = uuid.NewString(), d.GUID, d.DropletGUID
	return &clone
}

func resize(p *store.Process, o *capi.DeploymentOptions) error {
	if o == nil {
		return nil
	}
	return scale(p, capi.ProcessScale{Instances: o.WebInstances, MemoryInMB: o.MemoryInMB, DiskInMB: o.DiskInMB, LogRateLimit: o.LogRateLimit})
}
