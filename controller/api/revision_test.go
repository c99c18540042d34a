package api

import (
	"fmt"
	"testing"

	"github.com/cupola-paas/cupola/store"
)

// deploy makes a droplet current and restarts the app on it.
func (w *world) deploy(app, droplet string) {
	w.t.Helper()
	w.as("developer", "PATCH", "/v3/apps/"+app+"/relationships/current_droplet", `{"data":{"guid":"`+droplet+`"}}`).want(200)
	w.as("developer", "POST", "/v3/apps/"+app+"/actions/restart", nil).want(200)
}

func TestRevisions(t *testing.T) {
	w := newWorld(t)
	app := w.makeRunning("a")
	at := "/v3/apps/" + app
	first := w.as("developer", "GET", at+"/revisions", nil).want(200, `"version":1`, "Initial revision.", `"deployable":true`, `"web":{"command":null}`)
	if first.count() != 1 {
		t.Fatalf("%d revisions after the first start", first.count())
	}
	w.as("developer", "POST", at+"/actions/restart", nil).want(200)
	if n := w.as("developer", "GET", at+"/revisions", nil).count(); n != 1 {
		t.Fatalf("a restart without a change made %d revisions", n)
	}
	w.as("developer", "PATCH", at+"/environment_variables", `{"var":{"MODE":"fast"}}`).want(200)
	w.as("developer", "PATCH", "/v3/processes/"+app, `{"command":"serve"}`).want(200)
	w.deploy(app, w.makeDroplet(app, map[string]string{"web": "two"}))
	second := w.as("developer", "GET", at+"/revisions?versions=2&per_page=2&page=1", nil).want(200,
		"Custom start command added for 'web' process. New droplet deployed. New environment variables deployed.", `"web":{"command":"serve"}`)
	guid := second.str("resources", 0, "guid")
	w.as("developer", "GET", "/v3/revisions/"+guid+"/environment_variables", nil).want(200, `"MODE":"fast"`, `"revision"`)
	w.as("auditor", "GET", "/v3/revisions/"+guid+"/environment_variables", nil).want(403)
	w.as("stranger", "GET", "/v3/revisions/"+guid, nil).want(404, "Revision not found")
	w.as("developer", "PATCH", "/v3/revisions/"+guid, `{"metadata":{"labels":{"tier":"gold"}}}`).want(200, `"tier":"gold"`)
	if n := w.as("auditor", "GET", at+"/revisions?label_selector=tier", nil).want(200).count(); n != 1 {
		t.Errorf("label selector finds %d", n)
	}
	w.as("developer", "GET", at+"/revisions/deployed", nil).want(200, guid)
	w.as("developer", "GET", at+"/processes/web", nil).want(200, `"revision":{"data":{"guid":"`+guid+`"}}`)
	for _, kind := range []string{"audit.app.revision.create", "audit.app.revision.environment_variables.show"} {
		w.as("developer", "GET", "/v3/audit_events?target_guids="+app+"&types="+kind, nil).want(200, `"revision_version":2`)
	}

	old := first.str("resources", 0, "guid")
	back := `{"revision":{"guid":"` + old + `"},"relationships":{"app":{"data":{"guid":"` + app + `"}}}}`
	r := w.as("developer", "POST", "/v3/deployments", back).want(201, `"version":3`)
	w.as("developer", "GET", at+"/revisions?order_by=-created_at", nil).want(200, "Rolled back to revision 1.")
	w.as("developer", "GET", at+"/environment_variables", nil).want(200, `"var":{}`)
	w.view(func(tx *store.Tx) error {
		before, err := store.Processes.Get(tx, app)
		w.must(err)
		after, err := store.Processes.Get(tx, r.str("new_processes", 0, "guid"))
		if before.Command != "serve" || before.RevisionGUID != guid || after.Command != "" || after.RevisionGUID != r.str("revision", "guid") {
			t.Errorf("old process %+v, new process %+v", before, after)
		}
		return err
	})
	w.as("developer", "POST", "/v3/deployments", back).want(422, "is the same as the deployed revision")
	w.as("developer", "POST", "/v3/deployments", `{"revision":{"guid":"none"},"relationships":{"app":{"data":{"guid":"`+app+`"}}}}`).want(422, "revision does not exist")
}

func TestRevisionsAreBounded(t *testing.T) {
	w := newWorld(t)
	app := w.makeRunning("a")
	for n := range revisionsMax + 1 {
		w.as("developer", "PATCH", "/v3/apps/"+app+"/environment_variables", fmt.Sprintf(`{"var":{"N":"%d"}}`, n)).want(200)
		w.as("developer", "POST", "/v3/apps/"+app+"/actions/restart", nil).want(200)
	}
	r := w.as("developer", "GET", "/v3/apps/"+app+"/revisions?per_page=1", nil).want(200, `"version":3`)
	if total := r.at("pagination", "total_results"); total != float64(revisionsMax) {
		t.Errorf("%v revisions are kept, want %d", total, revisionsMax)
	}
	w.as("developer", "PATCH", "/v3/apps/"+app+"/features/revisions", `{"enabled":false}`).want(200)
	w.as("developer", "POST", "/v3/apps/"+app+"/actions/restart", nil).want(200)
	w.as("developer", "GET", "/v3/apps/"+app+"/processes/web", nil).want(200, `"revision":null`)
}

func TestSidecars(t *testing.T) {
	w := newWorld(t)
	app := w.makeApp("a")
	at := "/v3/apps/" + app + "/sidecars"
	good := `{"name":"config","command":"./config","process_types":["web","worker"],"memory_in_mb":"300"}`
	r := w.as("developer", "POST", at, good).want(201, `"memory_in_mb":300`, `"origin":"user"`, `"process_types":["web","worker"]`)
	for body, want := range map[string]string{
		good: "Sidecar with name 'config' already exists for given app",
		`{"name":"b","command":"x","process_types":["web"],"memory_in_mb":800}`: `too large to run with the dependent \"web\" process`,
		`{"name":"b","command":"x","process_types":[]}`:                         "at least 1 process_type",
		`{"name":"b","process_types":["web"]}`:                                  "Command can't be blank",
		`{"command":"b","process_types":["web"]}`:                               "Name can't be blank",
		`{"name":"b","command":"x","process_types":["web"],"memory_in_mb":0}`:   "Memory in mb",
		`{"name":"b","command":"x","process_types":["web"],"size":1}`:           "Unknown field",
	} {
		w.as("developer", "POST", at, body).want(422, want)
	}
	w.as("auditor", "POST", at, good).want(403)
	w.as("stranger", "POST", at, good).want(404, "App not found")
	w.as("auditor", "GET", "/v3/sidecars/"+r.guid(), nil).want(200, "./config")
	w.as("stranger", "GET", "/v3/sidecars/"+r.guid(), nil).want(404, "Sidecar not found")
	w.as("developer", "GET", "/v3/processes/"+app+"/sidecars", nil).want(200, `"total_results":1`, "config")
	w.as("developer", "GET", at, nil).want(200, "config")
	w.as("developer", "POST", "/v3/processes/"+app+"/actions/scale", `{"memory_in_mb":300}`).want(422, "not large enough to run all of your sidecar")
	w.as("developer", "PATCH", "/v3/sidecars/"+r.guid(), `{"process_types":["worker"],"memory_in_mb":null}`).want(200, `"memory_in_mb":null`, "./config")
	w.as("developer", "GET", "/v3/processes/"+app+"/sidecars", nil).want(200, `"total_results":0`)
	w.as("developer", "DELETE", "/v3/sidecars/"+r.guid(), nil).want(204)
	w.as("developer", "GET", "/v3/sidecars/"+r.guid(), nil).want(404)
}

func TestAppUsageEvents(t *testing.T) {
	w := newWorld(t)
	app := w.makeRunning("a")
	list := func(after string) *reply {
		return w.as("admin", "GET", "/v3/app_usage_events?per_page=150&order_by=-created_at&page=1"+after, nil).want(200)
	}
	last := list("").want(200, `"current":"STARTED"`, `"name":"a"`).str("resources", 0, "guid")
	w.as("developer", "POST", "/v3/apps/"+app+"/processes/web/actions/scale", `{"instances":3}`).want(202)
	w.as("developer", "POST", "/v3/apps/"+app+"/tasks", `{"command":"true","name":"job"}`).want(202)
	w.as("developer", "POST", "/v3/apps/"+app+"/actions/stop", nil).want(200)
	r := list("&after_guid="+last).want(200, `"instance_count":{"current":3,"previous":1}`, "TASK_STARTED", `"name":"job"`, "STOPPED")
	if r.count() != 4 { // scale, task, and a stop for each of web and worker
		t.Errorf("%d events after the first: %s", r.count(), r.text)
	}
	w.as("admin", "GET", "/v3/app_usage_events/"+last, nil).want(200, `"type":"w`)
	w.as("developer", "GET", "/v3/app_usage_events/"+last, nil).want(404, "not found")
	w.as("developer", "GET", "/v3/app_usage_events", nil).want(200, `"total_results":0`)
	w.as("admin", "GET", "/v3/app_usage_events?after_guid=none", nil).want(400, "10005")
	w.as("developer", "POST", "/v3/app_usage_events/actions/destructively_purge_all_and_reseed", nil).want(403)
	w.as("developer", "POST", "/v3/apps/"+app+"/actions/start", nil).want(200)
	w.as("admin", "POST", "/v3/app_usage_events/actions/destructively_purge_all_and_reseed", nil).want(200)
	if n := list("").count(); n != 2 {
		t.Errorf("%d events after the reseed, want one for each process", n)
	}
	w.as("admin", "GET", "/v3/service_usage_events", nil).want(200, `"total_results":0`)
}
