package e2e

import (
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/chromedp/cdproto/input"
	"github.com/chromedp/chromedp"
)

// screen is a Chromium that reaches a platform's names at its own address.
type screen struct {
	t   *testing.T
	p   *platform
	ctx context.Context
}

func newScreen(t *testing.T) *screen { t.Helper(); return newScreenOf(t, shared) }

func newScreenOf(t *testing.T, p *platform) *screen {
	t.Helper()
	path, err := exec.LookPath("chromium")
	if err != nil {
		t.Skip("no Chromium on this machine: install the package chromium to run the tests in a browser")
	}
	host, _, _ := net.SplitHostPort(p.https)
	opts := append(chromedp.DefaultExecAllocatorOptions[:], chromedp.ExecPath(path), chromedp.NoSandbox, chromedp.DisableGPU,
		chromedp.Flag("host-resolver-rules", "MAP * "+host), chromedp.Flag("ignore-certificate-errors", true), chromedp.Flag("disable-quic", true),
		chromedp.Flag("disable-component-update", true), chromedp.Flag("disable-dev-shm-usage", true))
	alloc, stop := chromedp.NewExecAllocator(context.Background(), opts...)
	ctx, cancel := chromedp.NewContext(alloc, chromedp.WithErrorf(func(string, ...any) {}))
	ctx, timeout := context.WithTimeout(ctx, 6*time.Minute)
	t.Cleanup(func() {
		_ = chromedp.Cancel(ctx)
		timeout()
		cancel()
		stop()
	})
	s := &screen{t, p, ctx}
	s.run(chromedp.EmulateViewport(1280, 860))
	return s
}

func (s *screen) run(actions ...chromedp.Action) {
	s.t.Helper()
	if err := chromedp.Run(s.ctx, actions...); err != nil {
		var where, text string
		_ = chromedp.Run(s.ctx, chromedp.Location(&where), chromedp.Evaluate(`document.body.innerText.slice(0, 1500)`, &text))
		s.t.Fatalf("in the browser at %s: %v\n%s", where, err, text)
	}
}

// until asks the page again and again, over navigations too. Each container that starts is a change of the machine's network
// to Chromium, which breaks off what it loads: it is asked again, once for each page that broke off.
func (s *screen) until(js string) {
	s.t.Helper()
	for end := time.Now().Add(90 * time.Second); time.Now().Before(end); time.Sleep(100 * time.Millisecond) {
		var ok bool
		if chromedp.Run(s.ctx, chromedp.Evaluate(`location.protocol === "chrome-error:" ? (window.again ||= (location.reload(), true), false) : (`+js+`)`, &ok)) == nil && ok {
			return
		}
	}
	s.run(chromedp.ActionFunc(func(context.Context) error { return errors.New("it never came to be that " + js) }))
}

func (s *screen) see(selector, text string) {
	s.t.Helper()
	s.until(fmt.Sprintf(`[...document.querySelectorAll(%q)].some((e) => e.checkVisibility() && e.innerText.includes(%q))`, selector, text))
}

func (s *screen) click(selector, text string) {
	s.t.Helper()
	js := fmt.Sprintf(`(() => { const e = [...document.querySelectorAll(%q)].find((e) => e.checkVisibility() && e.innerText.includes(%q)); e?.click(); return !!e; })()`, selector, text)
	s.until(js)
}

func (s *screen) visit(path string) {
	s.t.Helper()
	for end := time.Now().Add(90 * time.Second); ; {
		err := chromedp.Run(s.ctx, chromedp.Navigate(s.p.url("dashboard", path)))
		if err == nil {
			return
		}
		if !strings.Contains(err.Error(), "ERR_NETWORK_CHANGED") || time.Now().After(end) { // see until
			s.t.Fatalf("visit %s: %v", path, err)
		}
	}
}

// shoot leaves a picture below the folder that git ignores.
func (s *screen) shoot(name string) {
	if os.Getenv("CUPOLA_SCREENSHOTS") == "" {
		return
	}
	var png []byte
	s.run(chromedp.CaptureScreenshot(&png))
	dir := filepath.Join("..", "tmp", "screenshots", "live")
	if err := errors.Join(os.MkdirAll(dir, 0o755), os.WriteFile(filepath.Join(dir, name+".png"), png, 0o600)); err != nil {
		s.t.Fatal(err)
	}
}

// drop drops a folder or file of this machine on the page.
func (s *screen) drop(path string) {
	s.t.Helper()
	data := &input.DragData{Items: []*input.DragDataItem{}, Files: []string{path}, DragOperationsMask: 1}
	for _, kind := range []input.DispatchDragEventType{input.DragEnter, input.DragOver, input.Drop} {
		s.run(input.DispatchDragEvent(kind, 640, 300, data))
	}
}

// TestDashboardPushByDrop drops a folder on the page and follows it to the first answer.
func TestDashboardPushByDrop(t *testing.T) {
	u := newUserOf(t, shared, "dropping")
	s := newScreen(t)
	folder, err := filepath.Abs("apps/static")
	if err != nil {
		t.Fatal(err)
	}
	s.signIn("admin", password)
	s.visit("/push")
	s.until(fmt.Sprintf(`(() => { const f = document.getElementById("space"); const o = f && [...f.options].find((o) => o.text.startsWith(%q)); if (o) f.value = o.value; return !!o; })()`, "dropping"))
	app := "dropped-shop"
	s.run(chromedp.SendKeys("#name", app, chromedp.ByQuery))
	s.drop(folder)
	s.see("#push-status", "Ready to push.")
	s.shoot("push")
	s.click("form button", "Push")
	s.see("#ps", "Uploaded")
	s.see("#log", "STG")
	s.shoot("building")
	s.see("#ps", "running")
	u.answers(app, "/", 200, "")
	s.shoot("live")
}
