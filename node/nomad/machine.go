package nomad

import (
	"cmp"
	"context"
	"fmt"
	"slices"

	"github.com/hashicorp/nomad/api"

	"github.com/cupola-paas/cupola/node"
)

var _ node.Machines = (*Nomad)(nil)

// Machines implements node.Machines, from memory.
func (e *Nomad) Machines(context.Context) ([]node.Machine, error) {
	e.mu.RLock()
	defer e.mu.RUnlock()
	var all []node.Machine
	for id, m := range e.nodes {
		if id == noNode {
			continue
		}
		x := node.Machine{
			ID: id, Name: m.hostname, Address: m.address, Pool: m.pool, Zone: m.zone, Version: m.version,
			Up: !m.down, Eligible: m.eligible, Agent: m.agent != nil, MemoryMB: m.memoryMB,
		}
		if x.Pool == defaultPool {
			x.Pool = ""
		}
		for _, w := range e.workloads {
			if a := w.current(); a != nil && a.nodeID == id && !a.over() {
				x.Workloads++
				x.ReservedMB += a.memoryMB
			}
		}
		all = append(all, x)
	}
	slices.SortFunc(all, func(a, b node.Machine) int { return cmp.Or(cmp.Compare(a.Name, b.Name), cmp.Compare(a.ID, b.ID)) })
	return all, nil
}

func (e *Nomad) findMachine(id string) (*member, error) {
	e.mu.RLock()
	defer e.mu.RUnlock()
	m := e.nodes[id]
	if m == nil || id == noNode {
		return nil, fmt.Errorf("node %s: %w", id, node.ErrNotFound)
	}
	return m, nil
}

// SetEligible implements node.Machines.
func (e *Nomad) SetEligible(ctx context.Context, id string, eligible bool) error {
	if _, err := e.findMachine(id); err != nil {
		return err
	}
	if _, err := e.api.Nodes().ToggleEligibility(id, eligible, (&api.WriteOptions{}).WithContext(ctx)); err != nil {
		return failed("node "+id, err)
	}
	return e.learnNode(ctx, id)
}

// RemoveMachine implements node.Machines.
func (e *Nomad) RemoveMachine(ctx context.Context, id string) error {
	m, err := e.findMachine(id)
	if err != nil {
		return err
	}
	e.mu.RLock()
	down := m.down
	e.mu.RUnlock()
	if !down {
		return fmt.Errorf("node %s: %w", m.hostname, node.ErrMachineUp)
	}
	if _, _, err := e.api.Nodes().Purge(id, (&api.QueryOptions{}).WithContext(ctx)); err != nil {
		return failed("node "+id, err)
	}
	return e.resync(ctx)
}
