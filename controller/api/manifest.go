package api

import (
	"errors"
	"net/http"

	"github.com/cupola-paas/cupola/controller/capi"
	"github.com/cupola-paas/cupola/store"
)

func (s *Server) manifestRoutes() []Route {
	develop := on(spaceAt, "Space", SeeSpace, Develop)
	return []Route{
		post("/v3/spaces/{guid}/actions/apply_manifest", develop, s.applySpaceManifest),
		post("/v3/spaces/{guid}/manifest_diff", develop, s.diffSpaceManifest),
		post("/v3/apps/{guid}/actions/apply_manifest", on(appAt, "App", SeeSpace, Develop), s.applyAppManifest),
		get("/v3/apps/{guid}/manifest", on(appAt, "App", SeeSpace, SeeSecrets), s.getManifest),
	}
}

// readManifest reads the body, whatever type it says it has.
func (c *Ctx) readManifest() (*manifest, error) {
	raw, err := c.readBody(bodyBytes)
	if err != nil {
		return nil, err
	}
	m, err := parseManifest(raw)
	var syntax *manifestError
	var refused *appError
	switch {
	case errors.As(err, &refused):
		return nil, errInvalid(refused.Error())
	case errors.As(err, &syntax):
		return nil, capi.MessageParseError.Errorf("Request invalid due to parse error: manifest: %v", syntax)
	}
	return m, err
}

func (s *Server) applySpaceManifest(c *Ctx) error {
	m, err := c.readManifest()
	if err != nil {
		return err
	}
	return s.answerApply(c, m, "space.apply_manifest", "space")
}

// applyAppManifest applies the entry of one app; it must have the app's name.
func (s *Server) applyAppManifest(c *Ctx) error {
	m, err := c.readManifest()
	if err != nil {
		return err
	}
	err = c.View(func(tx *store.Tx) error {
		app, err := store.Apps.Get(tx, c.Path("guid"))
		if err != nil {
			return err
		}
		if len(m.apps) != 1 || m.apps[0].name != app.Name {
			return errInvalid("The manifest must have this one app, '" + app.Name + "'; apply it to the space for several")
		}
		return nil
	})
	if err != nil {
		return notFound(err, "App")
	}
	return s.answerApply(c, m, "app.apply_manifest", "app")
}

func (s *Server) answerApply(c *Ctx, m *manifest, operation, resourceType string) error {
	var job *store.Job
	var done []*applier
	err := c.Update(func(tx *store.Tx) (err error) {
		if done, err = s.applyManifest(c, tx, c.place, m); err != nil {
			return err
		}
		job = &store.Job{Operation: operation, State: capi.JobComplete, ResourceType: resourceType, ResourceGUID: c.Path("guid"), Warnings: m.warnings}
		return beginBindings(tx, job, done)
	})
	if err != nil {
		return err
	}
	for _, a := range done {
		for _, line := range a.lines {
			s.apiLine(a.app.GUID, line)
		}
	}
	return c.Accepted(job.GUID, nil)
}

// beginBindings writes the job of a manifest, which ends when brokers have made the bindings.
func beginBindings(tx *store.Tx, job *store.Job, done []*applier) error {
	for _, a := range done {
		if len(a.begun) > 0 {
			job.State = capi.JobProcessing
		}
	}
	if err := store.Jobs.Put(tx, job); err != nil {
		return err
	}
	for _, a := range done {
		for _, o := range a.begun {
			o.JobGUID = job.GUID
			if err := store.ServiceOperations.Put(tx, o); err != nil {
				return err
			}
		}
	}
	return nil
}

func (s *Server) diffSpaceManifest(c *Ctx) error {
	m, err := c.readManifest()
	if err != nil {
		return err
	}
	out := capi.ManifestDiff{}
	err = c.View(func(tx *store.Tx) (err error) {
		out.Diff, err = diffManifest(tx, c.place, m)
		return err
	})
	if err != nil {
		return err
	}
	return c.JSON(http.StatusCreated, out)
}
