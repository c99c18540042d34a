package e2e

import (
	"fmt"
	"net/http"
	"path/filepath"
	"testing"

	"github.com/chromedp/chromedp"
)

// signIn types the password at the login page.
func (s *screen) signIn(user, secret string) {
	s.t.Helper()
	s.visit("/")
	s.until(`!!document.querySelector("#username")`)
	s.run(chromedp.SendKeys("#username", user, chromedp.ByQuery), chromedp.SendKeys("#password", secret+"\r", chromedp.ByQuery))
	s.see("h1", "Overview")
}

// choose picks the option of a field whose text begins so.
func (s *screen) choose(field, text string) {
	s.t.Helper()
	s.until(fmt.Sprintf(`(() => { const f = document.getElementById(%q); const o = f && [...f.options].find((o) => o.text.startsWith(%q)); if (o) f.value = o.value; return !!o; })()`, field, text))
}

// fill writes into a field in place of what it has.
func (s *screen) fill(field, text string) {
	s.t.Helper()
	s.until(fmt.Sprintf(`(() => { const f = document.getElementById(%q); if (f) { f.value = %q; f.dispatchEvent(new Event("input", {bubbles: true})); } return !!f; })()`, field, text))
}

// TestDashboardDay does with the mouse what changes a running app: it scales, tries a canary and goes on, tries another and
// takes it back, rolls back and maps a route.
func TestDashboardDay(t *testing.T) {
	u := newUserOf(t, shared, "clicking")
	dir := sample(t, "static")
	u.must("push", "clicked", "-p", dir, "-i", "2")
	writeFile(t, filepath.Join(dir, "index.html"), "second\n")
	u.must("push", "clicked", "-p", dir, "-i", "2")
	app := "/apps/" + u.guid("clicked")
	s := newScreen(t)
	s.signIn("admin", password)

	s.visit(app + "/scale")
	s.see("h2", "web")
	s.fill("i-web", "3")
	s.click("button", "Scale web")
	s.see(".notice", "web is scaled.")
	s.visit(app)
	s.see("#instances", "web 3/3") // by itself
	s.shoot("app")

	canary := func() {
		s.visit(app + "/deployments")
		s.choose("strategy", "canary")
		s.click("form.stack button", "Deploy")
		s.see("#active", "paused")
	}
	// settled waits until no deployment goes on, and looks at the page anew: a form whose answer broke off leads elsewhere.
	settled := func() {
		u.eventually("the deployment's end", func() bool {
			var active struct {
				Pagination struct {
					Total int `json:"total_results"`
				} `json:"pagination"`
			}
			s.until(`!document.querySelector("[popover]:popover-open")`)
			u.curl("/v3/deployments?status_values=ACTIVE&app_guids="+u.guid("clicked"), &active)
			return active.Pagination.Total == 0
		})
		s.visit(app + "/deployments")
	}
	canary()
	s.shoot("canary")
	s.click("#active button", "Continue…")
	s.click("[popover] button", "Continue")
	settled()
	s.see("#deployments", "deployed")
	canary()
	s.click("#active button", "Cancel…")
	s.click("[popover] button.danger", "Cancel the deployment")
	settled()
	s.see("#deployments", "cancelled")

	s.click("#revisions tr:last-child button", "Roll back…")
	s.click("[popover] button.danger", "Roll back to")
	settled()
	s.see("#revisions", "Rolled back to revision 1")

	s.visit(app + "/routes")
	s.fill("host", "clicked-too")
	s.click("button", "Map")
	s.see("#r", "clicked-too.")
	u.answers("clicked-too", "/", http.StatusOK, "")
	s.visit("/nodes")
	s.see("#no", "ready")
	s.shoot("nodes")
}

// TestDashboardPostgres buys a PostgreSQL in the marketplace and binds it to an app.
func TestDashboardPostgres(t *testing.T) {
	u := newUserOf(t, shared, "buying")
	u.must("push", "bought", "-p", sample(t, "static"))
	s := newScreen(t)
	s.signIn("admin", password)
	s.visit("/marketplace")
	s.click("h2 a", "postgres")
	s.see("h2", "Make an instance")
	s.fill("name", "bought-db")
	s.choose("space", "buying")
	s.click("form.stack button", "Make")
	s.visit("/services/" + u.made("/v3/service_instances?names=bought-db"))
	s.see("h1", "bought-db")
	s.see("h1", "ready") // by itself
	s.choose("app", "bought")
	s.click("form button", "Bind")
	u.made("/v3/service_credential_bindings?service_instance_names=bought-db")
	s.see("#bo", "bought")
	s.see("#bo", "ready")
	s.see("#ba", "Back up now")
	s.shoot("postgres")
}

// made waits until a list has something, and returns its GUID.
func (u *user) made(path string) (guid string) {
	u.t.Helper()
	u.eventually("something in "+path, func() bool {
		var list struct {
			Resources []struct {
				GUID string `json:"guid"`
			} `json:"resources"`
		}
		u.curl(path, &list)
		if len(list.Resources) == 1 {
			guid = list.Resources[0].GUID
		}
		return guid != ""
	})
	return guid
}
