package cli

import (
	"encoding/json"
	"net/http"
	"time"

	"github.com/cupola-paas/cupola/controller/capi"
)

// engineRoutes: two apps and a data service on Docker. A migration is half done when it is asked for again, and done then.
func (f *fakeAPI) engineRoutes(mux *http.ServeMux) {
	var asked, looks int
	plan := func(target string) capi.Engine {
		began := capi.At(time.Date(2026, 5, 4, 3, 2, 1, 0, time.UTC))
		e := capi.Engine{
			Engine: capi.EngineDocker, Target: target, NeededMB: 128, FreeMB: 4096, Nodes: 2, Problems: capi.Array[capi.EngineProblem]{},
			Services: capi.Array[capi.EngineService]{{GUID: "d1", Name: "orders-db", Engine: capi.EngineDocker, UsedMB: 12}},
			Apps: capi.Array[capi.EngineApp]{
				{GUID: "a1", Name: "shop", Org: "acme", Space: "dev", Docker: 2, MemoryMB: 128, State: capi.MoveWaits},
				{GUID: "a2", Name: "ledger", Org: "acme", Space: "dev", Docker: 1, State: capi.MoveNever, Detail: "uses the data service orders-db"},
			},
		}
		if f.modeIs("engine", "blocked") {
			e.Problems = append(e.Problems, capi.EngineProblem{App: "shop", Detail: "its image is not in the registry", Remedy: "stage the app again"})
		}
		if asked == 0 {
			return e
		}
		e.Engine, e.Migration = target, &capi.EngineMigration{Target: target, State: "RUNNING", Parallel: 3, StartedAt: began}
		e.Apps[0].State = capi.MoveGoesOn
		if looks++; looks > 2 {
			e.Migration.State, e.Migration.EndedAt = "DONE", &began
			e.Apps[0].State, e.Apps[0].Docker, e.Apps[0].Nomad, e.Apps[0].MemoryMB = capi.MoveDone, 0, 2, 0
		}
		return e
	}
	mux.HandleFunc("GET /v3/admin/engine", func(w http.ResponseWriter, r *http.Request) {
		if f.modeIs("engine", "one") {
			refuse(w, capi.UnableToPerform.Errorf("This platform has one engine, Docker on this machine"))
			return
		}
		reply(w, http.StatusOK, plan(r.URL.Query().Get("target")))
	})
	mux.HandleFunc("POST /v3/admin/engine/actions/migrate", func(w http.ResponseWriter, r *http.Request) {
		var in capi.EngineMigrate
		if err := json.NewDecoder(r.Body).Decode(&in); err != nil || in.Parallel == nil || *in.Parallel != 5 {
			refuse(w, capi.UnprocessableEntity.Errorf("parallel is not what was given"))
			return
		}
		asked++
		reply(w, http.StatusAccepted, plan(in.Target))
	})
}
