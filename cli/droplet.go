package cli

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"os"
	"path/filepath"

	"github.com/urfave/cli/v2"

	"github.com/cupola-paas/cupola/cli/ui"
	"github.com/cupola-paas/cupola/controller/capi"
)

func (k *console) dropletCommands() []*cli.Command {
	return []*cli.Command{
		k.command(spec{name: "droplets", category: appCategory, summary: "list the droplets of an app", args: "APP_NAME", min: 1, max: 1, need: aSpace,
			run: droplets, api: []string{"GET /v3/apps", "GET /v3/droplets", "GET /v3/apps/:guid/droplets/current"}}),
		k.command(spec{name: "set-droplet", category: appCategory, summary: "choose the droplet that the app's next start runs", args: "APP_NAME DROPLET_GUID", min: 2, max: 2, need: aSpace,
			run: setDroplet, api: []string{"GET /v3/apps", "PATCH /v3/apps/:guid/relationships/current_droplet"}}),
		k.command(spec{name: "download-droplet", category: appCategory, summary: "save a droplet of an app as a file", args: "APP_NAME", min: 1, max: 1,
			flags: []cli.Flag{&cli.StringFlag{Name: "droplet", Usage: "`GUID` of the droplet (default: the current one)"},
				&cli.StringFlag{Name: "path", Aliases: []string{"p"}, Usage: "`FILE` or folder to write to (default: this folder)"}},
			need: aSpace, run: downloadDroplet, api: []string{"GET /v3/apps", "GET /v3/apps/:guid/droplets/current", "GET /v3/droplets/:guid/download"}}),
	}
}

func droplets(ctx context.Context, s *session, c *cli.Context) error {
	app, err := s.app(ctx, c.Args().First())
	if err != nil {
		return err
	}
	all, err := s.client.Droplets(ctx, capi.Filter{"app_guids": {app.GUID}, "order_by": {"-created_at"}})
	if err != nil {
		return err
	}
	current, err := s.client.CurrentDroplet(ctx, app.GUID)
	if err != nil && !notFound(err) {
		return err
	}
	return list(s, c, all, "App "+app.Name+" has no droplet yet.", []string{"guid", "state", "created"}, func(d capi.Droplet) []string {
		state := s.state(d.State)
		if d.GUID == current.GUID {
			state += " (current)"
		}
		return []string{s.ui.Name(d.GUID), state, ui.Time(d.CreatedAt.Time)}
	})
}

func setDroplet(ctx context.Context, s *session, c *cli.Context) error {
	app, err := s.app(ctx, c.Args().First())
	if err != nil {
		return err
	}
	if err := s.client.SetCurrentDroplet(ctx, app.GUID, c.Args().Get(1)); err != nil {
		return err
	}
	s.ui.Notef("App %s runs droplet %s from its next start on.", s.ui.Name(app.Name), c.Args().Get(1))
	s.ui.Hintf("next: cupola restart %s", app.Name)
	return nil
}

func downloadDroplet(ctx context.Context, s *session, c *cli.Context) error {
	app, err := s.app(ctx, c.Args().First())
	if err != nil {
		return err
	}
	guid := c.String("droplet")
	if guid == "" {
		current, err := s.client.CurrentDroplet(ctx, app.GUID)
		if notFound(err) {
			return withHint(fmt.Errorf("app %s has no droplet yet", quote(app.Name)), "next: cupola push %s", app.Name)
		}
		if err != nil {
			return err
		}
		guid = current.GUID
	}
	file := c.String("path")
	if info, err := os.Stat(file); file == "" || err == nil && info.IsDir() {
		file = filepath.Join(file, "droplet_"+guid+".tgz")
	}
	if err := s.download(ctx, "/v3/droplets/"+pathPart(guid)+"/download", file); err != nil {
		return err
	}
	s.ui.Notef("Droplet %s of %s is in %s.", guid, s.ui.Name(app.Name), file)
	return nil
}

// download saves what is at a path of the API. A file appears when all of it is there.
func (s *session) download(ctx context.Context, path, file string) error {
	resp, err := s.client.Do(ctx, http.MethodGet, path, nil, nil)
	if err != nil {
		return err
	}
	defer resp.Body.Close()
	if resp.StatusCode != http.StatusOK {
		return fmt.Errorf("the API answered %s: there is nothing to download", resp.Status)
	}
	part, err := os.CreateTemp(filepath.Dir(file), ".download-*")
	if err != nil {
		return fmt.Errorf("write the download: %w", err)
	}
	body := &meter{r: resp.Body, tell: func(n int64) { s.ui.Progress("Downloading", n, resp.ContentLength) }}
	_, err = io.Copy(part, body)
	s.ui.Status("")
	err = errors.Join(err, part.Close())
	if err == nil {
		err = os.Rename(part.Name(), file)
	}
	if err != nil {
		return errors.Join(fmt.Errorf("write the download: %w", err), os.Remove(part.Name()))
	}
	return nil
}

// meter tells how far a reader was read.
type meter struct {
	r    io.Reader
	n    int64
	tell func(int64)
}

func (m *meter) Read(b []byte) (int, error) {
	n, err := m.r.Read(b)
	m.n += int64(n)
	m.tell(m.n)
	return n, err
}
