package dashboard

import (
	"net/http"
	"strings"
	"sync/atomic"
	"testing"

	"github.com/chromedp/chromedp"

	"github.com/cupola-paas/cupola/store"
)

// TestDayInABrowser does what a developer does: signs in, watches an app, reads its log, scales it, sets a variable, goes on
// with a canary, rolls back, and signs out everywhere.
func TestDayInABrowser(t *testing.T) {
	w := newWorld(t)
	names := w.furnish()
	guid := names["{guid}"]
	b := w.chromium()
	b.signIn("admin", "wrong")
	b.see("main", "The user name or the password is not right.")
	b.signIn("admin", "secret")
	b.see("h1", "Overview")
	b.see("#ov-unwell", "shop")

	b.visit("/apps/" + guid)
	b.see("#instances", "crashed")
	w.must(w.db.Update(func(tx *store.Tx) error {
		all, _, err := store.Instances.List(tx, store.Query[store.Instance]{Where: []store.Cond{store.By("app", guid), store.By("state", store.InstanceCrashed)}})
		for _, i := range all {
			i.State, i.Routable, i.Details = store.InstanceRunning, true, ""
			w.must(store.Instances.Put(tx, i))
		}
		return err
	}))
	b.see("#instances", "web 3/3") // by itself
	if got := b.eval(`document.querySelector("#instances").innerText.includes("crashed")`); got != "false" {
		t.Error("the crashed instance is still shown")
	}

	b.visit("/apps/" + guid + "/logs")
	w.say(guid, "a line that comes "+hostile)
	b.see("#log", "a line that comes "+hostile)
	b.run(chromedp.SendKeys("#log-q", "ECONNREFUSED", chromedp.ByQuery))
	b.see("#log-count", "1 of 5 lines.")
	b.eval(`(document.getElementById("log-q").value = "", document.getElementById("log-filter").dispatchEvent(new Event("input")))`)
	b.see("#log-count", "5 of 5 lines.")
	b.click("button", "Pause")
	w.say(guid, "said meanwhile")
	b.see("#log-pause", "Go on (1 new)")
	b.click("button", "Go on")
	b.see("#log", "said meanwhile")

	b.visit("/apps/" + guid + "/scale")
	b.click("button", "Scale web")
	b.see(".notice", "Nothing was changed.")
	b.visit("/apps/" + names["gateway"] + "/scale")
	b.run(chromedp.Evaluate(`(() => { const r = document.querySelector("input[type=range]"); r.value = 5; r.dispatchEvent(new Event("input", {bubbles: true})); })()`, nil))
	b.see("[data-total]", "1,280 MB in all")
	b.click("button", "Scale web")
	b.see(".notice", "web is scaled.")
	b.see("main", "3 of 5 running") // gateway has three

	b.visit("/apps/" + guid + "/environment")
	if got := b.eval(`document.body.innerText.includes("s3cr3t")`); got != "false" {
		t.Error("a value is shown that nobody asked for")
	}
	b.click("[aria-label='Show the value of API_KEY']", "Show")
	b.see(".value", "s3cr3t")

	b.visit("/apps/" + guid + "/deployments")
	b.see("#active", "paused")
	b.click("#active button", "Continue…")
	b.see("[popover]", "Continue the deployment?")
	b.click("[popover] button", "Continue")
	b.see(".notice", "The deployment goes on.")
	b.click("#active button", "Cancel…")
	b.click("[popover] button.danger", "Cancel the deployment")
	b.see(".notice", "being cancelled")

	b.visit("/account")
	b.click("button", "Sign out everywhere…")
	b.click("[popover] button.danger", "Sign out everywhere")
	b.see("main", "You are signed out")
	b.healthy()
}

// TestKeysInABrowser shows that all is reached without a mouse.
func TestKeysInABrowser(t *testing.T) {
	w := newWorld(t)
	guid := w.furnish()["{guid}"]
	b := w.chromium()
	b.signIn("admin", "secret")
	b.run(chromedp.KeyEvent("ga"))
	b.see("h1", "Apps")
	b.visit("/")
	b.run(chromedp.KeyEvent("/"))
	b.until(`document.activeElement.id === "jump"`)
	b.eval(`document.getElementById("jump").value = ""`)
	b.run(chromedp.SendKeys("#jump", "bill\r", chromedp.ByQuery))
	b.see("#apps", "billing")
	b.visit("/apps/" + guid)
	b.run(chromedp.Focus("[popovertarget=stop]", chromedp.ByQuery), chromedp.KeyEvent("\r"))
	b.see("[popover]", "Stop shop?")
	if got := b.eval(`document.activeElement.innerText`); !strings.Contains(got, "Keep it as it is") {
		t.Errorf("the question's focus is on %q, want what changes nothing", got)
	}
	b.run(chromedp.KeyEvent("\r"))
	if got := b.eval(`document.getElementById("stop").matches(":popover-open")`); got != "false" {
		t.Error("the question is still open")
	}
	b.as(looks[2])
	b.visit("/")
	b.click("button.menu", "")
	b.see("#nav", "Audit log")
	b.healthy()
}

// TestHostileNamesInABrowser opens every page with names that are scripts: nothing runs, no dialog opens.
func TestHostileNamesInABrowser(t *testing.T) {
	w := newWorld(t)
	guid := w.app(hostile, 1, 0, map[string]string{hostile: hostile})
	w.say(guid, hostile)
	w.must(w.db.Update(func(tx *store.Tx) error {
		return store.Tasks.Put(tx, &store.Task{AppGUID: guid, SpaceGUID: w.space, Name: hostile, State: "RUNNING", SequenceID: 1})
	}))
	b := w.chromium()
	b.signIn("admin", "secret")
	for _, path := range w.pathsOf(map[string]string{"{guid}": guid, "{other}": guid, "/orgs/{guid}": "/orgs/" + w.org, "/spaces/{guid}": "/spaces/" + w.space}) {
		b.visit(path)
		if got := b.eval(`document.querySelectorAll("img[src='x'], main script").length`); got != "0" {
			t.Errorf("%s: markup came of a name", path)
		}
	}
	b.visit("/apps/" + guid)
	b.see("#instances", "alert(2)")
	b.healthy()
}

// TestOutageInABrowser shows that an open page says that the API is gone, and goes on by itself when it is back.
func TestOutageInABrowser(t *testing.T) {
	w := newWorld(t)
	guid := w.furnish()["{guid}"]
	var down atomic.Bool
	w.breakAPI(func(next http.Handler) http.Handler {
		return http.HandlerFunc(func(rw http.ResponseWriter, r *http.Request) {
			if down.Load() {
				rw.WriteHeader(http.StatusInternalServerError)
				return
			}
			next.ServeHTTP(rw, r)
		})
	})
	b := w.chromium()
	b.signIn("admin", "secret")
	b.visit("/apps/" + guid)
	down.Store(true)
	b.see("#live-status", "The API had an error of its own.")
	down.Store(false)
	b.until(`document.getElementById("live-status").textContent === ""`)
	b.see("#instances", "web #0")
	w.clock.pass(idleFor * 2)
	b.see("#live-status", "Signed out")
	b.click("button", "Stop…")
	b.click("[popover] button.danger", "Stop shop")
	b.see(".notice", "Your session had ended before the form arrived. Nothing was changed")
	b.healthy()
}
