package api

import (
	"context"
	"testing"
	"time"

	"github.com/cupola-paas/cupola/store"
)

func TestScaleAndUpdateProcess(t *testing.T) {
	w := newWorld(t)
	app := w.makeApp("a")
	byType, byGUID := "/v3/apps/"+app+"/processes/web", "/v3/processes/"+app
	for _, base := range []string{byType, byGUID} {
		r := w.as("supporter", "POST", base+"/actions/scale", `{"instances":"4","memory_in_mb":"256","disk_in_mb":512,"log_rate_limit_in_bytes_per_second":-1}`).want(202, `"instances":4`, `"memory_in_mb":256`)
		if r.header.Get("Location") != "" {
			t.Error("a scale has no Location")
		}
		for body, want := range map[string]string{
			`{"instances":-1}`: "Instances must be between", `{"memory_in_mb":0}`: "Memory in mb must be between",
			`{"disk_in_mb":"x"}`: "disk_in_mb must be an integer", `{"cpu":1}`: "Unknown field", `{"instances":20000}`: "Instances must be",
		} {
			w.as("supporter", "POST", base+"/actions/scale", body).want(422, want)
		}
		w.as("auditor", "PATCH", base, `{"command":"x"}`).want(403)
		w.as("developer", "PATCH", base, `{"command":"serve","health_check":{"type":"http","data":{"endpoint":"/up","timeout":"90","invocation_timeout":2}},"readiness_health_check":{"type":"port"}}`).want(200,
			`"command":"serve"`, `"type":"http"`, `"endpoint":"/up"`, `"timeout":90`, `"readiness_health_check":{"type":"port"`)
		w.as("developer", "PATCH", base, `{"command":null,"health_check":{"type":"none","data":{"timeout":null}}}`).want(200, `"command":null`, `"type":"process"`, `"timeout":null`)
		for body, want := range map[string]string{
			`{"health_check":{"type":"tcp"}}`:                              "Health check type must be",
			`{"health_check":{"type":"port","data":{"timeout":181}}}`:      "between 1 and 180",
			`{"health_check":{"type":"http","data":{"endpoint":"up"}}}`:    "valid URI path",
			`{"health_check":{"type":"port","data":{"endpoint":"/up"}}}`:   "for the type",
			`{"readiness_health_check":{"data":{"invocation_timeout":0}}}`: "Readiness health check invocation timeout",
			`{"command":""}`:                      "at least 1 character",
			`{"user":"root"}`:                     "User invalid",
			`{"metadata":{"labels":{"a b":"c"}}}`: "Metadata label key",
		} {
			w.as("developer", "PATCH", base, body).want(422, want)
		}
	}
	w.as("developer", "GET", "/v3/apps/"+app+"/processes/ghost", nil).want(404, "Process not found")
	w.as("developer", "GET", "/v3/apps/ghost/processes/web", nil).want(404, "App not found")
	w.as("developer", "GET", byType+"/sidecars", nil).want(200, `"resources":[]`)
	w.as("developer", "GET", "/v3/processes?types=web&app_guids="+app, nil).want(200, app)
	w.as("stranger", "GET", byType, nil).want(404, "App not found")
}

// figures are stats by hand.
type figures map[string]Usage

func (f figures) Usage(context.Context, ...string) (map[string]Usage, error) { return f, nil }

func TestStats(t *testing.T) {
	use := figures{}
	w := newWorld(t, func(o *Options) { o.Stats, o.MaxHold = use, time.Millisecond })
	app := w.makeRunning("a")
	w.as("developer", "POST", "/v3/processes/"+app+"/actions/scale", `{"instances":3}`).want(202)
	version := w.as("developer", "GET", "/v3/processes/"+app, nil).str("version")
	running := &store.Instance{
		AppGUID: app, ProcessGUID: app, ProcessType: "web", Version: version, Index: 1, State: store.InstanceRunning, Routable: true,
		Address: "172.17.0.2", Ports: []int{8080}, MemoryMB: 1024, DiskMB: 512, Since: time.Now().Add(-time.Minute),
	}
	stuck := &store.Instance{
		AppGUID: app, ProcessGUID: app, ProcessType: "web", Version: version, Index: 2, State: store.InstanceDown, Details: "insufficient resources: memory",
	}
	old := &store.Instance{AppGUID: app, ProcessGUID: app, ProcessType: "web", Version: "old", Index: 0, State: store.InstanceRunning}
	w.update(func(tx *store.Tx) error {
		w.must(store.Instances.Put(tx, running), store.Instances.Put(tx, stuck))
		return store.Instances.Put(tx, old)
	})
	use[running.GUID] = Usage{Time: time.Now(), CPU: 0.5, CPUEntitlement: 0.25, MemoryBytes: 1 << 20, DiskBytes: 2 << 20}
	for _, path := range []string{"/v3/processes/" + app + "/stats", "/v3/apps/" + app + "/processes/web/stats"} {
		r := w.as("auditor", "GET", path, nil).want(200, `"cpu_entitlement":0.25`, `"mem":1048576`, `"mem_quota":1073741824`, `"routable":true`, `"details":"insufficient resources: memory"`)
		if r.count() != 3 || r.str("resources", 0, "state") != "DOWN" || r.str("resources", 1, "state") != "RUNNING" || r.str("resources", 2, "state") != "DOWN" {
			t.Errorf("stats: %s", r.text)
		}
		if _, has := r.body["pagination"]; has {
			t.Error("stats have no pagination")
		}
	}
	w.as("developer", "GET", "/v3/processes?embed=process_instances", nil).want(200, `"process_instances":[{"index":0,"state":"DOWN"`)
	w.as("developer", "GET", "/v3/processes?embed=all", nil).want(400, "10005")
	r := w.as("developer", "GET", "/v3/processes/"+app+"/process_instances", nil).want(200)
	for i := range 3 {
		if since, _ := r.at("resources", i, "since").(float64); since < 1 {
			t.Errorf("since must be positive: %s", r.text)
		}
	}
	w.as("supporter", "DELETE", "/v3/apps/"+app+"/processes/web/instances/1", nil).want(204)
	w.as("supporter", "DELETE", "/v3/processes/"+app+"/instances/3", nil).want(404, "Instance not found")
	w.as("supporter", "DELETE", "/v3/processes/"+app+"/instances/x", nil).want(404, "Instance not found")
	w.as("auditor", "DELETE", "/v3/processes/"+app+"/instances/0", nil).want(403)
	w.view(func(tx *store.Tx) error {
		if _, err := store.Instances.Get(tx, running.GUID); err == nil {
			t.Error("the terminated instance's record is still there")
		}
		return nil
	})
	w.as("developer", "POST", "/v3/apps/"+app+"/actions/stop", nil).want(200)
	if r := w.as("developer", "GET", "/v3/processes/"+app+"/stats", nil).want(200); r.count() != 3 || r.str("resources", 2, "state") != "DOWN" {
		t.Errorf("a stopped app has one DOWN entry for each instance: %s", r.text)
	}
}

func TestStatsOfAStartAreHeld(t *testing.T) {
	w := newWorld(t)
	app := w.makeRunning("a")
	version := w.as("developer", "GET", "/v3/processes/"+app, nil).str("version")
	answer := make(chan *reply, 1)
	go func() { answer <- w.as("developer", "GET", "/v3/processes/"+app+"/stats", nil) }()
	w.update(func(tx *store.Tx) error {
		return store.Instances.Put(tx, &store.Instance{AppGUID: app, ProcessGUID: app, Version: version, State: store.InstanceRunning})
	})
	(<-answer).want(200, `"state":"RUNNING"`)
}
