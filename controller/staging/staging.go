// Package staging is the loop that turns builds into droplets: it finds builds that have none, unpacks the
// package, runs the buildpacks and writes the droplet and the build's end in one transaction.
//
// That a build is to be done is a fact of the store, not a message: a build that a crash cut off is found by
// the next pass and done again from the start. At most Parallel builds run at once, one for each app; the
// rest wait in the order of their creation. The controller runs it.
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

// Logs gives each build a writer for its output, which becomes the app's staging log.
type Logs interface {
	Staging(appGUID string) LineWriter
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

// Environment makes the variables that a build sees.
type Environment interface {
	Staging(tx *store.Tx, app *store.App, b *store.Build) (map[string]string, error)
}

// Loop stages. Its fields are set before Run and not changed.
type Loop struct {
	DB       *store.DB
	Builder  Builder
	Sources  Sources
	Env      Environment
	Logs     Logs
	Dir      string // unpacked sources lie here until the build takes them
	Registry string // host:port that droplets are pushed to
	Parallel int    // builds at the same time; zero: 2
	Limits   buildpack.Limits
	Log      *slog.Logger

	workers sync.WaitGroup
	wake    chan struct{}

	mu   sync.Mutex
	busy map[string]*job // by app

	told map[string]string // by waiting build: what its log says it waits for; of Step alone
}

// job is a running build.
type job struct {
	build  string
	cancel context.CancelCauseFunc
}

// errCanceled is the cause of a build's context when somebody cancelled it, errAppDeleted when its app has gone.
var errCanceled = errors.New("the build was cancelled")

// Run steps until ctx ends and its builds have ended; those are found again by the next Run.
func (l *Loop) Run(ctx context.Context) error {
	l.init()
	defer l.workers.Wait()
	if err := l.sweep(ctx); err != nil {
		l.Log.Warn("leftovers of earlier builds not removed", "error", err)
	}
	changed := l.DB.Watch(ctx, store.Builds.Name(), store.Stacks.Name())
	for {
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
		case <-time.After(resync):
		}
	}
}

func (l *Loop) init() {
	if l.busy == nil {
		l.busy, l.wake = map[string]*job{}, make(chan struct{}, 1)
		l.told = map[string]string{}
	}
	if l.Parallel == 0 {
		l.Parallel = 2
	}
}

// sweep removes what builds of an earlier process left: containers, work folders, sources. It runs before
// the first build, so nothing there is ours.
func (l *Loop) sweep(ctx context.Context) error {
	return errors.Join(
		l.Builder.Sweep(ctx, func(string) bool { return false }),
		os.RemoveAll(l.Dir),
		os.MkdirAll(l.Dir, 0o700),
	)
}

// Step starts what waits and cancels what nobody wants any more.
func (l *Loop) Step(ctx context.Context) error {
	l.init()
	var waiting []*store.Build
	err := l.DB.View(func(tx *store.Tx) (err error) {
		waiting, _, err = store.Builds.List(tx, store.Query[store.Build]{
			Where: []store.Cond{store.By("state", store.StateStaging)},
		})
		return err
	})
	if err != nil {
		return fmt.Errorf("read builds: %w", err)
	}
	l.cancelUnwanted(waiting)
	maps.DeleteFunc(l.told, func(guid, _ string) bool {
		return !slices.ContainsFunc(waiting, func(b *store.Build) bool { return b.GUID == guid })
	})
	for _, b := range waiting {
		if b.Canceled {
			l.endCanceled(b)
			continue
		}
		l.start(ctx, b)
	}
	return nil
}

// cancelUnwanted ends running builds that were cancelled or whose record has gone.
func (l *Loop) cancelUnwanted(waiting []*store.Build) {
	wanted := map[string]bool{}
	for _, b := range waiting {
		wanted[b.GUID] = !b.Canceled
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	for _, j := range l.busy {
		if !wanted[j.build] {
			j.cancel(errCanceled)
		}
	}
}

// endCanceled writes the end of a build that was cancelled before it was started.
func (l *Loop) endCanceled(b *store.Build) {
	l.mu.Lock()
	running := l.busy[b.AppGUID] != nil && l.busy[b.AppGUID].build == b.GUID
	l.mu.Unlock()
	if !running {
		l.fail(b, errCanceled)
	}
}

// start runs the build unless its app has one under way or all places are taken.
func (l *Loop) start(ctx context.Context, b *store.Build) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.busy[b.AppGUID] != nil {
		return
	}
	if len(l.busy) >= l.Parallel {
		l.tell(b, fmt.Sprintf("Waiting for another build to end: the platform stages %d at a time", l.Parallel))
		return
	}
	if !l.stackReady(b) { // the stack's record changes when it is
		l.tell(b, "Waiting for the platform's stack, which is being prepared: at the first start of a platform that takes some minutes")
		return
	}
	ctx, cancel := context.WithCancelCause(ctx)
	l.busy[b.AppGUID] = &job{b.GUID, cancel}
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
}

// tell writes to the log what a build waits for, once, so that nobody takes it for stuck.
func (l *Loop) tell(b *store.Build, text string) {
	if l.told[b.GUID] == text {
		return
	}
	l.told[b.GUID] = text
	out := l.Logs.Staging(b.AppGUID)
	defer out.Close()
	fmt.Fprintln(out, text)
}

// stage does one build from the package to the written end.
func (l *Loop) stage(ctx context.Context, b *store.Build) {
	out := l.Logs.Staging(b.AppGUID)
	defer out.Close()
	result, req, err := l.build(ctx, b, out)
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
		l.succeed(b, req, result)
	}
}

func (l *Loop) build(ctx context.Context, b *store.Build, out LineWriter) (*buildpack.Result, *buildpack.Request, error) {
	fmt.Fprintln(out, "Staging starts")
	req, pkg, err := l.request(b)
	if err != nil {
		return nil, nil, err
	}
	req.Log, req.Source = out, filepath.Join(l.Dir, b.GUID)
	defer os.RemoveAll(req.Source)
	if err := os.RemoveAll(req.Source); err != nil {
		return nil, nil, err
	}
	began := time.Now()
	if err := l.Sources.Unpack(ctx, pkg, req.Source); err != nil {
		return nil, nil, fmt.Errorf("unpack the package: %w", err)
	}
	unpacked := time.Since(began)
	result, err := l.Builder.Build(ctx, *req)
	if err != nil {
		return nil, nil, err
	}
	result.Phases = append([]buildpack.Phase{{Name: "unpack", Duration: unpacked}}, result.Phases...)
	return result, req, nil
}
