// Package imagecopy brings an image of anybody's registry into ours: resolved to one digest and one platform, so that
// every instance runs the same, also when the tag moves, the password changes or that registry is away.
package imagecopy

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"runtime"
	"slices"
	"strconv"
	"strings"

	"github.com/google/go-containerregistry/pkg/authn"
	"github.com/google/go-containerregistry/pkg/name"
	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/remote"
	"github.com/google/go-containerregistry/pkg/v1/remote/transport"
	"github.com/google/go-containerregistry/pkg/v1/types"
)

// Bounds of a foreign image.
const (
	MaxBytes  = 16 << 30 // of its compressed layers
	maxLayers = 200
	jobs      = 3
)

// Source is an image by reference, with the credentials of its registry; both empty: none.
type Source struct {
	Reference          string // as people write it: nginx, registry.example.com/team/app:v1, ...@sha256:...
	Username, Password string
}

// Copier copies into one registry of ours.
type Copier struct {
	Host               string // host:port; images of it are not taken as a source
	Username, Password string
}

// Image is what was copied.
type Image struct {
	Digest     string // in our repository
	SizeBytes  int64  // compressed layers
	Entrypoint []string
	Command    []string
	Ports      []int  // exposed TCP ports, ascending
	User       string // empty: root
}

// Error is what somebody who named an image can mend.
type Error struct{ Message string }

func (e *Error) Error() string { return e.Message }

// Check says whether reference can be read as one of an image.
func Check(reference string) error {
	_, err := name.ParseReference(reference, name.WeakValidation)
	if err != nil {
		return &Error{fmt.Sprintf("%q is no image reference: write it as registry.example.com/name:tag", reference)}
	}
	return nil
}

// Copy resolves the image for this machine's platform and writes it under the repository, a path in our registry.
// Its errors are *Error where the image, its name or the credentials are to blame.
func (c Copier) Copy(ctx context.Context, src Source, repository string) (*Image, error) {
	if err := Check(src.Reference); err != nil {
		return nil, err
	}
	ref, err := name.ParseReference(src.Reference, name.WeakValidation)
	if err != nil {
		return nil, err
	}
	if ref.Context().RegistryStr() == c.Host {
		return nil, &Error{"the platform's own registry cannot be pushed from: push the app's source, or copy a droplet"}
	}
	img, err := remote.Image(ref, remote.WithContext(ctx), remote.WithAuth(basic(src.Username, src.Password)),
		remote.WithPlatform(v1.Platform{OS: "linux", Architecture: runtime.GOARCH}))
	if err != nil {
		return nil, explain(src.Reference, err)
	}
	found, err := describe(img)
	if err != nil {
		return nil, explain(src.Reference, err)
	}
	to, err := name.NewDigest(c.Host + "/" + repository + "@" + found.Digest)
	if err != nil {
		return nil, err
	}
	err = remote.Write(to, img, remote.WithContext(ctx), remote.WithAuth(basic(c.Username, c.Password)), remote.WithJobs(jobs))
	if err != nil {
		return nil, explain(src.Reference, err)
	}
	return found, nil
}

func basic(user, password string) authn.Authenticator {
	if user == "" && password == "" {
		return authn.Anonymous
	}
	return &authn.Basic{Username: user, Password: password}
}

func describe(img v1.Image) (*Image, error) {
	manifest, err := img.Manifest()
	if err != nil {
		return nil, err
	}
	if !runnable(manifest.MediaType) || len(manifest.Layers) > maxLayers {
		return nil, &Error{fmt.Sprintf("it is of the kind %s with %d layers: an OCI or Docker image of at most %d is needed", manifest.MediaType, len(manifest.Layers), maxLayers)}
	}
	out := &Image{}
	for _, l := range manifest.Layers {
		if out.SizeBytes += l.Size; l.Size < 0 || out.SizeBytes > MaxBytes {
			return nil, &Error{fmt.Sprintf("it is larger than %d GB", MaxBytes>>30)}
		}
	}
	config, err := img.ConfigFile()
	if err != nil {
		return nil, err
	}
	digest, err := img.Digest()
	if err != nil {
		return nil, err
	}
	out.Digest = digest.String()
	out.Entrypoint, out.Command, out.User = config.Config.Entrypoint, config.Config.Cmd, config.Config.User
	out.Ports = tcpPorts(config.Config.ExposedPorts)
	return out, nil
}

func runnable(kind types.MediaType) bool {
	return kind == types.OCIManifestSchema1 || kind == types.DockerManifestSchema2
}

// tcpPorts reads "8080/tcp" and "8080".
func tcpPorts(exposed map[string]struct{}) []int {
	var out []int
	for text := range exposed {
		number, protocol, _ := strings.Cut(text, "/")
		if n, err := strconv.Atoi(number); err == nil && n > 0 && n < 1<<16 && (protocol == "" || protocol == "tcp") {
			out = append(out, n)
		}
	}
	slices.Sort(out)
	return out
}

// explain puts what a registry answered into words for whoever named the image.
func explain(reference string, err error) error {
	var own *Error
	var refused *transport.Error
	var word string
	switch {
	case errors.As(err, &own):
		word = own.Message
	case errors.As(err, &refused) && (refused.StatusCode == http.StatusUnauthorized || refused.StatusCode == http.StatusForbidden):
		word = "its registry wants other credentials: give --docker-username and the password in CF_DOCKER_PASSWORD"
	case errors.As(err, &refused) && refused.StatusCode == http.StatusNotFound:
		word = "its registry does not have it: see whether name and tag are right"
	case errors.Is(err, context.Canceled), errors.Is(err, context.DeadlineExceeded):
		return err
	default:
		return fmt.Errorf("image %s: %w", reference, err)
	}
	return &Error{fmt.Sprintf("image %s cannot be used: %s", reference, word)}
}

// CommandLine is what the image runs, as a person would type it.
func (i *Image) CommandLine() string {
	return strings.Join(append(slices.Clone(i.Entrypoint), i.Command...), " ")
}
