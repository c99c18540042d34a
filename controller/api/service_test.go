package api

import (
	"encoding/json"
	"strings"
	"testing"

	"github.com/cupola-paas/cupola/controller/appenv"
	"github.com/cupola-paas/cupola/store"
)

// makeService makes a user-provided service instance in the first space.
func (w *world) makeService(name string, more map[string]any) *reply {
	w.t.Helper()
	body := map[string]any{"type": "user-provided", "name": name, "relationships": map[string]any{"space": one(w.space)}}
	for k, v := range more {
		body[k] = v
	}
	return w.as("developer", "POST", "/v3/service_instances", body)
}

func one(guid string) map[string]any { return map[string]any{"data": map[string]any{"guid": guid}} }

func (w *world) bindApp(app, instance string, more map[string]any) *reply {
	w.t.Helper()
	body := map[string]any{"type": "app", "relationships": map[string]any{"app": one(app), "service_instance": one(instance)}}
	for k, v := range more {
		body[k] = v
	}
	return w.as("developer", "POST", "/v3/service_credential_bindings", body)
}

func TestUserProvidedServiceInstance(t *testing.T) {
	w := newWorld(t)
	r := w.makeService("db", map[string]any{
		"credentials": map[string]any{"uri": "postgres://u:secret-1@db.example.com/x", "n": 12345678901234567},
		"tags":        []string{"a", "b"}, "syslog_drain_url": "syslog://u:secret-2@logs.example.com:514", "route_service_url": "https://r.example.com",
	}).want(201, `"type":"user-provided"`, `"tags":["a","b"]`, `"state":"succeeded"`, `"type":"create"`, `"route_service_url":"https://r.example.com"`)
	guid := r.guid()
	for _, private := range []string{"secret-1", "n\":1234"} {
		if strings.Contains(r.text, private) {
			t.Errorf("the answer shows %s: %s", private, r.text)
		}
	}
	if r.header.Get("Location") != "" {
		t.Error("a Location makes clients look for a job")
	}
	w.makeService("db", nil).want(422, "The service instance name is taken: db")
	w.as("developer", "GET", "/v3/service_instances/"+guid+"/credentials", nil).want(200, `"n":12345678901234567`, "secret-1")
	w.as("auditor", "GET", "/v3/service_instances/"+guid+"/credentials", nil).want(403)
	w.as("auditor", "GET", "/v3/service_instances/"+guid, nil).want(200)
	w.as("supporter", "PATCH", "/v3/service_instances/"+guid, map[string]any{"name": "x"}).want(403)
	w.as("stranger", "GET", "/v3/service_instances/"+guid, nil).want(404, "Service instance not found")
	w.as("developer", "GET", "/v3/service_instances/"+guid+"/permissions", nil).want(200, `{"manage":true,"read":true}`)
	w.as("auditor", "GET", "/v3/service_instances/"+guid+"/permissions", nil).want(200, `{"manage":false,"read":true}`)
	w.as("stranger", "GET", "/v3/service_instances/"+guid+"/permissions", nil).want(200, `{"manage":false,"read":false}`)
	w.as("developer", "GET", "/v3/service_instances/nosuch/permissions", nil).want(404)
	w.as("developer", "GET", "/v3/service_instances/"+guid+"/parameters", nil).want(400, "120004")
	w.as("developer", "GET", "/v3/service_instances/"+guid+"/relationships/shared_spaces", nil).want(200, `"data":[]`)
	w.as("developer", "POST", "/v3/service_instances/"+guid+"/relationships/shared_spaces", map[string]any{}).want(422, "cannot be shared")

	w.as("developer", "PATCH", "/v3/service_instances/"+guid, map[string]any{
		"name": "db2", "tags": []string{}, "syslog_drain_url": "", "credentials": map[string]any{"k": "v"}, "metadata": map[string]any{"labels": map[string]any{"l": "1"}},
	}).want(200, `"name":"db2"`, `"tags":[]`, `"syslog_drain_url":null`, `"type":"update"`, `"l":"1"`, `"route_service_url":"https://r.example.com"`)
	w.as("developer", "GET", "/v3/service_instances/"+guid+"/credentials", nil).want(200, `{"k":"v"}`)
	w.as("developer", "DELETE", "/v3/service_instances/"+guid, nil).want(204)
	w.as("developer", "GET", "/v3/service_instances/"+guid, nil).want(404)

	var kinds []string
	w.view(func(tx *store.Tx) error {
		for e := range store.AuditEvents.All(tx) {
			kinds = append(kinds, e.Type)
			if strings.Contains(string(e.Data), "secret-") {
				t.Errorf("event %s shows a secret: %s", e.Type, e.Data)
			}
		}
		return nil
	})
	for _, what := range []string{"create", "update", "show", "delete"} {
		if !strings.Contains(strings.Join(kinds, " "), "audit.user_provided_service_instance."+what) {
			t.Errorf("no event %s in %v", what, kinds)
		}
	}
}

func TestServiceInstanceRefusals(t *testing.T) {
	w := newWorld(t)
	for _, c := range []struct {
		with map[string]any
		want string
	}{
		{map[string]any{"type": "managed"}, "Relationships Service plan can't be blank"},
		{map[string]any{"type": "managed", "relationships": map[string]any{"space": one(w.space), "service_plan": one("x")}}, "Invalid service plan. Ensure that the service plan exists, is available, and you have access to it."},
		{map[string]any{"type": "other"}, "Type must be one of 'managed', 'user-provided'"},
		{map[string]any{"name": " "}, "Name can't be blank"},
		{map[string]any{"credentials": "text"}, "Credentials must be an object"},
		{map[string]any{"credentials": map[string]any{"k": strings.Repeat("x", credentialsBytes)}}, "Credentials must be an object of at most"},
		{map[string]any{"syslog_drain_url": "ftp://x"}, "Syslog drain url must be a valid url"},
		{map[string]any{"syslog_drain_url": "syslog://"}, "Syslog drain url must be a valid url"},
		{map[string]any{"route_service_url": "http://x"}, "Route service url must be a valid url that begins with https://"},
		{map[string]any{"tags": []string{strings.Repeat("t", 2049)}}, "Tags combined length must be less than 2049"},
		{map[string]any{"parameters": map[string]any{}}, "neither a service plan nor parameters"},
		{map[string]any{"relationships": map[string]any{"space": one("nosuch")}}, "Invalid space"},
		{map[string]any{"relationships": map[string]any{"space": one(w.otherSpace)}}, "Invalid space"},
		{map[string]any{"nonsense": 1}, "Unknown field(s): 'nonsense'"},
	} {
		w.makeService("x", c.with).want(422, c.want)
	}
	w.as("auditor", "POST", "/v3/service_instances", map[string]any{"type": "user-provided", "name": "x", "relationships": map[string]any{"space": one(w.space)}}).want(403)
	w.as("admin", "GET", "/v3/service_instances", nil).want(200, `"total_results":0`)
	w.as("admin", "GET", "/v3/service_instances?fields[space]=secret", nil).want(400, "10005")
	w.as("admin", "GET", "/v3/service_instances?fields[app]=guid", nil).want(400, "10005")
}

func TestListServiceInstances(t *testing.T) {
	w := newWorld(t)
	for _, name := range []string{"c", "a", "b,d"} {
		w.makeService(name, nil).want(201)
	}
	r := w.as("developer", "GET", "/v3/service_instances?order_by=name&fields[space]=guid,name,relationships.organization&fields[space.organization]=guid,name"+
		"&fields[service_plan]=guid,name&fields[service_plan.service_offering]=guid,tags&fields[service_plan.service_offering.service_broker]=guid,name", nil).want(200)
	if got := r.str("resources", 0, "name") + r.str("resources", 1, "name") + r.str("resources", 2, "name"); got != "ab,dc" {
		t.Errorf("order %s, want ab,dc", got)
	}
	if r.str("included", "spaces", 0, "name") != "space" || r.str("included", "spaces", 0, "relationships", "organization", "data", "guid") != w.org || r.str("included", "organizations", 0, "guid") != w.org {
		t.Errorf("included: %s", r.text)
	}
	for query, want := range map[string]int{
		"names=b%252Cd": 1, "type=managed": 0, "type=user-provided": 3, "space_guids=" + w.space: 3, "space_guids=" + w.otherSpace: 0,
		"organization_guids=" + w.org: 3, "service_plan_guids=x": 0, "service_plan_names=x": 0, "per_page=2&page=2": 1,
	} {
		if r := w.as("developer", "GET", "/v3/service_instances?"+query, nil).want(200); r.count() != want {
			t.Errorf("%s: %d, want %d", query, r.count(), want)
		}
	}
	if n := w.as("stranger", "GET", "/v3/service_instances", nil).want(200).count(); n != 0 {
		t.Errorf("a stranger sees %d", n)
	}
}

func TestServiceBinding(t *testing.T) {
	w := newWorld(t)
	app, other := w.makeRunning("web"), w.makeRunning("other")
	instance := w.makeService("db", map[string]any{"credentials": map[string]any{"uri": "mysql://u:p@db.example.com/x"}, "syslog_drain_url": "syslog://l.example.com:514"}).want(201).guid()
	b := w.bindApp(app, instance, map[string]any{"name": "main"}).want(201, `"name":"main"`, `"type":"app"`, `"state":"succeeded"`)
	if b.header.Get("Location") != "" {
		t.Error("a Location makes clients look for a job")
	}
	path := "/v3/service_credential_bindings/" + b.guid()
	w.bindApp(app, instance, nil).want(422, "The app is already bound to the service instance")
	second := w.makeService("second", nil).want(201).guid()
	w.bindApp(app, second, map[string]any{"name": "main"}).want(422, "The app already has a binding with name 'main'")
	w.bindApp(app, second, map[string]any{"parameters": map[string]any{"a": 1}}).want(422, "parameters are not supported")
	w.bindApp(app, second, map[string]any{"type": "key"}).want(422, "a key belongs to no app")
	w.as("developer", "POST", "/v3/service_credential_bindings", map[string]any{"type": "key", "name": "k", "relationships": map[string]any{"service_instance": one(second)}}).
		want(422, "type 'key' are not supported for user-provided")
	w.bindApp(app, "nosuch", nil).want(422, "The service instance could not be found: 'nosuch'")
	w.bindApp("nosuch", second, nil).want(422, "The app could not be found: 'nosuch'")
	w.bindApp(other, instance, nil).want(201)

	w.as("developer", "GET", path+"/details", nil).want(200, `"uri":"mysql://u:p@db.example.com/x"`, `"syslog_drain_url":"syslog://l.example.com:514"`, `"volume_mounts":[]`)
	w.as("auditor", "GET", path+"/details", nil).want(403)
	w.as("developer", "GET", path+"/parameters", nil).want(400, "90007")
	w.as("auditor", "GET", path, nil).want(200)
	w.as("stranger", "GET", path, nil).want(404, "Service credential binding not found")
	w.as("developer", "GET", path+"?include=app,service_instance", nil).want(200, `"included"`, `"name":"web"`, `"name":"db"`)
	w.as("developer", "PATCH", path, map[string]any{"metadata": map[string]any{"labels": map[string]any{"k": "v"}}}).want(200, `"k":"v"`)
	for query, want := range map[string]int{
		"app_guids=" + app: 1, "app_names=other": 1, "service_instance_guids=" + instance: 2, "service_instance_names=second": 0,
		"names=main": 1, "type=key": 0, "service_plan_names=x": 0, "include=app": 2,
	} {
		if r := w.as("developer", "GET", "/v3/service_credential_bindings?"+query, nil).want(200); r.count() != want {
			t.Errorf("%s: %d, want %d", query, r.count(), want)
		}
	}
	w.as("developer", "GET", "/v3/service_credential_bindings?include=space", nil).want(400)

	env := w.as("developer", "GET", "/v3/apps/"+app+"/env", nil).want(200)
	seen := env.at("system_env_json", "VCAP_SERVICES", "user-provided", 0).(map[string]any)
	if seen["name"] != "main" || seen["binding_name"] != "main" || seen["instance_name"] != "db" || seen["label"] != "user-provided" || seen["syslog_drain_url"] != "syslog://l.example.com:514" {
		t.Errorf("VCAP_SERVICES: %v", seen)
	}
	w.as("developer", "PATCH", "/v3/service_instances/"+instance, map[string]any{"credentials": map[string]any{"uri": "new"}}).want(200)
	w.as("developer", "GET", "/v3/apps/"+app+"/env", nil).want(200, `"credentials":{"uri":"new"}`)

	w.as("supporter", "DELETE", path, nil).want(204)
	w.as("developer", "GET", path, nil).want(404)
	w.as("developer", "GET", "/v3/apps/"+app+"/env", nil).want(200, `"VCAP_SERVICES":{}`)
	w.as("developer", "DELETE", "/v3/service_instances/"+instance, nil).want(204)
	if n := w.as("admin", "GET", "/v3/service_credential_bindings", nil).count(); n != 0 {
		t.Errorf("%d bindings are left of a deleted instance", n)
	}
}

// TestSeveralBindings is how credentials are rotated: the newest binding is what the app gets.
func TestSeveralBindings(t *testing.T) {
	w := newWorld(t)
	app := w.makeRunning("web")
	instance := w.makeService("db", nil).want(201).guid()
	w.bindApp(app, instance, nil).want(201)
	newest := w.bindApp(app, instance, map[string]any{"strategy": "multiple"}).want(201).guid()
	w.bindApp(app, instance, map[string]any{"strategy": "multiple", "name": "x"}).want(422, "name cannot be changed")
	w.bindApp(app, instance, map[string]any{"strategy": "many"}).want(422, "Strategy must be")
	w.view(func(tx *store.Tx) error {
		services, err := appenv.Services(tx, app)
		w.must(err)
		if got := services["user-provided"]; len(got) != 1 || got[0].BindingGUID != newest {
			t.Errorf("services %+v, want the newest binding alone", got)
		}
		return nil
	})
}

func TestServicesGoWithTheirSpaceAndApp(t *testing.T) {
	w := newWorld(t)
	app := w.makeRunning("web")
	instance := w.makeService("db", nil).want(201).guid()
	w.bindApp(app, instance, nil).want(201)
	w.as("developer", "DELETE", "/v3/apps/"+app, nil).want(202)
	if n := w.as("admin", "GET", "/v3/service_credential_bindings", nil).count(); n != 0 {
		t.Errorf("%d bindings are left of a deleted app", n)
	}
	w.as("admin", "DELETE", "/v3/organizations/"+w.org, nil).want(202)
	if n := w.as("admin", "GET", "/v3/service_instances", nil).count(); n != 0 {
		t.Errorf("%d instances are left of a deleted org", n)
	}
}

func TestManifestServices(t *testing.T) {
	w := newWorld(t)
	apply := func(services string) *reply {
		return w.as("developer", "POST", "/v3/spaces/"+w.space+"/actions/apply_manifest", "applications:\n- name: web\n  services:\n"+services)
	}
	apply("  - db\n").want(422, "For service 'db': Service instance 'db' could not be found")
	w.as("admin", "GET", "/v3/apps", nil).want(200, `"total_results":0`)
	w.makeService("db", nil).want(201)
	w.makeService("mail", nil).want(201)
	for range 2 { // again changes nothing
		apply("  - db\n  - name: mail\n    binding_name: post\n").want(202)
	}
	if n := w.as("admin", "GET", "/v3/service_credential_bindings", nil).count(); n != 2 {
		t.Errorf("%d bindings, want 2", n)
	}
	app := w.as("admin", "GET", "/v3/apps?names=web", nil).str("resources", 0, "guid")
	w.as("developer", "GET", "/v3/apps/"+app+"/manifest", nil).want(200, "services:", "- db", "binding_name: post")
	apply("  - name: db\n    parameters:\n      a: 1\n").want(202) // bound already
	apply("  - name: db\n    colour: red\n").want(422, "a service has no attribute 'colour'")
}

func TestDatabaseURL(t *testing.T) {
	w := newWorld(t)
	app := w.makeRunning("web")
	w.bindApp(app, w.makeService("mail", map[string]any{"credentials": map[string]any{"uri": 7}}).want(201).guid(), nil).want(201)
	w.bindApp(app, w.makeService("db", map[string]any{"credentials": map[string]any{"uri": "postgresql://u:p@h/x?a=b"}}).want(201).guid(), nil).want(201)
	w.view(func(tx *store.Tx) error {
		a, err := store.Apps.Get(tx, app)
		w.must(err)
		env, err := appenv.Env{}.Staging(tx, a, &store.Build{})
		w.must(err)
		var services map[string][]appenv.Service
		w.must(json.Unmarshal([]byte(env["VCAP_SERVICES"]), &services))
		if env["DATABASE_URL"] != "postgres://u:p@h/x?a=b" || len(services["user-provided"]) != 2 {
			t.Errorf("DATABASE_URL %q, VCAP_SERVICES %s", env["DATABASE_URL"], env["VCAP_SERVICES"])
		}
		a.Environment = map[string]string{"DATABASE_URL": "own"}
		if env, err = (appenv.Env{}).Staging(tx, a, &store.Build{}); err != nil || env["DATABASE_URL"] != "own" {
			t.Errorf("DATABASE_URL %q, %v, want the app's own", env["DATABASE_URL"], err)
		}
		return nil
	})
}

func TestServiceUsageEvents(t *testing.T) {
	w := newWorld(t)
	guid := w.makeService("db", nil).want(201).guid()
	one := "/v3/service_instances/" + guid
	w.as("developer", "PATCH", one, `{"tags":["x"]}`).want(200) // of no interest to who bills
	w.as("developer", "PATCH", one, `{"name":"db2"}`).want(200)
	w.as("developer", "PATCH", one, `{"name":"db2"}`).want(200)
	w.as("developer", "DELETE", one, nil).want(204)
	list := func(query string) *reply {
		return w.as("admin", "GET", "/v3/service_usage_events?"+query, nil).want(200)
	}
	all := list("order_by=created_at")
	var states []string
	for i := range all.count() {
		states = append(states, all.str("resources", i, "state")+" "+all.str("resources", i, "service_instance", "name"))
	}
	if got := strings.Join(states, ", "); got != "CREATED db, UPDATED db2, DELETED db2" {
		t.Errorf("events: %s", got)
	}
	all.want(200, `"type":"user_provided_service_instance"`, `"guid":"`+w.space+`"`, `"service_plan":{"guid":null,"name":null}`)
	first := all.str("resources", 0, "guid")
	if n := list("after_guid=" + first).count(); n != 2 {
		t.Errorf("%d events after the first, want 2", n)
	}
	if n := list("service_instance_types=managed_service_instance").count(); n != 0 {
		t.Errorf("%d events of managed ones", n)
	}
	if n := list("service_instance_types=user_provided_service_instance&guids=" + first).count(); n != 1 {
		t.Errorf("%d events by type and guid, want 1", n)
	}
	w.as("admin", "GET", "/v3/service_usage_events/"+first, nil).want(200, `"state":"CREATED"`)
	w.as("developer", "GET", "/v3/service_usage_events/"+first, nil).want(404)
	w.as("developer", "GET", "/v3/service_usage_events", nil).want(200, `"total_results":0`)
	w.as("developer", "POST", "/v3/service_usage_events/actions/destructively_purge_all_and_reseed", nil).want(403)
	w.makeService("left", nil).want(201)
	w.as("admin", "POST", "/v3/service_usage_events/actions/destructively_purge_all_and_reseed", nil).want(200)
	if r := list(""); r.count() != 1 || r.str("resources", 0, "state") != "CREATED" || r.str("resources", 0, "service_instance", "name") != "left" {
		t.Errorf("after the reseed: %s", r.text)
	}
}

func TestBindingsThatCannotBeFiles(t *testing.T) {
	w := newWorld(t)
	app := w.makeRunning("a")
	w.as("developer", "PATCH", "/v3/apps/"+app+"/features/service-binding-k8s", `{"enabled":true}`).want(200)
	w.bindApp(app, w.makeService("My DB", nil).want(201).guid(), nil).want(201)
	const why = "Cannot build service binding files for app - Invalid binding name: 'My DB'"
	w.as("developer", "POST", "/v3/apps/"+app+"/actions/restart", nil).want(422, why)
	w.as("developer", "POST", "/v3/apps/"+app+"/tasks", `{"command":"true"}`).want(422, why)
	w.as("developer", "PATCH", "/v3/apps/"+app+"/features/service-binding-k8s", `{"enabled":false}`).want(200)
	w.as("developer", "POST", "/v3/apps/"+app+"/actions/restart", nil).want(200)
}
