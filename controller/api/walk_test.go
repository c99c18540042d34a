package api

import (
	"fmt"
	"net/http"
	"strings"
	"testing"

	"github.com/cupola-paas/cupola/store"
)

// open routes answer without a token; every other route must not.
func isOpen(r Route) bool { return r.Access.kind == accessOpen || r.Access.kind == accessAnybody }

// fill puts the GUIDs of real resources into a pattern, so that a route is refused for the caller, not for want of a
// resource.
func fill(pattern string, guids map[string]string) string {
	out := pattern
	for prefix, guid := range guids {
		if strings.HasPrefix(pattern, prefix+"/{guid}") {
			out = strings.Replace(out, "{guid}", guid, 1)
		}
	}
	for strings.Contains(out, "{") {
		from, to := strings.Index(out, "{"), strings.Index(out, "}")
		word := out[from+1 : to]
		value := "x"
		switch word {
		case "type":
			value = "web"
		case "index":
			value = "0"
		}
		out = out[:from] + value + out[to+1:]
	}
	return out
}

// resources makes one of each kind in the first org and returns their GUIDs by the collection's path.
func (w *world) resources() map[string]string {
	app := w.makeRunning("walk")
	guids := map[string]string{
		"/v3/apps": app, "/v3/processes": app, "/v3/spaces": w.space, "/v3/organizations": w.org, "/v3/domains": w.domain,
		"/v3/packages": w.makePackage(app), "/v3/routes": w.makeRoute("walk").want(201).guid(),
	}
	guids["/v3/service_instances"] = w.makeService("walk", nil).want(201).guid()
	guids["/v3/service_credential_bindings"] = w.bindApp(app, guids["/v3/service_instances"], nil).want(201).guid()
	w.update(func(tx *store.Tx) error {
		b := &store.Build{AppGUID: app, SpaceGUID: w.space, PackageGUID: guids["/v3/packages"], State: store.StateFailed}
		d := &store.Deployment{AppGUID: app, SpaceGUID: w.space, DropletGUID: "droplet", Status: store.DeploymentFinalized, Reason: store.DeploymentDeployed, StatusAt: tx.Now}
		k := &store.Task{AppGUID: app, SpaceGUID: w.space, SequenceID: 1, Name: "t", State: "SUCCEEDED"}
		a, err := store.Apps.Get(tx, app)
		w.must(err, store.Builds.Put(tx, b), store.Deployments.Put(tx, d), store.Tasks.Put(tx, k))
		guids["/v3/builds"], guids["/v3/deployments"], guids["/v3/tasks"], guids["/v3/droplets"] = b.GUID, d.GUID, k.GUID, a.CurrentDropletGUID
		return nil
	})
	return guids
}

// TestEveryRouteRefusesStrangers walks the route table: without a token every route but the open ones is 401; with
// that of somebody who has roles in another org only, no route that names a resource of this org is 2xx, and no
// list shows one of them.
func TestEveryRouteRefusesStrangers(t *testing.T) {
	w := newWorld(t)
	guids := w.resources()
	var secrets []string
	for _, kind := range []string{"/v3/apps", "/v3/packages", "/v3/routes", "/v3/builds", "/v3/deployments", "/v3/tasks", "/v3/droplets", "/v3/spaces", "/v3/organizations", "/v3/service_credential_bindings"} {
		secrets = append(secrets, guids[kind])
	}
	walked := 0
	for _, route := range w.s.Routes() {
		if isOpen(route) {
			continue
		}
		walked++
		path := fill(route.Pattern, guids)
		body := ""
		if route.Method != http.MethodGet && route.Method != http.MethodDelete {
			body = "{}"
		}
		if r := w.as("", route.Method, path, body); r.status != 401 {
			t.Errorf("%s without a token: %d, want 401", route, r.status)
		}
		for _, who := range []string{"stranger", "nobody"} {
			r := w.as(who, route.Method, path, body)
			if route.Access.kind == accessAt && strings.HasPrefix(route.Pattern, "/v3/") && !platformWide(route) && r.status < 400 {
				t.Errorf("%s as %s: %d, want no success: %s", route, who, r.status, r.text)
			}
			for _, s := range secrets {
				if r.status < 300 && strings.Contains(strings.ReplaceAll(r.text, path, ""), s) {
					t.Errorf("%s as %s shows %s: %s", route, who, s, r.text)
				}
			}
		}
	}
	if walked < 80 {
		t.Errorf("only %d routes were walked", walked)
	}
	w.as("developer", "GET", "/v3/apps/"+guids["/v3/apps"], nil).want(200, "STARTED")
}

// platformWide are routes whose resource belongs to nobody and everybody may see, such as stacks.
func platformWide(r Route) bool {
	return r.Method == http.MethodGet && r.Access.do == SeePlatform
}

// TestUnseenReadsAsNotFound: that a resource exists must not be told to who may not see it.
func TestUnseenReadsAsNotFound(t *testing.T) {
	w := newWorld(t)
	guids := w.resources()
	for _, route := range w.s.Routes() {
		a := route.Access
		if a.kind != accessAt || a.see != SeeSpace || strings.Contains(route.Pattern, "{index}") {
			continue
		}
		real := w.as("stranger", route.Method, fill(route.Pattern, guids), "{}")
		absent := w.as("stranger", route.Method, fill(route.Pattern, nil), "{}")
		if real.status != 404 || absent.status != 404 || real.str("errors", 0, "detail") != absent.str("errors", 0, "detail") {
			t.Errorf("%s: of others %d %s, absent %d %s, want the same 404", route, real.status, real.text, absent.status, absent.text)
		}
	}
}

// manyApps fills a store with n apps in one space.
func manyApps(b *testing.B, w *world, n int) {
	b.Helper()
	w.update(func(tx *store.Tx) error {
		for i := range n {
			a := &store.App{Name: fmt.Sprintf("app-%05d", i), SpaceGUID: w.space, State: store.AppStopped, Lifecycle: store.Lifecycle{Type: "buildpack", Stack: "cupola"}}
			if err := store.Apps.Put(tx, a); err != nil {
				return err
			}
		}
		return nil
	})
}

func BenchmarkListApps(b *testing.B) {
	w := newWorld(b)
	manyApps(b, w, 10_000)
	for name, path := range map[string]string{
		"page100":       "/v3/apps?per_page=50&page=100",
		"page100byName": "/v3/apps?per_page=50&page=100&order_by=name",
		"name":          "/v3/apps?names=app-07777",
		"nameAndSpace":  "/v3/apps?names=app-07777&space_guids=" + w.space,
	} {
		for _, who := range []string{"admin", "developer"} {
			b.Run(name+"/"+who, func(b *testing.B) {
				b.ReportAllocs()
				for b.Loop() {
					w.as(who, "GET", path, nil).want(200)
				}
			})
		}
	}
}
