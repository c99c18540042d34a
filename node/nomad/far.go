package nomad

import (
	"cmp"
	"context"
	"net/netip"
	"slices"
	"time"

	"golang.org/x/sync/errgroup"

	"github.com/cupola-paas/cupola/node"
)

// Workloads on different machines reach each other by their addresses, which differ because each machine has a network of its own.
// The engine tells every agent where on other machines the workloads are that policies lead to, whenever that changes.

// farPause gathers changes.
const farPause = 100 * time.Millisecond

// ownSubnetLocked reports whether the addresses on a machine are no other's.
func (e *Nomad) ownSubnetLocked(m *member) bool {
	if !m.host.Subnet.IsValid() {
		return false
	}
	for _, other := range e.nodes {
		if other != m && other.host.Subnet.IsValid() && other.host.Subnet.Overlaps(m.host.Subnet) {
			return false
		}
	}
	return true
}

// Reachable reports whether workloads on every machine reach that address, if a policy lets them.
func (e *Nomad) Reachable(a netip.Addr) bool {
	e.mu.RLock()
	defer e.mu.RUnlock()
	for _, m := range e.nodes {
		if m.host.Subnet.IsValid() && m.host.Subnet.Contains(a) {
			return e.ownSubnetLocked(m)
		}
	}
	return false
}

// farOf are all workloads that policies lead to, by the machine that they are on, and the machines' ids.
func (e *Nomad) farLocked() (far []node.Far, nodes []string) {
	targets := map[string]bool{}
	for _, p := range e.network.Policies {
		targets[p.To] = true
	}
	for _, m := range e.nodes {
		if m.agent == nil || !e.ownSubnetLocked(m) {
			continue
		}
		x := node.Far{Node: m.id, Agent: m.agentAddress}
		if m.agentAddress == localAgent {
			x.Node, x.Agent = "", ""
		} else {
			nodes = append(nodes, m.id)
		}
		for _, s := range m.statuses {
			at, err := netip.ParseAddr(s.Address)
			if err != nil || !targets[s.Peer] || s.Peer == "" {
				continue
			}
			x.Peer, x.Address = s.Peer, at
			far = append(far, x)
		}
	}
	slices.Sort(nodes)
	slices.SortFunc(far, func(a, b node.Far) int {
		return cmp.Or(cmp.Compare(a.Peer, b.Peer), a.Address.Compare(b.Address), cmp.Compare(a.Node, b.Node))
	})
	return far, nodes
}

// farChanged says that addresses may be others: relate looks.
func (e *Nomad) farChanged() {
	select {
	case e.farWake <- struct{}{}:
	default:
	}
}

// relate tells the agents of other addresses until the engine closes.
func (e *Nomad) relate() {
	for {
		select {
		case <-e.ctx.Done():
			return
		case <-e.farWake:
		}
		select {
		case <-e.ctx.Done():
			return
		case <-time.After(farPause):
		}
		e.mu.Lock()
		if e.network == nil {
			e.mu.Unlock()
			continue
		}
		far, nodes := e.farLocked()
		same := slices.Equal(far, e.network.Far) && slices.Equal(nodes, e.network.Nodes)
		if !same {
			n := *e.network
			n.Far, n.Nodes = far, nodes
			e.network = &n
		}
		all := e.behindLocked(!same)
		e.mu.Unlock()
		if !same {
			e.tellAll(e.ctx, all)
		}
	}
}

// behindLocked are the members that have an agent; with all they are all to be told anew.
func (e *Nomad) behindLocked(all bool) []*member {
	var members []*member
	for _, m := range e.nodes {
		if m.agent != nil {
			m.behind = m.behind || all
			members = append(members, m)
		}
	}
	return members
}

func (e *Nomad) tellAll(ctx context.Context, all []*member) {
	var work errgroup.Group
	work.SetLimit(32)
	for _, m := range all {
		work.Go(func() error {
			e.catchUp(ctx, m)
			return nil
		})
	}
	_ = work.Wait() // they return nil
}

// networkFor is what one machine is told: what is there is not far.
func (m *member) networkFor(n *node.Network) node.Network {
	out, own := *n, m.id
	if m.agentAddress == localAgent {
		own = ""
	}
	out.Far = slices.DeleteFunc(slices.Clone(n.Far), func(f node.Far) bool { return f.Node == own })
	return out
}

// Flows implements node.FlowCounter: what all machines that answer have counted. Each counts what its own workloads begin.
func (e *Nomad) Flows(ctx context.Context) ([]node.Flow, error) {
	type pair struct{ from, to string }
	sums := map[pair]uint64{}
	for _, m := range e.answeringAll() {
		ask, cancel := context.WithTimeout(ctx, figuresTime)
		some, err := m.agent.Flows(ask)
		cancel()
		if err != nil {
			continue // its node is away; what it counts is told later
		}
		for _, f := range some {
			sums[pair{f.From, f.To}] += f.Connections
		}
	}
	all := make([]node.Flow, 0, len(sums))
	for p, n := range sums {
		all = append(all, node.Flow{From: p.from, To: p.to, Connections: n})
	}
	slices.SortFunc(all, func(a, b node.Flow) int { return cmp.Or(cmp.Compare(a.From, b.From), cmp.Compare(a.To, b.To)) })
	return all, ctx.Err()
}
