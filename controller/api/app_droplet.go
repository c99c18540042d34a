package api

import (
	"net/http"

	"github.com/cupola-paas/cupola/controller/capi"
	"github.com/cupola-paas/cupola/store"
)

// dropletLink is the body and the answer of the current_droplet relationship.
type dropletLink struct {
	Data *capi.GUID `json:"data"`
}

func (s *Server) getCurrentDropletLink(c *Ctx) error {
	return c.View(func(tx *store.Tx) error {
		app, err := store.Apps.Get(tx, c.Path("guid"))
		if err != nil {
			return err
		}
		if app.CurrentDropletGUID == "" {
			return capi.NotFound("Droplet")
		}
		return c.JSON(http.StatusOK, s.presentDropletLink(app))
	})
}

func (s *Server) presentDropletLink(app *store.App) capi.ToOneReply {
	base := "/v3/apps/" + app.GUID
	return capi.ToOneReply{
		Data: &capi.GUID{GUID: app.CurrentDropletGUID},
		Links: capi.Links{
			"self":    s.link(base + "/relationships/current_droplet"),
			"related": s.link(base + "/droplets/current"),
		},
	}
}

func (s *Server) getCurrentDroplet(c *Ctx) error {
	return c.View(func(tx *store.Tx) error {
		app, err := store.Apps.Get(tx, c.Path("guid"))
		if err != nil {
			return err
		}
		d, err := store.Droplets.Get(tx, app.CurrentDropletGUID)
		if err != nil {
			return notFound(err, "Droplet")
		}
		shown, err := s.showDroplet(c, tx, d)
		if err != nil {
			return err
		}
		return c.JSON(http.StatusOK, shown)
	})
}

// setCurrentDroplet chooses what the app runs from its next start on.
func (s *Server) setCurrentDroplet(c *Ctx) error {
	var in dropletLink
	if err := c.decode(&in); err != nil {
		return err
	}
	if in.Data == nil || in.Data.GUID == "" {
		return errInvalid("Current droplet cannot be removed. Replace it with a preferred droplet.")
	}
	var app *store.App
	err := c.Update(func(tx *store.Tx) (err error) {
		if app, err = store.Apps.Get(tx, c.Path("guid")); err != nil {
			return err
		}
		d, err := usableDroplet(tx, app, in.Data.GUID)
		if err != nil {
			return err
		}
		if err := c.auditNewProcesses(tx, app, c.place, func() error { return assignDroplet(tx, app, d) }); err != nil {
			return err
		}
		return c.audit(tx, Event{Type: "audit.app.droplet.mapped", Target: appTarget(app), Place: c.place, Data: request(map[string]any{"droplet_guid": d.GUID})})
	})
	if err != nil {
		return err
	}
	s.apiLine(app.GUID, "Updated app with guid "+app.GUID+` ({"droplet_guid"=>"`+app.CurrentDropletGUID+`"})`)
	return c.JSON(http.StatusOK, s.presentDropletLink(app))
}

// usableDroplet returns a droplet that the app can run.
func usableDroplet(tx *store.Tx, app *store.App, guid string) (*store.Droplet, error) {
	refused := errInvalid("Unable to assign current droplet. Ensure the droplet exists and belongs to this app.")
	d, err := store.Droplets.Get(tx, guid)
	if err != nil {
		return nil, orElse(err, refused)
	}
	if d.AppGUID != app.GUID {
		return nil, refused
	}
	if d.State != store.StateStaged {
		return nil, errInvalid("Unable to assign current droplet. The droplet is " + d.State + ", not STAGED.")
	}
	return d, nil
}

// assignDroplet makes d current and adds the processes that it brings and the app has not; it removes none.
func assignDroplet(tx *store.Tx, app *store.App, d *store.Droplet) error {
	app.CurrentDropletGUID = d.GUID
	if err := store.Apps.Put(tx, app); err != nil {
		return err
	}
	if err := syncSidecars(tx, app, d); err != nil {
		return err
	}
	return addMissingProcesses(tx, app, d)
}

func addMissingProcesses(tx *store.Tx, app *store.App, d *store.Droplet) error {
	have := map[string]bool{}
	processes, err := processesOf(tx, app.GUID)
	if err != nil {
		return err
	}
	for _, p := range processes {
		have[p.Type] = true
	}
	for _, kind := range sortedKeys(d.ProcessTypes) {
		if have[kind] {
			continue
		}
		if err := putProcess(tx, app, newProcess(app, kind)); err != nil {
			return err
		}
	}
	return nil
}
