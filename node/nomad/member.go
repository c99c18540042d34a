package nomad

import (
	"context"
	"errors"
	"strings"
	"time"

	"github.com/hashicorp/nomad/api"

	"github.com/cupola-paas/cupola/node"
)

// member is a node of the cluster with an agent of ours.
type member struct {
	id, hostname, zone string
	pool, version      string
	memoryMB, cores    int
	labels             map[string]string
	agentAddress       string
	agent              Agent
	cancel             context.CancelFunc
	done               chan struct{}

	// Guarded by Nomad.mu.
	address  string // that routers elsewhere reach; empty: this machine
	down     bool
	eligible bool
	statuses map[string]node.Status
	host     node.Host
	away     bool  // the agent does not answer
	why      error // of away; nil: it was not asked yet
	fullTold bool  // Nomad was told that the disk is full
	behind   bool  // it has not been told the network
}

func (m *member) name() string {
	if m == nil {
		return "unknown"
	}
	return m.hostname
}

// noNode stands for this machine where it is no node of the cluster.
const noNode = "none"

func (m *member) takesJobs() bool { return !m.down && m.eligible && m.agent != nil }

// close ends what follows the agent; the local one is the engine's to close.
func (m *member) close() error {
	if m.cancel == nil {
		return nil
	}
	m.cancel()
	<-m.done
	if m.agentAddress == localAgent {
		return nil
	}
	return m.agent.Close()
}

// learnNodes compares the cluster's nodes with those in memory.
func (e *Nomad) learnNodes(ctx context.Context) error {
	list, _, err := e.api.Nodes().List((&api.QueryOptions{}).WithContext(ctx))
	if err != nil {
		return failed("list the nodes of Nomad", err)
	}
	seen := map[string]bool{}
	for _, n := range list {
		seen[n.ID] = true
		if err := e.learnNode(ctx, n.ID); err != nil {
			return err
		}
	}
	e.mu.Lock()
	var gone []*member
	for id, m := range e.nodes {
		if !seen[id] && id != noNode {
			gone = append(gone, m)
			delete(e.nodes, id)
		}
	}
	e.mu.Unlock()
	for _, m := range gone {
		e.leave(m)
	}
	return nil
}

func (e *Nomad) leave(m *member) {
	if err := m.close(); err != nil {
		e.log.Warn("leave the agent of a node that is gone", "node", m.hostname, "error", err)
	}
}

// learnNode reads one node, and begins to follow its agent.
func (e *Nomad) learnNode(ctx context.Context, id string) error {
	n, _, err := e.api.Nodes().Info(id, (&api.QueryOptions{}).WithContext(ctx))
	if notFound(err) {
		return nil
	}
	if err != nil {
		return failed("node "+id, err)
	}
	at := n.Meta[e.build.metaKey(metaAgent)]
	e.mu.Lock()
	defer e.mu.Unlock()
	m := e.nodes[id]
	if m == nil || m.agentAddress != localAgent && (m.agentAddress != at || m.agent == nil && at != "") {
		if before := m; before != nil {
			e.wg.Go(func() { e.leave(before) })
		}
		m = &member{id: id, agentAddress: at, statuses: map[string]node.Status{}, away: true, fullTold: n.Meta[e.build.metaKey(metaFull)] != ""}
		e.nodes[id] = m
		e.connectLocked(m)
	}
	m.hostname, m.zone, m.pool, m.version = n.Name, n.Meta[metaZone], n.NodePool, n.Attributes["nomad.version"]
	m.labels = map[string]string{}
	for k, v := range n.Meta {
		if !strings.HasPrefix(k, metaOurs) && !strings.Contains(k, ".") {
			m.labels[k] = v
		}
	}
	if r := n.NodeResources; r != nil {
		m.memoryMB, m.cores = int(r.Memory.MemoryMB), int(r.Cpu.TotalCpuCores)
	}
	m.down = n.Status == api.NodeStatusDown || n.Status == api.NodeStatusDisconnected
	m.eligible = n.SchedulingEligibility == api.NodeSchedulingEligible && !n.Drain
	if m.agentAddress != localAgent {
		m.address = nodeAddress(n)
	}
	e.movedLocked(nil)
	for _, w := range e.workloads {
		if a := w.current(); a != nil && a.nodeID == id {
			e.refreshLocked(w)
		}
	}
	return nil
}

// nodeAddress is where Nomad publishes ports of the node.
func nodeAddress(n *api.Node) string {
	if r := n.NodeResources; r != nil {
		for _, network := range r.Networks {
			if network.IP != "" {
				return network.IP
			}
		}
	}
	return n.Attributes["unique.network.ip-address"]
}

// connectLocked finds the agent of a node and follows it.
func (e *Nomad) connectLocked(m *member) {
	switch {
	case m.agentAddress == localAgent && (m.id == e.localNode || m.id == noNode):
		m.agent = local{e.o.Local}
	case m.agentAddress == "" || m.agentAddress == localAgent || e.o.Connect == nil:
		return
	default:
		agent, err := e.o.Connect(m.id, m.agentAddress)
		if err != nil {
			e.log.Warn("the agent of a node cannot be used", "node", m.id, "agent", m.agentAddress, "error", err)
			return
		}
		m.agent = agent
	}
	var ctx context.Context
	ctx, m.cancel = context.WithCancel(e.ctx)
	m.done = make(chan struct{})
	m.behind = e.network != nil
	e.wg.Go(func() {
		defer close(m.done)
		e.followAgent(ctx, m)
	})
}

// followAgent keeps what the agent sees in memory until ctx ends.
func (e *Nomad) followAgent(ctx context.Context, m *member) {
	for {
		e.lookAt(ctx, m)
		select {
		case <-ctx.Done():
			return
		case <-m.agent.Changed():
		case <-time.After(e.o.Resync):
		}
	}
}

// lookAt reads what one agent sees. While it does not answer, what was seen last stands.
func (e *Nomad) lookAt(ctx context.Context, m *member) {
	e.catchUp(ctx, m)
	list, err := m.agent.List(ctx)
	host, errHost := m.agent.Host(ctx)
	if err = errors.Join(err, errHost); err != nil {
		if ctx.Err() == nil {
			e.log.Warn("the agent of a node does not answer", "node", m.hostname, "error", err)
			e.goneAway(m, err)
		}
		return
	}
	now := make(map[string]node.Status, len(list))
	for _, s := range list {
		now[s.ID] = s
	}
	e.mu.Lock()
	e.takeLocked(m, now, host)
	e.mu.Unlock()
	e.tellFull(ctx, m, host.DiskFull)
}

// goneAway notes that an agent does not answer: what stays on its machine is waited for.
func (e *Nomad) goneAway(m *member, why error) {
	e.mu.Lock()
	defer e.mu.Unlock()
	m.why = why
	if m.away {
		return
	}
	m.away = true
	for id, at := range e.kept {
		if at == m {
			e.Note(id)
		}
	}
}

// takeLocked takes what an agent sees now.
func (e *Nomad) takeLocked(m *member, now map[string]node.Status, host node.Host) {
	before, was := m.statuses, m.host
	m.statuses, m.host = now, host
	moved := host.Subnet != was.Subnet
	back := m.away
	m.away, m.why = false, nil
	e.keepLocked(m)
	for id, s := range now {
		old, ok := before[id]
		moved = moved || e.targets[s.Peer] && old.Address != s.Address
		if !ok || back || !sameStatus(old, s) {
			e.touchLocked(id, m)
		}
	}
	for id, old := range before {
		if _, ok := now[id]; !ok {
			moved = moved || e.targets[old.Peer]
			e.touchLocked(id, m)
		}
	}
	if moved {
		e.farChanged()
	}
	if host.Skew.Abs() > MaxSkew && was.Skew.Abs() <= MaxSkew {
		e.log.Warn("the clock of a node is not ours: let both machines follow a time server", "node", m.hostname, "ahead", host.Skew.Round(time.Second))
	}
}

// MaxSkew is how far the clock of a machine may be from the controller's.
const MaxSkew = 30 * time.Second

// tellFull has Nomad place nothing on a machine whose disk is full, and place there again when it is not.
func (e *Nomad) tellFull(ctx context.Context, m *member, full bool) {
	e.mu.RLock()
	known := m.fullTold == full || m.id == noNode
	e.mu.RUnlock()
	if known {
		return
	}
	var value *string
	if full {
		value = ptr("1")
	}
	q := (&api.QueryOptions{}).WithContext(ctx)
	if _, err := e.api.Nodes().Meta().Apply(&api.NodeMetaApplyRequest{NodeID: m.id, Meta: map[string]*string{e.build.metaKey(metaFull): value}}, q); err != nil {
		if ctx.Err() == nil {
			e.log.Warn("Nomad is not told whether the disk of a node is full; it is told again", "node", m.hostname, "full", full, "error", err)
		}
		return
	}
	e.log.Warn("the disk of a node", "node", m.hostname, "full", full)
	e.mu.Lock()
	defer e.mu.Unlock()
	m.fullTold = full
}

func (e *Nomad) touchLocked(id string, m *member) {
	w := e.workloads[id]
	if w == nil {
		if m.agentAddress == localAgent || e.kept[id] == m {
			e.Note(id) // it may be one of this machine's own
		}
		return
	}
	if a := w.current(); a != nil && a.nodeID == m.id {
		e.refreshLocked(w)
	}
}

// catchUp tells an agent what workloads may reach, if it was not told yet.
func (e *Nomad) catchUp(ctx context.Context, m *member) {
	e.mu.RLock()
	network, behind := e.network, m.behind
	e.mu.RUnlock()
	if !behind || network == nil {
		return
	}
	if err := m.agent.SetNetwork(ctx, m.networkFor(network)); err != nil {
		if ctx.Err() == nil {
			e.log.Warn("a node was not told what apps may reach; it is told again", "node", m.hostname, "error", err)
		}
		return
	}
	e.mu.Lock()
	defer e.mu.Unlock()
	if e.network == network {
		m.behind = false
	}
}

// firstLook asks every agent once, so that the first List says who is ready.
func (e *Nomad) firstLook(ctx context.Context) {
	e.mu.RLock()
	var all []*member
	for _, m := range e.nodes {
		if m.agent != nil {
			all = append(all, m)
		}
	}
	e.mu.RUnlock()
	ctx, cancel := context.WithTimeout(ctx, 5*time.Second)
	defer cancel()
	for _, m := range all {
		e.lookAt(ctx, m)
	}
}
