package cli

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"os"
	"path/filepath"
	"strconv"

	"github.com/urfave/cli/v2"

	"github.com/cupola-paas/cupola/cli/manifest"
	"github.com/cupola-paas/cupola/controller/capi"
)

func (k *console) appMakeCommands() []*cli.Command {
	return []*cli.Command{
		k.command(spec{name: "create-app", category: appCategory, summary: "make an app without source", args: "NEW_APP_NAME", min: 1, max: 1,
			flags: []cli.Flag{&cli.StringFlag{Name: "app-type", Value: "buildpack", Usage: "`LIFECYCLE`: buildpack, cnb or docker"},
				&cli.StringSliceFlag{Name: "buildpack", Aliases: []string{"b"}, Usage: "`BUILDPACK` to use; can be repeated"},
				&cli.StringFlag{Name: "stack", Aliases: []string{"s"}, Usage: "`STACK` to run on"}},
			need: aSpace, run: createApp, api: []string{"POST /v3/apps"}}),
		k.command(spec{name: "rename", category: appCategory, summary: "give an app another name", args: "APP_NAME NEW_NAME", min: 2, max: 2, need: aSpace,
			api: []string{"GET /v3/apps", "PATCH /v3/apps/:guid"},
			run: func(ctx context.Context, s *session, c *cli.Context) error {
				if err := manifest.CheckName(c.Args().Get(1)); err != nil {
					return err
				}
				return s.rename(ctx, appKind, s.inSpace(), c.Args().Get(0), c.Args().Get(1))
			}}),
		k.command(spec{name: "restart-app-instance", category: appCategory, summary: "end one instance of an app; another takes its place", args: "APP_NAME INDEX", min: 2, max: 2,
			flags: []cli.Flag{processFlag}, need: aSpace, run: restartInstance, api: []string{"GET /v3/apps", "DELETE /v3/apps/:guid/processes/:type/instances/:index"}}),
		k.command(spec{name: "create-app-manifest", category: appCategory, summary: "write a manifest of an app as it is", args: "APP_NAME", min: 1, max: 1,
			examples: []string{"cupola create-app-manifest my-app", "cupola create-app-manifest my-app -p -"},
			flags:    []cli.Flag{&cli.StringFlag{Name: "p", Usage: "`FILE` to write, - for the standard output (default: APP_NAME_manifest.yml here)"}},
			need:     aSpace, run: createAppManifest, api: []string{"GET /v3/apps", "GET /v3/apps/:guid/manifest"}}),
		k.command(spec{name: "apply-manifest", category: appCategory, summary: "make the apps of a manifest what it says, without source and restarts",
			flags: []cli.Flag{&cli.StringFlag{Name: "f", Usage: "`FILE` or folder of the manifest (default: manifest.yml here)"}, varFlag, varsFileFlag, redactFlag},
			need:  aSpace, run: applyManifest, api: []string{"POST /v3/spaces/:guid/actions/apply_manifest", "GET /v3/jobs/:guid"}}),
	}
}

func createApp(ctx context.Context, s *session, c *cli.Context) error {
	name := c.Args().First()
	if err := manifest.CheckName(name); err != nil {
		return err
	}
	lifecycle := &capi.LifecycleUpdate{Type: c.String("app-type")}
	switch lifecycle.Type {
	case capi.LifecycleBuildpack, capi.LifecycleCNB:
		if packs := c.StringSlice("buildpack"); len(packs) > 0 {
			lifecycle.Data.Buildpacks = capi.Some(packs)
		}
		if stack := c.String("stack"); stack != "" {
			lifecycle.Data.Stack = capi.Some(stack)
		}
	case capi.LifecycleDocker:
		if c.IsSet("buildpack") || c.IsSet("stack") {
			return badUsage("an image has neither buildpacks nor a stack")
		}
	default:
		return badUsage("--app-type is buildpack, cnb or docker, not %s", quote(lifecycle.Type))
	}
	return s.create(ctx, appKind, name, capi.AppCreate{Name: name, Lifecycle: lifecycle, Relationships: capi.AppCreateRelationships{Space: capi.To(s.cfg.Space.GUID)}})
}

func restartInstance(ctx context.Context, s *session, c *cli.Context) error {
	index := c.Args().Get(1)
	if n, err := strconv.Atoi(index); err != nil || n < 0 {
		return badUsage("%s is not the index of an instance", quote(index)).withHint("see: cupola app " + c.Args().First())
	}
	app, err := s.app(ctx, c.Args().First())
	if err != nil {
		return err
	}
	err = s.client.RestartInstance(ctx, app.GUID, pathPart(c.String("process")), index)
	if notFound(err) {
		return withHint(fmt.Errorf("process %s of %s has no instance %s", quote(c.String("process")), quote(app.Name), index), "see: cupola app %s", app.Name)
	}
	if err != nil {
		return err
	}
	s.ui.Notef("Instance %s of process %s of app %s ends, and another takes its place.", index, c.String("process"), s.ui.Name(app.Name))
	return nil
}

// maxManifest is more than the API takes of a manifest.
const maxManifest = 4 << 20

func createAppManifest(ctx context.Context, s *session, c *cli.Context) error {
	app, err := s.app(ctx, c.Args().First())
	if err != nil {
		return err
	}
	resp, err := s.client.Do(ctx, http.MethodGet, "/v3/apps/"+app.GUID+"/manifest", nil, nil)
	if err != nil {
		return err
	}
	defer resp.Body.Close()
	text, err := io.ReadAll(io.LimitReader(resp.Body, maxManifest))
	if err != nil {
		return err
	}
	if resp.StatusCode != http.StatusOK {
		return fmt.Errorf("the API gave no manifest: %s", resp.Status)
	}
	file := c.String("p")
	switch file {
	case "-":
		s.ui.Printf("%s", text)
		return nil
	case "":
		file = app.Name + "_manifest.yml"
	}
	if err := os.WriteFile(file, text, 0o600); err != nil { // it may hold secrets in env
		return fmt.Errorf("write the manifest: %w", err)
	}
	if where, err := filepath.Abs(file); err == nil {
		file = where
	}
	s.ui.Notef("The manifest of %s is in %s.", s.ui.Name(app.Name), file)
	return nil
}

func applyManifest(ctx context.Context, s *session, c *cli.Context) error {
	m, err := readManifest(c, c.String("f"))
	if err != nil {
		return err
	}
	for _, w := range m.Warnings {
		s.ui.Warnf("%s", w)
	}
	text, err := m.YAML()
	if err != nil {
		return err
	}
	if err := s.client.ApplyManifest(ctx, s.cfg.Space.GUID, text); err != nil {
		return err
	}
	s.ui.Notef("Manifest %s is applied to space %s.", m.File, s.ui.Name(s.cfg.Space.Name))
	s.ui.Hintf("what needs a restart takes effect with: cupola restart APP_NAME --strategy rolling")
	return nil
}

// readManifest reads a manifest that must be there.
func readManifest(c *cli.Context, where string) (*manifest.Manifest, error) {
	if where == "" {
		where = "."
	}
	file, err := manifest.Locate(where)
	if errors.Is(err, manifest.ErrNotFound) {
		return nil, withHint(fmt.Errorf("there is no manifest.yml in %s", where), "name one with -f FILE")
	}
	if err != nil {
		return nil, err
	}
	vars, err := manifest.LoadVariables(c.StringSlice("vars-file"), c.StringSlice("var"))
	if err != nil {
		return nil, err
	}
	return manifest.Load(file, vars)
}
