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
			Up: !m.down, Eligible: m.eligible, Agent: m.agent != nil, MemoryMB: m.memoryMB, Cores: m.cores, Labels: m.labels,
			DiskFull: m.host.DiskFull, Skew: m.host.Skew, Away: m.why,
		}
		if x.Pool == defaultPool {
			x.Pool = ""
		}
		for _, w := range e.workloads {
			a := w.current()
			switch {
			case a == nil || a.nodeID != id || a.over():
			case w.reserves():
				x.Builds++
			default:
				x.Workloads++
			}
		}
		for _, at := range e.kept {
			if at == m {
				x.Kept++
			}
		}
		x.ReservedMB = e.reservedLocked(m)
		all = append(all, x)
	}
	slices.SortFunc(all, func(a, b node.Machine) int { return cmp.Or(cmp.Compare(a.Name, b.Name), cmp.Compare(a.ID, b.ID)) })
	return all, nil
}

// Zone is that of a machine; empty: it has none, or there is no such machine.
func (e *Nomad) Zone(id string) string {
	e.mu.RLock()
	defer e.mu.RUnlock()
	if m := e.nodes[id]; m != nil {
		return m.zone
	}
	return ""
}

func (e *Nomad) findMachine(id string) (hostname string, down bool, err error) {
	e.mu.RLock()
	defer e.mu.RUnlock()
	m := e.nodes[id]
	if m == nil || id == noNode {
		return "", false, fmt.Errorf("node %s: %w", id, node.ErrNotFound)
	}
	return m.hostname, m.down, nil
}

// SetEligible implements node.Machines.
func (e *Nomad) SetEligible(ctx context.Context, id string, eligible bool) error {
	if _, _, err := e.findMachine(id); err != nil {
		return err
	}
	if _, err := e.api.Nodes().ToggleEligibility(id, eligible, (&api.WriteOptions{}).WithContext(ctx)); err != nil {
		return failed("node "+id, err)
	}
	return e.learnNode(ctx, id)
}

// RemoveMachine implements node.Machines.
func (e *Nomad) RemoveMachine(ctx context.Context, id string) error {
	hostname, down, err := e.findMachine(id)
	if err != nil {
		return err
	}
	if !down {
		return fmt.Errorf("node %s: %w", hostname, node.ErrMachineUp)
	}
	if _, _, err := e.api.Nodes().Purge(id, (&api.QueryOptions{}).WithContext(ctx)); err != nil {
		return failed("node "+id, err)
	}
	return e.resync(ctx)
}

// SetLabels implements node.Machines. A node keeps what it was told for as long as it has its data.
func (e *Nomad) SetLabels(ctx context.Context, id string, labels map[string]*string) error {
	hostname, down, err := e.findMachine(id)
	if err != nil {
		return err
	}
	if down {
		return fmt.Errorf("node %s: %w", hostname, node.ErrMachineDown)
	}
	q := (&api.QueryOptions{}).WithContext(ctx)
	if _, err := e.api.Nodes().Meta().Apply(&api.NodeMetaApplyRequest{NodeID: id, Meta: labels}, q); err != nil {
		return failed("label node "+id, err)
	}
	err = e.awaitMeta(ctx, id, func(meta map[string]string) bool {
		for key, value := range labels {
			if have, there := meta[key]; there != (value != nil) || there && have != *value {
				return false
			}
		}
		return true
	})
	if err != nil {
		return err
	}
	return e.learnNode(ctx, id)
}

// Joining is how a client joins the cluster.
type Joining struct {
	Servers            []string // host:port of their RPC
	Region, Datacenter string
	ACL                bool
}

// Joining asks Nomad's servers where they are.
func (e *Nomad) Joining(ctx context.Context) (Joining, error) {
	j := Joining{Region: "global", Datacenter: "dc1"}
	if _, err := e.api.Raw().Query("/v1/status/peers", &j.Servers, (&api.QueryOptions{}).WithContext(ctx)); err != nil {
		return j, failed("ask Nomad for its servers", err)
	}
	config := e.self.Config
	if r, ok := config["Region"].(string); ok && r != "" {
		j.Region = r
	}
	if d, ok := config["Datacenter"].(string); ok && d != "" {
		j.Datacenter = d
	}
	if acl, ok := config["ACL"].(map[string]any); ok {
		j.ACL, _ = acl["Enabled"].(bool)
	}
	return j, nil
}
