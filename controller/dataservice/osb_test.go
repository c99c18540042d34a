package dataservice_test

import (
	"context"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/google/uuid"
)

// TestOSB goes through the Open Service Broker API 2.17 clause by clause, each under the heading of its section, with
// one real instance.
func TestOSB(t *testing.T) {
	t.Parallel()
	p := newPlatform(t)
	p.out, p.patience = t.Output(), -1 // no waiting: everything is seen as it goes on
	p.start()
	t.Run("API Version Header", func(t *testing.T) { p.versionHeader(t) })
	t.Run("Platform to Service Broker Authentication", func(t *testing.T) { p.authentication(t) })
	t.Run("Catalog Management", func(t *testing.T) { p.catalogClauses(t) })
	i := p.provisionClauses(t)
	t.Run("Fetching a Service Instance", func(t *testing.T) { i.fetchClauses(t) })
	t.Run("Updating a Service Instance", func(t *testing.T) { i.updateClauses(t) })
	t.Run("Binding", func(t *testing.T) { i.bindClauses(t) })
	t.Run("Deprovisioning", func(t *testing.T) { i.deprovisionClauses(t) })
}

// want compares a status, and the error code where one is named.
func want(t *testing.T, what string, a answer, status int, code string) {
	t.Helper()
	if a.status != status || code != "" && a.text("error") != code {
		t.Errorf("%s: %d %v, want %d %s", what, a.status, a.body, status, code)
	}
	if !strings.HasPrefix(a.header.Get("Content-Type"), "application/json") {
		t.Errorf("%s: Content-Type %q", what, a.header.Get("Content-Type"))
	}
}

func (p *platform) versionHeader(t *testing.T) {
	for version, status := range map[string]int{"2.17": 200, "2.0": 200, "3.0": 412, "1.9": 412, "": 412, "22.1": 412} {
		a := p.askAs("GET", "/v2/catalog", nil, func(r *http.Request) {
			r.SetBasicAuth("platform", brokerPassword)
			r.Header.Set("X-Broker-API-Version", version)
			r.Header.Set("X-Broker-API-Request-Identity", "example-request")
		})
		want(t, "version "+version, a, status, "")
		if a.header.Get("X-Broker-API-Request-Identity") != "example-request" {
			t.Error("the request's identity is not given back (Request Identity)")
		}
	}
}

func (p *platform) authentication(t *testing.T) {
	for _, c := range [][2]string{{"platform", "wrong"}, {"wrong", brokerPassword}, {"", ""}} {
		a := p.askAs("PUT", "/v2/service_instances/x", "{}", func(r *http.Request) {
			r.Header.Set("X-Broker-API-Version", "2.17")
			if c[0] != "" {
				r.SetBasicAuth(c[0], c[1])
			}
		})
		want(t, "as "+c[0], a, http.StatusUnauthorized, "")
	}
}

func (p *platform) catalogClauses(t *testing.T) {
	a := p.ask("GET", "/v2/catalog", nil)
	want(t, "catalog", a, http.StatusOK, "")
	ids, names := map[string]bool{}, map[string]bool{}
	unique := func(set map[string]bool, v any, what string) {
		if s, _ := v.(string); s == "" || set[s] {
			t.Errorf("%s %v is empty or not unique", what, v)
		} else {
			set[s] = true
		}
	}
	for _, x := range a.body["services"].([]any) {
		s := x.(object)
		unique(ids, s["id"], "the service id")
		unique(names, s["name"], "the service name")
		if s["description"] == "" || s["bindable"] != true {
			t.Errorf("the service %v lacks what is required: %v", s["name"], s)
		}
		plans := map[string]bool{}
		for _, y := range s["plans"].([]any) {
			plan := y.(object)
			unique(ids, plan["id"], "the plan id")
			unique(plans, plan["name"], "the plan name")
			if info, _ := plan["maintenance_info"].(object); plan["description"] == "" || info["version"] == "" {
				t.Errorf("the plan %v of %v lacks what is required: %v", plan["name"], s["name"], plan)
			}
		}
		if len(plans) == 0 {
			t.Errorf("the service %v has no plan", s["name"])
		}
	}
	if again := p.ask("GET", "/v2/catalog", nil); len(again.body["services"].([]any)) != len(names) {
		t.Error("the catalog is another the second time")
	}
}

// provisionClauses are of "Provisioning" and "Polling Last Operation for Service Instances". The instance that it
// returns is usable.
func (p *platform) provisionClauses(t *testing.T) *instance {
	serviceID, planID := p.plan("redis", "small")
	_, medium := p.plan("redis", "medium")
	i := &instance{p, uuid.NewString(), serviceID, planID}
	good := object{"service_id": serviceID, "plan_id": planID, "organization_guid": "o", "space_guid": "s", "context": object{"platform": "cloudfoundry", "instance_name": "n"}}
	async := i.path("?accepts_incomplete=true")
	for what, body := range map[string]any{
		"no JSON": "{", "a list": "[]", "nothing": "", "no service_id": object{"plan_id": planID}, "no plan_id": object{"service_id": serviceID},
		"an unknown service": object{"service_id": "x", "plan_id": planID}, "an unknown plan": object{"service_id": serviceID, "plan_id": "x"},
		"parameters that there are not": object{"service_id": serviceID, "plan_id": planID, "parameters": object{"x": 1}},
		"a large body":                  object{"service_id": strings.Repeat("x", 2<<20)},
	} {
		want(t, "Provisioning, "+what, p.ask("PUT", async, body), http.StatusBadRequest, "")
	}
	want(t, "Provisioning, a bad id", p.ask("PUT", "/v2/service_instances/a%20b?accepts_incomplete=true", good), http.StatusBadRequest, "")
	want(t, "Provisioning, without accepts_incomplete", p.ask("PUT", i.path(""), good), 422, "AsyncRequired")
	stale := object{"service_id": serviceID, "plan_id": planID, "maintenance_info": object{"version": "0.0.1"}}
	want(t, "Provisioning, another maintenance_info", p.ask("PUT", async, stale), 422, "MaintenanceInfoConflict")
	want(t, "Polling, of what was never there", p.ask("GET", i.path("/last_operation"), nil), http.StatusGone, "")

	a := p.ask("PUT", async, good)
	want(t, "Provisioning", a, http.StatusAccepted, "")
	if a.header.Get("Retry-After") == "" || a.text("operation") == "" {
		t.Errorf("the answer names no operation or no time to ask again: %v %v", a.header, a.body)
	}
	want(t, "Provisioning, the same again while it goes on", p.ask("PUT", async, good), http.StatusAccepted, "")
	other := object{"service_id": serviceID, "plan_id": medium}
	want(t, "Provisioning, another plan by that id", p.ask("PUT", async, other), http.StatusConflict, "")
	want(t, "Fetching, while it is made", p.ask("GET", i.path(""), nil), http.StatusNotFound, "")
	want(t, "Updating, while it is made", p.ask("PATCH", async, other), 422, "ConcurrencyError")
	want(t, "Deprovisioning, while it is made", p.ask("DELETE", i.path("?accepts_incomplete=true&"+i.ids()), nil), 422, "ConcurrencyError")
	bind := object{"service_id": serviceID, "plan_id": planID}
	want(t, "Polling, another operation", p.ask("GET", i.path("/last_operation?operation=x"), nil), http.StatusBadRequest, "")
	want(t, "Polling", p.ask("GET", i.path("/last_operation?operation="+a.text("operation")), nil), http.StatusOK, "")
	i.until("succeeded")
	want(t, "Provisioning, the same again", p.ask("PUT", async, good), http.StatusOK, "")
	want(t, "Provisioning, something else again", p.ask("PUT", async, other), http.StatusConflict, "")
	want(t, "Binding, to what is not there", p.ask("PUT", "/v2/service_instances/absent/service_bindings/b", bind), http.StatusNotFound, "")
	return i
}

func (i *instance) fetchClauses(t *testing.T) {
	a := i.p.ask("GET", i.path(""), nil)
	want(t, "fetch", a, http.StatusOK, "")
	if a.body["service_id"] != i.serviceID || a.body["plan_id"] != i.planID {
		t.Errorf("it is %v", a.body)
	}
	want(t, "what is not there", i.p.ask("GET", "/v2/service_instances/absent", nil), http.StatusNotFound, "")
}

func (i *instance) updateClauses(t *testing.T) {
	async := i.path("?accepts_incomplete=true")
	_, medium := i.p.plan("redis", "medium")
	want(t, "no service_id", i.p.ask("PATCH", async, object{"plan_id": medium}), http.StatusBadRequest, "")
	want(t, "an unknown plan", i.p.ask("PATCH", async, object{"service_id": i.serviceID, "plan_id": "x"}), http.StatusBadRequest, "")
	want(t, "what is not there", i.p.ask("PATCH", "/v2/service_instances/absent", object{"service_id": i.serviceID}), http.StatusNotFound, "")
	want(t, "without accepts_incomplete", i.p.ask("PATCH", i.path(""), object{"service_id": i.serviceID, "plan_id": medium}), 422, "AsyncRequired")
	want(t, "a new name alone", i.p.ask("PATCH", i.path(""), object{"service_id": i.serviceID, "context": object{"instance_name": "m"}}), http.StatusOK, "")
	stale := object{"service_id": i.serviceID, "plan_id": medium, "maintenance_info": object{"version": "0.0.1"}}
	want(t, "another maintenance_info", i.p.ask("PATCH", async, stale), 422, "MaintenanceInfoConflict")
	want(t, "another plan", i.p.ask("PATCH", async, object{"service_id": i.serviceID, "plan_id": medium}), http.StatusAccepted, "")
	want(t, "fetched while it is updated", i.p.ask("GET", i.path(""), nil), 422, "ConcurrencyError")
	i.until("succeeded")
	i.planID = medium
	i.fetchClauses(t)
}

func (i *instance) bindClauses(t *testing.T) {
	binding := func(id, more string) string { return i.path("/service_bindings/" + id + more) }
	good := object{"service_id": i.serviceID, "plan_id": i.planID, "bind_resource": object{"app_guid": "a"}}
	for what, body := range map[string]any{
		"no JSON": "{", "no plan_id": object{"service_id": i.serviceID}, "an unknown plan": object{"service_id": i.serviceID, "plan_id": "x"},
		"a route":                       object{"service_id": i.serviceID, "plan_id": i.planID, "bind_resource": object{"route": "example.com"}},
		"parameters that there are not": object{"service_id": i.serviceID, "plan_id": i.planID, "parameters": object{"x": 1}},
		"a predecessor that is not":     object{"service_id": i.serviceID, "plan_id": i.planID, "predecessor_binding_id": "x"},
	} {
		want(t, what, i.p.ask("PUT", binding("b1", ""), body), http.StatusBadRequest, "")
	}
	a := i.p.ask("PUT", binding("b1", ""), good)
	want(t, "bind", a, http.StatusCreated, "")
	again := i.p.ask("PUT", binding("b1", ""), good)
	want(t, "the same again", again, http.StatusOK, "")
	if text(again.credentials()) != text(a.credentials()) {
		t.Error("the same binding has other credentials")
	}
	good["bind_resource"] = object{"app_guid": "other"}
	want(t, "another app by that id", i.p.ask("PUT", binding("b1", ""), good), http.StatusConflict, "")
	want(t, "fetch (Fetching a Service Binding)", i.p.ask("GET", binding("b1", ""), nil), http.StatusOK, "")
	want(t, "fetch what is not there", i.p.ask("GET", binding("b2", ""), nil), http.StatusNotFound, "")
	want(t, "poll (Polling Last Operation for Service Bindings)", i.p.ask("GET", binding("b1", "/last_operation"), nil), http.StatusOK, "")
	good["predecessor_binding_id"] = "b1"
	rotated := i.p.ask("PUT", binding("b2", ""), good)
	want(t, "rotate (Binding Rotation)", rotated, http.StatusCreated, "")
	if rotated.credentials()["password"] == a.credentials()["password"] {
		t.Error("a rotated binding has the old password")
	}
	want(t, "Unbinding, without ids", i.p.ask("DELETE", binding("b1", ""), nil), http.StatusBadRequest, "")
	want(t, "Unbinding, what is not there", i.p.ask("DELETE", binding("b3", "?"+i.ids()), nil), http.StatusGone, "")
	want(t, "Unbinding", i.p.ask("DELETE", binding("b1", "?"+i.ids()), nil), http.StatusOK, "")
	want(t, "Unbinding, again", i.p.ask("DELETE", binding("b1", "?"+i.ids()), nil), http.StatusGone, "")
	if redisRead(a.credentials()) == nil || !strings.Contains(text(redisRead(a.credentials())), "WRONGPASS") {
		t.Errorf("the role of the old binding: %v, want it refused", redisRead(a.credentials()))
	}
	if err := redisWrite(rotated.credentials()); err != nil {
		t.Errorf("the role of the new binding: %v", err)
	}
}

func (i *instance) deprovisionClauses(t *testing.T) {
	del := func(more string) answer { return i.p.ask("DELETE", i.path("?"+more), nil) }
	want(t, "without ids", del("accepts_incomplete=true"), http.StatusBadRequest, "")
	want(t, "without accepts_incomplete", del(i.ids()), 422, "AsyncRequired")
	want(t, "what is not there", i.p.ask("DELETE", "/v2/service_instances/absent?accepts_incomplete=true&"+i.ids(), nil), http.StatusGone, "")
	want(t, "deprovision", del("accepts_incomplete=true&"+i.ids()), http.StatusAccepted, "")
	give := time.After(2 * time.Minute)
	for i.p.ask("GET", i.path("/last_operation?"+i.ids()), nil).status != http.StatusGone {
		select {
		case <-give:
			t.Fatal("it is not gone")
		case <-time.After(100 * time.Millisecond): // OSB has nothing but polling
		}
	}
	want(t, "again", del("accepts_incomplete=true&"+i.ids()), http.StatusGone, "")
	want(t, "fetched", i.p.ask("GET", i.path(""), nil), http.StatusNotFound, "")
	if list, err := i.p.engine.List(context.Background()); err != nil || len(list) != 0 {
		t.Errorf("its server is still there: %v (%v)", list, err)
	}
}
