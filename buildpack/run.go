package buildpack

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"
	"time"

	"github.com/google/go-containerregistry/pkg/name"
	v1 "github.com/google/go-containerregistry/pkg/v1"
	"golang.org/x/sync/errgroup"

	"github.com/cupola-paas/cupola/buildpack/classic"
	"github.com/cupola-paas/cupola/buildpack/launcher"
	"github.com/cupola-paas/cupola/buildpack/lifecycle"
	"github.com/cupola-paas/cupola/buildpack/lifecycle/cache"
	"github.com/cupola-paas/cupola/buildpack/lifecycle/export"
	"github.com/cupola-paas/cupola/buildpack/sandbox"
)

// build is one build on its way.
type build struct {
	*Builder
	req    Request
	limits Limits
	log    io.Writer
	dir    string // builds/ID
	owner  export.Owner
	phases []Phase
	since  time.Time

	site       site
	buildImage string // as the engine of this machine names it
	image      *sandbox.Image
	container  *sandbox.Container
	runImage   v1.Image
	runRef     name.Reference
	previous   *export.Previous
	taken      *cache.Taken
	kept       bool // the cache has been settled
	outcome    lifecycle.Outcome
}

func newBuild(b *Builder, req Request) *build {
	n := &build{Builder: b, req: req, limits: req.Limits.or(b.options.Limits), since: b.options.Clock()}
	n.log = io.Discard
	if req.Log != nil {
		n.log = &lockedWriter{w: req.Log}
	}
	n.dir = filepath.Join(b.buildsDir(), req.ID)
	n.site = b.siteOf(req.Site)
	return n
}

// run is the story of a build.
func (b *build) run(ctx context.Context) (*Result, error) {
	if err := b.prepare(ctx); err != nil {
		return nil, err
	}
	b.lap("prepare")
	exit, err := b.container.Run(ctx)
	if err != nil {
		return nil, err
	}
	b.outcome = readOutcome(b.path("layers"))
	b.containerLaps(exit)
	// Gone before its files are read: nothing can change them any more.
	if err := b.container.Remove(); err != nil {
		return nil, err
	}
	b.nameClassic(b.outcome.Tried)
	if failure := runFailure(exit, &b.outcome, b.limits); failure != nil {
		return nil, b.classicFailure(failure)
	}
	group, err := b.group()
	if err != nil {
		return nil, err
	}
	reports, err := b.reports(group)
	if err != nil {
		return nil, err
	}
	b.lap("collect")
	exported, err := b.export(ctx, group)
	if err != nil {
		return nil, err
	}
	b.lap("export")
	if err := b.taken.Replace(exported.Cache); err != nil {
		fmt.Fprintf(b.log, "the cache was not kept: %v\n", err)
	}
	b.kept = true
	b.lap("cache")
	return b.result(exported, group, reports), nil
}

// lap ends a phase.
func (b *build) lap(name string) {
	now := b.options.Clock()
	b.phases = append(b.phases, Phase{name, now.Sub(b.since)})
	b.since = now
}

// containerLaps splits the container's time into detect, build and what starting and ending it took.
func (b *build) containerLaps(exit sandbox.Exit) {
	now := b.options.Clock()
	inside := b.outcome.Detect + b.outcome.Build
	b.phases = append(b.phases,
		Phase{"start", max(0, now.Sub(b.since)-inside)}, Phase{"detect", b.outcome.Detect}, Phase{"build", b.outcome.Build})
	b.since = now
}

func (b *build) path(parts ...string) string {
	return filepath.Join(append([]string{b.dir}, parts...)...)
}

// prepare makes everything ready for the container to start: the image, the folders with what is restored,
// and the container itself, as far as possible at the same time.
func (b *build) prepare(ctx context.Context) (err error) {
	local, login := b.site.pull(b.req.BuildImage)
	b.buildImage = local
	if b.image, err = b.docker.EnsureImage(ctx, local, login); err != nil {
		return err
	}
	if b.req.RunImage == "" {
		if b.req.RunImage, err = builderRunImage(b.image.Labels); err != nil {
			return err
		}
	}
	b.owner = stackOwner(b.image.Env)
	if err := b.makeFolders(); err != nil {
		return err
	}
	var group errgroup.Group
	group.Go(func() (err error) { b.container, err = b.docker.Create(ctx, b.spec()); return err })
	group.Go(func() error { return chown(b.req.Source, b.userOnDisk()) })
	group.Go(func() error { return b.analyze(ctx) })
	return group.Wait()
}

// analyze reads the run image and the previous image and restores what the latter and the cache have. Both
// images are read lazily, also later, so that ctx must be that of the whole build.
func (b *build) analyze(ctx context.Context) error {
	var group errgroup.Group
	group.Go(func() (err error) {
		b.runImage, b.runRef, err = b.site.registry.Image(ctx, b.req.RunImage)
		if err == nil {
			_, err = b.runImage.ConfigFile()
		}
		return err
	})
	group.Go(func() (err error) {
		if b.req.Previous == "" {
			return nil
		}
		repo, err := name.NewRepository(b.req.Repository)
		if err != nil {
			return err
		}
		b.previous, err = b.site.registry.Analyze(ctx, repo.Digest(b.req.Previous).Name())
		return err
	})
	if err := group.Wait(); err != nil {
		return err
	}
	return b.restore()
}

func (b *build) restore() (err error) {
	layers := b.path("layers")
	if err := b.writeAnalyzed(); err != nil {
		return err
	}
	if b.taken, err = b.caches.Take(b.req.CacheID, layers); err != nil {
		return err
	}
	taken := func(id, layer string) bool {
		return slices.ContainsFunc(b.taken.Layers, func(l cache.Layer) bool { return l.Buildpack == id && l.Name == layer })
	}
	if err := b.previous.Restore(layers, taken); err != nil {
		return err
	}
	for _, l := range b.taken.Layers {
		if err := export.WriteLayerFile(filepath.Join(layers, launcher.EscapeID(l.Buildpack)), l.Name, l.Metadata); err != nil {
			return err
		}
	}
	return chownRestored(layers, b.userOnDisk())
}

// writeAnalyzed tells the phase program what the run image is.
func (b *build) writeAnalyzed() error {
	config, err := b.runImage.ConfigFile()
	if err != nil {
		return err
	}
	labels := config.Config.Labels
	var a lifecycle.Analyzed
	a.RunImage.Reference = b.req.RunImage
	a.RunImage.Target = lifecycle.TargetRecord{
		OS: config.OS, Arch: config.Architecture, Variant: config.Variant,
		Distro: lifecycle.Distro{Name: labels["io.buildpacks.base.distro.name"], Version: labels["io.buildpacks.base.distro.version"]},
	}
	return lifecycle.WriteTOML(b.path("layers", lifecycle.AnalyzedFile), a)
}

// group is the detected group, checked, because the container's user could have written it.
func (b *build) group() ([]launcher.Buildpack, error) {
	for _, g := range b.outcome.Group {
		if !lifecycle.ValidID(g.ID) || !lifecycle.ValidVersion(g.Version) {
			return nil, errors.New("the build reported an invalid group of buildpacks")
		}
	}
	if len(b.outcome.Group) == 0 {
		return nil, errors.New("the build reported no group of buildpacks")
	}
	return b.outcome.Group, nil
}

func (b *build) export(ctx context.Context, group []launcher.Buildpack) (*export.Exported, error) {
	fmt.Fprintln(b.log, "-----> Uploading droplet")
	e := export.Export{
		Registry: b.site.registry, LayersDir: b.path("layers"), AppDir: b.req.Source, TempDir: b.dir,
		LayersPath: layersPath, AppPath: appPath, Owner: b.owner, Group: group, Labels: b.outcome.Labels,
		Launcher: b.launcher, LauncherVersion: b.launcherVersion, RunImage: b.runImage, RunReference: b.runRef,
		Previous: b.previous, Cached: b.taken.Layers, Repository: b.req.Repository,
	}
	if hasClassic(group) {
		e.HomeDir, e.HomePath = b.path("home"), homePath
	}
	exported, err := e.Do(ctx)
	if err != nil {
		return nil, fmt.Errorf("export: %w", err)
	}
	fmt.Fprintf(b.log, "       %d layers uploaded, %d reused\n", exported.Uploaded, exported.Reused)
	return exported, nil
}

func (b *build) result(e *export.Exported, group []launcher.Buildpack, reports map[string]classic.Report) *Result {
	r := &Result{Digest: e.Digest.String(), RunImage: b.req.RunImage, SizeBytes: e.Bytes, Phases: b.phases}
	for _, p := range e.Processes {
		r.Processes = append(r.Processes, Process{Type: p.Type, Command: p.CommandLine(), Default: p.Type == e.Default})
	}
	for _, g := range group {
		used := Used{ID: g.ID, Version: g.Version, Homepage: g.Homepage}
		if report, ok := reports[g.ID]; ok {
			b.describe(&used, report)
			r.addSidecars(report)
		}
		r.Buildpacks = append(r.Buildpacks, used)
	}
	return r
}

// cleanUp removes the container, gives the cache back and removes the folders, as far as they are there.
func (b *build) cleanUp() error {
	var errs []error
	if b.container != nil {
		if err := b.container.Remove(); err != nil {
			// It may still write: what it could reach is left to Sweep.
			return err
		}
	}
	if b.taken != nil && !b.kept {
		errs = append(errs, b.taken.Return())
	}
	errs = append(errs, removeAll(b.dir), removeAll(b.req.Source))
	return errors.Join(errs...)
}

// readOutcome reads what the phase program said; empty if it did not come to that.
func readOutcome(layers string) lifecycle.Outcome {
	var o lifecycle.Outcome
	b, err := lifecycle.ReadFile(filepath.Join(layers, lifecycle.OutcomeFile), 16<<20)
	if err != nil {
		return o
	}
	if err := json.Unmarshal(b, &o); err != nil {
		return lifecycle.Outcome{Message: "the build's outcome cannot be read"}
	}
	return o
}

// builderRunImage is the run image that a builder image names (label io.buildpacks.builder.metadata).
func builderRunImage(labels map[string]string) (string, error) {
	var m struct {
		Images []struct{ Image string }
		Stack  struct{ RunImage struct{ Image string } }
	}
	text := labels["io.buildpacks.builder.metadata"]
	if text != "" {
		if err := json.Unmarshal([]byte(text), &m); err != nil {
			return "", fmt.Errorf("the builder's label io.buildpacks.builder.metadata: %w", err)
		}
	}
	if len(m.Images) > 0 && m.Images[0].Image != "" {
		return m.Images[0].Image, nil
	}
	if m.Stack.RunImage.Image != "" {
		return m.Stack.RunImage.Image, nil
	}
	return "", errors.New("no run image is set and the build image names none; set one")
}

func removeAll(dir string) error {
	err := os.RemoveAll(dir)
	if err == nil || !errors.Is(err, os.ErrPermission) {
		return err
	}
	// Not being root, we must open folders that were closed for writing.
	filepath.WalkDir(dir, func(path string, d os.DirEntry, err error) error { //nolint:errcheck // RemoveAll tells
		if d != nil && d.IsDir() {
			return os.Chmod(path, 0o700)
		}
		return nil
	})
	return os.RemoveAll(dir)
}
