package api

import (
	"fmt"
	"net/http"
	"time"

	"github.com/cupola-paas/cupola/controller/capi"
	"github.com/cupola-paas/cupola/store"
)

const deploymentHold = 20 * time.Second

func (s *Server) deploymentRoutes() []Route {
	operate := on(deploymentAt, "Deployment", SeeSpace, Operate)
	return []Route{
		index("/v3/deployments", signedIn(), s.listDeployments, "app_guids", "states", "status_reasons", "status_values"),
		post("/v3/deployments", inBody(), s.createDeployment),
		get("/v3/deployments/{guid}", on(deploymentAt, "Deployment", SeeSpace, SeeSpace), s.getDeployment),
		patch("/v3/deployments/{guid}", on(deploymentAt, "Deployment", SeeSpace, Develop), s.updateDeployment),
		post("/v3/deployments/{guid}/actions/cancel", operate, s.cancelDeployment),
		post("/v3/deployments/{guid}/actions/continue", operate, s.continueDeployment),
	}
}

func deploymentMeta(d *store.Deployment) *store.Meta { return &d.Meta }

func (s *Server) presentDeployment(_ *store.Tx, d *store.Deployment) (capi.Deployment, error) {
	base := "/v3/deployments/" + d.GUID
	inFlight := capi.Int(d.MaxInFlight)
	out := capi.Deployment{
		Resource: resource(&d.Meta), Strategy: d.Strategy,
		Status: capi.DeploymentStatus{Value: d.Status, Reason: d.Reason, Details: capi.DeploymentDetails{
			LastHealthyAt: capi.At(firstTime(d.HealthyAt, d.CreatedAt)), LastChangeAt: capi.At(d.StatusAt), Error: d.Error,
		}},
		Options: capi.DeploymentOptions{
			MaxInFlight: &inFlight, WebInstances: asked(d.WebInstances), MemoryInMB: asked(d.MemoryMB), DiskInMB: asked(d.DiskMB), LogRateLimit: asked(d.LogRateBytes),
		},
		Revision: revisionRef(d),
		Droplet:  capi.Ref(d.DropletGUID), PreviousDroplet: capi.GUIDOrNull(d.PreviousDropletGUID),
		Relationships: capi.DeploymentRelationship{App: capi.One(d.AppGUID)}, Metadata: metadata(&d.Meta),
		Links: capi.Links{"self": s.link(base), "app": s.link("/v3/apps/" + d.AppGUID)},
	}
	if d.NewProcessGUID != "" {
		out.NewProcesses = capi.Array[capi.NewProcess]{{GUID: d.NewProcessGUID, Type: d.NewProcessType}}
	}
	if d.Status == store.DeploymentActive {
		out.Links["cancel"] = s.action(base + "/actions/cancel")
	}
	if d.Reason == store.DeploymentPaused {
		out.Links["continue"] = s.action(base + "/actions/continue")
	}
	presentCanary(&out, d)
	return out, nil
}

// asked is nil for what the client left to the platform.
func asked(n *int) *capi.Int {
	if n == nil {
		return nil
	}
	v := capi.Int(*n)
	return &v
}

func presentCanary(out *capi.Deployment, d *store.Deployment) {
	if d.Strategy != "canary" {
		return
	}
	total := max(1, len(d.CanarySteps))
	out.Status.Canary = &capi.DeploymentCanary{Steps: capi.CanaryProgress{Current: min(max(1, d.CanaryStep), total), Total: total}}
	if len(d.CanarySteps) == 0 {
		return
	}
	options := &capi.CanaryOptions{}
	for _, w := range d.CanarySteps {
		options.Steps = append(options.Steps, capi.CanaryStep{InstanceWeight: capi.Int(w)})
	}
	out.Options.Canary = options
}

func firstTime(times ...time.Time) time.Time {
	for _, t := range times {
		if !t.IsZero() {
			return t
		}
	}
	return time.Time{}
}

func (s *Server) listDeployments(c *Ctx) error {
	return c.answerPage(func(tx *store.Tx) (*page, error) {
		where, err := c.filterSpaces(tx, "space")
		if err != nil {
			return nil, err
		}
		return answerList(c, tx, Listing[store.Deployment, capi.Deployment]{
			Table: store.Deployments, Meta: deploymentMeta, Present: s.presentDeployment,
			Where: c.filterBy(where, "app_guids", "app", "states", "state", "status_reasons", "reason", "status_values", "status"),
		})
	})
}

// getDeployment is held while nothing that a client waits for has come about.
func (s *Server) getDeployment(c *Ctx) error {
	var d *store.Deployment
	began := time.Time{}
	_, err := c.hold(deploymentHold, func(tx *store.Tx) (done bool, err error) {
		if began.IsZero() {
			began = tx.Now
		}
		d, err = store.Deployments.Get(tx, c.Path("guid"))
		return err == nil && (d.Status != store.DeploymentActive || d.Reason == store.DeploymentPaused || isLookedAt(d, began)), err
	}, store.Deployments.Name())
	if err != nil {
		return notFound(err, "Deployment")
	}
	return s.answerDeployment(c, http.StatusOK, d)
}

// justChanged is how long after the last change of its status a deployment of several instances is shown as it is:
// who asks then wants to see it, who asks later waits for its end.
const justChanged = 5 * time.Second

func isLookedAt(d *store.Deployment, at time.Time) bool {
	return d.WantedInstances > 1 && at.Sub(d.StatusAt) < justChanged
}

func (s *Server) answerDeployment(c *Ctx, status int, d *store.Deployment) error {
	shown, err := s.presentDeployment(nil, d)
	if err != nil {
		return err
	}
	return c.JSON(status, shown)
}

func (s *Server) updateDeployment(c *Ctx) error {
	var in capi.MetadataUpdate
	if err := c.decode(&in); err != nil {
		return err
	}
	var d *store.Deployment
	err := c.Update(func(tx *store.Tx) (err error) {
		if d, err = store.Deployments.Get(tx, c.Path("guid")); err != nil {
			return err
		}
		if err := patchMetadata(&d.Meta, in.Metadata); err != nil {
			return err
		}
		return store.Deployments.Put(tx, d)
	})
	if err != nil {
		return err
	}
	return s.answerDeployment(c, http.StatusOK, d)
}

// cancelDeployment wants the way back; the scheduling loop goes it.
func (s *Server) cancelDeployment(c *Ctx) error {
	return s.moveDeployment(c, "audit.app.deployment.cancel", func(d *store.Deployment) error {
		if d.Status != store.DeploymentActive {
			return errInvalid(fmt.Sprintf("Cannot cancel a deployment with status: %s and reason: %s", d.Status, d.Reason))
		}
		d.Reason = store.DeploymentCanceling
		return nil
	})
}

// continueDeployment lets a paused canary go on: to its next step or, after the last, to the whole.
func (s *Server) continueDeployment(c *Ctx) error {
	return s.moveDeployment(c, "audit.app.deployment.continue", func(d *store.Deployment) error {
		if d.Status != store.DeploymentActive || d.Reason != store.DeploymentPaused {
			return errInvalid(fmt.Sprintf("Cannot continue a deployment with status: %s and reason: %s", d.Status, d.Reason))
		}
		d.Reason = store.DeploymentDeploying
		d.CanaryStep++
		return nil
	})
}

func (s *Server) moveDeployment(c *Ctx, event string, move func(*store.Deployment) error) error {
	err := c.Update(func(tx *store.Tx) error {
		d, err := store.Deployments.Get(tx, c.Path("guid"))
		if err != nil {
			return err
		}
		app, err := store.Apps.Get(tx, d.AppGUID)
		if err != nil {
			return err
		}
		if err := move(d); err != nil {
			return err
		}
		d.StatusAt = tx.Now
		if err := store.Deployments.Put(tx, d); err != nil {
			return err
		}
		return c.audit(tx, Event{Type: event, Target: appTarget(app), Place: c.place, Data: map[string]any{"deployment_guid": d.GUID}})
	})
	if err != nil {
		return err
	}
	return c.JSON(http.StatusOK, struct{}{})
}
