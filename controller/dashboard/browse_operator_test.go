package dashboard

import (
	"net/http"
	"testing"

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
	b.see("#ov-care", "getting full")
	b.see("#ov-care", "refused.example.com")
	b.see("#ov-care", "1 of 1 data services")

	b.run(chromedp.KeyEvent("gn"))
	b.see("h1", "Nodes")
	b.click("#no a", "vm-2")
	b.see("h1", "ready")
	b.click("button", "Drain…")
	b.see("[popover]", "12 now")
	b.click("[popover] button.danger", "Drain it")
	b.see(".notice", "takes no more instances")
	b.see("h1", "draining")
	w.must(w.cluster.set("n2", capi.NodeDrained, 0))
	b.see("h1", "drained") // by itself
	b.see("#fa", "0 instances and tasks")
	b.click("button", "Resume…")
	b.click("[popover] button.do", "Resume it")
	b.see("h1", "ready")

	b.visit("/certificates?show=unwell")
	b.see("#ce", "ending.example.com")
	b.see("#ce", "Have the name's address record point to this platform.")

	b.visit(names["/services/{guid}"])
	b.see("#ba", "12 tables, 3400 rows")
	b.click("button", "Back up now")
	b.see(".notice", "A backup is being made.")
	b.click("#ba button", "Restore…")
	b.see("[popover]", "What was written since is lost")
	b.click("[popover] button.danger", "Restore it")
	b.see(".notice", "The backup is being restored.")

	b.visit(names["/stacks/{guid}"])
	b.see("#ol", "shop")
	b.click("button", "Patch all…")
	b.click("[popover] button.do", "Patch them")
	b.see(".notice", "1 app get the patch")
	b.see("#wk", "Patching shop, 1 of 1.")
	w.finishDeployment(names["{guid}"])
	b.see("#ol", "every app that you see has the newest packages")
	b.until(`!document.getElementById("wk").innerText.includes("Patching")`)
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
	b.click("button", "Map")
	b.see(".notice", "entrance.example.com/api leads to gateway now.")
	b.see("#r", "entrance.example.com/api")

	b.visit("/services")
	b.eval(`(document.getElementById("name").value = "ledger", document.getElementById("given").value = '{"uri": "postgres://ledger.example.com"}')`)
	b.click("form.stack button", "Make")
	b.see("h1", "ledger")
	b.eval(`[...document.getElementById("app").options].find((o) => o.text === "gateway").selected = true`)
	b.click("form button", "Bind")
	b.see(".notice", "The app is bound.")
	b.see("#bo", "gateway")

	b.visit("/apps/" + names["{guid}"] + "/deployments")
	b.visit("/apps/" + names["{guid}"] + "/revisions/" + names["{other}"])
	b.see("h2", "Revision 1 compared with revision 3, which runs")
	b.see("table", "droplet")
	b.click("button", "Roll back…")
	b.see("[popover]", "Roll shop back to revision")
	b.click("[popover] button.danger", "Roll back to")
	b.see(".notice", "The rollback has begun.")
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
	b.see("main", "No apps yet")
	b.visit("/apps/" + names["{guid}"])
	b.see("main", "App not found")
	if got := b.eval(`document.querySelectorAll(".nav a[href='/nodes']").length`); got != "0" {
		t.Error("the menu leads to machines that a developer may not see")
	}
	b.visit("/nodes")
	b.see("main", "not authorized")
	before := w.everything()
	b.visit("/account")
	b.run(chromedp.Evaluate(`fetch("/apps/`+names["{guid}"]+`/stop", {method: "POST", body: new URLSearchParams({csrf: document.querySelector("[name=csrf]").value})}).then((r) => r.status)`, nil, await))
	if w.everything() != before {
		t.Error("a developer of another org stopped the app")
	}

	b.signOut()
	b.signIn("admin", "secret")
	w.evil.Store(`<form method="post" action="https://dashboard.example.com/apps/` + names["{guid}"] + `/stop"><button id="go">Win</button></form>`)
	b.run(chromedp.Navigate("https://evil.example.com/"), chromedp.Click("#go", chromedp.ByQuery))
	b.see("main", "did not come from this page")
	if w.everything() != before {
		t.Error("another site stopped the app")
	}
}

// signOut presses the button.
func (b *real) signOut() {
	b.w.t.Helper()
	b.visit("/account")
	b.click(".who button", "Sign out")
	b.see("main", "You are signed out")
}

// evilSite is a site that somebody has at a sibling of the dashboard's name.
func (w *world) evilSite(rw http.ResponseWriter) {
	page, _ := w.evil.Load().(string)
	rw.Header().Set("Content-Type", "text/html")
	_, _ = rw.Write([]byte(page))
}
