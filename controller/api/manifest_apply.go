package api

import (
	"errors"
	"reflect"
	"slices"
	"strings"

	"github.com/cupola-paas/cupola/controller/capi"
	"github.com/cupola-paas/cupola/store"
)

// applier brings one app of a manifest into the store. Everything it writes belongs to the request's transaction,
// so a manifest is applied whole or not at all.
type applier struct {
	s     *Server
	c     *Ctx
	tx    *store.Tx
	place Place
	want  *manifestApp
	app   *store.App
	lines []string                  // for the app's log, after the commit
	begun []*store.ServiceOperation // that brokers are to be asked for
}

// applyManifest applies every app, and returns what to log by app. All apps are tried, so that one answer tells
// all that is wrong.
func (s *Server) applyManifest(c *Ctx, tx *store.Tx, place Place, m *manifest) ([]*applier, error) {
	var done []*applier
	var wrong []string
	for _, want := range m.apps {
		a := &applier{s: s, c: c, tx: tx, place: place, want: want}
		err := a.apply()
		var refused *capi.Error
		if errors.As(err, &refused) && refused.Status < 500 {
			wrong = append(wrong, (&appError{want.name, err}).Error())
			continue
		}
		if err != nil {
			return nil, err
		}
		done = append(done, a)
	}
	if len(wrong) > 0 {
		return nil, errInvalid(strings.Join(wrong, "\n"))
	}
	return done, checkMemory(tx, place.SpaceGUID)
}

func (a *applier) apply() error {
	for _, step := range []func() error{
		a.findOrCreate, a.setApp, a.setProcesses, a.setSidecars, a.setRoutes, a.bindServices, a.note,
	} {
		if err := step(); err != nil {
			return err
		}
	}
	return nil
}

func (a *applier) findOrCreate() error {
	app, err := store.Apps.Find(a.tx, "space_name", a.place.SpaceGUID+"/"+a.want.name)
	if err == nil {
		a.app = app
		return nil
	}
	if orElse(err, nil) != nil {
		return err
	}
	create := capi.AppCreate{Name: a.want.name, Lifecycle: &capi.LifecycleUpdate{Type: a.lifecycleType()}}
	if a.app, err = a.s.newApp(a.tx, a.c, a.place, create); err != nil {
		return err
	}
	a.lines = append(a.lines, "Created app with guid "+a.app.GUID)
	return nil
}

func (a *applier) lifecycleType() string {
	if a.want.dockerImage != "" {
		return capi.LifecycleDocker
	}
	return a.want.lifecycle
}

func (a *applier) setApp() error {
	before := *a.app
	before.Environment, before.Features = cloneMap(a.app.Environment), cloneMap(a.app.Features)
	before.Labels, before.Annotations = cloneMap(a.app.Labels), cloneMap(a.app.Annotations)
	patch := capi.LifecycleUpdate{Type: a.lifecycleType()}
	if a.want.buildpacks != nil {
		patch.Data.Buildpacks = capi.Some(*a.want.buildpacks)
	}
	if a.want.stack != nil {
		patch.Data.Stack = capi.Some(*a.want.stack)
	}
	if a.app.Lifecycle.Type == capi.LifecycleDocker && (a.want.buildpacks != nil || a.want.stack != nil) {
		return errInvalid("buildpacks and stack are not for apps of the docker lifecycle")
	}
	if err := patchLifecycle(a.tx, &a.app.Lifecycle, &patch); err != nil {
		return err
	}
	if a.want.buildpacks != nil {
		if err := a.s.allowBuildpacks(a.app.Lifecycle); err != nil {
			return err
		}
	}
	a.app.Environment = merge(a.app.Environment, a.want.env)
	if err := setFeatures(a.app, a.want.features); err != nil {
		return err
	}
	if err := patchMetadata(&a.app.Meta, a.want.metadata); err != nil {
		return err
	}
	if equalApps(&before, a.app) {
		return nil
	}
	return putApp(a.tx, a.app)
}

func cloneMap[V any](m map[string]V) map[string]V {
	if m == nil {
		return nil
	}
	out := make(map[string]V, len(m))
	for k, v := range m {
		out[k] = v
	}
	return out
}

// equalApps takes an absent map and an empty one for the same.
func equalApps(a, b *store.App) bool {
	same := func(x, y map[string]string) bool { return len(x) == 0 && len(y) == 0 || reflect.DeepEqual(x, y) }
	return slices.Equal(a.Lifecycle.Buildpacks, b.Lifecycle.Buildpacks) && a.Lifecycle.Stack == b.Lifecycle.Stack &&
		same(a.Environment, b.Environment) && same(a.Labels, b.Labels) && same(a.Annotations, b.Annotations) &&
		(len(a.Features) == 0 && len(b.Features) == 0 || reflect.DeepEqual(a.Features, b.Features))
}

func (a *applier) setProcesses() error {
	for _, want := range a.want.processes {
		if err := a.setProcess(want); err != nil {
			return err
		}
	}
	return nil
}

// setProcess changes the newest process of a type, or makes it; what is as wanted is not written.
func (a *applier) setProcess(want *manifestProcess) error {
	found, _, err := store.Processes.List(a.tx, store.Query[store.Process]{
		Where: []store.Cond{store.By("app_type", a.app.GUID+"/"+want.kind)},
	})
	if err != nil {
		return err
	}
	p := newProcess(a.app, want.kind)
	isNew := len(found) == 0
	if !isNew {
		p = found[len(found)-1]
	}
	before := *p
	update := want.update
	update.HealthCheck, update.ReadinessCheck = &want.health, &want.readiness
	if err := patchProcess(p, update); err != nil {
		return err
	}
	if err := scale(p, want.scale); err != nil {
		return err
	}
	if !isNew && reflect.DeepEqual(before, *p) {
		return nil
	}
	if p.Type == "web" && before.Instances != p.Instances {
		if err := refuseDuringDeployment(a.tx, a.app, capi.ScaleDisabledDuringDeployment, "scale this process"); err != nil {
			return err
		}
	}
	if err := checkProcessMemory(a.tx, a.place.SpaceGUID, p.MemoryMB); err != nil {
		return err
	}
	if err := tellScaled(a.tx, a.app, p); err != nil {
		return err
	}
	if err := store.Processes.Put(a.tx, p); err != nil || !isNew {
		return err
	}
	return a.c.auditProcess(a.tx, a.app, a.place, p, "create")
}

func (a *applier) note() error {
	a.lines = append(a.lines, "Applied manifest to app with guid "+a.app.GUID)
	update := Event{Type: "audit.app.update", Target: appTarget(a.app), Place: a.place, Data: map[string]any{"manifest_triggered": true}}
	if err := a.c.audit(a.tx, update); err != nil {
		return err
	}
	return a.c.audit(a.tx, Event{Type: "audit.app.apply_manifest", Target: appTarget(a.app), Place: a.place, Data: map[string]any{"manifest_triggered": true}})
}
