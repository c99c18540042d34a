package api

import (
	"fmt"
	"net/http"
	"strings"
	"time"

	"github.com/cupola-paas/cupola/controller/appusage"
	"github.com/cupola-paas/cupola/controller/capi"
	"github.com/cupola-paas/cupola/store"
)

// Defaults of staging (contract, 4.7).
const (
	defaultStagingMemoryMB = 1024
	defaultStagingDiskMB   = 4096
)

const (
	buildHold = 20 * time.Second
	// logTail is how long after the end of a build the cf CLI must not hear of it: it shows only log lines older than
	// two seconds and stops reading as soon as it sees STAGED (contract, 2.7).
	logTail = 2300 * time.Millisecond
)

func (s *Server) buildRoutes() []Route {
	see := on(buildAt, "Build", SeeSpace, SeeSpace)
	filters := []string{"states", "app_guids", "package_guids"}
	return []Route{
		index("/v3/builds", signedIn(), s.listBuilds, filters...),
		index("/v3/apps/{guid}/builds", on(appAt, "App", SeeSpace, SeeSpace), s.listBuilds, "states", "package_guids"),
		post("/v3/builds", inBody(), s.createBuild),
		get("/v3/builds/{guid}", see, s.getBuild),
		patch("/v3/builds/{guid}", on(buildAt, "Build", SeeSpace, Develop), s.updateBuild),
	}
}

func buildMeta(b *store.Build) *store.Meta { return &b.Meta }

func (s *Server) presentBuild(_ *store.Tx, b *store.Build) (capi.Build, error) {
	out := capi.Build{
		Resource: resource(&b.Meta), State: b.State, StagingMemoryMB: b.StagingMemoryMB, StagingDiskMB: b.StagingDiskMB,
		StagingLogRate: b.LogRate(), Error: nullable(b.Error), Lifecycle: presentLifecycle(b.Lifecycle),
		Package: capi.Ref(b.PackageGUID), Droplet: capi.Ref(b.DropletGUID),
		CreatedBy:     capi.Creator{GUID: b.CreatedBy.GUID, Name: b.CreatedBy.Name, Email: b.CreatedBy.Email},
		Relationships: capi.BuildRelationships{App: capi.One(b.AppGUID)}, Metadata: metadata(&b.Meta),
		Links: capi.Links{"self": s.link("/v3/builds/" + b.GUID), "app": s.link("/v3/apps/" + b.AppGUID)},
	}
	if b.DropletGUID != "" {
		out.Links["droplet"] = s.link("/v3/droplets/" + b.DropletGUID)
	}
	return out, nil
}

func (s *Server) listBuilds(c *Ctx) error {
	return c.answerPage(func(tx *store.Tx) (*page, error) {
		where, err := c.filterSpaces(tx, "space")
		if err != nil {
			return nil, err
		}
		if app := c.Path("guid"); app != "" {
			where = append(where, store.By("app", app))
		}
		return answerList(c, tx, Listing[store.Build, capi.Build]{
			Table: store.Builds, Meta: buildMeta, Present: s.presentBuild,
			Where: c.filterBy(where, "states", "state", "app_guids", "app", "package_guids", "package"),
		})
	})
}

// createBuild only writes that a build is wanted; the staging loop finds it.
func (s *Server) createBuild(c *Ctx) error {
	var in capi.BuildCreate
	if err := c.decode(&in); err != nil {
		return err
	}
	if in.Package == nil || in.Package.GUID == "" {
		return errInvalid("Package can't be blank: name the package as package.guid")
	}
	var b *store.Build
	err := c.Update(func(tx *store.Tx) error {
		app, p, place, err := c.packageInBody(tx, in.Package.GUID)
		if err != nil {
			return err
		}
		if b, err = newBuild(tx, c, app, p, in); err != nil {
			return err
		}
		if err := appusage.Staging(tx, app, b, appusage.StagingStarted); err != nil {
			return err
		}
		return c.audit(tx, Event{Type: "audit.app.build.create", Target: appTarget(app), Place: place, Data: map[string]any{"build_guid": b.GUID, "package_guid": p.GUID}})
	})
	if err != nil {
		return err
	}
	s.apiLine(b.AppGUID, "Creating build for app with guid "+b.AppGUID)
	shown, err := s.presentBuild(nil, b)
	if err != nil {
		return err
	}
	return c.JSON(http.StatusCreated, shown)
}

func (c *Ctx) packageInBody(tx *store.Tx, guid string) (*store.App, *store.Package, Place, error) {
	hidden := errInvalid("Unable to use package. Ensure that the package exists and you have access to it.")
	p, err := store.Packages.Get(tx, guid)
	if err != nil {
		return nil, nil, Place{}, orElse(err, hidden)
	}
	app, err := store.Apps.Get(tx, p.AppGUID)
	if err != nil {
		return nil, nil, Place{}, orElse(err, hidden)
	}
	place, err := placeOf(tx, app.SpaceGUID)
	if err != nil {
		return nil, nil, place, orElse(err, hidden)
	}
	if ok, err := c.Can(tx, place, SeeSpace); err != nil || !ok {
		return nil, nil, place, firstOf(err, hidden)
	}
	return app, p, place, c.Allow(tx, place, "Package", SeeSpace, Operate)
}

func newBuild(tx *store.Tx, c *Ctx, app *store.App, p *store.Package, in capi.BuildCreate) (*store.Build, error) {
	if p.State != store.StateReady {
		return nil, capi.BadRequest.Errorf("Cannot stage package whose state is not ready.")
	}
	if err := firstOf(c.allowLifecycle(tx, app.Lifecycle.Type), refuseNoCells(tx, app.SpaceGUID)); err != nil {
		return nil, err
	}
	running, err := store.Builds.Count(tx, store.By("app", app.GUID), store.By("state", store.StateStaging))
	if err != nil {
		return nil, err
	}
	if running > 0 {
		return nil, capi.StagingInProgress.Errorf("Only one build can be STAGING at a time per application.")
	}
	b := &store.Build{
		AppGUID: app.GUID, SpaceGUID: app.SpaceGUID, PackageGUID: p.GUID, State: store.StateStaging, Lifecycle: app.Lifecycle,
		StagingMemoryMB: defaultStagingMemoryMB, StagingDiskMB: defaultStagingDiskMB, CreatedBy: c.actor(),
	}
	if (p.Type == capi.PackageDocker) != (b.Lifecycle.Type == capi.LifecycleDocker) {
		return nil, errInvalid(fmt.Sprintf("A package of type %s cannot be staged with the lifecycle %s of its app", p.Type, b.Lifecycle.Type))
	}
	if in.Lifecycle != nil {
		if err := patchLifecycle(tx, &b.Lifecycle, in.Lifecycle); err != nil {
			return nil, err
		}
	}
	staged, err := store.Droplets.Count(tx, store.By("app", app.GUID), store.By("state", store.StateStaged))
	if err != nil {
		return nil, err
	}
	if err := firstOf(c.allowStack(tx, b.Lifecycle.Stack, staged == 0), c.s.allowBuildpacks(b.Lifecycle)); err != nil {
		return nil, err
	}
	if err := buildSizes(b, in); err != nil {
		return nil, err
	}
	if b.Lifecycle.Type != capi.LifecycleDocker { // an image is only copied
		if err := checkStaging(tx, b); err != nil {
			return nil, err
		}
	}
	if err := patchMetadata(&b.Meta, in.Metadata); err != nil {
		return nil, err
	}
	return b, store.Builds.Put(tx, b)
}

// buildSizes takes what was asked for; the rest stays.
func buildSizes(b *store.Build, in capi.BuildCreate) error {
	logRate := b.LogRate()
	for _, f := range []struct {
		name        string
		in          *capi.Int
		to          *int
		least, most int
	}{
		{"Staging memory in mb", in.StagingMemoryMB, &b.StagingMemoryMB, 1, sizeMaxMB},
		{"Staging disk in mb", in.StagingDiskMB, &b.StagingDiskMB, 1, sizeMaxMB},
		{"Staging log rate limit bytes per second", in.StagingLogRate, &logRate, store.Unlimited, logRateMax},
	} {
		if f.in == nil {
			continue
		}
		if n := int(*f.in); n < f.least || n > f.most {
			return errInvalid(fmt.Sprintf("%s must be between %d and %d", f.name, f.least, f.most))
		}
		*f.to = int(*f.in)
	}
	b.LogRateBytes = &logRate
	return nil
}

// getBuild is held while the build is staging, and for the cf CLI, if it was waiting, until the tail of the log is
// old enough for it to show.
func (s *Server) getBuild(c *Ctx) error {
	var b *store.Build
	waited, err := c.hold(buildHold, func(tx *store.Tx) (done bool, err error) {
		b, err = store.Builds.Get(tx, c.Path("guid"))
		return err == nil && b.State != store.StateStaging, err
	}, store.Builds.Name())
	if err != nil {
		return notFound(err, "Build")
	}
	if waited && b.State != store.StateStaging && strings.HasPrefix(c.R.UserAgent(), "cf/") {
		select {
		case <-c.Context().Done():
			return nil
		case <-time.After(min(logTail, c.s.maxHold)):
		}
	}
	shown, err := s.presentBuild(nil, b)
	if err != nil {
		return err
	}
	return c.JSON(http.StatusOK, shown)
}

// buildUpdate is the body of PATCH /v3/builds/:guid. State FAILED cancels a build that is staging.
type buildUpdate struct {
	Metadata *capi.MetadataPatch `json:"metadata"`
	State    string              `json:"state"`
}

func (s *Server) updateBuild(c *Ctx) error {
	var in buildUpdate
	if err := c.decode(&in); err != nil {
		return err
	}
	if in.State != "" && in.State != store.StateFailed {
		return errInvalid("State can only be set to FAILED, which cancels the build")
	}
	var b *store.Build
	err := c.Update(func(tx *store.Tx) (err error) {
		if b, err = store.Builds.Get(tx, c.Path("guid")); err != nil {
			return err
		}
		if in.State != "" {
			if b.State != store.StateStaging {
				return errInvalid("The build is " + b.State + " already and cannot be cancelled")
			}
			b.Canceled = true
		}
		if err := patchMetadata(&b.Meta, in.Metadata); err != nil {
			return err
		}
		return store.Builds.Put(tx, b)
	})
	if err != nil {
		return err
	}
	shown, err := s.presentBuild(nil, b)
	if err != nil {
		return err
	}
	return c.JSON(http.StatusOK, shown)
}
