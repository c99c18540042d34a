package dashboard

import (
	"net/http"
	"net/url"
	"testing"

	"github.com/cupola-paas/cupola/store"
)

// TestRoutePolicies lets an app use a route of a domain that enforces policies, and closes it again.
func TestRoutePolicies(t *testing.T) {
	w := newWorld(t)
	shop, front := w.app("shop", 1, 1, nil), w.app("front", 1, 1, nil)
	var route string
	w.must(w.db.Update(func(tx *store.Tx) error {
		d := &store.Domain{Name: "apps.identity", EnforceRoutePolicies: true}
		w.must(store.Domains.Put(tx, d))
		r := &store.Route{Host: "backend", DomainGUID: d.GUID, SpaceGUID: w.space, Destinations: []store.Destination{{GUID: "d1", AppGUID: shop, ProcessType: "web"}}}
		w.must(store.Routes.Put(tx, r))
		route = r.GUID
		return nil
	}))
	page := "/apps/" + shop + "/routes"
	token := w.signIn("admin", "secret", page).want(http.StatusOK, "closed to everybody", "app front", "space dev", "org acme").csrf()
	back := []string{"Referer", "https://dashboard.example.com" + page}
	w.post("/routes/"+route+"/policies", url.Values{"csrf": {token}, "source": {"cf:app:" + front}}, back...).want(http.StatusOK, "The route lets them in now.", "Close the route to app front?").lacks("closed to everybody")
	w.get("/routes").want(http.StatusOK, "/apps/"+front, "app front")
	w.post("/routes/"+route+"/policies", url.Values{"csrf": {token}, "source": {"everybody"}}, back...).want(http.StatusOK, "notice bad")
	var policy string
	w.must(w.db.View(func(tx *store.Tx) error {
		for p := range store.RoutePolicies.All(tx) {
			policy = p.GUID
		}
		return nil
	}))
	w.post("/policies/"+policy+"/delete", url.Values{"csrf": {token}}, back...).want(http.StatusOK, "The route is closed to them.", "closed to everybody")
	w.post("/routes/"+route+"/policies", url.Values{"csrf": {token}, "source": {"cf:org:" + w.org}}, back...).want(http.StatusOK, "Close the route to org acme?", "/orgs/"+w.org)
}
