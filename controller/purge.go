package controller

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"

	"github.com/cupola-paas/cupola/buildpack"
	"github.com/cupola-paas/cupola/controller/nomadserver"
	"github.com/cupola-paas/cupola/node/docker"
	"github.com/cupola-paas/cupola/node/nomad"
)

// Purge removes all containers, networks, firewall rules and pulled images of the platform whose data is in
// c.DataDir, and with volumes the data of its data services. The server must not run. Data on disk is left to the caller.
func Purge(ctx context.Context, c Config, volumes bool, out io.Writer) error {
	c = c.WithDefaults()
	if _, err := os.Stat(filepath.Join(c.DataDir, "store")); err != nil {
		return fmt.Errorf("%s has no data of a platform: %w", c.DataDir, err)
	}
	s := &Server{config: c, log: c.Log}
	defer s.Close()
	if err := s.openStore(ctx); err != nil {
		return err
	}
	host, err := setting(s.db, registryHostSetting, func() []byte { return []byte(c.RegistryAddr) })
	if err != nil {
		return err
	}
	was, err := setting(s.db, engineSetting, func() []byte { return []byte(engineDocker) })
	if err != nil {
		return err
	}
	if was == engineNomad {
		if nomadserver.Made(s.db) && s.config.Nomad.Address == "" {
			s.config.Nomad.Own = true
			s.config = s.config.WithDefaults()
		}
		if err := s.purgeNomad(ctx); err != nil {
			return err
		}
	}
	engine, err := docker.Open(ctx, docker.Options{Installation: s.installation, Host: c.DockerHost, ImagePrefix: host + "/", Logger: c.Log})
	if err != nil {
		return err
	}
	defer engine.Close()
	builder, err := buildpack.New(buildpack.Options{Dir: s.dir("build"), DockerHost: c.DockerHost, Installation: s.installation})
	if err != nil {
		return err
	}
	defer builder.Close()
	errBuilds := builder.Sweep(ctx, func(string) bool { return false })
	errEngine := engine.Purge(ctx)
	_, errImages := engine.RemoveImages(ctx, func(string) bool { return false })
	if err := errors.Join(errBuilds, errEngine, errImages); err != nil {
		return fmt.Errorf("purge installation %s: %w", s.installation, err)
	}
	fmt.Fprintf(out, "removed containers, networks, rules and images of installation %s\n", s.installation)
	return purgeVolumes(ctx, engine, volumes, out)
}

// purgeNomad removes the jobs in the cluster, on all its nodes.
func (s *Server) purgeNomad(ctx context.Context) error {
	local, err := docker.Open(ctx, docker.Options{Installation: s.installation, Host: s.config.DockerHost, Attach: true, Logger: s.log})
	if err != nil {
		return err
	}
	if err := s.openOwnNomad(ctx); err != nil {
		return errors.Join(err, local.Close())
	}
	e, err := nomad.Open(ctx, s.nomadOptions(local))
	if err != nil {
		return err
	}
	err = errors.Join(e.Purge(ctx), e.Close())
	if s.ownNomad == nil {
		return err
	}
	return errors.Join(err, s.ownNomad.Close(), nomadserver.Unmount(s.dir("nomad")))
}
