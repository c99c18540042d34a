package api

import (
	"context"
	"maps"
	"net/http"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/cupola-paas/cupola/store"
)

func spaceRef(guid string) map[string]any {
	return map[string]any{"space": map[string]any{"data": map[string]any{"guid": guid}}}
}

func appRef(guid string) map[string]any {
	return map[string]any{"app": map[string]any{"data": map[string]any{"guid": guid}}}
}

// makeApp makes an app as the developer and returns its GUID.
func (w *world) makeApp(name string) string {
	w.t.Helper()
	return w.as("developer", "POST", "/v3/apps", map[string]any{"name": name, "relationships": spaceRef(w.space)}).want(201).guid()
}

// makeDroplet writes a staged droplet, as the staging loop would.
func (w *world) makeDroplet(app string, types map[string]string) string {
	d := &store.Droplet{
		AppGUID: app, SpaceGUID: w.space, State: store.StateStaged, Lifecycle: store.Lifecycle{Type: "buildpack"},
		ProcessTypes: types, ImageDigest: "sha256:abc", Stack: "cupola",
	}
	w.update(func(tx *store.Tx) error { return store.Droplets.Put(tx, d) })
	return d.GUID
}

// makeRunning makes an app with a current droplet, started.
func (w *world) makeRunning(name string) string {
	w.t.Helper()
	app := w.makeApp(name)
	d := w.makeDroplet(app, map[string]string{"web": "run web", "worker": "run worker"})
	w.as("developer", "PATCH", "/v3/apps/"+app+"/relationships/current_droplet", map[string]any{"data": map[string]any{"guid": d}}).want(200)
	w.as("developer", "POST", "/v3/apps/"+app+"/actions/start", nil).want(200, `"state":"STARTED"`)
	return app
}

func TestAppLifecycle(t *testing.T) {
	w := newWorld(t)
	r := w.as("developer", "POST", "/v3/apps", map[string]any{
		"name": "shop", "relationships": spaceRef(w.space), "environment_variables": map[string]string{"A": "1"},
		"metadata": map[string]any{"labels": map[string]string{"tier": "web"}},
	}).want(201, `"state":"STOPPED"`, `"type":"buildpack"`, `"stack":"cupola"`, `"tier":"web"`, `"current_droplet":{"data":null}`)
	guid := r.guid()
	if r.header.Get("Location") != "" {
		t.Error("a 201 must not have a Location: clients poll it as a job")
	}
	if r.str("created_at") != r.str("updated_at") || !strings.HasSuffix(r.str("created_at"), "Z") || strings.Contains(r.str("created_at"), ".") {
		t.Errorf("times: %s", r.text)
	}
	if !w.log.contains(guid + " API Created app with guid " + guid) {
		t.Error("the log lacks the line of the creation")
	}
	web := w.as("developer", "GET", "/v3/apps/"+guid+"/processes", nil).want(200)
	if web.count() != 1 || web.str("resources", 0, "guid") != guid {
		t.Errorf("the web process must have the app's GUID: %s", web.text)
	}
	w.as("developer", "POST", "/v3/apps/"+guid+"/actions/start", nil).want(422, "Assign a droplet before starting this app.")
	w.as("developer", "POST", "/v3/apps/"+guid+"/actions/restart", nil).want(422, "Assign a droplet before starting this app.")
	w.as("developer", "GET", "/v3/apps/"+guid+"/droplets/current", nil).want(404, "Droplet not found")

	droplet := w.makeDroplet(guid, map[string]string{"web": "run", "worker": "work"})
	w.as("developer", "PATCH", "/v3/apps/"+guid+"/relationships/current_droplet", map[string]any{"data": map[string]any{"guid": droplet}}).want(200, droplet, `"related"`)
	w.as("developer", "GET", "/v3/apps/"+guid+"/droplets/current", nil).want(200, `"web":"run"`)
	all := w.as("developer", "GET", "/v3/apps/"+guid+"/processes", nil).want(200, `"type":"worker"`, "PRIVATE DATA HIDDEN")
	if all.count() != 2 || strings.Contains(all.text, `"command":"run"`) {
		t.Errorf("processes: %s", all.text)
	}
	w.as("developer", "GET", "/v3/processes/"+guid, nil).want(200, `"command":"run"`, `"instances":1`, `"memory_in_mb":1024`)
	w.as("auditor", "GET", "/v3/processes/"+guid, nil).want(200, "PRIVATE DATA HIDDEN")

	version := func() string { return w.as("admin", "GET", "/v3/processes/"+guid, nil).str("version") }
	v1 := version()
	w.as("supporter", "POST", "/v3/apps/"+guid+"/actions/start", nil).want(200, "STARTED")
	v2 := version()
	w.as("supporter", "POST", "/v3/apps/"+guid+"/actions/start", nil).want(200, "STARTED")
	if v1 == v2 || v2 != version() {
		t.Error("a start changes the version, a start of what is started does not")
	}
	w.as("supporter", "POST", "/v3/apps/"+guid+"/actions/restart", nil).want(200)
	if v2 == version() {
		t.Error("a restart must change the version")
	}
	w.as("supporter", "POST", "/v3/apps/"+guid+"/actions/stop", nil).want(200, "STOPPED")

	w.as("developer", "PATCH", "/v3/apps/"+guid, map[string]any{"name": "store", "metadata": map[string]any{"labels": map[string]any{"tier": nil}}}).want(200, `"name":"store"`, `"labels":{}`)
	w.as("auditor", "PATCH", "/v3/apps/"+guid, map[string]any{"name": "x"}).want(403, "10003")

	del := w.as("developer", "DELETE", "/v3/apps/"+guid+"/", nil).want(202)
	location := strings.TrimPrefix(del.header.Get("Location"), testURL)
	w.as("developer", "GET", location, nil).want(200, `"state":"COMPLETE"`, "app.delete")
	w.as("developer", "GET", "/v3/apps/"+guid, nil).want(404, "App not found", "10010")
	w.as("developer", "DELETE", "/v3/apps/"+guid, nil).want(404)
	w.view(func(tx *store.Tx) error {
		p, _ := store.Processes.Count(tx, store.By("app", guid))
		d, _ := store.Droplets.Count(tx, store.By("app", guid))
		if p+d != 0 {
			t.Errorf("left behind: %d processes, %d droplets", p, d)
		}
		var types []string
		for e := range store.AuditEvents.All(tx) {
			if e.Target.GUID == guid {
				types = append(types, e.Type)
			}
		}
		got := strings.Join(types, " ")
		for _, want := range []string{"audit.app.create", "audit.app.droplet.mapped", "audit.app.start", "audit.app.stop", "audit.app.update", "audit.app.delete-request"} {
			if !strings.Contains(got, want) {
				t.Errorf("no event %s among %s", want, got)
			}
		}
		return nil
	})
}

func TestCreateAppRefusals(t *testing.T) {
	w := newWorld(t)
	w.makeApp("taken")
	body := func(change map[string]any) map[string]any {
		b := map[string]any{"name": "x", "relationships": spaceRef(w.space)}
		maps.Copy(b, change)
		return b
	}
	for _, c := range []struct {
		name, token string
		body        any
		status      int
		want        string
	}{
		{"no token", "", body(nil), 401, "10002"},
		{"malformed", "developer", "{", 400, "1001"},
		{"unknown field", "developer", body(map[string]any{"nam": 1}), 422, "Unknown field(s): 'nam'"},
		{"no name", "developer", body(map[string]any{"name": " "}), 422, "Name can't be blank"},
		{"300 letters", "developer", body(map[string]any{"name": strings.Repeat("n", 300)}), 422, "Name is too long (maximum is 255 characters, this has 300)"},
		{"line break", "developer", body(map[string]any{"name": "a\nb"}), 422, "line breaks"},
		{"taken", "developer", body(map[string]any{"name": "TAKEN"}), 422, "App with the name 'TAKEN' already exists."},
		{"no space", "developer", body(map[string]any{"relationships": map[string]any{}}), 422, "Relationships Space can't be blank"},
		{"unseen space", "developer", body(map[string]any{"relationships": spaceRef(w.otherSpace)}), 422, "Invalid space"},
		{"absent space", "developer", body(map[string]any{"relationships": spaceRef("nope")}), 422, "Invalid space"},
		{"may not", "auditor", body(nil), 403, "10003"},
		{"PORT", "developer", body(map[string]any{"environment_variables": map[string]string{"port": "1"}}), 422, "cannot set PORT"},
		{"VCAP", "developer", body(map[string]any{"environment_variables": map[string]string{"VCAP_X": "1"}}), 422, "cannot start with VCAP_"},
		{"number", "developer", body(map[string]any{"environment_variables": map[string]any{"A": 1}}), 422, "environment_variables.A must be a string"},
		{"stack", "developer", body(map[string]any{"lifecycle": map[string]any{"type": "buildpack", "data": map[string]any{"stack": "dos"}}}), 422, "Stack must be an existing stack: 'dos' is not one of 'cupola'"},
		{"an image as buildpack", "developer", body(map[string]any{"lifecycle": map[string]any{"type": "cnb", "data": map[string]any{"buildpacks": []string{"docker://registry.example.com/bp:1"}}}}), 422, "buildpacks are not fetched from registries"},
		{"credentials of a registry", "developer", body(map[string]any{"lifecycle": map[string]any{"type": "cnb", "data": map[string]any{"credentials": map[string]any{"registry.example.com": map[string]any{"token": "t"}}}}}), 422, "Credentials for buildpacks in registries cannot be used"},
		{"buildpack", "developer", body(map[string]any{"lifecycle": map[string]any{"data": map[string]any{"buildpacks": []string{"cobol"}}}}), 422, "Buildpack must be an existing admin buildpack or a valid git URI"},
		{"lifecycle", "developer", body(map[string]any{"lifecycle": map[string]any{"type": "vm", "data": map[string]any{}}}), 422, "Lifecycle type must be"},
		{"label", "developer", body(map[string]any{"metadata": map[string]any{"labels": map[string]string{"-": "x"}}}), 422, "Metadata label key error"},
	} {
		t.Run(c.name, func(t *testing.T) {
			w.t = t
			w.as(c.token, "POST", "/v3/apps", c.body).want(c.status, c.want)
		})
	}
	w.t = t
	if n := w.as("admin", "GET", "/v3/apps", nil).count(); n != 1 {
		t.Errorf("%d apps, want only the first: a refusal must change nothing", n)
	}
	w.as("developer", "POST", "/v3/apps", body(map[string]any{"name": "Überraschung 🚀"})).want(201, "🚀")
}

func TestSuspendedOrg(t *testing.T) {
	w := newWorld(t)
	app := w.makeApp("a")
	w.update(func(tx *store.Tx) error {
		org, err := store.Orgs.Get(tx, w.org)
		w.must(err)
		org.Suspended = true
		return store.Orgs.Put(tx, org)
	})
	w.as("developer", "PATCH", "/v3/apps/"+app, map[string]any{"name": "b"}).want(403, "10017")
	w.as("developer", "GET", "/v3/apps/"+app, nil).want(200)
	w.as("admin", "PATCH", "/v3/apps/"+app, map[string]any{"name": "b"}).want(200)
}

func TestListApps(t *testing.T) {
	w := newWorld(t)
	for _, name := range []string{"b", "a", "c,d"} {
		w.makeApp(name)
	}
	w.as("stranger", "POST", "/v3/apps", map[string]any{"name": "far", "relationships": spaceRef(w.otherSpace)}).want(201)
	names := func(r *reply) (out []string) {
		for i := range r.count() {
			out = append(out, r.str("resources", i, "name"))
		}
		return out
	}
	for _, c := range []struct{ who, query, want string }{
		{"developer", "", "b a c,d"},
		{"admin", "", "b a c,d far"},
		{"orgmanager", "", "b a c,d"},
		{"nobody", "", ""},
		{"stranger", "?space_guids=" + w.space, ""},
		{"admin", "?space_guids=" + w.space + "," + w.otherSpace, "b a c,d far"},
		{"admin", "?organization_guids=" + w.otherOrg, "far"},
		{"developer", "?order_by=name", "a b c,d"},
		{"developer", "?order_by=-name", "c,d b a"},
		{"developer", "?names=c%252Cd", "c,d"},
		{"developer", "?names=a,b", "b a"},
		{"developer", "?names=", ""},
		{"developer", "?guids=", ""},
		{"developer", "?per_page=1&page=2", "a"},
		{"developer", "?label_selector=x", ""},
		{"developer", "?label_selector=!x&stacks=cupola&lifecycle_type=buildpack", "b a c,d"},
		{"developer", "?created_ats[gt]=2020-01-01T00:00:00Z", "b a c,d"},
	} {
		got := strings.Join(names(w.as(c.who, "GET", "/v3/apps"+c.query, nil).want(200)), " ")
		if got != c.want {
			t.Errorf("%s %s: %q, want %q", c.who, c.query, got, c.want)
		}
	}
	r := w.as("developer", "GET", "/v3/apps?names=a,b&per_page=1&page=1", nil).want(200)
	if next := r.str("pagination", "next", "href"); !strings.HasPrefix(next, testURL+"/v3/apps?") || !strings.Contains(next, "names=a%2Cb") || !strings.Contains(next, "page=2") {
		t.Errorf("next = %s", next)
	}
	if r.at("pagination", "total_pages") != 2.0 || r.at("pagination", "previous") != nil {
		t.Errorf("pagination: %s", r.text)
	}
	w.as("developer", "GET", "/v3/apps?include=space.organization", nil).want(200, `"included"`, `"organizations":[{`, `"spaces":[{`)
	for _, unknown := range []string{"nonsense", "", "buildpack,docker"} {
		w.as("developer", "GET", "/v3/apps?lifecycle_type="+unknown, nil).want(400, "10005", "Invalid lifecycle_type: '"+unknown+"'")
	}
	w.as("developer", "GET", "/v3/apps?lifecycle_type=cnb", nil).want(200)
	w.as("developer", "GET", "/v3/apps?include=moon", nil).want(400, "10005")
	w.as("developer", "GET", "/v3/apps?name=a", nil).want(400, "10005", "Unknown query parameter(s): 'name'")
}

func TestAppEnv(t *testing.T) {
	w := newWorld(t)
	app := w.makeApp("shop")
	w.as("developer", "PATCH", "/v3/apps/"+app+"/environment_variables", `{"var":{"A":"x","N":5,"B":true,"GONE":null}}`).want(200, `"A":"x"`, `"N":"5"`, `"B":"true"`)
	w.as("developer", "PATCH", "/v3/apps/"+app+"/environment_variables", `{"var":{"A":null}}`).want(200, `"var":{"B":"true","N":"5"}`)
	w.as("developer", "PATCH", "/v3/apps/"+app+"/environment_variables", `{"var":{"A":{}}}`).want(422, "Non-string value")
	w.as("developer", "PATCH", "/v3/apps/"+app+"/environment_variables", `{"var":{"a=b":"c"}}`).want(422)
	w.as("auditor", "GET", "/v3/apps/"+app+"/env", nil).want(403)
	w.as("auditor", "GET", "/v3/apps/"+app+"/environment_variables", nil).want(403)
	w.as("developer", "GET", "/v3/apps/"+app+"/env", nil).want(200, `"application_name":"shop"`, `"VCAP_SERVICES":{}`, `"staging_env_json":{}`, `"space_name":"space"`, `"organization_name":"org"`)
	w.view(func(tx *store.Tx) error {
		for e := range store.AuditEvents.All(tx) {
			if strings.Contains(string(e.Data), `"x"`) {
				t.Errorf("event %s shows an environment value: %s", e.Type, e.Data)
			}
		}
		return nil
	})
}

func TestAppFeatures(t *testing.T) {
	w := newWorld(t)
	app := w.makeApp("a")
	base := "/v3/apps/" + app
	w.as("developer", "GET", base+"/features", nil).want(200, `"name":"ssh"`, `"pagination"`)
	w.as("developer", "PATCH", base+"/features/ssh", `{"enabled":false}`).want(200, `"enabled":false`)
	w.as("developer", "GET", base+"/features/ssh", nil).want(200, `"enabled":false`)
	w.as("developer", "PATCH", base+"/features/ssh", `{}`).want(422)
	w.as("developer", "GET", base+"/features/warp", nil).want(404, "Feature not found")
	w.as("developer", "PATCH", base+"/features/service-binding-k8s", `{"enabled":true}`).want(200)
	w.as("developer", "PATCH", base+"/features/file-based-vcap-services", `{"enabled":true}`).want(422,
		"'file-based-vcap-services' and 'service-binding-k8s' features cannot be enabled at the same time.")
	w.as("developer", "GET", base+"/env", nil).want(200, `"system_env_json":{"SERVICE_BINDING_ROOT":"/etc/cf-service-bindings"}`)
	w.apply("developer", "applications: [{name: a, features: {service-binding-k8s: true, file-based-vcap-services: true}}]").want(422, "same time")
	w.apply("developer", "applications: [{name: a, features: {service-binding-k8s: false, file-based-vcap-services: true}}]").want(202)
	w.as("developer", "GET", base+"/env", nil).want(200, `"system_env_json":{"VCAP_SERVICES_FILE_PATH":"/etc/cf-service-bindings/vcap_services"}`)
	w.as("developer", "GET", base+"/ssh_enabled", nil).want(200, "ssh is disabled globally")
	w.as("developer", "GET", base+"/permissions", nil).want(200, `"read_sensitive_data":true`)
	w.as("auditor", "GET", base+"/permissions", nil).want(200, `"read_basic_data":true,"read_sensitive_data":false`)
	w.as("developer", "POST", base+"/actions/clear_buildpack_cache", nil).want(400, "10009")
}

func TestSetCurrentDropletRefusals(t *testing.T) {
	w := newWorld(t)
	app, other := w.makeApp("a"), w.makeApp("b")
	foreign := w.makeDroplet(other, nil)
	path := "/v3/apps/" + app + "/relationships/current_droplet"
	for body, want := range map[string]string{
		`{"data":null}`:                         "cannot be removed",
		`{"data":{"guid":"nope"}}`:              "Ensure the droplet exists and belongs to this app",
		`{"data":{"guid":"` + foreign + `"}}`:   "Ensure the droplet exists and belongs to this app",
		`{"dat":{"guid":"` + foreign + `"}}`:    "Unknown field",
		`{"data":[{"guid":"` + foreign + `"}]}`: "must be an object",
	} {
		w.as("developer", "PATCH", path, body).want(422, want)
	}
}

func TestQuotaOfMemory(t *testing.T) {
	w := newWorld(t)
	w.update(func(tx *store.Tx) error {
		q := &store.Quota{Name: "small", TotalMemoryMB: 2048, ProcessMemoryMB: 1536, TotalInstances: 3, AppTasks: -1, Routes: 1, Domains: -1, LogRateBytes: -1, ServiceInstances: -1, ServiceKeys: -1, ReservedPorts: -1}
		w.must(store.OrgQuotas.Put(tx, q))
		org, err := store.Orgs.Get(tx, w.org)
		w.must(err)
		org.QuotaGUID = q.GUID
		return store.Orgs.Put(tx, org)
	})
	app := w.makeRunning("a")
	scale := func(body string) *reply {
		return w.as("developer", "POST", "/v3/apps/"+app+"/processes/web/actions/scale", body)
	}
	scale(`{"memory_in_mb":1537}`).want(422, "instance_memory_limit_exceeded", "'small' allows 1536 MB")
	scale(`{"instances":3}`).want(422, "memory quota_exceeded", "'small' allows 2048 MB", "3072 MB")
	scale(`{"instances":4,"memory_in_mb":"1"}`).want(422, "app_instance_limit")
	scale(`{"instances":"2"}`).want(202, `"instances":2`)
	second := w.makeApp("b")
	d := w.makeDroplet(second, map[string]string{"web": "x"})
	w.as("developer", "PATCH", "/v3/apps/"+second+"/relationships/current_droplet", map[string]any{"data": map[string]any{"guid": d}}).want(200)
	w.as("developer", "POST", "/v3/apps/"+second+"/actions/start", nil).want(422, "memory quota_exceeded")
	w.as("developer", "GET", "/v3/apps/"+second, nil).want(200, "STOPPED")
	w.makeRoute("one").want(201)
	w.makeRoute("two").want(422, "Routes quota exceeded for organization")
}

func TestHoldOfBuilds(t *testing.T) {
	w := newWorld(t, func(o *Options) { o.MaxHold = time.Minute })
	app := w.makeApp("a")
	b := &store.Build{AppGUID: app, SpaceGUID: w.space, PackageGUID: "package", State: store.StateStaging}
	w.update(func(tx *store.Tx) error { return store.Builds.Put(tx, b) })
	path := "/v3/builds/" + b.GUID
	answer := make(chan *reply, 1)
	go func() { answer <- w.as("developer", http.MethodGet, path, nil) }()
	w.update(func(tx *store.Tx) error { // whether it comes before or after the request, the answer is the end
		b.State, b.Error = store.StateFailed, "StagingError - no"
		return store.Builds.Put(tx, b)
	})
	(<-answer).want(200, `"state":"FAILED"`, "StagingError - no")
}

// A supporter sees what an app is told, and not the credentials of its services.
func TestSupporterReadsNoCredentials(t *testing.T) {
	w := newWorld(t)
	app := w.makeApp("a")
	instance := w.makeService("db", map[string]any{"credentials": map[string]any{"password": "secret-1"}}).want(201).guid()
	w.bindApp(app, instance, nil).want(201)
	w.as("supporter", "PATCH", "/v3/apps/"+app+"/environment_variables", `{"var":{"A":"plain"}}`).want(200)
	if r := w.as("supporter", "GET", "/v3/apps/"+app+"/env", nil).want(200, `"A":"plain"`, `"system_env_json":{"redacted_message":"[PRIVATE DATA HIDDEN]"}`); strings.Contains(r.text, "secret-1") {
		t.Errorf("the credentials are shown: %s", r.text)
	}
	w.as("developer", "GET", "/v3/apps/"+app+"/env", nil).want(200, "secret-1")
	w.as("supporter", "PATCH", "/v3/apps/"+app+"/features/ssh", `{"enabled":false}`).want(403)
	w.as("supporter", "PATCH", "/v3/apps/"+app+"/features/revisions", `{"enabled":false}`).want(200)
}

// TestClearBuildpackCache: a developer clears the caches of an app, an administrator those of all.
func TestClearBuildpackCache(t *testing.T) {
	w := newWorld(t)
	app := w.makeApp("a")
	var cleared []string
	w.s.clearCache = func(_ context.Context, guid string) error {
		cleared = append(cleared, guid)
		return nil
	}
	for _, r := range []*reply{
		w.as("developer", "POST", "/v3/apps/"+app+"/actions/clear_buildpack_cache", nil),
		w.as("admin", "POST", "/v3/admin/actions/clear_buildpack_cache", nil),
	} {
		r.want(202)
		w.as("admin", "GET", strings.TrimPrefix(r.header.Get("Location"), "https://api.example.com"), nil).want(200, `"state":"COMPLETE"`)
	}
	w.as("developer", "POST", "/v3/admin/actions/clear_buildpack_cache", nil).want(403)
	if !slices.Equal(cleared, []string{app, ""}) {
		t.Errorf("cleared %q, want the app's and then all", cleared)
	}
}
