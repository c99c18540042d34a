package buildpack

import (
	"os"

	"github.com/google/go-containerregistry/pkg/name"

	"github.com/cupola-paas/cupola/buildpack/lifecycle/export"
	"github.com/cupola-paas/cupola/buildpack/sandbox"
)

// Site is what the machine of a build has of the platform that it builds for, in place of what Options say.
type Site struct {
	// Registry is where images are read and pushed, for this build alone. References in the request name its host.
	Registry Registry
	// Pull says how the engine of this machine names an image, and who it is where it pulls that.
	Pull func(reference string) (local, user, password string)
	// BuildEnv and CABundle (PEM) are Options' of the same names; an empty bundle is none.
	BuildEnv map[string]string
	CABundle []byte
	// Foreign: the build image has buildpacks of its own, and Options.Buildpacks are not used.
	Foreign bool
}

// site is what holds for one build.
type site struct {
	registry   export.Registry
	pull       func(reference string) (string, sandbox.Login)
	env        map[string]string
	bundle     func() ([]byte, error)
	buildpacks string
}

func (b *Builder) siteOf(s *Site) site {
	if s == nil {
		return site{b.registry, b.pullOwn, b.options.BuildEnv, b.readBundle, b.options.Buildpacks}
	}
	pull := func(reference string) (string, sandbox.Login) {
		local, user, password := s.Pull(reference)
		return local, sandbox.Login{Username: user, Password: password}
	}
	own := site{s.Registry.client(), pull, s.BuildEnv, func() ([]byte, error) { return s.CABundle, nil }, b.options.Buildpacks}
	if s.Foreign {
		own.buildpacks = ""
	}
	return own
}

// pullOwn is for the engine to pull from our own registry.
func (b *Builder) pullOwn(reference string) (string, sandbox.Login) {
	r := b.options.Registry
	if ref, err := name.ParseReference(reference); err == nil && ref.Context().RegistryStr() == r.Host {
		return reference, sandbox.Login{Username: r.Username, Password: r.Password}
	}
	return reference, sandbox.Login{}
}

func (b *Builder) readBundle() ([]byte, error) {
	if b.options.CABundle == "" {
		return nil, nil
	}
	return os.ReadFile(b.options.CABundle)
}
