package api

import (
	"net/http"

	"github.com/cupola-paas/cupola/controller/capi"
	"github.com/cupola-paas/cupola/store"
)

func (s *Server) dropletRoutes() []Route {
	see := on(dropletAt, "Droplet", SeeSpace, SeeSpace)
	develop := on(dropletAt, "Droplet", SeeSpace, Develop)
	return []Route{
		index("/v3/droplets", signedIn(), s.listDroplets, "states", "app_guids", "space_guids", "organization_guids"),
		index("/v3/apps/{guid}/droplets", on(appAt, "App", SeeSpace, SeeSpace), s.listDroplets, "states", "current"),
		index("/v3/packages/{guid}/droplets", on(packageAt, "Package", SeeSpace, SeeSpace), s.listPackageDroplets, "states"),
		post("/v3/droplets", inBody(), s.createDroplet),
		get("/v3/droplets/{guid}", see, s.getDroplet),
		post("/v3/droplets/{guid}/upload", develop, s.uploadDroplet),
		get("/v3/droplets/{guid}/download", on(dropletAt, "Droplet", SeeSpace, SeeDroplets), s.downloadDroplet),
		post("/v3/droplets/{guid}/actions/rebase", develop, s.rebaseDroplet),
		patch("/v3/droplets/{guid}", develop, s.updateDroplet),
		del("/v3/droplets/{guid}", develop, s.deleteDroplet),
	}
}

func dropletMeta(d *store.Droplet) *store.Meta { return &d.Meta }

// presentDroplet shows d as lists do: without commands.
func (s *Server) presentDroplet(_ *store.Tx, d *store.Droplet) (capi.Droplet, error) {
	base := "/v3/droplets/" + d.GUID
	out := capi.Droplet{
		Resource: resource(&d.Meta), State: d.State, Error: nullable(d.Error), Lifecycle: presentLifecycle(d.Lifecycle),
		ExecutionMetadata: capi.Hidden, ProcessTypes: capi.Strings{}, Stack: nullable(d.Stack), Image: nullable(d.Docker.Image),
		Relationships: capi.DropletRelationships{App: capi.One(d.AppGUID)}, Metadata: metadata(&d.Meta),
		Links: capi.Links{
			"self": s.link(base), "app": s.link("/v3/apps/" + d.AppGUID),
			"assign_current_droplet": {Href: s.publicURL + "/v3/apps/" + d.AppGUID + "/relationships/current_droplet", Method: "PATCH"},
		},
	}
	for kind := range d.ProcessTypes {
		out.ProcessTypes[kind] = capi.Hidden
	}
	if d.State == store.StateAwaitingUpload {
		out.Links["upload"] = s.action(base + "/upload")
	}
	if d.Docker.Image == "" && d.State == store.StateStaged {
		out.Links["download"] = s.link(base + "/download")
	}
	if d.PackageGUID != "" {
		out.Links["package"] = s.link("/v3/packages/" + d.PackageGUID)
	}
	if d.Docker.Image == "" && d.State == store.StateStaged {
		out.Buildpacks = presentDropletBuildpacks(d)
		out.Checksum = dropletChecksum(d)
	}
	return out, nil
}

func presentDropletBuildpacks(d *store.Droplet) *capi.Array[capi.DropletBuildpack] {
	out := capi.Array[capi.DropletBuildpack]{}
	for _, b := range d.Buildpacks {
		out = append(out, capi.DropletBuildpack{
			Name: b.Name, DetectOutput: nullable(b.DetectOutput), BuildpackName: nullable(b.BuildpackName), Version: nullable(b.Version),
		})
	}
	return &out
}

// dropletChecksum is the image's digest without its algorithm.
func dropletChecksum(d *store.Droplet) *capi.Checksum {
	const prefix = "sha256:"
	if len(d.ImageDigest) <= len(prefix) {
		return nil
	}
	return capi.SHA256(d.ImageDigest[len(prefix):])
}

// showDroplet shows d alone, with its commands for those who may see them.
func (s *Server) showDroplet(c *Ctx, tx *store.Tx, d *store.Droplet) (capi.Droplet, error) {
	out, err := s.presentDroplet(tx, d)
	if err != nil {
		return out, err
	}
	may, err := c.Can(tx, c.place, SeeSecrets)
	if err != nil || !may {
		return out, err
	}
	out.ExecutionMetadata = ""
	for kind, command := range d.ProcessTypes {
		out.ProcessTypes[kind] = command
	}
	return out, nil
}

func (s *Server) listDroplets(c *Ctx) error {
	return c.answerPage(func(tx *store.Tx) (*page, error) {
		where, err := c.filterSpaces(tx, "space")
		if err != nil {
			return nil, err
		}
		if app := c.Path("guid"); app != "" {
			if where, err = c.ofApp(tx, where, app); err != nil {
				return nil, err
			}
		}
		return answerList(c, tx, Listing[store.Droplet, capi.Droplet]{
			Table: store.Droplets, Meta: dropletMeta, Present: s.presentDroplet,
			Where: c.filterBy(where, "states", "state", "app_guids", "app"),
		})
	})
}

// ofApp narrows a list of droplets to an app's, and with current=true to the one it runs.
func (c *Ctx) ofApp(tx *store.Tx, where []store.Cond, appGUID string) ([]store.Cond, error) {
	where = append(where, store.By("app", appGUID))
	current, given, err := c.Filter.Bool("current")
	if err != nil || !given || !current {
		return where, err
	}
	app, err := store.Apps.Get(tx, appGUID)
	if err != nil {
		return nil, err
	}
	return append(where, store.By("guid", app.CurrentDropletGUID)), nil
}

func (s *Server) listPackageDroplets(c *Ctx) error {
	return c.answerPage(func(tx *store.Tx) (*page, error) {
		return answerList(c, tx, Listing[store.Droplet, capi.Droplet]{
			Table: store.Droplets, Meta: dropletMeta, Present: s.presentDroplet,
			Where: c.filterBy([]store.Cond{store.By("package", c.Path("guid"))}, "states", "state"),
		})
	})
}

func (s *Server) getDroplet(c *Ctx) error {
	return c.View(func(tx *store.Tx) error {
		d, err := store.Droplets.Get(tx, c.Path("guid"))
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

func (s *Server) updateDroplet(c *Ctx) error {
	var in capi.MetadataUpdate
	if err := c.decode(&in); err != nil {
		return err
	}
	var shown capi.Droplet
	err := c.Update(func(tx *store.Tx) error {
		d, err := store.Droplets.Get(tx, c.Path("guid"))
		if err != nil {
			return err
		}
		if err := patchMetadata(&d.Meta, in.Metadata); err != nil {
			return err
		}
		if err := store.Droplets.Put(tx, d); err != nil {
			return err
		}
		shown, err = s.showDroplet(c, tx, d)
		return err
	})
	if err != nil {
		return err
	}
	return c.JSON(http.StatusOK, shown)
}

// deleteDroplet refuses the droplet that the app would run at its next start.
func (s *Server) deleteDroplet(c *Ctx) error {
	var job *store.Job
	err := c.Update(func(tx *store.Tx) error {
		d, err := store.Droplets.Get(tx, c.Path("guid"))
		if err != nil {
			return err
		}
		app, err := store.Apps.Get(tx, d.AppGUID)
		if err != nil {
			return err
		}
		if app.CurrentDropletGUID == d.GUID {
			return errInvalid("The droplet is the app's current one; set another before deleting it")
		}
		if err := store.Droplets.Delete(tx, d.GUID); err != nil {
			return err
		}
		if err := c.audit(tx, Event{Type: "audit.app.droplet.delete", Target: appTarget(app), Place: c.place, Data: map[string]any{"droplet_guid": d.GUID}}); err != nil {
			return err
		}
		job, err = completeJob(tx, "droplet.delete", "droplet", d.GUID)
		return err
	})
	if err != nil {
		return err
	}
	return c.Accepted(job.GUID, nil)
}
