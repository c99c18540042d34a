package controller

import (
	"context"

	"github.com/google/go-containerregistry/pkg/authn"
	"github.com/google/go-containerregistry/pkg/name"
	"github.com/google/go-containerregistry/pkg/v1/remote"

	"github.com/cupola-paas/cupola/controller/api"
	"github.com/cupola-paas/cupola/controller/migration"
	"github.com/cupola-paas/cupola/node/nomad"
)

// engines gives the API what it takes to move what runs from one engine to the other; nil where there is one.
func (s *Server) engines() api.Engines {
	e, ok := s.engine.(*nomad.Nomad)
	if !ok {
		return nil
	}
	return &migration.Planner{
		Loop: s.migration, Machines: e.Machines, Ping: e.PingCluster, Volumes: e.Volumes, DockerMB: s.local.Machine().MemoryMB,
		Reserve: s.config.Nomad.Oversubscribe, Image: s.hasImage,
	}
}

// hasImage returns nil if the image is in the platform's registry.
func (s *Server) hasImage(ctx context.Context, repository, digest string) error {
	ref, err := name.NewDigest(s.registry.Host()+"/"+repository+"@"+digest, name.Insecure)
	if err != nil {
		return err
	}
	_, err = remote.Head(ref, remote.WithContext(ctx), remote.WithAuth(&authn.Basic{Username: registryUser, Password: s.registryPassword}))
	return err
}
