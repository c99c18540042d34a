package cli

import (
	"net/http"

	"github.com/cupola-paas/cupola/controller/capi"
)

// nodeRoutes: a cluster of machines in several states, two of one name, with something to clean up. What is asked of
// them is noted alone.
func (f *fakeAPI) nodeRoutes(mux *http.ServeMux) {
	all := capi.Array[capi.Node]{
		{GUID: "n1", Name: "vm-1", State: capi.NodeReady, Zone: "north", Count: 3, Memory: 4096, Reserved: 192, Version: "1.9.7", Builder: true, Builds: 2},
		{GUID: "n2", Name: "vm-2", State: capi.NodeDown, Problem: "Nomad does not hear it: see that it is on", Kept: 2},
		{GUID: "n3", Name: "twin", State: capi.NodeReady}, {GUID: "n4", Name: "twin", State: capi.NodeReady},
		{GUID: "n5", Name: "edge", State: capi.NodeReady, Router: capi.RouterCurrent, RouterOnly: true},
	}
	done := func(w http.ResponseWriter, r *http.Request) {
		f.requests = append(f.requests, r.Method+" "+r.URL.Path+" "+compact(decode[map[string]any](r)))
		w.WriteHeader(http.StatusNoContent)
	}
	mux.HandleFunc("GET /v3/admin/nodes", func(w http.ResponseWriter, _ *http.Request) { reply(w, 200, capi.Nodes{Resources: all}) })
	mux.HandleFunc("PATCH /v3/admin/nodes/{guid}", done)
	mux.HandleFunc("DELETE /v3/admin/nodes/{guid}", done)
	mux.HandleFunc("POST /v3/admin/nodes/{guid}/actions/{verb}", done)
	mux.HandleFunc("POST /v3/admin/actions/clean_up", func(w http.ResponseWriter, _ *http.Request) {
		if f.modeIs("clean-up", "refused") {
			refuse(w, capi.NotAuthorized.Errorf("You are not authorized to perform the requested action"))
			return
		}
		reply(w, 200, capi.CleanUp{Freed: 6 << 20, Images: 1 << 20, Packages: 2 << 20, Pulled: 3 << 20})
	})
	mux.HandleFunc("POST /v3/admin/node_tokens", func(w http.ResponseWriter, r *http.Request) {
		f.requests = append(f.requests, "token "+compact(decode[map[string]any](r)))
		reply(w, 201, capi.NodeToken{GUID: "t1", ExpiresAt: capi.At(fakeEpoch), Token: "example-token.public"})
	})
}
