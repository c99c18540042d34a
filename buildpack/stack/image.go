package stack

import (
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"runtime"

	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/empty"
	"github.com/google/go-containerregistry/pkg/v1/layout"
	"github.com/google/go-containerregistry/pkg/v1/mutate"
	"github.com/google/go-containerregistry/pkg/v1/types"
)

// PackagesLabel holds the image's packages as JSON, a list of Package.
const PackagesLabel = "io.cupola.stack.packages"

// assemble makes an image of layers. kind is "run" or "build".
func assemble(r *release, kind string, pkgs []Package, layers []v1.Layer) (v1.Image, error) {
	img := mutate.ConfigMediaType(mutate.MediaType(empty.Image, types.OCIManifestSchema1), types.OCIConfigJSON)
	var adds []mutate.Addendum
	for _, l := range layers {
		adds = append(adds, mutate.Addendum{
			Layer: l, MediaType: types.OCILayer,
			History: v1.History{Created: v1.Time{Time: fixedTime}, CreatedBy: "cupola: " + r.stackID()},
		})
	}
	img, err := mutate.Append(img, adds...)
	if err != nil {
		return nil, err
	}
	cf, err := img.ConfigFile()
	if err != nil {
		return nil, err
	}
	list, err := json.Marshal(pkgs)
	if err != nil {
		return nil, err
	}
	cf = cf.DeepCopy()
	cf.OS, cf.Architecture, cf.Created = "linux", runtime.GOARCH, v1.Time{Time: fixedTime}
	cf.Config = v1.Config{
		User: vcapName, WorkingDir: vcapHome, Env: imageEnv(r),
		Labels: map[string]string{
			"io.buildpacks.stack.id":            r.stackID(),
			"io.buildpacks.stack.description":   fmt.Sprintf("%s image of %s from %s packages", kind, r.stackID(), r.PrettyName),
			"io.buildpacks.base.distro.name":    r.ID,
			"io.buildpacks.base.distro.version": r.VersionID,
			PackagesLabel:                       string(list),
		},
	}
	return mutate.ConfigFile(img, cf)
}

// writeLayout writes an image into a new OCI layout. shared, where given, is a layer that another layout
// beside this one has already: it takes no disk twice.
func writeLayout(dir string, img v1.Image, shared *fileLayer) error {
	p, err := layout.Write(dir, empty.Index)
	if err != nil {
		return noSpace(err)
	}
	if shared != nil {
		blobs := filepath.Join(dir, "blobs", "sha256")
		if err := os.MkdirAll(blobs, 0o755); err != nil {
			return err
		}
		other := filepath.Join(filepath.Dir(dir), "run", "blobs", "sha256", shared.digest.Hex)
		if err := os.Link(other, filepath.Join(blobs, shared.digest.Hex)); err != nil {
			return err
		}
	}
	return noSpace(p.AppendImage(img))
}

// readLayout opens the only image of an OCI layout.
func readLayout(dir string) (v1.Image, error) {
	index, err := layout.ImageIndexFromPath(dir)
	if err != nil {
		return nil, err
	}
	manifest, err := index.IndexManifest()
	if err != nil {
		return nil, err
	}
	if len(manifest.Manifests) != 1 {
		return nil, fmt.Errorf("%s has %d images, want 1", dir, len(manifest.Manifests))
	}
	img, err := index.Image(manifest.Manifests[0].Digest)
	if err != nil {
		return nil, err
	}
	return img, complete(dir, img)
}

// complete checks that all blobs are there with their sizes.
func complete(dir string, img v1.Image) error {
	manifest, err := img.Manifest()
	if err != nil {
		return err
	}
	var errs []error
	for _, d := range append([]v1.Descriptor{manifest.Config}, manifest.Layers...) {
		st, err := os.Stat(filepath.Join(dir, "blobs", d.Digest.Algorithm, d.Digest.Hex))
		if err == nil && st.Size() != d.Size {
			err = fmt.Errorf("%s has %d bytes, want %d", d.Digest, st.Size(), d.Size)
		}
		errs = append(errs, err)
	}
	return errors.Join(errs...)
}
