package api

import (
	"net/http"
	"testing"

	"github.com/cupola-paas/cupola/controller/auth"
	"github.com/cupola-paas/cupola/store"
)

// TestTokensDoNoMoreThanTheirScopes walks the route table with tokens of a developer that were
// given for less than everything: one that only reads changes nothing, one that only writes reads nothing, and one for
// something else opens nothing.
func TestTokensDoNoMoreThanTheirScopes(t *testing.T) {
	w := newWorld(t)
	guids := w.resources()
	for name, scopes := range map[string][]string{
		"reader": {"cloud_controller.read"}, "writer": {"cloud_controller.write"}, "dashboard": {"cloud_controller_service_permissions.read", "openid"},
	} {
		w.people[name] = &auth.Identity{UserGUID: "developer-guid", Username: "developer", Scopes: scopes}
	}
	walked := 0
	for _, route := range w.s.Routes() {
		if isOpen(route) || route.Access.kind == accessJoin || len(route.Access.scopes) > 0 {
			continue
		}
		walked++
		read := route.Method == http.MethodGet
		path := fill(route.Pattern, guids)
		if r := w.as("dashboard", route.Method, path, "{}"); r.status != 403 {
			t.Errorf("%s for a token of other scopes: %d, want 403", route, r.status)
		}
		lesser := "reader"
		if read {
			lesser = "writer"
		}
		if r := w.as(lesser, route.Method, path, "{}"); r.status != 403 {
			t.Errorf("%s for the token of a %s: %d, want 403", route, lesser, r.status)
		}
	}
	if walked < 80 {
		t.Errorf("only %d routes were walked", walked)
	}
	w.as("reader", "GET", "/v3/apps/"+guids["/v3/apps"], nil).want(200)
	w.as("dashboard", "GET", "/v3/service_instances/x/permissions", nil).want(404)
}

// An OAuth client is nobody that the API knows until its first role.
func TestClientsGetRoles(t *testing.T) {
	w := newWorld(t)
	w.update(func(tx *store.Tx) error {
		return store.Clients.Put(tx, &store.Client{Meta: store.Meta{GUID: "pipeline"}})
	})
	body := func(guid string) string {
		return `{"type":"organization_user","relationships":{"user":{"data":{"guid":"` + guid + `"}},"organization":{"data":{"guid":"` + w.org + `"}}}}`
	}
	w.as("admin", "POST", "/v3/roles", body("nobody-there")).want(422, "Invalid user")
	w.as("orgmanager", "POST", "/v3/roles", body("pipeline")).want(201, `"guid":"pipeline"`)
	w.as("admin", "GET", "/v3/users/pipeline", nil).want(200, `"presentation_name":"pipeline"`, `"origin":null`)
}
