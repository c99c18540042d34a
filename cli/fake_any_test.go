package cli

import (
	"encoding/json"
	"maps"
	"net/http"
	"slices"
	"strings"

	"github.com/cupola-paas/cupola/controller/capi"
)

// anyRoutes serve collections as plain JSON objects: what was posted can be listed by name, changed and deleted. Each
// change is noted with its body, so that a script can see what the command sent.
func (f *fakeAPI) anyRoutes(mux *http.ServeMux) {
	f.anyPlatform()
	mux.HandleFunc("/v3/", f.serveAny)
	mux.HandleFunc("GET /v3/map", f.serveMap)
	mux.HandleFunc("/networking/v1/external/policies", f.servePolicies)
	mux.HandleFunc("/networking/v1/external/policies/delete", f.servePolicies)
	mux.HandleFunc("GET /routing/v1/router_groups", func(w http.ResponseWriter, _ *http.Request) {
		reply(w, 200, []capi.RouterGroup{{GUID: "group-1", Name: "default-tcp", Type: "tcp", ReservablePorts: "1024-1123"}})
	})
	mux.HandleFunc("/Users", f.serveUAAUsers)
	mux.HandleFunc("/Users/", f.serveUAAUsers)
}

// anyPlatform is what a fresh platform has.
func (f *fakeAPI) anyPlatform() {
	f.put("/v3/feature_flags", map[string]any{"guid": "diego_docker", "name": "diego_docker", "enabled": false})
	f.put("/v3/organization_quotas", map[string]any{"guid": "quota-default", "name": "default", "apps": map[string]any{"total_memory_in_mb": 102400},
		"services": map[string]any{"paid_services_allowed": true}, "routes": map[string]any{}})
}

func (f *fakeAPI) put(collection string, resource map[string]any) {
	f.any[collection] = append(f.any[collection], resource)
}

// anyCollections are those that serveAny answers for.
var anyCollections = []string{"organizations", "spaces", "apps", "domains", "routes", "processes", "feature_flags", "organization_quotas", "space_quotas",
	"isolation_segments", "security_groups", "environment_variable_groups", "users", "roles", "buildpacks", "stacks", "revisions", "droplets", "packages", "sidecars",
	"service_instances", "service_credential_bindings", "service_route_bindings", "service_brokers", "service_offerings", "service_plans",
	"deleted_service_instances", "route_policies"}

// serveCauses answers like a Cloud Foundry that can't tell, or like Cupola in the mode "causes told".
func (f *fakeAPI) serveCauses(w http.ResponseWriter) {
	if !f.modeIs("causes", "told") {
		reply(w, 404, capi.Errors{Errors: []*capi.Error{capi.UnknownRequest.Errorf("Unknown request")}})
		return
	}
	reply(w, 200, capi.Causes{Resources: capi.Array[capi.Cause]{{Kind: "wrong_port", Text: "it listens elsewhere", Do: "mend that", Command: "cupola push web"}}})
}

// serveAny answers /v3/COLLECTION, /v3/COLLECTION/GUID and what is below.
func (f *fakeAPI) serveAny(w http.ResponseWriter, r *http.Request) {
	var body map[string]any
	if r.Method != http.MethodGet {
		_ = json.NewDecoder(r.Body).Decode(&body) // an empty body is no object
		f.requests = append(f.requests, r.Method+" "+r.URL.Path+" "+compact(body))
	}
	parts := strings.Split(strings.Trim(r.URL.Path, "/"), "/")
	if parts[len(parts)-1] == "causes" {
		f.serveCauses(w)
		return
	}
	if !slices.Contains(anyCollections, parts[1]) {
		http.NotFound(w, r)
		return
	}
	collection := "/v3/" + parts[1]
	switch {
	case len(parts) == 2 && r.Method == http.MethodPost:
		f.createAny(w, collection, body)
	case len(parts) == 2:
		f.listAny(w, r, collection)
	case len(parts) == 3:
		f.oneAny(w, r, collection, parts[2], body)
	case r.Method == http.MethodDelete:
		w.WriteHeader(204)
	case r.Method == http.MethodGet && f.any[r.URL.Path] != nil:
		f.listAny(w, r, r.URL.Path)
	case r.Method == http.MethodGet && parts[len(parts)-2] != "relationships":
		reply(w, 200, map[string]any{"pagination": map[string]any{"total_pages": 1}, "resources": []any{}})
	default:
		reply(w, 200, map[string]any{"data": body["data"]})
	}
}

func (f *fakeAPI) createAny(w http.ResponseWriter, collection string, body map[string]any) {
	taken := func(one map[string]any) bool { return one["name"] != nil && one["name"] == body["name"] }
	if slices.ContainsFunc(f.any[collection], taken) {
		refuse(w, capi.Invalid("%v already exists.", body["name"]))
		return
	}
	if body["guid"] == nil {
		body["guid"] = f.resource(strings.TrimSuffix(strings.TrimPrefix(collection, "/v3/"), "s")).GUID
	}
	f.put(collection, body)
	reply(w, 201, body)
}

// listAny knows the filters names and guids.
func (f *fakeAPI) listAny(w http.ResponseWriter, r *http.Request, collection string) {
	resources := []map[string]any{}
	for _, one := range f.any[collection] {
		matches := true
		for key, field := range map[string]string{"names": "name", "guids": "guid", "usernames": "username", "versions": "version", "sources": "source"} {
			if want, ok := r.URL.Query()[key]; ok && !slices.Contains(strings.Split(want[0], ","), strings.Trim(compact(one[field]), `"`)) {
				matches = false
			}
		}
		if matches {
			resources = append(resources, one)
		}
	}
	reply(w, 200, map[string]any{"pagination": map[string]any{"total_results": len(resources), "total_pages": 1}, "resources": resources})
}

func (f *fakeAPI) oneAny(w http.ResponseWriter, r *http.Request, collection, guid string, body map[string]any) {
	i := slices.IndexFunc(f.any[collection], func(one map[string]any) bool { return one["guid"] == guid })
	switch {
	case i < 0 && strings.HasSuffix(collection, "environment_variable_groups"):
		f.put(collection, map[string]any{"guid": guid, "name": guid, "var": map[string]any{}})
		f.oneAny(w, r, collection, guid, body)
	case i < 0 && r.Method == http.MethodPatch: // of what has handlers of its own for all else
		body["guid"] = guid
		reply(w, 200, body)
	case i < 0:
		refuse(w, capi.NotFound("Resource"))
	case r.Method == http.MethodDelete:
		f.any[collection] = slices.Delete(f.any[collection], i, i+1)
		w.Header().Set("Location", f.URL+"/v3/jobs/done")
		w.WriteHeader(202)
	case r.Method == http.MethodPatch:
		maps.Copy(f.any[collection][i], body)
		reply(w, 200, f.any[collection][i])
	default:
		reply(w, 200, f.any[collection][i])
	}
}

func (f *fakeAPI) servePolicies(w http.ResponseWriter, r *http.Request) {
	const collection = "policies"
	var body map[string]any
	if r.Method == http.MethodPost {
		_ = json.NewDecoder(r.Body).Decode(&body) // an empty body is no object
		f.requests = append(f.requests, r.Method+" "+r.URL.Path+" "+compact(body))
		f.any[collection] = nil
		if !strings.HasSuffix(r.URL.Path, "/delete") {
			f.put(collection, body)
		}
		reply(w, 200, map[string]any{})
		return
	}
	policies := []any{}
	for _, one := range f.any[collection] {
		policies = append(policies, one["policies"].([]any)...)
	}
	reply(w, 200, map[string]any{"policies": policies})
}

// serveUAAUsers is UAA's part: users by name.
func (f *fakeAPI) serveUAAUsers(w http.ResponseWriter, r *http.Request) {
	const collection = "uaa"
	var body map[string]any
	_ = json.NewDecoder(r.Body).Decode(&body) // an empty body is no object
	_, name, _ := strings.Cut(r.URL.Query().Get("filter"), `userName eq "`)
	name, _, _ = strings.Cut(name, `"`)
	named := func(one map[string]any) bool { return one["userName"] == name || one["userName"] == body["userName"] }
	switch r.Method {
	case http.MethodPost:
		if slices.ContainsFunc(f.any[collection], named) {
			reply(w, 409, capi.TokenError{Code: "scim_resource_already_exists", Description: "Username already in use"})
			return
		}
		body["id"] = f.resource("user").GUID
		f.put(collection, body)
		reply(w, 201, body)
	case http.MethodDelete:
		f.any[collection] = nil
		reply(w, 200, map[string]any{})
	case http.MethodPut:
		f.requests = append(f.requests, "PUT "+r.URL.Path+" "+compact(body))
		if body["oldPassword"] != "secret" {
			reply(w, 401, capi.TokenError{Code: "invalid_password", Description: "Old password is incorrect"})
			return
		}
		reply(w, 200, map[string]any{})
	default:
		found := slices.DeleteFunc(slices.Clone(f.any[collection]), func(one map[string]any) bool { return !named(one) })
		reply(w, 200, map[string]any{"resources": found, "totalResults": len(found)})
	}
}
