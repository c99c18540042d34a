package buildpack

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"github.com/BurntSushi/toml"
	yaml3 "gopkg.in/yaml.v3"

	"github.com/cupola-paas/cupola/buildpack/launcher"
	"github.com/cupola-paas/cupola/buildpack/lifecycle"
	"github.com/cupola-paas/cupola/buildpack/lifecycle/export"
)

// Adoption is a droplet archive to make an image of (see WriteDroplet).
type Adoption struct {
	ID                   string    // names the work folder
	Archive              io.Reader // gzipped tar
	BuildImage, RunImage string    // references of the stack
	Repository           string
	Processes            map[string]string // commands by process type; they win over what the archive says
}

// Adopt makes an image of a droplet archive on a stack's run image and pushes it. What is wrong with the archive is an
// *Error of the code BadArchive.
func (b *Builder) Adopt(ctx context.Context, a Adoption) (_ *Result, err error) {
	dir := filepath.Join(b.buildsDir(), "droplet-"+a.ID)
	if err := errors.Join(removeAll(dir), os.MkdirAll(dir, 0o700)); err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, removeAll(dir)) }()
	root, err := os.OpenRoot(dir)
	if err != nil {
		return nil, err
	}
	defer root.Close()
	if err := unpackDroplet(ctx, a.Archive, root); err != nil {
		return nil, err
	}
	metadata, err := adoptedMetadata(root, a.Processes)
	if err != nil {
		return nil, err
	}
	e := export.Export{
		Registry: b.registry, LayersDir: filepath.Join(dir, "layers"), AppDir: filepath.Join(dir, "app"), TempDir: dir,
		LayersPath: layersPath, AppPath: appPath, HomeDir: dir, HomePath: homePath, Group: metadata.Buildpacks,
		Launcher: b.launcher, LauncherVersion: b.launcherVersion, Repository: a.Repository,
	}
	if e.RunImage, e.RunReference, err = b.registry.Image(ctx, a.RunImage); err != nil {
		return nil, err
	}
	if e.Owner, err = b.imageOwner(ctx, a.BuildImage); err != nil {
		return nil, err
	}
	exported, err := e.Do(ctx)
	if err != nil {
		return nil, fmt.Errorf("export: %w", err)
	}
	out := &Result{Digest: exported.Digest.String(), RunImage: a.RunImage, SizeBytes: exported.Bytes}
	for _, p := range exported.Processes {
		out.Processes = append(out.Processes, Process{Type: p.Type, Command: p.CommandLine(), Default: p.Type == exported.Default})
	}
	return out, nil
}

// imageOwner is the user that a stack's build image names.
func (b *Builder) imageOwner(ctx context.Context, buildImage string) (export.Owner, error) {
	img, _, err := b.registry.Image(ctx, buildImage)
	if err != nil {
		return export.Owner{}, err
	}
	config, err := img.ConfigFile()
	if err != nil {
		return export.Owner{}, err
	}
	env := map[string]string{}
	for _, kv := range config.Config.Env {
		k, v, _ := strings.Cut(kv, "=")
		env[k] = v
	}
	return stackOwner(env), nil
}

func badArchive(format string, args ...any) error {
	return &Error{Code: BadArchive, Message: "the droplet cannot be used: " + fmt.Sprintf(format, args...)}
}

const metadataBytes = 1 << 20

// adoptedMetadata gathers the process types, writes them where the export reads them, and marks the layers of
// buildpacks as such.
func adoptedMetadata(root *os.Root, given map[string]string) (launcher.Metadata, error) {
	var m launcher.Metadata
	path := filepath.Join("layers", launcher.MetadataPath)
	if text, err := readSmall(root, path); err == nil {
		if err := toml.Unmarshal(text, &m); err != nil {
			return m, badArchive("its %s cannot be read", path)
		}
	}
	if err := markLayers(root, &m); err != nil {
		return m, err
	}
	if len(m.Processes) == 0 {
		m.Processes = archiveProcesses(root)
	}
	for kind, command := range given {
		m.Processes = slices.DeleteFunc(m.Processes, func(p launcher.Process) bool { return p.Type == kind })
		m.Processes = append(m.Processes, launcher.Process{Type: kind, Command: []string{command}})
	}
	slices.SortFunc(m.Processes, func(a, b launcher.Process) int { return strings.Compare(a.Type, b.Type) })
	for _, p := range m.Processes {
		if !lifecycle.ValidProcessType(p.Type) || len(p.Command) == 0 {
			return m, badArchive("%q is no process type with a command", p.Type)
		}
	}
	var text strings.Builder
	if err := toml.NewEncoder(&text).Encode(m); err != nil {
		return m, err
	}
	if err := root.MkdirAll(filepath.Dir(path), 0o700); err != nil {
		return m, badArchive("%v", err)
	}
	if err := root.RemoveAll(path); err != nil {
		return m, err
	}
	return m, root.WriteFile(path, []byte(text.String()), 0o600)
}

// markLayers writes the <layer>.toml of the layers of each buildpack that the metadata names: an image has them no
// more, the export wants them.
func markLayers(root *os.Root, m *launcher.Metadata) error {
	for _, bp := range m.Buildpacks {
		if !lifecycle.ValidID(bp.ID) || !lifecycle.ValidVersion(bp.Version) {
			return badArchive("%q is no buildpack's id and version", bp.ID+"@"+bp.Version)
		}
		dir := filepath.Join("layers", launcher.EscapeID(bp.ID))
		if err := root.MkdirAll(dir, 0o700); err != nil {
			return badArchive("%v", err)
		}
		entries, err := fs.ReadDir(root.FS(), dir)
		if err != nil {
			return badArchive("%v", err)
		}
		for _, e := range entries {
			if !e.IsDir() {
				if err := root.RemoveAll(filepath.Join(dir, e.Name())); err != nil {
					return err
				}
				continue
			}
			if err := root.WriteFile(filepath.Join(dir, e.Name()+".toml"), []byte("[types]\nlaunch = true\n"), 0o600); err != nil {
				return err
			}
		}
	}
	return nil
}

// archiveProcesses reads what a droplet of another platform says: the app's Procfile, and for web staging_info.yml.
func archiveProcesses(root *os.Root) (out []launcher.Process) {
	commands := map[string]string{}
	if text, err := readSmall(root, filepath.Join("app", "Procfile")); err == nil {
		_ = yaml3.Unmarshal(text, &commands) // one that is none names no process
	}
	var info struct {
		Start string `json:"start_command" yaml:"start_command"`
	}
	if text, err := readSmall(root, stagingInfo); err == nil && commands["web"] == "" {
		if json.Unmarshal(text, &info) != nil {
			_ = yaml3.Unmarshal(text, &info)
		}
		if info.Start != "" {
			commands["web"] = info.Start
		}
	}
	for kind, command := range commands {
		out = append(out, launcher.Process{Type: kind, Command: []string{command}})
	}
	return out
}

func readSmall(root *os.Root, name string) ([]byte, error) {
	f, err := root.Open(name)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	return io.ReadAll(io.LimitReader(f, metadataBytes))
}
