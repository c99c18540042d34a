package api

import (
	"testing"
	"time"

	"github.com/cupola-paas/cupola/store"
)

func TestBuilds(t *testing.T) {
	w := newWorld(t, func(o *Options) { o.MaxHold = time.Millisecond })
	app := w.makeApp("a")
	pkg := w.makePackage(app)
	create := func(who, guid, more string) *reply {
		return w.as(who, "POST", "/v3/builds", `{"package":{"guid":"`+guid+`"}`+more+`}`)
	}
	create("developer", pkg, "").want(400, "Cannot stage package whose state is not ready.", "1004")
	w.uploadZip(pkg, nil, zipOf(t, map[string]string{"a": "b"})).want(200)
	w.as("developer", "POST", "/v3/builds", `{}`).want(422, "Package can't be blank")
	create("developer", "nope", "").want(422, "Unable to use package")
	create("stranger", pkg, "").want(422, "Unable to use package")
	create("auditor", pkg, "").want(403)
	create("developer", pkg, `,"staging_memory_in_mb":0`).want(422, "Staging memory in mb")
	create("developer", pkg, `,"staging_log_rate_limit_bytes_per_second":-2`).want(422, "Staging log rate limit bytes per second must be between -1 and ")
	create("developer", pkg, `,"lifecycle":{"data":{"buildpacks":["cobol"]}}`).want(422, "cobol")
	r := create("developer", pkg, `,"staging_memory_in_mb":"512"`).want(201, `"state":"STAGING"`, `"staging_memory_in_mb":512`, `"staging_log_rate_limit_bytes_per_second":-1`, `"droplet":null`, `"name":"developer"`, `"package":{"guid":"`+pkg+`"}`)
	create("developer", pkg, "").want(422, "170017", "Only one build can be STAGING")
	w.as("developer", "GET", "/v3/builds/"+r.guid(), nil).want(200, "STAGING")
	w.as("developer", "GET", "/v3/builds?states=STAGING&app_guids="+app, nil).want(200, r.guid())
	w.as("developer", "GET", "/v3/apps/"+app+"/builds?package_guids="+pkg, nil).want(200, r.guid())
	w.as("developer", "PATCH", "/v3/builds/"+r.guid(), `{"state":"STAGED"}`).want(422, "only be set to FAILED")
	w.as("developer", "PATCH", "/v3/builds/"+r.guid(), `{"state":"FAILED","metadata":{"labels":{"a":"b"}}}`).want(200, `"a":"b"`)
	w.update(func(tx *store.Tx) error {
		b, err := store.Builds.Get(tx, r.guid())
		w.must(err)
		if !b.Canceled {
			t.Error("the build is not cancelled")
		}
		b.State = store.StateFailed
		return store.Builds.Put(tx, b)
	})
	w.as("developer", "PATCH", "/v3/builds/"+r.guid(), `{"state":"FAILED"}`).want(422, "cannot be cancelled")
}

func TestDroplets(t *testing.T) {
	w := newWorld(t)
	app := w.makeRunning("a")
	second := w.makeDroplet(app, map[string]string{"web": "run two"})
	list := w.as("developer", "GET", "/v3/droplets?app_guids="+app, nil).want(200, "PRIVATE DATA HIDDEN")
	if list.count() != 2 {
		t.Errorf("%d droplets", list.count())
	}
	current := list.str("resources", 0, "guid")
	if n := w.as("developer", "GET", "/v3/apps/"+app+"/droplets?current=true", nil).want(200, current).count(); n != 1 {
		t.Errorf("%d current droplets", n)
	}
	w.as("developer", "GET", "/v3/apps/"+app+"/droplets?current=perhaps", nil).want(400, "current must be true or false")
	w.as("developer", "GET", "/v3/droplets/"+second, nil).want(200, `"web":"run two"`, `"value":"abc"`, `"buildpacks":[]`)
	w.as("auditor", "GET", "/v3/droplets/"+second, nil).want(200, `"web":"[PRIVATE`)
	w.as("developer", "PATCH", "/v3/droplets/"+second, `{"metadata":{"annotations":{"a":"b c"}}}`).want(200, `"a":"b c"`)
	w.as("developer", "DELETE", "/v3/droplets/"+current, nil).want(422, "current one")
	w.as("developer", "DELETE", "/v3/droplets/"+second, nil).want(202)
	w.as("developer", "GET", "/v3/droplets/"+second, nil).want(404, "Droplet not found")
}

func TestDeployments(t *testing.T) {
	w := newWorld(t, func(o *Options) { o.MaxHold = time.Millisecond })
	app := w.makeRunning("a")
	w.as("developer", "POST", "/v3/apps/"+app+"/processes/web/actions/scale", `{"instances":4}`).want(202)
	before := w.as("developer", "GET", "/v3/apps/"+app, nil).str("relationships", "current_droplet", "data", "guid")
	next := w.makeDroplet(app, map[string]string{"web": "two", "clock": "tick"})
	body := func(more string) string {
		return `{"droplet":{"guid":"` + next + `"},"relationships":{"app":{"data":{"guid":"` + app + `"}}}` + more + `}`
	}
	for more, want := range map[string]string{
		`,"strategy":"blue"`:                                      "not a supported deployment strategy",
		`,"options":{"max_in_flight":0}`:                          "Max in flight",
		`,"options":{"canary":{"steps":[{"instance_weight":1}]}}`: "only valid for the strategy canary",
		`,"strategy":"canary","options":{"canary":{"steps":[{"instance_weight":50},{"instance_weight":20}]}}`: "ascending order",
		`,"revision":{"guid":"x"}`: "Cannot set both fields",
		`,"x":1`:                   "Unknown field",
	} {
		w.as("developer", "POST", "/v3/deployments", body(more)).want(422, want)
	}
	w.as("auditor", "POST", "/v3/deployments", body("")).want(403)
	w.as("stranger", "POST", "/v3/deployments", body("")).want(422, "App is invalid")
	r := w.as("supporter", "POST", "/v3/deployments", body(`,"options":{"max_in_flight":2}`)).want(201, `"value":"ACTIVE"`, `"reason":"DEPLOYING"`, `"type":"web"`, `"previous_droplet":{"guid":"`+before+`"}`)
	fresh := r.str("new_processes", 0, "guid")
	w.view(func(tx *store.Tx) error {
		old, err := store.Processes.Get(tx, app)
		w.must(err)
		clone, err := store.Processes.Get(tx, fresh)
		w.must(err)
		a, err := store.Apps.Get(tx, app)
		if old.DropletGUID != before || clone.DropletGUID != next || clone.Instances != 2 || old.Instances != 4 || a.CurrentDropletGUID != before {
			t.Errorf("old %+v new %+v current %s", old, clone, a.CurrentDropletGUID)
		}
		d, err2 := store.Deployments.Get(tx, r.guid())
		if d.WantedInstances != 4 || len(d.OldProcessGUIDs) != 1 || d.NewProcessGUID != fresh {
			t.Errorf("deployment %+v", d)
		}
		return firstOf(err, err2)
	})
	types := w.as("developer", "GET", "/v3/apps/"+app+"/processes", nil).want(200, `"type":"clock"`)
	if types.count() != 4 {
		t.Errorf("%d processes, want two webs, worker and clock", types.count())
	}
	w.as("developer", "POST", "/v3/apps/"+app+"/actions/stop", nil).want(422, "390024")
	w.as("developer", "POST", "/v3/apps/"+app+"/processes/web/actions/scale", `{"instances":5}`).want(422, "390016")
	w.as("developer", "PATCH", "/v3/processes/"+app, `{"command":"x"}`).want(422, "390017")
	w.as("developer", "GET", "/v3/deployments?app_guids="+app+"&status_values=ACTIVE&order_by=-created_at&page=1&per_page=1", nil).want(200, r.guid())
	w.as("developer", "POST", "/v3/deployments/"+r.guid()+"/actions/continue", nil).want(422, "ACTIVE", "DEPLOYING")

	second := w.as("developer", "POST", "/v3/deployments", body(`,"strategy":"canary","options":{"canary":{"steps":[{"instance_weight":"25"},{"instance_weight":50}]}}`)).want(201, `"canary":{"steps":{"current":1,"total":2}}`)
	w.as("developer", "GET", "/v3/deployments/"+r.guid(), nil).want(200, "FINALIZED", "SUPERSEDED")
	w.update(func(tx *store.Tx) error {
		d, err := store.Deployments.Get(tx, second.guid())
		w.must(err)
		if d.WantedInstances != 4 {
			t.Errorf("the second deployment wants %d instances, want the 4 of the first", d.WantedInstances)
		}
		d.Reason = store.DeploymentPaused
		return store.Deployments.Put(tx, d)
	})
	w.as("developer", "POST", "/v3/deployments/"+second.guid()+"/actions/continue", nil).want(200)
	w.as("developer", "GET", "/v3/deployments/"+second.guid(), nil).want(200, "DEPLOYING", `"current":2`)
	w.as("developer", "POST", "/v3/deployments/"+second.guid()+"/actions/cancel", nil).want(200)
	w.as("developer", "GET", "/v3/deployments/"+second.guid(), nil).want(200, "CANCELING")
	w.as("developer", "POST", "/v3/deployments/"+r.guid()+"/actions/cancel", nil).want(422, "FINALIZED", "SUPERSEDED")
}

func TestDeploymentOfAStoppedApp(t *testing.T) {
	w := newWorld(t)
	app := w.makeApp("a")
	d := w.makeDroplet(app, map[string]string{"web": "x"})
	none := `{"relationships":{"app":{"data":{"guid":"` + app + `"}}}}`
	w.as("developer", "POST", "/v3/deployments", none).want(422, "Invalid droplet")
	w.as("developer", "POST", "/v3/deployments", `{"droplet":{"guid":"`+d+`"},`+none[1:]).want(201, "FINALIZED", "DEPLOYED")
	w.as("developer", "GET", "/v3/apps/"+app, nil).want(200, "STARTED", d)
}

func TestTasks(t *testing.T) {
	w := newWorld(t, func(o *Options) { o.MaxHold = time.Millisecond })
	empty, app := w.makeApp("empty"), w.makeRunning("a")
	path := "/v3/apps/" + app + "/tasks"
	w.as("developer", "POST", "/v3/apps/"+empty+"/tasks", `{"command":"x"}`).want(422, "Task must have a droplet")
	w.as("developer", "POST", path, `{}`).want(422, "No command or template")
	w.as("developer", "POST", path, `{"command":"x","memory_in_mb":0}`).want(422, "Memory in mb")
	w.as("developer", "POST", path, `{"template":{"process":{"guid":"`+empty+`"}}}`).want(422, "of this app")
	w.as("supporter", "POST", path, `{"command":"x"}`).want(403)
	r := w.as("developer", "POST", path, `{"command":"migrate","name":"one","memory_in_mb":"64"}`).want(202, `"sequence_id":1`, "PENDING", `"memory_in_mb":64`, `"command":"migrate"`)
	if r.header.Get("Location") != "" {
		t.Error("a task has no Location")
	}
	w.as("developer", "POST", path, `{"template":{"process":{"guid":"`+app+`"}}}`).want(202, `"sequence_id":2`, `"command":"run web"`)
	w.as("developer", "GET", path+"?sequence_ids=1", nil).want(200, r.guid(), `"total_results":1`)
	if list := w.as("auditor", "GET", path+"?order_by=-created_at", nil).want(200); list.at("resources", 0, "command") != nil {
		t.Errorf("a list shows the command: %s", list.text)
	}
	w.as("auditor", "GET", "/v3/tasks/"+r.guid(), nil).want(200, "PENDING")
	w.as("developer", "PUT", "/v3/tasks/"+r.guid()+"/cancel", nil).want(202, "CANCELING")
	w.as("developer", "POST", "/v3/tasks/"+r.guid()+"/actions/cancel", nil).want(202, "CANCELING")
	w.update(func(tx *store.Tx) error {
		task, err := store.Tasks.Get(tx, r.guid())
		w.must(err)
		task.State, task.FailureReason = store.StateFailed, "task was cancelled"
		return store.Tasks.Put(tx, task)
	})
	w.as("developer", "GET", "/v3/tasks/"+r.guid(), nil).want(200, `"failure_reason":"task was cancelled"`)
	w.as("developer", "PUT", "/v3/tasks/"+r.guid()+"/cancel", nil).want(422, "cannot be canceled")
	w.as("stranger", "GET", "/v3/tasks/"+r.guid(), nil).want(404, "Task not found")
}
