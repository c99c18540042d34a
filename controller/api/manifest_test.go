package api

import (
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"

	"github.com/cupola-paas/cupola/store"
)

func TestParseManifestErrors(t *testing.T) {
	for _, c := range []struct{ in, want string }{
		{"", "line 1, column 1: the manifest is empty"},
		{"version: 2\napplications: [{name: a}]", "line 1, column 10: Unsupported manifest schema version"},
		{"foo: 1", "Cannot parse manifest with no 'applications' field"},
		{"applications: []", "Cannot parse manifest with no 'applications' field"},
		{"applications:\n- name: a\n   memory: 1G", "line 3, column"},
		{"applications:\n- memory: 1G", "line 2, column 3: Found an application with no name"},
		{"applications:\n- name: a\n- name: a", "line 3, column 3: the application 'a' is there twice"},
		{"applications:\n- name: a\n  name: b", "the key 'name' is there twice"},
		{"x: &x {memory: 1G}\napplications:\n- name: a\n  <<: *x", "anchors and aliases are not allowed"},
		{"applications:\n- name: a\n  memory: 512", "For application 'a': line 3, column 11: memory must use a supported unit"},
		{"applications:\n- name: a\n  memory: 1K", "at least 1M"},
		{"applications:\n- name: a\n  instances: two", "line 3, column 14: instances must be a whole number"},
		{"applications:\n- name: a\n  env: [x]", "must be a mapping"},
		{"applications:\n- name: a\n  env: {PORT: 1}", "cannot set PORT"},
		{"applications:\n- name: a\n  routes: [x]", "must be a mapping"},
		{"applications:\n- name: a\n  routes:\n  - protocol: http1", "a route must be written as"},
		{"applications:\n- name: a\n  processes: [{command: x}]", "must specify a 'type'"},
		{"applications:\n- name: a\n  processes: [{type: web}, {type: web}]", "may only be present once"},
		{"applications:\n- name: a\n  sidecars: [{name: s}]", "sidecar: Command can't be blank"},
		{"applications:\n- name: a\n  no-route: maybe", "must be true or false"},
		{"applications:\n- name: a\n  features: {warp: true}", "there is no feature 'warp'"},
		{"applications:\n- name: a\n  metadata: {labels: {'-': x}}", "Metadata label key error"},
		{"applications:\n- name: " + strings.Repeat("[", 60), "line 2"},
	} {
		_, err := parseManifest([]byte(c.in))
		if err == nil || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%q: %v, want %q", c.in, err, c.want)
		}
	}
}

func (w *world) apply(who, text string) *reply {
	w.t.Helper()
	return w.as(who, "POST", "/v3/spaces/"+w.space+"/actions/apply_manifest", text)
}

const fullManifest = `---
version: 1
applications:
- name: Shop Front
  buildpacks: [go_buildpack]
  stack: cupola
  memory: 512M
  disk_quota: 2G
  instances: 2
  command: ./run
  timeout: 80
  health-check-type: http
  health-check-http-endpoint: /up
  readiness-health-check-type: port
  log-rate-limit-per-second: 16K
  default-route: true
  env: {A: one, N: 5, F: 1.10, B: true}
  metadata: {labels: {tier: web}, annotations: {note: "all of it"}}
  features: {ssh: false}
  path: ./src
  colour: blue
  sidecars:
  - name: config
    command: ./config
    memory: 64M
    process_types: [web, worker]
  processes:
  - type: worker
    instances: 1
    memory: 1G
    command: ./work
    health-check-type: process
  - type: web
    memory: 256M
`

func (w *world) addBuildpack(name string) {
	w.update(func(tx *store.Tx) error {
		return store.Buildpacks.Put(tx, &store.Buildpack{Name: name, Lifecycle: "buildpack", Enabled: true, Position: 1, State: "READY"})
	})
}

func TestApplyManifest(t *testing.T) {
	w := newWorld(t)
	w.addBuildpack("go_buildpack")
	r := w.apply("developer", fullManifest).want(202)
	job := strings.TrimPrefix(r.header.Get("Location"), testURL)
	w.as("developer", "GET", job, nil).want(200, "COMPLETE", "attribute 'colour' of application 'Shop Front' (line 21)")
	app := w.as("developer", "GET", "/v3/apps?names=Shop+Front&space_guids="+w.space, nil).want(200, `"buildpacks":["go_buildpack"]`, `"tier":"web"`).str("resources", 0, "guid")
	w.as("developer", "GET", "/v3/processes/"+app, nil).want(200, `"instances":2`, `"memory_in_mb":256`, `"disk_in_mb":2048`,
		`"command":"./run"`, `"timeout":80`, `"endpoint":"/up"`, `"readiness_health_check":{"type":"port"`, `"log_rate_limit_in_bytes_per_second":16384`)
	w.as("developer", "GET", "/v3/apps/"+app+"/processes/worker", nil).want(200, `"instances":1`, `"memory_in_mb":1024`)
	w.as("developer", "GET", "/v3/apps/"+app+"/environment_variables", nil).want(200, `"F":"1.10"`, `"N":"5"`, `"B":"true"`)
	w.as("developer", "GET", "/v3/apps/"+app+"/routes", nil).want(200, `"url":"shop-front.example.com"`)
	w.as("developer", "GET", "/v3/apps/"+app+"/features/ssh", nil).want(200, `"enabled":false`)

	stamp := func() (out string) {
		w.view(func(tx *store.Tx) error {
			a, err := store.Apps.Get(tx, app)
			w.must(err)
			p, err := store.Processes.Get(tx, app)
			w.must(err)
			routes, _, err := store.Routes.List(tx, store.Query[store.Route]{})
			w.must(err)
			out = fmt.Sprint(a.UpdatedAt, p.UpdatedAt, len(routes), routes[0].UpdatedAt)
			return nil
		})
		return out
	}
	w.as("developer", "GET", "/v3/apps/"+app+"/sidecars", nil).want(200, `"name":"config"`, `"memory_in_mb":64`, `"process_types":["web","worker"]`)
	before := stamp()
	w.apply("developer", fullManifest).want(202)
	if after := stamp(); after != before {
		t.Errorf("a second apply changed something:\n%s\n%s", before, after)
	}
	yaml := w.as("developer", "GET", "/v3/apps/"+app+"/manifest", nil).want(200, "name: Shop Front", "memory: 256M", "- route: shop-front.example.com", "type: worker", `F: "1.10"`, "name: config", "memory: 64M").text
	if _, err := parseManifest([]byte(yaml)); err != nil {
		t.Errorf("the exported manifest cannot be read: %v\n%s", err, yaml)
	}
	w.apply("developer", yaml).want(202)
	if after := stamp(); after != before {
		t.Errorf("applying the exported manifest changed something:\n%s\n%s", before, after)
	}
	diff := w.as("developer", "POST", "/v3/spaces/"+w.space+"/manifest_diff", yaml).want(201)
	if diff.text != `{"diff":[]}` {
		t.Errorf("the exported manifest differs: %s", diff.text)
	}
	w.as("developer", "POST", "/v3/spaces/"+w.space+"/manifest_diff", strings.Replace(fullManifest, "    memory: 256M", "    memory: 1G", 1)).want(201,
		`{"op":"replace","path":"/applications/0/processes/1/memory","was":"256M","value":"1G"}`)
	w.as("developer", "POST", "/v3/spaces/"+w.space+"/manifest_diff", "applications: [{name: new, memory: 1G}]").want(201, `{"op":"add","path":"/applications/0/memory","value":"1G"}`)

	w.apply("developer", "applications: [{name: Shop Front, no-route: true}]").want(202)
	if n := w.as("developer", "GET", "/v3/apps/"+app+"/routes", nil).count(); n != 0 {
		t.Errorf("%d routes after no-route", n)
	}
	w.as("developer", "POST", "/v3/apps/"+app+"/actions/apply_manifest", "applications: [{name: Shop Front, instances: 3}]").want(202)
	w.as("developer", "POST", "/v3/apps/"+app+"/actions/apply_manifest", "applications: [{name: other}]").want(422, "must have this one app")
	w.apply("auditor", fullManifest).want(403)
	w.apply("stranger", fullManifest).want(404, "Space not found")
	w.as("auditor", "GET", "/v3/apps/"+app+"/manifest", nil).want(403)
}

func TestManifestRoutes(t *testing.T) {
	w := newWorld(t)
	deep := &store.Domain{Name: "deep.example.com"}
	w.update(func(tx *store.Tx) error { return store.Domains.Put(tx, deep) })
	w.apply("developer", "applications:\n- name: a\n  routes:\n  - route: https://One.deep.example.com/api\n    options: {loadbalancing: least-connection}\n  - route: two.example.com\n    protocol: http2\n").want(202)
	app := w.as("developer", "GET", "/v3/apps?names=a", nil).str("resources", 0, "guid")
	w.as("developer", "GET", "/v3/apps/"+app+"/routes", nil).want(200, "one.deep.example.com/api", "two.example.com", `"protocol":"http2"`, "least-connection")
	w.apply("developer", "applications: [{name: b, random-route: true}]").want(202)
	b := w.as("developer", "GET", "/v3/apps?names=b", nil).str("resources", 0, "guid")
	if url := w.as("developer", "GET", "/v3/apps/"+b+"/routes", nil).want(200).str("resources", 0, "url"); !strings.HasPrefix(url, "b-") {
		t.Errorf("random route %q", url)
	}
	w.as("stranger", "POST", "/v3/routes", routeBody(w.otherSpace, w.domain, map[string]any{"host": "taken"})).want(201)
	for text, want := range map[string]string{
		"{name: c, routes: [{route: taken.example.com}]}":                     "For application 'c': The route 'taken.example.com' is taken by another space",
		"{name: taken, default-route: true}":                                  "or set 'random-route: true'",
		"{name: c, routes: [{route: c.nowhere.test}]}":                        "The route 'c.nowhere.test' did not match any existing domains.",
		"{name: c, routes: [{route: a.b.example.com}]}":                       "Host 'a.b' is not valid",
		"{name: c, routes: [{route: api.example.com}]}":                       "reserved for the platform",
		"{name: c, routes: [{route: '*.example.com'}]}":                       "wildcard host on a domain not scoped to an organization",
		"{name: c, routes: [{route: 'c.example.com:x'}]}":                     "properly formed",
		"{name: 🚀, default-route: true}":                                      "makes no host name",
		"{name: c, no-route: true, routes: [{route: c.example.com}]}":         "Cannot use the combination",
		"{name: c, services: [db]}":                                           "Service instance 'db' could not be found",
		"{name: c, stack: dos}":                                               "Stack must be an existing stack",
		"{name: c, buildpack: cobol}":                                         "Buildpack must be an existing admin buildpack",
		"{name: c, buildpacks: ['docker://registry.example.com/bp']}":         "buildpacks are not fetched from registries",
		"{name: c, cnb-credentials: {registry.example.com: {token: t}}}":      "Credentials for buildpacks in registries cannot be used",
		"{name: c, lifecycle: vm}":                                            "Lifecycle type must be",
		"{name: c, health-check-type: smoke}":                                 "Health check type must be",
		"{name: c, instances: -1}":                                            "Instances must be between",
		"{name: c, routes: [{route: c.example.com, options: {speed: fast}}]}": "options.speed",
		"{name: " + strings.Repeat("n", 300) + "}":                            "maximum is 255 characters",
	} {
		w.apply("developer", "applications: ["+text+"]").want(422, want)
	}
	both := w.apply("developer", "applications: [{name: ok}, {name: x, stack: dos}, {name: y, services: [db]}]").want(422, "For application 'x'", "For application 'y'")
	if n := len(both.at("errors").([]any)); n != 1 {
		t.Errorf("%d errors, want all in one", n)
	}
	if n := w.as("admin", "GET", "/v3/apps?names=ok,c,x,y", nil).count(); n != 0 {
		t.Error("a manifest that was refused left apps behind")
	}
	w.apply("developer", "applications: [").want(400, "1001", "line 1")
	w.apply("developer", strings.Repeat("#", 1<<20+1)).want(413, "1048576 bytes")
}

func TestHostOf(t *testing.T) {
	for name, want := range map[string]string{"My App_1!": "my-app-1", "--a--": "a", "🚀 go": "go", "🚀": "", "-": "", strings.Repeat("a", 64): ""} {
		got, err := hostOf(name)
		if got != want || (err != nil) != (want == "") {
			t.Errorf("hostOf(%q) = %q, %v, want %q", name, got, err, want)
		}
	}
	for range 100 {
		if h := randomHost(strings.Repeat("a", 63)); !hostGrammar.MatchString(h) {
			t.Fatalf("random host %q", h)
		}
	}
}

// FuzzManifest: whatever the bytes, an error that has a place or a manifest, and never a panic.
func FuzzManifest(f *testing.F) {
	f.Add([]byte(fullManifest))
	f.Add([]byte("applications:\n- name: a\n  routes:\n  - route: x.y/z\n    options: {a: null}\n  services: [{name: s}]"))
	f.Add([]byte("a: &a [*a]"))
	f.Fuzz(func(t *testing.T, raw []byte) {
		m, err := parseManifest(raw)
		var place *manifestError
		var app *appError
		if err != nil {
			if !errors.As(err, &place) && !errors.As(err, &app) {
				t.Errorf("%q: %v has no place", raw, err)
			}
			return
		}
		if len(m.apps) == 0 || slices.ContainsFunc(m.apps, func(a *manifestApp) bool { return a.node == nil }) {
			t.Errorf("%q: %+v", raw, m)
		}
		(&differ{}).app("/applications/0", m.apps[0].node, map[string]any{})
	})
}
