package cli

import (
	"context"
	"errors"
	"fmt"
	"path/filepath"
	"strings"
	"time"

	"golang.org/x/sync/errgroup"

	"github.com/cupola-paas/cupola/cli/bits"
	"github.com/cupola-paas/cupola/cli/manifest"
	"github.com/cupola-paas/cupola/cli/ui"
	"github.com/cupola-paas/cupola/controller/capi"
)

// pusher carries out a push. Everything that can go wrong on this machine goes wrong before the first
// request that changes anything.
type pusher struct {
	*session
	plan    *pushPlan
	watch   *stopwatch
	sources map[string]*bits.Source // by app
	matched map[string]*matching    // by app, while several apps are pushed
}

// matching is which files of a source the server has.
type matching struct {
	known map[fileKey]bool
	have  []capi.ResourceMatch
}

type fileKey struct {
	sha1 string
	size int64
}

func newPusher(s *session, plan *pushPlan) *pusher {
	return &pusher{session: s, plan: plan, watch: newStopwatch(), sources: map[string]*bits.Source{}}
}

func newMatching() *matching { return &matching{known: map[fileKey]bool{}} }

func (p *pusher) run(ctx context.Context) error {
	if err := p.openSources(ctx); err != nil {
		return err
	}
	p.watch.done("read source")
	p.ui.Notef("Pushing %s to %s as %s:", p.ui.Name(p.names()), p.ui.Name(p.where()), p.ui.Name(p.cfg.User))
	if err := p.apply(ctx); err != nil {
		return err
	}
	apps, err := p.lookUp(ctx)
	if err != nil {
		return err
	}
	p.watch.done("apply manifest")
	for _, entry := range p.plan.manifest.Apps {
		app, ok := apps[entry.Name]
		if !ok {
			return fmt.Errorf("the API applied the manifest and has no app %s now: was it deleted by somebody?", quote(entry.Name))
		}
		if err := p.pushApp(ctx, entry, app); err != nil {
			return err
		}
	}
	return nil
}

func (p *pusher) names() string {
	return joinNames(p.plan.manifest.Apps, func(a *manifest.App) string { return ui.Clean(a.Name) })
}

// openSources lists and hashes all sources, while the connection to the API is made.
func (p *pusher) openSources(ctx context.Context) error {
	group, gctx := errgroup.WithContext(ctx)
	group.Go(func() error {
		_, err := p.client.Root(gctx)
		return err
	})
	var local error
	for _, app := range p.plan.manifest.Apps {
		if image, _ := app.Docker(); image != "" || p.plan.droplet != "" {
			continue
		}
		path, err := p.plan.sourceOf(app)
		if err == nil {
			err = p.openSource(gctx, app.Name, path)
		}
		if err != nil {
			local = err
			break
		}
	}
	remote := group.Wait()
	if local != nil && !(errors.Is(local, context.Canceled) && remote != nil) {
		return local
	}
	return remote
}

func (p *pusher) openSource(ctx context.Context, app, path string) error {
	cache := bits.OpenCache(filepath.Join(p.file.Dir(), "sums"), path)
	source, err := bits.Open(ctx, path, cache)
	if err != nil {
		return err
	}
	p.sources[app] = source
	if err := cache.Save(); err != nil {
		p.ui.Warnf("the sums of files could not be kept, the next push will read all files again: %v", err)
	}
	return nil
}

func (p *pusher) close() {
	for _, source := range p.sources {
		if err := source.Close(); err != nil {
			p.ui.Warnf("%v", err)
		}
	}
}

// apply has the server make the apps as the manifest says, and asks meanwhile which files it has.
func (p *pusher) apply(ctx context.Context) error {
	text, err := p.plan.manifest.YAML()
	if err != nil {
		return err
	}
	p.matched = map[string]*matching{}
	for name := range p.sources {
		p.matched[name] = newMatching()
	}
	group, ctx := errgroup.WithContext(ctx)
	group.Go(func() error {
		err := p.client.ApplyManifest(ctx, p.cfg.Space.GUID, text)
		if notFound(err) {
			return withHint(fmt.Errorf("space %s is gone: %w", quote(p.cfg.Space.Name), err), "next: cupola target -o ORG -s SPACE")
		}
		return err
	})
	for name, source := range p.sources {
		group.Go(func() error { return p.match(ctx, source, p.matched[name]) })
	}
	return group.Wait()
}

// match asks for the files of a source. It is an optimisation: a server without it gets all files.
func (p *pusher) match(ctx context.Context, source *bits.Source, m *matching) error {
	var files []capi.ResourceMatch
	for _, f := range source.Files {
		if f.Regular() && f.Size > 0 {
			files = append(files, resourceOf(f))
		}
	}
	if len(files) == 0 {
		return nil
	}
	found, err := p.client.MatchResources(ctx, files)
	if err != nil {
		var e *capi.Error
		if errors.As(err, &e) && ctx.Err() == nil && !errors.Is(err, capi.ErrNotLoggedIn) && !errors.Is(err, capi.InvalidAuthToken) {
			p.ui.Warnf("the server could not say which files it has, so all are sent: %v", err)
			return nil
		}
		return err
	}
	for _, f := range found {
		m.known[fileKey{f.Checksum.Value, f.SizeInBytes}] = true
	}
	for _, f := range files {
		if m.known[fileKey{f.Checksum.Value, f.SizeInBytes}] {
			m.have = append(m.have, f)
		}
	}
	return nil
}

func resourceOf(f bits.File) capi.ResourceMatch {
	return capi.ResourceMatch{Path: f.Path, Mode: fmt.Sprintf("%o", f.Mode.Perm()), SizeInBytes: f.Size, Checksum: capi.ResourceChecksum{Value: f.SHA1}}
}

// lookUp gets the apps of the manifest by name.
func (p *pusher) lookUp(ctx context.Context) (map[string]*capi.App, error) {
	var names []string
	for _, app := range p.plan.manifest.Apps {
		names = append(names, app.Name)
	}
	all, err := p.client.Apps(ctx, capi.Filter{"names": names, "space_guids": {p.cfg.Space.GUID}})
	if err != nil {
		return nil, err
	}
	byName := map[string]*capi.App{}
	for i := range all {
		for _, name := range names {
			if strings.EqualFold(name, all[i].Name) && (byName[name] == nil || all[i].Name == name) {
				byName[name] = &all[i]
			}
		}
	}
	return byName, nil
}

func (p *pusher) pushApp(ctx context.Context, entry *manifest.App, app *capi.App) error {
	if p.plan.droplet != "" {
		return p.pushDroplet(ctx, app)
	}
	pkg, mark, err := p.hand(ctx, entry, app)
	if err != nil {
		return err
	}
	p.watch.done("upload")
	if p.plan.noStart {
		return p.uploadedOnly(ctx, app)
	}
	droplet, err := p.stage(ctx, app, pkg, mark)
	if err != nil {
		return err
	}
	p.watch.done("stage")
	return p.runDroplet(ctx, app, droplet)
}

// runDroplet has an app run a droplet as the plan says.
func (p *pusher) runDroplet(ctx context.Context, app *capi.App, droplet string) error {
	if p.plan.task {
		return p.stagedOnly(ctx, app, droplet)
	}
	chosen := p.plan.strategy
	if !chosen.given && app.State == "STARTED" && app.Relationships.CurrentDroplet.GUID() != "" {
		chosen.name = "rolling"
	}
	if err := p.release(ctx, app, droplet, chosen); err != nil {
		return err
	}
	p.watch.done("start")
	if err := p.showFinal(ctx, app); err != nil {
		return err
	}
	p.ui.Notef("Pushed in %s.", p.watch)
	return nil
}

func (p *pusher) uploadedOnly(ctx context.Context, app *capi.App) error {
	if app.State == "STARTED" {
		if _, err := p.client.StopApp(ctx, app.GUID); err != nil {
			return err
		}
	}
	p.ui.Notef("The source of %s is uploaded in %s; the app is not started.", p.ui.Name(app.Name), p.watch)
	p.ui.Hintf("next: cupola restage %s", app.Name)
	return nil
}

func (p *pusher) stagedOnly(ctx context.Context, app *capi.App, droplet string) error {
	if app.State == "STARTED" {
		if _, err := p.client.StopApp(ctx, app.GUID); err != nil {
			return err
		}
	}
	if err := p.client.SetCurrentDroplet(ctx, app.GUID, droplet); err != nil {
		return err
	}
	p.ui.Notef("App %s is staged in %s and ready for tasks.", p.ui.Name(app.Name), p.watch)
	p.ui.Hintf(`next: cupola run-task %s --command "COMMAND"`, app.Name)
	return nil
}

// stopwatch notes how long the phases of a push take.
type stopwatch struct {
	began, last time.Time
	phases      []string
}

func newStopwatch() *stopwatch {
	now := time.Now()
	return &stopwatch{began: now, last: now}
}

func (w *stopwatch) done(phase string) {
	now := time.Now()
	w.phases = append(w.phases, phase+" "+ui.Seconds(now.Sub(w.last)))
	w.last = now
}

// String is such as 2.31s (read source 0.02s, upload 0.10s).
func (w *stopwatch) String() string {
	return fmt.Sprintf("%s (%s)", ui.Seconds(w.last.Sub(w.began)), strings.Join(w.phases, ", "))
}
