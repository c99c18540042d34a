// Package buildpackage unpacks packages of Cloud Native Buildpacks: the .cnb files that `pack buildpack package` makes,
// which are OCI image layouts in a tar, and images of the same content in a registry (Distribution specification,
// Buildpackage). What comes out is a folder of buildpacks as the lifecycle wants it.
//
// A package was made by strangers: names are checked, links stay inside, sizes are bounded, modes lose what a file must
// not bring along.
package buildpackage

import (
	"archive/tar"
	"bufio"
	"compress/gzip"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path"
	"path/filepath"
	"strings"

	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/layout"

	"github.com/cupola-paas/cupola/buildpack/lifecycle"
)

const (
	metadataLabel = "io.buildpacks.buildpackage.metadata"
	rootFile      = "package.toml"
	inside        = "cnb/buildpacks/" // where an image has its buildpacks
)

// Bounds of a package.
const (
	maxBytes = 6 << 30 // unpacked
	maxFiles = 200_000
)

// Root is the buildpack that a package is named after; others in it are parts of it.
type Root struct {
	ID      string `toml:"id" json:"id"`
	Version string `toml:"version" json:"version"`
}

// InvalidError says what is wrong with a package, in a sentence for the person who uploads it.
type InvalidError struct{ Problem string }

func (e *InvalidError) Error() string { return "the buildpackage " + e.Problem }

func invalid(format string, args ...any) error { return &InvalidError{fmt.Sprintf(format, args...)} }

// Unpack writes the buildpacks of a .cnb file as dir/ID/VERSION, with "/" in ids as "_". dir must exist and be empty.
func Unpack(file io.Reader, dir string) (Root, error) {
	work, err := os.MkdirTemp(dir, ".layout-")
	if err != nil {
		return Root{}, err
	}
	defer os.RemoveAll(work)
	if err := untar(file, work, func(name string) string { return name }); err != nil {
		return Root{}, err
	}
	img, err := image(work)
	if err != nil {
		return Root{}, err
	}
	return UnpackImage(img, dir)
}

// image finds the image of a layout: the first for Linux.
func image(work string) (v1.Image, error) {
	index, err := layout.ImageIndexFromPath(work)
	if err != nil {
		return nil, invalid("is no OCI image layout: %v", err)
	}
	return imageOf(index, 0)
}

func imageOf(index v1.ImageIndex, depth int) (v1.Image, error) {
	manifest, err := index.IndexManifest()
	if err != nil {
		return nil, invalid("has an index that cannot be read: %v", err)
	}
	for _, d := range manifest.Manifests {
		switch {
		case d.Platform != nil && d.Platform.OS != "" && d.Platform.OS != "linux":
		case d.MediaType.IsImage():
			return index.Image(d.Digest)
		case d.MediaType.IsIndex() && depth < 3:
			next, err := index.ImageIndex(d.Digest)
			if err != nil {
				return nil, invalid("has an index that cannot be read: %v", err)
			}
			return imageOf(next, depth+1)
		}
	}
	return nil, invalid("has no image for Linux")
}

// UnpackImage writes the buildpacks of a package's image below dir, as Unpack does.
func UnpackImage(img v1.Image, dir string) (Root, error) {
	root, err := rootOf(img)
	if err != nil {
		return root, err
	}
	layers, err := img.Layers()
	if err != nil {
		return root, invalid("has a manifest that cannot be read: %v", err)
	}
	for _, l := range layers {
		content, err := l.Uncompressed()
		if err != nil {
			return root, invalid("has a layer that cannot be read: %v", err)
		}
		err = untar(content, dir, below)
		if err = errors.Join(err, content.Close()); err != nil {
			return root, err
		}
	}
	found := filepath.Join(dir, strings.ReplaceAll(root.ID, "/", "_"), root.Version)
	if _, err := lifecycle.ReadDescriptor(found); err != nil {
		return root, invalid("is of %s %s, which is not in it or not valid: %v", root.ID, root.Version, err)
	}
	return root, lifecycle.WriteTOML(filepath.Join(dir, rootFile), root)
}

// ReadRoot reads what Unpack wrote down.
func ReadRoot(dir string) (Root, error) {
	var r Root
	err := lifecycle.ReadTOML(filepath.Join(dir, rootFile), &r)
	if err == nil && r.ID == "" {
		err = errors.New("the unpacked buildpackage has no " + rootFile)
	}
	return r, err
}

func rootOf(img v1.Image) (Root, error) {
	var r Root
	config, err := img.ConfigFile()
	if err != nil {
		return r, invalid("has a configuration that cannot be read: %v", err)
	}
	if err := json.Unmarshal([]byte(config.Config.Labels[metadataLabel]), &r); err != nil {
		return r, invalid("does not say which buildpack it is: label %s: %v", metadataLabel, err)
	}
	if !lifecycle.ValidID(r.ID) || !lifecycle.ValidVersion(r.Version) {
		return r, invalid("is of %q, version %q, which is no valid buildpack id and version", r.ID, r.Version)
	}
	return r, nil
}

// below keeps what lies in the folder of buildpacks.
func below(name string) string {
	rest, ok := strings.CutPrefix(name, inside)
	if !ok {
		return ""
	}
	return rest
}

// untar writes files, folders and links of a tar, gzipped or not, below dir, under the names that rename gives; "" is
// left out.
func untar(r io.Reader, dir string, rename func(string) string) error {
	r, err := plain(r)
	if err != nil {
		return err
	}
	root, err := os.OpenRoot(dir)
	if err != nil {
		return err
	}
	defer root.Close()
	left, files := int64(maxBytes), 0
	for tr := tar.NewReader(r); ; files++ {
		h, err := tr.Next()
		if err == io.EOF {
			return nil
		}
		if err != nil {
			return invalid("is cut off or is not a tar: %v", err)
		}
		if left -= h.Size; left < 0 || files > maxFiles {
			return invalid("unpacks to more than %d MB or %d files", maxBytes>>20, maxFiles)
		}
		name := rename(path.Clean(strings.TrimPrefix(h.Name, "/")))
		if name == "" || name == "." {
			continue
		}
		if !filepath.IsLocal(name) {
			return invalid("has a file outside of itself: %q", h.Name)
		}
		if err := write(root, name, h, tr); err != nil {
			return fmt.Errorf("unpack %q: %w", h.Name, err)
		}
	}
}

func plain(r io.Reader) (io.Reader, error) {
	b := bufio.NewReader(r)
	if magic, err := b.Peek(2); err == nil && magic[0] == 0x1f && magic[1] == 0x8b {
		z, err := gzip.NewReader(b)
		if err != nil {
			return nil, invalid("cannot be decompressed: %v", err)
		}
		return z, nil
	}
	return b, nil
}

func write(root *os.Root, name string, h *tar.Header, r io.Reader) error {
	if err := root.MkdirAll(path.Dir(name), 0o755); err != nil {
		return err
	}
	switch h.Typeflag {
	case tar.TypeDir:
		return root.MkdirAll(name, 0o755)
	case tar.TypeSymlink:
		if !filepath.IsLocal(path.Join(path.Dir(name), h.Linkname)) {
			return invalid("has a link that leads out of it")
		}
		return root.Symlink(h.Linkname, name)
	case tar.TypeLink:
		return invalid("has a hard link, which buildpackages do not need")
	case tar.TypeReg:
		f, err := root.OpenFile(name, os.O_CREATE|os.O_TRUNC|os.O_WRONLY, fs.FileMode(h.Mode)&0o755|0o644)
		if err != nil {
			return err
		}
		_, err = io.Copy(f, r)
		return errors.Join(err, f.Close())
	}
	return nil
}
