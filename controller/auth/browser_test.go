package auth

import (
	"crypto/sha256"
	"encoding/base64"
	"encoding/json"
	"io"
	"net/http"
	"net/http/cookiejar"
	"net/url"
	"regexp"
	"strings"
	"testing"
)

// browser is somebody's: it keeps cookies and follows no redirects.
type browser struct {
	w      *world
	client http.Client
	header http.Header // sent with each request
}

// newBrowser reaches the world by TLS, without which cookies would stay behind.
func (w *world) newBrowser() *browser {
	w.t.Helper()
	if w.tls == nil {
		w.tls = newTLSServer(w.t, w.auth.Handler())
	}
	jar, err := cookiejar.New(nil)
	if err != nil {
		w.t.Fatal(err)
	}
	return &browser{w: w, header: http.Header{}, client: http.Client{
		Jar: jar, Transport: w.tls.Client().Transport,
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
	}}
}

type page struct {
	status int
	text   string
	to     *url.URL // Location; nil: none
	header http.Header
}

func (b *browser) do(method, path string, body url.Values) page {
	b.w.t.Helper()
	var in io.Reader
	if body != nil {
		in = strings.NewReader(body.Encode())
	}
	target := path
	if strings.HasPrefix(path, "/") {
		target = b.w.tls.URL + path
	}
	r, err := http.NewRequestWithContext(b.w.t.Context(), method, target, in)
	if err != nil {
		b.w.t.Fatal(err)
	}
	r.Header = b.header.Clone()
	if body != nil {
		r.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	}
	resp, err := b.client.Do(r)
	if err != nil {
		b.w.t.Fatal(err)
	}
	defer resp.Body.Close()
	raw, err := io.ReadAll(resp.Body)
	if err != nil {
		b.w.t.Fatal(err)
	}
	p := page{status: resp.StatusCode, text: string(raw), header: resp.Header}
	if l := resp.Header.Get("Location"); l != "" {
		if p.to, err = url.Parse(l); err != nil {
			b.w.t.Fatal(err)
		}
	}
	return p
}

func (b *browser) get(path string) page { b.w.t.Helper(); return b.do("GET", path, nil) }

var csrfField = regexp.MustCompile(`name="X-Uaa-Csrf" value="([^"]*)"`)

// submit sends a form with the token of the page that it stands on.
func (b *browser) submit(from page, path string, pairs ...string) page {
	b.w.t.Helper()
	m := csrfField.FindStringSubmatch(from.text)
	if m == nil {
		b.w.t.Fatalf("no form on the page: %d %s", from.status, from.text)
	}
	v := form(pairs...)
	v.Set("X-Uaa-Csrf", m[1])
	return b.do("POST", path, v)
}

func (b *browser) signIn(user, password string) page {
	b.w.t.Helper()
	return b.submit(b.get("/login"), "/login.do", "username", user, "password", password)
}

func (p page) want(t testing.TB, status int, fragments ...string) page {
	t.Helper()
	if p.status != status {
		t.Fatalf("%d to %v, want %d: %s", p.status, p.to, status, p.text)
	}
	for _, f := range fragments {
		if !strings.Contains(p.text, f) {
			t.Fatalf("the page lacks %q: %s", f, p.text)
		}
	}
	return p
}

// makeClient registers a client with a secret, which is "s3cret".
func (w *world) makeClient(body string) {
	w.t.Helper()
	admin, _ := w.login("admin", "secret")
	if status, out, _ := w.do("POST", "/oauth/clients", admin, body); status != 201 {
		w.t.Fatalf("make a client: %d %v", status, out)
	}
}

const shopClient = `{"client_id":"shop","client_secret":"s3cret","name":"The shop","scope":["openid","cloud_controller.read","roles"],
	"authorities":["uaa.resource"],"authorized_grant_types":["authorization_code","refresh_token"],"redirect_uri":["https://shop.example.com/back"]}`

const shopAsks = "/oauth/authorize?client_id=shop&response_type=code&state=a%26b&redirect_uri=https%3A%2F%2Fshop.example.com%2Fback"

func challengeOf(verifier string) string {
	sum := sha256.Sum256([]byte(verifier))
	return base64.RawURLEncoding.EncodeToString(sum[:])
}

// redeem is what a client does with a code.
func (w *world) redeem(pairs ...string) (int, map[string]any) {
	w.t.Helper()
	v := form("grant_type", "authorization_code", "client_id", "shop", "client_secret", "s3cret", "redirect_uri", "https://shop.example.com/back")
	for i := 0; i < len(pairs); i += 2 {
		v.Set(pairs[i], pairs[i+1])
	}
	status, out, _ := w.do("POST", "/oauth/token", "", v)
	return status, out
}

func TestAuthorizationCode(t *testing.T) {
	w := newWorld(t)
	guid := w.createUser("marie")
	w.makeClient(shopClient)
	b := w.newBrowser()
	verifier := strings.Repeat("v", 50)
	asks := shopAsks + "&scope=openid,cloud_controller.read&nonce=n1&code_challenge_method=S256&code_challenge=" + challengeOf(verifier)

	// Not signed in: to the login page, and back.
	p := b.get(asks).want(t, 302)
	if p.to.Path != "/login" || p.to.IsAbs() {
		t.Fatalf("to %v, want the login page", p.to)
	}
	p = b.get(p.to.String()).want(t, 200, "Sign in")
	next := regexp.MustCompile(`name="next" value="([^"]*)"`).FindStringSubmatch(p.text)[1]
	p = b.submit(p, "/login.do", "username", "marie", "password", "pw", "next", strings.ReplaceAll(next, "&amp;", "&")).want(t, 303)
	if p.to.Path != "/oauth/authorize" {
		t.Fatalf("after the login to %v", p.to)
	}
	p = b.get(p.to.String()).want(t, 200, "The shop", "shop.example.com", "scope.openid", "cloud_controller.read")

	// Denied, then approved in part.
	denied := b.submit(p, "/oauth/authorize", "user_oauth_approval", "false").want(t, 303)
	if denied.to.Query().Get("error") != "access_denied" || denied.to.Query().Get("state") != "a&b" || denied.to.Host != "shop.example.com" {
		t.Errorf("denied: to %v", denied.to)
	}
	b.submit(p, "/oauth/authorize", "user_oauth_approval", "true", "scope.0", "scope.openid").want(t, 400) // nothing waits any more
	p = b.submit(b.get(asks).want(t, 200), "/oauth/authorize", "user_oauth_approval", "true", "scope.0", "scope.openid", "scope.1", "scope.uaa.admin").want(t, 303)
	code := p.to.Query().Get("code")
	if code == "" || p.to.Query().Get("state") != "a&b" || !strings.HasPrefix(p.to.String(), "https://shop.example.com/back?") {
		t.Fatalf("approved: to %v", p.to)
	}

	status, out := w.redeem("code", code, "code_verifier", verifier)
	if status != 200 || out["scope"] != "openid" || out["refresh_token"] == nil {
		t.Fatalf("redeem: %d %v", status, out)
	}
	token := out["access_token"].(string)
	if w.valid(token) {
		t.Error("a token with the scope openid alone opens the API")
	}
	if status, info, _ := w.do("GET", "/userinfo", token, nil); status != 200 || info["sub"] != guid {
		t.Errorf("userinfo: %d %v", status, info)
	}
	var id struct {
		Sub, Nonce, Azp string
		Roles           []string
	}
	payload, err := base64.RawURLEncoding.DecodeString(strings.Split(out["id_token"].(string), ".")[1])
	if err != nil || json.Unmarshal(payload, &id) != nil || id.Sub != guid || id.Nonce != "n1" || id.Azp != "shop" || id.Roles != nil {
		t.Errorf("ID token %s: %v", payload, err)
	}
	if w.valid(out["id_token"].(string)) {
		t.Error("an ID token opens the API")
	}
	if status, _, _ := w.do("GET", "/Users/"+guid, out["id_token"].(string), nil); status != 401 {
		t.Errorf("an ID token at /Users: %d, want 401", status)
	}

	// A code that comes a second time ends what the first gave.
	if status, out := w.redeem("code", code, "code_verifier", verifier); status != 400 || out["error"] != "invalid_grant" {
		t.Errorf("a second time: %d %v", status, out)
	}
	if status, _, _ := w.do("GET", "/userinfo", token, nil); status != 401 {
		t.Errorf("the first token after the code came again: %d, want 401", status)
	}
}

// approvedCode is a code for the shop that marie approved.
func (w *world) approvedCode(b *browser, asks string) string {
	w.t.Helper()
	p := b.submit(b.get(asks).want(w.t, 200), "/oauth/authorize", "user_oauth_approval", "true", "scope.0", "scope.openid", "scope.1", "scope.cloud_controller.read")
	return p.want(w.t, 303).to.Query().Get("code")
}

func TestCodesAreNotForOthers(t *testing.T) {
	w := newWorld(t)
	guid := w.createUser("marie")
	w.makeClient(shopClient)
	w.makeClient(strings.ReplaceAll(strings.ReplaceAll(shopClient, `"shop"`, `"thief"`), "shop.example.com", "thief.example.com"))
	b := w.newBrowser()
	b.signIn("marie", "pw").want(t, 303)
	verifier := strings.Repeat("v", 50)
	withProof := shopAsks + "&code_challenge_method=S256&code_challenge=" + challengeOf(verifier)
	for _, c := range []struct {
		name, asks string
		pairs      []string
		before     func()
	}{
		{"another client", shopAsks, []string{"client_id", "thief"}, nil},
		{"another redirect", shopAsks, []string{"redirect_uri", "https://shop.example.com/back/"}, nil},
		{"no redirect", shopAsks, []string{"redirect_uri", ""}, nil},
		{"no proof", withProof, nil, nil},
		{"wrong proof", withProof, []string{"code_verifier", verifier + "x"}, nil},
		{"proof without challenge", shopAsks, []string{"code_verifier", verifier}, nil},
		{"too late", shopAsks, nil, func() { w.now = w.now.Add(codeLife) }},
		{"disabled", shopAsks, nil, func() {
			admin, _ := w.login("admin", "secret")
			if status, out, _ := w.do("PATCH", "/Users/"+guid, admin, `{"active":false}`); status != 200 {
				t.Fatalf("disable: %d %v", status, out)
			}
		}},
	} {
		code := w.approvedCode(b, c.asks)
		if c.before != nil {
			c.before()
		}
		if status, out := w.redeem(append([]string{"code", code}, c.pairs...)...); status != 400 || out["error"] != "invalid_grant" {
			t.Errorf("%s: %d %v, want invalid_grant", c.name, status, out)
		}
	}
	b.get("/passcode").want(t, 302) // the disabled user's browser is signed out
}

func TestAuthorizeRefuses(t *testing.T) {
	w := newWorld(t)
	w.createUser("marie")
	w.makeClient(shopClient)
	w.makeClient(`{"client_id":"public","client_secret":"","scope":["openid"],"authorized_grant_types":["authorization_code"],"redirect_uri":["http://127.0.0.1:1234/cb","https://b.example.com/x?y=1"],"autoapprove":["true"]}`)
	b := w.newBrowser()
	if p := b.get(shopAsks+"&prompt=none").want(t, 302); p.to.Query().Get("error") != "login_required" {
		t.Errorf("prompt=none without a session: to %v", p.to)
	}
	b.signIn("marie", "pw").want(t, 303)
	for _, c := range []struct {
		name, path string
		status     int
		want       string // in the page, or as the error that goes back
	}{
		{"unknown client", "/oauth/authorize?client_id=x&response_type=code", 401, "No client"},
		{"client without the grant", "/oauth/authorize?client_id=admin&response_type=code", 401, "authorization_code"},
		{"foreign redirect", "/oauth/authorize?client_id=shop&response_type=code&redirect_uri=https://evil.example.com/", 400, "not one that is registered"},
		{"longer redirect", "/oauth/authorize?client_id=shop&response_type=code&redirect_uri=https://shop.example.com/back/../x", 400, "not one that is registered"},
		{"redirect of another case", "/oauth/authorize?client_id=shop&response_type=code&redirect_uri=https://SHOP.example.com/back", 400, "not one that is registered"},
		{"no redirect of two", "/oauth/authorize?client_id=public&response_type=code", 400, "several redirect"},
		{"token", "/oauth/authorize?client_id=shop&response_type=token", 302, "unsupported_response_type"},
		{"scope that the client has not", shopAsks + "&scope=uaa.admin", 302, "invalid_scope"},
		{"public without proof", "/oauth/authorize?client_id=public&response_type=code&redirect_uri=http://127.0.0.1:1234/cb", 302, "invalid_request"},
		{"plain proof", shopAsks + "&code_challenge=" + strings.Repeat("x", 43), 302, "invalid_request"},
		{"approval without a page", shopAsks + "&prompt=none", 302, "interaction_required"},
	} {
		p := b.get(c.path)
		got := p.text
		if p.status == 302 {
			got = p.to.Query().Get("error")
		}
		if p.status != c.status || !strings.Contains(got, c.want) {
			t.Errorf("%s: %d %s, want %d with %q", c.name, p.status, got, c.status, c.want)
		}
	}
	verifier := strings.Repeat("w", 43)
	p := b.get("/oauth/authorize?client_id=public&response_type=code&redirect_uri=https://b.example.com/x%3Fy%3D1&code_challenge_method=S256&code_challenge="+challengeOf(verifier)).want(t, 302)
	if p.to.Query().Get("y") != "1" || p.to.Query().Get("code") == "" {
		t.Fatalf("a client that needs no approval: to %v", p.to)
	}
	status, out, _ := w.do("POST", "/oauth/token", "", form("grant_type", "authorization_code", "client_id", "public", "code", p.to.Query().Get("code"),
		"redirect_uri", "https://b.example.com/x?y=1", "code_verifier", verifier))
	if status != 200 || out["refresh_token"] != nil {
		t.Errorf("public client: %d %v", status, out)
	}
}

func TestFormsOfOthersAreRefused(t *testing.T) {
	w := newWorld(t)
	w.createUser("marie")
	w.makeClient(shopClient)
	credentials := []string{"username", "marie", "password", "pw"}
	send := func(change func(b *browser, v url.Values)) page {
		b := w.newBrowser()
		p := b.get("/login").want(t, 200)
		v := form(credentials...)
		v.Set("X-Uaa-Csrf", csrfField.FindStringSubmatch(p.text)[1])
		change(b, v)
		return b.do("POST", "/login.do", v)
	}
	send(func(*browser, url.Values) {}).want(t, 303)
	for name, change := range map[string]func(b *browser, v url.Values){
		"no token":       func(_ *browser, v url.Values) { v.Del("X-Uaa-Csrf") },
		"wrong token":    func(_ *browser, v url.Values) { v.Set("X-Uaa-Csrf", strings.Repeat("x", 22)) },
		"other site":     func(b *browser, _ url.Values) { b.header.Set("Sec-Fetch-Site", "cross-site") },
		"neighbour site": func(b *browser, _ url.Values) { b.header.Set("Sec-Fetch-Site", "same-site") },
		"other origin":   func(b *browser, _ url.Values) { b.header.Set("Origin", "https://evil.example.com") },
		"two cookies":    func(b *browser, _ url.Values) { b.header.Set("Cookie", "X-Uaa-Csrf=planted") },
	} {
		if p := send(change); p.status != 403 || p.header.Get("Set-Cookie") != "" && strings.Contains(p.header.Get("Set-Cookie"), sessionCookie) {
			t.Errorf("%s: %d, want 403 and no session", name, p.status)
		}
	}
	b := w.newBrowser()
	b.signIn("marie", "pw").want(t, 303)
	b.get(shopAsks).want(t, 200)
	b.do("POST", "/oauth/authorize", form("user_oauth_approval", "true", "scope.0", "scope.openid")).want(t, 403)
}

func TestLoginPage(t *testing.T) {
	w := newWorld(t)
	w.createUser("marie")
	b := w.newBrowser()
	p := b.get("/login?next="+url.QueryEscape("https://evil.example.com/")).want(t, 200, `name="next" value="/"`)
	for header, want := range map[string]string{"X-Frame-Options": "DENY", "Content-Security-Policy": "frame-ancestors 'none'", "Cache-Control": "no-store"} {
		if !strings.Contains(p.header.Get(header), want) {
			t.Errorf("%s: %q, want %q", header, p.header.Get(header), want)
		}
	}
	p = b.submit(p, "/login.do", "username", `<marie>`, "password", "wrong", "next", "//evil.example.com").want(t, 401, "not right", "&lt;marie&gt;")
	p = b.submit(p, "/login.do", "username", "marie", "password", "pw", "next", "//evil.example.com").want(t, 303)
	if p.to.String() != "/" {
		t.Errorf("after the login to %v, want /", p.to)
	}
	for _, c := range b.client.Jar.Cookies(mustURL(t, w.tls.URL)) {
		if c.Name != sessionCookie && c.Name != csrfCookie {
			t.Errorf("cookie %s", c.Name)
		}
	}
	if set := p.header.Get("Set-Cookie"); !strings.Contains(set, "HttpOnly") || !strings.Contains(set, "Secure") || !strings.Contains(set, "SameSite=Lax") {
		t.Errorf("cookie %q", set)
	}
	b.get("/").want(t, 200, "marie")
	if p := b.get("/login").want(t, 302); p.to.Path != "/" {
		t.Errorf("signed in already: to %v", p.to)
	}
	b.get("/logout.do?redirect=https://evil.example.com&client_id=shop").want(t, 302)
	if p := b.get("/").want(t, 302); p.to.Path != "/login" {
		t.Errorf("after the logout: to %v", p.to)
	}
	b.get("/resources/style.css").want(t, 200, "body")

	b = w.newBrowser()
	for range triesPair {
		b.signIn("marie", "wrong").want(t, 401)
	}
	if p := b.signIn("marie", "pw").want(t, 401, "locked"); p.header.Get("Retry-After") == "" {
		t.Error("nothing says when to try again")
	}
}

func TestBrowserSessionEnds(t *testing.T) {
	for name, end := range map[string]func(w *world, guid, admin string){
		"time": func(w *world, _, _ string) { w.now = w.now.Add(browserLife) },
		"password": func(w *world, guid, admin string) {
			w.do("PUT", "/Users/"+guid+"/password", admin, `{"password":"new"}`)
		},
		"deletion":       func(w *world, guid, admin string) { w.do("DELETE", "/Users/"+guid, admin, nil) },
		"all its tokens": func(w *world, guid, admin string) { w.do("DELETE", "/oauth/token/revoke/user/"+guid, admin, nil) },
	} {
		w := newWorld(t)
		guid := w.createUser("marie")
		admin, _ := w.login("admin", "secret")
		b := w.newBrowser()
		b.signIn("marie", "pw").want(t, 303)
		b.get("/passcode").want(t, 200)
		end(w, guid, admin)
		if p := b.get("/passcode"); p.status != 302 {
			t.Errorf("%s: %d, want to the login page", name, p.status)
		}
	}
}

func TestPasscode(t *testing.T) {
	w := newWorld(t)
	w.createUser("marie")
	b := w.newBrowser()
	if p := b.get("/passcode").want(t, 302); p.to.Query().Get("next") != "/passcode" {
		t.Errorf("not signed in: to %v", p.to)
	}
	b.signIn("marie", "pw").want(t, 303)
	read := func() string {
		return regexp.MustCompile(`class="code">([A-Z2-9]{10})<`).FindStringSubmatch(b.get("/passcode").want(t, 200).text)[1]
	}
	use := func(code string) (int, map[string]any) {
		status, out, _ := w.do("POST", "/oauth/token", "", form("grant_type", "password", "passcode", code))
		return status, out
	}
	code := read()
	status, out := use(" " + strings.ToLower(code) + "\n")
	if status != 200 || out["refresh_token"] == nil {
		t.Fatalf("passcode: %d %v", status, out)
	}
	if id, err := w.auth.AuthenticateToken(t.Context(), out["access_token"].(string)); err != nil || id.Username != "marie" {
		t.Errorf("%+v, %v", id, err)
	}
	if status, _ := use(code); status != 401 {
		t.Errorf("a second time: %d, want 401", status)
	}
	code = read()
	w.now = w.now.Add(passcodeLife)
	if status, _ := use(code); status != 401 {
		t.Errorf("too late: %d, want 401", status)
	}
	for range triesPair {
		use("WRONGWRONG")
	}
	if status, out := use(read()); status != 401 || out["error_description"] != lockedOut {
		t.Errorf("after %d wrong ones: %d %v, want the lock-out", triesPair, status, out)
	}
	w.now = w.now.Add(lockWindow)
	if status, _ := use(read()); status != 200 {
		t.Errorf("after the lock-out: %d", status)
	}
}

func TestLocalTarget(t *testing.T) {
	for next, want := range map[string]string{
		"/passcode": "/passcode", "/oauth/authorize?client_id=x&a=b": "/oauth/authorize?client_id=x&a=b", "": "/",
		"https://evil.example.com/": "/", "//evil.example.com/passcode": "/", `/\evil.example.com`: "/", "/passcode/../x": "/",
		"javascript:alert(1)": "/", "/login": "/", "%": "/", "http:/passcode": "/",
	} {
		if got := localTarget(next); got != want {
			t.Errorf("localTarget(%q) = %q, want %q", next, got, want)
		}
	}
}

func mustURL(t testing.TB, text string) *url.URL {
	t.Helper()
	u, err := url.Parse(text)
	if err != nil {
		t.Fatal(err)
	}
	return u
}
