package api

import (
	"fmt"
	"net/http"
	"slices"
	"strings"

	"github.com/cupola-paas/cupola/controller/capi"
	"github.com/cupola-paas/cupola/store"
)

func (s *Server) appRoutes() []Route {
	see := on(appAt, "App", SeeSpace, SeeSpace)
	vars := on(appAt, "App", SeeSpace, SeeVars)
	develop := on(appAt, "App", SeeSpace, Develop)
	operate := on(appAt, "App", SeeSpace, Operate)
	return []Route{
		index("/v3/apps", signedIn(), s.listApps, "names", "partial_names", "app_states", "organization_guids", "space_guids", "stacks", "lifecycle_type", "include").ordered("name", "state"),
		post("/v3/apps", inBody(), s.createApp),
		get("/v3/apps/{guid}", see, s.getApp),
		patch("/v3/apps/{guid}", develop, s.updateApp),
		del("/v3/apps/{guid}", develop, s.deleteApp),
		post("/v3/apps/{guid}/actions/start", operate, s.startApp),
		post("/v3/apps/{guid}/actions/stop", operate, s.stopApp),
		post("/v3/apps/{guid}/actions/restart", operate, s.restartApp),
		post("/v3/apps/{guid}/actions/clear_buildpack_cache", operate, s.clearBuildpackCache),
		post("/v3/admin/actions/clear_buildpack_cache", on(platformAt, "Buildpack cache", SeePlatform, Administer), s.clearBuildpackCache),
		get("/v3/apps/{guid}/env", vars, s.getAppEnv),
		get("/v3/apps/{guid}/environment_variables", vars, s.getAppVars),
		patch("/v3/apps/{guid}/environment_variables", operate, s.updateAppVars),
		get("/v3/apps/{guid}/permissions", see, s.getAppPermissions),
		get("/v3/apps/{guid}/ssh_enabled", see, s.getSSHEnabled),
		index("/v3/apps/{guid}/features", see, s.listAppFeatures),
		get("/v3/apps/{guid}/features/{name}", see, s.getAppFeature),
		patch("/v3/apps/{guid}/features/{name}", operate, s.updateAppFeature),
		get("/v3/apps/{guid}/relationships/current_droplet", see, s.getCurrentDropletLink),
		patch("/v3/apps/{guid}/relationships/current_droplet", operate, s.setCurrentDroplet),
		get("/v3/apps/{guid}/droplets/current", see, s.getCurrentDroplet),
	}
}

func (s *Server) presentApp(_ *store.Tx, a *store.App) (capi.App, error) {
	base := "/v3/apps/" + a.GUID
	return capi.App{
		Resource: resource(&a.Meta), Name: a.Name, State: a.State, Lifecycle: presentLifecycle(a.Lifecycle),
		Relationships: capi.AppRelationships{Space: capi.One(a.SpaceGUID), CurrentDroplet: capi.One(a.CurrentDropletGUID)},
		Metadata:      metadata(&a.Meta),
		Links: capi.Links{
			"self": s.link(base), "space": s.link("/v3/spaces/" + a.SpaceGUID), "processes": s.link(base + "/processes"),
			"packages": s.link(base + "/packages"), "environment_variables": s.link(base + "/environment_variables"),
			"current_droplet": s.link(base + "/droplets/current"), "droplets": s.link(base + "/droplets"),
			"tasks": s.link(base + "/tasks"), "features": s.link(base + "/features"),
			"revisions": s.link(base + "/revisions"), "deployed_revisions": s.link(base + "/revisions/deployed"),
			"start": s.action(base + "/actions/start"), "stop": s.action(base + "/actions/stop"),
		},
	}, nil
}

func presentLifecycle(l store.Lifecycle) capi.Lifecycle {
	return capi.Lifecycle{Type: l.Type, Data: capi.LifecycleData{Buildpacks: shownBuildpacks(l.Buildpacks), Stack: l.Stack}}
}

func appMeta(a *store.App) *store.Meta { return &a.Meta }

// appTarget names the app in an event.
func appTarget(a *store.App) store.Actor {
	return store.Actor{GUID: a.GUID, Type: "app", Name: a.Name}
}

func (s *Server) listApps(c *Ctx) error {
	return c.answerPage(func(tx *store.Tx) (*page, error) {
		if err := checkLifecycleType(c.Filter); err != nil {
			return nil, err
		}
		where, err := c.appConditions(tx)
		if err != nil {
			return nil, err
		}
		where = c.filterBy(where, "stacks", "stack", "lifecycle_type", "lifecycle", "app_states", "state")
		if where, err = c.withPartOfName(tx, where); err != nil {
			return nil, err
		}
		return answerList(c, tx, Listing[store.App, capi.App]{
			Table: store.Apps, Meta: appMeta, Where: where, Present: s.presentApp,
			Include: func(tx *store.Tx, apps []*store.App) (*capi.Included, error) { return c.includeForApps(tx, apps) },
		})
	})
}

// checkLifecycleType refuses a lifecycle_type that no app has; unlike other filters it is one value and no list.
func checkLifecycleType(f *Filter) error {
	known := []string{capi.LifecycleBuildpack, capi.LifecycleCNB, capi.LifecycleDocker}
	asked := f.Value("lifecycle_type")
	if !f.Has("lifecycle_type") || slices.Contains(known, asked) {
		return nil
	}
	return errQuery(fmt.Sprintf("Invalid lifecycle_type: '%s'. Valid values are: '%s'", clip(asked, 100), strings.Join(known, "', '")))
}

// withPartOfName narrows a list to the apps whose names have one of the parts in them, in any case: Cupola's own
// partial_names, after the users' partial_usernames.
func (c *Ctx) withPartOfName(tx *store.Tx, where []store.Cond) ([]store.Cond, error) {
	parts, ok := c.Filter.List("partial_names")
	if !ok {
		return where, nil
	}
	all, err := store.Apps.Values(tx, "name", "")
	all = slices.DeleteFunc(all, func(name string) bool {
		return !slices.ContainsFunc(parts, func(p string) bool { return strings.Contains(name, strings.ToLower(p)) })
	})
	return append(where, store.By("name", all...)), err
}

// lookupsMost is up to how many pairs of space and name are looked up one by one.
const lookupsMost = 1000

// appConditions turns spaces and names into one look-up of the pairs where there are few, because the clients do that
// several times in a push.
func (c *Ctx) appConditions(tx *store.Tx) ([]store.Cond, error) {
	spaces, all, err := c.spacesInView(tx, SeeSpace)
	if err != nil {
		return nil, err
	}
	names, named := c.Filter.List("names")
	switch {
	case all:
		return c.filterBy(nil, "names", "name"), nil
	case !named || len(spaces)*len(names) > lookupsMost:
		return c.filterBy([]store.Cond{store.By("space", spaces...)}, "names", "name"), nil
	}
	pairs := make([]string, 0, len(spaces)*len(names))
	for _, space := range spaces {
		for _, name := range names {
			pairs = append(pairs, space+"/"+name)
		}
	}
	return []store.Cond{store.By("space_name", pairs...)}, nil
}

func (s *Server) getApp(c *Ctx) error {
	return c.View(func(tx *store.Tx) error {
		app, err := store.Apps.Get(tx, c.Path("guid"))
		if err != nil {
			return err
		}
		return s.showApp(c, tx, app)
	})
}

// showApp answers one app, with what include asks for.
func (s *Server) showApp(c *Ctx, tx *store.Tx, app *store.App) error {
	shown, err := s.presentApp(tx, app)
	if err != nil {
		return err
	}
	included, err := c.includeForApps(tx, []*store.App{app})
	if err != nil {
		return err
	}
	return c.JSON(http.StatusOK, struct {
		capi.App
		Included *capi.Included `json:"included,omitempty"`
	}{shown, included})
}

func (s *Server) createApp(c *Ctx) error {
	var in capi.AppCreate
	if err := c.decode(&in); err != nil {
		return err
	}
	spaceGUID := in.Relationships.Space.GUID()
	if spaceGUID == "" {
		return errInvalid("Relationships Space can't be blank: name the space as relationships.space.data.guid")
	}
	var app *store.App
	err := c.Update(func(tx *store.Tx) error {
		place, err := c.placeInBody(tx, spaceGUID, Develop)
		if err != nil {
			return err
		}
		app, err = s.newApp(tx, c, place, in)
		return err
	})
	if err != nil {
		return err
	}
	s.apiLine(app.GUID, "Created app with guid "+app.GUID)
	shown, err := s.presentApp(nil, app)
	if err != nil {
		return err
	}
	return c.JSON(http.StatusCreated, shown)
}

// placeInBody finds the space that a body names and asks whether the caller may do there. That it isn't
// there and that it may not be seen read the same.
func (c *Ctx) placeInBody(tx *store.Tx, spaceGUID string, do Action) (Place, error) {
	hidden := errInvalid("Invalid space. Ensure that the space exists and you have access to it.")
	place, err := placeOf(tx, spaceGUID)
	if err != nil {
		return place, orElse(err, hidden)
	}
	if ok, err := c.Can(tx, place, SeeSpace); err != nil || !ok {
		return place, firstOf(err, hidden)
	}
	return place, c.Allow(tx, place, "Space", SeeSpace, do)
}

// newApp writes an app with its web process, in tx, after checking all that was asked for.
func (s *Server) newApp(tx *store.Tx, c *Ctx, place Place, in capi.AppCreate) (*store.App, error) {
	if err := validateName("Name", in.Name); err != nil {
		return nil, err
	}
	app := &store.App{Name: in.Name, SpaceGUID: place.SpaceGUID, State: store.AppStopped}
	var err error
	if app.Lifecycle, err = newLifecycle(tx, in.Lifecycle); err != nil {
		return nil, err
	}
	if err := firstOf(c.allowLifecycle(tx, app.Lifecycle.Type), c.allowStack(tx, app.Lifecycle.Stack, true), s.allowBuildpacks(app.Lifecycle)); err != nil {
		return nil, err
	}
	if err := validateVars(in.EnvironmentVariables); err != nil {
		return nil, err
	}
	app.Environment = in.EnvironmentVariables
	if err := patchMetadata(&app.Meta, in.Metadata); err != nil {
		return nil, err
	}
	if err := putApp(tx, app); err != nil {
		return nil, err
	}
	web := newProcess(app, "web")
	if err := store.Processes.Put(tx, web); err != nil {
		return nil, err
	}
	return app, firstOf(c.auditProcess(tx, app, place, web, "create"), c.audit(tx, Event{Type: "audit.app.create", Target: appTarget(app), Place: place, Data: request(map[string]any{"name": app.Name, "lifecycle": in.Lifecycle})}))
}

// putApp writes an app; a name that is taken in its space is told by the words that clients look for.
func putApp(tx *store.Tx, app *store.App) error {
	err := store.Apps.Put(tx, app)
	if isConflict(err) {
		return errInvalid("App with the name '" + app.Name + "' already exists.")
	}
	return err
}

func (s *Server) updateApp(c *Ctx) error {
	var in capi.AppUpdate
	if err := c.decode(&in); err != nil {
		return err
	}
	var app *store.App
	err := c.Update(func(tx *store.Tx) (err error) {
		if app, err = store.Apps.Get(tx, c.Path("guid")); err != nil {
			return err
		}
		if err := patchApp(tx, app, in); err != nil {
			return err
		}
		if in.Lifecycle != nil { // what an app has had from before may stay until it is staged
			if err := s.allowBuildpacks(app.Lifecycle); err != nil {
				return err
			}
		}
		return c.audit(tx, Event{Type: "audit.app.update", Target: appTarget(app), Place: c.place, Data: request(map[string]any{"name": in.Name, "lifecycle": in.Lifecycle})})
	})
	if err != nil {
		return err
	}
	s.apiLine(app.GUID, "Updated app with guid "+app.GUID)
	return c.View(func(tx *store.Tx) error { return s.showApp(c, tx, app) })
}

func patchApp(tx *store.Tx, app *store.App, in capi.AppUpdate) error {
	if in.Name != nil {
		if err := validateName("Name", *in.Name); err != nil {
			return err
		}
		app.Name = *in.Name
	}
	if in.Lifecycle != nil {
		if err := patchLifecycle(tx, &app.Lifecycle, in.Lifecycle); err != nil {
			return err
		}
	}
	if err := patchMetadata(&app.Meta, in.Metadata); err != nil {
		return err
	}
	return putApp(tx, app)
}

// deleteApp removes the app and all that is its own in one transaction. The loops collect containers, images
// and blobs when they no longer find the records.
func (s *Server) deleteApp(c *Ctx) error {
	var job *store.Job
	guid := c.Path("guid")
	err := c.Update(func(tx *store.Tx) error {
		app, err := store.Apps.Get(tx, guid)
		if err != nil {
			return err
		}
		if err := c.audit(tx, Event{Type: "audit.app.delete-request", Target: appTarget(app), Place: c.place}); err != nil {
			return err
		}
		if err := firstOf(c.auditProcessesEnd(tx, app), c.removeApp(tx, app)); err != nil {
			return err
		}
		job, err = completeJob(tx, "app.delete", "app", guid)
		return err
	})
	if err != nil {
		return err
	}
	s.apiLine(guid, "Deleted app with guid "+guid)
	return c.Accepted(job.GUID, nil)
}

// clearBuildpackCache drops what earlier builds of the app left for later ones; of all apps where none is named.
func (s *Server) clearBuildpackCache(c *Ctx) error {
	if s.clearCache == nil {
		return capi.UnableToPerform.Errorf("This platform keeps no build caches that could be cleared")
	}
	if err := s.clearCache(c.Context(), c.Path("guid")); err != nil {
		return err
	}
	var job *store.Job
	err := c.Update(func(tx *store.Tx) (err error) {
		job, err = completeJob(tx, "app.clear_buildpack_cache", "app", c.Path("guid"))
		return err
	})
	if err != nil {
		return err
	}
	return c.Accepted(job.GUID, nil)
}
