package controller

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/cupola-paas/cupola/controller/api"
	"github.com/cupola-paas/cupola/controller/builders"
	"github.com/cupola-paas/cupola/controller/capi"
	"github.com/cupola-paas/cupola/controller/routerfeed"
	"github.com/cupola-paas/cupola/node"
	"github.com/cupola-paas/cupola/node/nomad"
	"github.com/cupola-paas/cupola/store"
)

// nodes gives the API the machines of the engine.
func (s *Server) nodes() api.Nodes {
	if m, ok := s.engine.(node.Machines); ok {
		return machines{m, s.db, s.feed}
	}
	return oneMachine{s.db, s.local}
}

type machines struct {
	engine node.Machines
	db     *store.DB
	feed   *routerfeed.Feed
}

func (m machines) List(ctx context.Context) ([]capi.Node, error) {
	all, err := m.engine.Machines(ctx)
	if err != nil {
		return nil, err
	}
	out := make([]capi.Node, 0, len(all))
	for _, x := range all {
		out = append(out, capi.Node{
			GUID: x.ID, Name: x.Name, Address: x.Address, Pool: x.Pool, Zone: x.Zone, Version: x.Version,
			State: machineState(x), Problem: machineProblem(x), Memory: x.MemoryMB, Reserved: x.ReservedMB, Count: x.Workloads, Kept: x.Kept, Labels: x.Labels,
			Builder: builders.Builds(x.Labels), Builds: x.Builds,
		})
	}
	routers := m.feed.Routers()
	err = m.db.View(func(tx *store.Tx) error {
		for n := range store.Nodes.All(tx) {
			at := slices.IndexFunc(out, func(x capi.Node) bool { return x.GUID == n.GUID })
			if at < 0 {
				at = len(out)
				out = append(out, absent(n, routers[n.GUID]))
			}
			if n.Router {
				out[at].Router = routerState(routers[n.GUID])
			}
		}
		return nil
	})
	return out, err
}

// absent is a machine that is not in the cluster: it has not come yet, or it only routes.
func absent(n *store.Node, is routerfeed.Status) capi.Node {
	out := capi.Node{GUID: n.GUID, Name: n.Name, Address: n.Address, State: capi.NodeJoining, Problem: problemJoining, RouterOnly: n.RouterOnly}
	switch {
	case n.RouterOnly && is.Connected:
		out.State, out.Problem = capi.NodeReady, ""
	case n.RouterOnly:
		out.State, out.Problem = capi.NodeDown, "its router is not heard: on it, run cupola router"
	}
	return out
}

func routerState(is routerfeed.Status) string {
	switch {
	case is.Current:
		return capi.RouterCurrent
	case is.Connected:
		return capi.RouterBehind
	}
	return capi.RouterAway
}

func machineState(x node.Machine) string {
	switch {
	case !x.Up:
		return capi.NodeDown
	case !x.Agent:
		return capi.NodeForeign
	case errors.Is(x.Away, node.ErrClock):
		return capi.NodeSkewed
	case x.Away != nil:
		return capi.NodeAway
	case !x.Eligible && x.Workloads+x.Builds > 0:
		return capi.NodeDraining
	case !x.Eligible:
		return capi.NodeDrained
	case x.DiskFull:
		return capi.NodeFull
	case x.Skew.Abs() > nomad.MaxSkew:
		return capi.NodeSkewed
	}
	return capi.NodeReady
}

const (
	problemJoining = "it has joined and has not come yet: see that cupola-node runs there (cupola node run), and what it logs"
	problemClock   = "let both machines follow a time server (timedatectl set-ntp true)"
)

// machineProblem is what is wrong with a machine and how to mend it, in a sentence; empty: nothing.
func machineProblem(x node.Machine) string {
	skew, direction := x.Skew.Abs(), "behind"
	if x.Skew > 0 {
		direction = "ahead of"
	}
	switch {
	case errors.Is(x.Away, node.ErrClock):
		return "the server is not let in, for its certificate has ended or begins later by this machine's clock, which is off by a day or more: " + problemClock
	case !x.Up:
		return "Nomad does not hear it: see that it is on, and that it reaches Nomad's servers"
	case !x.Agent:
		return "nobody of ours is there: join it with cupola node join"
	case x.Away != nil:
		return "Nomad hears it, and the server does not: see that cupola-node runs there, and that the server reaches its port for the agent"
	case skew > nomad.MaxSkew:
		return fmt.Sprintf("its clock is %s %s the server's; what runs there goes on: %s", skew.Round(time.Second), direction, problemClock)
	case x.DiskFull:
		return "Docker's disk is full: make room there"
	}
	return ""
}

func (m machines) Drain(ctx context.Context, guid string, drain bool) error {
	return m.inCluster(guid, m.engine.SetEligible(ctx, guid, !drain))
}

func (m machines) Label(ctx context.Context, guid string, labels map[string]*string) error {
	return m.inCluster(guid, m.engine.SetLabels(ctx, guid, labels))
}

func (m machines) Remove(ctx context.Context, guid string) error {
	return nodeError(m.engine.RemoveMachine(ctx, guid))
}

// inCluster is nodeError for what can be done with a machine of the cluster alone: of another one that joined it says what it is.
func (m machines) inCluster(guid string, err error) error {
	if !errors.Is(err, node.ErrNotFound) {
		return nodeError(err)
	}
	var n *store.Node
	if m.db.View(func(tx *store.Tx) (err error) { n, err = store.Nodes.Get(tx, guid); return err }) != nil {
		return nodeError(err)
	}
	if n.RouterOnly {
		return capi.UnprocessableEntity.Errorf("Node %s only routes: it has no instances and no labels", n.Name)
	}
	return capi.UnprocessableEntity.Errorf("Node %s has joined and has not come yet: see that cupola-node runs there", n.Name)
}

// nodeError says in the API's words what an engine said about a machine.
func nodeError(err error) error {
	switch {
	case errors.Is(err, node.ErrNotFound):
		return capi.ResourceNotFound.Errorf("Node not found")
	case errors.Is(err, node.ErrMachineUp), errors.Is(err, node.ErrMachineDown):
		return capi.UnprocessableEntity.Errorf("%s", err.Error())
	}
	return err
}
