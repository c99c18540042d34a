package e2e

import (
	"encoding/json"
	"fmt"
	"html"
	"io"
	"net/http"
	"net/http/cookiejar"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"
)

// sample copies one of the sample apps, so that a test may change it.
func sample(t *testing.T, name string) string {
	t.Helper()
	dir := filepath.Join(t.TempDir(), filepath.Base(name))
	if err := os.CopyFS(dir, os.DirFS(filepath.Join("apps", name))); err != nil {
		t.Fatal(err)
	}
	return dir
}

func writeFile(t *testing.T, path, content string) {
	t.Helper()
	if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(path, []byte(content), 0o644); err != nil {
		t.Fatal(err)
	}
}

// host is a route's host that no other test has.
func host(t *testing.T, app string) string {
	return app + "-" + strings.ToLower(strings.NewReplacer("/", "-", "_", "-").Replace(t.Name()))
}

// TestPushSamples pushes one app in each language and asks it over HTTPS with the platform's CA.
func TestPushSamples(t *testing.T) {
	t.Parallel()
	u := newUser(t, shared)
	ca := u.must("ca")
	trusting := &http.Client{Transport: u.transport([]byte(ca)), Timeout: 10 * time.Second}
	for _, app := range []string{"node", "go", "python", "static", "binary"} {
		t.Run(app, func(t *testing.T) {
			dir := sample(t, app)
			if app == "binary" {
				buildBinary(t, dir)
			}
			name := "sample-" + app
			out := u.must("push", name, "-p", dir, "-f", filepath.Join(dir, "manifest.yml"))
			if !strings.Contains(out, name+"."+domain) {
				t.Errorf("push does not show the app's URL:\n%s", out)
			}
			resp, err := trusting.Get(u.url(name, "/"))
			if err != nil {
				t.Fatalf("the app over HTTPS with the platform's CA: %v", err)
			}
			defer resp.Body.Close()
			if resp.StatusCode != http.StatusOK || resp.ProtoMajor != 2 {
				t.Errorf("GET / = %s over HTTP/%d, want 200 over HTTP/2", resp.Status, resp.ProtoMajor)
			}
		})
	}
}

// buildBinary compiles the binary sample, which is pushed as an executable.
func buildBinary(t *testing.T, dir string) {
	t.Helper()
	buildGo(t, filepath.Join(dir, "src"), dir)
}

// buildGo compiles a module into the executable "server" of a folder.
func buildGo(t *testing.T, src, dir string) {
	t.Helper()
	cmd := exec.Command("go", "build", "-trimpath", "-o", filepath.Join(dir, "server"), ".")
	cmd.Dir, cmd.Env = src, append(os.Environ(), "CGO_ENABLED=0", "GOFLAGS=-buildvcs=false")
	if out, err := cmd.CombinedOutput(); err != nil {
		t.Fatalf("build the binary sample: %v\n%s", err, out)
	}
}

// TestSecondPushRollsWithoutDroppingARequest changes one file under a steady load.
func TestSecondPushRollsWithoutDroppingARequest(t *testing.T) {
	t.Parallel()
	u := newUser(t, shared)
	dir, app := sample(t, "node"), host(t, "roll")
	writeFile(t, filepath.Join(dir, "version.txt"), "one\n")
	u.must("push", app, "-p", dir, "-f", filepath.Join(dir, "manifest.yml"), "-i", "2")
	u.answers(app, "/version", 200, "one")

	var out string
	total, failed, why := u.underLoad(app, func() {
		writeFile(t, filepath.Join(dir, "version.txt"), "two\n")
		out = u.must("push", app, "-p", dir, "-f", filepath.Join(dir, "manifest.yml"))
	})
	u.answers(app, "/version", 200, "two")
	if failed != 0 || total < 50 {
		t.Errorf("%d of %d requests failed during the second push (the first: %s)\n%s", failed, total, why, out)
	}
}

// underLoad asks the app's /version 200 times a second while do runs and for a second after, and counts.
func (u *user) underLoad(app string, do func()) (total, failed int64, why string) {
	var sent, lost atomic.Int64
	var first sync.Once
	stop := make(chan struct{})
	var load sync.WaitGroup
	for range 20 {
		load.Go(func() {
			tick := time.NewTicker(100 * time.Millisecond) // 20 x 10 = 200 requests a second
			defer tick.Stop()
			for {
				select {
				case <-stop:
					return
				case <-tick.C:
				}
				sent.Add(1)
				if status, body, err := u.get(app, "/version"); err != nil || status != 200 {
					lost.Add(1)
					first.Do(func() { why = fmt.Sprint(status, " ", body, " ", err) })
				}
			}
		})
	}
	do()
	time.Sleep(time.Second)
	close(stop)
	load.Wait()
	return sent.Load(), lost.Load(), why
}

// TestDayOfADeveloper walks through the commands that follow a push.
func TestDayOfADeveloper(t *testing.T) {
	t.Parallel()
	u := newUser(t, shared)
	dir, app := sample(t, "node"), host(t, "day")
	u.must("push", app, "-p", dir, "-f", filepath.Join(dir, "manifest.yml"))

	if out := u.must("apps"); !strings.Contains(out, app) || !strings.Contains(out, "started") {
		t.Errorf("apps does not list the started app:\n%s", out)
	}
	var shown map[string]any
	if err := json.Unmarshal([]byte(u.must("app", app, "--json")), &shown); err != nil {
		t.Errorf("app --json is not JSON: %v", err)
	}
	out := u.must("app", app)
	for _, want := range []string{"#0", "running", "nodejs"} {
		if !strings.Contains(out, want) {
			t.Errorf("app does not show %q:\n%s", want, out)
		}
	}

	u.must("scale", app, "-i", "3")
	u.eventually("three instances", func() bool {
		return strings.Contains(u.must("app", app), "3/3 running")
	})
	u.must("scale", app, "-i", "1")
	u.must("scale", app, "-m", "192M", "-f")
	u.answers(app, "/", 200, "")

	u.must("set-env", app, "GREETING", "hello from e2e")
	u.must("restage", app)
	u.answers(app, "/env/GREETING", 200, "hello from e2e")
	if out := u.must("env", app); !strings.Contains(out, "GREETING") || !strings.Contains(out, "VCAP_APPLICATION") {
		t.Errorf("env does not show the variables:\n%s", out)
	}

	u.must("map-route", app, domain, "--hostname", app+"-too", "--path", "/env")
	u.answers(app+"-too", "/env/GREETING", 200, "hello from e2e")
	u.answers(app+"-too", "/version", 404, "does not exist")
	u.must("unmap-route", app, domain, "--hostname", app+"-too", "--path", "/env")
	u.answers(app+"-too", "/env/GREETING", 404, "does not exist")

	u.must("stop", app)
	u.answers(app, "/", 404, "")
	u.must("start", app)
	u.answers(app, "/", 200, "")
	u.must("restart", app)
	u.answers(app, "/", 200, "")

	u.eventually("log lines of app, router and API", func() bool {
		out := u.must("logs", app, "--recent")
		return strings.Contains(out, "[APP/PROC/WEB/0]") && strings.Contains(out, "[RTR/0]") && strings.Contains(out, "[API/0]")
	})
	if out := u.must("events", app); !strings.Contains(out, "audit.app.create") {
		t.Errorf("events lacks the creation:\n%s", out)
	}
	for _, list := range []string{"buildpacks", "stacks", "routes", "domains", "orgs", "spaces"} {
		u.must(list)
		var any any
		if err := json.Unmarshal([]byte(u.must(list, "--json")), &any); err != nil {
			t.Errorf("%s --json: %v", list, err)
		}
	}
	u.must("delete", app, "-f", "-r")
	u.answers(app, "/", 404, "")
	if out := u.must("apps"); strings.Contains(out, app) {
		t.Errorf("the deleted app is still listed:\n%s", out)
	}
}

// TestDashboardSignIn looks at the sign-in page and follows the form with the right and a wrong password.
func TestDashboardSignIn(t *testing.T) {
	t.Parallel()
	jar, err := cookiejar.New(nil)
	if err != nil {
		t.Fatal(err)
	}
	browser := &http.Client{Transport: shared.transport(nil), Jar: jar, Timeout: 10 * time.Second}
	page := func(method, name, path string, form url.Values) (int, string) {
		req, err := http.NewRequestWithContext(t.Context(), method, shared.url(name, path), strings.NewReader(form.Encode()))
		if err != nil {
			t.Fatal(err)
		}
		req.Header.Set("Content-Type", "application/x-www-form-urlencoded")
		req.Header.Set("Sec-Fetch-Site", "same-origin")
		resp, err := browser.Do(req)
		if err != nil {
			t.Fatal(err)
		}
		defer resp.Body.Close()
		body, _ := io.ReadAll(resp.Body)
		return resp.StatusCode, string(body)
	}
	hidden := regexp.MustCompile(`name="(X-Uaa-Csrf|next)" value="([^"]*)"`)
	for _, c := range []struct{ password, want string }{{"wrong-password", "is not right"}, {password, "Sign out"}} {
		_, body := page(http.MethodGet, "dashboard", "/", nil) // leads to the login page
		form := url.Values{"username": {"admin"}, "password": {c.password}}
		for _, m := range hidden.FindAllStringSubmatch(body, -1) {
			form.Set(m[1], html.UnescapeString(m[2]))
		}
		status, body := page(http.MethodPost, "login", "/login.do", form)
		if !strings.Contains(body, c.want) {
			t.Errorf("sign-in with %q: %d, the page lacks %q:\n%.600s", c.password, status, c.want, body)
		}
	}
}

// eventually waits for a condition.
func (u *user) eventually(what string, ok func() bool) {
	u.t.Helper()
	for range 150 {
		if ok() {
			return
		}
		time.Sleep(200 * time.Millisecond)
	}
	u.t.Fatalf("still not: %s\n%s", what, serverLogOnFailure(u.platform))
}

// TestOnlyChangedFilesAreUploaded looks at what the second push says it sends.
func TestOnlyChangedFilesAreUploaded(t *testing.T) {
	t.Parallel()
	u := newUser(t, shared)
	dir, app := sample(t, "static"), host(t, "bits")
	big := strings.Repeat("0123456789abcdef", 64<<10) // 1 MiB
	writeFile(t, filepath.Join(dir, "public", "big.txt"), big)
	u.must("push", app, "-p", dir, "-f", filepath.Join(dir, "manifest.yml"))
	writeFile(t, filepath.Join(dir, "public", "small.txt"), "new\n")
	var before, after struct {
		Resources []struct {
			Data struct {
				Checksum struct{ Value string }
			}
		}
	}
	u.curl("/v3/packages?order_by=-created_at&app_guids="+u.guid(app), &before)
	r := u.try("push", app, "-p", dir, "-f", filepath.Join(dir, "manifest.yml"))
	if r.code != 0 {
		t.Fatal(r.all())
	}
	sent := regexp.MustCompile(`Uploaded (\d+)(B|\.\d+K|K) in`)
	if !sent.MatchString(r.err) || !strings.Contains(r.err, "there already") {
		t.Errorf("the second push is to send a few bytes, not the megabyte that was there already:\n%s", r.err)
	}
	u.curl("/v3/packages?order_by=-created_at&app_guids="+u.guid(app), &after)
	if len(after.Resources) != len(before.Resources)+1 {
		t.Errorf("packages: %d before, %d after the second push", len(before.Resources), len(after.Resources))
	}
	u.answers(app, "/small.txt", 200, "new")
	u.answers(app, "/big.txt", 200, "0123456789abcdef")
}
