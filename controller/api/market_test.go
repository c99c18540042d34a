package api

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"reflect"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/cupola-paas/cupola/controller/appenv"
	"github.com/cupola-paas/cupola/controller/services"
	"github.com/cupola-paas/cupola/controller/services/osb"
	"github.com/cupola-paas/cupola/store"
)

// shop is a world with the services loop and a broker over HTTP.
type shop struct {
	*world
	broker *httptest.Server

	mu      sync.Mutex
	catalog string
	refuse  map[string]int // status for a method and the end of a path, such as "PUT service_bindings"
	async   bool
	asked   []string
	gave    any // the parameters of the last instance that was to be made
}

const shopCatalog = `{"services":[{"id":"db-id","name":"db","description":"a database","bindable":true,"plan_updateable":true,"instances_retrievable":true,"bindings_retrievable":true,
	"tags":["sql"],"metadata":{"shareable":true,"documentationUrl":"https://docs.example.com"},"plans":[
	{"id":"small-id","name":"small","description":"s","maintenance_info":{"version":"VERSION"},"metadata":{"costs":[{"amount":{"usd":9.5},"unit":"MONTHLY"}]},
	 "schemas":{"service_instance":{"create":{"parameters":{"type":"object","properties":{"gb":{"type":"integer"}}}}},"service_binding":{"create":{"parameters":{"type":"object","required":["role"]}}}}},
	{"id":"large-id","name":"large","description":"l","free":false}]},
	{"id":"front-id","name":"front","description":"a route service","bindable":true,"requires":["route_forwarding"],"plans":[{"id":"only-id","name":"only","description":"o"}]},
	{"id":"fixed-id","name":"fixed","description":"no bindings","bindable":false,"plans":[{"id":"still-id","name":"still","description":"s"}]}]}`

func newShop(t testing.TB) *shop {
	t.Helper()
	s := &shop{catalog: strings.Replace(shopCatalog, "VERSION", "1.0.0", 1), refuse: map[string]int{}}
	s.broker = httptest.NewServer(s)
	t.Cleanup(s.broker.Close)
	loop := &services.Loop{FirstPoll: time.Millisecond, OrphanPause: time.Millisecond}
	client := &osb.Client{Timeout: 5 * time.Second}
	loop.For = func(*store.ServiceBroker) services.Client { return client }
	s.world = newWorld(t, func(o *Options) { o.Brokers = loop })
	loop.DB = s.db
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() { done <- loop.Run(ctx) }()
	t.Cleanup(func() {
		cancel()
		if err := <-done; err != nil {
			t.Error(err)
		}
	})
	return s
}

func (s *shop) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.asked = append(s.asked, r.Method+" "+r.URL.Path)
	if u, p, _ := r.BasicAuth(); u != "user" || p != "hidden-password" {
		w.WriteHeader(401)
		return
	}
	parts := strings.Split(r.URL.Path, "/")
	kind := parts[len(parts)-1]
	if len(parts) > 3 && kind != "last_operation" {
		kind = parts[len(parts)-2]
	}
	if status := s.refuse[r.Method+" "+kind]; status != 0 {
		w.WriteHeader(status)
		io.WriteString(w, `{"description":"not now"}`)
		return
	}
	var body map[string]any
	_ = json.NewDecoder(r.Body).Decode(&body)
	resource, _ := body["bind_resource"].(map[string]any)
	if r.Method == "PUT" && kind == "service_instances" {
		s.gave = body["parameters"]
	}
	switch {
	case kind == "catalog":
		io.WriteString(w, s.catalog)
	case kind == "last_operation":
		io.WriteString(w, `{"state":"succeeded"}`)
	case s.async && r.Method != "GET":
		w.WriteHeader(202)
		io.WriteString(w, `{}`)
	case r.Method == "GET":
		io.WriteString(w, `{"parameters":{"gb":3},"credentials":{"uri":"postgres://u:p@h/x"}}`)
	case resource["route"] != nil:
		io.WriteString(w, `{"route_service_url":"https://front.example.org"}`)
	case kind == "service_bindings":
		io.WriteString(w, `{"credentials":{"uri":"postgres://u:p@h/x"}}`)
	default:
		io.WriteString(w, `{}`)
	}
}

func (s *shop) set(change func()) { s.mu.Lock(); defer s.mu.Unlock(); change() }

// job follows the Location of a 202 to its end and wants that state and text.
func (s *shop) job(r *reply, state string, fragments ...string) {
	s.t.Helper()
	r.want(202)
	path := strings.TrimPrefix(r.header.Get("Location"), testURL)
	deadline := time.Now().Add(30 * time.Second)
	for {
		j := s.as("admin", "GET", path, nil).want(200)
		if got := j.str("state"); got == "COMPLETE" || got == "FAILED" {
			if got != state {
				s.t.Fatalf("%s: job %s, want %s: %s", r.what, got, state, j.text)
			}
			j.want(200, fragments...)
			return
		}
		if time.Now().After(deadline) {
			s.t.Fatalf("%s: the job never ends: %s", r.what, j.text)
		}
	}
}

// register registers the broker for everybody.
func (s *shop) register() {
	s.t.Helper()
	s.job(s.as("admin", "POST", "/v3/service_brokers", s.brokerBody("acme")), "COMPLETE")
	for _, p := range s.as("admin", "GET", "/v3/service_plans", nil).want(200).at("resources").([]any) {
		s.as("admin", "PATCH", "/v3/service_plans/"+p.(map[string]any)["guid"].(string)+"/visibility", `{"type":"public"}`).want(200, `"type":"public"`)
	}
}

func (s *shop) brokerBody(name string) map[string]any {
	return map[string]any{"name": name, "url": s.broker.URL, "authentication": map[string]any{"type": "basic", "credentials": map[string]any{"username": "user", "password": "hidden-password"}}}
}

func (s *shop) guidOf(path string) string {
	s.t.Helper()
	return s.as("admin", "GET", path, nil).want(200, `"total_results":1`).str("resources", 0, "guid")
}

func (s *shop) plan(name string) string {
	s.t.Helper()
	return s.guidOf("/v3/service_plans?names=" + name)
}

func (s *shop) create(name, plan string, more map[string]any) *reply {
	s.t.Helper()
	body := map[string]any{"type": "managed", "name": name, "relationships": map[string]any{"space": one(s.space), "service_plan": one(s.plan(plan))}}
	for k, v := range more {
		body[k] = v
	}
	return s.as("developer", "POST", "/v3/service_instances", body)
}

func (s *shop) made(name, plan string) string {
	s.t.Helper()
	s.job(s.create(name, plan, nil), "COMPLETE")
	return s.guidOf("/v3/service_instances?names=" + name)
}

func TestBrokers(t *testing.T) {
	s := newShop(t)
	s.as("developer", "POST", "/v3/service_brokers", s.brokerBody("acme")).want(403)
	for fragment, change := range map[string]func(map[string]any){
		"Name can't be blank":     func(b map[string]any) { b["name"] = "" },
		"must be a valid url":     func(b map[string]any) { b["url"] = "ftp://x" },
		"must not contain authen": func(b map[string]any) { b["url"] = "http://u:p@x" },
		"type must be one of":     func(b map[string]any) { b["authentication"].(map[string]any)["type"] = "bearer" },
		"a username and a passwor": func(b map[string]any) {
			delete(b["authentication"].(map[string]any)["credentials"].(map[string]any), "password")
		},
		"Authentication can't be": func(b map[string]any) { delete(b, "authentication") },
		"Invalid space":           func(b map[string]any) { b["relationships"] = map[string]any{"space": one("nosuch")} },
	} {
		b := s.brokerBody("acme")
		change(b)
		s.as("admin", "POST", "/v3/service_brokers", b).want(422, fragment)
	}
	wrong := s.brokerBody("acme")
	wrong["authentication"].(map[string]any)["credentials"].(map[string]any)["password"] = "wrong"
	s.job(s.as("admin", "POST", "/v3/service_brokers", wrong), "FAILED", "Authentication with the service broker failed")
	s.register()
	s.as("admin", "POST", "/v3/service_brokers", s.brokerBody("acme")).want(422, "Name must be unique")
	one := "/v3/service_brokers/" + s.guidOf("/v3/service_brokers?names=acme")
	if r := s.as("admin", "GET", one, nil).want(200, `"name":"acme"`); strings.Contains(r.text, "hidden") || strings.Contains(r.text, "user") {
		t.Errorf("the broker's login is shown: %s", r.text)
	}
	s.as("admin", "PATCH", one, `{"metadata":{"labels":{"a":"b"}}}`).want(200, `"a":"b"`)
	s.job(s.as("admin", "PATCH", one, `{"name":"other"}`), "COMPLETE")
	s.set(func() { s.catalog = strings.Replace(shopCatalog, "VERSION", "2.0.0", 1) })
	s.job(s.as("admin", "PATCH", one, map[string]any{"url": s.broker.URL}), "COMPLETE")
	s.as("admin", "GET", "/v3/service_plans?names=small", nil).want(200, `"version":"2.0.0"`)
	s.made("d", "small")
	s.as("admin", "DELETE", one, nil).want(422, "270010", "Can not remove brokers that have associated service instances: other")
	s.as("admin", "DELETE", "/v3/service_offerings/"+s.guidOf("/v3/service_offerings?names=db"), nil).want(422, "purge=true")
	s.as("admin", "DELETE", "/v3/service_offerings/"+s.guidOf("/v3/service_offerings?names=db")+"?purge=true", nil).want(204)
	s.as("admin", "GET", "/v3/service_instances", nil).want(200, `"total_results":0`)
	s.job(s.as("admin", "DELETE", one, nil), "COMPLETE")
	s.as("admin", "GET", "/v3/service_offerings", nil).want(200, `"total_results":0`)
	s.view(func(tx *store.Tx) error {
		for e := range store.AuditEvents.All(tx) {
			if strings.Contains(string(e.Data), "hidden-password") {
				t.Errorf("event %s has the password: %s", e.Type, e.Data)
			}
		}
		return nil
	})
}

func TestMarketplace(t *testing.T) {
	s := newShop(t)
	s.job(s.as("admin", "POST", "/v3/service_brokers", s.brokerBody("acme")), "COMPLETE")
	small := "/v3/service_plans/" + s.plan("small")
	s.as("developer", "GET", "/v3/service_plans", nil).want(200, `"total_results":0`)
	s.as("developer", "GET", small, nil).want(404, "Service plan not found")
	s.create("d", "small", nil).want(422, "Invalid service plan")
	s.as("admin", "POST", small+"/visibility", map[string]any{"type": "organization", "organizations": []any{map[string]any{"guid": s.org}}}).want(200)
	s.as("admin", "POST", small+"/visibility", map[string]any{"type": "organization", "organizations": []any{map[string]any{"guid": s.otherOrg}}}).want(200, s.org, s.otherOrg)
	s.as("developer", "GET", small+"/visibility", nil).want(200, s.org)
	s.as("admin", "DELETE", small+"/visibility/"+s.otherOrg, nil).want(204)
	s.as("admin", "DELETE", small+"/visibility/"+s.otherOrg, nil).want(404)
	s.as("admin", "PATCH", small+"/visibility", `{"type":"organization","organizations":[{"guid":"nosuch"}]}`).want(422, "Could not find Organization with guid: nosuch")
	s.as("stranger", "GET", small, nil).want(404)
	r := s.as("developer", "GET", "/v3/service_plans?available=true&include=service_offering&fields[service_offering.service_broker]=name,guid&space_guids="+s.space+"&service_offering_names=db&service_broker_names=acme", nil)
	r.want(200, `"total_results":1`, `"costs":[{"amount":9.5,"currency":"USD","unit":"MONTHLY"}]`, `"included":{`, `"service_brokers":[{`, `"name":"acme"`, `"gb":{"type":"integer"}`, `"visibility_type":"organization"`)
	s.as("developer", "GET", "/v3/service_offerings?names=db&fields[service_broker]=guid,name", nil).want(200, `"total_results":1`, `"shareable":true`, `"documentation_url":"https://docs.example.com"`, `"service_brokers":[{`)
	s.as("developer", "GET", "/v3/service_offerings?fields[service_broker]=url", nil).want(400, "10005")
	s.as("admin", "PATCH", small, `{"metadata":{"labels":{"tier":"s"}}}`).want(200, `"tier":"s"`)
	s.as("admin", "GET", "/v3/service_plans?label_selector=tier%3Ds&broker_catalog_ids=small-id&organization_guids="+s.org, nil).want(200, `"total_results":1`)
	s.as("admin", "DELETE", small, nil).want(422, "stands in the catalog")
}

func TestSpaceBroker(t *testing.T) {
	s := newShop(t)
	body := s.brokerBody("mine")
	body["relationships"] = map[string]any{"space": one(s.space)}
	s.job(s.as("developer", "POST", "/v3/service_brokers", body), "COMPLETE")
	s.as("developer", "GET", "/v3/service_plans?names=small", nil).want(200, `"visibility_type":"space"`, `"total_results":1`)
	s.as("stranger", "GET", "/v3/service_plans", nil).want(200, `"total_results":0`)
	s.as("admin", "PATCH", "/v3/service_plans/"+s.plan("small")+"/visibility", `{"type":"public"}`).want(422, "for one space")
	guid := s.made("d", "small")
	s.as("developer", "DELETE", "/v3/service_instances/"+guid+"?purge=true", nil).want(204)
	s.as("admin", "PATCH", "/v3/feature_flags/space_scoped_private_broker_creation", `{"enabled":false}`).want(200)
	body["name"] = "second"
	s.as("developer", "POST", "/v3/service_brokers", body).want(403, "330002")
	s.as("admin", "DELETE", "/v3/spaces/"+s.space, nil).want(202)
	s.as("admin", "GET", "/v3/service_brokers", nil).want(200, `"total_results":0`)
}

func TestManagedInstance(t *testing.T) {
	s := newShop(t)
	s.register()
	s.create("d", "small", map[string]any{"parameters": map[string]any{"gb": "x"}}).want(422, "/gb: got string, want integer")
	s.create("d", "small", map[string]any{"parameters": []any{}}).want(422, "Parameters must be an object")
	s.create("d", "small", map[string]any{"credentials": map[string]any{}}).want(422, "its broker gives them")
	guid := s.made("d", "small")
	path := "/v3/service_instances/" + guid
	s.create("d", "small", nil).want(422, "The service instance name is taken: d")
	s.as("developer", "GET", path+"?fields[service_plan]=guid,name,relationships.service_offering&fields[service_plan.service_offering]=name,tags&fields[service_plan.service_offering.service_broker]=name", nil).
		want(200, `"upgrade_available":false`, `"version":"1.0.0"`, `"service_plans":[{`, `"service_offerings":[{`, `"name":"acme"`)
	s.as("developer", "GET", path+"/parameters", nil).want(200, `{"gb":3}`)
	s.as("developer", "GET", path+"/credentials", nil).want(404)
	s.as("developer", "PATCH", path, `{"tags":["x"],"metadata":{"labels":{"k":"v"}}}`).want(200, `"tags":["x"]`, `"k":"v"`)
	s.as("developer", "PATCH", path, map[string]any{"relationships": map[string]any{"service_plan": one(s.plan("only"))}}).want(422, "different service offering")
	s.as("developer", "PATCH", path, `{"maintenance_info":{"version":"9.0.0"}}`).want(422, "maintenance_info.version requested is invalid")
	s.set(func() { s.catalog = strings.Replace(shopCatalog, "VERSION", "2.0.0", 1) })
	s.job(s.as("admin", "PATCH", "/v3/service_brokers/"+s.guidOf("/v3/service_brokers"), map[string]any{"url": s.broker.URL}), "COMPLETE")
	s.as("developer", "GET", path, nil).want(200, `"upgrade_available":true`)
	s.job(s.as("developer", "PATCH", path, `{"maintenance_info":{"version":"2.0.0"}}`), "COMPLETE")
	s.as("developer", "GET", path, nil).want(200, `"upgrade_available":false`, `"version":"2.0.0"`)
	s.job(s.as("developer", "PATCH", path, map[string]any{"name": "renamed", "parameters": map[string]any{"a": 1}, "relationships": map[string]any{"service_plan": one(s.plan("large"))}}), "COMPLETE")
	s.as("developer", "GET", path, nil).want(200, s.plan("large"), `"name":"renamed"`)
	s.set(func() { s.refuse["PATCH service_instances"] = 400 })
	s.job(s.as("developer", "PATCH", path, `{"parameters":{"a":2}}`), "FAILED", "update of service instance renamed could not be completed", "not now")
	s.as("developer", "GET", path, nil).want(200, `"state":"failed"`, `"type":"update"`)
	s.set(func() { s.refuse["DELETE service_instances"] = 500 })
	s.job(s.as("developer", "DELETE", path, nil), "FAILED", "delete of service instance renamed")
	s.as("developer", "DELETE", path+"?purge=true", nil).want(403)
	s.as("admin", "DELETE", path+"?purge=true", nil).want(204)
	s.as("developer", "GET", path, nil).want(404)
}

func TestOneOperationAtATime(t *testing.T) {
	s := newShop(t)
	s.register()
	guid := s.made("d", "small")
	s.update(func(tx *store.Tx) error { // one that waits
		i, err := store.ServiceInstances.Get(tx, guid)
		s.must(err)
		i.LastOperation = started(tx, "update")
		s.must(store.ServiceInstances.Put(tx, i))
		return store.ServiceOperations.Put(tx, &store.ServiceOperation{On: store.OnInstance, Type: "update", TargetGUID: guid, InstanceGUID: guid, BrokerGUID: s.brokerGUID(tx), NotBefore: tx.Now.Add(time.Hour)})
	})
	path := "/v3/service_instances/" + guid
	s.as("developer", "PATCH", path, `{"name":"x"}`).want(409, "60016", "An operation for service instance d is in progress.")
	s.as("developer", "DELETE", path, nil).want(409, "60016")
	s.as("developer", "GET", path+"/parameters", nil).want(409)
	s.bindApp(s.makeRunning("web"), guid, map[string]any{"parameters": map[string]any{"role": "r"}}).want(409, "60016")
}

func (s *shop) brokerGUID(tx *store.Tx) string {
	b, err := store.ServiceBrokers.Find(tx, "name", "acme")
	s.must(err)
	return b.GUID
}

func TestManagedBindings(t *testing.T) {
	s := newShop(t)
	s.register()
	app, guid := s.makeRunning("web"), s.made("d", "small")
	with := map[string]any{"parameters": map[string]any{"role": "r"}}
	s.bindApp(app, guid, nil).want(422, "missing property 'role'")
	s.bindApp(app, s.made("still", "still"), with).want(422, "Service plan does not allow bindings.")
	s.set(func() { s.refuse["PUT service_bindings"] = 500 })
	s.job(s.bindApp(app, guid, with), "FAILED", "bind of service instance d")
	s.as("developer", "GET", "/v3/apps/"+app+"/env", nil).want(200, `"VCAP_SERVICES":{}`)
	failed := s.guidOf("/v3/service_credential_bindings?app_guids=" + app)
	s.as("developer", "GET", "/v3/service_credential_bindings/"+failed+"/details", nil).want(404, "Creation of service credential binding failed")
	s.set(func() { delete(s.refuse, "PUT service_bindings"); s.async = true })
	s.job(s.bindApp(app, guid, with), "COMPLETE") // the one that failed gives way
	s.set(func() { s.async = false })
	s.bindApp(app, guid, with).want(422, "The app is already bound to the service instance")
	b := "/v3/service_credential_bindings/" + s.guidOf("/v3/service_credential_bindings?service_plan_names=small&service_offering_names=db")
	s.as("developer", "GET", b+"/details", nil).want(200, "postgres://u:p@h/x")
	s.as("developer", "GET", b+"/parameters", nil).want(200, `{"gb":3}`)
	s.as("developer", "GET", "/v3/apps/"+app+"/env", nil).want(200, `"db":[{`, `"plan":"small"`, `"tags":["sql"]`)
	s.view(func(tx *store.Tx) error {
		found, err := appenv.Services(tx, app)
		s.must(err)
		if len(found["db"]) != 1 || found["db"][0].InstanceName != "d" {
			t.Errorf("services %+v", found)
		}
		return nil
	})
	s.job(s.as("supporter", "DELETE", b, nil), "COMPLETE")
	s.as("developer", "GET", b, nil).want(404)

	key := map[string]any{"type": "key", "name": "k", "parameters": map[string]any{"role": "r"}, "relationships": map[string]any{"service_instance": one(guid)}}
	s.as("supporter", "POST", "/v3/service_credential_bindings", key).want(403)
	s.job(s.as("developer", "POST", "/v3/service_credential_bindings", key), "COMPLETE")
	s.as("developer", "POST", "/v3/service_credential_bindings", key).want(422, "Key binding names must be unique")
	k := "/v3/service_credential_bindings/" + s.guidOf("/v3/service_credential_bindings?type=key&names=k")
	s.as("developer", "GET", k+"/details", nil).want(200, "postgres://u:p@h/x")
	s.as("auditor", "GET", k+"/details", nil).want(403)

	s.set(func() { s.refuse["DELETE service_bindings"] = 500 })
	s.job(s.as("developer", "DELETE", "/v3/service_instances/"+guid, nil), "FAILED", "A binding of the service instance could not be deleted")
	s.set(func() { delete(s.refuse, "DELETE service_bindings") })
	s.job(s.as("developer", "DELETE", "/v3/service_instances/"+guid, nil), "COMPLETE")
	s.as("developer", "GET", k, nil).want(404)
}

func TestSharing(t *testing.T) {
	s := newShop(t)
	s.register()
	guid := s.made("d", "small")
	path := "/v3/service_instances/" + guid + "/relationships/shared_spaces"
	s.update(func(tx *store.Tx) error {
		s.person(tx, "developer", "space_developer", s.otherOrg, s.otherSpace)
		return nil
	})
	share := func(space string) *reply {
		return s.as("developer", "POST", path, map[string]any{"data": []any{map[string]any{"guid": space}}})
	}
	share(s.otherSpace).want(403, "Feature Disabled: service_instance_sharing")
	s.as("admin", "PATCH", "/v3/feature_flags/service_instance_sharing", `{"enabled":true}`).want(200)
	share(s.space).want(422, "cannot be shared into the space where they were created")
	share("nosuch").want(422, "Ensure the spaces exist and that you have access to them.")
	share(s.otherSpace).want(200, s.otherSpace)
	share(s.otherSpace).want(200)
	s.as("developer", "GET", path+"?fields[space]=name,guid,relationships.organization&fields[space.organization]=name,guid", nil).want(200, `"name":"far"`, `"name":"other"`)
	s.as("stranger", "GET", "/v3/service_instances?space_guids="+s.otherSpace, nil).want(200, guid)
	s.as("stranger", "PATCH", "/v3/service_instances/"+guid, `{"name":"x"}`).want(403)
	s.as("stranger", "POST", "/v3/service_instances", map[string]any{"type": "managed", "name": "d", "relationships": map[string]any{"space": one(s.otherSpace), "service_plan": one(s.plan("small"))}}).
		want(422, "name is taken")
	app := s.as("stranger", "POST", "/v3/apps", map[string]any{"name": "far-app", "relationships": map[string]any{"space": one(s.otherSpace)}}).want(201).guid()
	bind := map[string]any{"type": "app", "parameters": map[string]any{"role": "r"}, "relationships": map[string]any{"app": one(app), "service_instance": one(guid)}}
	s.job(s.as("stranger", "POST", "/v3/service_credential_bindings", bind), "COMPLETE")
	key := map[string]any{"type": "key", "name": "k", "parameters": map[string]any{"role": "r"}, "relationships": map[string]any{"service_instance": one(guid)}}
	s.as("stranger", "POST", "/v3/service_credential_bindings", key).want(403)
	s.as("developer", "GET", path+"/usage_summary", nil).want(200, `"bound_app_count":1`)
	s.as("developer", "DELETE", "/v3/service_instances/"+guid, nil).want(422, "390002", "must be unshared before")
	s.as("developer", "DELETE", path+"/"+s.otherSpace, nil).want(204)
	s.as("developer", "DELETE", path+"/"+s.otherSpace, nil).want(422, "Unable to unshare")
	s.as("stranger", "GET", "/v3/service_instances/"+guid, nil).want(404)
	s.job(s.as("developer", "DELETE", "/v3/service_instances/"+guid, nil), "COMPLETE") // after the binding there
	s.as("admin", "GET", "/v3/service_credential_bindings", nil).want(200, `"total_results":0`)
}

func TestRouteBindings(t *testing.T) {
	s := newShop(t)
	s.register()
	guid, route := s.made("f", "only"), s.makeRoute("shop").want(201).guid()
	bind := func(instance string) *reply {
		return s.as("developer", "POST", "/v3/service_route_bindings", map[string]any{"relationships": map[string]any{"route": one(route), "service_instance": one(instance)}})
	}
	address := func() (text string) {
		s.view(func(tx *store.Tx) error {
			r, err := store.Routes.Get(tx, route)
			s.must(err)
			text = r.RouteServiceURL
			return nil
		})
		return text
	}
	bind(s.made("d", "small")).want(422, "does not support route binding")
	bind("nosuch").want(422, "could not be found")
	s.job(bind(guid), "COMPLETE")
	bind(guid).want(400, "130008")
	if address() != "https://front.example.org" {
		t.Errorf("the route's service is %q", address())
	}
	s.as("developer", "GET", "/v3/service_route_bindings?route_guids="+route+"&include=service_instance,route&service_instance_names=f", nil).
		want(200, `"total_results":1`, `"route_service_url":"https://front.example.org"`, `"service_instances":[{`, `"routes":[{`)
	b := "/v3/service_route_bindings/" + s.guidOf("/v3/service_route_bindings?service_instance_guids="+guid)
	s.as("developer", "PATCH", b, `{"metadata":{"labels":{"a":"b"}}}`).want(200, `"a":"b"`)
	s.job(s.as("developer", "DELETE", b, nil), "COMPLETE")
	own := s.makeService("own", map[string]any{"route_service_url": "https://own.example.org"}).want(201).guid()
	b = "/v3/service_route_bindings/" + bind(own).want(201, "https://own.example.org").guid()
	s.as("developer", "PATCH", "/v3/service_instances/"+own, `{"route_service_url":"https://new.example.org"}`).want(200)
	if address() != "https://new.example.org" {
		t.Errorf("the route's service is %q", address())
	}
	s.as("developer", "GET", b+"/parameters", nil).want(400, "90007")
	s.as("developer", "DELETE", "/v3/routes/"+route, nil).want(202)
	s.as("developer", "GET", b, nil).want(404)
}

func TestServiceQuotas(t *testing.T) {
	s := newShop(t)
	s.register()
	quota := s.as("admin", "POST", "/v3/organization_quotas", `{"name":"q","services":{"paid_services_allowed":false,"total_service_instances":1,"total_service_keys":0},"relationships":{"organizations":{"data":[{"guid":"`+s.org+`"}]}}}`).want(201).guid()
	s.create("l", "large", nil).want(422, "paid service plans are not allowed")
	guid := s.made("d", "small")
	s.create("e", "small", nil).want(422, "You have exceeded your organization's services limit.")
	s.makeService("own", nil).want(201) // those are not counted
	key := map[string]any{"type": "key", "name": "k", "parameters": map[string]any{"role": "r"}, "relationships": map[string]any{"service_instance": one(guid)}}
	s.as("developer", "POST", "/v3/service_credential_bindings", key).want(422, "limit for service binding of type key")
	s.as("developer", "PATCH", "/v3/service_instances/"+guid, map[string]any{"relationships": map[string]any{"service_plan": one(s.plan("large"))}}).want(422, "paid service plans")
	s.as("admin", "PATCH", "/v3/organization_quotas/"+quota, `{"services":{"total_service_instances":null}}`).want(200)
	s.made("e", "small")
}

func TestManifestBindsManagedServices(t *testing.T) {
	s := newShop(t)
	s.register()
	s.made("d", "small")
	apply := func(role string) *reply {
		return s.as("developer", "POST", "/v3/spaces/"+s.space+"/actions/apply_manifest", fmt.Sprintf("applications:\n- name: web\n  services:\n  - name: d\n    parameters:\n      %s\n", role))
	}
	apply("other: x").want(422, "For service 'd'", "missing property 'role'")
	s.set(func() { s.refuse["PUT service_bindings"] = 400 })
	s.job(apply("role: r"), "FAILED", "bind of service instance d could not be completed", "not now")
	s.set(func() { delete(s.refuse, "PUT service_bindings") })
	for range 2 { // what has failed is made anew; what is there stays
		s.job(apply("role: r"), "COMPLETE")
		s.as("developer", "GET", "/v3/service_credential_bindings", nil).want(200, `"total_results":1`, `"state":"succeeded"`)
	}
}

// TestManifestMakesServices: an instance that is not there is made of the offering and plan that the manifest names, and then bound, to
// all apps that want it; one that is there is bound as it is.
func TestManifestMakesServices(t *testing.T) {
	s := newShop(t)
	s.register()
	apply := func(service string) *reply {
		manifest := "applications:\n"
		for _, app := range []string{"web", "worker"} {
			manifest += "- name: " + app + "\n  services:\n  - {name: d, parameters: {role: r}, " + service + "}\n"
		}
		return s.as("developer", "POST", "/v3/spaces/"+s.space+"/actions/apply_manifest", manifest)
	}
	offering := s.as("admin", "GET", "/v3/service_offerings", nil).str("resources", 0, "name")
	made := "offering: " + offering + ", plan: small"
	for service, says := range map[string]string{
		"offering: " + offering: "must have an offering and a plan", "plan: small": "must have an offering and a plan", "broker: b": "must have an offering and a plan", "create_parameters: {size: 1}": "must have an offering and a plan",
		"offering: none, plan: small": "no plan 'small' of the service offering 'none'", "offering: " + offering + ", plan: none": "no plan 'none'", made + ", broker: none": "no plan 'small'",
		made + ", create_parameters: {gb: many}": "For service 'd': Parameters do not fit the schema of the service plan: /gb", made + ", create_parameters: 7": "create_parameters must be a mapping",
	} {
		apply(service).want(422, says)
	}
	s.as("admin", "GET", "/v3/service_instances", nil).want(200, `"total_results":0`)
	s.set(func() { s.refuse["PUT service_instances"] = 400 })
	s.job(apply(made), "FAILED", "create of service instance d could not be completed", "not now")
	s.set(func() { delete(s.refuse, "PUT service_instances") })
	apply(made).want(422, "d could not be created")
	s.job(s.as("developer", "DELETE", "/v3/service_instances/"+s.guidOf("/v3/service_instances?names=d"), nil), "COMPLETE")
	for range 2 {
		s.job(apply(made+", create_parameters: {gb: 7}"), "COMPLETE")
		s.set(func() {
			if want := map[string]any{"gb": 7.0}; !reflect.DeepEqual(s.gave, want) {
				t.Errorf("the broker was given the parameters %v, want %v", s.gave, want)
			}
		})
		s.as("developer", "GET", "/v3/service_instances", nil).want(200, `"total_results":1`, `"name":"d"`, `"state":"succeeded"`)
		s.as("developer", "GET", "/v3/service_credential_bindings", nil).want(200, `"total_results":2`, `"state":"succeeded"`)
	}
}

func TestBrokersAreToldWhenAnAppOrAnOrgGoes(t *testing.T) {
	s := newShop(t)
	s.register()
	app, guid := s.makeRunning("web"), s.made("d", "small")
	s.job(s.bindApp(app, guid, map[string]any{"parameters": map[string]any{"role": "r"}}), "COMPLETE")
	s.as("developer", "DELETE", "/v3/apps/"+app, nil).want(202)
	s.as("admin", "DELETE", "/v3/organizations/"+s.org, nil).want(202)
	told := func(what string) bool {
		s.mu.Lock()
		defer s.mu.Unlock()
		for _, a := range s.asked {
			if strings.HasPrefix(a, "DELETE /v2/service_instances/"+guid+what) {
				return true
			}
		}
		return false
	}
	changed := s.db.Watch(t.Context(), store.ServiceOperations.Name())
	for !told("/service_bindings/") || !told("") {
		select {
		case <-changed:
		case <-time.After(30 * time.Second):
			t.Fatalf("the broker was asked %v", s.asked)
		}
	}
}
