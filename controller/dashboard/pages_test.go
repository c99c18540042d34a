package dashboard

import (
	"os"
	"strings"
	"testing"
	"time"

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
		b.looksAt(name, path, axe)
		b.healthy()
	}
}

// TestEmptyPagesInABrowser does the same with the lists of a platform that has nothing yet.
func TestEmptyPagesInABrowser(t *testing.T) {
	axe := axeSource(t)
	b := newWorld(t).chromium()
	b.signIn("admin", "secret")
	for name, path := range b.w.pathsOf(nil) {
		if !strings.Contains(path, "{") {
			b.looksAt("empty-"+name, path, axe)
			b.healthy()
		}
	}
}

// looksAt opens a page in all ways.
func (b *real) looksAt(name, path, axe string) {
	b.w.t.Helper()
	for _, l := range looks {
		pictures := os.Getenv("CUPOLA_SCREENSHOTS") != ""
		if !l.checked && !pictures {
			continue
		}
		b.as(l)
		b.visit(path)
		if wide := b.eval(`document.documentElement.scrollWidth > document.documentElement.clientWidth ? document.documentElement.scrollWidth : ""`); wide != "" {
			b.w.t.Errorf("%s, %s: the page is %s wide", name, l.name, wide)
		}
		if l.checked {
			b.accessible(name+", "+l.name, axe)
		}
		if pictures {
			b.shoot(name + "-" + l.name)
		}
	}
}

// furnish makes a platform with something on every page, and returns what stands for the words in patterns.
func (w *world) furnish() map[string]string { //nolint:funlen // one thing after the other
	w.t.Helper()
	guid := w.app("shop", 3, 2, map[string]string{"API_KEY": "s3cr3t", "GREETING": "hello"})
	other := ""
	for i, name := range []string{"blog", "billing", "worker-mail", "search", "images", "gateway"} {
		other = w.app(name, 1+i%3, 1+i%3, nil)
	}
	for _, line := range []string{"listening on 8080", "GET /cart 200", "warning: cache is cold", "Error: connect ECONNREFUSED 10.0.0.7:5432"} {
		w.say(guid, line)
	}
	var revision, build, stack, route string
	service := w.dataService("shop-data", w.space)
	proved, err := (&vault{w}).Backup(service, nil)
	w.must(err)
	w.must(w.db.Update(func(tx *store.Tx) error {
		return store.DataBackups.Put(tx, &store.DataBackup{ServiceGUID: service, State: store.OperationFailed, Error: "the server closed the connection"})
	}))
	w.must(w.db.Update(func(tx *store.Tx) error {
		d := &store.Droplet{AppGUID: guid, SpaceGUID: w.space, State: "STAGED", Stack: "cupola"}
		w.must(store.Droplets.Put(tx, d))
		a, err := store.Apps.Get(tx, guid)
		w.must(err)
		a.CurrentDropletGUID = d.GUID
		w.must(store.Apps.Put(tx, a))
		before := &store.Droplet{AppGUID: guid, SpaceGUID: w.space, State: "STAGED", Stack: "cupola"}
		w.must(store.Droplets.Put(tx, before))
		for i := range 3 {
			r := &store.Revision{AppGUID: guid, SpaceGUID: w.space, Version: i + 1, DropletGUID: []string{before.GUID, d.GUID, d.GUID}[i], Description: []string{"Initial revision.", "New droplet deployed.", "New environment variables deployed."}[i]}
			w.must(store.Revisions.Put(tx, r))
			if i == 0 {
				revision = r.GUID
				continue
			}
			web, err := store.Processes.Find(tx, "app_type", guid+"/web")
			w.must(err)
			web.RevisionGUID = r.GUID
			w.must(store.Processes.Put(tx, web))
		}
		for _, b := range []*store.Build{{State: "STAGED"}, {State: "FAILED", Error: "BuildpackCompileFailed - npm install ended with status 1"}, {State: "STAGING"}} {
			b.AppGUID, b.SpaceGUID = guid, w.space
			if b.State == "STAGED" {
				b.Phases = []store.PhaseTime{{Name: "detect", Duration: 120 * time.Millisecond}, {Name: "build", Duration: 8400 * time.Millisecond}, {Name: "export", Duration: 700 * time.Millisecond}}
			}
			w.must(store.Builds.Put(tx, b))
			if b.State == "STAGED" {
				build = b.GUID
			}
		}
		for _, host := range []string{"ending", "refused"} {
			w.must(store.Routes.Put(tx, &store.Route{Host: host, DomainGUID: w.domain, SpaceGUID: w.space}))
		}
		for r := range store.Routes.All(tx) {
			route = r.GUID
		}
		for st := range store.Stacks.All(tx) {
			st.RunImage = "registry.example.com/cupola/run@sha256:5f0a" // newer than the droplet's
			w.must(store.Stacks.Put(tx, st))
			stack = st.GUID
		}
		for i, name := range []string{"nodejs_buildpack", "go_buildpack", "python_buildpack"} {
			w.must(store.Buildpacks.Put(tx, &store.Buildpack{Name: name, Stack: "cupola", Position: i + 1, State: "READY", Enabled: i != 1, Locked: i == 2}))
		}
		w.must(store.Deployments.Put(tx, &store.Deployment{AppGUID: guid, SpaceGUID: w.space, Strategy: "canary", Status: "ACTIVE", Reason: "PAUSED", DropletGUID: d.GUID}))
		si := &store.ServiceInstance{Name: "shop-db", Type: "user-provided", SpaceGUID: w.space}
		w.must(store.ServiceInstances.Put(tx, si))
		w.must(store.ServiceBindings.Put(tx, &store.ServiceBinding{Type: "app", AppGUID: guid, SpaceGUID: w.space, InstanceGUID: si.GUID}))
		return store.Tasks.Put(tx, &store.Task{AppGUID: guid, SpaceGUID: w.space, Name: "migrate", State: "RUNNING", SequenceID: 1, MemoryMB: 256})
	}))
	return map[string]string{"gateway": other, "{backup}": proved.GUID, "{route}": route, "/nodes/{guid}": "/nodes/n1", "/marketplace/{guid}": "/marketplace/" + w.offering, "{guid}": guid, "{other}": revision, "/orgs/{guid}": "/orgs/" + w.org, "/spaces/{guid}": "/spaces/" + w.space, "/builds/{guid}": "/builds/" + build,
		"/stacks/{guid}": "/stacks/" + stack, "/services/{guid}": "/services/" + service, "/pushing": "/pushing?build=" + build}
}
