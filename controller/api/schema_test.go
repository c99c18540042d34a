package api

import (
	"bytes"
	"encoding/json"
	"fmt"
	"net/http"
	"net/http/httptest"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/cupola-paas/cupola/controller/capi"
)

// checkSchema holds an answer against the contract: conventions of every answer (4.2, 4.4, 4.5, 4.6), then the shape of
// the resource that the route answers with (4.7, in schema_table_test.go). The harness calls it for every request.
func (w *world) checkSchema(r *http.Request, rec *httptest.ResponseRecorder) {
	w.t.Helper()
	c := &schemaCheck{what: fmt.Sprintf("%s %s: %d", r.Method, r.URL.Path, rec.Code)}
	c.run(w, r, rec)
	for _, fault := range c.faults {
		w.t.Errorf("%s: %s: %.600s", c.what, fault, rec.Body.String())
	}
}

// schemaCheck collects what is wrong with one answer.
type schemaCheck struct {
	what   string
	faults []string
}

func (c *schemaCheck) fault(format string, args ...any) {
	if len(c.faults) < 5 {
		c.faults = append(c.faults, fmt.Sprintf(format, args...))
	}
}

func (c *schemaCheck) run(w *world, r *http.Request, rec *httptest.ResponseRecorder) {
	_, pattern := w.s.mux.Handler(normalised(r))
	if rec.Header().Get("X-Vcap-Request-Id") == "" {
		c.fault("no X-Vcap-Request-Id")
	}
	location := rec.Header().Get("Location")
	if location != "" && (rec.Code != http.StatusAccepted || !strings.Contains(location, "/v3/jobs/")) {
		c.fault("Location %q, which clients poll as a job", location)
	}
	if rec.Code == http.StatusNoContent && rec.Body.Len() > 0 {
		c.fault("204 with a body")
	}
	isJSON := strings.HasPrefix(rec.Header().Get("Content-Type"), "application/json")
	switch {
	case rec.Body.Len() == 0:
	case !isJSON && rec.Code >= 400 && strings.HasPrefix(r.URL.Path, "/v3"):
		c.fault("an error of type %q", rec.Header().Get("Content-Type"))
	case isJSON:
		c.body(pattern, rec)
	}
}

func (c *schemaCheck) body(pattern string, rec *httptest.ResponseRecorder) {
	decoder := json.NewDecoder(bytes.NewReader(rec.Body.Bytes()))
	decoder.UseNumber() // so that 1 and 1.0 are not the same
	var v any
	if err := decoder.Decode(&v); err != nil {
		c.fault("no JSON: %v", err)
		return
	}
	if !strings.Contains(pattern, "/v3") {
		return // the routing and networking APIs have forms of their own
	}
	body, ok := v.(map[string]any)
	if !ok {
		c.fault("a body that is no object")
		return
	}
	if rec.Code >= 400 {
		c.errors(body)
		return
	}
	c.everywhere("", body)
	shape, known := shapes[pattern]
	if list, isList := body["resources"].([]any); isList && known {
		if shape.paged {
			c.pagination(body)
		}
		for _, element := range list {
			c.resource("resources", shape, element)
		}
		c.included(body["included"])
		return
	}
	if known && !shape.list {
		c.resource("", shape, body)
	}
}

// errors checks the body of an error (contract 4.5).
func (c *schemaCheck) errors(body map[string]any) {
	list, _ := body["errors"].([]any)
	if len(list) == 0 || len(body) != 1 {
		c.fault("want a list of errors and nothing else")
	}
	for _, e := range list {
		c.fields("errors", parseFields("code:i title:s detail:s"), e)
		m, _ := e.(map[string]any)
		if title, _ := m["title"].(string); !strings.HasPrefix(title, "CF-") && title != capi.ServerError.Title {
			c.fault("title %q does not begin with CF-", title)
		}
		if detail, _ := m["detail"].(string); detail == "" {
			c.fault("an error without detail")
		}
	}
}

// pagination checks what surrounds a list (contract 4.2).
func (c *schemaCheck) pagination(body map[string]any) {
	c.fields("", parseFields("pagination.total_results:i pagination.total_pages:i pagination.first.href:s pagination.last.href:s pagination.next:o? pagination.previous:o?"), body)
	p, _ := body["pagination"].(map[string]any)
	if n, ok := p["total_pages"].(json.Number); !ok || n.String() == "0" {
		c.fault("total_pages is %v, and is at least 1", p["total_pages"])
	}
	for _, key := range []string{"first", "last", "next", "previous"} {
		link, ok := p[key].(map[string]any)
		if href, _ := link["href"].(string); ok && !absolute(href) {
			c.fault("pagination.%s is not absolute: %q", key, href)
		}
	}
}

var includedKeys = []string{"users", "organizations", "spaces", "apps", "routes", "route_policies", "domains", "service_plans", "service_offerings", "service_brokers", "service_instances"}

func (c *schemaCheck) included(v any) {
	if v == nil {
		return
	}
	groups, _ := v.(map[string]any)
	for key, list := range groups {
		elements, ok := list.([]any)
		if !slices.Contains(includedKeys, key) || !ok {
			c.fault("included.%s", key)
		}
		seen := map[any]bool{}
		for _, e := range elements {
			m, _ := e.(map[string]any)
			if m["guid"] == nil || seen[m["guid"]] {
				c.fault("included.%s has no GUID, or one twice: %v", key, m["guid"])
			}
			seen[m["guid"]] = true
		}
	}
}

var timeGrammar = regexp.MustCompile(`^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\dZ$`)

func absolute(href string) bool { return strings.HasPrefix(href, "http") }

// everywhere checks what has one form wherever it stands (contract 4.4): times, links, metadata, relationships.
func (c *schemaCheck) everywhere(at string, v any) {
	switch v := v.(type) {
	case []any:
		for _, e := range v {
			c.everywhere(at, e)
		}
	case map[string]any:
		for key, value := range v {
			where := at + "." + key
			switch key {
			case "created_at", "updated_at", "since_at":
				if s, ok := value.(string); value != nil && (!ok || !timeGrammar.MatchString(s)) {
					c.fault("%s is no time: %v", where, value)
				}
			case "links":
				c.links(where, value)
			case "metadata":
				c.metadata(where, value)
			case "relationships":
				c.relationships(where, value)
			case "data", "environment_variables", "var", "system_env_json", "application_env_json", "staging_env_json", "running_env_json", "credentials", "parameters":
				// what users and events put there has any form
			default:
				c.everywhere(where, value)
			}
		}
		if from, to := v["created_at"], v["updated_at"]; at == "" && from != nil && to != nil && fmt.Sprint(from) > fmt.Sprint(to) {
			c.fault("updated before it was created: %v, %v", from, to)
		}
	}
}

func (c *schemaCheck) links(where string, v any) {
	links, ok := v.(map[string]any)
	if !ok {
		c.fault("%s is no object: %v", where, v)
	}
	for name, link := range links {
		m, _ := link.(map[string]any)
		href, ok := m["href"].(string)
		method, hasMethod := m["method"].(string)
		_, given := m["method"]
		if link != nil && (!ok || given && (!hasMethod || method == "")) || strings.HasPrefix(href, "/") {
			c.fault("%s.%s: %v", where, name, link)
		}
	}
}

func (c *schemaCheck) metadata(where string, v any) {
	if strings.HasSuffix(where, ".broker_catalog.metadata") {
		return // the broker's own
	}
	m, ok := v.(map[string]any)
	_, labels := m["labels"].(map[string]any)
	_, annotations := m["annotations"].(map[string]any)
	if !ok || !labels || !annotations {
		c.fault("%s needs labels and annotations, both objects: %v", where, v)
	}
}

func (c *schemaCheck) relationships(where string, v any) {
	m, ok := v.(map[string]any)
	if !ok {
		c.fault("%s is no object: %v", where, v)
	}
	for name, rel := range m {
		r, ok := rel.(map[string]any)
		if _, has := r["data"]; rel != nil && (!ok || !has) {
			c.fault("%s.%s has no data: %v", where, name, rel)
		}
	}
}

// resource checks one resource against its shape.
func (c *schemaCheck) resource(where string, s shape, v any) { c.fields(where, s.fields, v) }

// wantedKey is a key that must be there, its path by dots, and what it may be.
type wantedKey struct {
	path     []string
	kind     string // s string, i integer, b true or false, o object, a array, t time, 1 to-one, n to-many
	nullable bool   // "?": null, and of a to-one data null
	optional bool   // "-": may be left out
}

func parseFields(text string) []wantedKey {
	var out []wantedKey
	for _, word := range strings.Fields(text) {
		path, kind, _ := strings.Cut(word, ":")
		f := wantedKey{path: strings.Split(path, "."), nullable: strings.Contains(kind, "?"), optional: strings.Contains(kind, "-")}
		f.kind = strings.Trim(kind, "?-")
		out = append(out, f)
	}
	return out
}

func (c *schemaCheck) fields(where string, fields []wantedKey, v any) {
	for _, f := range fields {
		name := strings.TrimPrefix(where+"."+strings.Join(f.path, "."), ".")
		value, found := descend(v, f.path)
		switch {
		case !found && !f.optional:
			c.fault("%s is missing", name)
		case found && !f.fits(value):
			c.fault("%s is %T(%v), want %s", name, value, value, f.kind)
		}
	}
}

func descend(v any, path []string) (any, bool) {
	for _, key := range path {
		m, ok := v.(map[string]any)
		if !ok {
			return nil, false
		}
		if v, ok = m[key]; !ok {
			return nil, false
		}
	}
	return v, true
}

func (f wantedKey) fits(v any) bool {
	if v == nil {
		return f.nullable
	}
	switch f.kind {
	case "s":
		_, ok := v.(string)
		return ok
	case "t":
		s, ok := v.(string)
		return ok && timeGrammar.MatchString(s)
	case "i":
		n, ok := v.(json.Number)
		return ok && !strings.ContainsAny(n.String(), ".eE")
	case "b":
		_, ok := v.(bool)
		return ok
	case "o":
		_, ok := v.(map[string]any)
		return ok
	case "a":
		_, ok := v.([]any)
		return ok
	case "1":
		data, ok := descend(v, []string{"data"})
		guid, has := descend(data, []string{"guid"})
		return ok && (data == nil && f.nullable || has && guid != "")
	case "n":
		data, _ := descend(v, []string{"data"})
		_, ok := data.([]any)
		return ok
	}
	return false
}

// TestEveryRouteHasAShape: a route that answers with JSON stands in the table of shapes, so that its answers are checked.
func TestEveryRouteHasAShape(t *testing.T) {
	w := newWorld(t)
	known := map[string]bool{}
	for _, r := range w.s.Routes() {
		known[r.String()] = true
		_, checked := shapes[r.String()]
		if r.Method != http.MethodDelete && strings.HasPrefix(r.Pattern, "/v3/") && !checked && !slices.Contains(shapeless, r.String()) {
			t.Errorf("%s has no shape in schema_table_test.go", r)
		}
	}
	for pattern := range shapes {
		if !known[pattern] {
			t.Errorf("there is no route %s", pattern)
		}
	}
	for _, pattern := range shapeless {
		if !known[pattern] {
			t.Errorf("there is no route %s", pattern)
		}
	}
}

// TestSchemaCheckSees: the check finds each kind of fault.
func TestSchemaCheckSees(t *testing.T) {
	s := shapes["GET /v3/apps/{guid}"]
	good := `{"guid":"g","created_at":"2026-01-02T03:04:05Z","updated_at":"2026-01-02T03:04:05Z","name":"n","state":"STOPPED","lifecycle":{"type":"docker","data":{}},
		"relationships":{"space":{"data":{"guid":"s"}},"current_droplet":{"data":null}},"metadata":{"labels":{},"annotations":{}},"links":{"self":{"href":"https://x/y"}}}`
	for _, c := range []struct{ old, new string }{
		{"", ""}, {`"name":"n",`, ""}, {`"name":"n"`, `"name":1`}, {`03:04:05Z","updated`, `03:04:05.123Z","updated`}, {`{"data":{"guid":"s"}}`, `[]`},
		{`{"data":{"guid":"s"}}`, `{"data":null}`}, {`"labels":{},`, ``}, {`https://x/y`, `/y`}, {`"data":{}`, `"data":[]`}, {`"state":"STOPPED"`, `"state":null`},
	} {
		rec := httptest.NewRecorder()
		_, _ = rec.WriteString(strings.Replace(good, c.old, c.new, 1))
		check := &schemaCheck{}
		check.body("GET /v3/apps/{guid}", rec)
		if bad := c.old != ""; (len(check.faults) > 0) != bad {
			t.Errorf("%s for %s: faults %v", c.new, c.old, check.faults)
		}
	}
	if len(s.fields) < 8 {
		t.Errorf("an app has %d fields", len(s.fields))
	}
}
