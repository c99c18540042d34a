package cli

import (
	"context"
	"fmt"
	"strconv"
	"strings"
	"time"

	"github.com/urfave/cli/v2"

	"github.com/cupola-paas/cupola/controller/capi"
)

const nodesPath = "/v3/admin/nodes"

func (k *console) nodeCommands() []*cli.Command {
	return []*cli.Command{
		k.command(spec{name: "nodes", category: platformCategory, summary: "list the machines of the cluster, for administrators", need: aLogin,
			api: []string{"GET " + nodesPath}, run: nodes}),
		k.nodeCommand(),
	}
}

// nodeCommand is about one machine: its way into the cluster, and out of it.
func (k *console) nodeCommand() *cli.Command {
	parent := k.command(spec{name: "node", category: platformCategory, summary: "make this machine a node of a cluster, empty one, remove one", noJSON: true,
		details:  "On the machine itself: join, run. From anywhere, for administrators: the others. See also: nodes.",
		examples: []string{"cupola node token", "cupola node join https://api.example.com --token TOKEN", "cupola node drain vm-2"},
		run: func(_ context.Context, _ *session, c *cli.Context) error {
			if c.Args().Present() {
				return badUsage("node does not know what to do with %q", c.Args().First()).withHint("see: cupola node --help")
			}
			return cli.ShowSubcommandHelp(c)
		}, max: -1})
	return k.above(parent, append(k.joiningCommands(), k.leavingCommands()...)...)
}

// nodeSub is a subcommand of node.
func (k *console) nodeSub(name string, sp spec) *cli.Command {
	sp.name, sp.category = "node "+name, platformCategory
	command := k.command(sp)
	command.Name = name
	return command
}

func (k *console) joiningCommands() []*cli.Command {
	return []*cli.Command{
		k.nodeSub("token", spec{summary: "make a token with which one machine joins the cluster", need: aLogin,
			flags: []cli.Flag{&cli.DurationFlag{Name: "valid", Usage: "`TIME` that the token may be used, from 1m to 168h (default: 1h)"},
				&cli.BoolFlag{Name: "router", Usage: "let the machine route: it gets the keys of the certificates of all apps' hosts"}},
			details: "It is shown this once and lets in one machine. The fingerprint of the server's CA is part of it.",
			api:     []string{"POST " + nodeTokensPath}, run: makeNodeToken}),
		k.nodeSub("join", spec{summary: "make this machine a node", args: "API", min: 1, max: 1, flags: joinFlags(), run: joinNode, api: []string{"GET /ca.pem", "GET /healthz", "POST /v3/nodes"},
			details: "It looks at the machine first and says what to mend; the token is spent only when all is well. The machine needs root,\n" +
				"Docker Engine and a nomad program. Where there is systemd it runs the node from then on. To join again does no harm.",
			examples: []string{"cupola node join https://api.example.com --token TOKEN --zone north", "cupola node join https://api.example.com --token TOKEN --check"}}),
		k.nodeSub("run", spec{summary: "run this machine as a node, in the foreground", noJSON: true, run: runNode,
			flags:   []cli.Flag{nodeDirFlag, textFlag("log-level", "CUPOLA_LOG_LEVEL", "`LEVEL` of the log: debug, info, warn or error (default: info)")},
			details: "systemd does this where it is. It starts Nomad's client and keeps it running; instances go on when it is stopped."}),
		k.nodeSub("label", spec{summary: "set or take away labels of a node", args: "NODE KEY|KEY=VALUE|KEY-...", min: 2, max: -1, need: aLogin,
			details: "The label zone tells instances of one app apart: they avoid each other's zones. On nodes with the label builder apps are built,\n" +
				"as far as there is memory that no app has; without such a node that is done on the server's machine.",
			examples: []string{"cupola node label vm-2 zone=north disk=fast", "cupola node label vm-2 disk-", "cupola node label vm-3 builder"},
			api:      []string{"GET " + nodesPath, "PATCH " + nodesPath + "/:guid"}, run: labelNode}),
		k.nodeSub("route", spec{summary: "say whether a node may route", args: "NODE on|off", min: 2, max: 2, need: aLogin,
			details: "A machine that routes has the keys of the certificates of all apps' hosts. Switched off, its router hears of no change\n" +
				"any more; stop it there. Switched on for a machine that is a node already, join there again with --router.",
			api: []string{"GET " + nodesPath, "PATCH " + nodesPath + "/:guid"}, run: letNodeRoute}),
	}
}

func (k *console) leavingCommands() []*cli.Command {
	change := func(verb, summary, done string) *cli.Command {
		return k.nodeSub(verb, spec{summary: summary, args: "NODE", min: 1, max: 1, need: aLogin,
			api: []string{"GET " + nodesPath, "POST " + nodesPath + "/:guid/actions/" + verb},
			run: func(ctx context.Context, s *session, c *cli.Context) error {
				n, err := s.node(ctx, c.Args().First())
				if err != nil {
					return err
				}
				if err := s.client.Act(ctx, "POST", nodesPath+"/"+n.GUID+"/actions/"+verb, nil); err != nil {
					return err
				}
				s.ui.Notef(done, s.ui.Name(n.Name))
				return nil
			}})
	}
	return []*cli.Command{
		change("drain", "empty a machine: its instances are replaced elsewhere first, and none are placed there",
			"Node %s takes no more instances. Those that it has are stopped as soon as others have taken their places; cupola nodes shows when it is DRAINED."),
		change("resume", "let instances be placed on a machine again", "Node %s takes instances again."),
		k.nodeSub("remove", spec{summary: "forget a machine that is down", args: "NODE", min: 1, max: 1,
			flags: []cli.Flag{forceFlag}, need: aLogin, api: []string{"GET " + nodesPath, "DELETE " + nodesPath + "/:guid"}, run: removeNode}),
	}
}

const nodeTokensPath = "/v3/admin/node_tokens"

func makeNodeToken(ctx context.Context, s *session, c *cli.Context) error {
	in := capi.NodeTokenCreate{Router: c.Bool("router")}
	if valid := c.Duration("valid"); c.IsSet("valid") {
		seconds := int(valid.Seconds())
		in.LifetimeSeconds = &seconds
	}
	t, err := capi.Change[capi.NodeToken](ctx, s.client, "POST", nodeTokensPath, in)
	if err != nil {
		return err
	}
	if c.Bool("json") {
		return s.ui.JSON(t)
	}
	s.ui.Notef("The token lets in one machine until %s, and is shown this once. On that machine, as root:", t.ExpiresAt.Local().Format(time.DateTime))
	if in.Router {
		s.ui.Println("cupola node join " + s.client.API() + " --router --token " + t.Token)
		s.ui.Println("cupola router --controller " + s.client.API() + " --token " + t.Token + "   # where it does nothing else")
		return nil
	}
	s.ui.Println("cupola node join " + s.client.API() + " --token " + t.Token)
	return nil
}

// plainLabel is the value of a label that is given without one.
const plainLabel = "true"

func labelNode(ctx context.Context, s *session, c *cli.Context) error {
	labels := map[string]*string{}
	for _, text := range c.Args().Tail() {
		key, value, set := strings.Cut(text, "=")
		gone, remove := strings.CutSuffix(text, "-")
		switch {
		case remove && !set:
			labels[gone] = nil
		case set:
			labels[key] = &value
		default:
			yes := plainLabel
			labels[text] = &yes
		}
	}
	n, err := s.node(ctx, c.Args().First())
	if err != nil {
		return err
	}
	if err := s.client.Act(ctx, "PATCH", nodesPath+"/"+n.GUID, capi.NodeUpdate{Labels: labels}); err != nil {
		return err
	}
	s.ui.Notef("Node %s has its labels; they count for instances that start from now on.", s.ui.Name(n.Name))
	return nil
}

func letNodeRoute(ctx context.Context, s *session, c *cli.Context) error {
	may := c.Args().Get(1) == "on"
	if !may && c.Args().Get(1) != "off" {
		return badUsage("%q is neither on nor off", c.Args().Get(1))
	}
	n, err := s.node(ctx, c.Args().First())
	if err != nil {
		return err
	}
	if err := s.client.Act(ctx, "PATCH", nodesPath+"/"+n.GUID, capi.NodeUpdate{Router: &may}); err != nil {
		return err
	}
	if may {
		s.ui.Notef("Node %s may route. On it, as root: cupola node join %s --router", s.ui.Name(n.Name), s.client.API())
	} else {
		s.ui.Notef("Node %s may not route any more. What its router has it may serve until it is stopped there.", s.ui.Name(n.Name))
	}
	return nil
}

// node finds a machine by its name, or by its GUID where several have the same name.
func (s *session) node(ctx context.Context, name string) (capi.Node, error) {
	all, err := capi.Get[capi.Nodes](ctx, s.client, nodesPath)
	if err != nil {
		return capi.Node{}, err
	}
	var found []capi.Node
	for _, n := range all.Resources {
		if n.GUID == name {
			return n, nil
		}
		if n.Name == name {
			found = append(found, n)
		}
	}
	switch len(found) {
	case 0:
		return capi.Node{}, fmt.Errorf("there is no node %s: cupola nodes lists them", quote(name))
	case 1:
		return found[0], nil
	}
	return capi.Node{}, fmt.Errorf("%d nodes are named %s: give the guid of one (cupola nodes --json)", len(found), quote(name))
}

func nodes(ctx context.Context, s *session, c *cli.Context) error {
	all, err := capi.Get[capi.Nodes](ctx, s.client, nodesPath)
	if err != nil {
		return err
	}
	err = list(s, c, all.Resources, "All runs on one machine: there are no nodes.", []string{"name", "state", "pool", "zone", "instances", "builds", "memory", "router", "nomad"},
		func(n capi.Node) []string {
			return []string{s.ui.Name(n.Name), n.State, n.Pool, n.Zone, strconv.Itoa(n.Count), buildsOf(n), memoryOf(n), strings.ToLower(n.Router), n.Version}
		})
	if err != nil || c.Bool("json") {
		return err
	}
	for _, n := range all.Resources {
		if n.Problem != "" {
			s.ui.Notef("%s: %s.", s.ui.Name(n.Name), n.Problem)
		}
	}
	return nil
}

// buildsOf says whether apps are built on a node, and how many now.
func buildsOf(n capi.Node) string {
	switch {
	case n.Builds > 0:
		return fmt.Sprintf("%d now", n.Builds)
	case n.Builder:
		return "yes"
	}
	return ""
}

func memoryOf(n capi.Node) string {
	if n.RouterOnly {
		return ""
	}
	return fmt.Sprintf("%d of %d MB", n.Reserved, n.Memory)
}

func removeNode(ctx context.Context, s *session, c *cli.Context) error {
	n, err := s.node(ctx, c.Args().First())
	if err != nil {
		return err
	}
	if !c.Bool("force") {
		if n.Kept > 0 {
			s.ui.Warnf("%d data services have their data on it alone: once it is forgotten they never answer again, also when the machine is back.", n.Kept)
		}
		ok, err := s.ui.Confirm("Forget node %s?", quote(n.Name))
		if err != nil {
			return withHint(err, "to forget it without a question: -f")
		}
		if !ok {
			s.ui.Notef("Nothing is changed.")
			return nil
		}
	}
	if err := s.client.Delete(ctx, nodesPath+"/"+n.GUID); err != nil {
		return err
	}
	s.ui.Notef("Node %s is forgotten.", s.ui.Name(n.Name))
	return nil
}
