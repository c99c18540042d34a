package stack

import (
	"context"
	"errors"
	"fmt"
	"net/http"

	"github.com/google/go-containerregistry/pkg/authn"
	"github.com/google/go-containerregistry/pkg/name"
	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/remote"
	"github.com/google/go-containerregistry/pkg/v1/remote/transport"
)

// Registry is where images are pushed to.
type Registry struct {
	Host               string // host:port; plain HTTP on loopback and private addresses
	Username, Password string // empty: anonymous
	Transport          http.RoundTripper
}

// Push copies both images into repositories of a registry, tagged with the stack's version, and returns
// references by digest. What is there already is not sent again.
func (s *Stack) Push(ctx context.Context, reg Registry, repoBuild, repoRun string) (buildRef, runRef string, err error) {
	if runRef, err = s.pushOne(ctx, reg, repoRun, s.Run); err != nil {
		return "", "", fmt.Errorf("push the run image: %w", err)
	}
	if buildRef, err = s.pushOne(ctx, reg, repoBuild, s.Build); err != nil {
		return "", "", fmt.Errorf("push the build image: %w", err)
	}
	return buildRef, runRef, nil
}

func (s *Stack) pushOne(ctx context.Context, reg Registry, repo string, img v1.Image) (string, error) {
	r, err := name.NewRepository(reg.Host + "/" + repo)
	if err != nil {
		return "", err
	}
	digest, err := img.Digest()
	if err != nil {
		return "", err
	}
	ref, tag := r.Digest(digest.String()), r.Tag(s.Version)
	opts := reg.options(ctx)
	if d, err := remote.Head(tag, opts...); err == nil && d.Digest == digest {
		return ref.String(), nil
	} else if err != nil && !isNotFound(err) {
		return "", err
	}
	return ref.String(), remote.Write(tag, img, opts...)
}

func (r Registry) options(ctx context.Context) []remote.Option {
	opts := []remote.Option{remote.WithContext(ctx)}
	if r.Username != "" {
		opts = append(opts, remote.WithAuth(&authn.Basic{Username: r.Username, Password: r.Password}))
	}
	if r.Transport != nil {
		opts = append(opts, remote.WithTransport(r.Transport))
	}
	return opts
}

func isNotFound(err error) bool {
	var te *transport.Error
	return errors.As(err, &te) && te.StatusCode == http.StatusNotFound
}
