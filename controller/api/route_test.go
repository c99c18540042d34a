package api

import (
	"strings"
	"testing"

	"github.com/cupola-paas/cupola/store"
)

func routeBody(space, domain string, more map[string]any) map[string]any {
	b := map[string]any{"relationships": map[string]any{
		"space":  map[string]any{"data": map[string]any{"guid": space}},
		"domain": map[string]any{"data": map[string]any{"guid": domain}},
	}}
	for k, v := range more {
		b[k] = v
	}
	return b
}

func (w *world) makeRoute(host string) *reply {
	w.t.Helper()
	return w.as("developer", "POST", "/v3/routes", routeBody(w.space, w.domain, map[string]any{"host": host}))
}

func TestRouteCreate(t *testing.T) {
	w := newWorld(t)
	private := &store.Domain{Name: "private.test", OrgGUID: w.otherOrg}
	own := &store.Domain{Name: "own.test", OrgGUID: w.org}
	w.update(func(tx *store.Tx) error { w.must(store.Domains.Put(tx, own)); return store.Domains.Put(tx, private) })
	w.makeRoute("Shop").want(201, `"host":"shop"`, `"url":"shop.example.com"`, `"protocol":"http"`, `"port":null`, `"options":{}`, `"destinations":[]`)
	w.makeRoute("*").want(422, "wildcard host on a domain not scoped to an organization")
	w.as("admin", "POST", "/v3/routes", routeBody(w.space, w.domain, map[string]any{"host": "*"})).want(201)
	for _, c := range []struct {
		name, space, domain string
		more                map[string]any
		status              int
		want                string
	}{
		{"again", w.space, w.domain, map[string]any{"host": "SHOP"}, 422, "Route already exists with host 'shop' for domain 'example.com'."},
		{"dots", w.space, w.domain, map[string]any{"host": "a.b"}, 422, "Host 'a.b' is not valid"},
		{"underscore", w.space, w.domain, map[string]any{"host": "a_b"}, 422, "is not valid"},
		{"emoji", w.space, w.domain, map[string]any{"host": "🚀"}, 422, "is not valid"},
		{"long", w.space, w.domain, map[string]any{"host": strings.Repeat("h", 64)}, 422, "is not valid"},
		{"no host", w.space, w.domain, nil, 422, "Missing host"},
		{"platform's", w.space, w.domain, map[string]any{"host": "api"}, 422, "reserved for the platform"},
		{"path", w.space, w.domain, map[string]any{"host": "p", "path": "x"}, 422, "Path must begin with '/'"},
		{"only slash", w.space, w.domain, map[string]any{"host": "p", "path": "/"}, 422, "must not be only '/'"},
		{"query", w.space, w.domain, map[string]any{"host": "p", "path": "/a?b"}, 422, "must not have '?'"},
		{"port", w.space, w.domain, map[string]any{"host": "p", "port": "80"}, 422, "do not support ports"},
		{"domain of others", w.space, private.GUID, map[string]any{"host": "p"}, 422, "Invalid domain"},
		{"no domain", w.space, "nope", map[string]any{"host": "p"}, 422, "Invalid domain"},
		{"space of others", w.otherSpace, w.domain, map[string]any{"host": "p"}, 422, "Invalid space"},
		{"option", w.space, w.domain, map[string]any{"host": "p", "options": map[string]any{"speed": "max"}}, 422, "options.speed"},
		{"balance", w.space, w.domain, map[string]any{"host": "p", "options": map[string]any{"loadbalancing": "best"}}, 422, "must be one of"},
		{"hash", w.space, w.domain, map[string]any{"host": "p", "options": map[string]any{"loadbalancing": "hash"}}, 403, "330002"},
		{"own domain", w.space, own.GUID, nil, 201, `"url":"own.test"`},
		{"all of the own domain", w.space, own.GUID, map[string]any{"host": "*"}, 201, `"url":"*.own.test"`},
		{"with path", w.space, w.domain, map[string]any{"host": "shop", "path": "/Cart"}, 201, "shop.example.com/Cart"},
	} {
		t.Run(c.name, func(t *testing.T) {
			w.t = t
			w.as("developer", "POST", "/v3/routes", routeBody(c.space, c.domain, c.more)).want(c.status, c.want)
		})
	}
	w.t = t
	w.as("stranger", "POST", "/v3/routes", routeBody(w.otherSpace, w.domain, map[string]any{"host": "shop"})).want(422, "'shop.example.com' is taken by another space")
	w.as("auditor", "POST", "/v3/routes", routeBody(w.space, w.domain, map[string]any{"host": "n"})).want(403)
	reserved := "/v3/domains/" + w.domain + "/route_reservations"
	w.as("stranger", "GET", reserved+"?host=SHOP&path=/Cart", nil).want(200, `"matching_route":true`)
	w.as("stranger", "GET", reserved+"?host=none", nil).want(200, `"matching_route":false`)
	w.as("stranger", "GET", "/v3/domains/"+own.GUID+"/route_reservations?host=none", nil).want(404, "Domain not found")
	if n := w.as("developer", "GET", "/v3/routes?hosts=shop&paths=", nil).want(200).count(); n != 1 {
		t.Errorf("%d routes with host shop and the empty path, want 1", n)
	}
	w.as("developer", "GET", "/v3/routes?hosts=shop&include=domain,space.organization", nil).want(200, `"domains":[{`, `"organizations":[{`)
	if n := w.as("stranger", "GET", "/v3/routes", nil).want(200).count(); n != 0 {
		t.Errorf("a stranger sees %d routes", n)
	}
	if n := w.as("developer", "GET", "/v3/routes?service_instance_guids=x", nil).want(200).count(); n != 0 {
		t.Errorf("%d routes of a service instance", n)
	}
}

func TestDestinations(t *testing.T) {
	w := newWorld(t)
	app, other := w.makeApp("a"), w.makeApp("b")
	far := w.as("stranger", "POST", "/v3/apps", map[string]any{"name": "far", "relationships": spaceRef(w.otherSpace)}).want(201).guid()
	route := w.makeRoute("shop").want(201).guid()
	path := "/v3/routes/" + route + "/destinations"
	dest := func(app string, more map[string]any) map[string]any {
		d := map[string]any{"app": map[string]any{"guid": app}}
		for k, v := range more {
			d[k] = v
		}
		return map[string]any{"destinations": []any{d}}
	}
	first := w.as("supporter", "POST", path, dest(app, nil)).want(200, app, `"type":"web"`, `"port":8080`, `"protocol":"http1"`, `"weight":null`)
	if again := w.as("supporter", "POST", path, dest(app, nil)).want(200); again.str("destinations", 0, "guid") != first.str("destinations", 0, "guid") {
		t.Error("mapping twice must change nothing")
	}
	w.as("supporter", "POST", path, dest(app, map[string]any{"port": 9000})).want(200, `"port":9000`)
	w.view(func(tx *store.Tx) error {
		p, err := store.Processes.Get(tx, app)
		if err != nil || len(p.Ports) != 2 || p.Ports[0] != 8080 || p.Ports[1] != 9000 {
			t.Errorf("ports = %v, want 8080 first and 9000", p.Ports)
		}
		return err
	})
	for _, c := range []struct {
		body any
		want string
	}{
		{dest(far, nil), "different spaces"},
		{dest("nope", nil), "do not exist or you do not have access"},
		{dest(app, map[string]any{"port": 80}), "between 1024 and 65535"},
		{dest(app, map[string]any{"protocol": "spdy"}), "must be 'http1' or 'http2'"},
		{dest(app, map[string]any{"weight": 5}), "weight"},
		{`{"destinations":[]}`, "at least one"},
	} {
		w.as("supporter", "POST", path, c.body).want(422, c.want)
	}
	w.as("auditor", "POST", path, dest(app, nil)).want(403)
	w.as("developer", "GET", "/v3/apps/"+app+"/routes", nil).want(200, `"url":"shop.example.com"`)
	w.as("developer", "GET", "/v3/apps/"+app+"/env", nil).want(200, `"application_uris":["shop.example.com"]`)

	keep := first.str("destinations", 0, "guid")
	w.as("supporter", "PATCH", path, map[string]any{"destinations": []any{
		map[string]any{"app": map[string]any{"guid": app}}, map[string]any{"app": map[string]any{"guid": other}},
	}}).want(200, keep, other)
	w.as("supporter", "PATCH", path, dest(app, map[string]any{"weight": 99})).want(422, "add up to 100")
	w.as("supporter", "PATCH", path+"/"+keep, `{"protocol":"http2"}`).want(200, `"protocol":"http2"`)
	w.as("supporter", "GET", path+"?app_guids="+other, nil).want(200, other)
	w.as("supporter", "DELETE", path+"/"+keep, nil).want(204)
	w.as("supporter", "DELETE", path+"/"+keep, nil).want(422, "Unable to unmap")
	w.as("developer", "DELETE", "/v3/apps/"+other, nil).want(202)
	w.as("developer", "GET", path, nil).want(200, `"destinations":[]`)
	w.as("developer", "PATCH", "/v3/routes/"+route, `{"options":{"loadbalancing":"least-connection"},"metadata":{"labels":{"a":"b"}}}`).want(200, "least-connection")
	w.as("developer", "PATCH", "/v3/routes/"+route, `{"options":{"loadbalancing":null}}`).want(200, `"options":{}`)

	mapped := w.makeRoute("mapped").want(201).guid()
	w.as("supporter", "POST", "/v3/routes/"+mapped+"/destinations", dest(app, nil)).want(200)
	w.as("developer", "DELETE", "/v3/spaces/"+w.space+"/routes", nil).want(422, "unmapped=true")
	w.as("developer", "DELETE", "/v3/spaces/"+w.space+"/routes?unmapped=true", nil).want(202)
	w.as("developer", "GET", "/v3/routes/"+route, nil).want(404, "Route not found")
	w.as("developer", "DELETE", "/v3/routes/"+mapped, nil).want(202)
	w.as("developer", "GET", "/v3/routes/"+mapped, nil).want(404)
}
