package nomad

import (
	"context"
	"strings"
	"time"

	"github.com/hashicorp/nomad/api"

	"github.com/cupola-paas/cupola/node"
)

// member is a node of the cluster with an agent of ours.
type member struct {
	id, hostname, zone string
	pool, version      string
	memoryMB           int
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
	behind   bool // it has not been told the network
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
		m = &member{id: id, agentAddress: at, statuses: map[string]node.Status{}}
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
		m.memoryMB = int(r.Memory.MemoryMB)
	}
	m.down = n.Status == api.NodeStatusDown || n.Status == api.NodeStatusDisconnected
	m.eligible = n.SchedulingEligibility == api.NodeSchedulingEligible && !n.Drain
	if m.agentAddress != localAgent {
		m.address = nodeAddress(n)
	}
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
		m.agent = e.o.Local
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
	if err != nil {
		if ctx.Err() == nil {
			e.log.Warn("the agent of a node does not answer", "node", m.hostname, "error", err)
		}
		return
	}
	now := make(map[string]node.Status, len(list))
	for _, s := range list {
		now[s.ID] = s
	}
	e.mu.Lock()
	defer e.mu.Unlock()
	before := m.statuses
	m.statuses = now
	for id, s := range now {
		if old, ok := before[id]; ok && sameStatus(old, s) {
			continue
		}
		e.touchLocked(id, m)
	}
	for id := range before {
		if _, ok := now[id]; !ok {
			e.touchLocked(id, m)
		}
	}
}

func (e *Nomad) touchLocked(id string, m *member) {
	w := e.workloads[id]
	if w == nil {
		if m.agentAddress == localAgent {
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
	if err := m.agent.SetNetwork(ctx, *network); err != nil {
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
