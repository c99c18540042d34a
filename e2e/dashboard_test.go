package e2e

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/chromedp/cdproto/input"
	"github.com/chromedp/chromedp"

	"github.com/cupola-paas/cupola/controller/dashboard/browsertest"
)

// screen is a Chromium that reaches a platform's names at its own address.
type screen struct {
	*browsertest.Browser
	t *testing.T
	p *platform
}

func newScreen(t *testing.T) *screen { t.Helper(); return newScreenOf(t, shared) }

func newScreenOf(t *testing.T, p *platform) *screen {
	t.Helper()
	s := &screen{browsertest.Start(t, p.https, 6*time.Minute), t, p}
	s.Run(chromedp.EmulateViewport(1280, 860))
	return s
}

func (s *screen) visit(path string) { s.t.Helper(); s.Visit(s.p.url("dashboard", path)) }

// shoot leaves a picture below the folder that git ignores.
func (s *screen) shoot(name string) {
	if os.Getenv("CUPOLA_SCREENSHOTS") == "" {
		return
	}
	var png []byte
	s.Run(chromedp.CaptureScreenshot(&png))
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
		s.Run(input.DispatchDragEvent(kind, 640, 300, data))
	}
}

// TestDashboardPushByDrop drops a folder on the page and follows it to the first answer.
func TestDashboardPushByDrop(t *testing.T) {
	t.Parallel()
	u := newUserOf(t, shared, "dropping")
	s := newScreen(t)
	folder, err := filepath.Abs("apps/static")
	if err != nil {
		t.Fatal(err)
	}
	s.signIn("admin", password)
	s.visit("/push")
	s.Until(fmt.Sprintf(`(() => { const f = document.getElementById("space"); const o = f && [...f.options].find((o) => o.text.startsWith(%q)); if (o) f.value = o.value; return !!o; })()`, "dropping"))
	app := "dropped-shop"
	s.Run(chromedp.SendKeys("#name", app, chromedp.ByQuery))
	s.drop(folder)
	s.See("#push-status", "Ready to push.")
	s.shoot("push")
	s.Click("form button", "Push")
	s.See("#ps", "Uploaded")
	s.See("#log", "STG")
	s.shoot("building")
	s.See("#ps", "running")
	u.answers(app, "/", 200, "")
	s.shoot("live")
}
