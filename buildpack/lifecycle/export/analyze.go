package export

import (
	"archive/tar"
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"path"
	"path/filepath"
	"strings"

	"github.com/BurntSushi/toml"
	v1 "github.com/google/go-containerregistry/pkg/v1"

	"github.com/cupola-paas/cupola/buildpack/launcher"
	"github.com/cupola-paas/cupola/buildpack/lifecycle"
)

// Previous is an app's last image, as far as a build uses it. A nil Previous is no image.
type Previous struct {
	Metadata Metadata
	launcher string // version of its launcher
	image    v1.Image
	byDiff   map[string]*Blob
	byDigest map[v1.Hash]bool
}

// Analyze reads the previous image (Buildpack API, Phase #2). An image that is not there, or was not made
// by a lifecycle, is none: the build goes on without it.
func (r Registry) Analyze(ctx context.Context, reference string) (*Previous, error) {
	img, _, err := r.Image(ctx, reference)
	if IsNotFound(err) {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	config, err := img.ConfigFile()
	if err != nil {
		if IsNotFound(err) {
			return nil, nil
		}
		return nil, err
	}
	m, err := parseMetadata(config.Config.Labels[LifecycleLabel])
	if err != nil {
		return nil, nil
	}
	var build buildMetadata
	if err := json.Unmarshal([]byte(config.Config.Labels[BuildLabel]), &build); err != nil {
		return nil, nil
	}
	p := &Previous{Metadata: m, launcher: build.Launcher.Version, image: img, byDiff: map[string]*Blob{}, byDigest: map[v1.Hash]bool{}}
	return p, p.index(config)
}

func (p *Previous) index(config *v1.ConfigFile) error {
	manifest, err := p.image.Manifest()
	if err != nil {
		return err
	}
	if len(manifest.Layers) != len(config.RootFS.DiffIDs) {
		return errors.New("the previous image's manifest and configuration do not fit")
	}
	for i, d := range manifest.Layers {
		diff := config.RootFS.DiffIDs[i]
		p.byDiff[diff.String()] = &Blob{Diff: diff, Hash: d.Digest, Bytes: d.Size, Type: d.MediaType}
		p.byDigest[d.Digest] = true
	}
	return nil
}

// find returns the layer with a diffID.
func (p *Previous) find(diffID string) *Blob {
	if p == nil || diffID == "" {
		return nil
	}
	return p.byDiff[diffID]
}

// Restore writes what the previous image says of launch-only layers, and store.toml, into layersDir
// (Buildpack API, Layer Types). Layers for which taken is true came from the cache already.
func (p *Previous) Restore(layersDir string, taken func(id, layer string) bool) error {
	if p == nil {
		return nil
	}
	sboms := false
	for _, b := range p.Metadata.Buildpacks {
		if !lifecycle.ValidID(b.Key) {
			continue
		}
		dir := filepath.Join(layersDir, launcher.EscapeID(b.Key))
		if b.Store != nil {
			if err := lifecycle.WriteTOML(filepath.Join(dir, "store.toml"), b.Store); err != nil {
				return err
			}
		}
		for name, l := range b.Layers {
			if !l.Launch || l.Build || l.Cache || taken(b.Key, name) || !plainName(name) {
				continue
			}
			if err := WriteLayerFile(dir, name, l.Data); err != nil {
				return err
			}
			sboms = true
		}
	}
	if sboms && p.Metadata.SBOM != nil {
		return p.restoreSBOMs(layersDir)
	}
	return nil
}

// WriteLayerFile writes a <layer>.toml without types.
func WriteLayerFile(dir, name string, metadata map[string]any) error {
	file := struct {
		Metadata map[string]any `toml:"metadata"`
	}{metadata}
	return lifecycle.WriteTOML(filepath.Join(dir, name+".toml"), file)
}

func plainName(name string) bool {
	return name != "" && name != "." && name != ".." && !strings.ContainsAny(name, "/\x00") && !lifecycle.Reserved(name)
}

// maxSBOMBytes bounds all SBOM files of an image together.
const maxSBOMBytes = 256 << 20

// restoreSBOMs takes the SBOM files of restored layers out of the previous image's SBOM layer.
func (p *Previous) restoreSBOMs(layersDir string) error {
	diff, err := v1.NewHash(p.Metadata.SBOM.SHA)
	if err != nil {
		return nil
	}
	layer, err := p.image.LayerByDiffID(diff)
	if err != nil {
		return nil
	}
	content, err := layer.Uncompressed()
	if err != nil {
		if IsNotFound(err) {
			return nil
		}
		return fmt.Errorf("read the previous image's SBOM: %w", err)
	}
	defer content.Close()
	tr := tar.NewReader(io.LimitReader(content, maxSBOMBytes))
	for {
		h, err := tr.Next()
		if err == io.EOF {
			return nil
		}
		if err != nil {
			return fmt.Errorf("read the previous image's SBOM: %w", err)
		}
		if h.Typeflag == tar.TypeReg {
			if err := restoreSBOM(layersDir, h.Name, tr); err != nil {
				return err
			}
		}
	}
}

// restoreSBOM writes one file .../sbom/launch/<buildpack>/<layer>/sbom.<ext>, if its layer was restored.
func restoreSBOM(layersDir, name string, content io.Reader) error {
	_, rest, _ := strings.Cut(path.Clean(name), "sbom/launch/")
	parts := strings.Split(rest, "/")
	if len(parts) != 3 || !strings.HasPrefix(parts[2], "sbom.") || !plainName(parts[0]) || !plainName(parts[1]) {
		return nil
	}
	dir := filepath.Join(layersDir, parts[0])
	if _, err := os.Lstat(filepath.Join(dir, parts[1]+".toml")); err != nil {
		return nil
	}
	b, err := io.ReadAll(io.LimitReader(content, maxSBOMBytes))
	if err != nil {
		return err
	}
	return os.WriteFile(filepath.Join(dir, parts[1]+"."+parts[2]), b, 0o644)
}

// readStore reads a buildpack's store.toml; nil if it has none.
func readStore(dir string) (*Store, error) {
	b, err := lifecycle.ReadFile(filepath.Join(dir, "store.toml"), maxFileBytes)
	if errors.Is(err, os.ErrNotExist) {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	var s Store
	if _, err := toml.NewDecoder(bytes.NewReader(b)).Decode(&s); err != nil {
		return nil, fmt.Errorf("store.toml: %w", err)
	}
	if _, err := json.Marshal(s); err != nil {
		return nil, fmt.Errorf("store.toml: %w", err)
	}
	return &s, nil
}
