package api

import (
	"io"
	"net/http"

	"github.com/cupola-paas/cupola/controller/capi"
	"github.com/cupola-paas/cupola/store"
)

func (s *Server) packageRoutes() []Route {
	see := on(packageAt, "Package", SeeSpace, SeeSpace)
	secrets := on(packageAt, "Package", SeeSpace, SeeSecrets)
	develop := on(packageAt, "Package", SeeSpace, Develop)
	filters := []string{"states", "types", "app_guids", "space_guids", "organization_guids"}
	return []Route{
		index("/v3/packages", signedIn(), s.listPackages, filters...),
		index("/v3/apps/{guid}/packages", on(appAt, "App", SeeSpace, SeeSpace), s.listPackages, "states", "types"),
		post("/v3/packages", inBody(), s.createPackage),
		get("/v3/packages/{guid}", see, s.getPackage),
		patch("/v3/packages/{guid}", develop, s.updatePackage),
		del("/v3/packages/{guid}", develop, s.deletePackage),
		post("/v3/packages/{guid}/upload", develop, s.uploadPackage),
		get("/v3/packages/{guid}/download", secrets, s.downloadPackage),
		post("/v3/resource_matches", signedIn(), s.matchResources),
	}
}

func packageMeta(p *store.Package) *store.Meta { return &p.Meta }

func (s *Server) presentPackage(_ *store.Tx, p *store.Package) (capi.Package, error) {
	base := "/v3/packages/" + p.GUID
	out := capi.Package{
		Resource: resource(&p.Meta), Type: p.Type, State: p.State,
		Relationships: capi.PackageRelationships{App: capi.One(p.AppGUID)},
		Metadata:      metadata(&p.Meta),
		Links:         capi.Links{"self": s.link(base), "app": s.link("/v3/apps/" + p.AppGUID)},
	}
	if p.Type == capi.PackageDocker {
		out.Data = capi.PackageData{Image: p.Docker.Image, Username: p.Docker.Username}
		if p.Docker.Password != "" {
			out.Data.Password = "***"
		}
		return out, nil
	}
	out.Data = capi.PackageData{Error: nullable(p.Error), Checksum: capi.SHA256(p.SHA256)}
	out.Links["upload"] = s.action(base + "/upload")
	out.Links["download"] = s.link(base + "/download")
	return out, nil
}

// filterApps narrows a list whose records know only their app, not their space.
func (c *Ctx) filterApps(tx *store.Tx) ([]store.Cond, error) {
	if app := c.Path("guid"); app != "" {
		return []store.Cond{store.By("app", app)}, nil
	}
	_, everywhere, err := c.visibleSpaces(tx, SeeSpace)
	if err != nil {
		return nil, err
	}
	if everywhere && !c.Filter.Has("space_guids") && !c.Filter.Has("organization_guids") {
		return c.filterBy(nil, "app_guids", "app"), nil
	}
	where, err := c.filterSpaces(tx, "space")
	if err != nil {
		return nil, err
	}
	where = c.filterBy(where, "app_guids", "guid")
	guids, err := store.Apps.GUIDs(tx, where...)
	return []store.Cond{store.By("app", guids...)}, err
}

func (s *Server) listPackages(c *Ctx) error {
	return c.answerPage(func(tx *store.Tx) (*page, error) {
		where, err := c.filterApps(tx)
		if err != nil {
			return nil, err
		}
		return answerList(c, tx, Listing[store.Package, capi.Package]{
			Table: store.Packages, Meta: packageMeta, Present: s.presentPackage,
			Where: c.filterBy(where, "states", "state", "types", "type"),
		})
	})
}

func (s *Server) createPackage(c *Ctx) error {
	if source := c.R.URL.Query().Get("source_guid"); source != "" {
		return s.copyPackage(c, source)
	}
	var in capi.PackageCreate
	if err := c.decode(&in); err != nil {
		return err
	}
	p, err := newPackage(in)
	if err != nil {
		return err
	}
	return s.addPackage(c, in.Relationships.App.GUID(), "audit.app.package.create", func(tx *store.Tx) (*store.Package, error) {
		if p.Type == capi.PackageDocker {
			if err := c.needFlag(tx, "diego_docker", false); err != nil {
				return nil, err
			}
		}
		return p, nil
	})
}

func newPackage(in capi.PackageCreate) (*store.Package, error) {
	p := &store.Package{Type: in.Type, State: store.StateAwaitingUpload}
	if err := patchMetadata(&p.Meta, in.Metadata); err != nil {
		return nil, err
	}
	switch in.Type {
	case capi.PackageBits:
		if in.Data != nil && in.Data.Image != "" {
			return nil, errInvalid("Data must be empty if provided for bits packages")
		}
		return p, nil
	case capi.PackageDocker:
		if in.Data == nil || in.Data.Image == "" {
			return nil, errInvalid("Data Image required: name the image as data.image")
		}
		p.State = store.StateReady
		p.Docker = store.DockerImage{Image: in.Data.Image, Username: in.Data.Username, Password: in.Data.Password}
		return p, nil
	}
	return nil, errInvalid("Type must be one of 'bits, docker'")
}

// addPackage writes the package that build makes, for the app that the body names.
func (s *Server) addPackage(c *Ctx, appGUID, event string, build func(*store.Tx) (*store.Package, error)) error {
	var shown capi.Package
	err := c.Update(func(tx *store.Tx) error {
		app, place, err := c.appInBody(tx, appGUID, Develop)
		if err != nil {
			return err
		}
		p, err := build(tx)
		if err != nil {
			return err
		}
		p.AppGUID = app.GUID
		if err := store.Packages.Put(tx, p); err != nil {
			return err
		}
		if shown, err = s.presentPackage(tx, p); err != nil {
			return err
		}
		return c.audit(tx, Event{Type: event, Target: appTarget(app), Place: place, Data: map[string]any{"package_guid": p.GUID, "request": map[string]any{"type": p.Type}}})
	})
	if err != nil {
		return err
	}
	return c.JSON(http.StatusCreated, shown)
}

// appInBody finds the app that a body names and asks whether the caller may do there.
func (c *Ctx) appInBody(tx *store.Tx, guid string, do Action) (*store.App, Place, error) {
	hidden := errInvalid("App is invalid. Ensure it exists and you have access to it.")
	if guid == "" {
		return nil, Place{}, errInvalid("Relationships App can't be blank: name the app as relationships.app.data.guid")
	}
	app, err := store.Apps.Get(tx, guid)
	if err != nil {
		return nil, Place{}, orElse(err, hidden)
	}
	place, err := placeOf(tx, app.SpaceGUID)
	if err != nil {
		return nil, place, orElse(err, hidden)
	}
	if ok, err := c.Can(tx, place, SeeSpace); err != nil || !ok {
		return nil, place, firstOf(err, hidden)
	}
	return app, place, c.Allow(tx, place, "App", SeeSpace, do)
}

// copyPackage makes a package of the same bits for another app. Bits are shared by content, so it is ready at once.
func (s *Server) copyPackage(c *Ctx, sourceGUID string) error {
	var in capi.PackageCreate
	if err := c.decode(&in); err != nil {
		return err
	}
	return s.addPackage(c, in.Relationships.App.GUID(), "audit.app.package.create", func(tx *store.Tx) (*store.Package, error) {
		hidden := errInvalid("Unable to copy the package: ensure the source package exists and you have access to it")
		source, err := store.Packages.Get(tx, sourceGUID)
		if err != nil {
			return nil, orElse(err, hidden)
		}
		place, err := placeOfApp(tx, source.AppGUID)
		if err != nil {
			return nil, orElse(err, hidden)
		}
		if ok, err := c.Can(tx, place, SeeSecrets); err != nil || !ok {
			return nil, firstOf(err, hidden)
		}
		if source.State != store.StateReady {
			return nil, errInvalid("Unable to copy the package: it is " + source.State + ", not READY")
		}
		return &store.Package{
			Type: source.Type, State: source.State, SHA256: source.SHA256, SizeBytes: source.SizeBytes, Docker: source.Docker,
		}, nil
	})
}

// getPackage is held while the bits are being processed.
func (s *Server) getPackage(c *Ctx) error {
	var p *store.Package
	_, err := c.hold(jobHold, func(tx *store.Tx) (done bool, err error) {
		p, err = store.Packages.Get(tx, c.Path("guid"))
		return err == nil && p.State != store.StateProcessingUpload && p.State != store.StateCopying, err
	}, store.Packages.Name())
	if err != nil {
		return notFound(err, "Package")
	}
	shown, err := s.presentPackage(nil, p)
	if err != nil {
		return err
	}
	return c.JSON(http.StatusOK, shown)
}

func (s *Server) updatePackage(c *Ctx) error {
	var in capi.MetadataUpdate
	if err := c.decode(&in); err != nil {
		return err
	}
	var shown capi.Package
	err := c.Update(func(tx *store.Tx) error {
		p, err := store.Packages.Get(tx, c.Path("guid"))
		if err != nil {
			return err
		}
		if err := patchMetadata(&p.Meta, in.Metadata); err != nil {
			return err
		}
		if err := store.Packages.Put(tx, p); err != nil {
			return err
		}
		shown, err = s.presentPackage(tx, p)
		return err
	})
	if err != nil {
		return err
	}
	return c.JSON(http.StatusOK, shown)
}

func (s *Server) deletePackage(c *Ctx) error {
	var job *store.Job
	err := c.Update(func(tx *store.Tx) error {
		p, err := store.Packages.Get(tx, c.Path("guid"))
		if err != nil {
			return err
		}
		app, err := store.Apps.Get(tx, p.AppGUID)
		if err != nil {
			return err
		}
		if err := store.Packages.Delete(tx, p.GUID); err != nil {
			return err
		}
		if err := c.audit(tx, Event{Type: "audit.app.package.delete", Target: appTarget(app), Place: c.place, Data: map[string]any{"package_guid": p.GUID}}); err != nil {
			return err
		}
		job, err = completeJob(tx, "package.delete", "package", p.GUID)
		return err
	})
	if err != nil {
		return err
	}
	return c.Accepted(job.GUID, nil)
}

// downloadPackage streams the zip as it is kept.
func (s *Server) downloadPackage(c *Ctx) error {
	var p *store.Package
	err := c.Update(func(tx *store.Tx) (err error) { // the event is a change
		if p, err = store.Packages.Get(tx, c.Path("guid")); err != nil {
			return err
		}
		if p.Type != capi.PackageBits || p.State != store.StateReady {
			return errInvalid("Package has no bits to download.")
		}
		app, err := store.Apps.Get(tx, p.AppGUID)
		if err != nil {
			return err
		}
		return c.audit(tx, Event{Type: "audit.app.package.download", Target: appTarget(app), Place: c.place, Data: map[string]any{"package_guid": p.GUID}})
	})
	if err != nil {
		return err
	}
	blob, err := s.blobs.Open(p.SHA256)
	if err != nil {
		return notFound(err, "Package bits")
	}
	defer blob.Close()
	c.head("application/zip")
	c.W.Header().Set("Content-Disposition", `attachment; filename="package.zip"`)
	c.W.WriteHeader(http.StatusOK)
	_, _ = io.Copy(c.W, blob) // the client may hang up
	return nil
}
