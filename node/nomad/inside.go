package nomad

import (
	"context"
	"errors"
	"fmt"
	"net"
	"slices"
	"sync"
	"time"

	"golang.org/x/sync/errgroup"

	"github.com/cupola-paas/cupola/node"
)

// figuresTime is how long a node has to tell figures: one that is slow holds up nobody who asks for those of all.
const figuresTime = 2 * time.Second

// agentOf is the agent on the node where a workload is now; nil: there is none.
func (e *Nomad) agentOf(id string) Agent {
	e.mu.RLock()
	defer e.mu.RUnlock()
	w := e.workloads[id]
	if w == nil {
		if _, m := e.keptLocked(id); m != nil {
			return m.agent
		}
		if e.isHereLocked(id) {
			return local{e.o.Local}
		}
		return nil
	}
	a := w.current()
	if a == nil || e.nodes[a.nodeID] == nil {
		return nil
	}
	return e.nodes[a.nodeID].agent
}

// at is agentOf for a call that cannot do without one.
func (e *Nomad) at(what, id string) (Agent, error) {
	if agent := e.agentOf(id); agent != nil {
		return agent, nil
	}
	return nil, fmt.Errorf("%s workload %s: %w", what, id, node.ErrNotFound)
}

// Exec implements node.Engine.
func (e *Nomad) Exec(ctx context.Context, id string, x node.Exec) (int, error) {
	agent, err := e.at("exec in", id)
	if err != nil {
		return 0, err
	}
	return agent.Exec(ctx, id, x)
}

// Dial implements node.Engine.
func (e *Nomad) Dial(ctx context.Context, id, network, address string) (net.Conn, error) {
	agent, err := e.at("dial in", id)
	if err != nil {
		return nil, err
	}
	return agent.Dial(ctx, id, network, address)
}

// UpdateFiles implements node.Engine.
func (e *Nomad) UpdateFiles(ctx context.Context, id string, files map[string][]byte) error {
	agent, err := e.at("files of", id)
	if err != nil {
		return err
	}
	return agent.UpdateFiles(ctx, id, files)
}

// SetNetwork implements node.Engine. A node that cannot be told now is told as soon as it answers; until then the
// rules there are those of before.
func (e *Nomad) SetNetwork(ctx context.Context, n node.Network) error {
	e.mu.Lock()
	e.network, e.targets = &n, map[string]bool{}
	for _, p := range n.Policies {
		e.targets[p.To] = true
	}
	n.Far, n.Nodes = e.farLocked()
	all := e.behindLocked(true)
	e.mu.Unlock()
	e.tellAll(ctx, all)
	return ctx.Err()
}

// Usage implements node.Engine. A node that does not answer is left out.
func (e *Nomad) Usage(ctx context.Context, ids ...string) (map[string]node.Usage, error) {
	by := map[Agent][]string{}
	e.mu.RLock()
	for id, w := range e.workloads {
		if a := w.current(); a != nil && e.nodes[a.nodeID] != nil && e.nodes[a.nodeID].agent != nil {
			agent := e.nodes[a.nodeID].agent
			if len(ids) == 0 || slices.Contains(ids, id) {
				by[agent] = append(by[agent], id)
			}
		}
	}
	for id := range e.kept {
		if _, m := e.keptLocked(id); m != nil && !m.away && (len(ids) == 0 || slices.Contains(ids, id)) {
			by[m.agent] = append(by[m.agent], id)
		}
	}
	if e.o.Local != nil {
		here := Agent(local{e.o.Local})
		for _, s := range e.hereLocked() {
			if len(ids) == 0 || slices.Contains(ids, s.ID) {
				by[here] = append(by[here], s.ID)
			}
		}
	}
	e.mu.RUnlock()
	var mu sync.Mutex
	all := map[string]node.Usage{}
	var work errgroup.Group
	work.SetLimit(32)
	for agent, some := range by {
		work.Go(func() error {
			ctx, cancel := context.WithTimeout(ctx, figuresTime)
			defer cancel()
			found, err := agent.Usage(ctx, some...)
			if err != nil {
				return nil // its node is away or slow; the others are told
			}
			mu.Lock()
			defer mu.Unlock()
			for id, u := range found {
				all[id] = u
			}
			return nil
		})
	}
	_ = work.Wait() // they return nil
	return all, ctx.Err()
}

// Logs implements node.Engine: it follows a workload to wherever it is started next.
func (e *Nomad) Logs(ctx context.Context, id string, since time.Time, fn func(node.LogLine)) error {
	e.mu.RLock()
	here := e.isHereLocked(id)
	_, keeper := e.keptLocked(id)
	e.mu.RUnlock()
	if keeper != nil {
		return keeper.agent.Logs(ctx, id, since, fn)
	}
	if here {
		return e.o.Local.Logs(ctx, id, since, fn)
	}
	if !e.known(id) {
		return fmt.Errorf("logs of workload %s: %w", id, node.ErrNotFound)
	}
	remember := func(l node.LogLine) {
		since = l.Time
		fn(l)
	}
	for {
		e.mu.RLock()
		w := e.workloads[id]
		e.mu.RUnlock()
		if w == nil {
			return nil
		}
		e.mu.RLock()
		news, ended := w.news, w.status.State == node.Exited
		e.mu.RUnlock()
		err := error(nil)
		if agent := e.agentOf(id); agent != nil {
			err = agent.Logs(ctx, id, since, remember)
		}
		switch {
		case ctx.Err() != nil:
			return ctx.Err()
		case ended:
			return nil
		case err != nil && !errors.Is(err, node.ErrNotFound) && !errors.Is(err, node.ErrUnavailable):
			return err
		}
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-e.ctx.Done():
			return fmt.Errorf("logs of workload %s: %w: the engine was closed", id, node.ErrUnavailable)
		case <-news:
		}
	}
}
