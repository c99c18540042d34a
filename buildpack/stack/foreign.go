package stack

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"strings"

	"github.com/google/go-containerregistry/pkg/authn"
	"github.com/google/go-containerregistry/pkg/name"
	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/remote"
)

// FromImages makes a stack of base images that somebody else made, named by references in a registry. The
// registry is asked with the credentials of the user's Docker configuration.
//
// It fails when the two don't fit: both must be Linux images for one architecture, both must name a user that
// is not root, and the build image must say CNB_USER_ID and CNB_GROUP_ID (Platform API 0.12, Build Image).
func FromImages(ctx context.Context, buildRef, runRef string) (*Stack, error) {
	build, err := pull(ctx, buildRef)
	if err != nil {
		return nil, fmt.Errorf("read the build image %s: %w", buildRef, err)
	}
	run, err := pull(ctx, runRef)
	if err != nil {
		return nil, fmt.Errorf("read the run image %s: %w", runRef, err)
	}
	bc, err := build.ConfigFile()
	if err != nil {
		return nil, err
	}
	rc, err := run.ConfigFile()
	if err != nil {
		return nil, err
	}
	if err := checkPair(buildRef, bc, runRef, rc); err != nil {
		return nil, err
	}
	version, err := pairVersion(build, run)
	if err != nil {
		return nil, err
	}
	return &Stack{
		ID: foreignID(bc, rc), Version: version, Build: build, Run: run, Created: bc.Created.Time,
		Packages: labelled(rc), BuildPackages: labelled(bc),
	}, nil
}

func pull(ctx context.Context, ref string) (v1.Image, error) {
	r, err := name.ParseReference(ref)
	if err != nil {
		return nil, err
	}
	return remote.Image(r, remote.WithContext(ctx), remote.WithAuthFromKeychain(authn.DefaultKeychain))
}

func checkPair(buildRef string, build *v1.ConfigFile, runRef string, run *v1.ConfigFile) error {
	if build.OS != "linux" || run.OS != "linux" {
		return fmt.Errorf("the stack's images must be for linux: %s is for %q, %s for %q", buildRef, build.OS, runRef, run.OS)
	}
	if build.Architecture != run.Architecture {
		return fmt.Errorf("the stack's images must be for one architecture: %s is for %s, %s for %s", buildRef, build.Architecture, runRef, run.Architecture)
	}
	for _, want := range []string{"CNB_USER_ID", "CNB_GROUP_ID"} {
		if v := envValue(build, want); v == "" || v == "0" {
			return fmt.Errorf("the build image %s must set %s in its environment, to a user that is not root", buildRef, want)
		}
	}
	for ref, c := range map[string]*v1.ConfigFile{buildRef: build, runRef: run} {
		user, _, _ := strings.Cut(c.Config.User, ":")
		if user == "" || user == "root" || user == "0" {
			return fmt.Errorf("the image %s must name a user that is not root", ref)
		}
	}
	return nil
}

func envValue(c *v1.ConfigFile, name string) string {
	for _, kv := range c.Config.Env {
		if v, ok := strings.CutPrefix(kv, name+"="); ok {
			return v
		}
	}
	return ""
}

// foreignID is the stack id where the images still have one, else the distribution's name and version.
func foreignID(build, run *v1.ConfigFile) string {
	if id := run.Config.Labels["io.buildpacks.stack.id"]; id != "" {
		return id
	}
	if id := envValue(build, "CNB_STACK_ID"); id != "" {
		return id
	}
	distro, version := run.Config.Labels["io.buildpacks.base.distro.name"], run.Config.Labels["io.buildpacks.base.distro.version"]
	if distro == "" {
		return "custom"
	}
	return strings.Trim(distro+"-"+version, "-")
}

func pairVersion(images ...v1.Image) (string, error) {
	h := sha256.New()
	for _, img := range images {
		d, err := img.Digest()
		if err != nil {
			return "", err
		}
		fmt.Fprintln(h, d)
	}
	return hex.EncodeToString(h.Sum(nil))[:16], nil
}

// labelled reads the packages from our label, where the image is one of ours.
func labelled(c *v1.ConfigFile) []Package {
	var pkgs []Package
	if json.Unmarshal([]byte(c.Config.Labels[PackagesLabel]), &pkgs) != nil {
		return nil
	}
	return pkgs
}
