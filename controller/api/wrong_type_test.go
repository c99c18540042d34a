package api

import (
	"encoding/json"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"
)

const metadataBody = `"metadata":{"labels":{"a":"b"},"annotations":{"c":"d"}}`

const quotaBody = `"name":"new","apps":{"total_memory_in_mb":100,"per_process_memory_in_mb":100,"total_instances":1,"per_app_tasks":1,"log_rate_limit_in_bytes_per_second":100},
	"services":{"paid_services_allowed":true,"total_service_instances":1,"total_service_keys":1},"routes":{"total_routes":1,"total_reserved_ports":1}`

const processBody = `{"command":"run","user":"vcap","health_check":{"type":"http","data":{"timeout":1,"invocation_timeout":1,"interval":1,"endpoint":"/"}},
	"readiness_health_check":{"type":"http","data":{"invocation_timeout":1,"interval":1,"endpoint":"/"}},` + metadataBody + `}`

const scaleBody = `{"instances":1,"memory_in_mb":64,"disk_in_mb":64,"log_rate_limit_in_bytes_per_second":100}`

const destinationsBody = `{"destinations":[{"app":{"guid":"{app}","process":{"type":"web"}},"port":8080,"protocol":"http1"}]}`

const rulesBody = `{"name":"new","globally_enabled":{"running":true,"staging":true},"rules":[{"protocol":"tcp","destination":"10.0.0.0/8","ports":"80","description":"d","log":true}]}`

const appBody = `{"name":"new","environment_variables":{"A":"b"},"lifecycle":{"type":"buildpack","data":{"buildpacks":["ruby"],"stack":"cupola"}},`

const oneOrg, oneSpace = `{"data":[{"guid":"{otherOrg}"}]}`, `{"data":[{"guid":"{space}"}]}`

// fullBodies are requests with every member that a route takes, so that each can be given in a wrong type.
var fullBodies = map[string]string{
	"POST /v3/apps":                                       appBody + inSpaceBody + "," + metadataBody + `}`,
	"PATCH /v3/apps/{guid}":                               appBody + metadataBody + `}`,
	"PATCH /v3/apps/{guid}/environment_variables":         `{"var":{"A":"b"}}`,
	"PATCH /v3/apps/{guid}/features/{name}":               `{"enabled":true}`,
	"POST /v3/service_instances/{guid}/actions/restore":   `{"backup":{"guid":"x"}}`,
	"PATCH /v3/apps/{guid}/relationships/current_droplet": `{"data":{"guid":"{droplet}"}}`,
	"PATCH /v3/processes/{guid}":                          processBody,
	"PATCH /v3/apps/{guid}/processes/{type}":              processBody,
	"POST /v3/processes/{guid}/actions/scale":             scaleBody,
	"POST /v3/apps/{guid}/processes/{type}/actions/scale": scaleBody,
	"POST /v3/packages":                                   `{"type":"docker","data":{"image":"example/app","username":"u","password":"p"},` + ofAppBody + "," + metadataBody + `}`,
	"PATCH /v3/packages/{guid}":                           `{` + metadataBody + `}`,
	"POST /v3/resource_matches":                           `{"resources":[{"path":"a","mode":"644","checksum":{"value":"002d760bea1be268e27077412e11a320d0f164d3"},"size_in_bytes":36}]}`,
	"POST /v3/builds": `{"package":{"guid":"{package}"},"lifecycle":{"type":"buildpack","data":{"buildpacks":["ruby"],"stack":"cupola"}},"staging_memory_in_mb":64,
		"staging_disk_in_mb":64,"staging_log_rate_limit_bytes_per_second":100,` + metadataBody + `}`,
	"PATCH /v3/builds/{guid}":                                                `{` + metadataBody + `}`,
	"POST /v3/droplets":                                                      `{"process_types":{"web":"run"},` + ofAppBody + `}`,
	"PATCH /v3/droplets/{guid}":                                              `{` + metadataBody + `}`,
	"POST /v3/deployments":                                                   `{"droplet":{"guid":"{droplet}"},"strategy":"canary","options":{"max_in_flight":1,"canary":{"steps":[{"instance_weight":10}]}},` + ofAppBody + "," + metadataBody + `}`,
	"PATCH /v3/deployments/{guid}":                                           `{` + metadataBody + `}`,
	"POST /v3/apps/{guid}/tasks":                                             `{"name":"t","command":"run","memory_in_mb":64,"disk_in_mb":64,"log_rate_limit_in_bytes_per_second":100,"droplet_guid":"{droplet}",` + metadataBody + `}`,
	"PATCH /v3/tasks/{guid}":                                                 `{` + metadataBody + `}`,
	"POST /v3/routes":                                                        `{"host":"new","path":"/p","relationships":{"space":{"data":{"guid":"{space}"}},"domain":{"data":{"guid":"{shared}"}}},"options":{"loadbalancing":"round-robin"},` + metadataBody + `}`,
	"PATCH /v3/routes/{guid}":                                                `{"options":{"loadbalancing":"round-robin"},` + metadataBody + `}`,
	"POST /v3/routes/{guid}/destinations":                                    destinationsBody,
	"PATCH /v3/routes/{guid}/destinations":                                   destinationsBody,
	"PATCH /v3/routes/{guid}/destinations/{destination}":                     `{"protocol":"http1"}`,
	"POST /v3/routes/{guid}/relationships/shared_spaces":                     oneSpace,
	"PATCH /v3/routes/{guid}/relationships/space":                            `{"data":{"guid":"{space}"}}`,
	"POST /v3/route_policies":                                                `{"source":"cf:space:{space}","relationships":{"route":{"data":{"guid":"{guardedRoute}"}}},` + metadataBody + `}`,
	"PATCH /v3/route_policies/{guid}":                                        `{` + metadataBody + `}`,
	"POST /v3/organizations":                                                 `{"name":"new","suspended":true,` + metadataBody + `}`,
	"PATCH /v3/organizations/{guid}":                                         `{"name":"new","suspended":true,` + metadataBody + `}`,
	"PATCH /v3/organizations/{guid}/relationships/default_isolation_segment": `{"data":{"guid":"x"}}`,
	"POST /v3/spaces":                                                        `{"name":"new",` + inOrgBody + "," + metadataBody + `}`,
	"PATCH /v3/spaces/{guid}":                                                `{"name":"new",` + metadataBody + `}`,
	"PATCH /v3/spaces/{guid}/features/{name}":                                `{"enabled":true}`,
	"PATCH /v3/spaces/{guid}/relationships/isolation_segment":                `{"data":{"guid":"x"}}`,
	"POST /v3/roles":                                                         `{"type":"organization_auditor","relationships":{"user":{"data":{"guid":"{member}"}},"organization":{"data":{"guid":"{org}"}}}}`,
	"POST /v3/users":                                                         `{"guid":"new",` + metadataBody + `}`,
	"PATCH /v3/users/{guid}":                                                 `{` + metadataBody + `}`,
	"POST /v3/organization_quotas":                                           `{` + quotaBody + `,"domains":{"total_domains":1},"relationships":{"organizations":` + oneOrg + `}}`,
	"PATCH /v3/organization_quotas/{guid}":                                   `{` + quotaBody + `,"domains":{"total_domains":1}}`,
	"POST /v3/organization_quotas/{guid}/relationships/organizations":        oneOrg,
	"POST /v3/space_quotas":                                                  `{` + quotaBody + `,"relationships":{"organization":{"data":{"guid":"{org}"}},"spaces":` + oneSpace + `}}`,
	"PATCH /v3/space_quotas/{guid}":                                          `{` + quotaBody + `}`,
	"POST /v3/space_quotas/{guid}/relationships/spaces":                      oneSpace,
	"POST /v3/domains":                                                       `{"name":"new.example.org","internal":false,"enforce_route_policies":true,"route_policies_scope":"any","relationships":{"organization":{"data":{"guid":"{org}"}},"shared_organizations":` + oneOrg + `},` + metadataBody + `}`,
	"PATCH /v3/domains/{guid}":                                               `{` + metadataBody + `}`,
	"POST /v3/domains/{guid}/relationships/shared_organizations":             oneOrg,
	"POST /v3/buildpacks":                                                    `{"name":"new","stack":"cupola","position":1,"enabled":true,"locked":false,"lifecycle":"buildpack",` + metadataBody + `}`,
	"PATCH /v3/buildpacks/{guid}":                                            `{"name":"new","stack":"cupola","position":1,"enabled":true,"locked":false,` + metadataBody + `}`,
	"POST /v3/admin/node_tokens":                                             `{"lifetime_in_seconds":600}`,
	"POST /v3/admin/engine/actions/migrate":                                  `{"target":"nomad","parallel":2,"force":true}`,
	"PATCH /v3/admin/nodes/{guid}":                                           `{"labels":{"zone":"north"}}`,
	"POST /v3/stacks":                                                        `{"name":"new","description":"d",` + metadataBody + `}`,
	"PATCH /v3/stacks/{guid}":                                                `{` + metadataBody + `}`,
	"PATCH /v3/feature_flags/{name}":                                         `{"enabled":true,"custom_error_message":"m"}`,
	"PATCH /v3/environment_variable_groups/{name}":                           `{"var":{"A":"b"}}`,
	"POST /v3/security_groups":                                               strings.TrimSuffix(rulesBody, "}") + `,"relationships":{"running_spaces":` + oneSpace + `,"staging_spaces":` + oneSpace + `}}`,
	"PATCH /v3/security_groups/{guid}":                                       rulesBody,
	"POST /v3/security_groups/{guid}/relationships/running_spaces":           oneSpace,
	"POST /v3/security_groups/{guid}/relationships/staging_spaces":           oneSpace,
	"POST /networking/v1/external/policies":                                  onePolicyBody,
	"POST /networking/v1/external/policies/delete":                           onePolicyBody,
	"POST /v3/isolation_segments":                                            `{"name":"new",` + metadataBody + `}`,
	"PATCH /v3/isolation_segments/{guid}":                                    `{"name":"new",` + metadataBody + `}`,
	"POST /v3/isolation_segments/{guid}/relationships/organizations":         oneOrg,
	"POST /v3/service_instances":                                             `{"type":"user-provided","name":"new","credentials":{},"tags":["a"],"syslog_drain_url":"syslog://logs.example.com","route_service_url":"https://r.example.com",` + inSpaceBody + "," + metadataBody + `}`,
	"PATCH /v3/service_instances/{guid}":                                     `{"name":"new","credentials":{},"tags":["a"],"syslog_drain_url":"syslog://logs.example.com","route_service_url":"https://r.example.com",` + metadataBody + `}`,
	"PATCH /v3/service_plans/{guid}":                                         `{` + metadataBody + `}`,
	"PATCH /v3/service_offerings/{guid}":                                     `{` + metadataBody + `}`,
	"PATCH /v3/service_route_bindings/{guid}":                                `{` + metadataBody + `}`,
	"POST /v3/service_route_bindings":                                        `{"relationships":{"route":{"data":{"guid":"{freeRoute}"}},"service_instance":{"data":{"guid":"{front}"}}},` + metadataBody + `}`,
	"POST /v3/service_brokers":                                               `{"name":"new","url":"https://new.example.com","authentication":{"type":"basic","credentials":{"username":"u","password":"p"}},` + inSpaceBody + "," + metadataBody + `}`,
	"PATCH /v3/service_brokers/{guid}":                                       `{"name":"new","url":"https://new.example.com","authentication":{"type":"basic","credentials":{"username":"u","password":"p"}},` + metadataBody + `}`,
	"PATCH /v3/service_plans/{guid}/visibility":                              `{"type":"organization","organizations":[{"guid":"{otherOrg}","name":"other"}]}`,
	"POST /v3/service_plans/{guid}/visibility":                               `{"type":"organization","organizations":[{"guid":"{otherOrg}","name":"other"}]}`,
	"POST /v3/service_instances/{guid}/relationships/shared_spaces":          oneSpace,
	"POST /v3/service_credential_bindings":                                   `{"type":"app","name":"n","relationships":{"app":{"data":{"guid":"{app}"}},"service_instance":{"data":{"guid":"{instance}"}}},` + metadataBody + `}`,
	"PATCH /v3/service_credential_bindings/{guid}":                           `{` + metadataBody + `}`,
	"PATCH /v3/revisions/{guid}":                                             `{` + metadataBody + `}`,
	"POST /v3/apps/{guid}/sidecars":                                          `{"name":"new","command":"run","process_types":["web"],"memory_in_mb":64}`,
	"PATCH /v3/sidecars/{guid}":                                              `{"name":"new","command":"run","process_types":["web"],"memory_in_mb":64}`,
}

// wrongFor are JSON values that can't be right where a value like v is. Numbers may be given as strings (contract 4.1).
func wrongFor(v any) []string {
	switch v.(type) {
	case string:
		return []string{`5`, `true`, `[]`, `{}`, `["a"]`}
	case bool:
		return []string{`"x"`, `5`, `[]`, `{}`}
	case json.Number, float64:
		return []string{`"x"`, `true`, `[]`, `{}`, `1.5`, `1e999`, `99999999999999999999`, `""`}
	case []any:
		return []string{`"x"`, `5`, `true`, `{}`, `[5]`, `[[]]`, `[null]`}
	}
	return []string{`"x"`, `5`, `true`, `[]`, `[{}]`}
}

// mutants are body with each of its values in turn replaced by what can't be right there, by a description.
func mutants(t *testing.T, body string) map[string]string {
	t.Helper()
	var root any
	if err := json.Unmarshal([]byte(body), &root); err != nil {
		t.Fatalf("%s: %v", body, err)
	}
	out := map[string]string{}
	const mark = "the-value-to-replace"
	var walk func(at string, v any, set func(any))
	walk = func(at string, v any, set func(any)) {
		set(mark)
		raw, err := json.Marshal(root)
		if err != nil {
			t.Fatal(err)
		}
		for _, wrong := range append(wrongFor(v), "null") {
			out[at+"="+wrong] = strings.Replace(string(raw), `"`+mark+`"`, wrong, 1)
		}
		set(v)
		switch v := v.(type) {
		case map[string]any:
			for key, value := range v {
				walk(at+"."+key, value, func(x any) { v[key] = x })
			}
		case []any:
			for i, value := range v {
				walk(fmt.Sprintf("%s[%d]", at, i), value, func(x any) { v[i] = x })
			}
		}
	}
	for key, value := range root.(map[string]any) {
		m := root.(map[string]any)
		walk(key, value, func(x any) { m[key] = x })
	}
	return out
}

// TestWrongTypesAreRefused gives every member of every JSON body of the route table in wrong types: 400 or 422 comes,
// never a 500 and never a success. A null may mean something; it must not be a 500.
func TestWrongTypesAreRefused(t *testing.T) {
	w := newWorld(t, func(o *Options) { o.MaxHold = time.Millisecond })
	guids := w.matrixFixtures()
	keep := w.keepState()
	for _, route := range w.s.Routes() {
		path := guids.fill(variant{}.pathOf(route))
		body, known := fullBodies[route.String()]
		if !known {
			if route.Method != "GET" && route.Method != "DELETE" && !strings.Contains(path, "manifest") && w.readsJSON(route.Method, path) {
				t.Errorf("%s takes JSON and has no body in fullBodies", route)
			}
			continue
		}
		for name, mutant := range mutants(t, guids.fill(body)) {
			r := w.as("admin", route.Method, path, mutant)
			if r.status < 400 {
				keep.restore()
			}
			null := strings.HasSuffix(name, "=null")
			if r.status >= 500 || !null && r.status != 400 && r.status != 422 && !slices.Contains(anyType, route.String()+" "+name) {
				t.Errorf("%s with %s: %d, want 400 or 422: %.300s", route, name, r.status, r.text)
			}
		}
	}
}

// anyType are members that do take what another would not: variables of an app may be numbers and truth values, which
// are kept as text.
var anyType = []string{
	"PATCH /v3/apps/{guid}/environment_variables var.A=5", "PATCH /v3/apps/{guid}/environment_variables var.A=true",
}
