package cli

import (
	"context"
	"encoding/json"
	"fmt"
	"strconv"
	"strings"

	"github.com/urfave/cli/v2"
	"golang.org/x/sync/errgroup"

	"github.com/cupola-paas/cupola/cli/manifest"
	"github.com/cupola-paas/cupola/cli/ui"
	"github.com/cupola-paas/cupola/controller/capi"
)

// pushForecast is what a push would do, as --json prints it.
type pushForecast struct {
	Apps []appForecast         `json:"apps"`
	Diff []capi.ManifestChange `json:"diff"` // paths are JSON pointers into the manifest
}

// appForecast is what a push would do with one app.
type appForecast struct {
	Name     string `json:"name"`
	New      bool   `json:"new"`
	Files    int    `json:"files"`  // of the source
	Upload   int    `json:"upload"` // of them, those that the platform has not
	Bytes    int64  `json:"bytes"`  // that they have
	Image    string `json:"image,omitempty"`
	Strategy string `json:"strategy"` // rolling, canary or none; empty: it would not be started

	Services []serviceForecast `json:"services,omitempty"`
}

// showPlan says what the push would change. It asks, and changes nothing.
func (p *pusher) showPlan(ctx context.Context, redact bool) error {
	if err := p.openSources(ctx); err != nil {
		return err
	}
	var (
		apps  map[string]*capi.App
		diff  *capi.ManifestDiff
		there = map[string]*matching{}
	)
	text, err := p.plan.manifest.YAML()
	if err != nil {
		return err
	}
	group, gctx := errgroup.WithContext(ctx)
	group.Go(func() (err error) { apps, err = p.lookUp(gctx); return err })
	group.Go(func() (err error) { diff, err = p.client.DiffManifest(gctx, p.cfg.Space.GUID, text); return err })
	for name, source := range p.sources {
		there[name] = newMatching()
		group.Go(func() error { return p.match(gctx, source, there[name]) })
	}
	if err := group.Wait(); err != nil {
		return err
	}
	services, err := p.lookAtServices(ctx, apps)
	if err != nil {
		return err
	}
	forecast := pushForecast{Apps: []appForecast{}, Diff: append([]capi.ManifestChange{}, diff.Diff...)}
	for _, entry := range p.plan.manifest.Apps {
		app := p.forecast(entry, apps[entry.Name], there[entry.Name])
		if app.Services, err = services.forecast(ctx, entry, apps[entry.Name]); err != nil {
			return err
		}
		forecast.Apps = append(forecast.Apps, app)
	}
	if p.ui.WantsJSON() {
		return p.ui.JSON(forecast)
	}
	p.ui.Notef("A push to %s would do this; nothing is done now.", p.ui.Name(p.where()))
	for _, app := range forecast.Apps {
		p.ui.Println(app.sentence(p.ui))
		for _, service := range app.Services {
			p.ui.Println("  " + service.sentence(p.ui))
		}
	}
	p.showDiff(p.plan.manifest, forecast.Diff, redact)
	return nil
}

func (p *pusher) forecast(entry *manifest.App, app *capi.App, there *matching) appForecast {
	f := appForecast{Name: entry.Name, New: app == nil}
	f.Image, _ = entry.Docker()
	if source := p.sources[entry.Name]; source != nil {
		for _, file := range source.Files {
			if !file.Regular() {
				continue
			}
			f.Files++
			if !there.known[fileKey{file.SHA1, file.Size}] {
				f.Upload++
				f.Bytes += file.Size
			}
		}
	}
	switch {
	case p.plan.noStart || p.plan.task:
	case p.plan.strategy.given:
		f.Strategy = p.plan.strategy.name
	case app != nil && app.State == "STARTED" && app.Relationships.CurrentDroplet.GUID() != "":
		f.Strategy = "rolling"
	default:
		f.Strategy = "none"
	}
	return f
}

// sentence is such as: web is new: upload 3 files (2K) of 5, stage them and start it.
func (f appForecast) sentence(u *ui.UI) string {
	text := u.Name(ui.Clean(f.Name)) + " is there"
	if f.New {
		text = u.Name(ui.Clean(f.Name)) + " is new"
	}
	if f.Image != "" {
		text += ": take the image " + ui.Clean(f.Image)
	} else {
		text += fmt.Sprintf(": upload %s (%s) of %d, stage them", ui.Count(f.Upload, "file"), ui.Bytes(f.Bytes), f.Files)
	}
	switch f.Strategy {
	case "":
		return text + ", and do not start it."
	case "none":
		return text + " and start it."
	}
	return text + " and replace its instances (" + f.Strategy + ")."
}

func diffManifest(ctx context.Context, s *session, c *cli.Context) error {
	m, err := readManifest(c, c.String("manifest"))
	if err != nil {
		return err
	}
	if name := c.Args().First(); name != "" {
		if err := m.Select(name); err != nil {
			return err
		}
	}
	text, err := m.YAML()
	if err != nil {
		return err
	}
	diff, err := s.client.DiffManifest(ctx, s.cfg.Space.GUID, text)
	if err != nil {
		return err
	}
	if s.ui.WantsJSON() {
		err = s.ui.JSON(diff)
	} else {
		s.showDiff(m, diff.Diff, c.Bool("redact-env"))
	}
	if err == nil && len(diff.Diff) > 0 {
		return &exitError{code: exitFailure}
	}
	return err
}

// showDiff shows changes, one a line, with what the app is now and would be.
func (s *session) showDiff(m *manifest.Manifest, diff []capi.ManifestChange, redact bool) {
	if len(diff) == 0 {
		s.ui.Notef("Nothing of the apps differs from the manifest.")
		return
	}
	for _, change := range diff {
		app, path := placeInManifest(m, change.Path)
		was, value := inline(change.Was), inline(change.Value)
		if redact && strings.HasPrefix(path, "env.") {
			was, value = "<redacted>", "<redacted>"
		}
		place := s.ui.Name(app) + " " + path
		switch change.Op {
		case "add":
			s.ui.Println(s.ui.Good("+ ") + place + ": " + s.ui.Good(value))
		case "remove":
			s.ui.Println(s.ui.Bad("- ") + place + ": " + s.ui.Bad(was))
		default:
			s.ui.Println(s.ui.Middling("~ ") + place + ": " + s.ui.Bad(was) + " -> " + s.ui.Good(value))
		}
	}
}

// placeInManifest turns a JSON pointer such as /applications/0/env/LEVEL into the app and what of it: env.LEVEL.
func placeInManifest(m *manifest.Manifest, pointer string) (app, path string) {
	parts := strings.Split(strings.TrimPrefix(pointer, "/"), "/")
	for i, part := range parts {
		parts[i] = ui.Clean(strings.NewReplacer("~1", "/", "~0", "~").Replace(part))
	}
	if len(parts) < 2 || parts[0] != "applications" {
		return "", strings.Join(parts, ".")
	}
	i, err := strconv.Atoi(parts[1])
	if err != nil || i < 0 || i >= len(m.Apps) {
		return parts[1], strings.Join(parts[2:], ".")
	}
	return ui.Clean(m.Apps[i].Name), strings.Join(parts[2:], ".")
}

// inline is a value on one line.
func inline(v any) string {
	switch v := v.(type) {
	case nil:
		return "nothing"
	case string:
		return ui.Clean(v)
	case float64:
		return strconv.FormatFloat(v, 'f', -1, 64)
	}
	data, err := json.Marshal(v)
	if err != nil {
		return fmt.Sprint(v)
	}
	return ui.Clean(string(data))
}
