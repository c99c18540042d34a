package cli

import (
	"context"
	"errors"
	"fmt"
	"os"

	"github.com/urfave/cli/v2"

	"github.com/cupola-paas/cupola/cli/ui"
	"github.com/cupola-paas/cupola/controller/capi"
)

func (k *console) packageCommands() []*cli.Command {
	return []*cli.Command{
		k.command(spec{name: "packages", category: appCategory, summary: "list the packages of an app: its uploaded sources", args: "APP_NAME", min: 1, max: 1, need: aSpace,
			run: packages, api: []string{"GET /v3/apps", "GET /v3/packages"}}),
		k.command(spec{name: "create-package", category: appCategory, summary: "upload a package and do nothing with it yet", args: "APP_NAME", min: 1, max: 1,
			flags: []cli.Flag{&cli.StringFlag{Name: "p", Usage: "`FOLDER` or zip with the source (default: this folder)"},
				&cli.StringFlag{Name: "docker-image", Aliases: []string{"o"}, Usage: "`IMAGE` instead of source"}},
			need: aSpace, run: createPackage, api: []string{"GET /v3/apps", "POST /v3/resource_matches", "POST /v3/packages", "POST /v3/packages/:guid/upload", "GET /v3/packages/:guid"}}),
		k.command(spec{name: "stage-package", aliases: []string{"stage"}, category: appCategory, summary: "make a droplet of a package", args: "APP_NAME", min: 1, max: 1,
			flags: []cli.Flag{&cli.StringFlag{Name: "package-guid", Usage: "`GUID` of the package (default: the newest that is ready)"}},
			need:  aSpace, run: stagePackage, api: []string{"GET /v3/apps", "GET /v3/packages", "POST /v3/builds", "GET /v3/builds/:guid", "log-cache GET /api/v1/read/:guid"}}),
	}
}

func packages(ctx context.Context, s *session, c *cli.Context) error {
	app, err := s.app(ctx, c.Args().First())
	if err != nil {
		return err
	}
	all, err := s.client.Packages(ctx, capi.Filter{"app_guids": {app.GUID}, "order_by": {"-created_at"}})
	if err != nil {
		return err
	}
	return list(s, c, all, "App "+app.Name+" has no package yet.", []string{"guid", "state", "created", "image"}, func(p capi.Package) []string {
		return []string{s.ui.Name(p.GUID), s.state(p.State), ui.Time(p.CreatedAt.Time), p.Data.Image}
	})
}

func createPackage(ctx context.Context, s *session, c *cli.Context) error {
	image := c.String("docker-image")
	if image != "" && c.String("p") != "" {
		return badUsage("-p and --docker-image exclude each other")
	}
	path := c.String("p")
	if path == "" {
		var err error
		if path, err = os.Getwd(); err != nil {
			return err
		}
	}
	app, err := s.app(ctx, c.Args().First())
	if err != nil {
		return err
	}
	guid := ""
	if image == "" {
		guid, err = s.uploadPackage(ctx, app, path)
	} else {
		guid, err = s.imagePackage(ctx, app, image, "")
	}
	if err != nil {
		return err
	}
	s.ui.Notef("Package %s of app %s is made.", s.ui.Name(guid), s.ui.Name(app.Name))
	s.ui.Hintf("next: cupola stage-package %s --package-guid %s", app.Name, guid)
	if s.ui.WantsJSON() {
		p, err := capi.Get[capi.Package](ctx, s.client, "/v3/packages/"+guid)
		return errors.Join(err, s.ui.JSON(p))
	}
	return nil
}

// uploadPackage makes a package of a folder, of which only what the server has not is sent.
func (s *session) uploadPackage(ctx context.Context, app *capi.App, path string) (string, error) {
	p := newPusher(s, &pushPlan{})
	defer p.close()
	if err := p.openSource(ctx, app.Name, path); err != nil {
		return "", err
	}
	m := newMatching()
	if err := p.match(ctx, p.sources[app.Name], m); err != nil {
		return "", err
	}
	guid, _, err := p.upload(ctx, app, p.sources[app.Name], m)
	return guid, err
}

// imagePackage makes a package of the reference of an image. A user's password comes from the environment.
func (s *session) imagePackage(ctx context.Context, app *capi.App, image, user string) (string, error) {
	p, err := s.client.CreatePackage(ctx, capi.PackageCreate{Type: capi.PackageDocker,
		Data:          &capi.PackageCreateData{Image: image, Username: user, Password: s.getenv("CUPOLA_DOCKER_PASSWORD")},
		Relationships: capi.PackageCreateRelationships{App: capi.To(app.GUID)}})
	if err != nil {
		return "", err
	}
	return p.GUID, nil
}

func stagePackage(ctx context.Context, s *session, c *cli.Context) error {
	app, err := s.app(ctx, c.Args().First())
	if err != nil {
		return err
	}
	guid := c.String("package-guid")
	if guid == "" {
		if guid, err = s.newestPackage(ctx, app); err != nil {
			return err
		}
	}
	droplet, err := s.stage(ctx, app, guid, s.logMark(ctx, app.GUID))
	if err != nil {
		return err
	}
	s.ui.Notef("Package %s is staged.", guid)
	s.fields([][2]string{{"package guid", guid}, {"droplet guid", s.ui.Name(droplet)}})
	s.ui.Hintf("next: cupola set-droplet %s %s", app.Name, droplet)
	return s.answer(map[string]string{"package": guid, "droplet": droplet})
}

// newestPackage is the newest package of an app that can be staged.
func (s *session) newestPackage(ctx context.Context, app *capi.App) (string, error) {
	p, err := s.client.NewestPackage(ctx, app.GUID)
	if notFound(err) {
		return "", withHint(fmt.Errorf("app %s has no source yet", quote(app.Name)), "next: cupola push %s", app.Name)
	}
	if err != nil {
		return "", err
	}
	return p.GUID, nil
}

// stageNewer stages the newest package of an app when that has not been done yet, as after create-package or
// push --no-start, and makes the droplet the current one.
func (s *session) stageNewer(ctx context.Context, app *capi.App) error {
	newest, err := capi.First[capi.Package](ctx, s.client, "/v3/packages", capi.Filter{"app_guids": {app.GUID}, "order_by": {"-created_at"}}, "Package")
	if err != nil || newest.State != "READY" {
		return ignoreGone(err)
	}
	_, err = capi.First[capi.Droplet](ctx, s.client, "/v3/packages/"+newest.GUID+"/droplets", capi.Filter{"states": {"STAGED"}}, "Droplet")
	if err == nil || !notFound(err) {
		return ignoreGone(err)
	}
	droplet, err := s.stage(ctx, app, newest.GUID, s.logMark(ctx, app.GUID))
	if err != nil {
		return err
	}
	return s.client.SetCurrentDroplet(ctx, app.GUID, droplet)
}
