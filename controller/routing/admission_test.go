package routing

import (
	"testing"

	"github.com/cupola-paas/cupola/router"
	"github.com/cupola-paas/cupola/store"
)

// TestCallersFollowPolicies: each change of a route's policies, and of the space that has the route, reaches the router.
func TestCallersFollowPolicies(t *testing.T) {
	db := openStore(t)
	var got table
	l := newLoop(db, &got)
	feed := db.Follow(t.Context(), store.Routes.Name(), store.Domains.Name(), store.RoutePolicies.Name(), store.Instances.Name())
	if err := l.Step(); err != nil {
		t.Fatal(err)
	}
	change := func(do func(tx *store.Tx)) {
		t.Helper()
		if err := db.Update(func(tx *store.Tx) error { do(tx); return nil }); err != nil {
			t.Fatal(err)
		}
		if err := l.follow(feed.Take()); err != nil {
			t.Fatal(err)
		}
	}
	domains, guids := map[string]*store.Domain{}, map[string]string{}
	change(func(tx *store.Tx) {
		space := put(t, tx, store.Spaces, &store.Space{Name: "one", OrgGUID: "org"})
		other := put(t, tx, store.Spaces, &store.Space{Name: "two", OrgGUID: "elsewhere"})
		guids["one"], guids["two"] = space.GUID, other.GUID
		for _, scope := range []string{store.ScopeAny, store.ScopeOrg, store.ScopeSpace, ""} {
			d := put(t, tx, store.Domains, &store.Domain{Name: scope + ".identity", EnforceRoutePolicies: scope != "", RoutePoliciesScope: scope})
			if scope == "" {
				d.Name = "open.example.com"
				put(t, tx, store.Domains, d)
			}
			domains[d.Name] = d
			put(t, tx, store.Routes, &store.Route{
				Meta: store.Meta{GUID: d.Name}, Host: "a", DomainGUID: d.GUID, SpaceGUID: space.GUID, Destinations: []store.Destination{{AppGUID: "app", ProcessType: "web"}},
			})
		}
	})
	callersOf := func(domain string) *router.Admission { return got.routes[router.Name{Host: "a." + domain}].Admits }
	for domain, want := range map[string]*router.Admission{
		"any.identity": {}, "org.identity": {Org: "org"}, "space.identity": {Space: guids["one"]}, "open.example.com": nil,
	} {
		if have := callersOf(domain); !sameAdmission(have, want) {
			t.Errorf("without a policy %s has callers %+v, want %+v", domain, have, want)
		}
	}
	policy := &store.RoutePolicy{RouteGUID: "any.identity", SourceType: store.SourceApp, SourceGUID: "x"}
	change(func(tx *store.Tx) { put(t, tx, store.RoutePolicies, policy) })
	if have := callersOf("any.identity"); !sameAdmission(have, &router.Admission{Sources: []router.Source{{Kind: router.App, GUID: "x"}}}) {
		t.Errorf("with a policy the callers are %+v", have)
	}
	before := got.changes
	change(func(tx *store.Tx) {
		policy.Labels = map[string]string{"a": "b"}
		put(t, tx, store.RoutePolicies, policy)
	})
	if got.changes != before {
		t.Error("a label of a policy changed the table")
	}
	change(func(tx *store.Tx) {
		if err := store.RoutePolicies.Delete(tx, policy.GUID); err != nil {
			t.Fatal(err)
		}
	})
	if have := callersOf("any.identity"); !sameAdmission(have, &router.Admission{}) {
		t.Errorf("after the policy the callers are %+v", have)
	}
	change(func(tx *store.Tx) {
		r, err := store.Routes.Get(tx, "space.identity")
		if err != nil {
			t.Fatal(err)
		}
		r.SpaceGUID = guids["two"]
		put(t, tx, store.Routes, r)
	})
	if have := callersOf("space.identity"); have.Space != guids["two"] {
		t.Errorf("in another space the callers are %+v", have)
	}
}
