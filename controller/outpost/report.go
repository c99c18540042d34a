package outpost

import (
	"context"
	"crypto/rand"
	"strings"
	"sync"
	"time"

	"github.com/cupola-paas/cupola/controller/routerfeed"
	"github.com/cupola-paas/cupola/router"
)

const (
	// linesRoom is how many requests may wait for their line to be sent; further ones are counted and left out.
	linesRoom   = 8192
	reportEach  = time.Second
	countsEach  = 3 * time.Second
	flushLimit  = 2 * time.Second
	edgeIsQuiet = time.Hour // after its last call an edge is forgotten
)

func newSession() string { return strings.ToLower(rand.Text()[:16]) }

// lines are requests that the controller does not know yet.
type lines struct {
	mu      sync.Mutex
	list    []routerfeed.Line
	dropped uint64
}

func newLines() *lines { return &lines{} }

// add is called by the router at the end of a request.
func (l *lines) add(a router.Access) {
	if a.AppGUID == "" {
		return
	}
	one := routerfeed.Line{Access: a}
	if a.Error != nil {
		one.Error, one.Access.Error = a.Error.Error(), nil
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	if len(l.list) >= linesRoom {
		l.dropped++
		return
	}
	l.list = append(l.list, one)
}

// take returns some lines, and how many were left out.
func (l *lines) take() (some []routerfeed.Line, dropped uint64) {
	l.mu.Lock()
	defer l.mu.Unlock()
	n := min(len(l.list), routerfeed.MaxLines)
	some, dropped = l.list[:n:n], l.dropped
	l.list, l.dropped = l.list[n:], 0
	return some, dropped
}

// back returns what could not be sent, as far as there is room.
func (l *lines) back(some []routerfeed.Line, dropped uint64) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if room := linesRoom - len(l.list); len(some) > room {
		dropped += uint64(len(some) - max(room, 0))
		some = some[len(some)-max(room, 0):]
	}
	l.list = append(some, l.list...)
	l.dropped += dropped
}

// counts is what the controller knows of what the router has counted.
type counts struct {
	edges map[edgeKey]sentEdge
	apps  map[string]router.AppSample
}

type edgeKey struct {
	caller, callee string
	tcp            bool
}

type sentEdge struct {
	router.Edge
	used time.Time // when it was another last
}

// report tells the controller what was logged and counted, until ctx ends; then the rest, if that goes quickly.
func (p *Outpost) report(ctx context.Context) error {
	tick := time.NewTicker(reportEach)
	defer tick.Stop()
	c := &counts{edges: map[edgeKey]sentEdge{}, apps: map[string]router.AppSample{}}
	var counted time.Time
	for {
		select {
		case <-tick.C:
			due := time.Since(counted) >= countsEach
			if p.reportOnce(ctx, c, due) == nil && due {
				counted = time.Now()
			}
		case <-ctx.Done():
			last, cancel := context.WithTimeout(context.WithoutCancel(ctx), flushLimit)
			defer cancel()
			return p.flush(last, c)
		}
	}
}

// flush sends what is left. What cannot be sent is lost with this process.
func (p *Outpost) flush(ctx context.Context, c *counts) error {
	for first := true; ; first = false {
		if err := p.reportOnce(ctx, c, first); err != nil {
			p.log.Warn("the last lines and counts are not told", "error", err)
			return nil
		}
		p.lines.mu.Lock()
		left := len(p.lines.list)
		p.lines.mu.Unlock()
		if left == 0 {
			return nil
		}
	}
}

func (p *Outpost) reportOnce(ctx context.Context, c *counts, counted bool) error {
	out := routerfeed.Report{Session: p.session, Began: p.began, Counts: counted}
	out.Lines, out.Dropped = p.lines.take()
	now := time.Now()
	if counted {
		out.Edges, out.Apps = c.edgesChanged(p.router, now), c.appsChanged(p.router.AppSamples())
	}
	if len(out.Lines) == 0 && out.Dropped == 0 && !counted {
		return nil
	}
	if err := p.tell(ctx, routerfeed.ReportPath, out, nil); err != nil {
		p.lines.back(out.Lines, out.Dropped)
		return err
	}
	c.sent(&out, now)
	return nil
}

// edgesChanged are the edges that are not as the controller knows them. Those that nobody has used for an hour are forgotten.
func (c *counts) edgesChanged(rt *router.Router, now time.Time) []router.Edge {
	var out []router.Edge
	for _, e := range rt.Edges() {
		key := edgeKey{e.Caller, e.Callee, e.TCP}
		known, ok := c.edges[key]
		switch {
		case !ok || !sameEdge(known.Edge, e):
			out = append(out, e)
		case now.Sub(known.used) > edgeIsQuiet && e.Caller != "" && rt.DropEdge(e):
			delete(c.edges, key)
		}
	}
	return out
}

func sameEdge(a, b router.Edge) bool {
	return a.Since.Equal(b.Since) && a.Counts == b.Counts && a.InFlight == b.InFlight && a.Waiting == b.Waiting && a.Heard.Equal(b.Heard)
}

// appsChanged are the apps whose counts are others, or whose last minute passes.
func (c *counts) appsChanged(all []router.AppSample) []router.AppSample {
	var out []router.AppSample
	for _, a := range all {
		known, ok := c.apps[a.App]
		if !ok || known.ByClass != a.ByClass || known.Connections != a.Connections || known.InFlight != a.InFlight || known.RecentByClass != a.RecentByClass {
			out = append(out, a)
		}
	}
	return out
}

func (c *counts) sent(r *routerfeed.Report, now time.Time) {
	for _, e := range r.Edges {
		c.edges[edgeKey{e.Caller, e.Callee, e.TCP}] = sentEdge{e, now}
	}
	for _, a := range r.Apps {
		c.apps[a.App] = a
	}
}
