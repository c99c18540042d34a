package controller

import (
	"context"
	"errors"
	"slices"

	"github.com/cupola-paas/cupola/controller/api"
	"github.com/cupola-paas/cupola/controller/capi"
	"github.com/cupola-paas/cupola/node"
	"github.com/cupola-paas/cupola/node/nomad"
	"github.com/cupola-paas/cupola/store"
)

// nodes gives the API the machines of the engine.
func (s *Server) nodes() api.Nodes {
	if m, ok := s.engine.(node.Machines); ok {
		return machines{m, s.db}
	}
	return oneMachine{s.db, s.local}
}

type machines struct {
	engine node.Machines
	db     *store.DB
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
			State: machineState(x), Memory: x.MemoryMB, Reserved: x.ReservedMB, Count: x.Workloads, Kept: x.Kept, Labels: x.Labels,
		})
	}
	joining, err := m.joining(all)
	return append(out, joining...), err
}

// joining are the machines that have joined and have not come to the cluster yet.
func (m machines) joining(there []node.Machine) ([]capi.Node, error) {
	var out []capi.Node
	err := m.db.View(func(tx *store.Tx) error {
		for n := range store.Nodes.All(tx) {
			if !slices.ContainsFunc(there, func(x node.Machine) bool { return x.ID == n.GUID }) {
				out = append(out, capi.Node{GUID: n.GUID, Name: n.Name, Address: n.Address, State: capi.NodeJoining})
			}
		}
		return nil
	})
	return out, err
}

func machineState(x node.Machine) string {
	switch {
	case !x.Up:
		return capi.NodeDown
	case !x.Agent:
		return capi.NodeForeign
	case !x.Eligible && x.Workloads > 0:
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

func (m machines) Drain(ctx context.Context, guid string, drain bool) error {
	return nodeError(m.engine.SetEligible(ctx, guid, !drain))
}

func (m machines) Label(ctx context.Context, guid string, labels map[string]*string) error {
	return nodeError(m.engine.SetLabels(ctx, guid, labels))
}

func (m machines) Remove(ctx context.Context, guid string) error {
	return nodeError(m.engine.RemoveMachine(ctx, guid))
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
