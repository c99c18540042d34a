package router

import "time"

// AppSample is what a router has counted of one app: in the last minute, and since a route named it first. Samples of several
// routers add up.
type AppSample struct {
	App           string        `json:"app"`
	Window        time.Duration `json:"window"` // how much of the last minute RecentByClass, Latency and Sum cover
	RecentByClass [6]uint64     `json:"recent"` // by first digit of the status; 0: the client left before an answer
	Latency       Latencies     `json:"latency"`
	Sum           time.Duration `json:"sum"`       // of the latencies
	InFlight      int           `json:"in_flight"` // now, upgraded and TCP connections included
	ByClass       [6]uint64     `json:"total"`
	Connections   uint64        `json:"connections"` // of TCP routes
}

// Add counts other's requests too.
func (s *AppSample) Add(other AppSample) {
	s.Window = max(s.Window, other.Window)
	for c := range s.ByClass {
		s.RecentByClass[c] += other.RecentByClass[c]
		s.ByClass[c] += other.ByClass[c]
	}
	s.Latency.Add(other.Latency)
	s.Sum += other.Sum
	s.InFlight += other.InFlight
	s.Connections += other.Connections
}

// Stats makes figures for people of the sample.
func (s *AppSample) Stats() AppStats {
	out := AppStats{Window: s.Window, RecentByClass: s.RecentByClass, InFlight: s.InFlight, ByClass: s.ByClass, Connections: s.Connections}
	for c := range s.ByClass {
		out.Requests += s.ByClass[c]
		out.Recent += s.RecentByClass[c]
	}
	if out.Recent > 0 {
		out.Mean = s.Sum / time.Duration(out.Recent)
	}
	out.P50, out.P90, out.P95, out.P99 = s.Latency.Quantile(0.5), s.Latency.Quantile(0.9), s.Latency.Quantile(0.95), s.Latency.Quantile(0.99)
	return out
}

// AppStats is what routers have seen of one app: in the last minute, and since a route named it first.
type AppStats struct {
	Window             time.Duration // how much of the last minute the next fields cover
	Recent             uint64        // requests answered in it
	RecentByClass      [6]uint64     // by first digit of the status; 0: the client left before an answer
	Mean               time.Duration // until the last byte was sent
	P50, P90, P95, P99 time.Duration
	InFlight           int // now, upgraded and TCP connections included
	Requests           uint64
	ByClass            [6]uint64
	Connections        uint64 // of TCP routes
}

// AppSample returns the counts of one app, or false if the table does not name it. An app whose first route is one of
// several apps' counts while it has instances.
func (rt *Router) AppSample(guid string) (AppSample, bool) {
	g := rt.registry
	g.mu.Lock()
	a := g.apps[guid]
	g.mu.Unlock()
	if a == nil || guid == "" {
		return AppSample{}, false
	}
	return a.sample(guid, time.Now()), true
}

// AppSamples are those of all apps that were asked for anything yet, in no order.
func (rt *Router) AppSamples() []AppSample {
	g := rt.registry
	g.mu.Lock()
	defer g.mu.Unlock()
	now := time.Now()
	var all []AppSample
	for guid, a := range g.apps {
		if guid == "" {
			continue // the platform's own
		}
		if _, total := a.snapshot(); total > 0 || a.connections.Load() > 0 || a.inFlight.Load() > 0 {
			all = append(all, a.sample(guid, now))
		}
	}
	return all
}

func (a *appRecord) sample(guid string, now time.Time) AppSample {
	sum, span := a.recent.snapshot(now)
	out := AppSample{
		App: guid, Window: span, Latency: sum.latency, Sum: sum.sum,
		InFlight: int(a.inFlight.Load()), Connections: a.connections.Load(),
	}
	out.ByClass, _ = a.snapshot()
	for c, n := range sum.byClass {
		out.RecentByClass[c] = uint64(n)
	}
	return out
}

// AppStats returns the figures of one app; see AppSample.
func (rt *Router) AppStats(guid string) (AppStats, bool) {
	s, ok := rt.AppSample(guid)
	return s.Stats(), ok
}
