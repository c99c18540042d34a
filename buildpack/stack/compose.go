package stack

import (
	"archive/tar"
	"bytes"
	"context"
	"io"
	"runtime"

	"github.com/google/go-containerregistry/pkg/authn"
	"github.com/google/go-containerregistry/pkg/name"
	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/mutate"
	"github.com/google/go-containerregistry/pkg/v1/remote"
	"github.com/google/go-containerregistry/pkg/v1/tarball"
)

// File is a file, or with nil Content a folder, that Compose puts into an image.
type File struct {
	Path     string // without a leading slash
	Mode     int64
	UID, GID int
	Content  []byte
}

// Compose puts one more layer with these files on an image. The same input gives the same image.
func Compose(img v1.Image, files []File) (v1.Image, error) {
	var b bytes.Buffer
	w := tar.NewWriter(&b)
	for _, f := range files {
		h := &tar.Header{Name: f.Path, Mode: f.Mode, Uid: f.UID, Gid: f.GID, ModTime: fixedTime, Typeflag: tar.TypeReg, Size: int64(len(f.Content))}
		if f.Content == nil {
			h.Typeflag, h.Name = tar.TypeDir, f.Path+"/"
		}
		if err := w.WriteHeader(h); err != nil {
			return nil, err
		}
		if _, err := w.Write(f.Content); err != nil {
			return nil, err
		}
	}
	if err := w.Close(); err != nil {
		return nil, err
	}
	layer, err := tarball.LayerFromOpener(func() (io.ReadCloser, error) { return io.NopCloser(bytes.NewReader(b.Bytes())), nil })
	if err != nil {
		return nil, err
	}
	return mutate.AppendLayers(img, layer)
}

// PushImage copies an image into a repository and returns its digest. What is there already is not sent again.
func PushImage(ctx context.Context, reg Registry, repo string, img v1.Image) (digest string, err error) {
	hash, err := img.Digest()
	if err != nil {
		return "", err
	}
	ref, err := name.NewDigest(reg.Host + "/" + repo + "@" + hash.String())
	if err != nil {
		return "", err
	}
	opts := reg.options(ctx)
	if _, err := remote.Head(ref, opts...); err == nil {
		return hash.String(), nil
	} else if !isNotFound(err) {
		return "", err
	}
	return hash.String(), remote.Write(ref, img, opts...)
}

// Foreign reads an image of anybody's registry, for this machine's platform, without credentials.
func Foreign(ctx context.Context, reference string) (v1.Image, error) {
	ref, err := name.ParseReference(reference, name.WeakValidation)
	if err != nil {
		return nil, err
	}
	return remote.Image(ref, remote.WithContext(ctx), remote.WithAuth(authn.Anonymous),
		remote.WithPlatform(v1.Platform{OS: "linux", Architecture: runtime.GOARCH}))
}
