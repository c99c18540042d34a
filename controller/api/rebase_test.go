package api

import (
	"context"
	"fmt"
	"testing"

	"github.com/cupola-paas/cupola/controller/capi"
	"github.com/cupola-paas/cupola/store"
)

// TestRebase follows an app from one run image of its stack to the next.
func TestRebase(t *testing.T) {
	var refused error
	w := newWorld(t, func(o *Options) {
		o.Rebase = func(_ context.Context, repository, digest, run string) (string, error) {
			if digest != "sha256:abc" || run != "registry/run@sha256:new" {
				return "", fmt.Errorf("rebase of %s@%s onto %s", repository, digest, run)
			}
			return "sha256:def", refused
		}
	})
	st := &store.Stack{Name: "patched", State: "ACTIVE", Default: true, RunImage: "registry/run@sha256:old"}
	app := w.makeApp("a")
	d := w.makeDroplet(app, map[string]string{"web": "run web"})
	w.update(func(tx *store.Tx) error {
		w.must(store.Stacks.Put(tx, st))
		a, err := store.Apps.Get(tx, app)
		w.must(err)
		a.Lifecycle.Stack, a.CurrentDropletGUID = st.Name, d
		droplet, err := store.Droplets.Get(tx, d)
		w.must(err)
		droplet.Stack, droplet.RunImage = st.Name, st.RunImage
		return firstOf(store.Apps.Put(tx, a), store.Droplets.Put(tx, droplet))
	})
	outdated := func(total int) {
		t.Helper()
		for query, want := range map[string]int{"?outdated=true": total, "?outdated=false": 1 - total, "": 1} {
			w.as("developer", "GET", "/v3/stacks/"+st.GUID+"/apps"+query, nil).want(200, fmt.Sprintf(`"total_results":%d`, want))
		}
	}
	rebase := "/v3/droplets/" + d + "/actions/rebase"
	outdated(0)
	if same := w.as("developer", "POST", rebase, nil).want(200).guid(); same != d {
		t.Errorf("the droplet %s on the newest run image became %s", d, same)
	}

	w.update(func(tx *store.Tx) error {
		st.RunImage = "registry/run@sha256:new"
		return store.Stacks.Put(tx, st)
	})
	outdated(1)
	w.as("supporter", "POST", rebase, nil).want(403)
	w.as("stranger", "POST", rebase, nil).want(404)
	refused = capi.UnprocessableEntity.Errorf("stage the app again")
	w.as("developer", "POST", rebase, nil).want(422, "stage the app again")
	refused = nil
	fresh := w.as("developer", "POST", rebase, nil).want(201, "STAGED", `"web":"run web"`).guid()
	w.as("developer", "GET", "/v3/audit_events?types=audit.app.droplet.create&target_guids="+app, nil).want(200, `"rebased_from":"`+d+`"`)
	w.as("developer", "PATCH", "/v3/apps/"+app+"/relationships/current_droplet", `{"data":{"guid":"`+fresh+`"}}`).want(200)
	outdated(0)
}

func TestRebaseRefusals(t *testing.T) {
	w := newWorld(t)
	app := w.makeApp("a")
	d := w.makeDroplet(app, map[string]string{"web": "run web"})
	change := func(to func(*store.Droplet)) {
		w.update(func(tx *store.Tx) error {
			droplet, err := store.Droplets.Get(tx, d)
			w.must(err)
			to(droplet)
			return store.Droplets.Put(tx, droplet)
		})
	}
	rebase := "/v3/droplets/" + d + "/actions/rebase"
	change(func(d *store.Droplet) { d.Stack = "gone" })
	w.as("developer", "POST", rebase, nil).want(422, "no run image")
	change(func(d *store.Droplet) { d.State = store.StateFailed })
	w.as("developer", "POST", rebase, nil).want(422, "not STAGED")
	change(func(d *store.Droplet) { d.Docker.Image = "example/app" })
	w.as("developer", "POST", rebase, nil).want(422, "Docker image")
}

// TestRefreshStack asks twice and gets one job.
func TestRefreshStack(t *testing.T) {
	w := newWorld(t)
	st, older := &store.Stack{Name: "now", State: "ACTIVE", Default: true}, &store.Stack{Name: "before", State: "ACTIVE"}
	w.update(func(tx *store.Tx) error { return firstOf(store.Stacks.Put(tx, st), store.Stacks.Put(tx, older)) })
	refresh := "/v3/stacks/" + st.GUID + "/actions/refresh"
	w.as("developer", "POST", refresh, nil).want(403)
	w.as("admin", "POST", "/v3/stacks/"+older.GUID+"/actions/refresh", nil).want(422, "kept for older apps")
	first := w.as("admin", "POST", refresh, nil).want(202).header.Get("Location")
	if second := w.as("admin", "POST", refresh, nil).want(202).header.Get("Location"); second != first {
		t.Errorf("the second asker got %s, want the job of the first, %s", second, first)
	}
	w.view(func(tx *store.Tx) error {
		n, err := store.Jobs.Count(tx, store.By("state", capi.JobProcessing))
		if n != 1 {
			t.Errorf("%d jobs, want 1", n)
		}
		return err
	})
}
