// Package staging is the loop that turns builds into droplets: it finds builds that have none, unpacks the
// package, runs the buildpacks and writes the droplet and the build's end in one transaction.
//
// That a build is to be done is a fact of the store, not a message: a build that a crash cut off is found by
// the next pass and done again from the start. At most Parallel builds run at once, one for each app; the
// rest wait, and orgs take turns (see queue). The controller runs it.
package staging

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"sync"
	"time"

	"github.com/cupola-paas/cupola/buildpack"
	"github.com/cupola-paas/cupola/buildpack/shelf"
	"github.com/cupola-paas/cupola/store"
)

const (
	resync = time.Minute
	pause  = 5 * time.Millisecond
)

// Builder makes images; *buildpack.Builder is one.
type Builder interface {
	Build(ctx context.Context, r buildpack.Request) (*buildpack.Result, error)
	Sweep(ctx context.Context, keep func(buildID string) bool) error
}

// Logs gives each build writers for the app's staging log, of which not more than some bytes a second are kept; negative: all.
type Logs interface {
	Staging(appGUID string, logRate int) LineWriter
}

// LineWriter takes output; Close flushes a last line that had no end.
type LineWriter interface {
	Write(p []byte) (int, error)
	Close() error
}

// Sources unpacks a package's bits into a folder.
type Sources interface {
	Unpack(ctx context.Context, p *store.Package, dir string) error
}

// Uploads unpacks the bits of uploaded buildpacks.
type Uploads interface {
	// Unpack writes the files of b into dir, which is there and empty.
	Unpack(ctx context.Context, b *store.Buildpack, dir string) error
}

// Environment makes the variables that a build sees.
type Environment interface {
	Staging(tx *store.Tx, app *store.App, b *store.Build) (map[string]string, error)
}

// Place gives the container of a build its address on the staging network, and lets it reach what the
// security groups of its space say (see package networking).
type Place interface {
	PlaceBuild(id, egress string) (address string, release func(), err error)
}

// Loop stages. Its fields are set before Run and not changed.
type Loop struct {
	DB       *store.DB
	Builder  Builder
	Sources  Sources
	Uploads  Uploads
	Env      Environment
	Logs     Logs
	Dir      string  // unpacked sources lie here until the build takes them
	Uploaded string  // unpacked buildpacks lie here; on the same file system as Dir
	Registry string  // host:port that droplets are pushed to
	Parallel int     // builds at the same time; zero: by the size of the machine
	Copier   Copier  // of the images of Docker apps
	Adopter  Adopter // of uploaded droplets; nil: none can be uploaded
	Blobs    Blobs
	Limits   buildpack.Limits
	Log      *slog.Logger
	Place    Place    // nil: builds join the network wherever the engine puts them
	Machines Machines // that build besides this one; nil: there are none
	// Pool tells for the apps of which isolation segment builds of an app may share machines; nil: all share all.
	Pool func(tx *store.Tx, app *store.App) (string, error)

	workers sync.WaitGroup
	wake    chan struct{}
	own     chan struct{}   // has one for each build on this machine
	running context.Context // of Run
	uploads *shelf.Shelf
	queue   queue // of Step alone

	mu       sync.Mutex
	busy     map[string]*job // by app
	adopting map[string]bool // droplets

	told map[string]string // by waiting build: what its log says it waits for; of Step alone
}

// job is a running build.
type job struct {
	build  string
	org    string
	cancel context.CancelCauseFunc
}

// errCanceled is the cause of a build's context when somebody cancelled it, errAppDeleted when its app has gone.
var errCanceled = errors.New("the build was cancelled")

// Run steps until ctx ends and its builds have ended; those are found again by the next Run.
func (l *Loop) Run(ctx context.Context) error {
	l.init()
	l.running = ctx
	defer l.workers.Wait()
	if err := l.sweep(ctx); err != nil {
		l.Log.Warn("leftovers of earlier builds not removed", "error", err)
	}
	changed := l.DB.Watch(ctx, store.Builds.Name(), store.Droplets.Name(), store.Stacks.Name())
	for {
		moved := l.moved()
		if err := l.Step(ctx); err != nil {
			l.Log.Error("staging pass not finished", "error", err)
		}
		select {
		case <-ctx.Done():
			return nil
		case <-time.After(pause):
		}
		select {
		case <-ctx.Done():
			return nil
		case <-changed:
		case <-l.wake:
		case <-moved:
		case <-time.After(resync):
		}
	}
}

// moved tells of other machines while builds wait for them.
func (l *Loop) moved() <-chan struct{} {
	if l.Machines == nil || len(l.told) == 0 {
		return nil
	}
	return l.Machines.Moved()
}

// places is how many builds may be under way.
func (l *Loop) places() int {
	if l.Machines != nil {
		if n := l.Machines.Places(l.Limits); n > 0 {
			return n
		}
	}
	return l.Parallel
}

func (l *Loop) init() {
	if l.busy == nil {
		l.busy, l.wake = map[string]*job{}, make(chan struct{}, 1)
		l.told = map[string]string{}
	}
	if l.uploads == nil {
		l.uploads = &shelf.Shelf{Dir: l.Uploaded}
	}
	if l.Parallel == 0 {
		l.Parallel = parallel(l.Limits)
	}
	if l.own == nil {
		l.own = make(chan struct{}, l.Parallel)
	}
}

// sweep removes what builds of an earlier process left: containers, work folders, sources. It runs before
// the first build, so nothing there is ours.
func (l *Loop) sweep(ctx context.Context) error {
	l.sweepUploads()
	var swept error
	if l.Machines != nil {
		swept = l.Machines.Sweep(ctx)
	}
	return errors.Join(swept,
		l.Builder.Sweep(ctx, func(string) bool { return false }),
		os.RemoveAll(l.Dir),
		os.MkdirAll(l.Dir, 0o700),
	)
}

// Step starts what waits and cancels what nobody wants any more.
func (l *Loop) Step(ctx context.Context) error {
	l.init()
	if err := l.adopt(ctx); err != nil {
		return err
	}
	staging, err := l.staging()
	if err != nil {
		return fmt.Errorf("read builds: %w", err)
	}
	l.cancelUnwanted(staging)
	maps.DeleteFunc(l.told, func(guid, _ string) bool {
		return !slices.ContainsFunc(staging, func(w waiter) bool { return w.build.GUID == guid })
	})
	var waiting []waiter
	for _, w := range staging {
		switch {
		case l.isRunning(w.build):
		case w.build.Canceled:
			l.fail(w.build, errCanceled)
		default:
			waiting = append(waiting, w)
		}
	}
	passed := 0
	for _, w := range l.queue.order(waiting, l.runningByOrg()) {
		if l.start(ctx, w, passed) {
			l.queue.took(w.org)
			continue
		}
		passed++
	}
	return nil
}

// staging lists the builds that have not ended, oldest first.
func (l *Loop) staging() (list []waiter, err error) {
	err = l.DB.View(func(tx *store.Tx) error {
		builds, _, err := store.Builds.List(tx, store.Query[store.Build]{
			Where: []store.Cond{store.By("state", store.StateStaging)},
		})
		for _, b := range builds {
			w := waiter{build: b}
			if space, err := store.Spaces.Get(tx, b.SpaceGUID); err == nil {
				w.org = space.OrgGUID
			}
			list = append(list, w)
		}
		return err
	})
	return list, err
}

func (l *Loop) isRunning(b *store.Build) bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	j := l.busy[b.AppGUID]
	return j != nil && j.build == b.GUID
}

func (l *Loop) runningByOrg() map[string]int {
	l.mu.Lock()
	defer l.mu.Unlock()
	count := map[string]int{}
	for _, j := range l.busy {
		count[j.org]++
	}
	return count
}

// cancelUnwanted ends running builds that were cancelled or whose record has gone.
func (l *Loop) cancelUnwanted(staging []waiter) {
	wanted := map[string]bool{}
	for _, w := range staging {
		wanted[w.build.GUID] = !w.build.Canceled
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	for _, j := range l.busy {
		if !wanted[j.build] {
			j.cancel(errCanceled)
		}
	}
}

// start runs the build unless its app has one under way or all places are taken. passed builds have their turn before
// it. It reports whether the build runs now.
func (l *Loop) start(ctx context.Context, w waiter, passed int) bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	b := w.build
	if l.busy[b.AppGUID] != nil {
		return false
	}
	if len(l.busy) >= l.places() {
		l.tell(b, ahead(passed))
		return false
	}
	if !l.stackReady(b) { // the stack's record changes when it is
		l.tell(b, "Waiting for the platform's stack, which is being prepared: at the first start of a platform that takes some minutes")
		return false
	}
	ctx, cancel := context.WithCancelCause(ctx)
	l.busy[b.AppGUID] = &job{b.GUID, w.org, cancel}
	l.workers.Go(func() {
		defer func() {
			cancel(nil)
			l.mu.Lock()
			delete(l.busy, b.AppGUID)
			l.mu.Unlock()
			select {
			case l.wake <- struct{}{}:
			default:
			}
		}()
		l.stage(ctx, b)
	})
	return true
}

// tell writes to the log what a build waits for, once, so that nobody takes it for stuck.
func (l *Loop) tell(b *store.Build, text string) {
	if l.told[b.GUID] == text {
		return
	}
	l.told[b.GUID] = text
	out := l.Logs.Staging(b.AppGUID, store.Unlimited)
	defer out.Close()
	fmt.Fprintln(out, text)
}

// stage does one build from the package to the written end.
func (l *Loop) stage(ctx context.Context, b *store.Build) {
	out := l.Logs.Staging(b.AppGUID, store.Unlimited)
	defer out.Close()
	succeed, err := l.droplet(ctx, b, out)
	switch {
	case context.Cause(ctx) == errCanceled:
		fmt.Fprintln(out, "Staging was cancelled")
		out.Close()
		l.fail(b, errCanceled)
	case ctx.Err() != nil:
		return // the server stops; the build is done again at the next start
	case err != nil:
		fmt.Fprintln(out, Explain(err))
		fmt.Fprintln(out, "Staging failed")
		out.Close()
		l.fail(b, err)
	default:
		fmt.Fprintln(out, "Uploading complete")
		out.Close()
		succeed()
	}
}

// droplet makes the image, by the build's lifecycle, and returns what writes it down.
func (l *Loop) droplet(ctx context.Context, b *store.Build, out LineWriter) (succeed func(), err error) {
	if b.Lifecycle.Type == dockerLifecycle {
		return l.copyImage(ctx, b, out)
	}
	fmt.Fprintln(out, "Staging starts")
	o, err := l.order(b)
	if err != nil {
		return nil, err
	}
	result, err := l.build(ctx, o, out)
	return func() { l.succeed(b, o.req, result) }, err
}

// build limits what buildpacks print to the build's log rate; what the platform says is never dropped.
func (l *Loop) build(ctx context.Context, o *order, out LineWriter) (*buildpack.Result, error) {
	printed := l.Logs.Staging(o.build.AppGUID, o.build.LogRate())
	defer printed.Close()
	o.out, o.req.Log = out, printed
	result, machine, err := l.run(ctx, o)
	o.build.Machine = machine
	if err == nil {
		err = l.startable(o.build, result)
	}
	return result, err
}

// buildHere builds on this machine.
func (l *Loop) buildHere(ctx context.Context, o *order) (*buildpack.Result, error) {
	req := *o.req
	req.Source = filepath.Join(l.Dir, o.build.GUID)
	release, err := l.place(ctx, &req, o.list)
	defer release()
	if err != nil {
		return nil, err
	}
	defer os.RemoveAll(req.Source)
	if err := os.RemoveAll(req.Source); err != nil {
		return nil, err
	}
	began := time.Now()
	if err := l.Sources.Unpack(ctx, o.pkg, req.Source); err != nil {
		return nil, fmt.Errorf("unpack the package: %w", err)
	}
	unpacked := time.Since(began)
	if l.Place != nil {
		address, release, err := l.Place.PlaceBuild(o.build.GUID, o.egress())
		if err != nil {
			return nil, err
		}
		defer release()
		req.Address = address
	}
	result, err := l.Builder.Build(ctx, req)
	if err != nil {
		return nil, err
	}
	result.Phases = append([]buildpack.Phase{{Name: "unpack", Duration: unpacked}}, result.Phases...)
	return result, nil
}
