// Package servicemap knows who called whom in the last five minutes, how often, how well and how fast. It adds nothing
// to any request: the router and the engine count from their start and never go down, and each ten seconds this package
// remembers where the counts stood. What happened in the last five minutes is the counts of this moment less those of
// five minutes ago.
//
// Three kinds of edges are seen. Requests through the router (HTTP) are known with outcomes and latencies, whether they
// come from outside or from an app, which is told by its container's address. Connections of TCP routes (TCP) are known
// with whether an instance took them. Connections that containers open to one another and to data services (Direct) are
// counted where a network policy or a binding lets them through, and nothing else is known of them.
//
// It keeps everything in memory, for edges that were used within the last hour, at most 40,000 of them; after a restart
// of the server the map begins anew. It writes nothing to the store.
package servicemap

import (
	"context"
	"errors"
	"log/slog"
	"net/netip"
	"sync"
	"time"

	"github.com/cupola-paas/cupola/node"
	"github.com/cupola-paas/cupola/router"
)

const (
	// Window is how far back figures reach.
	Window = 5 * time.Minute
	// Recent is how far back it is looked whether an edge is well now.
	Recent = time.Minute
	// Stuck is after how long without any answer callers that wait are not served.
	Stuck = time.Minute

	step        = 10 * time.Second
	marks       = int(Window/step) + 1 // one of each step that the window reaches back to
	recentMarks = int(Recent/step) - 1 // back; the newest mark is up to a step old itself
	slowMarks   = int(Window / time.Minute)
	perSlowMark = int(time.Minute / step)
	kept        = time.Hour // after an edge's last call
	linesMost   = 40_000

	// appLabel says which app a workload belongs to, as the scheduling loop labels it.
	appLabel = "app"
)

// Router counts; *router.Router is one.
type Router interface {
	SetCallers(apps map[netip.Addr]string)
	Edges() []router.Edge
	DropEdge(e router.Edge) (gone bool)
}

// Engine says which app has which address; a node.Engine is one.
type Engine interface {
	List(ctx context.Context) ([]node.Status, error)
}

// Loop watches. Its fields are set before Run and not changed.
type Loop struct {
	Router Router
	Engine Engine
	// Elsewhere is told the apps of containers on other machines, by the machine's address: routers there need to know. May be nil.
	Elsewhere func(machines map[string]map[netip.Addr]string)
	Flows     node.FlowCounter // nil: connections between containers are not counted
	Clock     func() time.Time // nil: time.Now
	Log       *slog.Logger

	mu     sync.Mutex
	took   [marks]time.Time // when each mark was taken; a ring, like all marks
	at     int              // of the newest mark
	slowAt int
	steps  int
	began  time.Time
	lines  map[key]*line
	flows  []node.Flow // of the last step
	told   string      // the last error of a count that was logged
}

// Run steps until ctx ends.
func (l *Loop) Run(ctx context.Context) error {
	tick := time.NewTicker(step)
	defer tick.Stop()
	for {
		l.Step(ctx)
		select {
		case <-ctx.Done():
			return nil
		case <-tick.C:
		}
	}
}

// Step tells the router who is where, and takes one mark.
func (l *Loop) Step(ctx context.Context) {
	workloads, err := l.Engine.List(ctx)
	if err == nil {
		machines := addresses(workloads)
		l.Router.SetCallers(machines[""])
		if l.Elsewhere != nil {
			l.Elsewhere(machines)
		}
	}
	var flows []node.Flow
	if l.Flows != nil {
		var errFlows error
		flows, errFlows = l.Flows.Flows(ctx)
		err = errors.Join(err, errFlows)
	}
	l.say(ctx, err)
	l.mark(l.now(), l.Router.Edges(), flows)
}

// say logs what is wrong once, not at each step.
func (l *Loop) say(ctx context.Context, err error) {
	text := ""
	if err != nil && ctx.Err() == nil {
		text = err.Error()
	}
	if text != "" && text != l.told {
		l.Log.Warn("the service map is incomplete", "error", err)
	}
	l.told = text
}

// addresses are those of the apps' containers, by the address of their machine; this one has none. Those of one machine
// mean nothing on another: what comes from there has the address of its machine.
func addresses(workloads []node.Status) map[string]map[netip.Addr]string {
	machines := map[string]map[netip.Addr]string{"": {}}
	for _, w := range workloads {
		app := w.Labels[appLabel]
		a, err := netip.ParseAddr(w.Address)
		if err != nil || app == "" {
			continue
		}
		if machines[w.Host] == nil {
			machines[w.Host] = map[netip.Addr]string{}
		}
		machines[w.Host][a] = app
	}
	return machines
}

func (l *Loop) now() time.Time {
	if l.Clock != nil {
		return l.Clock()
	}
	return time.Now()
}

// mark remembers where the counts stand now, and forgets edges that were not used for an hour.
func (l *Loop) mark(now time.Time, edges []router.Edge, flows []node.Flow) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.lines == nil {
		l.lines, l.began = map[key]*line{}, now
	}
	if l.steps > 0 {
		l.at = (l.at + 1) % marks
		if l.steps%perSlowMark == 0 {
			l.slowAt = (l.slowAt + 1) % slowMarks
		}
	}
	l.steps++
	l.took[l.at], l.flows = now, flows
	seen := make(map[key]bool, len(edges)+len(flows))
	for _, e := range edges {
		k := keyOf(e)
		seen[k] = true
		if n := l.lineLocked(k, e.Since, now); n != nil && n.mark(l, now, e.Counts, e.Latency) && e.InFlight == 0 {
			l.Router.DropEdge(e)
			delete(l.lines, k)
		}
	}
	for _, f := range flows {
		k := key{f.From, f.To, Direct}
		seen[k] = true
		if n := l.lineLocked(k, l.began, now); n != nil {
			n.mark(l, now, router.Outcomes{f.Connections}, router.Latencies{})
		}
	}
	for k := range l.lines {
		if !seen[k] {
			delete(l.lines, k)
		}
	}
}

// lineLocked is what is remembered of an edge, new if there was another between the same two before; nil if there is no
// room.
func (l *Loop) lineLocked(k key, since, now time.Time) *line {
	n := l.lines[k]
	if n == nil && len(l.lines) >= linesMost {
		return nil
	}
	if n == nil || !n.since.Equal(since) {
		n = &line{since: since, used: now}
		l.lines[k] = n
	}
	return n
}
