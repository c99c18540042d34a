package api

import (
	"net/http"

	"github.com/google/uuid"

	"github.com/cupola-paas/cupola/controller/appusage"
	"github.com/cupola-paas/cupola/controller/capi"
	"github.com/cupola-paas/cupola/store"
)

func (s *Server) startApp(c *Ctx) error {
	return s.changeState(c, "audit.app.start", "Started", func(tx *store.Tx, app *store.App) error {
		if app.State == store.AppStarted {
			return nil
		}
		return s.startNow(tx, c, app)
	})
}

func (s *Server) restartApp(c *Ctx) error {
	return s.changeState(c, "audit.app.restart", "Restarted", func(tx *store.Tx, app *store.App) error {
		return s.startNow(tx, c, app)
	})
}

func (s *Server) stopApp(c *Ctx) error {
	return s.changeState(c, "audit.app.stop", "Stopped", func(tx *store.Tx, app *store.App) error {
		if err := refuseDuringDeployment(tx, app, capi.StopDisabledDuringDeployment, "stop the app"); err != nil {
			return err
		}
		if err := tellEnded(tx, app); err != nil {
			return err
		}
		app.State = store.AppStopped
		return store.Apps.Put(tx, app)
	})
}

func (s *Server) changeState(c *Ctx, event, verb string, change func(*store.Tx, *store.App) error) error {
	var shown capi.App
	guid := c.Path("guid")
	err := c.Update(func(tx *store.Tx) error {
		app, err := store.Apps.Get(tx, guid)
		if err != nil {
			return err
		}
		if err := change(tx, app); err != nil {
			return err
		}
		if shown, err = s.presentApp(tx, app); err != nil {
			return err
		}
		return c.audit(tx, Event{Type: event, Target: appTarget(app), Place: c.place})
	})
	if err != nil {
		return err
	}
	s.apiLine(guid, verb+" app with guid "+guid)
	return c.JSON(http.StatusOK, shown)
}

// tellEnded writes that the processes of a started app run no more.
func tellEnded(tx *store.Tx, app *store.App) error {
	if app.State != store.AppStarted {
		return nil
	}
	processes, err := processesOf(tx, app.GUID)
	for _, p := range processes {
		err = firstOf(err, appusage.ProcessEnded(tx, app, p))
	}
	return err
}

// startNow wants the app to run, every process of it anew.
func (s *Server) startNow(tx *store.Tx, c *Ctx, app *store.App, why ...string) error {
	if app.CurrentDropletGUID == "" {
		return errInvalid("Assign a droplet before starting this app.")
	}
	if err := refuseNoCells(tx, app.SpaceGUID); err != nil {
		return err
	}
	if err := refuseBindings(tx, app); err != nil {
		return err
	}
	if err := tellEnded(tx, app); err != nil {
		return err
	}
	processes, err := processesOf(tx, app.GUID)
	if err != nil {
		return err
	}
	r, err := c.revise(tx, app, app.CurrentDropletGUID, why...)
	if err != nil {
		return err
	}
	app.State = store.AppStarted
	if err := store.Apps.Put(tx, app); err != nil {
		return err
	}
	for _, p := range processes {
		p.Version, p.RevisionGUID = uuid.NewString(), ""
		if r != nil {
			p.RevisionGUID = r.GUID
		}
		if err := firstOf(store.Processes.Put(tx, p), appusage.Process(tx, app, p, nil)); err != nil {
			return err
		}
	}
	return checkMemory(tx, app.SpaceGUID)
}

// activeDeployment returns the app's deployment under way, or nil.
func activeDeployment(tx *store.Tx, appGUID string) (*store.Deployment, error) {
	found, _, err := store.Deployments.List(tx, store.Query[store.Deployment]{
		Where: []store.Cond{store.By("app", appGUID), store.By("status", store.DeploymentActive)},
	})
	if err != nil || len(found) == 0 {
		return nil, err
	}
	return found[len(found)-1], nil
}

func refuseDuringDeployment(tx *store.Tx, app *store.App, kind capi.Kind, what string) error {
	d, err := activeDeployment(tx, app.GUID)
	if err != nil || d == nil {
		return err
	}
	return kind.Errorf("Cannot %s while a deployment is in flight: wait for it, or cancel deployment %s", what, d.GUID)
}
