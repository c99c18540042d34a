package cli

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"net"
	"path/filepath"

	"github.com/urfave/cli/v2"
	"golang.org/x/sync/errgroup"

	"github.com/cupola-paas/cupola/controller/capi"
	"github.com/cupola-paas/cupola/controller/outpost"
	"github.com/cupola-paas/cupola/node/worker"
)

var (
	routerHTTPFlag  = &cli.StringFlag{Name: "http", EnvVars: []string{"CUPOLA_ROUTER_HTTP"}, Value: ":80", Usage: "`HOST:PORT` of the router for plain HTTP (default: :80)"}
	routerHTTPSFlag = &cli.StringFlag{Name: "https", EnvVars: []string{"CUPOLA_ROUTER_HTTPS"}, Value: ":443", Usage: "`HOST:PORT` of the router for HTTPS (default: :443)"}
)

// routerCommand routes on this machine.
func (k *console) routerCommand() *cli.Command {
	return k.command(spec{name: "router", category: platformCategory, summary: "route on this machine, which is a node or does nothing else", noJSON: true, run: runRouter,
		flags: []cli.Flag{
			textFlag("controller", "CUPOLA_CONTROLLER", "`URL` of the API, for a machine that has not joined: it only routes then"),
			textFlag("token", "CUPOLA_NODE_TOKEN", "`TOKEN` that `cupola node token --router` printed, likewise; better in CUPOLA_NODE_TOKEN than on the command line"),
			textFlag("address", "CUPOLA_NODE_ADDRESS", "`IP` of this machine (default: the one from which it reaches the server)"),
			textFlag("name", "CUPOLA_NODE_NAME", "`NAME` of the machine (default: the host's)"),
			textFlag("zone", "CUPOLA_NODE_ZONE", "`NAME` of the zone that the machine is in: instances there are preferred (default: the node's label)"),
			routerHTTPFlag, routerHTTPSFlag,
			textFlag("dir", "CUPOLA_NODE_DIR", "`FOLDER` for what makes this machine a node or a router (default: "+worker.DefaultDir+" of a node, else "+worker.DefaultRouterDir+")"),
			textFlag("log-level", "CUPOLA_LOG_LEVEL", "`LEVEL` of the log: debug, info, warn or error (default: info)"),
		},
		details: "It serves the same routes with the same certificates as the server, from its own memory: it goes on when the server is\n" +
			"away, also after a restart. systemd, or cupola node run, does this on a node that joined with --router.",
		examples: []string{"cupola router                                                   # on a node", "cupola router --controller https://api.example.com --token TOKEN --zone north"},
		api:      []string{"GET /ca.pem", "GET /healthz", "POST /v3/nodes"}, max: 0})
}

func runRouter(_ context.Context, _ *session, c *cli.Context) error {
	ctx, stop, logger, err := foreground(c)
	if err != nil {
		return err
	}
	defer stop()
	dir, err := routerDir(ctx, c)
	if err != nil {
		return err
	}
	n, papers, err := worker.OpenPapers(dir)
	if err != nil {
		return err
	}
	at := worker.Router{HTTP: c.String("http"), HTTPS: c.String("https"), Zone: c.String("zone")}
	if n.Router != nil {
		at = worker.Router{HTTP: set(c, "http", n.Router.HTTP), HTTPS: set(c, "https", n.Router.HTTPS), Zone: cmp.Or(at.Zone, n.Router.Zone)}
	}
	work, ctx := errgroup.WithContext(ctx)
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	work.Go(func() error { return papers.Keep(ctx, logger) })
	err = outpost.Run(ctx, outpost.Options{
		Dir: filepath.Join(dir, "router"), Door: n.Server, TLS: papers.Door(), Address: n.Address, HTTPAddr: at.HTTP, HTTPSAddr: at.HTTPS, Zone: at.Zone, Log: logger,
	})
	cancel()
	return errors.Join(err, work.Wait())
}

// set is what a flag says if it was given, else what was said when the machine joined.
func set(c *cli.Context, flag, before string) string {
	if c.IsSet(flag) {
		return c.String(flag)
	}
	return cmp.Or(before, c.String(flag))
}

// routerDir is the folder of the machine, which joins first if it has not.
func routerDir(ctx context.Context, c *cli.Context) (string, error) {
	dirs := []string{worker.DefaultDir, worker.DefaultRouterDir}
	if c.String("dir") != "" {
		dirs = []string{c.String("dir")}
	}
	for _, dir := range dirs {
		if _, err := worker.Load(dir); err == nil {
			return dir, nil
		} else if !errors.Is(err, worker.ErrNotJoined) {
			return "", err
		}
	}
	if c.String("controller") == "" || c.String("token") == "" {
		return "", badUsage("this machine has not joined a platform").withHint("to let it route and nothing else: --controller and --token, which cupola node token --router prints where an administrator is logged in")
	}
	dir := dirs[len(dirs)-1]
	return dir, joinAsRouter(ctx, c, dir)
}

// joinAsRouter makes this machine one that only routes.
func joinAsRouter(ctx context.Context, c *cli.Context, dir string) error {
	n, err := describeMachine(c)
	if err != nil {
		return err
	}
	n.RouterOnly = true
	n.Router = &worker.Router{HTTP: c.String("http"), HTTPS: c.String("https"), Zone: c.String("zone")}
	if n.Address == "" {
		if n.Address, err = addressTowards(ctx, c.String("controller")); err != nil {
			return err
		}
	}
	if err := canListen(ctx, n.Router.HTTP, n.Router.HTTPS); err != nil { // before the token is spent
		return err
	}
	joiner, err := capi.OpenJoin(ctx, c.String("controller"), c.String("token"))
	if err != nil {
		return err
	}
	key, request, err := worker.NewKey()
	if err != nil {
		return err
	}
	w, err := joiner.Join(ctx, capi.NodeJoin{Name: n.Name, Address: n.Address, Request: string(request), Router: true, RouterOnly: true})
	if err != nil {
		return tokenError(err)
	}
	n.GUID, n.Installation, n.NodeName, n.ServerName, n.Server = w.GUID, w.Installation, w.NodeName, w.ServerName, w.Server
	if err := worker.Save(dir, n, worker.Secrets{Key: key, Certificate: []byte(w.Certificate), CA: []byte(w.CA)}); err != nil {
		return fmt.Errorf("keep what the server gave: %w; make another token and try again", err)
	}
	return nil
}

// canListen opens the ports for a moment.
func canListen(ctx context.Context, addresses ...string) error {
	for _, a := range addresses {
		l, err := (&net.ListenConfig{}).Listen(ctx, "tcp", a)
		if err != nil {
			return withHint(err, "the router needs its ports: stop what has them, or give others with --http and --https")
		}
		if err := l.Close(); err != nil {
			return err
		}
	}
	return nil
}
