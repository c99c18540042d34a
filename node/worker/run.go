package worker

import (
	"context"
	"crypto/rand"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"net/netip"
	"net/url"
	"os"
	"path/filepath"
	"time"

	"golang.org/x/sync/errgroup"

	"github.com/cupola-paas/cupola/node"
	"github.com/cupola-paas/cupola/node/agent"
	"github.com/cupola-paas/cupola/node/docker"
	"github.com/cupola-paas/cupola/node/nomad/program"
)

// Options say how a node runs.
type Options struct {
	Dir string
	// Names serves the name server of instances at the address for clients of that network, until ctx ends. The controller's
	// door, at that URL for that client, tells the names of apps.
	Names func(ctx context.Context, at netip.AddrPort, clients netip.Prefix, door string, client *http.Client) error
	// Builds makes what builds here for the controller.
	Builds func(Site) (Builds, error)
	// NomadLog takes what Nomad says; nil: nobody hears it.
	NomadLog io.Writer
	Log      *slog.Logger
}

// Builds is what builds on a node; *builders.Node is one.
type Builds interface {
	// Handler serves the controller below agent.BuildsPath.
	Handler() http.Handler
	// Run returns when ctx has ended and no build is left.
	Run(ctx context.Context) error
}

// Site is what builds on a node stand on.
type Site struct {
	Dir, DockerHost, Installation string
	Docker                        *docker.Docker
	// Image is where Docker finds an image of the platform's registry, and Door where we do, by Transport.
	Image     func(name string) (ref, user, secret string)
	Door      *url.URL
	Transport http.RoundTripper
}

// buildsDir is where builds have their files, in the node's folder.
const buildsDir = "builds"

// dockerTry is the wait between two looks for a Docker that does not answer.
const dockerTry = 2 * time.Second

// Run is a node until ctx ends. Instances go on when it has ended.
func Run(ctx context.Context, o Options) error {
	n, err := Load(o.Dir)
	if err != nil {
		return err
	}
	if n.RouterOnly {
		return errors.New("this machine only routes: run cupola router")
	}
	self, err := os.Executable()
	if err != nil {
		return err
	}
	p, err := openPapers(o.Dir, n)
	if err != nil {
		return err
	}
	forController, err := net.Listen("tcp", n.agentAddress())
	if err != nil {
		return fmt.Errorf("listen for the controller: %w", err)
	}
	defer forController.Close()
	forDocker, err := net.Listen("tcp", n.pullAddress())
	if err != nil {
		return fmt.Errorf("listen for Docker: %w", err)
	}
	defer forDocker.Close()
	engine, err := openDocker(ctx, n, p, o.Log)
	if err != nil {
		return err
	}
	password := rand.Text()
	kept, err := engine.List(ctx)
	if err == nil {
		err = writeNomad(o.Dir, n, password, engine.Gateway(), keptMB(kept))
	}
	if err != nil {
		return errors.Join(err, engine.Close())
	}
	nomadClient := &program.Program{Path: n.NomadProgram, Config: filepath.Join(o.Dir, nomadConfig), Out: o.NomadLog, Log: o.Log}
	p.nomad = nomadClient
	image := func(name string) (ref, user, secret string) { return n.pullAddress() + "/" + name, pullUser, password }
	transport := &http.Transport{TLSClientConfig: p.client(), MaxIdleConnsPerHost: 8, IdleConnTimeout: time.Minute, TLSHandshakeTimeout: callLimit}
	client := &http.Client{Transport: transport}
	builds, err := o.Builds(Site{
		Dir: filepath.Join(o.Dir, buildsDir), DockerHost: n.DockerHost, Installation: n.Installation, Docker: engine,
		Image: image, Door: &url.URL{Scheme: "https", Host: n.Server}, Transport: transport,
	})
	if err != nil {
		return errors.Join(err, engine.Close())
	}
	a := agent.New(engine, agent.Options{Controller: n.ServerName, NodeName: n.nameOf, Image: image, Builds: builds.Handler()})
	work, ctx := errgroup.WithContext(ctx)
	work.Go(func() error { return builds.Run(ctx) })
	work.Go(func() error { return a.Run(ctx) })
	work.Go(func() error { return serve(ctx, tls.NewListener(forController, p.server()), a.Handler(), o.Log) })
	work.Go(func() error { return serve(ctx, forDocker, images(p, password, o.Log), o.Log) })
	work.Go(func() error { return p.keepFresh(ctx, o.Log) })
	work.Go(func() error {
		return o.Names(ctx, netip.AddrPortFrom(engine.Gateway(), 53), engine.AppsSubnet(), "https://"+n.Server, client)
	})
	work.Go(func() error { return nomadClient.Run(ctx) })
	if n.Router != nil && !HasSystemd() { // which runs it itself
		work.Go(func() error { return superviseRouter(ctx, self, o.Dir, o.NomadLog, o.Log) })
	}
	o.Log.Info("this machine is a node", "node", n.Name, "guid", n.GUID, "agent", n.agentAddress())
	return errors.Join(work.Wait(), engine.Close())
}

// openDocker waits for Docker: at a boot it may come later.
func openDocker(ctx context.Context, n *Node, p *papers, log *slog.Logger) (*docker.Docker, error) {
	for told := false; ; {
		d, err := docker.Open(ctx, docker.Options{
			Installation: n.Installation, Host: n.DockerHost, ImagePrefix: n.pullAddress() + "/", Attach: true, Logger: log,
			AppsSubnet: n.Subnet, DialFar: p.dialFar,
		})
		if err == nil || !errors.Is(err, node.ErrUnavailable) {
			return d, err
		}
		if !told {
			log.Warn("Docker does not answer yet; it is tried again", "error", err)
			told = true
		}
		select {
		case <-ctx.Done():
			return nil, ctx.Err()
		case <-time.After(dockerTry):
		}
	}
}

// dialFar reaches a workload on another machine, by the agent there or by the controller's door.
func (p *papers) dialFar(ctx context.Context, far node.Far, from string, to netip.AddrPort) (net.Conn, error) {
	if far.Node == "" {
		return agent.Bridge(ctx, p.node.Server, p.client(), from, to)
	}
	return agent.Bridge(ctx, far.Agent, p.clientOf(p.node.nameOf(far.Node)), from, to)
}
