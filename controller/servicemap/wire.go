package servicemap

import (
	"math"
	"time"

	"github.com/cupola-paas/cupola/controller/capi"
	"github.com/cupola-paas/cupola/router"
)

// Map gives the API the edges between places; it is an api.ServiceMap.
func (l *Loop) Map(place func(guid string) (string, bool)) capi.ServiceMap {
	all, window := l.Edges(func(guid string) (string, bool) {
		switch guid {
		case "":
			guid = capi.MapInternet
		case router.OtherCallers:
			guid = capi.MapElsewhere
		}
		return place(guid)
	})
	out := capi.ServiceMap{
		WindowSeconds: math.Round(window.Seconds()), RecentSeconds: Recent.Seconds(), Edges: make(capi.Array[capi.MapEdge], 0, len(all)),
	}
	for i := range all {
		out.Edges = append(out.Edges, mapEdge(&all[i], window))
	}
	return out
}

// mapEdge says of an edge what is known of its kind, and no more.
func mapEdge(e *Edge, window time.Duration) capi.MapEdge {
	calls := Calls(e.Counts)
	perSecond := float64(calls) / max(window.Seconds(), 1)
	out := capi.MapEdge{From: e.From, To: e.To, Kind: string(e.Kind), State: string(e.State), Calls: &calls, PerSecond: &perSecond}
	if !e.Used.IsZero() {
		at := capi.At(e.Used)
		out.LastUsed = &at
	}
	recent := capi.MapRecent{Calls: Calls(e.Recent), Failed: Failures(e.Recent)}
	out.Recent = &recent
	if e.Kind == Direct {
		return out
	}
	failed, inFlight := Failures(e.Counts), e.InFlight
	out.Failed, out.InFlight = &failed, &inFlight
	out.Outcomes = &capi.MapOutcomes{
		Answered: e.Counts[router.Answered], Refused: e.Counts[router.Refused], Failed: e.Counts[router.Failed],
		Unanswered: e.Counts[router.Unanswered], Unserved: e.Counts[router.Unserved], GaveUp: e.Counts[router.GaveUp], Left: e.Counts[router.Left],
	}
	if e.Kind == TCP {
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
