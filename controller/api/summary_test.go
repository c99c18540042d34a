package api

import (
	"strings"
	"testing"

	"github.com/cupola-paas/cupola/store"
)

// TestSummary shows that counts are of what the caller may see, and that only apps that should run are unwell.
func TestSummary(t *testing.T) {
	w := newWorld(t)
	put := func(name, space string, state string, instance string) {
		w.update(func(tx *store.Tx) error {
			a := &store.App{Name: name, SpaceGUID: space, State: state}
			if err := store.Apps.Put(tx, a); err != nil {
				return err
			}
			return store.Instances.Put(tx, &store.Instance{AppGUID: a.GUID, State: instance, Details: name + " is broken", Since: tx.Now})
		})
	}
	put("well", w.space, store.AppStarted, store.InstanceRunning)
	put("ill", w.space, store.AppStarted, store.InstanceCrashed)
	put("idle", w.space, store.AppStopped, store.InstanceCrashed)
	put("foreign", w.otherSpace, store.AppStarted, store.InstanceDown)
	lacks := func(r *reply, parts ...string) {
		for _, p := range parts {
			if strings.Contains(r.text, p) {
				t.Errorf("%s shows %s: %s", r.what, p, r.text)
			}
		}
	}
	lacks(w.as("developer", "GET", "/v3/summary", nil).want(200, `"apps":{"total":3,"started":2,"unwell":1}`, `"running":1`, `"crashed":1`, `"down":0`, `ill is broken`), "foreign", "idle")
	w.as("admin", "GET", "/v3/summary", nil).want(200, `"total":4`, `"unwell":2`, `"down":1`, "foreign is broken")
	lacks(w.as("admin", "GET", "/v3/summary?space_guids="+w.otherSpace, nil).want(200, `"total":1`, `"unwell":1`), "ill is broken")
	lacks(w.as("stranger", "GET", "/v3/summary", nil).want(200, `"total":1`, "foreign is broken", `"running":0`), "ill is broken")
}

// TestPartOfAppName shows Cupola's own filters of apps.
func TestPartOfAppName(t *testing.T) {
	w := newWorld(t)
	for _, name := range []string{"shop-web", "shop-worker", "Blog"} {
		w.makeApp(name)
	}
	for query, want := range map[string]int{"partial_names=SHOP": 2, "partial_names=o": 3, "partial_names=blo,work": 2, "partial_names=none": 0, "app_states=STOPPED": 3, "app_states=STARTED": 0} {
		if n := w.as("developer", "GET", "/v3/apps?"+query, nil).want(200).count(); n != want {
			t.Errorf("?%s finds %d apps, want %d", query, n, want)
		}
	}
	if n := w.as("stranger", "GET", "/v3/apps?partial_names=shop", nil).want(200).count(); n != 0 {
		t.Errorf("a stranger finds %d apps", n)
	}
}
