package controller

import (
	"strconv"
	"time"

	"github.com/cupola-paas/cupola/controller/capi"
	"github.com/cupola-paas/cupola/router"
)

// requestStats gives the API the router's figures of an app.
func (s *Server) requestStats(appGUID string) capi.RequestStats {
	a, ok := s.feed.AppStats(appGUID)
	if !ok {
		return capi.RequestStats{Status: classes([6]uint64{}), TotalStatus: classes([6]uint64{}), LatencyMS: latencies(a)}
	}
	return capi.RequestStats{
		WindowSeconds: a.Window.Seconds(), Requests: a.Recent, RequestsPerSecond: float64(a.Recent) / a.Window.Seconds(),
		Status: classes(a.RecentByClass), LatencyMS: latencies(a), InFlight: a.InFlight,
		TotalRequests: a.Requests, TotalStatus: classes(a.ByClass), Connections: a.Connections,
	}
}

func classes(counts [6]uint64) map[string]uint64 {
	out := map[string]uint64{"none": counts[0]}
	for i := 1; i < len(counts); i++ {
		out[strconv.Itoa(i)+"xx"] = counts[i]
	}
	return out
}

func latencies(a router.AppStats) map[string]float64 {
	ms := func(d time.Duration) float64 { return float64(d.Microseconds()) / 1000 }
	return map[string]float64{"mean": ms(a.Mean), "p50": ms(a.P50), "p90": ms(a.P90), "p95": ms(a.P95), "p99": ms(a.P99)}
}
