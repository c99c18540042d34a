package dashboard

import (
	"net/http"
	"slices"
	"testing"
	"time"

	"github.com/chromedp/chromedp"

	"github.com/cupola-paas/cupola/controller/capi"
	"github.com/cupola-paas/cupola/store"
)

// TestOperatorInABrowser looks at what is getting short, drains a node, backs data up and restores it, and patches apps.
// Nodes, disks, certificates and the making of backups are doubles behind the API; the rest is real.
func TestOperatorInABrowser(t *testing.T) {
	w := newWorld(t)
	names := w.furnish()
	b := w.chromium()
	b.signIn("admin", "secret")
	b.See("#ov-care", "getting full")
	b.See("#ov-care", "refused.example.com")
	b.See("#ov-care", "1 of 1 data services")

	b.Run(chromedp.KeyEvent("gn"))
	b.See("h1", "Nodes")
	b.Click("#no a", "vm-2")
	b.See("h1", "ready")
	b.Click("button", "Drain…")
	b.See("[popover]", "12 now")
	b.Click("[popover] button.danger", "Drain it")
	b.See(".notice", "takes no more instances")
	b.See("h1", "draining")
	w.must(w.cluster.set("n2", capi.NodeDrained, 0))
	b.See("h1", "drained") // by itself
	b.See("#fa", "0 instances and tasks")
	b.Click("button", "Resume…")
	b.Click("[popover] button.do", "Resume it")
	b.See("h1", "ready")
	w.must(w.cluster.wrong("n2", capi.NodeSkewed, "its clock is 3m0s ahead of the server's: let both machines follow a time server"))
	b.See("h1", "clock off")
	b.See("#fa", "Its clock is 3m0s ahead of the server's")
	b.visit("/nodes")
	b.See("#no", "let both machines follow a time server.")
	b.watchMove()

	b.visit("/certificates?show=unwell")
	b.See("#ce", "ending.example.com")
	b.See("#ce", "Have the name's address record point to this platform.")

	b.visit(names["/services/{guid}"])
	b.See("#ba", "12 tables, 3400 rows")
	b.Click("button", "Back up now")
	b.See(".notice", "A backup is being made.")
	b.Click("#ba button", "Restore…")
	b.See("[popover]", "What was written since is lost")
	b.Click("[popover] button.danger", "Restore it")
	b.See(".notice", "The backup is being restored.")

	b.visit(names["/stacks/{guid}"])
	b.See("#ol", "shop")
	b.Click("button", "Patch all…")
	b.Click("[popover] button.do", "Patch them")
	b.See(".notice", "1 app get the patch")
	b.See("#wk", "Patching shop, 1 of 1.")
	w.finishDeployment(names["{guid}"])
	b.See("#ol", "every app that you see has the newest packages")
	b.Until(`!document.getElementById("wk").innerText.includes("Patching")`)
	b.healthy()
}

// finishDeployment does what the scheduling loop does at the end of the newest deployment of an app.
func (w *world) finishDeployment(app string) {
	w.t.Helper()
	w.must(w.db.Update(func(tx *store.Tx) error {
		found, _, err := store.Deployments.List(tx, store.Query[store.Deployment]{Where: []store.Cond{store.By("app", app), store.By("status", "ACTIVE")}, OrderBy: "created_at", Desc: true})
		w.must(err)
		found[0].Status, found[0].Reason = "FINALIZED", "DEPLOYED"
		a, err := store.Apps.Get(tx, app)
		w.must(err)
		a.CurrentDropletGUID = found[0].DropletGUID
		w.must(store.Apps.Put(tx, a))
		return store.Deployments.Put(tx, found[0])
	}))
}

// TestRoutesAndServicesInABrowser maps a route, makes a service and binds it, and rolls an app back.
func TestRoutesAndServicesInABrowser(t *testing.T) {
	w := newWorld(t)
	names := w.furnish()
	guid := names["gateway"]
	w.person("dev", "space_developer", w.org, w.space)
	b := w.chromium()
	b.signIn("dev", "secret")

	b.visit("/apps/" + guid + "/routes")
	b.eval(`(document.getElementById("host").value = "entrance", document.getElementById("path").value = "/api")`)
	b.Click("button", "Map")
	b.See(".notice", "entrance.example.com/api leads to gateway now.")
	b.See("#r", "entrance.example.com/api")

	b.visit("/services")
	b.eval(`(document.getElementById("name").value = "ledger", document.getElementById("given").value = '{"uri": "postgres://ledger.example.com"}')`)
	b.Click("form.stack button", "Make")
	b.See("h1", "ledger")
	b.eval(`[...document.getElementById("app").options].find((o) => o.text === "gateway").selected = true`)
	b.Click("form button", "Bind")
	b.See(".notice", "The app is bound.")
	b.See("#bo", "gateway")

	b.visit("/apps/" + names["{guid}"] + "/deployments")
	b.visit("/apps/" + names["{guid}"] + "/revisions/" + names["{other}"])
	b.See("h2", "Revision 1 compared with revision 3, which runs")
	b.See("table", "droplet")
	b.Click("button", "Roll back…")
	b.See("[popover]", "Roll shop back to revision")
	b.Click("[popover] button.danger", "Roll back to")
	b.See(".notice", "The rollback has begun.")
	b.healthy()
}

// TestOtherOrgInABrowser shows that a developer of another org finds nothing of this one, on pages and by requests that no
// page makes, and that another site at a sibling name can send no form in their name.
func TestOtherOrgInABrowser(t *testing.T) {
	w := newWorld(t)
	names := w.furnish()
	w.walkers()
	b := w.chromium()
	b.signIn("else-sdv", "secret")
	b.visit("/apps")
	b.See("main", "No apps yet")
	b.visit("/apps/" + names["{guid}"])
	b.See("main", "App not found")
	if got := b.eval(`document.querySelectorAll(".nav a[href='/nodes']").length`); got != "0" {
		t.Error("the menu leads to machines that a developer may not see")
	}
	b.visit("/nodes")
	b.See("main", "not authorized")
	before := w.everything()
	b.visit("/account")
	b.Run(chromedp.Evaluate(`fetch("/apps/`+names["{guid}"]+`/stop", {method: "POST", body: new URLSearchParams({csrf: document.querySelector("[name=csrf]").value})}).then((r) => r.status)`, nil, await))
	if w.everything() != before {
		t.Error("a developer of another org stopped the app")
	}

	b.signOut()
	b.signIn("admin", "secret")
	w.evil.Store(`<form method="post" action="https://dashboard.example.com/apps/` + names["{guid}"] + `/stop"><button id="go">Win</button></form>`)
	b.Run(chromedp.Navigate("https://evil.example.com/"), chromedp.Click("#go", chromedp.ByQuery))
	b.See("main", "did not come from this page")
	if w.everything() != before {
		t.Error("another site stopped the app")
	}
}

// signOut presses the button.
func (b *real) signOut() {
	b.w.t.Helper()
	b.visit("/account")
	b.Click(".who button", "Sign out")
	b.See("main", "You are signed out")
}

// evilSite is a site that somebody has at a sibling of the dashboard's name.
func (w *world) evilSite(rw http.ResponseWriter) {
	page, _ := w.evil.Load().(string)
	rw.Header().Set("Content-Type", "text/html")
	_, _ = rw.Write([]byte(page))
}

// watchMove: a migration shows itself as it goes on, and as done.
func (b *real) watchMove() {
	began := capi.At(time.Now().Add(-time.Minute))
	going := capi.Engine{Engine: capi.EngineNomad, Target: capi.EngineNomad, Migration: &capi.EngineMigration{Target: capi.EngineNomad, State: "RUNNING", StartedAt: began}, Apps: capi.Array[capi.EngineApp]{
		{GUID: "a1", Name: "first", State: capi.MoveDone, Nomad: 2}, {GUID: "a2", Name: "second", Org: "acme", Space: "dev", State: capi.MoveGoesOn, Docker: 1, Nomad: 2},
		{GUID: "a3", Name: "third", State: capi.MoveNever, Docker: 1, Detail: "uses the data service db, which other machines do not reach"}, {GUID: "a4", Name: "fourth", State: capi.MoveWaits, Docker: 1},
	}}
	b.w.cluster.move(going)
	b.See("#mo", "Move to the cluster")
	b.See("#mo", "1 of 4 apps")
	b.See("#mo", "2 of 3")
	b.See("#mo", "Uses the data service db")
	late := going
	late.Apps = slices.Clone(going.Apps)
	late.Apps[1].State = capi.MoveDelayed
	b.w.cluster.move(late)
	b.See("#mo h2", "delayed") // by itself
	ended := capi.At(time.Now())
	b.w.cluster.move(capi.Engine{Engine: capi.EngineNomad, Migration: &capi.EngineMigration{Target: capi.EngineNomad, State: "DONE", StartedAt: began, EndedAt: &ended}})
	b.See("#mo", "All has moved")
}
