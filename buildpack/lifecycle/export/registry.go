package export

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"runtime"

	"github.com/google/go-containerregistry/pkg/authn"
	"github.com/google/go-containerregistry/pkg/name"
	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/partial"
	"github.com/google/go-containerregistry/pkg/v1/remote"
	"github.com/google/go-containerregistry/pkg/v1/remote/transport"
	"golang.org/x/sync/errgroup"
)

// Registry is where images lie. Host's credentials go to Host alone; other registries are read without.
// Loopback and private addresses are spoken to over plain HTTP.
type Registry struct {
	Host, Username, Password string
	Transport                http.RoundTripper // nil: the default of the registry client
}

func (r Registry) options(ctx context.Context) []remote.Option {
	opts := []remote.Option{
		remote.WithContext(ctx), remote.WithAuthFromKeychain(r), remote.WithJobs(4),
		remote.WithUserAgent("cupola"),
	}
	if r.Transport != nil {
		opts = append(opts, remote.WithTransport(r.Transport))
	}
	return opts
}

// Resolve implements authn.Keychain.
func (r Registry) Resolve(resource authn.Resource) (authn.Authenticator, error) {
	if r.Username == "" || resource.RegistryStr() != r.Host {
		return authn.Anonymous, nil
	}
	return &authn.Basic{Username: r.Username, Password: r.Password}, nil
}

// Image reads an image's manifest and configuration.
func (r Registry) Image(ctx context.Context, reference string) (v1.Image, name.Reference, error) {
	ref, err := name.ParseReference(reference)
	if err != nil {
		return nil, nil, err
	}
	platform := v1.Platform{OS: "linux", Architecture: runtime.GOARCH}
	img, err := remote.Image(ref, append(r.options(ctx), remote.WithPlatform(platform))...)
	if err != nil {
		return nil, ref, fmt.Errorf("read image %s: %w", reference, err)
	}
	return img, ref, nil
}

// IsNotFound says whether the registry answered that it has no such thing.
func IsNotFound(err error) bool {
	var t *transport.Error
	return errors.As(err, &t) && t.StatusCode == http.StatusNotFound
}

// push uploads the layers that the repository does not have, all at once, and then the manifest: a push
// that ends early leaves blobs that the registry's garbage collection takes, and no image.
func (r Registry) push(ctx context.Context, repo name.Repository, img v1.Image, missing []v1.Layer) (v1.Hash, error) {
	pusher, err := remote.NewPusher(r.options(ctx)...)
	if err != nil {
		return v1.Hash{}, err
	}
	digest, err := img.Digest()
	if err != nil {
		return v1.Hash{}, err
	}
	config, err := partial.ConfigLayer(img)
	if err != nil {
		return v1.Hash{}, err
	}
	group, uploading := errgroup.WithContext(ctx)
	group.SetLimit(4)
	for _, l := range append(missing, config) {
		group.Go(func() error { return pusher.Upload(uploading, repo, l) })
	}
	if err := group.Wait(); err != nil {
		return v1.Hash{}, err
	}
	ref := repo.Digest(digest.String())
	err = pusher.Put(ctx, ref, img)
	if err == nil || ctx.Err() != nil {
		return digest, err
	}
	// The registry misses a blob that the previous image or the run image should have kept there:
	// offer all of them.
	return digest, remote.Write(ref, img, r.options(ctx)...)
}
