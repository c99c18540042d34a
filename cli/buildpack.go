package cli

import (
	"archive/zip"
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"os"
	"path/filepath"
	"strconv"

	"github.com/urfave/cli/v2"

	"github.com/cupola-paas/cupola/controller/capi"
)

func (k *console) buildpackCommands() []*cli.Command {
	const path = "/v3/buildpacks"
	which := []cli.Flag{&cli.StringFlag{Name: "stack", Aliases: []string{"s"}, Usage: "`STACK` of the buildpack, when there are several of the name"},
		&cli.StringFlag{Name: "lifecycle", Aliases: []string{"l"}, Usage: "`LIFECYCLE` of the buildpack, when there are several of the name"}}
	flag := func(name, usage string) cli.Flag { return &cli.BoolFlag{Name: name, Usage: usage} }
	return []*cli.Command{
		k.command(spec{name: "create-buildpack", category: catalogueCategory, summary: "make a buildpack of a zip, a .cnb file or a folder", args: "NEW_BUILDPACK FILE POSITION", min: 3, max: 3,
			examples: []string{"cupola create-buildpack elixir ./elixir.zip 1", "cupola create-buildpack paketo ./paketo.cnb 1 -l cnb"},
			flags:    []cli.Flag{flag("disable", "do not use it yet"), &cli.StringFlag{Name: "lifecycle", Aliases: []string{"l"}, Usage: "`LIFECYCLE` it is for: buildpack or cnb"}},
			need:     aLogin, run: createBuildpack, api: []string{"POST " + path, "POST " + path + "/:guid/upload", "GET /v3/jobs/:guid"}}),
		k.command(spec{name: "update-buildpack", category: catalogueCategory, summary: "change a buildpack", args: "BUILDPACK", min: 1, max: 1,
			flags: append([]cli.Flag{&cli.StringFlag{Name: "path", Aliases: []string{"p"}, Usage: "`FILE` or folder with its new content"},
				&cli.IntFlag{Name: "position", Aliases: []string{"i"}, Usage: "`POSITION` in the order of detection, from 1"},
				&cli.StringFlag{Name: "rename", Usage: "new `NAME`"}, &cli.StringFlag{Name: "assign-stack", Usage: "`STACK` for a buildpack that has none"},
				flag("enable", "use it"), flag("disable", "do not use it"), flag("lock", "keep it as it is"), flag("unlock", "let it be changed")}, which...),
			need: aLogin, run: updateBuildpack, api: []string{"GET " + path, "PATCH " + path + "/:guid", "POST " + path + "/:guid/upload", "GET /v3/jobs/:guid"}}),
		k.command(spec{name: "delete-buildpack", category: catalogueCategory, summary: "delete a buildpack", args: "BUILDPACK", min: 1, max: 1,
			flags: append([]cli.Flag{forceFlag}, which...), need: aLogin, run: deleteBuildpack, api: []string{"GET " + path, "DELETE " + path + "/:guid"}}),
		k.command(spec{name: "stack", category: catalogueCategory, summary: "show a stack", args: "STACK", min: 1, max: 1, flags: []cli.Flag{guidFlag}, need: aLogin,
			run: showStack, api: []string{"GET /v3/stacks"}}),
		k.command(spec{name: "update-stack", category: catalogueCategory, summary: "say whether apps may still be staged on a stack", args: "STACK", min: 1, max: 1,
			details: "active: yes; deprecated: yes, with a warning; restricted: apps that use it already; disabled: no.",
			flags: []cli.Flag{&cli.StringFlag{Name: "state", Usage: "`STATE`: active, restricted, deprecated or disabled"},
				&cli.StringFlag{Name: "reason", Usage: "`TEXT` that says why"}}, need: aLogin, run: updateStack, api: []string{"GET /v3/stacks", "PATCH /v3/stacks/:guid"}}),
	}
}

func createBuildpack(ctx context.Context, s *session, c *cli.Context) error {
	name := c.Args().Get(0)
	position, err := strconv.Atoi(c.Args().Get(2))
	if err != nil || position < 1 {
		return badUsage("POSITION is a number from 1, not %s", quote(c.Args().Get(2)))
	}
	bits, err := openBuildpack(c.Args().Get(1))
	if err != nil {
		return err
	}
	defer bits.close()
	at, enabled := capi.Int(position), !c.Bool("disable")
	in := capi.BuildpackUpdate{Name: &name, Position: &at, Enabled: &enabled}
	if lifecycle := c.String("lifecycle"); lifecycle != "" {
		in.Lifecycle = &lifecycle
	}
	made, err := capi.Change[capi.Buildpack](ctx, s.client, http.MethodPost, buildpackKind.path, in)
	if err != nil {
		return err
	}
	if err := s.uploadBuildpack(ctx, made.GUID, bits); err != nil {
		return fmt.Errorf("buildpack %s is made, but has no content: %w", quote(name), err)
	}
	s.ui.Notef("Buildpack %s is made.", s.ui.Name(name))
	return s.answer(made)
}

// buildpackBits is the content of a buildpack on its way.
type buildpackBits struct {
	*os.File
	name string
	size int64
	temp bool
}

func (b *buildpackBits) close() {
	if err := b.File.Close(); b.temp && err == nil {
		_ = os.Remove(b.File.Name()) // a temporary file that stays costs space in /tmp, nothing else
	}
}

// openBuildpack opens a file, or packs a folder.
func openBuildpack(path string) (*buildpackBits, error) {
	info, err := os.Stat(path)
	if err != nil {
		return nil, fmt.Errorf("read the buildpack: %w", err)
	}
	if info.IsDir() {
		return packBuildpack(path)
	}
	file, err := os.Open(path)
	if err != nil {
		return nil, fmt.Errorf("read the buildpack: %w", err)
	}
	return &buildpackBits{File: file, name: filepath.Base(path), size: info.Size()}, nil
}

func packBuildpack(folder string) (*buildpackBits, error) {
	file, err := os.CreateTemp("", "cupola-buildpack-*.zip")
	if err != nil {
		return nil, fmt.Errorf("pack the buildpack: %w", err)
	}
	b := &buildpackBits{File: file, name: filepath.Base(filepath.Clean(folder)) + ".zip", temp: true}
	z := zip.NewWriter(file)
	err = errors.Join(z.AddFS(os.DirFS(folder)), z.Close())
	if err == nil {
		b.size, err = file.Seek(0, io.SeekCurrent)
	}
	if err == nil {
		_, err = file.Seek(0, io.SeekStart)
	}
	if err != nil {
		b.close()
		return nil, fmt.Errorf("pack the buildpack: %w", err)
	}
	return b, nil
}

func (s *session) uploadBuildpack(ctx context.Context, guid string, b *buildpackBits) error {
	defer s.ui.Status("")
	return s.client.UploadFile(ctx, buildpackKind.path+"/"+guid+"/upload", b.name, b, b.size, func(n int64) { s.ui.Progress("Uploading", n, b.size) })
}

// buildpack is the one that name and flags name, ResourceNotFound when there is none; of several without flags, the
// one without a stack.
func (s *session) buildpack(ctx context.Context, c *cli.Context) (*capi.Buildpack, error) {
	name := c.Args().First()
	f := capi.Filter{"names": {name}}
	for flag, key := range map[string]string{"stack": "stacks", "lifecycle": "lifecycle"} {
		if value := c.String(flag); value != "" {
			f = f.With(key, value)
		}
	}
	found, err := s.client.Buildpacks(ctx, f)
	if err != nil {
		return nil, err
	}
	for i, b := range found {
		if len(found) == 1 || text(b.Stack) == "" {
			return &found[i], nil
		}
	}
	if len(found) > 1 {
		return nil, withHint(fmt.Errorf("there are %d buildpacks %s", len(found), quote(name)), "say which with --stack or --lifecycle")
	}
	return nil, capi.NotFound("Buildpack")
}

func updateBuildpack(ctx context.Context, s *session, c *cli.Context) error {
	in, err := buildpackUpdate(c)
	if err != nil {
		return err
	}
	b, err := s.buildpack(ctx, c)
	if notFound(err) {
		return buildpackKind.missing(c.Args().First())
	}
	if err != nil {
		return err
	}
	if path := c.String("path"); path != "" {
		bits, err := openBuildpack(path)
		if err != nil {
			return err
		}
		defer bits.close()
		if err := s.uploadBuildpack(ctx, b.GUID, bits); err != nil {
			return err
		}
	}
	return s.update(ctx, buildpackKind.path+"/"+b.GUID, in, "Buildpack %s is changed.", s.ui.Name(b.Name))
}

func buildpackUpdate(c *cli.Context) (in capi.BuildpackUpdate, err error) {
	if c.Bool("enable") && c.Bool("disable") || c.Bool("lock") && c.Bool("unlock") {
		return in, badUsage("--enable and --disable, and --lock and --unlock, exclude each other")
	}
	if c.String("path") != "" && c.Bool("lock") {
		return in, badUsage("--path and --lock exclude each other: a locked buildpack keeps its content")
	}
	if c.IsSet("position") {
		at := capi.Int(c.Int("position"))
		if at < 1 {
			return in, badUsage("--position is a number from 1")
		}
		in.Position = &at
	}
	if name := c.String("rename"); name != "" {
		in.Name = &name
	}
	if stack := c.String("assign-stack"); stack != "" {
		in.Stack = capi.Some(stack)
	}
	if on := c.Bool("enable"); on || c.Bool("disable") {
		in.Enabled = &on
	}
	if on := c.Bool("lock"); on || c.Bool("unlock") {
		in.Locked = &on
	}
	return in, nil
}

func deleteBuildpack(ctx context.Context, s *session, c *cli.Context) error {
	name := c.Args().First()
	b, err := s.buildpack(ctx, c)
	if notFound(err) {
		s.ui.Notef("There is no buildpack %s.", quote(name))
		return nil
	}
	if err != nil {
		return err
	}
	return s.deleteAt(ctx, c, buildpackKind, name, buildpackKind.path+"/"+b.GUID, "Delete buildpack "+quote(name)+"?")
}

func showStack(ctx context.Context, s *session, c *cli.Context) error {
	st, err := find[capi.Stack](ctx, s, stackKind, c.Args().First(), nil)
	switch {
	case err != nil:
		return err
	case c.Bool("guid"):
		s.ui.Println(st.GUID)
		return nil
	case s.ui.WantsJSON():
		return s.ui.JSON(st)
	}
	s.fields([][2]string{{"name", s.ui.Name(st.Name)}, {"description", text(st.Description)}, {"state", st.State}, {"reason", text(st.StateReason)}})
	return nil
}

func updateStack(ctx context.Context, s *session, c *cli.Context) error {
	in := capi.StackUpdate{}
	if c.IsSet("reason") {
		in.StateReason = capi.Some(c.String("reason"))
	}
	switch state := c.String("state"); state {
	case "active", "restricted", "deprecated", "disabled":
		word := map[string]string{"active": "ACTIVE", "restricted": "RESTRICTED", "deprecated": "DEPRECATED", "disabled": "DISABLED"}[state]
		in.State = &word
	default:
		return badUsage("--state is active, restricted, deprecated or disabled, not %s", quote(state))
	}
	guid, err := s.guidOf(ctx, stackKind, c.Args().First(), nil)
	if err != nil {
		return err
	}
	return s.update(ctx, stackKind.path+"/"+guid, in, "Stack %s is %s.", s.ui.Name(c.Args().First()), c.String("state"))
}
