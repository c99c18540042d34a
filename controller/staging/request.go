package staging

import (
	"fmt"

	"github.com/cupola-paas/cupola/buildpack"
	"github.com/cupola-paas/cupola/controller/appenv"
	"github.com/cupola-paas/cupola/store"
)

// CacheID names the build cache of an app on a stack.
func CacheID(appGUID, stack string) string { return appGUID + "-" + stack }

// Repository is where an app's droplets lie in the registry.
func Repository(appGUID string) string { return "droplets/" + appGUID }

// stackReady reports whether the build's stack has its images.
func (l *Loop) stackReady(b *store.Build) bool {
	if b.Lifecycle.Type == dockerLifecycle {
		return true // it brings its own
	}
	ready := false
	_ = l.DB.View(func(tx *store.Tx) error {
		s, err := findStack(tx, b.Lifecycle.Stack)
		if err != nil {
			ready = b.Lifecycle.Stack != "" // an unknown stack is told by the build itself
			return nil
		}
		ready = s.BuildImage != ""
		return nil
	})
	return ready
}

func findStack(tx *store.Tx, name string) (*store.Stack, error) {
	if name == "" {
		return store.Stacks.Find(tx, "default", "true")
	}
	return store.Stacks.Find(tx, "name", name)
}

// order gathers what a build needs, from one moment of the store.
func (l *Loop) order(b *store.Build) (*order, error) {
	o := &order{build: b}
	err := l.DB.View(func(tx *store.Tx) error {
		app, err := store.Apps.Get(tx, b.AppGUID)
		if err != nil {
			return err
		}
		if o.pkg, err = store.Packages.Get(tx, b.PackageGUID); err != nil {
			return err
		}
		if l.Pool != nil {
			if o.pool, err = l.Pool(tx, app); err != nil {
				return err
			}
		}
		stack, err := findStack(tx, b.Lifecycle.Stack)
		if err != nil {
			return &buildpack.Error{Code: buildpack.BadBuildpack, Message: fmt.Sprintf("there is no stack %q: see `cupola stacks`", b.Lifecycle.Stack)}
		}
		named := false
		if o.list, named, err = choices(tx, b.Lifecycle, stack.Name); err != nil {
			return err
		}
		known := *b // an app that names no stack learns which one it is
		known.Lifecycle.Stack = stack.Name
		env, err := l.Env.Staging(tx, app, &known)
		if err != nil {
			return err
		}
		files, err := appenv.BindingFiles(tx, app)
		if err != nil {
			return err
		}
		o.req = &buildpack.Request{
			Files: files,
			ID:    b.GUID, CacheID: CacheID(app.GUID, stack.Name), Named: named, Env: env,
			BuildImage: stack.BuildImage, RunImage: stack.RunImage,
			Repository: l.Registry + "/" + Repository(app.GUID),
			Previous:   previousDigest(tx, app),
			Limits:     l.limits(b),
		}
		return nil
	})
	return o, err
}

func (l *Loop) limits(b *store.Build) buildpack.Limits {
	limits := l.Limits
	if b.StagingMemoryMB > 0 {
		limits.MemoryMB = b.StagingMemoryMB
	}
	if b.StagingDiskMB > 0 {
		limits.DiskMB = b.StagingDiskMB
	}
	return limits
}

// previousDigest is the app's newest image, whose layers the export can use again.
func previousDigest(tx *store.Tx, app *store.App) string {
	droplets, _, err := store.Droplets.List(tx, store.Query[store.Droplet]{
		Where: []store.Cond{store.By("app", app.GUID), store.By("state", store.StateStaged)},
		Desc:  true, Limit: 1,
	})
	if err != nil || len(droplets) == 0 {
		return ""
	}
	return droplets[0].ImageDigest
}
