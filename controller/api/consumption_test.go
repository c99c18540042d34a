package api

import (
	"testing"

	"github.com/cupola-paas/cupola/store"
)

// limit gives the org, or with inSpace the space, a quota.
func (w *world) limitTo(inSpace bool, change func(*store.Quota)) {
	w.t.Helper()
	w.update(func(tx *store.Tx) error {
		q := unlimitedQuota()
		q.Name = "small"
		change(q)
		if inSpace {
			q.OrgGUID = w.org
			w.must(store.SpaceQuotas.Put(tx, q))
			space, err := store.Spaces.Get(tx, w.space)
			w.must(err)
			space.QuotaGUID = q.GUID
			return store.Spaces.Put(tx, space)
		}
		w.must(store.OrgQuotas.Put(tx, q))
		org, err := store.Orgs.Get(tx, w.org)
		w.must(err)
		org.QuotaGUID = q.GUID
		return store.Orgs.Put(tx, org)
	})
}

// TestQuotasHoldWhereverSomethingIsUsed asks for a little too much at every door.
func TestQuotasHoldWhereverSomethingIsUsed(t *testing.T) {
	for _, inSpace := range []bool{false, true} {
		w := newWorld(t)
		app := w.makeRunning("a") // one web instance of 1024 MB
		web := "/v3/processes/" + app
		d := w.makeDroplet(app, map[string]string{"web": "two"})
		deployment := func(options string) string {
			return `{"droplet":{"guid":"` + d + `"},"options":{` + options + `},"relationships":{"app":{"data":{"guid":"` + app + `"}}}}`
		}
		w.limitTo(inSpace, func(q *store.Quota) {
			q.TotalMemoryMB, q.ProcessMemoryMB, q.TotalInstances, q.AppTasks = 3000, 2000, 2, 1
		})
		scale := func(body string, status int, want ...string) {
			w.as("developer", "POST", web+"/actions/scale", body).want(status, want...)
		}
		scale(`{"memory_in_mb":2001}`, 422, "instance_memory_limit_exceeded")
		scale(`{"instances":3,"memory_in_mb":100}`, 422, "app_instance_limit")
		scale(`{"instances":2,"memory_in_mb":1600}`, 422, "memory ", "quota_exceeded")
		scale(`{"instances":2,"memory_in_mb":1400}`, 202)
		w.apply("developer", "applications: [{name: a, memory: 1900M}]").want(422, "quota_exceeded")
		w.apply("developer", "applications: [{name: a, memory: 2500M}]").want(422, "instance_memory_limit_exceeded")
		w.as("developer", "POST", "/v3/apps/"+app+"/tasks", `{"command":"true","memory_in_mb":201}`).want(422, "quota_exceeded")
		w.as("developer", "POST", "/v3/apps/"+app+"/tasks", `{"command":"true","memory_in_mb":2001}`).want(422, "instance_memory_limit_exceeded")
		w.as("developer", "POST", "/v3/apps/"+app+"/tasks", `{"command":"true","memory_in_mb":50}`).want(202, `"log_rate_limit_in_bytes_per_second":-1`)
		w.as("developer", "POST", "/v3/apps/"+app+"/tasks", `{"command":"true","memory_in_mb":50}`).want(422, "app_task_limit")
		bits := w.makePackage(app)
		w.uploadZip(bits, nil, zipOf(t, map[string]string{"a": "b"})).want(200)
		build := func(mb string) *reply {
			return w.as("developer", "POST", "/v3/builds", `{"package":{"guid":"`+bits+`"},"staging_memory_in_mb":`+mb+`}`)
		}
		build("151").want(422, "memory limit exceeded: staging requires 151M memory, quota 'small' allows 3000M in all, and started apps and tasks use 2850M")
		build("150").want(201)
		w.as("developer", "POST", "/v3/deployments", deployment(`"memory_in_mb":2001`)).want(422, "instance_memory_limit_exceeded")
		w.as("developer", "POST", "/v3/deployments", deployment(`"memory_in_mb":1400`)).want(422, "quota_exceeded")
		scale(`{"instances":1,"memory_in_mb":100}`, 202)
		w.as("developer", "POST", "/v3/apps/"+app+"/actions/restart", nil).want(200)

		w.limitTo(inSpace, func(q *store.Quota) { q.Name, q.LogRateBytes = "quiet", 1000 })
		scale(`{"instances":2}`, 422, "log_rate_limit cannot be unlimited")
		w.as("developer", "POST", "/v3/apps/"+app+"/actions/restart", nil).want(422, "log_rate_limit cannot be unlimited")
		w.update(func(tx *store.Tx) error { // the task ends
			tasks, _, err := store.Tasks.List(tx, store.Query[store.Task]{})
			w.must(err)
			tasks[0].State = "SUCCEEDED"
			return store.Tasks.Put(tx, tasks[0])
		})
		scale(`{"log_rate_limit_in_bytes_per_second":600}`, 202)
		scale(`{"instances":2}`, 422, "log_rate_limit exceeds")
		quiet := func(rate string) *reply {
			return w.as("developer", "POST", "/v3/builds", `{"package":{"guid":"`+bits+`"},"staging_log_rate_limit_bytes_per_second":`+rate+`}`)
		}
		w.endBuilds()
		quiet("401").want(422, "log rate limit exceeded: staging requires 401 bytes per second, quota 'quiet' allows 1000 in all, and started apps and tasks use 600")
		b := quiet("400").want(201, `"staging_log_rate_limit_bytes_per_second":400`)
		w.as("developer", "GET", "/v3/builds/"+b.guid(), nil).want(200, `"staging_log_rate_limit_bytes_per_second":400`)
		w.endBuilds()
		quiet("-1").want(201, `"staging_log_rate_limit_bytes_per_second":-1`)
	}
}

// endBuilds lets the builds of before be over.
func (w *world) endBuilds() {
	w.t.Helper()
	w.update(func(tx *store.Tx) error {
		return each(tx, store.Builds, func(tx *store.Tx, b *store.Build) error {
			b.State = store.StateFailed
			return store.Builds.Put(tx, b)
		}, store.By("state", store.StateStaging))
	})
}

func TestTasksAndInstancesAreShown(t *testing.T) {
	w := newWorld(t)
	app := w.makeRunning("a")
	w.as("developer", "POST", "/v3/apps/"+app+"/tasks", `{"command":"sleep 2.5","name":"nap","log_rate_limit_in_bytes_per_second":10}`).want(202, `"log_rate_limit_in_bytes_per_second":10`)
	w.as("developer", "GET", "/v3/apps/"+app+"/tasks", nil).want(200, `"command":"sleep 2.5"`)
	for who, path := range map[string]string{"auditor": "/v3/apps/" + app + "/tasks", "developer": "/v3/tasks"} {
		if r := w.as(who, "GET", path, nil).want(200, "nap"); r.at("resources", 0, "command") != nil {
			t.Errorf("%s shows %s the command: %s", path, who, r.text)
		}
	}
	w.as("developer", "GET", "/v3/processes/"+app+"?embed=process_instances", nil).want(200, `"process_instances":[{"index":0,"state":"DOWN"`)
	w.as("developer", "GET", "/v3/processes/"+app+"?embed=all", nil).want(400, "Invalid embedded resource")
}
