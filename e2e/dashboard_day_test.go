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
	s.Until(`!!document.querySelector("#username")`)
	s.Run(chromedp.SendKeys("#username", user, chromedp.ByQuery), chromedp.SendKeys("#password", secret+"\r", chromedp.ByQuery))
	s.See("h1", "Overview")
}

// choose picks the option of a field whose text begins so.
func (s *screen) choose(field, text string) {
	s.t.Helper()
	s.Until(fmt.Sprintf(`(() => { const f = document.getElementById(%q); const o = f && [...f.options].find((o) => o.text.startsWith(%q)); if (o) f.value = o.value; return !!o; })()`, field, text))
}

// fill writes into a field in place of what it has.
func (s *screen) fill(field, text string) {
	s.t.Helper()
	s.Until(fmt.Sprintf(`(() => { const f = document.getElementById(%q); if (f) { f.value = %q; f.dispatchEvent(new Event("input", {bubbles: true})); } return !!f; })()`, field, text))
}

// TestDashboardDay does with the mouse what changes a running app: it scales, tries a canary and goes on, tries another and
// takes it back, rolls back and maps a route.
func TestDashboardDay(t *testing.T) {
	t.Parallel()
	u := newUserOf(t, shared, "clicking")
	dir := sample(t, "static")
	u.must("push", "clicked", "-p", dir, "-i", "2")
	writeFile(t, filepath.Join(dir, "index.html"), "second\n")
	u.must("push", "clicked", "-p", dir, "-i", "2")
	app := "/apps/" + u.guid("clicked")
	s := newScreen(t)
	s.signIn("admin", password)

	s.visit(app + "/scale")
	s.See("h2", "web")
	s.fill("i-web", "3")
	s.Click("button", "Scale web")
	s.See(".notice", "web is scaled.")
	s.visit(app)
	s.See("#instances", "web 3/3") // by itself
	s.shoot("app")

	canary := func() {
		s.visit(app + "/deployments")
		s.choose("strategy", "canary")
		s.Click("form.stack button", "Deploy")
		s.See("#active", "paused")
	}
	canary()
	s.shoot("canary")
	s.Click("#active button", "Continue…")
	s.Click("[popover] button", "Continue")
	s.See("#deployments", "deployed")
	canary()
	s.Click("#active button", "Cancel…")
	s.Click("[popover] button.danger", "Cancel the deployment")
	s.See("#deployments", "cancelled")

	s.Click("#revisions tr:last-child button", "Roll back…")
	s.Click("[popover] button.danger", "Roll back to")
	s.See("#revisions", "Rolled back to revision 1")

	s.visit(app + "/routes")
	s.fill("host", "clicked-too")
	s.Click("button", "Map")
	s.See("#r", "clicked-too.")
	u.answers("clicked-too", "/", http.StatusOK, "")
	s.visit("/nodes")
	s.See("#no", "ready")
	s.shoot("nodes")
}

// TestDashboardPostgres buys a PostgreSQL in the marketplace and binds it to an app.
func TestDashboardPostgres(t *testing.T) {
	t.Parallel()
	u := newUserOf(t, shared, "buying")
	u.must("push", "bought", "-p", sample(t, "static"))
	s := newScreen(t)
	s.signIn("admin", password)
	s.visit("/marketplace")
	s.Click("h2 a", "postgres")
	s.See("h2", "Make an instance")
	s.fill("name", "bought-db")
	s.choose("space", "buying")
	s.Click("form.stack button", "Make")
	s.See("h1", "bought-db")
	s.See("h1", "ready") // by itself
	s.choose("app", "bought")
	s.Click("form button", "Bind")
	s.See("#bo", "bought")
	s.See("#bo", "ready")
	s.See("#ba", "Back up now")
	s.shoot("postgres")
}
