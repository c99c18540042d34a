package dashboard

import (
	"os"
	"testing"

	"github.com/cupola-paas/cupola/store"
)

// TestPagesInABrowser opens every page of a platform with something on it, at desktop and phone width, light and dark: axe
// finds nothing to complain of, the browser neither, no page is wider than the window. With CUPOLA_SCREENSHOTS set it
// leaves pictures in tmp/screenshots.
func TestPagesInABrowser(t *testing.T) {
	axe := axeSource(t)
	w := newWorld(t)
	names := w.furnish()
	b := w.chromium()
	b.signIn("admin", "secret")
	for name, path := range w.pathsOf(names) {
		for _, l := range looks {
			b.as(l)
			b.visit(path)
			if wide := b.eval(`document.documentElement.scrollWidth > document.documentElement.clientWidth ? document.documentElement.scrollWidth : ""`); wide != "" {
				t.Errorf("%s, %s: the page is %s wide", name, l.name, wide)
			}
			b.accessible(name+", "+l.name, axe)
			if os.Getenv("CUPOLA_SCREENSHOTS") != "" {
				b.shoot(name + "-" + l.name)
			}
		}
		b.healthy()
	}
}

// furnish makes a platform with something on every page, and returns what stands for the words in patterns.
func (w *world) furnish() map[string]string {
	w.t.Helper()
	guid := w.app("shop", 3, 2, map[string]string{"API_KEY": "s3cr3t", "GREETING": "hello"})
	for i, name := range []string{"blog", "billing", "worker-mail", "search", "images", "gateway"} {
		w.app(name, 1+i%3, 1+i%3, nil)
	}
	for _, line := range []string{"listening on 8080", "GET /cart 200", "warning: cache is cold", "Error: connect ECONNREFUSED 10.0.0.7:5432"} {
		w.say(guid, line)
	}
	var revision string
	w.must(w.db.Update(func(tx *store.Tx) error {
		d := &store.Droplet{AppGUID: guid, State: "STAGED", Stack: "cupola"}
		w.must(store.Droplets.Put(tx, d))
		a, err := store.Apps.Get(tx, guid)
		w.must(err)
		a.CurrentDropletGUID = d.GUID
		w.must(store.Apps.Put(tx, a))
		for i := range 3 {
			r := &store.Revision{AppGUID: guid, SpaceGUID: w.space, Version: i + 1, DropletGUID: d.GUID, Description: []string{"Initial revision.", "New droplet deployed.", "New environment variables deployed."}[i]}
			w.must(store.Revisions.Put(tx, r))
			if i == 0 {
				revision = r.GUID
			}
		}
		for _, b := range []*store.Build{{State: "STAGED"}, {State: "FAILED", Error: "BuildpackCompileFailed - npm install ended with status 1"}, {State: "STAGING"}} {
			b.AppGUID, b.SpaceGUID = guid, w.space
			w.must(store.Builds.Put(tx, b))
		}
		w.must(store.Deployments.Put(tx, &store.Deployment{AppGUID: guid, SpaceGUID: w.space, Strategy: "canary", Status: "ACTIVE", Reason: "PAUSED", DropletGUID: d.GUID}))
		return store.Tasks.Put(tx, &store.Task{AppGUID: guid, SpaceGUID: w.space, Name: "migrate", State: "RUNNING", SequenceID: 1, MemoryMB: 256})
	}))
	return map[string]string{"{guid}": guid, "{other}": revision}
}
