package cli

import (
	"net/http"

	"github.com/cupola-paas/cupola/controller/capi"
)

// serveMap answers with one call that fails and one of which nothing is counted, and notes what was asked for.
func (f *fakeAPI) serveMap(w http.ResponseWriter, r *http.Request) {
	calls, failed, perSecond := uint64(600), uint64(30), 2.0
	reply(w, 200, capi.ServiceMap{
		WindowSeconds: 300, RecentSeconds: 60, LeftOut: 3,
		Nodes: capi.Array[capi.MapNode]{{ID: "internet", Kind: capi.MapInternet, Name: "internet"}, {ID: "a", Kind: capi.MapApp, Name: "web"}, {ID: "d", Kind: capi.MapService, Name: r.URL.RawQuery}},
		Edges: capi.Array[capi.MapEdge]{
			{From: "internet", To: "a", Kind: capi.MapHTTP, State: capi.MapFailing, PerSecond: &perSecond, Calls: &calls, Failed: &failed, LatencyMS: &capi.MapLatency{P50: 4.25, P95: 80}},
			{From: "a", To: "d", Kind: capi.MapBound, State: capi.MapUnknown},
		},
	})
}
