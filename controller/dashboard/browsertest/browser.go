// Package browsertest gives the tests of the dashboard a real Chromium, which has every name at the address of the server
// under test. It promises that a page does not notice what else goes on at the machine: to Chromium each container that
// starts or ends is a change of the network, which breaks off what it loads, so the browser gets a network of its own.
// The tests of controller/dashboard and e2e call it, and nothing else does.
package browsertest

import (
	"context"
	"errors"
	"fmt"
	"net"
	"os/exec"
	"testing"
	"time"

	"github.com/chromedp/chromedp"
)

// chromiums are the names under which distributions have it.
var chromiums = []string{"chromium", "chromium-browser", "google-chrome", "google-chrome-stable"}

// Browser is a Chromium with one page.
type Browser struct {
	T        testing.TB
	Ctx      context.Context // of chromedp: the page
	Patience time.Duration   // for which Until waits
}

// Start starts one that ends with the test, or after the limit. The server is an address
// and port of this machine, whose certificate is not looked at. The test is skipped where there is no Chromium.
func Start(t testing.TB, server string, limit time.Duration) *Browser {
	t.Helper()
	path, err := lookChromium()
	if err != nil {
		t.Skip(err)
	}
	opts := append(chromedp.DefaultExecAllocatorOptions[:],
		chromedp.ExecPath(path), chromedp.NoSandbox, chromedp.DisableGPU,
		chromedp.Flag("host-resolver-rules", "MAP * "+server), chromedp.Flag("ignore-certificate-errors", true), chromedp.Flag("disable-quic", true),
		chromedp.Flag("disable-component-update", true), chromedp.Flag("disable-dev-shm-usage", true), chromedp.Flag("force-color-profile", "srgb"),
	)
	apart, err := setApart(t, server)
	if err != nil {
		t.Logf("the browser shares the machine's network, and containers that start beside it break off what it loads: %v", err)
	}
	alloc, stop := chromedp.NewExecAllocator(context.Background(), append(opts, apart...)...)
	ctx, cancel := chromedp.NewContext(alloc, chromedp.WithErrorf(func(string, ...any) {}))
	ctx, timeout := context.WithTimeout(ctx, limit)
	t.Cleanup(func() {
		_ = chromedp.Cancel(ctx) // waits for its end; what it left is removed with it
		timeout()
		cancel()
		stop()
	})
	return &Browser{T: t, Ctx: ctx, Patience: 90 * time.Second}
}

func lookChromium() (string, error) {
	for _, name := range chromiums {
		if path, err := exec.LookPath(name); err == nil {
			return path, nil
		}
	}
	return "", errors.New("no Chromium on this machine: install the package chromium to run the tests in a browser")
}

// setApart makes the network in which Chromium starts. In it, the server is at the address that it has outside; and where
// Chromium listens for its orders in it, there the test reaches it from outside.
func setApart(t testing.TB, server string) ([]chromedp.ExecAllocatorOption, error) {
	nsenter, err := exec.LookPath("nsenter")
	if err != nil {
		return nil, err
	}
	n, err := newNetwork(t)
	if err != nil {
		return nil, err
	}
	toServer, err := n.listen(server)
	if err != nil {
		return nil, err
	}
	forward(t, toServer, func() (net.Conn, error) { return net.Dial("tcp", server) })
	toBrowser, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return nil, err
	}
	debug := toBrowser.Addr().String()
	forward(t, toBrowser, func() (net.Conn, error) { return n.dial(debug) })
	_, port, err := net.SplitHostPort(debug)
	return []chromedp.ExecAllocatorOption{
		chromedp.Flag("remote-debugging-port", port),
		chromedp.ModifyCmdFunc(func(cmd *exec.Cmd) {
			cmd.Args = append([]string{nsenter, "--net=" + n.path, "--", cmd.Path}, cmd.Args[1:]...)
			cmd.Path, cmd.SysProcAttr = nsenter, endsWithUs()
		}),
	}, err
}

// Run does what chromedp is told, or ends the test with what the page shows.
func (b *Browser) Run(actions ...chromedp.Action) {
	b.T.Helper()
	if err := chromedp.Run(b.Ctx, actions...); err != nil {
		var where, text string
		_ = chromedp.Run(context.WithoutCancel(b.Ctx), chromedp.Location(&where), chromedp.Evaluate(`document.body.innerText.slice(0, 1500)`, &text))
		b.T.Fatalf("in the browser at %s: %v\n%s", where, err, text)
	}
}

// Visit opens an address.
func (b *Browser) Visit(url string) {
	b.T.Helper()
	b.Run(chromedp.Navigate(url))
}

// Until waits for a condition in the page. While one page gives way to the next there is none to ask, so it asks again.
func (b *Browser) Until(js string) {
	b.T.Helper()
	for end := time.Now().Add(b.Patience); time.Now().Before(end); time.Sleep(40 * time.Millisecond) {
		var ok bool
		if chromedp.Run(b.Ctx, chromedp.Evaluate(js, &ok)) == nil && ok {
			return
		}
	}
	b.Run(chromedp.ActionFunc(func(context.Context) error { return errors.New("it never came to be that " + js) }))
}

// See waits for a text in a visible element, over navigations too.
func (b *Browser) See(selector, text string) {
	b.T.Helper()
	b.Until(fmt.Sprintf(`[...document.querySelectorAll(%q)].some((e) => e.checkVisibility() && e.innerText.includes(%q))`, selector, text))
}

// Click presses the first visible element with the text, once there is one.
func (b *Browser) Click(selector, text string) {
	b.T.Helper()
	b.Until(fmt.Sprintf(`(() => { const e = [...document.querySelectorAll(%q)].find((e) => e.checkVisibility() && e.innerText.includes(%q)); e?.click(); return !!e; })()`, selector, text))
}
