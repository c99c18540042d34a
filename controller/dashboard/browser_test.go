package dashboard

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"net"
	"os"
	"os/exec"
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
)

// chromiums are the names under which distributions have it.
var chromiums = []string{"chromium", "chromium-browser", "google-chrome", "google-chrome-stable"}

// real is a Chromium that has all of the platform's names at the test's own server.
type real struct {
	w        *world
	ctx      context.Context
	problems []string // what its console complains of: broken scripts, things the policy refused
}

// chromium starts one, and skips the test where there is none.
func (w *world) chromium() *real {
	w.t.Helper()
	path := ""
	for _, name := range chromiums {
		if found, err := exec.LookPath(name); err == nil {
			path = found
			break
		}
	}
	if path == "" {
		w.t.Skip("no Chromium on this machine: install the package chromium to run the tests in a browser")
	}
	_, port, err := net.SplitHostPort(w.srv.Listener.Addr().String())
	w.must(err)
	opts := append(chromedp.DefaultExecAllocatorOptions[:],
		chromedp.ExecPath(path), chromedp.NoSandbox, chromedp.DisableGPU,
		chromedp.Flag("host-resolver-rules", "MAP * 127.0.0.1:"+port), chromedp.Flag("ignore-certificate-errors", true), chromedp.Flag("disable-quic", true),
		chromedp.Flag("disable-component-update", true), chromedp.Flag("disable-dev-shm-usage", true), chromedp.Flag("force-color-profile", "srgb"),
	)
	alloc, stop := chromedp.NewExecAllocator(context.Background(), opts...)
	ctx, cancel := chromedp.NewContext(alloc, chromedp.WithErrorf(func(string, ...any) {}))
	ctx, timeout := context.WithTimeout(ctx, 4*time.Minute)
	b := &real{w: w, ctx: ctx}
	w.t.Cleanup(func() {
		_ = chromedp.Cancel(ctx) // waits for its end; what it left is removed with it
		timeout()
		cancel()
		stop()
	})
	chromedp.ListenTarget(ctx, b.hear)
	b.run(chromedp.EmulateViewport(1280, 900))
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

func (b *real) run(actions ...chromedp.Action) {
	b.w.t.Helper()
	if err := chromedp.Run(b.ctx, actions...); err != nil {
		var where, text string
		_ = chromedp.Run(context.WithoutCancel(b.ctx), chromedp.Location(&where), chromedp.Text("body", &text, chromedp.ByQuery))
		b.w.t.Fatalf("in the browser at %s: %v\n%.1500s", where, err, text)
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

func (b *real) visit(path string) {
	b.w.t.Helper()
	b.load(path)
	b.run(chromedp.WaitReady("main", chromedp.ByQuery))
}

// load opens an address of the dashboard. Each container that starts or ends somewhere on the machine is a change of its
// network to Chromium, which breaks off what it loads: it is asked again.
func (b *real) load(path string) {
	b.w.t.Helper()
	for end := time.Now().Add(30 * time.Second); ; {
		err := chromedp.Run(b.ctx, chromedp.Navigate("https://dashboard.example.com"+path))
		if err == nil || !strings.Contains(err.Error(), "ERR_NETWORK_CHANGED") || time.Now().After(end) {
			b.w.must(err)
			return
		}
	}
}

// signIn types the password at the login page.
func (b *real) signIn(user, password string) {
	b.w.t.Helper()
	b.load("/")
	b.run(chromedp.WaitVisible("#username", chromedp.ByQuery),
		chromedp.SendKeys("#username", user, chromedp.ByQuery), chromedp.SendKeys("#password", password+"\r", chromedp.ByQuery))
	b.until(`document.readyState === "complete" && (location.host.startsWith("dashboard.") || !!document.querySelector(".problem"))`)
}

// see waits for a text in an element, over navigations too.
func (b *real) see(selector, text string) {
	b.w.t.Helper()
	b.until(fmt.Sprintf(`[...document.querySelectorAll(%q)].some((e) => e.checkVisibility() && e.innerText.includes(%q))`, selector, text))
}

// until waits for a condition in the page. While one page gives way to the next there is none to ask, so it asks again. A
// page that broke off (see load) is asked for again, once.
func (b *real) until(js string) {
	b.w.t.Helper()
	for end := time.Now().Add(30 * time.Second); time.Now().Before(end); time.Sleep(40 * time.Millisecond) {
		var ok bool
		if err := chromedp.Run(b.ctx, chromedp.Evaluate(`location.protocol === "chrome-error:" ? (window.again ||= (location.reload(), true), false) : (`+js+`)`, &ok)); err == nil && ok {
			return
		}
	}
	b.run(chromedp.ActionFunc(func(context.Context) error { return errors.New("it never came to be that " + js) }))
}

func (b *real) eval(js string) (out string) {
	b.w.t.Helper()
	b.run(chromedp.Evaluate("String("+js+")", &out))
	return out
}

// click presses what has the text.
func (b *real) click(selector, text string) {
	b.w.t.Helper()
	js := fmt.Sprintf(`(() => { const e = [...document.querySelectorAll(%q)].find((e) => e.checkVisibility() && e.innerText.includes(%q)); e?.click(); return e ? "clicked" : "there is none"; })()`, selector, text)
	if got := b.eval(js); got != "clicked" {
		b.w.t.Fatalf("click %s %q: %s", selector, text, got)
	}
}

// look is how a screenshot is taken.
type look struct {
	name          string
	width, height int64
	dark          bool
	checked       bool // by axe; the two that differ most
}

var looks = []look{{"desktop-light", 1280, 860, false, true}, {"desktop-dark", 1280, 860, true, false}, {"phone-light", 390, 844, false, false}, {"phone-dark", 390, 844, true, true}}

func (b *real) as(l look) {
	b.w.t.Helper()
	scheme := "light"
	if l.dark {
		scheme = "dark"
	}
	b.run(chromedp.EmulateViewport(l.width, l.height), emulation.SetEmulatedMedia().WithFeatures([]*emulation.MediaFeature{{Name: "prefers-color-scheme", Value: scheme}}))
}

// shoot writes a picture of the whole page below the folder that git ignores.
func (b *real) shoot(name string) {
	b.w.t.Helper()
	var png []byte
	b.run(chromedp.FullScreenshot(&png, 100))
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
	b.run(chromedp.Evaluate(axe+";0", nil), chromedp.Evaluate(run, &found, await))
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
