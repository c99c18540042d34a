// Package cleanup is the loop that removes what nothing refers to any more: old droplets with their images,
// packages with their bits, ended builds, old events and jobs, the leftovers of deleted apps.
//
// It deletes only what Cupola made and no record refers to, never anything young enough to be in the making,
// and never a volume. The controller runs it, and makes a pass when an operator asks for one.
package cleanup

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"strings"
	"sync"
	"time"

	"github.com/cupola-paas/cupola/store"
)

// How much is kept, and for how long.
const (
	keepDroplets = 5 // staged droplets of an app, besides what is current or runs
	keepBuilds   = 20
	youth        = time.Hour // younger images and blobs may belong to a push under way
	eventsFor    = 31 * 24 * time.Hour
	jobsFor      = 24 * time.Hour
	every        = 10 * time.Minute
	afterStart   = time.Minute
)

// Images are the container images in the registry; *store.Registry is one.
type Images interface {
	Collect(ctx context.Context, keep func(repository, digest string) bool, olderThan time.Time) (freed int64, err error)
}

// Blobs are packages and buildpacks; *store.Blobs is one.
type Blobs interface {
	Collect(keep func(sha256 string) bool, olderThan time.Time) (freed int64, err error)
}

// EngineImages are the images that the engine has pulled.
type EngineImages interface {
	RemoveImages(ctx context.Context, keep func(ref string) bool) (freed int64, err error)
}

// AppData is what others keep by app: logs, build caches.
type AppData interface {
	// Sweep removes the data of apps that keep refuses.
	Sweep(keep func(appGUID string) bool) error
}

// Freed says how many bytes a pass gave back, by where they were.
type Freed struct {
	Images int64 // in the registry
	Blobs  int64 // packages and uploaded buildpacks
	Pulled int64 // images of the engine on the server's machine
}

// Sum is how much that is in all.
func (f Freed) Sum() int64 { return f.Images + f.Blobs + f.Pulled }

// Loop cleans up. Its fields are set before Run and not changed.
type Loop struct {
	DB     *store.DB
	Images Images
	Blobs  Blobs
	Engine EngineImages
	Apps   []AppData
	Keep   func(repository, digest string) bool // images that no record names; nil: none
	Log    *slog.Logger

	mu sync.Mutex // one pass at a time: an operator may ask for one
}

// Run steps until ctx ends.
func (l *Loop) Run(ctx context.Context) error {
	for wait := afterStart; store.Sleep(ctx, wait, nil); wait = every {
		if _, err := l.Step(ctx); err != nil && ctx.Err() == nil {
			l.Log.Warn("clean-up not finished", "error", err)
		}
	}
	return nil
}

// Step makes one pass: first records, then what no record refers to. Every part is tried; what was freed is told
// besides an error. It may be called from any goroutine.
func (l *Loop) Step(ctx context.Context) (Freed, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	var freed Freed
	if err := l.DB.Update(dropRecords); err != nil {
		return freed, fmt.Errorf("drop old records: %w", err)
	}
	refs, err := l.references()
	if err != nil {
		return freed, fmt.Errorf("read references: %w", err)
	}
	before := time.Now().Add(-youth)
	errs := make([]error, 3)
	freed.Images, errs[0] = l.Images.Collect(ctx, func(repository, digest string) bool {
		return refs.keepsImage(repository, digest) || l.Keep != nil && l.Keep(repository, digest)
	}, before)
	freed.Blobs, errs[1] = l.Blobs.Collect(refs.keepsBlob, before)
	freed.Pulled, errs[2] = l.Engine.RemoveImages(ctx, refs.keepsReference)
	if freed.Sum() > 0 {
		l.Log.Info("cleaned up", "freed_bytes", freed.Sum())
	}
	for _, a := range l.Apps {
		errs = append(errs, a.Sweep(func(app string) bool { return refs.apps[app] }))
	}
	return freed, errors.Join(errs...)
}

// references are everything that records point at.
type references struct {
	images  map[string]bool // repository@digest
	digests map[string]bool
	blobs   map[string]bool
	apps    map[string]bool
}

func (r *references) keepsImage(repository, digest string) bool {
	return r.images[repository+"@"+digest]
}
func (r *references) keepsBlob(sha256 string) bool { return r.blobs[sha256] }

// keepsReference takes an engine's reference, host/repository@digest.
func (r *references) keepsReference(ref string) bool {
	_, digest, ok := strings.Cut(ref, "@")
	return !ok || r.digests[digest]
}

func (l *Loop) references() (*references, error) {
	r := &references{images: map[string]bool{}, digests: map[string]bool{}, blobs: map[string]bool{}, apps: map[string]bool{}}
	err := l.DB.View(func(tx *store.Tx) error {
		for d := range store.Droplets.All(tx) {
			r.images[d.Repository+"@"+d.ImageDigest] = true
			r.digests[d.ImageDigest] = true
			r.blobs[d.SHA256] = true
		}
		for s := range store.Stacks.All(tx) {
			r.addReference(s.BuildImage)
			r.addReference(s.RunImage)
		}
		for d := range store.DataServices.All(tx) {
			r.images[d.Repository+"@"+d.ImageDigest] = true
			r.digests[d.ImageDigest] = true
			r.apps[d.GUID] = true // for its logs
		}
		for p := range store.Packages.All(tx) {
			r.blobs[p.SHA256] = true
		}
		for b := range store.Buildpacks.All(tx) {
			r.blobs[b.SHA256] = true
		}
		for a := range store.Apps.All(tx) {
			r.apps[a.GUID] = true
		}
		return nil
	})
	return r, err
}

// addReference keeps host/repository@digest.
func (r *references) addReference(ref string) {
	_, rest, ok := strings.Cut(ref, "/")
	if !ok {
		return
	}
	r.images[rest] = true
	if _, digest, ok := strings.Cut(rest, "@"); ok {
		r.digests[digest] = true
	}
}
