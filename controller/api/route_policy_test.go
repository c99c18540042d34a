package api

import (
	"strings"
	"testing"

	"github.com/cupola-paas/cupola/store"
)

const someGUID = "11111111-2222-3333-4444-555555555555"

// guardedDomain makes a shared domain that enforces policies within the scope.
func (w *world) guardedDomain(name, scope string) string {
	return w.as("admin", "POST", "/v3/domains", map[string]any{"name": name, "enforce_route_policies": true, "route_policies_scope": scope}).
		want(201, `"enforce_route_policies":true`, `"route_policies_scope":"`+scope+`"`).guid()
}

func (w *world) routeIn(domain, host string) string {
	return w.as("developer", "POST", "/v3/routes", map[string]any{
		"host": host, "relationships": map[string]any{"space": one(w.space), "domain": one(domain)},
	}).want(201).guid()
}

func guardBody(source, route string) map[string]any {
	return map[string]any{"source": source, "relationships": map[string]any{"route": one(route)}}
}

func TestDomainsThatEnforcePolicies(t *testing.T) {
	w := newWorld(t)
	domain := func(body string) *reply { return w.as("admin", "POST", "/v3/domains", body) }
	for _, tt := range []struct{ body, want string }{
		{`"enforce_route_policies":true`, "Route policies scope is required"},
		{`"enforce_route_policies":true,"route_policies_scope":"world"`, "must be one of 'any', 'org', 'space'"},
		{`"route_policies_scope":"world"`, "must be one of 'any', 'org', 'space'"},
		{`"enforce_route_policies":"yes","route_policies_scope":"any"`, "boolean"},
		{`"enforce_route_policies":true,"route_policies_scope":"any","internal":true`, "Internal domains cannot have route policy enforcement"},
		{`"enforce_route_policies":true,"route_policies_scope":"any","router_group":{"guid":"x"}`, "Domains with a router group cannot have route policy enforcement"},
	} {
		domain(`{"name":"identity.example.com",`+tt.body+`}`).want(422, tt.want)
	}
	plain := domain(`{"name":"plain.example.com","enforce_route_policies":false,"route_policies_scope":"org"}`).want(201)
	if _, shown := plain.body["enforce_route_policies"]; shown || plain.body["route_policies_scope"] != nil {
		t.Errorf("a domain that enforces nothing shows %v", plain.body)
	}
	guid := w.guardedDomain("identity.example.com", "org")
	w.as("admin", "PATCH", "/v3/domains/"+guid, `{"route_policies_scope":"any"}`).want(422, "route_policies_scope")
	w.as("developer", "GET", "/v3/domains/"+guid, nil).want(200, `"enforce_route_policies":true`, `"route_policies_scope":"org"`)
}

func TestRoutePolicies(t *testing.T) {
	w := newWorld(t)
	route := w.routeIn(w.guardedDomain("identity.example.com", "any"), "backend")
	app := w.makeApp("frontend")
	create := func(source string) *reply {
		return w.as("developer", "POST", "/v3/route_policies", guardBody(source, route))
	}
	for _, source := range []string{"", "cf:all", "app:" + someGUID, "cf:app:not-a-guid", "cf:any:" + someGUID, "cf:app:" + someGUID + "\n", "cf:app:" + strings.ToUpper(app)} {
		create(source).want(422, "Source")
	}
	w.as("developer", "POST", "/v3/route_policies", `{"source":"cf:any"}`).want(422, "Route can't be blank")
	w.as("developer", "POST", "/v3/route_policies", guardBody("cf:any", "nosuch")).want(404, "Route not found")
	w.as("stranger", "POST", "/v3/route_policies", guardBody("cf:any", route)).want(404, "Route not found")
	w.as("developer", "POST", "/v3/route_policies", guardBody("cf:any", w.makeRoute("open").want(201).guid())).want(422, "does not have enforce_route_policies enabled")

	made := create("cf:app:"+app).want(201, `"source":"cf:app:`+app+`"`, `"space":{"data":null}`, "/v3/apps/"+app, "/v3/routes/"+route)
	policy := "/v3/route_policies/" + made.guid()
	create("cf:app:"+app).want(422, "already exists for this route")
	create("cf:any").want(422, "'cf:any' cannot coexist")
	create("cf:org:"+w.org).want(201, `"organization":{"data":{"guid":"`+w.org+`"}}`)
	create("cf:space:" + someGUID).want(201) // nobody asks whether there is one
	open := w.routeIn(w.as("admin", "GET", "/v3/domains?names=identity.example.com", nil).str("resources", 0, "guid"), "public")
	w.as("developer", "POST", "/v3/route_policies", guardBody("cf:any", open)).want(201, `"source":"cf:any"`)
	w.as("developer", "POST", "/v3/route_policies", guardBody("cf:app:"+app, open)).want(422, "existing 'cf:any' policy")

	w.as("developer", "PATCH", policy, `{"metadata":{"labels":{"env":"prod"},"annotations":{"why":"calls"}}}`).want(200, `"env":"prod"`, `"why":"calls"`)
	w.as("developer", "PATCH", policy, `{"source":"cf:any"}`).want(422, "Unknown field(s): 'source'")
	w.as("stranger", "GET", policy, nil).want(404, "Route policy not found")
	w.as("developer", "GET", policy+"?include=nothing", nil).want(422, "Invalid included resource")
	w.as("developer", "GET", policy+"?include=source,route", nil).want(200, `"apps":[{`, `"name":"frontend"`, `"routes":[{`, `"spaces":[]`)
	for query, want := range map[string]int{
		"": 4, "route_guids=" + open: 1, "sources=cf:any": 1, "sources=cf:any,cf:app:" + app: 2, "source_guids=" + app: 1, "space_guids=" + w.space: 4,
		"space_guids=" + w.otherSpace: 0, "label_selector=env=prod": 1, "guids=" + made.guid(): 1,
	} {
		if n := w.as("developer", "GET", "/v3/route_policies?"+query, nil).want(200).count(); n != want {
			t.Errorf("%q lists %d policies, want %d", query, n, want)
		}
	}
	if n := w.as("stranger", "GET", "/v3/route_policies", nil).want(200).count(); n != 0 {
		t.Errorf("who is in another org sees %d policies", n)
	}
	w.as("developer", "GET", "/v3/route_policies?sources=cf:all", nil).want(400, "invalid source format: cf:all")
	w.as("developer", "GET", "/v3/routes?include=route_policies&guids="+open, nil).want(200, `"route_policies":[{`, `"source":"cf:any"`)
	w.as("developer", "GET", "/v3/routes/"+open+"?include=route_policies,domain", nil).want(200, `"route_policies":[{`, `"domains":[{`)

	w.as("developer", "DELETE", policy, nil).want(204)
	w.as("developer", "GET", policy, nil).want(404)
	for _, what := range []string{"create", "update", "delete"} {
		w.as("developer", "GET", "/v3/audit_events?types=audit.route_policy."+what+"&target_guids="+made.guid(), nil).
			want(200, `"total_results":1`, `"type":"route_policy"`, `"name":"cf:app:`+app+`"`)
	}
	w.as("developer", "DELETE", "/v3/routes/"+route, nil).want(202)
	w.view(func(tx *store.Tx) error {
		if n, err := store.RoutePolicies.Count(tx, store.By("route", route)); n != 0 || err != nil {
			t.Errorf("the deleted route has %d policies, %v", n, err)
		}
		return nil
	})
}

// TestSourcesOfHiddenApps: what the caller may not see does not appear, though the policy names it.
func TestSourcesOfHiddenApps(t *testing.T) {
	w := newWorld(t)
	route := w.routeIn(w.guardedDomain("identity.example.com", "space"), "backend")
	w.as("developer", "POST", "/v3/route_policies", guardBody("cf:org:"+w.otherOrg, route)).want(422, "route_policies_scope is 'space'")
	w.as("developer", "POST", "/v3/route_policies", guardBody("cf:space:"+w.otherSpace, route)).want(201)
	w.as("developer", "GET", "/v3/route_policies?include=source", nil).want(200, `"spaces":[]`)
	w.as("admin", "GET", "/v3/route_policies?include=source", nil).want(200, `"spaces":[{`)
}
