package api

import (
	"net/http"

	"github.com/cupola-paas/cupola/controller/capi"
	"github.com/cupola-paas/cupola/store"
)

func (s *Server) revisionRoutes() []Route {
	onApp := on(appAt, "App", SeeSpace, SeeSpace)
	return []Route{
		index("/v3/apps/{guid}/revisions", onApp, s.listRevisions, "versions", "deployable"),
		index("/v3/apps/{guid}/revisions/deployed", onApp, s.listDeployedRevisions),
		get("/v3/revisions/{guid}", on(revisionAt, "Revision", SeeSpace, SeeSpace), s.getRevision),
		patch("/v3/revisions/{guid}", on(revisionAt, "Revision", SeeSpace, Develop), s.updateRevision),
		get("/v3/revisions/{guid}/environment_variables", on(revisionAt, "Revision", SeeSpace, SeeSecrets), s.getRevisionVars),
	}
}

var revisionAt = inSpace(store.Revisions, func(r *store.Revision) string { return r.SpaceGUID })

func revisionMeta(r *store.Revision) *store.Meta { return &r.Meta }

func (s *Server) presentRevision(tx *store.Tx, r *store.Revision) (capi.Revision, error) {
	base := "/v3/revisions/" + r.GUID
	deployable, err := isDeployable(tx, r)
	out := capi.Revision{
		Resource: resource(&r.Meta), Version: r.Version, Droplet: capi.GUID{GUID: r.DropletGUID}, Description: r.Description,
		Deployable: deployable, Processes: capi.Map[capi.RevisionProcess]{},
		Relationships: capi.RevisionRelationships{App: capi.One(r.AppGUID)}, Metadata: metadata(&r.Meta),
		Links: capi.Links{
			"self": s.link(base), "app": s.link("/v3/apps/" + r.AppGUID), "environment_variables": s.link(base + "/environment_variables"),
		},
	}
	for kind, command := range r.Commands {
		out.Processes[kind] = capi.RevisionProcess{Command: nullable(command)}
	}
	for _, sc := range r.Sidecars {
		out.Sidecars = append(out.Sidecars, capi.RevisionSidecar{
			Name: sc.Name, Command: sc.Command, ProcessTypes: sc.ProcessTypes, MemoryInMB: positive(sc.MemoryMB),
		})
	}
	return out, err
}

// isDeployable reports whether the revision's droplet can still be run.
func isDeployable(tx *store.Tx, r *store.Revision) (bool, error) {
	d, err := store.Droplets.Get(tx, r.DropletGUID)
	if err != nil {
		return false, orElse(err, nil)
	}
	return d.State == store.StateStaged, nil
}

func (s *Server) listRevisions(c *Ctx) error {
	return c.answerPage(func(tx *store.Tx) (*page, error) {
		l := Listing[store.Revision, capi.Revision]{
			Table: store.Revisions, Meta: revisionMeta, Present: s.presentRevision,
			Where: c.filterBy([]store.Cond{store.By("app", c.Path("guid"))}, "versions", "version"),
		}
		deployable, given, err := c.Filter.Bool("deployable")
		if err != nil {
			return nil, err
		}
		if given {
			l.Match = func(r *store.Revision) bool {
				is, err := isDeployable(tx, r)
				return err == nil && is == deployable
			}
		}
		return answerList(c, tx, l)
	})
}

// listDeployedRevisions shows the revisions that the app's processes run: one, or two during a deployment.
func (s *Server) listDeployedRevisions(c *Ctx) error {
	return c.answerPage(func(tx *store.Tx) (*page, error) {
		app, err := store.Apps.Get(tx, c.Path("guid"))
		if err != nil {
			return nil, err
		}
		processes, err := processesOf(tx, app.GUID)
		if err != nil {
			return nil, err
		}
		var guids []string
		for _, p := range processes {
			if app.State == store.AppStarted && p.RevisionGUID != "" {
				guids = append(guids, p.RevisionGUID)
			}
		}
		return answerList(c, tx, Listing[store.Revision, capi.Revision]{
			Table: store.Revisions, Meta: revisionMeta, Present: s.presentRevision, Where: []store.Cond{store.By("guid", guids...)},
		})
	})
}

func (s *Server) getRevision(c *Ctx) error {
	var shown capi.Revision
	err := c.View(func(tx *store.Tx) error {
		r, err := store.Revisions.Get(tx, c.Path("guid"))
		if err != nil {
			return notFound(err, "Revision")
		}
		shown, err = s.presentRevision(tx, r)
		return err
	})
	if err != nil {
		return err
	}
	return c.JSON(http.StatusOK, shown)
}

func (s *Server) updateRevision(c *Ctx) error {
	var in capi.MetadataUpdate
	if err := c.decode(&in); err != nil {
		return err
	}
	var shown capi.Revision
	err := c.Update(func(tx *store.Tx) error {
		r, err := store.Revisions.Get(tx, c.Path("guid"))
		if err != nil {
			return err
		}
		if err := patchMetadata(&r.Meta, in.Metadata); err != nil {
			return err
		}
		if err := store.Revisions.Put(tx, r); err != nil {
			return err
		}
		shown, err = s.presentRevision(tx, r)
		return err
	})
	if err != nil {
		return err
	}
	return c.JSON(http.StatusOK, shown)
}

// getRevisionVars shows the environment of a revision, and writes down who looked.
func (s *Server) getRevisionVars(c *Ctx) error {
	var out capi.EnvVars
	err := c.Update(func(tx *store.Tx) error {
		if err := c.mayReadVars(tx); err != nil {
			return err
		}
		r, err := store.Revisions.Get(tx, c.Path("guid"))
		if err != nil {
			return err
		}
		app, err := store.Apps.Get(tx, r.AppGUID)
		if err != nil {
			return err
		}
		base := "/v3/revisions/" + r.GUID
		out = capi.EnvVars{Var: r.Environment, Links: capi.Links{
			"self": s.link(base + "/environment_variables"), "revision": s.link(base), "app": s.link("/v3/apps/" + r.AppGUID),
		}}
		return c.audit(tx, Event{Type: "audit.app.revision.environment_variables.show", Target: appTarget(app), Place: c.place,
			Data: map[string]any{"revision_guid": r.GUID, "revision_version": r.Version}})
	})
	if err != nil {
		return err
	}
	return c.JSON(http.StatusOK, out)
}
