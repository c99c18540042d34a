package cli

import (
	"context"
	"errors"
	"net/http"
	"net/netip"

	"github.com/urfave/cli/v2"

	"github.com/cupola-paas/cupola/controller/builders"
	"github.com/cupola-paas/cupola/controller/discovery"
	"github.com/cupola-paas/cupola/node/worker"
)

// runNode is this machine as a node, in the foreground, until a signal.
func runNode(_ context.Context, _ *session, c *cli.Context) error {
	ctx, stop, logger, err := foreground(c)
	if err != nil {
		return err
	}
	defer stop()
	err = worker.Run(ctx, worker.Options{
		Dir: c.String("dir"), NomadLog: c.App.ErrWriter, Log: logger,
		Builds: func(s worker.Site) (worker.Builds, error) {
			return builders.OpenNode(builders.NodeOptions{
				Dir: s.Dir, DockerHost: s.DockerHost, Installation: s.Installation, Place: s.Docker, Image: s.Image, Door: s.Door, Transport: s.Transport, Log: logger,
			})
		},
		Names: func(ctx context.Context, at netip.AddrPort, clients netip.Prefix, door string, client *http.Client) error {
			follow := discovery.Follow(client, door+discovery.Path)
			return (&discovery.Server{Address: at, Clients: clients, Source: follow, Log: logger}).Run(ctx)
		},
	})
	if errors.Is(err, context.Canceled) && ctx.Err() != nil {
		return nil
	}
	return err
}
