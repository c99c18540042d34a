package export

import (
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path"
	"path/filepath"
	"slices"

	"golang.org/x/sync/errgroup"

	"github.com/cupola-paas/cupola/buildpack/launcher"
	"github.com/cupola-paas/cupola/buildpack/lifecycle"
	"github.com/cupola-paas/cupola/buildpack/lifecycle/cache"
)

// builtLayer is a layer that a buildpack left.
type builtLayer struct {
	buildpack, name string
	lifecycle.LayerFile
	dir         string // empty if there is no folder
	fingerprint string
	blob        *Blob // of launch layers
}

// readBuilt reads the layers of the group, in order of build and of name.
func (e *Export) readBuilt() ([]*builtLayer, error) {
	var all []*builtLayer
	for _, b := range e.Group {
		dir, ok := lifecycle.RealDir(e.LayersDir, launcher.EscapeID(b.ID))
		if !ok {
			return nil, fmt.Errorf("buildpack %s removed its layers folder", b.ID)
		}
		names, files, err := lifecycle.ReadLayers(dir)
		if err != nil {
			return nil, fmt.Errorf("buildpack %s: %w", b.ID, err)
		}
		for _, name := range names {
			l := &builtLayer{buildpack: b.ID, name: name, LayerFile: files[name]}
			if path, ok := lifecycle.RealDir(dir, name); ok {
				l.dir = path
			}
			if l.Types.Launch || l.Types.Cache && l.dir != "" {
				all = append(all, l)
			}
		}
	}
	return all, nil
}

// packBuilt makes or finds the blob of every launch layer and the fingerprint of every cache layer.
func (e *Export) packBuilt(layers []*builtLayer, group *errgroup.Group) {
	for _, l := range layers {
		group.Go(func() error {
			if err := e.packOne(l); err != nil {
				return fmt.Errorf("layer %s of buildpack %s: %w", l.name, l.buildpack, err)
			}
			return nil
		})
	}
}

func (e *Export) packOne(l *builtLayer) (err error) {
	if l.dir == "" {
		return e.keepPrevious(l)
	}
	if l.Types.Cache {
		if l.fingerprint, err = cache.Fingerprint(l.dir); err != nil {
			return err
		}
	}
	if !l.Types.Launch {
		return nil
	}
	if known := e.cached(l); known != nil && known.Fingerprint == l.fingerprint {
		if l.blob = e.Previous.find(known.DiffID); l.blob != nil {
			return nil // nobody touched it since it was packed, and the registry has it
		}
	}
	name := tarName(path.Join(e.LayersPath, launcher.EscapeID(l.buildpack), l.name))
	blob, err := e.pack(func(p *packer) error {
		if err := p.parents(name); err != nil {
			return err
		}
		return p.tree(l.dir, name)
	})
	l.blob = blob
	return err
}

// keepPrevious takes a layer that the buildpack left in the previous image.
func (e *Export) keepPrevious(l *builtLayer) error {
	if e.Previous != nil {
		old, _ := e.Previous.Metadata.layer(l.buildpack, l.name)
		l.blob = e.Previous.find(old.SHA)
	}
	if l.blob == nil {
		return &ReuseError{Buildpack: l.buildpack, Layer: l.name}
	}
	return nil
}

// ReuseError is a layer without a folder that the previous image does not have either.
type ReuseError struct{ Buildpack, Layer string }

func (e *ReuseError) Error() string {
	return fmt.Sprintf("buildpack %s wants to keep layer %s of the previous image, which does not have it; the buildpack must make the layer anew", e.Buildpack, e.Layer)
}

// cached finds what the cache knew of a layer before the build; nil if nothing, or if it has no cache type.
func (e *Export) cached(l *builtLayer) *cache.Layer {
	for i := range e.Cached {
		if c := &e.Cached[i]; c.Buildpack == l.buildpack && c.Name == l.name && l.fingerprint != "" {
			return c
		}
	}
	return nil
}

// pack makes a blob and drops its file if the previous image has the same layer.
func (e *Export) pack(write func(*packer) error) (*Blob, error) {
	blob, err := pack(e.TempDir, e.Owner, write)
	if err != nil {
		return nil, err
	}
	if old := e.Previous.find(blob.Diff.String()); old != nil {
		return old, os.Remove(blob.File)
	}
	return blob, nil
}

// forCache lists the cache layers of this build.
func forCache(layers []*builtLayer) []cache.Layer {
	var list []cache.Layer
	for _, l := range layers {
		if !l.Types.Cache || l.dir == "" {
			continue
		}
		c := cache.Layer{
			Buildpack: l.buildpack, Name: l.name, Types: l.Types, Metadata: l.Metadata, Fingerprint: l.fingerprint,
		}
		if l.blob != nil {
			c.DiffID = l.blob.Diff.String()
		}
		list = append(list, c)
	}
	return list
}

// forLabel gathers what LifecycleLabel says of the buildpacks' layers.
func (e *Export) forLabel(layers []*builtLayer) ([]BuildpackMetadata, error) {
	list := []BuildpackMetadata{}
	for _, b := range e.Group {
		m := BuildpackMetadata{Key: b.ID, Version: b.Version, Layers: map[string]LayerMetadata{}}
		for _, l := range layers {
			if l.buildpack == b.ID && l.Types.Launch {
				data := l.Metadata
				if data == nil {
					data = map[string]any{}
				}
				m.Layers[l.name] = LayerMetadata{SHA: l.blob.Diff.String(), Data: data, Types: l.Types}
			}
		}
		if _, err := json.Marshal(m); err != nil {
			return nil, fmt.Errorf("buildpack %s: its layers' metadata cannot be stored: %w", b.ID, err)
		}
		var err error
		if m.Store, err = readStore(filepath.Join(e.LayersDir, launcher.EscapeID(b.ID))); err != nil {
			return nil, fmt.Errorf("buildpack %s: %w", b.ID, err)
		}
		list = append(list, m)
	}
	return list, nil
}

// sbomLayer packs the SBOM files of launch layers and of the launch as a whole; nil if there are none.
func (e *Export) sbomLayer(layers []*builtLayer) (*Blob, error) {
	files, err := e.sbomFiles(layers)
	if err != nil || len(files) == 0 {
		return nil, err
	}
	names := make([]string, 0, len(files))
	for name := range files {
		names = append(names, name)
	}
	slices.Sort(names)
	return e.pack(func(p *packer) error {
		seen := map[string]bool{".": true}
		for _, name := range names {
			for _, dir := range missing(path.Dir(name), seen) {
				if err := p.folder(dir, Owner{}); err != nil {
					return err
				}
			}
			if err := p.file(name, files[name], 0o644); err != nil {
				return err
			}
		}
		return nil
	})
}

// sbomFiles reads them, by their names in the image.
func (e *Export) sbomFiles(layers []*builtLayer) (map[string][]byte, error) {
	files, total := map[string][]byte{}, 0
	add := func(from string, to ...string) error {
		b, err := lifecycle.ReadFile(from, maxFileBytes)
		if errors.Is(err, os.ErrNotExist) {
			return nil
		}
		if total += len(b); err == nil && total > maxSBOMBytes {
			err = fmt.Errorf("the SBOM files are larger than %d MB", maxSBOMBytes>>20)
		}
		files[tarName(path.Join(append([]string{e.LayersPath, "sbom", "launch"}, to...)...))] = b
		return err
	}
	for _, ext := range lifecycle.SBOMFormats {
		for _, b := range e.Group {
			id := launcher.EscapeID(b.ID)
			if err := add(filepath.Join(e.LayersDir, id, "launch.sbom."+ext), id, "sbom."+ext); err != nil {
				return nil, err
			}
		}
		for _, l := range layers {
			if !l.Types.Launch {
				continue
			}
			id := launcher.EscapeID(l.buildpack)
			if err := add(filepath.Join(e.LayersDir, id, l.name+".sbom."+ext), id, l.name, "sbom."+ext); err != nil {
				return nil, err
			}
		}
	}
	return files, nil
}
