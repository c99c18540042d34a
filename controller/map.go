package controller

import (
	"math"
	"time"

	"github.com/cupola-paas/cupola/controller/capi"
	"github.com/cupola-paas/cupola/controller/servicemap"
	"github.com/cupola-paas/cupola/node"
	"github.com/cupola-paas/cupola/router"
)

// openMap makes the loop that watches who calls whom.
func (s *Server) openMap() *servicemap.Loop {
	flows, _ := s.engine.(node.FlowCounter)
	return &servicemap.Loop{Router: s.router, Engine: s.engine, Flows: flows, Log: s.log}
}

// serviceMap gives the API the edges between places.
func (s *Server) serviceMap(place func(guid string) (string, bool)) capi.ServiceMap {
	all, window := s.calls.Edges(func(guid string) (string, bool) {
		switch guid {
		case "":
			guid = capi.MapInternet
		case router.OtherCallers:
			guid = capi.MapElsewhere
		}
		return place(guid)
	})
	out := capi.ServiceMap{
		WindowSeconds: math.Round(window.Seconds()), RecentSeconds: servicemap.Recent.Seconds(), Edges: make(capi.Array[capi.MapEdge], 0, len(all)),
	}
	for i := range all {
		out.Edges = append(out.Edges, mapEdge(&all[i], window))
	}
	return out
}

// mapEdge says of an edge what is known of its kind, and no more.
func mapEdge(e *servicemap.Edge, window time.Duration) capi.MapEdge {
	calls := servicemap.Calls(e.Counts)
	perSecond := float64(calls) / max(window.Seconds(), 1)
	out := capi.MapEdge{From: e.From, To: e.To, Kind: string(e.Kind), State: string(e.State), Calls: &calls, PerSecond: &perSecond}
	if !e.Used.IsZero() {
		at := capi.At(e.Used)
		out.LastUsed = &at
	}
	recent := capi.MapRecent{Calls: servicemap.Calls(e.Recent), Failed: servicemap.Failures(e.Recent)}
	out.Recent = &recent
	if e.Kind == servicemap.Direct {
		return out
	}
	failed, inFlight := servicemap.Failures(e.Counts), e.InFlight
	out.Failed, out.InFlight = &failed, &inFlight
	out.Outcomes = &capi.MapOutcomes{
		Answered: e.Counts[router.Answered], Refused: e.Counts[router.Refused], Failed: e.Counts[router.Failed],
		Unanswered: e.Counts[router.Unanswered], Unserved: e.Counts[router.Unserved], GaveUp: e.Counts[router.GaveUp], Left: e.Counts[router.Left],
	}
	if e.Kind == servicemap.TCP {
		return out
	}
	waiting, stuck := e.Waiting, e.Stuck.Seconds()
	out.Waiting = &waiting
	if stuck > 0 {
		out.StuckSeconds = &stuck
	}
	if calls > 0 {
		ms := func(d time.Duration) float64 { return float64(d.Microseconds()) / 1000 }
		out.LatencyMS = &capi.MapLatency{P50: ms(e.Latency.Quantile(0.5)), P95: ms(e.Latency.Quantile(0.95))}
	}
	return out
}
