package export

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"path"
	"path/filepath"
	"runtime"
	"strings"

	"github.com/BurntSushi/toml"
	"github.com/google/go-containerregistry/pkg/name"
	v1 "github.com/google/go-containerregistry/pkg/v1"
	"golang.org/x/sync/errgroup"

	"github.com/cupola-paas/cupola/buildpack/launcher"
	"github.com/cupola-paas/cupola/buildpack/lifecycle"
	"github.com/cupola-paas/cupola/buildpack/lifecycle/cache"
)

// PlatformAPI is what app images tell their launcher.
const PlatformAPI = "0.12"

// Export makes an image of a finished build and pushes it (Buildpack API, Phase #6; Platform API,
// exporter).
type Export struct {
	Registry            Registry
	LayersDir, AppDir   string // on this host
	LayersPath, AppPath string // in the image
	HomeDir, HomePath   string // of the folder with HomeNames in it; empty: there is none
	TempDir             string
	Owner               Owner // of layers, and the image's user if the run image's is root
	Group               []launcher.Buildpack
	Labels              []lifecycle.Label
	Launcher            []byte
	LauncherVersion     string // tells launchers apart: equal versions are equal programs
	RunImage            v1.Image
	RunReference        name.Reference
	Previous            *Previous
	Cached              []cache.Layer // what was restored
	Repository          string
}

// Exported is a pushed image.
type Exported struct {
	Digest    v1.Hash
	Bytes     int64 // of the layers above the run image, compressed
	Uploaded  int   // layers that the registry did not have
	Reused    int
	Processes []launcher.Process
	Default   string // process type; may be empty
	Cache     []cache.Layer
}

// Do exports. The image is there as a whole when it returns nil, else not at all.
func (e *Export) Do(ctx context.Context) (*Exported, error) {
	repo, err := name.NewRepository(e.Repository)
	if err != nil {
		return nil, err
	}
	m, err := e.readMetadata()
	if err != nil {
		return nil, err
	}
	built, err := e.readBuilt()
	if err != nil {
		return nil, err
	}
	parts, err := e.packAll(built, m)
	if err != nil {
		return nil, err
	}
	img, defaultType, err := e.assemble(parts, m)
	if err != nil {
		return nil, err
	}
	upload, err := e.toUpload(img, repo)
	if err != nil {
		return nil, err
	}
	digest, err := e.Registry.push(ctx, repo, img, upload)
	if err != nil {
		return nil, fmt.Errorf("push to %s: %w", e.Repository, err)
	}
	out := &Exported{Digest: digest, Processes: m.Processes, Default: defaultType, Cache: forCache(built)}
	for _, b := range parts.all() {
		out.Bytes += b.Bytes
		if b.File != "" {
			out.Uploaded++
		} else {
			out.Reused++
		}
	}
	return out, nil
}

// readMetadata reads what the phase program gathered, and trusts only what the specification allows.
func (e *Export) readMetadata() (launcher.Metadata, error) {
	var m launcher.Metadata
	dir, ok := lifecycle.RealDir(e.LayersDir, path.Dir(launcher.MetadataPath))
	if !ok {
		return m, errors.New("the build left no " + launcher.MetadataPath)
	}
	b, err := lifecycle.ReadFile(filepath.Join(dir, path.Base(launcher.MetadataPath)), maxFileBytes)
	if err != nil {
		return m, err
	}
	if _, err := toml.NewDecoder(bytes.NewReader(b)).Decode(&m); err != nil {
		return m, err
	}
	for _, p := range m.Processes {
		if !lifecycle.ValidProcessType(p.Type) || len(p.Command) == 0 {
			return m, fmt.Errorf("process type %q is not valid", p.Type)
		}
	}
	m.Buildpacks = e.Group
	return m, nil
}

// parts are the layers above the run image. The app comes last: an engine unpacks anew what lies above a
// layer that changed, and the app changes most.
type parts struct {
	launcher, config, sbom *Blob
	built                  []*builtLayer
	home                   *Blob
	app                    []*Blob
}

// all lists the layers from the bottom up.
func (p *parts) all() []*Blob {
	list := []*Blob{p.launcher}
	for _, l := range p.built {
		if l.Types.Launch {
			list = append(list, l.blob)
		}
	}
	if p.sbom != nil {
		list = append(list, p.sbom)
	}
	if p.home != nil {
		list = append(list, p.home)
	}
	return append(append(list, p.config), p.app...)
}

func (e *Export) packAll(built []*builtLayer, m launcher.Metadata) (*parts, error) {
	p := &parts{built: built}
	group := &errgroup.Group{}
	group.SetLimit(runtime.NumCPU())
	group.Go(func() (err error) { p.launcher, err = e.launcherLayer(); return err })
	group.Go(func() (err error) { p.config, err = e.configLayer(m); return err })
	group.Go(func() (err error) { p.sbom, err = e.sbomLayer(built); return err })
	group.Go(func() (err error) { p.home, err = e.homeLayer(); return err })
	files, err := readApp(e.AppDir, e.AppPath, m.Slices)
	if err != nil {
		return nil, errors.Join(err, group.Wait())
	}
	used := map[int]bool{}
	for _, f := range files {
		used[f.slice] = true
	}
	app := make([]*Blob, len(m.Slices)+1) // the last is the rest, which there is always
	for i := range app {
		slice := i
		if i == len(m.Slices) {
			slice = rest
		} else if !used[i] {
			continue
		}
		group.Go(func() (err error) {
			app[i], err = e.pack(func(p *packer) error { return p.appLayer(e.AppDir, e.AppPath, files, slice) })
			return err
		})
	}
	e.packBuilt(built, group)
	if err := group.Wait(); err != nil {
		return nil, err
	}
	for _, b := range app {
		if b != nil {
			p.app = append(p.app, b)
		}
	}
	return p, nil
}

// launcherLayer has the launcher alone, so that it is the same in all images.
func (e *Export) launcherLayer() (*Blob, error) {
	if e.Previous != nil && e.Previous.launcher == e.LauncherVersion && e.LauncherVersion != "" {
		if b := e.Previous.find(e.Previous.Metadata.Launcher.SHA); b != nil {
			return b, nil
		}
	}
	return e.pack(func(p *packer) error {
		p.owner = Owner{}
		if err := p.parents(tarName(launcher.Path)); err != nil {
			return err
		}
		return p.file(tarName(launcher.Path), e.Launcher, 0o755)
	})
}

// configLayer has config/metadata.toml and a link to the launcher for each process type.
func (e *Export) configLayer(m launcher.Metadata) (*Blob, error) {
	var b bytes.Buffer
	enc := toml.NewEncoder(&b)
	enc.Indent = ""
	if err := enc.Encode(m); err != nil {
		return nil, err
	}
	return e.pack(func(p *packer) error {
		file := tarName(path.Join(e.LayersPath, launcher.MetadataPath))
		if err := p.parents(file); err != nil {
			return err
		}
		if err := p.file(file, b.Bytes(), 0o644); err != nil {
			return err
		}
		if err := p.parents(tarName(launcher.ProcessDir) + "/"); err != nil {
			return err
		}
		for _, process := range m.Processes {
			if err := p.link(tarName(path.Join(launcher.ProcessDir, process.Type)), launcher.Path); err != nil {
				return err
			}
		}
		return nil
	})
}

// toUpload lists the layers that the repository may not have: new ones, and those of the run image that
// the previous image does not have, which the registry mounts from the run image's repository.
func (e *Export) toUpload(img v1.Image, repo name.Repository) ([]v1.Layer, error) {
	layers, err := img.Layers()
	if err != nil {
		return nil, err
	}
	var upload []v1.Layer
	for _, l := range layers {
		if b, ok := l.(*Blob); ok && b.File == "" {
			continue
		}
		digest, err := l.Digest()
		if err != nil {
			return nil, err
		}
		if e.Previous != nil && e.Previous.byDigest[digest] || repo == e.RunReference.Context() && !isBlob(l) {
			continue
		}
		upload = append(upload, l)
	}
	return upload, nil
}

func isBlob(l v1.Layer) bool {
	_, ok := l.(*Blob)
	return ok
}

// defaultProcess is web if there is one, as Cloud Foundry has it; else the buildpacks' choice; else none.
func defaultProcess(m launcher.Metadata) string {
	for _, p := range m.Processes {
		if p.Type == "web" {
			return p.Type
		}
	}
	return m.DefaultProcess
}

// imagePath puts the launcher's folders before the run image's PATH.
func imagePath(old string) string {
	return strings.TrimSuffix(launcher.ProcessDir+":"+path.Dir(launcher.Path)+":"+old, ":")
}

func marshal(v any) (string, error) {
	b, err := json.Marshal(v)
	return string(b), err
}
