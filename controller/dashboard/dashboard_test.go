package dashboard

import (
	"embed"
	"encoding/json"
	"errors"
	"fmt"
	"html"
	"net/http"
	"net/url"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/cupola-paas/cupola/store"
)

func TestSignInAndOut(t *testing.T) {
	w := newWorld(t)
	if got := w.get("/routes"); got.path != "/sign-in?to=%2Froutes" {
		t.Errorf("a stranger was sent to %s", got.path)
	}
	w.signIn("admin", "wrong", "").want(http.StatusUnauthorized, "The user name or the password is wrong.", `value="admin"`).lacks("Sign out", "wrong\"")
	in := w.signIn("admin", "secret", "/routes").want(http.StatusOK, "Routes", "Sign out")
	if in.path != "/routes" {
		t.Errorf("after the sign-in: %s, want the page that was asked for", in.path)
	}
	sessions := func() (n int) {
		w.must(w.db.View(func(tx *store.Tx) (err error) { n, err = store.RefreshTokens.Count(tx); return err }))
		return n
	}
	if n := sessions(); n != 1 {
		t.Errorf("%d tokens while signed in, want 1", n)
	}
	out := w.post("/sign-out", url.Values{"csrf": {in.csrf()}}).want(http.StatusOK, "Password")
	if n := sessions(); n != 0 || out.path != "/sign-in" {
		t.Errorf("after the sign-out: %d tokens at %s", n, out.path)
	}
	if got := w.get("/"); got.path != "/sign-in" {
		t.Errorf("after the sign-out, / leads to %s", got.path)
	}
}

func TestSessionCookie(t *testing.T) {
	w := newWorld(t)
	w.browser.CheckRedirect = func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }
	in := w.signIn("admin", "secret", "").want(http.StatusSeeOther)
	var found string
	for _, c := range in.header.Values("Set-Cookie") {
		if strings.HasPrefix(c, "__Host-cupola-session=") {
			found = c
		}
	}
	for _, part := range []string{"HttpOnly", "Secure", "SameSite=Lax", "Path=/"} {
		if !strings.Contains(found, part) {
			t.Errorf("cookie %q lacks %s", found, part)
		}
	}
	if strings.Contains(found, "Domain") {
		t.Errorf("cookie %q goes to the apps too", found)
	}
}

func TestSignInLeadsNowhereElse(t *testing.T) {
	for _, to := range []string{"", "https://evil.example", "//evil.example", "/\\evil.example", "javascript:alert(1)", "evil", "/\t/evil.example"} {
		if got := localPath(to); got != "/" {
			t.Errorf("localPath(%q) = %q, want /", to, got)
		}
	}
	if got := localPath("/apps/x?a=b"); got != "/apps/x?a=b" {
		t.Errorf("localPath of a path of ours = %q", got)
	}
}

func TestFormsNeedTheirToken(t *testing.T) {
	w := newWorld(t)
	guid := w.app("shop", 1, 1, nil)
	if got := w.post("/sign-in", url.Values{"username": {"admin"}, "password": {"secret"}}); got.status != http.StatusForbidden {
		t.Errorf("sign-in without its token: %d", got.status)
	}
	token := w.signIn("admin", "secret", "").csrf()
	stopped := func() bool {
		var a *store.App
		w.must(w.db.View(func(tx *store.Tx) (err error) { a, err = store.Apps.Get(tx, guid); return err }))
		return a.State == store.AppStopped
	}
	for name, try := range map[string]func() *shown{
		"no token":    func() *shown { return w.post("/apps/"+guid+"/stop", nil) },
		"wrong token": func() *shown { return w.post("/apps/"+guid+"/stop", url.Values{"csrf": {newSecret()}}) },
		"another site": func() *shown {
			return w.post("/apps/"+guid+"/stop", url.Values{"csrf": {token}}, "Sec-Fetch-Site", "same-site")
		},
	} {
		if got := try(); got.status != http.StatusForbidden || stopped() {
			t.Errorf("%s: status %d, stopped %v", name, got.status, stopped())
		}
	}
	w.get("/apps/" + guid + "/stop").want(http.StatusNotFound)
	w.post("/apps/"+guid+"/stop", url.Values{"csrf": {token}}, "Sec-Fetch-Site", "same-origin").want(http.StatusOK, "The app is stopped.")
	if !stopped() {
		t.Error("the app was not stopped")
	}
}

func TestSessionsEnd(t *testing.T) {
	w := newWorld(t)
	guid := w.app("shop", 1, 1, nil)
	w.signIn("admin", "secret", "").want(http.StatusOK, "Sign out")
	for range 3 { // an open page asks on, which doesn't count
		w.clock.pass(idleFor / 4)
		w.get("/apps/" + guid + "/live?after=0").want(http.StatusOK)
	}
	w.clock.pass(idleFor/4 + time.Minute)
	w.get("/apps/" + guid + "/live?after=0").want(http.StatusUnauthorized)
	if got := w.get("/"); got.path != "/sign-in" {
		t.Errorf("after %v without a page: %s", idleFor, got.path)
	}
	w.signIn("admin", "secret", "")
	for range int(lastsFor/(20*time.Minute)) + 1 {
		w.get("/buildpacks")
		w.clock.pass(20 * time.Minute)
	}
	if got := w.get("/"); got.path != "/sign-in" {
		t.Errorf("after %v: %s", lastsFor, got.path)
	}
}

func TestSessionsAreBounded(t *testing.T) {
	c := &clock{}
	s := newSessions(c.now)
	first := s.add("one", nil)
	for range maxSessions {
		c.pass(time.Millisecond)
		s.add("more", nil)
	}
	if len(s.by) != maxSessions || s.get(first) != nil {
		t.Errorf("%d sessions, the first one there: %v", len(s.by), s.get(first) != nil)
	}
	if s.get("") != nil || s.get("made up") != nil {
		t.Error("a session without an id")
	}
}

func TestLoginThatEndedElsewhere(t *testing.T) {
	w := newWorld(t)
	w.signIn("admin", "secret", "").want(http.StatusOK)
	w.must(w.db.Update(func(tx *store.Tx) error {
		all, _, err := store.RefreshTokens.List(tx, store.Query[store.RefreshToken]{})
		for _, one := range all {
			w.must(store.RefreshTokens.Delete(tx, one.GUID))
		}
		return err
	}))
	if got := w.get("/"); got.path != "/sign-in" {
		t.Errorf("with a revoked token: %s %d", got.path, got.status)
	}
}

func TestEmptyPagesTeach(t *testing.T) {
	w := newWorld(t)
	w.signIn("admin", "secret", "").want(http.StatusOK, "No apps yet", "cupola login -a https://api.example.com -u admin",
		"cupola target -o acme -s dev", "cupola push my-app")
	w.get("/routes").want(http.StatusOK, "No routes yet")
	w.get("/buildpacks").want(http.StatusOK, "Buildpacks", "cupola", "default")
	w.get("/?name=nobody").want(http.StatusOK, "No app is called nobody")
	w.get("/nothing").want(http.StatusNotFound, "There is no such page here.")
	w.get("/apps/00000000-0000-0000-0000-000000000000").want(http.StatusNotFound, "App not found")
	w.get("/apps/..%2Forganizations").want(http.StatusNotFound, "There is no such page here.")
}

func TestAppPage(t *testing.T) {
	w := newWorld(t)
	guid := w.app("shop", 3, 2, map[string]string{"API_KEY": "s3cr3t-value", "GREETING": "hello-value"})
	for i := range 120 {
		w.say(guid, fmt.Sprintf("line %d.", i))
	}
	w.signIn("admin", "secret", "").want(http.StatusOK, "shop", "partly running", "web 2/3", "acme / dev", "https://r"+guid[:8]+".example.com/")
	p := w.get("/apps/"+guid).want(http.StatusOK, "web #0", "web #2", "crashed", "exited with status 1", "line 119.", "line 20.",
		"API_KEY", "GREETING", "VCAP_APPLICATION", "cupola push shop").lacks("line 19.", "s3cr3t-value", "hello-value")
	w.post("/apps/"+guid+"/env", url.Values{"csrf": {p.csrf()}, "key": {"app/API_KEY"}}).want(http.StatusOK, "s3cr3t-value").lacks("hello-value")
	w.post("/apps/"+guid+"/env", url.Values{"csrf": {p.csrf()}, "key": {"*"}}).want(http.StatusOK, "s3cr3t-value", "hello-value")
	w.get("/routes").want(http.StatusOK, "r"+guid[:8]+".example.com", "shop")
}

func TestAppThatWasOnlyCreated(t *testing.T) {
	w := newWorld(t)
	a := &store.App{Name: "new one", SpaceGUID: w.space, State: store.AppStopped, Lifecycle: store.Lifecycle{Type: "buildpack"}}
	w.must(w.db.Update(func(tx *store.Tx) error { return store.Apps.Put(tx, a) }))
	w.signIn("admin", "secret", "").want(http.StatusOK, "new one", "stopped")
	w.get("/apps/"+a.GUID).want(http.StatusOK, "cupola push 'new one'", "cupola map-route 'new one' DOMAIN --hostname 'new one'", "The app is stopped.", "Start new one")
}

func TestActions(t *testing.T) {
	w := newWorld(t)
	guid := w.app("shop", 1, 1, nil)
	token := url.Values{"csrf": {w.signIn("admin", "secret", "").csrf()}}
	scale := func(instances, memory string) *shown {
		return w.post("/apps/"+guid+"/scale", url.Values{
			"csrf": token["csrf"], "process": {"web"}, "instances": {instances}, "was-instances": {"1"}, "memory": {memory}, "was-memory": {"256"},
		})
	}
	scale("1", "256").want(http.StatusOK, "Nothing was changed.")
	scale("2", "256").want(http.StatusOK, "web is scaled.", "web 1/2")
	scale("2", "512").want(http.StatusOK, "takes effect at the next restart")
	scale("many", "256").want(http.StatusOK, `"many" is no number of instances`)
	scale("1", "0").want(http.StatusOK, "notice bad")
	w.post("/apps/"+guid+"/stop", token).want(http.StatusOK, "The app is stopped.", "Start shop")
	w.get("/apps/" + guid).want(http.StatusOK).lacks("The app is stopped.</p>\n<div")
	w.post("/apps/"+guid+"/start", token).want(http.StatusOK, "notice bad") // it has no droplet: the API says so
	w.post("/apps/"+guid+"/explode", token).want(http.StatusNotFound)
	w.get("/apps/"+guid).want(http.StatusOK, "audit.app.stop", "audit.app.process.scale")
}

func TestLive(t *testing.T) {
	w := newWorld(t)
	guid := w.app("shop", 2, 1, nil)
	w.say(guid, "before")
	w.signIn("admin", "secret", "")
	after := regexp.MustCompile(`data-after="(\d+)"`).FindStringSubmatch(w.get("/apps/" + guid).text)
	w.say(guid, "\x1b[31mred\x1b[0m "+hostile)
	got := w.get("/apps/" + guid + "/live?after=" + after[1]).want(http.StatusOK)
	var news liveAnswer
	w.must(json.Unmarshal([]byte(got.text), &news))
	if len(news.Logs) != 1 || news.Logs[0].Text != "red "+hostile || news.After <= after[1] {
		t.Errorf("news: %+v", news)
	}
	if len(news.Instances.Rows) != 2 || news.Instances.Rows[1].State.Text != "crashed" || news.State.Text != "partly running" {
		t.Errorf("instances: %+v %+v", news.Instances, news.State)
	}
	w.get("/apps/" + guid + "/live?after=x").want(http.StatusNotFound)
}

var (
	inlineScript  = regexp.MustCompile(`(?i)<script(?:\s+type="module")?\s*>|<style|\sstyle=|\son[a-z]+=|javascript:`)
	scriptContent = regexp.MustCompile(`(?is)<script[^>]*>\s*[^<\s]`)
	tags          = regexp.MustCompile(`(?s)<[^>]*>`)
	elsewhere     = regexp.MustCompile(`(?:src|action|href)="(?:https?:)?//([^/"]*)`)
)

// TestPagesAreInert walks what every page answers: no inline script or style, nothing from elsewhere, and the
// hostile names as text only.
func TestPagesAreInert(t *testing.T) {
	w := newWorld(t)
	guid := w.app(hostile, 2, 1, map[string]string{hostile: hostile})
	w.say(guid, hostile)
	w.must(w.db.Update(func(tx *store.Tx) error {
		build := &store.Build{AppGUID: guid, SpaceGUID: w.space, State: "FAILED", Error: "StagingError - " + hostile}
		return errors.Join(store.Builds.Put(tx, build), store.Stacks.Put(tx, &store.Stack{Name: hostile, Description: hostile, State: "ACTIVE"}),
			store.Orgs.Put(tx, &store.Org{Name: hostile}))
	}))
	signIn := w.get("/sign-in?to=" + url.QueryEscape("/"+hostile))
	wrong := w.signIn(hostile, "wrong", "")
	token := w.signIn("admin", "secret", "").csrf()
	pages := []*shown{
		signIn, wrong, w.get("/"), w.get("/?name=" + url.QueryEscape(hostile)), w.get("/?space=" + w.space), w.get("/apps/" + guid), w.get("/routes"),
		w.get("/buildpacks"), w.get("/nothing"), w.get("/apps/none"),
		w.post("/apps/"+guid+"/env", url.Values{"csrf": {token}, "key": {"*"}}),
		w.post("/apps/"+guid+"/scale", url.Values{"csrf": {token}, "process": {"web"}, "instances": {hostile}}),
	}
	for _, p := range pages {
		t.Run(p.what, func(t *testing.T) {
			for _, tag := range tags.FindAllString(p.text, -1) {
				if inlineScript.MatchString(unquoted(tag)) {
					t.Errorf("inline: %s", tag)
				}
			}
			if scriptContent.MatchString(p.text) || strings.Contains(p.text, "<img src=x") {
				t.Errorf("script in the page: %s", p.text)
			}
			for _, to := range elsewhere.FindAllStringSubmatch(p.text, -1) {
				if host := html.UnescapeString(to[1]); !strings.HasSuffix(host, ".example.com") || strings.Contains(to[0], "src") || strings.Contains(to[0], "action") {
					t.Errorf("leads elsewhere: %s", to[0])
				}
			}
			safeHeaders(t, p)
		})
	}
}

// unquoted is a tag without the values of its attributes, which are text.
func unquoted(tag string) string { return regexp.MustCompile(`"[^"]*"`).ReplaceAllString(tag, `""`) }

func safeHeaders(t *testing.T, p *shown) {
	t.Helper()
	policy := p.header.Get("Content-Security-Policy")
	if !strings.Contains(policy, "default-src 'none'") || strings.Contains(policy, "unsafe") || strings.Contains(policy, "http") {
		t.Errorf("policy %q", policy)
	}
	for name, want := range map[string]string{"X-Frame-Options": "DENY", "X-Content-Type-Options": "nosniff", "Cache-Control": "no-store"} {
		if got := p.header.Get(name); got != want {
			t.Errorf("%s: %q, want %q", name, got, want)
		}
	}
}

func TestAssets(t *testing.T) {
	w := newWorld(t)
	w.app("shop", 1, 1, nil)
	w.signIn("admin", "secret", "")
	page := w.get("/apps/" + w.app("other", 1, 1, nil))
	found := regexp.MustCompile(`"(/assets/[a-z]+\.[0-9a-f]{12}\.(?:css|js|svg))"`).FindAllStringSubmatch(page.text, -1)
	if len(found) < 3 {
		t.Fatalf("assets of the page: %v", found)
	}
	for _, one := range found {
		got := w.get(one[1]).want(http.StatusOK)
		if !strings.Contains(got.header.Get("Cache-Control"), "immutable") {
			t.Errorf("%s: Cache-Control %q", one[1], got.header.Get("Cache-Control"))
		}
		if strings.Contains(got.text, "innerHTML") || strings.Contains(got.text, "url(") {
			t.Errorf("%s sets markup or loads something", one[1])
		}
	}
	w.get("/assets/style.css").want(http.StatusNotFound)
}

func TestWhatIsEmbeddedIsSmall(t *testing.T) {
	total := int64(0)
	for dir, files := range map[string]embed.FS{"assets": assetFiles, "templates": templateFiles} {
		entries, err := files.ReadDir(dir)
		if err != nil {
			t.Fatal(err)
		}
		for _, e := range entries {
			info, err := e.Info()
			if err != nil {
				t.Fatal(err)
			}
			total += info.Size()
		}
	}
	if total == 0 || total > 40<<10 {
		t.Errorf("%d bytes are embedded, want at most 40 KB", total)
	}
}

// TestThousandsOfApps shows that a page is a page, however many apps there are.
func TestThousandsOfApps(t *testing.T) {
	w := newWorld(t)
	const each = 500 // of one transaction, whose cost grows faster than what it writes
	for from := 0; from < 10_000; from += each {
		w.must(w.db.Update(func(tx *store.Tx) error {
			for i := range each {
				a := &store.App{Name: fmt.Sprintf("app-%05d", from+i), SpaceGUID: w.space, State: store.AppStopped, Lifecycle: store.Lifecycle{Type: "buildpack"}}
				if err := store.Apps.Put(tx, a); err != nil {
					return err
				}
			}
			return nil
		}))
	}
	first := w.signIn("admin", "secret", "").want(http.StatusOK, "10000 apps, page 1 of 200", "app-00000", "app-00049", `href="/?page=2"`).lacks("app-00050", "Previous")
	if n := len(first.text); n > 64<<10 {
		t.Errorf("the page has %d bytes", n)
	}
	w.get("/?page=200").want(http.StatusOK, "app-09999", "Previous").lacks("Next")
	w.get("/?page=900").want(http.StatusOK, "Nothing on this page", `href="/?page=200"`)
	w.get("/?page=-1").want(http.StatusOK, "app-00000")
	w.get("/?name=app-07777").want(http.StatusOK, "app-07777", "1 app").lacks("app-00000")
}
