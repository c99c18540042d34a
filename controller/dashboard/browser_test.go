package dashboard

import (
	"errors"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/chromedp/cdproto/emulation"
	cdplog "github.com/chromedp/cdproto/log"
	cdppage "github.com/chromedp/cdproto/page"
	"github.com/chromedp/cdproto/runtime"
	"github.com/chromedp/chromedp"

	"github.com/cupola-paas/cupola/controller/dashboard/browsertest"
)

// real is a Chromium that has all of the platform's names at the test's own server.
type real struct {
	*browsertest.Browser
	w        *world
	problems []string // what its console complains of: broken scripts, things the policy refused
}

// chromium starts one, and skips the test where there is none.
func (w *world) chromium() *real {
	w.t.Helper()
	b := &real{Browser: browsertest.Start(w.t, w.srv.Listener.Addr().String(), 4*time.Minute), w: w}
	chromedp.ListenTarget(b.Ctx, b.hear)
	b.Run(chromedp.EmulateViewport(1280, 900))
	return b
}

// hear notes what a healthy page never says. Answers 4xx and 5xx are part of tests and are not among it.
func (b *real) hear(event any) {
	switch e := event.(type) {
	case *runtime.EventExceptionThrown:
		b.problems = append(b.problems, e.ExceptionDetails.Error())
	case *cdplog.EventEntryAdded:
		if e.Entry.Source == cdplog.SourceSecurity || strings.Contains(e.Entry.URL, "/assets/") || strings.Contains(e.Entry.Text, "Content Security Policy") {
			b.problems = append(b.problems, e.Entry.Text)
		}
	case *cdppage.EventJavascriptDialogOpening:
		b.problems = append(b.problems, "a dialog opened: "+e.Message)
	}
}

// healthy fails the test if the browser complained.
func (b *real) healthy() {
	b.w.t.Helper()
	for _, p := range b.problems {
		b.w.t.Errorf("the browser complains: %s", p)
	}
	b.problems = nil
}

// visit opens a page of the dashboard.
func (b *real) visit(path string) {
	b.w.t.Helper()
	b.load(path)
	b.Run(chromedp.WaitReady("main", chromedp.ByQuery))
}

func (b *real) load(path string) {
	b.w.t.Helper()
	b.Visit("https://dashboard.example.com" + path)
}

// signIn types the password at the login page.
func (b *real) signIn(user, password string) {
	b.w.t.Helper()
	b.load("/")
	b.Run(chromedp.WaitVisible("#username", chromedp.ByQuery),
		chromedp.SendKeys("#username", user, chromedp.ByQuery), chromedp.SendKeys("#password", password+"\r", chromedp.ByQuery))
	b.Until(`document.readyState === "complete" && (location.host.startsWith("dashboard.") || !!document.querySelector(".problem"))`)
}

func (b *real) eval(js string) (out string) {
	b.w.t.Helper()
	b.Run(chromedp.Evaluate("String("+js+")", &out))
	return out
}

// look is how a screenshot is taken.
type look struct {
	name          string
	width, height int64
	dark          bool
	checked       bool // by axe; the two that differ most
	media         string
}

var looks = []look{
	{"desktop-light", 1280, 860, false, true, ""}, {"desktop-dark", 1280, 860, true, false, ""},
	{"phone-light", 390, 844, false, false, ""}, {"phone-dark", 390, 844, true, true, ""},
	{"print", 718, 1016, false, false, "print"}, // what is left of A4
}

func (b *real) as(l look) {
	b.w.t.Helper()
	scheme := "light"
	if l.dark {
		scheme = "dark"
	}
	b.Run(chromedp.EmulateViewport(l.width, l.height), emulation.SetEmulatedMedia().WithMedia(l.media).WithFeatures([]*emulation.MediaFeature{{Name: "prefers-color-scheme", Value: scheme}}))
}

// shoot writes a picture of the whole page below the folder that git ignores.
func (b *real) shoot(name string) {
	b.w.t.Helper()
	var png []byte
	b.Run(chromedp.FullScreenshot(&png, 100))
	dir := filepath.Join("..", "..", "tmp", "screenshots")
	b.w.must(os.MkdirAll(dir, 0o755), os.WriteFile(filepath.Join(dir, name+".png"), png, 0o600))
}

// axeSource is axe-core's script; it is fetched at test time only, and is no part of the project.
func axeSource(t testing.TB) string {
	t.Helper()
	for _, dir := range []string{os.Getenv("CUPOLA_AXE"), filepath.Join("..", "..", "tmp", "axe", "node_modules", "axe-core")} {
		if dir == "" {
			continue
		}
		if text, err := os.ReadFile(filepath.Join(dir, "axe.min.js")); err == nil {
			return string(text)
		} else if !errors.Is(err, os.ErrNotExist) {
			t.Fatal(err)
		}
	}
	t.Skip("axe-core is not there: scripts/axe.sh brings it")
	return ""
}

// await has the browser wait for a promise.
func await(p *runtime.EvaluateParams) *runtime.EvaluateParams { return p.WithAwaitPromise(true) }

// accessible has axe look at the page: WCAG 2.2 AA and what it calls best practice.
func (b *real) accessible(what, axe string) {
	b.w.t.Helper()
	var found []struct {
		ID, Help string
		Nodes    []struct{ HTML, FailureSummary string }
	}
	run := `axe.run(document, {runOnly: ["wcag2a", "wcag2aa", "wcag21a", "wcag21aa", "wcag22aa", "best-practice"]}).then((r) => r.violations.map((v) => ({ID: v.id, Help: v.help, Nodes: v.nodes.slice(0, 3).map((n) => ({HTML: n.html, FailureSummary: n.failureSummary}))})))`
	b.Run(chromedp.Evaluate(axe+";0", nil), chromedp.Evaluate(run, &found, await))
	for _, v := range found {
		b.w.t.Errorf("%s: axe %s: %s: %+v", what, v.ID, v.Help, v.Nodes)
	}
}

// pathsOf are all pages with the app's GUID in their address.
func (w *world) pathsOf(names map[string]string) map[string]string {
	out := map[string]string{}
	for pattern := range w.dashboard.readers() {
		path := strings.ReplaceAll(pattern, "{$}", "")
		for _, name := range slices.Sorted(maps.Keys(names)) { // {guid} comes last
			path = strings.ReplaceAll(path, name, names[name])
		}
		name := strings.Trim(strings.NewReplacer("/", "-", "{guid}", "one", "{other}", "one", "{$}", "").Replace(pattern), "-")
		if name == "" {
			name = "overview"
		}
		out[name] = path
	}
	return out
}
