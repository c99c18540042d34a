package router

import (
	"sync/atomic"
	"time"
)

// latencyBounds are the upper bounds of the histogram, in the way of Prometheus' defaults.
var latencyBounds = [...]time.Duration{
	time.Millisecond, 5 * time.Millisecond, 10 * time.Millisecond, 25 * time.Millisecond, 50 * time.Millisecond,
	100 * time.Millisecond, 250 * time.Millisecond, 500 * time.Millisecond, time.Second,
	2500 * time.Millisecond, 5 * time.Second, 10 * time.Second, 60 * time.Second,
}

// Stats is a snapshot of the counters. They count from the start of the router, those of an app or an
// instance from its entry into the table, and never go down, except for InFlight.
type Stats struct {
	Requests       uint64    // answered, of all kinds
	ByClass        [6]uint64 // by first digit of the status; 0: the client left before an answer
	InFlight       int       // of all kinds, upgraded connections included
	UnknownRoutes  uint64
	EndpointErrors uint64 // requests that no instance could be made to answer
	Retries        uint64 // attempts beyond the first
	BytesIn        uint64 // of bodies, proxied requests only
	BytesOut       uint64
	Routes         int
	Latency        []LatencyBucket // of proxied requests, cumulative, the last without a bound
	LatencySum     time.Duration
	Apps           map[string]EndpointStats // by app GUID
	TCP            map[int]TCPStats         // by port
	Instances      map[string]EndpointStats // by instance id
}

// LatencyBucket counts the requests that took at most Bound; a Bound of zero stands for no bound.
type LatencyBucket struct {
	Bound time.Duration
	Count uint64
}

// EndpointStats counts what was sent to one instance, or all instances of one app.
type EndpointStats struct {
	AppGUID  string
	Requests uint64
	ByClass  [6]uint64
	InFlight int
}

// TCPStats counts the connections of one TCP route.
type TCPStats struct {
	Open        int
	Connections uint64
	Refused     uint64 // beyond Options.TCPConnections
	Failed      uint64 // no instance could be reached
	BytesIn     uint64 // of connections that have ended
	BytesOut    uint64
	Error       string // why the port is not open
}

// counters is counted into by many requests at once.
type counters struct {
	byClass [6]atomic.Uint64
}

func (c *counters) count(status int) { c.byClass[statusClass(status)].Add(1) }

func (c *counters) snapshot() (classes [6]uint64, total uint64) {
	for i := range c.byClass {
		classes[i] = c.byClass[i].Load()
		total += classes[i]
	}
	return classes, total
}

func statusClass(status int) int {
	if c := status / 100; c >= 1 && c <= 5 && status != statusClientClosed {
		return c
	}
	return 0
}

// tally is the router's own counters.
type tally struct {
	counters
	inFlight       atomic.Int64
	unknown        atomic.Uint64
	endpointErrors atomic.Uint64
	retries        atomic.Uint64
	bytesIn        atomic.Uint64
	bytesOut       atomic.Uint64
	latency        [len(latencyBounds) + 1]atomic.Uint64 // not cumulative
	latencySum     atomic.Int64
}

func (t *tally) observe(d time.Duration) {
	i := 0
	for i < len(latencyBounds) && d > latencyBounds[i] {
		i++
	}
	t.latency[i].Add(1)
	t.latencySum.Add(int64(d))
}

func (t *tally) snapshot() Stats {
	s := Stats{
		InFlight:       int(t.inFlight.Load()),
		UnknownRoutes:  t.unknown.Load(),
		EndpointErrors: t.endpointErrors.Load(),
		Retries:        t.retries.Load(),
		BytesIn:        t.bytesIn.Load(),
		BytesOut:       t.bytesOut.Load(),
		LatencySum:     time.Duration(t.latencySum.Load()),
	}
	s.ByClass, s.Requests = t.counters.snapshot()
	var sum uint64
	for i := range t.latency {
		sum += t.latency[i].Load()
		b := LatencyBucket{Count: sum}
		if i < len(latencyBounds) {
			b.Bound = latencyBounds[i]
		}
		s.Latency = append(s.Latency, b)
	}
	return s
}

// Stats returns the counters as they are now. Its cost grows with the number of instances.
func (rt *Router) Stats() Stats {
	s := rt.tally.snapshot()
	s.Routes = rt.lookup.Load().routes
	s.Apps, s.Instances = map[string]EndpointStats{}, map[string]EndpointStats{}
	g := rt.registry
	g.mu.Lock()
	defer g.mu.Unlock()
	s.TCP = rt.front.stats()
	for guid, a := range g.apps {
		if guid == "" {
			continue // the platform's own
		}
		classes, total := a.snapshot()
		s.Apps[guid] = EndpointStats{AppGUID: guid, ByClass: classes, Requests: total}
	}
	for id, eps := range g.byID {
		s.Instances[id] = sumEndpoints(eps, s.Apps)
	}
	return s
}

func sumEndpoints(eps []*endpoint, apps map[string]EndpointStats) EndpointStats {
	var sum EndpointStats
	for _, ep := range eps {
		classes, total := ep.counts.snapshot()
		sum.AppGUID = ep.AppGUID
		sum.Requests += total
		for i := range classes {
			sum.ByClass[i] += classes[i]
		}
		sum.InFlight += int(ep.inFlight.Load())
	}
	app := apps[sum.AppGUID]
	app.InFlight += sum.InFlight
	apps[sum.AppGUID] = app
	return sum
}
