// Package stack makes the two base images that apps are built and run on.
//
// Prepare assembles them from Debian stable packages with debootstrap and apt, and keeps them as OCI layouts
// in a cache folder; FromImages takes somebody else's. Push copies them into a registry, from where the
// sandbox pulls the build image and the exporter references the run image.
//
// It needs root, debootstrap, unshare (util-linux) and a Debian mirror; it never needs an image registry. What
// runs inside the new root folder runs in mount and process namespaces of its own, so that no mount and no
// process outlives a preparation, not even one that is killed.
package stack

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"time"

	v1 "github.com/google/go-containerregistry/pkg/v1"
)

// DefaultSuite is the Debian release that images are made from when Options names none.
const DefaultSuite = "trixie"

// Errors that a caller can tell apart; each is wrapped with a sentence on what to do.
var (
	ErrNoDebootstrap = errors.New("debootstrap is not installed")
	ErrNotRoot       = errors.New("not root")
	ErrMirror        = errors.New("the Debian mirror can't be used")
	ErrNoSpace       = errors.New("no space left on the disk")
)

// Options say what to prepare and where to keep it.
type Options struct {
	// CacheDir keeps what was prepared. Several processes may share it.
	CacheDir string
	// Suite is Debian's code name, such as "trixie". Empty means DefaultSuite.
	Suite string
	// Mirror is a Debian archive. Empty means the one that the host's apt uses when the host is Debian, else
	// debootstrap's own default.
	Mirror string
	// SecurityMirror has the security suite. Empty means the host's when Mirror is empty too, else it is
	// derived from the mirror by the usual path (".../debian" has ".../debian-security" beside it).
	SecurityMirror string
	// Refresh prepares again although the cache has a stack, to take in updates of packages. The older one
	// stays readable until the next refresh.
	Refresh bool
	// Progress is told how far the preparation is; done and total have no unit. May be nil. It is called by
	// one goroutine at a time.
	Progress func(step string, done, total int)
}

func (o Options) withDefaults() Options {
	if o.Suite == "" {
		o.Suite = DefaultSuite
	}
	if o.Progress == nil {
		o.Progress = func(string, int, int) {}
	}
	return o
}

// Stack is a pair of base images. It is immutable and may be used by many goroutines.
type Stack struct {
	// ID is the stack's name for Cloud Foundry and CNB_STACK_ID, such as "cupola-13".
	ID string
	// Version changes with the content of the images and with nothing else.
	Version string
	// Packages are the Debian packages of the run image; BuildPackages those of the build image.
	Packages, BuildPackages []Package
	// Created is when the images were prepared, by the clock of the machine that did.
	Created time.Time
	// BuildPath and RunPath are the OCI layouts of the images; empty when they came from a registry.
	BuildPath, RunPath string
	Build, Run         v1.Image
}

// Package is an installed Debian package.
type Package struct {
	Name    string `json:"name"`
	Version string `json:"version"`
}

// Prepare returns the stack of opts.CacheDir, and makes it first where there is none.
//
// One preparation runs at a time for a folder; other callers, in this process or another, wait for it and take
// its result. It is complete or not there at all: a crash leaves only a temporary folder, which the next
// preparation removes. Errors wrap ErrNoDebootstrap, ErrNotRoot, ErrMirror or ErrNoSpace where that was the cause.
func Prepare(ctx context.Context, opts Options) (*Stack, error) {
	opts = opts.withDefaults()
	rec := recipeFor(opts.Suite)
	if !opts.Refresh {
		if s, err := load(opts.CacheDir, rec); err == nil {
			return s, nil
		}
	}
	if err := os.MkdirAll(opts.CacheDir, 0o755); err != nil {
		return nil, fmt.Errorf("make the stack cache: %w", err)
	}
	unlock, err := lock(ctx, filepath.Join(opts.CacheDir, ".lock"), opts.Progress)
	if err != nil {
		return nil, err
	}
	defer unlock()
	if s, err := load(opts.CacheDir, rec); err == nil && !opts.Refresh {
		return s, nil // another process made it while we waited
	}
	return prepareLocked(ctx, opts, rec)
}

// Cached returns the stack of opts.CacheDir and never makes one: without it the error is fs.ErrNotExist.
func Cached(opts Options) (*Stack, error) {
	opts = opts.withDefaults()
	return load(opts.CacheDir, recipeFor(opts.Suite))
}

// prepareLocked builds in a temporary folder and publishes the result. The folder's lock is held.
func prepareLocked(ctx context.Context, opts Options, rec recipe) (_ *Stack, err error) {
	if err := checkHost(); err != nil {
		return nil, err
	}
	if err := removeStale(opts.CacheDir); err != nil {
		return nil, err
	}
	work, err := os.MkdirTemp(opts.CacheDir, tempPrefix)
	if err != nil {
		return nil, fmt.Errorf("make a work folder for the stack: %w", err)
	}
	defer func() { err = errors.Join(err, removeTree(work)) }()

	log, err := os.Create(filepath.Join(opts.CacheDir, logName))
	if err != nil {
		return nil, err
	}
	defer log.Close()
	a := &assembly{
		opts: opts, recipe: rec, work: work, started: time.Now().Add(-time.Second),
		progress: newProgress(opts.Progress), log: log,
	}
	if err := a.run(ctx); err != nil {
		return nil, fmt.Errorf("prepare the stack from Debian %s (all output is in %s): %w", opts.Suite, log.Name(), err)
	}
	if err := publish(opts.CacheDir, rec, a.out(), a.meta); err != nil {
		return nil, fmt.Errorf("keep the prepared stack: %w", err)
	}
	opts.Progress("ready", progressTotal, progressTotal)
	return load(opts.CacheDir, rec)
}
