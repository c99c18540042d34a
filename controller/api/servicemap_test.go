package api

import (
	"strings"
	"testing"

	"github.com/cupola-paas/cupola/controller/capi"
	"github.com/cupola-paas/cupola/store"
)

// TestServiceMap shows that edges are of what the caller may see and asked for, and that what they may not see has neither
// name nor GUID.
func TestServiceMap(t *testing.T) {
	var calls [][2]string
	w := newWorld(t, func(o *Options) {
		o.Map = func(place func(string) (string, bool)) capi.ServiceMap {
			out := capi.ServiceMap{WindowSeconds: 300, RecentSeconds: 60}
			for i, c := range calls {
				from, ok := place(c[0])
				to, ok2 := place(c[1])
				if perSecond := float64(i); ok && ok2 {
					out.Edges = append(out.Edges, capi.MapEdge{From: from, To: to, Kind: capi.MapHTTP, State: capi.MapOK, PerSecond: &perSecond})
				}
			}
			return out
		}
	})
	shop, cart := w.makeApp("shop"), w.makeApp("cart")
	var secret, foreign string
	w.update(func(tx *store.Tx) error {
		for name, into := range map[string]*string{"secret-app": &secret, "foreign-app": &foreign} {
			a := &store.App{Name: name, SpaceGUID: w.otherSpace, State: store.AppStarted}
			w.must(store.Apps.Put(tx, a))
			*into = a.GUID
		}
		return nil
	})
	db := w.makeService("shop-db", nil).want(201).guid()
	w.bindApp(shop, db, nil).want(201)
	calls = [][2]string{{capi.MapInternet, shop}, {shop, cart}, {secret, cart}, {secret, foreign}, {capi.MapInternet, foreign}, {"gone", shop}}
	hides := func(r *reply) {
		for _, word := range []string{"secret-app", "foreign-app", secret, foreign} {
			if strings.Contains(r.text, word) {
				t.Errorf("%s shows %s: %s", r.what, word, r.text)
			}
		}
	}
	edges := func(r *reply) (n int) {
		all, _ := r.at("edges").([]any)
		return len(all)
	}
	mine := w.as("developer", "GET", "/v3/map", nil).want(200, `"window_seconds":300`, `"name":"shop"`, `"name":"cart"`, `"kind":"internet"`,
		`"from":"elsewhere","to":"`+cart, `"name":"another space"`, `"kind":"service_instance","name":"shop-db"`, `"kind":"bound","state":"unknown"`)
	hides(mine)
	if n := edges(mine); n != 5 {
		t.Errorf("the developer sees %d edges, want those four and the binding: %s", n, mine.text)
	}
	if all := w.as("admin", "GET", "/v3/map", nil).want(200, "secret-app", "foreign-app"); edges(all) != 7 {
		t.Errorf("an admin sees %d edges, want all six and the binding", edges(all))
	}
	if few := w.as("admin", "GET", "/v3/map?space_guids="+w.otherSpace, nil).want(200, `"name":"cart"`); edges(few) != 3 {
		t.Errorf("of the other space there are %d edges, want 3: %s", edges(few), few.text)
	}
	if few := w.as("developer", "GET", "/v3/map?app_guids="+cart, nil).want(200); edges(few) != 2 {
		t.Errorf("of cart there are %d edges, want 2: %s", edges(few), few.text)
	}
	spaces := w.as("admin", "GET", "/v3/map?group_by=space", nil).want(200, `"kind":"space"`)
	if strings.Contains(spaces.text, shop) || !strings.Contains(spaces.text, `"from":"`+w.otherSpace+`","to":"`+w.space) {
		t.Errorf("by spaces: %s", spaces.text)
	}
	w.as("admin", "GET", "/v3/map?group_by=organization", nil).want(200, `"kind":"organization"`)
	hides(w.as("developer", "GET", "/v3/map?group_by=space", nil).want(200))
	hides(w.as("developer", "GET", "/v3/map?space_guids="+w.otherSpace, nil).want(200, `"edges":[]`))
	w.as("admin", "GET", "/v3/map?group_by=colour", nil).want(400, "group_by must be app, space or organization")
	w.as("", "GET", "/v3/map", nil).want(401)
}
