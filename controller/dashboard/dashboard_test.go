package dashboard

import (
	"bufio"
	"context"
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

	"github.com/cupola-paas/cupola/controller/capi"
	"github.com/cupola-paas/cupola/controller/logs"
	"github.com/cupola-paas/cupola/store"
)

func TestSignInAndOut(t *testing.T) {
	w := newWorld(t)
	w.get("/apps").want(http.StatusOK, "Sign in", "Password")
	w.signIn("admin", "wrong", "").want(http.StatusUnauthorized, "The user name or the password is not right.", `value="admin"`).lacks("Sign out", "wrong\"")
	in := w.signIn("admin", "secret", "/apps?show=stopped").want(http.StatusOK, "Apps", "Sign out")
	if in.path != "/apps?show=stopped" {
		t.Errorf("after the sign-in: %s, want the page that was asked for", in.path)
	}
	if n := w.logins(); n != 2 { // of the browser at the login server, and of the dashboard
		t.Errorf("%d logins while signed in, want 2", n)
	}
	w.post("/sign-out", url.Values{"csrf": {in.csrf()}}).want(http.StatusOK, "You are signed out")
	if n := w.logins(); n != 0 {
		t.Errorf("after the sign-out: %d logins", n)
	}
	w.get("/").want(http.StatusOK, "Password")
}

// logins is how many sessions the authorization server keeps.
func (w *world) logins() (n int) {
	w.t.Helper()
	w.must(w.db.View(func(tx *store.Tx) (err error) { n, err = store.RefreshTokens.Count(tx); return err }))
	return n
}

func TestSignOutEverywhere(t *testing.T) {
	w := newWorld(t)
	w.signIn("admin", "secret", "").want(http.StatusOK, "Sign out")
	first := w.browser
	w.browser = w.newBrowser()
	token := w.signIn("admin", "secret", "/account").want(http.StatusOK, "Sign out everywhere").csrf()
	w.post("/sign-out-everywhere", url.Values{"csrf": {token}}).want(http.StatusOK, "You are signed out")
	if n := w.logins(); n != 0 {
		t.Errorf("%d logins are left", n)
	}
	w.browser = first
	w.get("/").want(http.StatusOK, "Password")
}

// TestSignInIsTheBrowsersOwn shows that a link with somebody else's code signs nobody in.
func TestSignInIsTheBrowsersOwn(t *testing.T) {
	w := newWorld(t)
	w.get("/sign-in/callback?code=abc&state=def").want(http.StatusBadRequest, "not begun here")
	w.get("/sign-in") // the browser has begun one
	w.get("/sign-in/callback?code=abc&state=def").want(http.StatusBadRequest, "not begun here")
	w.browser.CheckRedirect = func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }
	state := func() string {
		to, err := url.Parse(w.get("/sign-in").header.Get("Location"))
		w.must(err)
		q := to.Query()
		if q.Get("code_challenge_method") != "S256" || len(q.Get("code_challenge")) != 43 || q.Get("response_type") != "code" {
			t.Errorf("sign-in begins with %s", to)
		}
		return q.Get("state")
	}
	w.get("/sign-in/callback?code=abc&state="+state()).want(http.StatusUnauthorized, "The code is not good")
	w.get("/sign-in/callback?error=access_denied&error_description="+url.QueryEscape(hostile)+"&state="+state()).want(http.StatusForbidden, hostile).lacks("<img src=x")
	again := state()
	w.get("/sign-in/callback?code=abc&state=" + again)
	w.get("/sign-in/callback?code=abc&state="+again).want(http.StatusBadRequest, "not begun here")
}

func TestSessionCookie(t *testing.T) {
	w := newWorld(t)
	found := map[string]string{}
	w.browser.CheckRedirect = func(r *http.Request, _ []*http.Request) error {
		for _, c := range r.Response.Header.Values("Set-Cookie") {
			name, _, _ := strings.Cut(c, "=")
			found[name] = c
		}
		return nil
	}
	w.signIn("admin", "secret", "").want(http.StatusOK)
	for _, part := range []string{"HttpOnly", "Secure", "SameSite=Lax", "Path=/"} {
		if c := found["__Host-cupola-session"]; !strings.Contains(c, part) || strings.Contains(c, "Domain") {
			t.Errorf("cookie %q lacks %s, or goes to the apps too", c, part)
		}
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
		"as an upload": func() *shown {
			return w.post("/apps/"+guid+"/stop", url.Values{"csrf": {token}}, "Content-Type", "multipart/form-data; boundary=x")
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

// TestEveryFormNeedsItsToken walks all that changes something: without the token it does nothing.
func TestEveryFormNeedsItsToken(t *testing.T) {
	w := newWorld(t)
	guid := w.app("shop", 1, 1, nil)
	w.signIn("admin", "secret", "")
	paths := []string{"/sign-out", "/sign-out-everywhere"}
	for pattern := range w.dashboard.writers() {
		paths = append(paths, strings.NewReplacer("{guid}", guid, "{other}", guid, "{action}", "cancel").Replace(pattern))
	}
	for _, path := range paths {
		w.post(path, url.Values{"csrf": {"guessed"}}).want(http.StatusForbidden, "did not come from this page")
		w.get(path)
	}
	w.get("/").want(http.StatusOK, "Sign out")
}

// stream asks for the stream of a page as an open tab does, and returns its first event.
func (w *world) stream(path string, header ...string) (status int, event string) {
	w.t.Helper()
	ctx, cancel := context.WithCancel(w.t.Context())
	defer cancel()
	r, err := http.NewRequestWithContext(ctx, http.MethodGet, "https://dashboard.example.com"+path, nil)
	w.must(err)
	r.Header.Set("Accept", "text/event-stream")
	for i := 0; i+1 < len(header); i += 2 {
		r.Header.Set(header[i], header[i+1])
	}
	resp, err := w.browser.Do(r)
	w.must(err)
	defer resp.Body.Close()
	if resp.StatusCode != http.StatusOK {
		return resp.StatusCode, ""
	}
	lines := bufio.NewScanner(resp.Body)
	lines.Buffer(nil, 4<<20)
	for lines.Scan() && lines.Text() != "" {
		event += lines.Text() + "\n"
	}
	return resp.StatusCode, event
}

func TestSessionsEnd(t *testing.T) {
	w := newWorld(t)
	guid := w.app("shop", 1, 1, nil)
	w.signIn("admin", "secret", "").want(http.StatusOK, "Sign out")
	for range 3 { // an open page asks on, which doesn't count
		w.clock.pass(idleFor / 4)
		if status, event := w.stream("/apps/" + guid); status != http.StatusOK || !strings.HasPrefix(event, "event: parts\n") {
			t.Fatalf("stream of an open page: %d %s", status, event)
		}
	}
	w.clock.pass(idleFor/4 + time.Minute)
	if _, event := w.stream("/apps/" + guid); !strings.HasPrefix(event, "event: signed-out\n") {
		t.Errorf("after %v without a page, a stream answers %s", idleFor, event)
	}
	w.browser.CheckRedirect = func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }
	w.get("/").want(http.StatusSeeOther)
	w.browser.CheckRedirect = nil
	w.get("/").want(http.StatusOK, "Sign out") // the login server still knows the browser
	w.browser.CheckRedirect = func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }
	for range int(lastsFor/(20*time.Minute)) + 1 {
		w.get("/account")
		w.clock.pass(20 * time.Minute)
	}
	w.get("/").want(http.StatusSeeOther)
}

// TestSessionEndsInMidAction shows that a form that comes too late changes nothing, and that its sender is told.
func TestSessionEndsInMidAction(t *testing.T) {
	w := newWorld(t)
	guid := w.app("shop", 1, 1, nil)
	token := w.signIn("admin", "secret", "/apps/"+guid).csrf()
	w.clock.pass(idleFor + time.Minute)
	got := w.post("/apps/"+guid+"/stop", url.Values{"csrf": {token}}, "Referer", "https://dashboard.example.com/apps/"+guid).
		want(http.StatusOK, "Your session had ended before the form arrived. Nothing was changed")
	if got.path != "/apps/"+guid {
		t.Errorf("back at %s", got.path)
	}
	w.get("/apps/"+guid).want(http.StatusOK, "Stop shop")
}

func TestSessionsAreBounded(t *testing.T) {
	c := &clock{}
	s := newSessions(c.now)
	first, _ := s.add(capi.Claims{UserID: "one"}, nil)
	c.pass(time.Millisecond)
	of, _ := s.add(capi.Claims{UserID: "many"}, nil)
	for range userMost {
		c.pass(time.Millisecond)
		s.add(capi.Claims{UserID: "many"}, nil)
	}
	if len(s.by) != userMost+1 || s.get(first) == nil || s.get(of) != nil {
		t.Errorf("%d sessions when one user has many; the other's is there: %v", len(s.by), s.get(first) != nil)
	}
	for i := range maxSessions {
		c.pass(time.Millisecond)
		s.add(capi.Claims{UserID: fmt.Sprint("more", i)}, nil)
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
	w.get("/").want(http.StatusOK, "Password")
}

func TestEmptyPagesTeach(t *testing.T) {
	w := newWorld(t)
	w.signIn("admin", "secret", "").want(http.StatusOK, "No apps yet", "cupola login -a https://api.example.com -u admin",
		"cupola target -o acme -s dev", "cupola push my-app")
	w.get("/apps").want(http.StatusOK, "No apps yet")
	w.get("/apps?q=nobody").want(http.StatusOK, "No app has nobody in its name")
	w.get("/apps?show=unwell").want(http.StatusOK, "No app is unwell")
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
	w.signIn("admin", "secret", "").want(http.StatusOK, "shop", "1 instance", "exited with status 1")
	w.get("/apps").want(http.StatusOK, "partly running", "web 2/3", "acme / dev", "https://r"+guid[:8]+".example.com/")
	w.get("/apps/"+guid).want(http.StatusOK, "web #0", "web #2", "crashed", "exited with status 1")
	w.get("/apps/"+guid+"/logs").want(http.StatusOK, "line 119.", "line 0.")
	w.get("/apps/"+guid+"/logs?q=LINE+7.").want(http.StatusOK, "line 7.", "hidden")
	w.get("/apps/"+guid+"/push").want(http.StatusOK, "cupola push shop", "cupola target -o acme -s dev")
	p := w.get("/apps/"+guid+"/environment").want(http.StatusOK, "API_KEY", "GREETING", "VCAP_APPLICATION").lacks("s3cr3t-value", "hello-value")
	w.post("/apps/"+guid+"/reveal", url.Values{"csrf": {p.csrf()}, "key": {"app/API_KEY"}}).want(http.StatusOK, "s3cr3t-value").lacks("hello-value")
	w.get("/apps/" + guid + "/environment").lacks("s3cr3t-value")
	w.post("/apps/"+guid+"/reveal", url.Values{"csrf": {p.csrf()}, "key": {"*"}}).want(http.StatusOK, "s3cr3t-value", "hello-value")
}

// TestRequestsOfInstances shows what each instance answered in the last minute, and that an app without requests has none.
func TestRequestsOfInstances(t *testing.T) {
	w := newWorld(t)
	guid := w.app("shop", 2, 2, nil)
	first := ""
	w.must(w.db.View(func(tx *store.Tx) error {
		for i := range store.Instances.All(tx) {
			if i.Index == 0 {
				first = i.GUID
			}
		}
		return nil
	}))
	for range 7 {
		now := time.Now()
		w.must(w.logs.Append(logs.Envelope{SourceID: guid, InstanceID: "0", Tags: map[string]string{"process_instance_id": first}, Timer: &logs.Timer{Name: "http", Start: now, Stop: now.Add(time.Millisecond)}}))
	}
	w.signIn("admin", "secret", "/apps/"+guid).want(http.StatusOK, `data-l="Requests" class="tight num">7 a minute</td>`, `data-l="Requests" class="tight num">0 a minute</td>`)
	w.get("/apps/"+w.app("blog", 1, 1, nil)).want(http.StatusOK, `data-l="Requests" class="tight num">0 a minute</td>`)
}

// TestLooksThatAreNoted shows that a page whose reading is an event of the audit log is not read again and again while it is open.
func TestLooksThatAreNoted(t *testing.T) {
	w := newWorld(t)
	names := w.furnish()
	app := "/apps/" + names["{guid}"]
	w.signIn("admin", "secret", app).want(http.StatusOK, `class="in" data-stream`)
	w.get(app + "/environment").lacks("data-stream")
	w.get(app+"/revisions/"+names["{other}"]).want(http.StatusOK, "compared with revision").lacks("data-stream")
	w.get("/audit").want(http.StatusOK, "app environment show")
	w.get(app+"/events").want(http.StatusOK, "app environment show")
	w.get("/").want(http.StatusOK, "Overview").lacks("environment show") // what changed lately
	w.get(app).want(http.StatusOK, "Latest events").lacks("environment show")
}

func TestAppThatWasOnlyCreated(t *testing.T) {
	w := newWorld(t)
	a := &store.App{Name: "new one", SpaceGUID: w.space, State: store.AppStopped, Lifecycle: store.Lifecycle{Type: "buildpack"}}
	w.must(w.db.Update(func(tx *store.Tx) error { return store.Apps.Put(tx, a) }))
	w.signIn("admin", "secret", "/apps").want(http.StatusOK, "new one", "stopped")
	w.get("/apps/"+a.GUID).want(http.StatusOK, "It has no source yet.", "cupola push 'new one'", "cupola map-route 'new one' DOMAIN --hostname 'new one'", "The app is stopped.", "Start new one")
	for _, tab := range appTabs {
		w.get("/apps/"+a.GUID+tab.Href).want(http.StatusOK, "new one")
	}
}

func TestActions(t *testing.T) {
	w := newWorld(t)
	guid := w.app("shop", 1, 1, nil)
	token := url.Values{"csrf": {w.signIn("admin", "secret", "").csrf()}}
	scale := func(instances, memory string) *shown {
		return w.post("/apps/"+guid+"/scale", url.Values{
			"csrf": token["csrf"], "process": {"web"}, "instances": {instances}, "was-instances": {"1"}, "memory": {memory}, "was-memory": {"256"},
		}, "Referer", "https://dashboard.example.com/apps/"+guid+"/scale")
	}
	scale("1", "256").want(http.StatusOK, "Nothing was changed.")
	scale("2", "256").want(http.StatusOK, "web is scaled.", "1 of 2 running")
	scale("2", "512").want(http.StatusOK, "take effect at the next restart")
	if got := scale("many", "256").want(http.StatusOK, `"many" is no number of instances`); got.path != "/apps/"+guid+"/scale" {
		t.Errorf("a form that is refused leads to %s", got.path)
	}
	scale("1", "0").want(http.StatusOK, "notice bad")
	w.post("/apps/"+guid+"/environment", url.Values{"csrf": token["csrf"], "name": {"COLOUR"}, "value": {" two  words "}}).want(http.StatusOK, "COLOUR is set.")
	w.must(w.db.View(func(tx *store.Tx) error {
		a, err := store.Apps.Get(tx, guid)
		if a.Environment["COLOUR"] != " two  words " {
			t.Errorf("environment: %q", a.Environment)
		}
		return err
	}))
	w.post("/apps/"+guid+"/environment", url.Values{"csrf": token["csrf"], "name": {"COLOUR"}, "remove": {"1"}}).want(http.StatusOK, "COLOUR is removed.")
	w.post("/apps/"+guid+"/routes", url.Values{"csrf": token["csrf"], "domain": {w.domain}, "host": {"more"}, "path": {"api"}}).want(http.StatusOK, "more.example.com/api leads to shop now.")
	w.post("/apps/"+guid+"/rename", url.Values{"csrf": token["csrf"], "name": {"store"}}).want(http.StatusOK, "called store now")
	w.post("/apps/"+guid+"/stop", token).want(http.StatusOK, "The app is stopped.", "Start store")
	w.get("/apps/"+guid).want(http.StatusOK, "The app is stopped.</span>") // a browser that loads the page again at once
	w.stream("/apps/" + guid)                                              // the page is there
	w.get("/apps/" + guid).want(http.StatusOK).lacks("The app is stopped.</span>")
	w.post("/apps/"+guid+"/start", token).want(http.StatusOK, "notice bad") // it has no droplet: the API says so
	w.post("/apps/"+guid+"/explode", token).want(http.StatusNotFound)
	w.get("/apps/"+guid+"/events").want(http.StatusOK, "audit.app.stop", "app process scale")
	w.post("/apps/"+guid+"/delete", token).want(http.StatusOK, "The app is deleted.")
}

func TestLive(t *testing.T) {
	w := newWorld(t)
	guid := w.app("shop", 2, 1, nil)
	w.say(guid, "before")
	w.signIn("admin", "secret", "")
	after := regexp.MustCompile(`data-after="(\d+)"`).FindStringSubmatch(w.get("/apps/" + guid + "/logs").text)
	w.say(guid, "\x1b[31mred\x1b[0m "+hostile)
	_, event := w.stream("/apps/" + guid + "/logs/stream?after=" + after[1])
	name, data, _ := strings.Cut(event, "\ndata: ")
	var news struct {
		Lines []logLine
		After string
	}
	w.must(json.Unmarshal([]byte(data), &news))
	if name != "event: lines\nid: "+news.After || len(news.Lines) != 1 || news.Lines[0].Text != "red "+hostile || news.After <= after[1] {
		t.Errorf("news: %s %+v", name, news)
	}
	w.say(guid, "after the stream broke off")
	_, event = w.stream("/apps/"+guid+"/logs/stream?after="+after[1], "Last-Event-ID", news.After) // as browsers ask again
	if strings.Contains(event, "red ") || !strings.Contains(event, "after the stream broke off") {
		t.Errorf("a stream that was lost goes on with %s", event)
	}
	_, event = w.stream("/apps/" + guid)
	_, data, _ = strings.Cut(event, "\ndata: ")
	parts := map[string]json.RawMessage{}
	w.must(json.Unmarshal([]byte(data), &parts))
	if text := string(parts["instances"]); !strings.Contains(text, `"crashed"`) || !strings.Contains(text, `["tr",{}`) {
		t.Errorf("instances as they are sent: %s", text)
	}
	for path, want := range map[string]string{
		"/apps/" + guid + "/logs/stream?after=x": "event: gone\ndata: \"There is no such page here.\"\n",
		"/apps/none/logs/stream?after=0":         "event: gone\ndata: \"App not found.\"\n", "/apps/none": "event: gone\ndata: \"App not found.\"\n",
	} {
		if _, event := w.stream(path); event != want {
			t.Errorf("%s: %q, want %q", path, event, want)
		}
	}
	for _, s := range w.dashboard.sessions.by {
		s.open = maxStreams
	}
	if _, event := w.stream("/apps/" + guid); !strings.HasPrefix(event, "event: down\ndata: \"Too many pages of this session are open") {
		t.Errorf("one stream too many: %s", event)
	}
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
	outside := w.get("/signed-out")
	token := w.signIn("admin", "secret", "").csrf()
	pages := []*shown{
		outside, w.get("/?q=" + url.QueryEscape(hostile)), w.get("/apps?q=" + url.QueryEscape(hostile)), w.get("/apps?space=" + w.space), w.get("/nothing"), w.get("/apps/none"),
		w.post("/apps/"+guid+"/reveal", url.Values{"csrf": {token}, "key": {"*"}}),
		w.post("/apps/"+guid+"/scale", url.Values{"csrf": {token}, "process": {"web"}, "instances": {hostile}}),
	}
	for _, path := range w.pathsOf(map[string]string{"{guid}": guid, "{other}": guid, "/orgs/{guid}": "/orgs/" + w.org, "/spaces/{guid}": "/spaces/" + w.space}) {
		pages = append(pages, w.get(path))
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
	if !strings.Contains(policy, "default-src 'none'") || strings.Contains(policy, "unsafe") || strings.Contains(strings.ReplaceAll(policy, "form-action 'self' https://login.example.com", ""), "http") {
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
	page := w.get("/apps/" + w.app("other", 1, 1, nil) + "/logs")
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

// TestWhatIsSentIsSmall adds up all that a browser ever loads besides pages.
func TestWhatIsSentIsSmall(t *testing.T) {
	a, err := loadAssets()
	if err != nil {
		t.Fatal(err)
	}
	packed := 0
	for _, one := range a.served {
		packed += len(one.packed)
	}
	if packed == 0 || packed > 40<<10 {
		t.Errorf("%d bytes of styles and scripts, compressed; want at most 40 KB", packed)
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
	first := w.signIn("admin", "secret", "/apps").want(http.StatusOK, "10000 apps, page 1 of 200", "app-00000", "app-00049", `page=2`).lacks("app-00050", "Previous")
	if n := len(first.text); n > 96<<10 {
		t.Errorf("the page has %d bytes", n)
	}
	w.get("/apps?page=200").want(http.StatusOK, "app-09999", "Previous").lacks("Next")
	w.get("/apps?page=900").want(http.StatusOK, "Nothing on this page", `href="/apps?page=200"`)
	w.get("/apps?page=-1").want(http.StatusOK, "app-00000")
	w.get("/apps?q=P-0777").want(http.StatusOK, "app-07777", "10 apps").lacks("app-00000")
	w.get("/apps?sort=-name").want(http.StatusOK, "app-09999", `aria-sort="descending"`).lacks("app-00000")
	w.get("/apps?show=started").want(http.StatusOK, "No such apps")
	w.get("/").want(http.StatusOK, "of 10000 apps started")
}
