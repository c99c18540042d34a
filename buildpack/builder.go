package buildpack

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"net/http"
	"os"
	"path/filepath"
	"regexp"
	"sync"
	"time"

	"github.com/cupola-paas/cupola/buildpack/embedded"
	"github.com/cupola-paas/cupola/buildpack/lifecycle/cache"
	"github.com/cupola-paas/cupola/buildpack/lifecycle/export"
	"github.com/cupola-paas/cupola/buildpack/sandbox"
)

// Options of a Builder. Only Dir is needed; a zero field means the default.
type Options struct {
	// Dir holds builds/ (one folder a running build) and caches/. Both must be on one file system.
	Dir string
	// DockerHost is the engine's address; empty: from the environment.
	DockerHost string
	// Installation labels our containers, so that two installations on an engine leave each other alone.
	Installation string
	// Network is the Docker network of build containers; empty: the default bridge.
	Network string
	// Registry has the credentials of the registry that images are pushed to. Build containers never see
	// them.
	Registry Registry
	// Buildpacks is a folder of buildpacks (ID/VERSION/buildpack.toml) with an order.toml, that takes the
	// place of those in the build image. Empty: the build image's own.
	Buildpacks string
	// BuildEnv is the operator's environment for buildpacks: proxies and package registries. The user's
	// variables win over it.
	BuildEnv map[string]string
	// CABundle is a file of PEM certificates that programs in the build container trust.
	CABundle string
	// Limits are for requests that leave theirs zero.
	Limits Limits
	// Launcher and Phase are the programs for containers; nil: those embedded in this binary.
	Launcher, Phase []byte
	// Clock tells the time; nil: time.Now.
	Clock func() time.Time
}

// Registry names a registry and who we are there. Transport is the way to it; nil: as its host says.
type Registry struct {
	Host, Username, Password string
	Transport                http.RoundTripper
}

func (r Registry) client() export.Registry {
	return export.Registry{Host: r.Host, Username: r.Username, Password: r.Password, Transport: r.Transport}
}

// defaultLimits are Cloud Foundry's for staging, with a bound on processes.
var defaultLimits = Limits{MemoryMB: 1024, DiskMB: 4096, CPUs: 0, PIDs: 1024, Timeout: 15 * time.Minute}

// Builder builds and rebases. Its methods may be called at the same time; each build has a folder and a
// container of its own.
type Builder struct {
	options         Options
	docker          *sandbox.Docker
	caches          *cache.Store
	registry        export.Registry
	phasePath       string
	launcher        []byte
	launcherVersion string

	mu      sync.Mutex // guards running
	running map[string]bool
}

// New makes a Builder: it makes the folders and writes out the program for build containers. The engine is
// not asked for anything yet.
func New(o Options) (*Builder, error) {
	if o.Clock == nil {
		o.Clock = time.Now
	}
	o.Limits = o.Limits.or(defaultLimits)
	b := &Builder{options: o, registry: o.Registry.client(), running: map[string]bool{}}
	return b, b.open()
}

// Limits are those that a request with these gets.
func (b *Builder) Limits(l Limits) Limits { return l.or(b.options.Limits) }

func (l Limits) or(defaults Limits) Limits {
	if l.MemoryMB == 0 {
		l.MemoryMB = defaults.MemoryMB
	}
	if l.DiskMB == 0 {
		l.DiskMB = defaults.DiskMB
	}
	if l.CPUs == 0 {
		l.CPUs = defaults.CPUs
	}
	if l.PIDs == 0 {
		l.PIDs = defaults.PIDs
	}
	if l.Timeout == 0 {
		l.Timeout = defaults.Timeout
	}
	return l
}

// open makes folders, writes the phase program out and makes a client of the engine.
func (b *Builder) open() (err error) {
	if b.options.Dir, err = filepath.Abs(b.options.Dir); err != nil {
		return err
	}
	if err = os.MkdirAll(b.buildsDir(), 0o700); err != nil {
		return err
	}
	if b.caches, err = cache.Open(filepath.Join(b.options.Dir, "caches")); err != nil {
		return err
	}
	if b.docker, err = sandbox.Open(b.options.DockerHost, b.options.Installation, b.options.Network); err != nil {
		return err
	}
	if b.launcher = b.options.Launcher; b.launcher == nil {
		if b.launcher, err = embedded.Launcher(); err != nil {
			return err
		}
	}
	b.launcherVersion = "cupola-" + shortHash(b.launcher)
	phase := b.options.Phase
	if phase == nil {
		if phase, err = embedded.Phase(); err != nil {
			return err
		}
	}
	return b.writePhase(phase)
}

// writePhase puts the phase program where containers can mount it, under a name by its content, so that an
// upgrade never changes it below a running build.
func (b *Builder) writePhase(program []byte) error {
	dir := filepath.Join(b.options.Dir, "programs")
	b.phasePath = filepath.Join(dir, "phase-"+shortHash(program))
	if info, err := os.Stat(b.phasePath); err == nil && info.Size() == int64(len(program)) {
		return nil
	}
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return err
	}
	temp := b.phasePath + "~"
	if err := os.WriteFile(temp, program, 0o755); err != nil {
		return err
	}
	return os.Rename(temp, b.phasePath)
}

func shortHash(b []byte) string {
	sum := sha256.Sum256(b)
	return hex.EncodeToString(sum[:8])
}

func (b *Builder) buildsDir() string { return filepath.Join(b.options.Dir, "builds") }

var idGrammar = regexp.MustCompile(`^[A-Za-z0-9][A-Za-z0-9_-]{0,99}$`)

// Build runs one build. Its error is an *Error. When it returns, nothing of the build is left but the
// image, if it succeeded, and the cache.
func (b *Builder) Build(ctx context.Context, req Request) (*Result, error) {
	if err := b.check(req); err != nil {
		return nil, err
	}
	if !b.begin(req.ID) {
		return nil, internal("begin", fmt.Errorf("build %s runs already", req.ID))
	}
	defer b.end(req.ID)
	build := newBuild(b, req)
	result, err := build.run(ctx)
	// What is left behind is found by the next Sweep; a finished image is worth more than tidiness.
	if cleanErr := build.cleanUp(); cleanErr != nil && err == nil {
		fmt.Fprintf(build.log, "clean up: %v\n", cleanErr)
	}
	if err != nil {
		return nil, asError(ctx, err)
	}
	return result, nil
}

func (b *Builder) check(req Request) error {
	switch {
	case !idGrammar.MatchString(req.ID):
		return internal("begin", fmt.Errorf("build id %q is not valid", req.ID))
	case req.CacheID != "" && !cache.ValidID(req.CacheID):
		return internal("begin", fmt.Errorf("cache id %q is not valid", req.CacheID))
	case !filepath.IsAbs(req.Source):
		return internal("begin", fmt.Errorf("source folder %q is not an absolute path", req.Source))
	}
	return nil
}

func (b *Builder) begin(id string) bool {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.running[id] {
		return false
	}
	b.running[id] = true
	return true
}

func (b *Builder) end(id string) {
	b.mu.Lock()
	defer b.mu.Unlock()
	delete(b.running, id)
}

func (b *Builder) isRunning(id string) bool {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.running[id]
}

// Rebase puts an app image onto another run image, which is a reference, and returns the new image's
// digest. Nothing is built or downloaded; see export.Registry.Rebase.
func (b *Builder) Rebase(ctx context.Context, repository, digest, newRunImage string) (string, error) {
	return b.registry.Rebase(ctx, repository, digest, newRunImage)
}

// Sweep removes what a crash left: containers and folders of builds that neither run now nor are wanted by
// keep. It touches nothing that another installation made.
func (b *Builder) Sweep(ctx context.Context, keep func(buildID string) bool) error {
	wanted := func(id string) bool { return b.isRunning(id) || keep(id) }
	errs := []error{b.docker.Sweep(ctx, wanted)}
	entries, err := os.ReadDir(b.buildsDir())
	errs = append(errs, err)
	for _, e := range entries {
		if !wanted(e.Name()) {
			errs = append(errs, b.sweepFolder(e.Name()))
		}
	}
	return errors.Join(errs...)
}

// DeleteCache removes a cache. A build that uses it now is not disturbed, and keeps its layers at its end.
func (b *Builder) DeleteCache(cacheID string) error {
	return b.caches.Delete(cacheID)
}

// RemoveOtherImages removes from the engine what it pulled of a build image's repository under other digests than this one. Images
// in use stay.
func (b *Builder) RemoveOtherImages(ctx context.Context, reference string) error {
	return b.docker.RemoveOthers(ctx, reference)
}

// Caches lists the ids of the caches that there are.
func (b *Builder) Caches() ([]string, error) { return b.caches.List() }

// Close ends the connections to the engine.
func (b *Builder) Close() error { return b.docker.Close() }
