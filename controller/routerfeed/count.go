package routerfeed

import (
	"errors"
	"net/http"
	"net/netip"
	"time"

	"github.com/cupola-paas/cupola/router"
)

const (
	// countsFor is how long a router's gauges and figures of the last minute count after it said them.
	countsFor = 20 * time.Second
	// farMost bounds the edges and the apps that are counted for all routers together.
	farMost = 40_000
)

// edgeKey names an edge.
type edgeKey struct {
	caller, callee string
	tcp            bool
}

func keyOf(e router.Edge) edgeKey { return edgeKey{e.Caller, e.Callee, e.TCP} }

// reported is what one router has said last.
type reported struct {
	session string
	at      time.Time
	edges   map[edgeKey]router.Edge
	apps    map[string]router.AppSample
}

// farCounts is what all routers elsewhere have counted since this process began. It never goes down, whatever becomes of them.
type farCounts struct {
	edges map[edgeKey]router.Edge
	apps  map[string]router.AppSample // ByClass and Connections alone
}

func newFarCounts() farCounts {
	return farCounts{edges: map[edgeKey]router.Edge{}, apps: map[string]router.AppSample{}}
}

// report takes what a router has logged and counted.
func (f *Feed) report(w http.ResponseWriter, r *http.Request, node string) {
	var in Report
	if !read(w, r, MaxReport, &in) {
		return
	}
	if len(in.Lines) > MaxLines {
		http.Error(w, "a report has fewer lines", http.StatusBadRequest)
		return
	}
	if in.Dropped > 0 {
		f.o.Log.Warn("access log lines of a router were left out: it could not send them in time", "node", node, "lines", in.Dropped)
	}
	f.mu.Lock()
	lines := in.Lines[:0]
	for _, l := range in.Lines {
		if l.AppGUID != "" && f.namedLocked(l.AppGUID) {
			lines = append(lines, l)
		}
	}
	f.countLocked(f.followerLocked(node), &in)
	f.mu.Unlock()
	for _, l := range lines {
		if l.Error != "" {
			l.Access.Error = errors.New(l.Error)
		}
		f.o.Access(l.Access)
	}
	w.WriteHeader(http.StatusNoContent)
}

// namedLocked reports whether the local router knows the app: a router elsewhere says nothing of others.
func (f *Feed) namedLocked(app string) bool {
	_, ok := f.o.Local.AppSample(app)
	return ok
}

// countLocked adds what is new. Of a router that counted before this process began, what it counted until now stands for
// nothing: when that was nobody knows.
func (f *Feed) countLocked(fo *follower, in *Report) {
	had := &fo.counts
	known := had.session == in.Session || in.Began.After(f.began)
	if had.session != in.Session {
		*had = reported{session: in.Session, edges: map[edgeKey]router.Edge{}, apps: map[string]router.AppSample{}}
	}
	had.at = time.Now()
	if !in.Counts {
		return
	}
	for _, e := range in.Edges {
		key := keyOf(e)
		before, was := had.edges[key]
		if !was && len(had.edges) >= farMost || !f.namedLocked(e.Callee) {
			continue
		}
		if !before.Since.Equal(e.Since) {
			before, was = router.Edge{}, false
		}
		if was || known || e.Since.After(f.began) {
			f.far.addEdge(key, before, e)
		}
		had.edges[key] = e
	}
	for _, a := range in.Apps {
		before, was := had.apps[a.App]
		if !was && len(had.apps) >= farMost || !f.namedLocked(a.App) {
			continue
		}
		if was || known {
			f.far.addApp(before, a)
		}
		had.apps[a.App] = a
	}
}

func (c *farCounts) addEdge(key edgeKey, before, now router.Edge) {
	sum, ok := c.edges[key]
	if !ok {
		if len(c.edges) >= farMost {
			return
		}
		sum = router.Edge{Caller: now.Caller, Callee: now.Callee, TCP: now.TCP, Since: time.Now()}
	}
	for o := range sum.Counts {
		sum.Counts[o] += now.Counts[o] - before.Counts[o]
	}
	sum.Latency.Add(now.Latency.Since(before.Latency))
	if now.Heard.After(sum.Heard) {
		sum.Heard = now.Heard
	}
	c.edges[key] = sum
}

func (c *farCounts) addApp(before, now router.AppSample) {
	sum, ok := c.apps[now.App]
	if !ok && len(c.apps) >= farMost {
		return
	}
	sum.App = now.App
	for class := range sum.ByClass {
		sum.ByClass[class] += now.ByClass[class] - min(before.ByClass[class], now.ByClass[class])
	}
	sum.Connections += now.Connections - min(before.Connections, now.Connections)
	c.apps[now.App] = sum
}

// SetCallers says which app each container on the controller's machine has, by its address.
func (f *Feed) SetCallers(apps map[netip.Addr]string) { f.o.Local.SetCallers(apps) }

// Edges are those of all routers together.
func (f *Feed) Edges() []router.Edge {
	f.mu.Lock()
	defer f.mu.Unlock()
	all := f.o.Local.Edges()
	if len(f.far.edges) == 0 {
		return all
	}
	at := make(map[edgeKey]int, len(all))
	for i := range all {
		at[keyOf(all[i])] = i
	}
	for key, far := range f.far.edges {
		i, ok := at[key]
		if !ok {
			at[key] = len(all)
			all = append(all, far)
			continue
		}
		e := &all[i]
		for o := range e.Counts {
			e.Counts[o] += far.Counts[o]
		}
		e.Latency.Add(far.Latency)
		e.Since, e.Heard = later(e.Since, far.Since), later(e.Heard, far.Heard)
	}
	for _, fo := range f.followers { // gauges
		if time.Since(fo.counts.at) > countsFor {
			continue
		}
		for key, e := range fo.counts.edges {
			if i, ok := at[key]; ok {
				all[i].InFlight += e.InFlight
				all[i].Waiting += e.Waiting
			}
		}
	}
	return all
}

func later(a, b time.Time) time.Time {
	if a.After(b) {
		return a
	}
	return b
}

// DropEdge forgets an edge everywhere, unless a call was counted since it was as e says.
func (f *Feed) DropEdge(e router.Edge) (gone bool) {
	f.mu.Lock()
	defer f.mu.Unlock()
	key := keyOf(e)
	far := f.far.edges[key]
	for o := range e.Counts {
		if far.Counts[o] > e.Counts[o] {
			return false
		}
		e.Counts[o] -= far.Counts[o]
	}
	if !f.o.Local.DropEdge(e) {
		return false
	}
	delete(f.far.edges, key) // what each router has said of it stays, so that the next difference is right
	return true
}

// AppStats are the figures of an app, of all routers together.
func (f *Feed) AppStats(guid string) (router.AppStats, bool) {
	f.mu.Lock()
	defer f.mu.Unlock()
	sum, ok := f.o.Local.AppSample(guid)
	for _, fo := range f.followers {
		if time.Since(fo.counts.at) > countsFor {
			continue
		}
		if far, has := fo.counts.apps[guid]; has {
			far.ByClass, far.Connections = [6]uint64{}, 0 // in far.apps
			sum.Add(far)
		}
	}
	sum.Add(f.far.apps[guid])
	return sum.Stats(), ok
}
