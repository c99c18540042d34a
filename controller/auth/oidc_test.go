package auth

import (
	"net/http"
	"net/http/httptest"
	"net/url"
	"regexp"
	"strings"
	"testing"
	"time"

	thirdparty "github.com/hashicorp/cap/oidc"

	"github.com/golang-jwt/jwt/v5"

	"github.com/cupola-paas/cupola/store"
)

// partner is another authorization server of ours, with HTTPS and a client for the first, which is its relying party.
func newPartner(t testing.TB) *world {
	t.Helper()
	var handler http.Handler
	srv := newTLSServer(t, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) { handler.ServeHTTP(w, r) }))
	w := newWorld(t, func(o *Options) { o.UAAURL, o.LoginURL = srv.URL, srv.URL })
	handler, w.tls = w.auth.Handler(), srv
	for _, id := range []string{"platform", "other"} {
		w.makeClient(`{"client_id":"` + id + `","client_secret":"s3cret","scope":["openid","roles"],"authorized_grant_types":["authorization_code"],
			"redirect_uri":["https://login.test/login/callback/partner"],"autoapprove":true}`)
	}
	w.createUser("paul")
	return w
}

// relyOn makes a server whose users may come from the partner: its group "operators" are our administrators.
func relyOn(t testing.TB, op *world) *world {
	t.Helper()
	return newWorld(t, func(o *Options) {
		o.Providers = []Provider{{
			Name: "partner", Label: "Example Inc.", Issuer: op.auth.issuer(), ClientID: "platform", ClientSecret: "s3cret", Scopes: []string{"roles"},
			UsernameClaim: "preferred_username", GroupsClaim: "roles", Client: op.tls.Client(),
			Groups: map[string][]string{"operators": {AdminGroup}, "auditors": {"cloud_controller.global_auditor"}},
		}}
	})
}

// atPartner goes with the browser's redirect to the partner, where somebody is signed in, and returns the way back.
func atPartner(t testing.TB, there *browser, start page) string {
	t.Helper()
	start.want(t, 302)
	q := start.to.Query()
	if q.Get("state") == "" || q.Get("nonce") == "" || q.Get("code_challenge_method") != "S256" || q.Get("redirect_uri") != "https://login.test/login/callback/partner" {
		t.Fatalf("to the provider with %v", q)
	}
	back := there.get(start.to.String()).want(t, 302)
	if back.to.Host != "login.test" {
		t.Fatalf("back to %v", back.to)
	}
	return back.to.RequestURI()
}

// passcodeToken gets what the passcode page's code gives to the CLI.
func (w *world) passcodeToken(b *browser) string {
	w.t.Helper()
	b.header.Set("Accept", "application/json")
	defer b.header.Del("Accept")
	p := b.get("/passcode").want(w.t, 200)
	_, out, _ := w.do("POST", "/oauth/token", "", form("grant_type", "password", "passcode", strings.Split(p.text, `"`)[3]))
	token, _ := out["access_token"].(string)
	return token
}

// addToGroup makes a group if it is not there and puts a user in.
func (w *world) addToGroup(group, user string) {
	w.t.Helper()
	w.change1(func(u *store.User) { u.Groups = append(u.Groups, group) }, user)
}

func (w *world) change1(change func(*store.User), name string) {
	w.t.Helper()
	err := w.db.Update(func(tx *store.Tx) error {
		u, err := store.Users.Find(tx, "username", name)
		if err != nil {
			return err
		}
		change(u)
		return store.Users.Put(tx, u)
	})
	if err != nil {
		w.t.Fatal(err)
	}
}

func TestSignInAtAnotherProvider(t *testing.T) {
	op := newPartner(t)
	op.addToGroup("operators", "paul")
	w := relyOn(t, op)
	here, there := w.newBrowser(), op.newBrowser()
	there.signIn("paul", "pw").want(t, 303)

	here.get("/login?next=/passcode").want(t, 200, "Sign in with Example Inc.", "/login/oidc/partner?next=%2Fpasscode")
	way := atPartner(t, there, here.get("/login/oidc/partner?next=%2Fpasscode"))
	if p := here.get(way).want(t, 303); p.to.String() != "/passcode" {
		t.Fatalf("signed in, to %v", p.to)
	}
	here.get("/passcode").want(t, 200, "paul")
	token := w.passcodeToken(here)
	id, err := w.auth.AuthenticateToken(t.Context(), token)
	if err != nil || id.Username != "paul" || id.Origin != "partner" || !id.IsAdmin() {
		t.Fatalf("%+v, %v, want an administrator of the partner", id, err)
	}

	// The same answer twice, or in another browser, signs nobody in.
	here.get(way).want(t, 400, "start again")
	stranger := w.newBrowser()
	way = atPartner(t, there, here.get("/login/oidc/partner"))
	stranger.get(way).want(t, 400)
	if p := stranger.get("/passcode"); p.status != 302 {
		t.Errorf("a stranger's browser is signed in: %d", p.status)
	}

	// What the provider takes away is gone at the next sign-in; it is the same user still.
	op.change1(func(u *store.User) { u.Groups, u.GivenName = []string{"auditors"}, "Paul" }, "paul")
	here.get(atPartner(t, there, here.get("/login/oidc/partner"))).want(t, 303)
	if again, err := w.auth.AuthenticateToken(t.Context(), token); err != nil || again.IsAdmin() {
		t.Errorf("%+v, %v: an administrator's right outlives the group", again, err)
	}
	again, err := w.auth.AuthenticateToken(t.Context(), w.passcodeToken(here))
	if err != nil || again.UserGUID != id.UserGUID || !again.Has("cloud_controller.global_auditor") || again.IsAdmin() {
		t.Errorf("%+v, %v", again, err)
	}

	// There is no password here, and its name here is another's.
	status, out, _ := w.do("POST", "/oauth/token?login_hint="+url.QueryEscape(`{"origin":"partner"}`), "", form("grant_type", "password", "client_id", "cf", "username", "paul", "password", "pw"))
	if status != 401 || !strings.Contains(out["error_description"].(string), "--sso") {
		t.Errorf("password login: %d %v", status, out)
	}
	w.change1(func(u *store.User) { u.Disabled = true }, "paul")
	here.get(atPartner(t, there, here.get("/login/oidc/partner"))).want(t, 403, "disabled")
}

func TestSignInTakesOverWhatWasMadeForIt(t *testing.T) {
	op := newPartner(t)
	w := relyOn(t, op)
	admin, _ := w.login("admin", "secret")
	status, out, _ := w.do("POST", "/Users", admin, `{"userName":"Paul","origin":"partner","emails":[{"value":"paul@example.com"}]}`)
	if status != 201 {
		t.Fatalf("make the user beforehand: %d %v", status, out)
	}
	here, there := w.newBrowser(), op.newBrowser()
	there.signIn("paul", "pw").want(t, 303)
	here.get(atPartner(t, there, here.get("/login/oidc/partner"))).want(t, 303)
	id, err := w.auth.AuthenticateToken(t.Context(), w.passcodeToken(here))
	if err != nil || id.UserGUID != out["id"] {
		t.Fatalf("%+v, %v, want the user %v", id, err, out["id"])
	}

	// The partner gives the name to somebody else.
	op.change1(func(u *store.User) { u.Username = "old-paul" }, "paul")
	op.createUser("paul")
	there = op.newBrowser()
	there.signIn("paul", "pw").want(t, 303)
	here = w.newBrowser()
	here.get(atPartner(t, there, here.get("/login/oidc/partner"))).want(t, 403, "Somebody else")
}

func TestProviderSaysNoOrSomethingElse(t *testing.T) {
	op := newPartner(t)
	w := relyOn(t, op)
	b := w.newBrowser()
	state := func() string { return b.get("/login/oidc/partner").want(t, 302).to.Query().Get("state") }
	b.get("/login/callback/partner?error=access_denied&error_description=%3Cno%3E&state="+state()).want(t, 401, "access_denied &lt;no&gt;")
	b.get("/login/callback/partner?code=x&state="+state()).want(t, 502)
	b.get("/login/callback/partner?code=x&iss=https://evil.example.com&state="+state()).want(t, 400, "another identity provider")
	b.get("/login/callback/partner?code=x&state="+state()+"x").want(t, 400)
	b.get("/login/callback/nobody?code=x").want(t, 404)
	b.get("/login/oidc/nobody").want(t, 404)
	late := state()
	w.now = w.now.Add(signInTime)
	b.get("/login/callback/partner?code=x&state="+late).want(t, 400)

	op.tls.Close()
	down := relyOn(t, op)
	down.newBrowser().get("/login/oidc/partner").want(t, 502, "can&#39;t be reached")
	down.login("admin", "secret") // our own users come in all the same
}

// idToken gets one from the partner for one of its clients.
func (op *world) idToken(client string) string {
	op.t.Helper()
	there := op.newBrowser()
	there.signIn("paul", "pw").want(op.t, 303)
	p := there.get("/oauth/authorize?response_type=code&client_id="+client).want(op.t, 302)
	status, out, _ := op.do("POST", "/oauth/token", "", form("grant_type", "authorization_code", "client_id", client, "client_secret", "s3cret", "code", p.to.Query().Get("code")))
	if status != 200 {
		op.t.Fatalf("ID token for %s: %d %v", client, status, out)
	}
	return out["id_token"].(string)
}

func TestAssertions(t *testing.T) {
	op := newPartner(t)
	w := relyOn(t, op)
	assert := func(token string) (int, map[string]any) {
		status, out, _ := w.do("POST", "/oauth/token", "", form("grant_type", grantAssertion, "assertion", token))
		return status, out
	}
	good := op.idToken("platform")
	status, out := assert(good)
	if status != 200 || out["refresh_token"] == nil {
		t.Fatalf("ID token for us: %d %v", status, out)
	}
	if id, err := w.auth.AuthenticateToken(t.Context(), out["access_token"].(string)); err != nil || id.Username != "paul" || id.Origin != "partner" {
		t.Errorf("%+v, %v", id, err)
	}
	var c jwt.MapClaims
	parsed, _, err := jwt.NewParser().ParseUnverified(good, &c)
	if err != nil {
		t.Fatal(err)
	}
	key, err := op.auth.keys.signer()
	if err != nil {
		t.Fatal(err)
	}
	pem, err := publicPEM(&key.key.PublicKey)
	if err != nil {
		t.Fatal(err)
	}
	forge := func(method jwt.SigningMethod, key any, name string, value any) string {
		claims := jwt.MapClaims{}
		for k, v := range c {
			claims[k] = v
		}
		if name != "" {
			claims[name] = value
		}
		token := jwt.NewWithClaims(method, claims)
		token.Header["kid"] = parsed.Header["kid"]
		text, err := token.SignedString(key)
		if err != nil {
			t.Fatal(err)
		}
		return text
	}
	admin, _ := w.login("admin", "secret")
	ours, err := w.auth.keys.signer()
	if err != nil {
		t.Fatal(err)
	}
	partners, _ := op.login("paul", "pw")
	for name, token := range map[string]string{
		"for another client":         op.idToken("other"),
		"unsigned":                   forge(jwt.SigningMethodNone, jwt.UnsafeAllowNoneSignatureType, "", nil),
		"HMAC by the key":            forge(jwt.SigningMethodHS256, []byte(pem), "", nil),
		"our key":                    forge(jwt.SigningMethodRS256, ours.key, "", nil),
		"ended":                      forge(jwt.SigningMethodRS256, key.key, "exp", w.now.Add(-time.Hour).Unix()),
		"unknown issuer":             forge(jwt.SigningMethodRS256, key.key, "iss", "https://evil.example.com"),
		"our issuer":                 forge(jwt.SigningMethodRS256, key.key, "iss", w.auth.issuer()),
		"no name":                    forge(jwt.SigningMethodRS256, key.key, "preferred_username", ""),
		"the partner's access token": partners,
		"garbage":                    "a.b.c",
		"nothing":                    "",
	} {
		if status, out := assert(token); status < 400 || out["access_token"] != nil {
			t.Errorf("%s: %d %v", name, status, out)
		}
	}

	// Our own tokens: no longer, no more, and ended with the first.
	w.now = w.now.Add(20 * time.Minute)
	status, out = assert(admin)
	if status != 200 || out["refresh_token"] != nil || out["expires_in"] != float64(600) {
		t.Fatalf("own token: %d %v", status, out)
	}
	second := out["access_token"].(string)
	first, err := w.auth.parse(admin)
	if err != nil {
		t.Fatal(err)
	}
	if status, _, _ := w.do("DELETE", "/oauth/token/revoke/"+first.ID, admin, nil); status != 200 || w.valid(second) {
		t.Errorf("logout: %d, and the token that was made of the first is still valid", status)
	}
}

func TestProviderSettings(t *testing.T) {
	good := Provider{Issuer: "https://id.example.com", ClientID: "x"}
	if err := good.Validate(); err != nil {
		t.Error(err)
	}
	for want, change := range map[string]func(*Provider){
		"--oidc-issuer":    func(p *Provider) { p.Issuer = "http://id.example.com" },
		"--oidc-client-id": func(p *Provider) { p.ClientID = "" },
		"--oidc-name":      func(p *Provider) { p.Name = "uaa" },
		"--oidc-group":     func(p *Provider) { p.Groups = map[string][]string{"g": {"no.such.scope"}} },
		"g=space_developer:shop: there is no such scope or role": func(p *Provider) { p.Groups = map[string][]string{"g": {"space_developer:shop"}} },
		"g=organization_manager:: there":                         func(p *Provider) { p.Groups = map[string][]string{"g": {"organization_manager:"}} },
	} {
		p := good
		change(&p)
		if err := p.Validate(); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%v, want an error that names %s", err, want)
		}
	}
}

// fixedVerifier tells the third-party provider which proof will come.
type fixedVerifier struct {
	thirdparty.CodeVerifier
	text string
}

func (v fixedVerifier) Verifier() string { return v.text }

// TestSignInAtAProviderOfOthers is the same with a provider that nobody here wrote: it signs with ES256, tells groups
// by /userinfo alone, and checks the proof.
func TestSignInAtAProviderOfOthers(t *testing.T) {
	op := thirdparty.StartTestProvider(t)
	op.SetClientCreds("platform", "s3cret")
	op.SetAllowedRedirectURIs([]string{"https://login.test/login/callback/oidc"})
	op.SetExpectedExpiry(time.Minute)
	op.SetSubjectInfo(map[string]*thirdparty.TestSubject{"ada": {Password: "pw", UserInfo: map[string]any{"groups": []string{"operators"}}}})
	op.SetCustomClaims(map[string]any{"email": "ada@example.com", "email_verified": true})
	w := newWorld(t, func(o *Options) {
		o.Providers = []Provider{{Issuer: op.Addr(), ClientID: "platform", ClientSecret: "s3cret", Client: op.HTTPClient(),
			Groups: map[string][]string{"operators": {AdminGroup}}}}
	})
	op.SetNowFunc(func() time.Time { return w.now })
	b := w.newBrowser()
	there := w.newBrowser()
	there.client.Transport = op.HTTPClient().Transport
	signIn := func() page {
		start := b.get("/login/oidc/oidc").want(t, 302)
		op.SetPKCEVerifier(fixedVerifier{text: b.verifier()})
		q := start.to.Query()
		page := there.get(start.to.String()).want(t, 200)
		code := regexp.MustCompile(`name="code"[^>]*value="([^"]*)"|value="([^"]*)"[^>]*name="code"`).FindStringSubmatch(page.text)
		if code == nil {
			t.Fatal(page.text)
		}
		back := there.do("POST", op.Addr()+"/login", form("uname", "ada", "psw", "pw", "state", q.Get("state"), "redirect_uri", q.Get("redirect_uri"), "code", code[1]+code[2])).want(t, 302)
		return b.get(back.to.RequestURI())
	}
	signIn().want(t, 303)
	id, err := w.auth.AuthenticateToken(t.Context(), w.passcodeToken(b))
	if err != nil || id.Username != "ada@example.com" || id.Origin != "oidc" || !id.IsAdmin() {
		t.Errorf("%+v, %v", id, err)
	}
	op.SetCustomClaims(map[string]any{"email": "ada@example.com", "email_verified": false})
	signIn().want(t, 403, "not verified")
	op.SetCustomClaims(map[string]any{"email": "ada@example.com"})
	op.SetClientCreds("somebody-else", "")
	signIn().want(t, 401, "not good")
}

// verifier reads the proof that the browser's sealed cookie carries.
func (b *browser) verifier() string {
	b.w.t.Helper()
	r := httptest.NewRequest("GET", b.w.tls.URL+"/login/", nil)
	for _, c := range b.client.Jar.Cookies(mustURL(b.w.t, b.w.tls.URL+"/login/callback/oidc")) {
		r.AddCookie(c)
	}
	s, ok := b.w.auth.openSignIn(r)
	if !ok {
		b.w.t.Fatal("no sign-in is under way")
	}
	return s.Verifier
}
