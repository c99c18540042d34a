package cli

import (
	"context"
	"fmt"
	"strconv"

	"github.com/urfave/cli/v2"

	"github.com/cupola-paas/cupola/controller/capi"
)

const nodesPath = "/v3/admin/nodes"

func (k *console) nodeCommands() []*cli.Command {
	change := func(name, summary, verb, done string) *cli.Command {
		return k.command(spec{name: name, category: platformCategory, summary: summary, args: "NODE", min: 1, max: 1, need: aLogin,
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
		k.command(spec{name: "nodes", category: platformCategory, summary: "list the machines of the cluster, for administrators", need: aLogin,
			api: []string{"GET " + nodesPath}, run: nodes}),
		change("drain-node", "empty a machine: its instances are replaced elsewhere first, and none are placed there", "drain",
			"Node %s takes no more instances. Those that it has are stopped as soon as others have taken their places; cupola nodes shows when it is DRAINED."),
		change("resume-node", "let instances be placed on a machine again", "resume", "Node %s takes instances again."),
		k.command(spec{name: "remove-node", category: platformCategory, summary: "forget a machine that is down", args: "NODE", min: 1, max: 1,
			flags: []cli.Flag{forceFlag}, need: aLogin, api: []string{"GET " + nodesPath, "DELETE " + nodesPath + "/:guid"}, run: removeNode}),
	}
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
	return list(s, c, all.Resources, "All runs on one machine: there are no nodes.", []string{"name", "state", "pool", "zone", "instances", "memory", "nomad"},
		func(n capi.Node) []string {
			return []string{s.ui.Name(n.Name), n.State, n.Pool, n.Zone, strconv.Itoa(n.Count), fmt.Sprintf("%d of %d MB", n.Reserved, n.Memory), n.Version}
		})
}

func removeNode(ctx context.Context, s *session, c *cli.Context) error {
	n, err := s.node(ctx, c.Args().First())
	if err != nil {
		return err
	}
	if !c.Bool("force") {
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
