package buildpack

import (
	"archive/tar"
	"bytes"
	"context"
	"fmt"
	"io"
	"os"
	"runtime"

	"github.com/google/go-containerregistry/pkg/name"
	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/empty"
	"github.com/google/go-containerregistry/pkg/v1/mutate"
	"github.com/google/go-containerregistry/pkg/v1/remote"
	"github.com/google/go-containerregistry/pkg/v1/tarball"
)

// holderUser runs the container that keeps a build's place. It has no name in the image, and no rights.
const holderUser = "65534:65534"

// PushHolder puts an image into a repository of our registry whose container does nothing until it is asked to end, and
// returns its reference by digest. A scheduler counts such a container in the place of a build. The same program
// makes the same image, so that it is pushed and pulled once.
func (b *Builder) PushHolder(ctx context.Context, repository string) (string, error) {
	repo, err := name.NewRepository(repository)
	if err != nil {
		return "", err
	}
	img, err := b.holder()
	if err != nil {
		return "", fmt.Errorf("make the image that keeps places of builds: %w", err)
	}
	digest, err := img.Digest()
	if err != nil {
		return "", err
	}
	ref := repo.Digest(digest.String())
	if err := remote.Write(ref, img, remote.WithContext(ctx), remote.WithAuthFromKeychain(b.registry)); err != nil {
		return "", fmt.Errorf("push the image that keeps places of builds: %w", err)
	}
	return ref.Name(), nil
}

func (b *Builder) holder() (v1.Image, error) {
	program, err := os.ReadFile(b.phasePath)
	if err != nil {
		return nil, err
	}
	var content bytes.Buffer
	w := tar.NewWriter(&content)
	if err := w.WriteHeader(&tar.Header{Name: "hold", Mode: 0o755, Size: int64(len(program)), Format: tar.FormatPAX}); err != nil {
		return nil, err
	}
	if _, err := w.Write(program); err != nil {
		return nil, err
	}
	if err := w.Close(); err != nil {
		return nil, err
	}
	layer, err := tarball.LayerFromOpener(func() (io.ReadCloser, error) { return io.NopCloser(bytes.NewReader(content.Bytes())), nil })
	if err != nil {
		return nil, err
	}
	img, err := mutate.AppendLayers(empty.Image, layer)
	if err != nil {
		return nil, err
	}
	config, err := img.ConfigFile()
	if err != nil {
		return nil, err
	}
	config = config.DeepCopy()
	config.OS, config.Architecture = "linux", runtime.GOARCH
	config.Config.User, config.Config.Entrypoint = holderUser, []string{"/hold", "-hold"}
	return mutate.ConfigFile(img, config)
}
