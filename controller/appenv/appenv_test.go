package appenv

import (
	"encoding/json"
	"strings"
	"testing"

	"github.com/cupola-paas/cupola/store"
)

func TestEnvironments(t *testing.T) {
	db, err := store.Open(store.Options{Dir: t.TempDir(), NoSync: true})
	if err != nil {
		t.Fatal(err)
	}
	defer db.Close()
	must := func(err error) {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
	}
	e := Env{API: "https://api.example.com", HostIP: "10.0.0.1"}
	must(db.Update(func(tx *store.Tx) error {
		org := &store.Org{Name: "org"}
		must(store.Orgs.Put(tx, org))
		space := &store.Space{Name: "space", OrgGUID: org.GUID}
		must(store.Spaces.Put(tx, space))
		app := &store.App{Name: "shop", SpaceGUID: space.GUID, State: store.AppStarted, Environment: map[string]string{"BOTH": "app", "TMPDIR": "/mine", "MEMORY_LIMIT": "lie"}}
		must(store.Apps.Put(tx, app))
		domain := &store.Domain{Name: "example.com"}
		must(store.Domains.Put(tx, domain))
		must(store.Routes.Put(tx, &store.Route{Host: "shop", Path: "/v1", DomainGUID: domain.GUID, SpaceGUID: space.GUID, Destinations: []store.Destination{{AppGUID: app.GUID, ProcessType: "web"}}}))
		for _, group := range []string{"running", "staging"} {
			must(store.EnvGroups.Put(tx, &store.EnvGroup{Meta: store.Meta{GUID: group}, Var: map[string]string{"BOTH": group, "GROUP": group}}))
		}
		web := &store.Process{Meta: store.Meta{GUID: app.GUID}, AppGUID: app.GUID, SpaceGUID: space.GUID, Type: "web", MemoryMB: 256, DiskMB: 512, Version: "v"}
		worker := &store.Process{AppGUID: app.GUID, SpaceGUID: space.GUID, Type: "worker", MemoryMB: 64}

		running, err := e.Running(tx, app, web, &store.Droplet{Stack: "cupola"}, &store.Instance{Meta: store.Meta{GUID: "g"}, Index: 3})
		must(err)
		check(t, "running", running, map[string]string{
			"BOTH": "app", "GROUP": "running", "PORT": "8080", "MEMORY_LIMIT": "256m", "CF_INSTANCE_INDEX": "3", "INSTANCE_GUID": "g",
			"CF_INSTANCE_ADDR": "10.0.0.1:8080", "VCAP_SERVICES": "{}", "CF_STACK": "cupola", "TMPDIR": "/mine", "USER": "vcap",
		})
		for _, part := range []string{`"application_name":"shop"`, `"instance_index":3`, `"port":8080`, `"uris":["shop.example.com/v1"]`, `"limits":{"fds":16384,"mem":256,"disk":512}`} {
			if !strings.Contains(running["VCAP_APPLICATION"], part) {
				t.Errorf("VCAP_APPLICATION lacks %s: %s", part, running["VCAP_APPLICATION"])
			}
		}
		if !json.Valid([]byte(running["CF_INSTANCE_PORTS"])) {
			t.Errorf("ports %s", running["CF_INSTANCE_PORTS"])
		}
		other, err := e.Running(tx, app, worker, nil, &store.Instance{})
		must(err)
		if _, has := other["PORT"]; has {
			t.Error("a worker has a PORT")
		}
		staging, err := e.Staging(tx, app, &store.Build{Lifecycle: store.Lifecycle{Stack: "cupola"}, StagingMemoryMB: 512})
		must(err)
		check(t, "staging", staging, map[string]string{"BOTH": "app", "GROUP": "staging", "CF_STACK": "cupola", "MEMORY_LIMIT": "512m", "CF_INSTANCE_ADDR": "", "CF_INSTANCE_PORT": ""})
		task, err := e.Task(tx, app, &store.Task{MemoryMB: 64}, nil)
		must(err)
		check(t, "task", task, map[string]string{"GROUP": "running", "MEMORY_LIMIT": "64m", "CF_INSTANCE_ADDR": ""})
		if _, has := task["CF_INSTANCE_INDEX"]; has || strings.Contains(task["VCAP_APPLICATION"], "instance_index") {
			t.Error("a task has an index")
		}
		return nil
	}))
}

func check(t *testing.T, what string, got, want map[string]string) {
	t.Helper()
	for k, v := range want {
		if has, ok := got[k]; !ok || has != v {
			t.Errorf("%s: %s = %q (%v), want %q", what, k, has, ok, v)
		}
	}
}

func TestRouteURL(t *testing.T) {
	for want, r := range map[string]store.Route{
		"a.example.com/b": {Host: "a", Path: "/b"}, "example.com": {}, "example.com:1024": {Port: 1024}, "*.example.com": {Host: "*"},
	} {
		if got := RouteURL(&r, "example.com"); got != want {
			t.Errorf("RouteURL(%+v) = %q, want %q", r, got, want)
		}
	}
}
