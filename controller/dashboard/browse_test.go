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
	w.quota("small", 8192)
	guid := names["{guid}"]
	b := w.chromium()
	b.signIn("admin", "wrong")
	b.See("main", "The user name or the password is not right.")
	b.signIn("admin", "secret")
	b.See("h1", "Overview")
	b.See("#ov-unwell", "shop")

	b.visit("/apps/" + guid)
	b.See("#instances", "crashed")
	w.must(w.db.Update(func(tx *store.Tx) error {
		all, _, err := store.Instances.List(tx, store.Query[store.Instance]{Where: []store.Cond{store.By("app", guid), store.By("state", store.InstanceCrashed)}})
		for _, i := range all {
			i.State, i.Routable, i.Details = store.InstanceRunning, true, ""
			w.must(store.Instances.Put(tx, i))
		}
		return err
	}))
	b.See("#instances", "web 3/3") // by itself
	if got := b.eval(`document.querySelector("#instances").innerText.includes("crashed")`); got != "false" {
		t.Error("the crashed instance is still shown")
	}

	b.visit("/apps/" + guid + "/logs")
	w.say(guid, "a line that comes "+hostile)
	b.See("#log", "a line that comes "+hostile)
	b.Run(chromedp.SendKeys("#log-q", "ECONNREFUSED", chromedp.ByQuery))
	b.See("#log-count", "1 of 5 lines.")
	b.eval(`(document.getElementById("log-q").value = "", document.getElementById("log-filter").dispatchEvent(new Event("input")))`)
	b.See("#log-count", "5 of 5 lines.")
	b.Click("button", "Pause")
	w.say(guid, "said meanwhile")
	b.See("#log-pause", "Go on (1 new)")
	b.Click("button", "Go on")
	b.See("#log", "said meanwhile")

	b.visit("/apps/" + guid + "/scale")
	b.Click("button", "Scale web")
	b.See(".notice", "Nothing was changed.")
	b.visit("/apps/" + names["gateway"] + "/scale")
	b.Run(chromedp.Evaluate(`(() => { const r = document.querySelector("input[type=range]"); r.value = 5; r.dispatchEvent(new Event("input", {bubbles: true})); })()`, nil))
	b.See("[data-total]", "1,280 MB in all, of ")
	b.See("[data-total]", " MB that the quota small of org acme leaves")
	b.eval(`(() => { const n = document.querySelector("[name=memory]"); n.value = 4000; n.dispatchEvent(new Event("input", {bubbles: true})); })()`)
	b.See("[data-total].over", "20,000 MB in all, more than the ")
	b.eval(`(() => { const n = document.querySelector("[name=memory]"); n.value = 256; n.dispatchEvent(new Event("input", {bubbles: true})); })()`)
	b.Click("button", "Scale web")
	b.See(".notice", "web is scaled.")
	b.See("main", "3 of 5 running") // gateway has three

	b.visit("/apps/" + guid + "/environment")
	if got := b.eval(`document.body.innerText.includes("s3cr3t")`); got != "false" {
		t.Error("a value is shown that nobody asked for")
	}
	b.Click("[aria-label='Show the value of API_KEY']", "Show")
	b.See(".value", "s3cr3t")

	b.visit("/apps/" + guid + "/deployments")
	b.See("#active", "paused")
	b.Click("#active button", "Continue…")
	b.See("[popover]", "Continue the deployment?")
	b.Click("[popover] button", "Continue")
	b.See(".notice", "The deployment goes on.")
	b.Click("#active button", "Cancel…")
	b.Click("[popover] button.danger", "Cancel the deployment")
	b.See(".notice", "being cancelled")

	b.visit("/account")
	b.Click("button", "Sign out everywhere…")
	b.Click("[popover] button.danger", "Sign out everywhere")
	b.See("main", "You are signed out")
	b.healthy()
}

// TestKeysInABrowser shows that all is reached without a mouse.
func TestKeysInABrowser(t *testing.T) {
	w := newWorld(t)
	guid := w.furnish()["{guid}"]
	b := w.chromium()
	b.signIn("admin", "secret")
	b.Run(chromedp.KeyEvent("ga"))
	b.See("h1", "Apps")
	b.visit("/")
	b.Run(chromedp.KeyEvent("/"))
	b.Until(`document.activeElement.id === "jump"`)
	b.eval(`document.getElementById("jump").value = ""`)
	b.Run(chromedp.SendKeys("#jump", "bill\r", chromedp.ByQuery))
	b.See("#apps", "billing")
	b.visit("/apps/" + guid)
	b.Run(chromedp.Focus("[popovertarget=stop]", chromedp.ByQuery), chromedp.KeyEvent("\r"))
	b.See("[popover]", "Stop shop?")
	if got := b.eval(`document.activeElement.innerText`); !strings.Contains(got, "Keep it as it is") {
		t.Errorf("the question's focus is on %q, want what changes nothing", got)
	}
	b.Run(chromedp.KeyEvent("\r"))
	if got := b.eval(`document.getElementById("stop").matches(":popover-open")`); got != "false" {
		t.Error("the question is still open")
	}
	b.as(looks[2])
	b.visit("/")
	b.Click("button.menu", "")
	b.See("#nav", "Audit log")
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
	b.See("#instances", "alert(2)")
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
	b.See("#live-status", "The API had an error of its own.")
	down.Store(false)
	b.Until(`document.getElementById("live-status").textContent === ""`)
	b.See("#instances", "web #0")
	w.clock.pass(idleFor * 2)
	b.See("#live-status", "Signed out")
	b.Click("button", "Stop…")
	b.Click("[popover] button.danger", "Stop shop")
	b.See(".notice", "Your session had ended before the form arrived. Nothing was changed")
	w.dashboard.sessions.forget() // as a server that starts again does
	w.srv.CloseClientConnections()
	b.See("#live-status", "Signed out")
	b.healthy()
}

// forget drops every session.
func (s *sessions) forget() {
	s.mu.Lock()
	defer s.mu.Unlock()
	clear(s.by)
}
