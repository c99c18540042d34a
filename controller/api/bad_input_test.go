package api

import (
	"errors"
	"io"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"sync"
	"testing"

	"github.com/cupola-paas/cupola/controller/capi"
	"github.com/cupola-paas/cupola/store"
)

// errorsOf checks that an answer is an error as clients read it (contract 4.5), and returns its first code.
func errorsOf(t *testing.T, r *reply) int {
	t.Helper()
	code, _ := r.at("errors", 0, "code").(float64)
	if code == 0 || r.str("errors", 0, "detail") == "" || !strings.HasPrefix(r.str("errors", 0, "title"), "CF-") {
		t.Errorf("%s: %d without code, title and detail: %.300s", r.what, r.status, r.text)
	}
	if strings.Contains(r.text, "runtime error") || strings.Contains(r.text, ".go:") {
		t.Errorf("%s shows what is internal: %.300s", r.what, r.text)
	}
	return int(code)
}

// TestEveryListRefusesBadQueries gives every list of the route table queries that can't be right.
func TestEveryListRefusesBadQueries(t *testing.T) {
	w := newWorld(t)
	guids := w.resources()
	lists := 0
	for _, route := range w.s.Routes() {
		if !slices.Contains(route.Query, "page") || route.Access.kind == accessOpen {
			continue
		}
		path := fill(route.Pattern, guids)
		if w.as("admin", "GET", path, nil).status != http.StatusOK {
			continue // of a resource that this world does not have
		}
		lists++
		for _, query := range []string{
			"page=0", "page=-1", "page=x", "page=99999999999999999999", "per_page=0", "per_page=5001", "per_page=1.5",
			"nonsense=1", "names[gt]=x&nonsense[]=y", "order_by=nonsense", "order_by=--created_at", "order_by=created_at,name",
			"created_ats=yesterday", "created_ats[gt]=2026-13-45T00:00:00Z", "created_ats[like]=2026-01-02T03:04:05Z", "updated_ats[lt]=",
			"label_selector=a%20in%20b", "label_selector==", "label_selector=%21%21a", "label_selector=" + strings.Repeat("a", 70), "label_selector=a%20in%20(b",
			"page=%zz", "page=1;per_page=2",
		} {
			r := w.as("admin", "GET", path+"?"+query, nil)
			if code := errorsOf(t, r); r.status != 400 || code != 10005 {
				t.Errorf("%s: %d, code %d, want 400 and 10005: %.200s", r.what, r.status, code, r.text)
			}
		}
		if r := w.as("admin", "GET", path+"?page=2000000&per_page=5000", nil).want(200); r.count() != 0 {
			t.Errorf("%s: a page after the last has %d resources", route, r.count())
		}
	}
	if lists < 25 {
		t.Errorf("only %d lists were asked", lists)
	}
}

// bodies that no route may take, with the codes that are right.
var badBodies = []struct {
	name, body string
	codes      []int
}{
	{"no JSON", `{"name":`, []int{1001}},
	{"more than one value", `{} {}`, []int{1001}},
	{"an array", `[]`, []int{1001}},
	{"a string", `"x"`, []int{1001}},
	{"not UTF-8", "{\"name\":\"\xff\xfe\"}", []int{1001}},
	{"deep nesting", strings.Repeat(`{"a":`, 20_000) + "1" + strings.Repeat("}", 20_000), []int{1001}},
	{"deep arrays", `{"a":` + strings.Repeat(`[`, 20_000) + strings.Repeat("]", 20_000) + "}", []int{1001}},
	{"10 MB", `{"name":"` + strings.Repeat("x", 10<<20) + `"}`, []int{1004}},
	{"an unknown member", `{"no_such_member":1}`, []int{10008}},
}

// readsJSON reports whether a route's handler decodes a JSON body: what only the path names, uploads and
// manifests do not.
func (w *world) readsJSON(method, path string) bool {
	r := w.as("admin", method, path, `{"name":`)
	return r.status == 400 && strings.Contains(r.text, `"code":1001`)
}

// TestEveryBodyIsChecked gives every route that takes JSON what can't be right.
func TestEveryBodyIsChecked(t *testing.T) {
	w := newWorld(t)
	guids := w.resources()
	routes := 0
	for _, route := range w.s.Routes() {
		path := fill(route.Pattern, guids)
		if route.Method == "GET" || route.Method == "DELETE" || !w.readsJSON(route.Method, path) {
			continue
		}
		routes++
		for _, bad := range badBodies {
			r := w.as("admin", route.Method, path, bad.body)
			if code := errorsOf(t, r); r.status < 400 || r.status >= 500 || !slices.Contains(bad.codes, code) && !mayDiffer(route, bad.name) {
				t.Errorf("%s with %s: %d, code %d, want one of %v: %.200s", r.what, bad.name, r.status, code, bad.codes, r.text)
			}
		}
	}
	if routes < 40 {
		t.Errorf("only %d routes were asked", routes)
	}
}

// mayDiffer are the cases in which a route is right to say something else: where any member may be given or the
// body is YAML, and where lists of files may be long.
func mayDiffer(r Route, bad string) bool {
	switch bad {
	case "an unknown member":
		return strings.Contains(r.Pattern, "environment_variable") || strings.Contains(r.Pattern, "manifest")
	case "10 MB":
		return r.Pattern == "/v3/resource_matches"
	}
	return false
}

// TestTwoWriters: of two who make the same at once one wins and the other is told.
func TestTwoWriters(t *testing.T) {
	w := newWorld(t)
	space := map[string]any{"space": map[string]any{"data": map[string]string{"guid": w.space}}}
	for name, c := range map[string]struct {
		path string
		body map[string]any
	}{
		"app":          {"/v3/apps", map[string]any{"name": "twice", "relationships": space}},
		"organization": {"/v3/organizations", map[string]any{"name": "twice"}},
		"space":        {"/v3/spaces", map[string]any{"name": "twice", "relationships": map[string]any{"organization": map[string]any{"data": map[string]string{"guid": w.org}}}}},
		"domain":       {"/v3/domains", map[string]any{"name": "writers.example.org"}},
		"route": {"/v3/routes", map[string]any{"host": "twice", "relationships": map[string]any{
			"space": space["space"], "domain": map[string]any{"data": map[string]string{"guid": w.domain}},
		}}},
		"quota":             {"/v3/organization_quotas", map[string]any{"name": "twice"}},
		"security group":    {"/v3/security_groups", map[string]any{"name": "twice"}},
		"isolation segment": {"/v3/isolation_segments", map[string]any{"name": "twice"}},
	} {
		const writers = 8
		var wg sync.WaitGroup
		answers := make([]*reply, writers)
		for i := range writers {
			wg.Go(func() { answers[i] = w.as("admin", "POST", c.path, c.body) })
		}
		wg.Wait()
		won := 0
		for _, r := range answers {
			switch {
			case r.status == 201:
				won++
			case r.status != 422 || errorsOf(t, r) != 10008:
				t.Errorf("%s: the one who came second got %d: %s", name, r.status, r.text)
			}
		}
		if won != 1 {
			t.Errorf("%s: %d of %d writers won", name, won, writers)
		}
	}
}

// TestRoleLostDuringRequest takes the role away after the guard has let the request in and before it writes.
func TestRoleLostDuringRequest(t *testing.T) {
	w := newWorld(t)
	app := w.as("developer", "POST", "/v3/apps", map[string]any{
		"name": "lost", "relationships": map[string]any{"space": map[string]any{"data": map[string]string{"guid": w.space}}},
	}).want(201).guid()
	body := &hook{text: `{"name":"renamed"}`, before: func() {
		w.update(func(tx *store.Tx) error {
			roles, _, err := store.Roles.List(tx, store.Query[store.Role]{Where: []store.Cond{store.By("user", "developer-guid")}})
			w.must(err)
			return store.Roles.Delete(tx, roles[0].GUID)
		})
	}}
	w.send("developer", httptest.NewRequest("PATCH", "/v3/apps/"+app, body)).want(404, "App not found")
	w.as("admin", "GET", "/v3/apps/"+app, nil).want(200, `"name":"lost"`)
}

// hook is a body that does something before it is read.
type hook struct {
	text   string
	before func()
	once   sync.Once
}

func (h *hook) Read(p []byte) (int, error) {
	h.once.Do(h.before)
	if h.text == "" {
		return 0, io.EOF
	}
	n := copy(p, h.text)
	h.text = h.text[n:]
	return n, nil
}

// TestClientHangsUp: a body that breaks off changes nothing.
func TestClientHangsUp(t *testing.T) {
	w := newWorld(t)
	guids := w.resources()
	torn := io.MultiReader(strings.NewReader(`{"name":"torn"`), broken{})
	r := w.send("developer", httptest.NewRequest("PATCH", "/v3/apps/"+guids["/v3/apps"], torn))
	if code := errorsOf(t, r); r.status != 400 || code != capi.MessageParseError.Code {
		t.Errorf("a body that breaks off: %d %s", r.status, r.text)
	}
	w.as("developer", "GET", "/v3/apps/"+guids["/v3/apps"], nil).want(200, `"name":"walk"`)
}

type broken struct{}

func (broken) Read([]byte) (int, error) { return 0, errors.New("connection reset by peer") }
