package auth

import (
	"context"
	"encoding/json"
	"errors"
	"io"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/golang-jwt/jwt/v5"

	"github.com/cupola-paas/cupola/controller/capi"
	"github.com/cupola-paas/cupola/store"
)

// world is an authorization server over a real store, with a clock that tests turn.
type world struct {
	t    testing.TB
	db   *store.DB
	auth *Auth
	srv  *httptest.Server
	tls  *httptest.Server // the same by TLS, for browsers; nil: not started
	now  time.Time

	change []func(*Options)
}

func newWorld(t testing.TB, change ...func(*Options)) *world {
	t.Helper()
	w := &world{t: t, now: time.Date(2026, 5, 1, 12, 0, 0, 0, time.UTC), change: change}
	db, err := store.Open(store.Options{Dir: t.TempDir(), NoSync: true})
	if err != nil {
		t.Fatal(err)
	}
	w.db = db
	t.Cleanup(func() {
		if err := errors.Join(db.Check(), db.Close()); err != nil {
			t.Error(err)
		}
	})
	w.open()
	if _, err := w.auth.EnsureAdmin("admin", "secret"); err != nil {
		t.Fatal(err)
	}
	return w
}

func (w *world) open() {
	w.t.Helper()
	o := Options{DB: w.db, UAAURL: "https://uaa.test", LoginURL: "https://login.test", Clock: func() time.Time { return w.now }}
	for _, f := range w.change {
		f(&o)
	}
	a, err := New(o)
	if err != nil {
		w.t.Fatal(err)
	}
	w.auth, w.srv = a, httptest.NewServer(a.Handler())
	w.t.Cleanup(func() { w.srv.Close(); a.Close() })
}

// do sends a request and returns status, decoded body and header. body is a form or, as a string, JSON.
func (w *world) do(method, path, token string, body any) (int, map[string]any, http.Header) {
	w.t.Helper()
	var r io.Reader
	kind := "application/json"
	switch b := body.(type) {
	case url.Values:
		r, kind = strings.NewReader(b.Encode()), "application/x-www-form-urlencoded"
	case string:
		r = strings.NewReader(b)
	}
	req, err := http.NewRequestWithContext(w.t.Context(), method, w.srv.URL+path, r)
	if err != nil {
		w.t.Fatal(err)
	}
	req.Header.Set("Content-Type", kind)
	switch {
	case token != "":
		req.Header.Set("Authorization", "Bearer "+token)
	case path == "/oauth/token" && body.(url.Values).Get("client_id") == "":
		req.SetBasicAuth("cf", "")
	}
	client := http.Client{CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }}
	resp, err := client.Do(req)
	if err != nil {
		w.t.Fatal(err)
	}
	defer resp.Body.Close()
	raw, err := io.ReadAll(resp.Body)
	if err != nil {
		w.t.Fatal(err)
	}
	var out map[string]any
	if len(raw) > 0 && strings.HasPrefix(resp.Header.Get("Content-Type"), "application/json") {
		if err := json.Unmarshal(raw, &out); err != nil {
			w.t.Fatalf("%s %s: %q is not JSON: %v", method, path, raw, err)
		}
	}
	return resp.StatusCode, out, resp.Header
}

func newTLSServer(t testing.TB, h http.Handler) *httptest.Server {
	t.Helper()
	srv := httptest.NewTLSServer(h)
	t.Cleanup(srv.Close)
	return srv
}

func form(pairs ...string) url.Values {
	v := url.Values{}
	for i := 0; i < len(pairs); i += 2 {
		v.Set(pairs[i], pairs[i+1])
	}
	return v
}

func (w *world) login(user, password string) (access, refresh string) {
	w.t.Helper()
	status, out, _ := w.do("POST", "/oauth/token", "", form("grant_type", "password", "username", user, "password", password))
	if status != 200 {
		w.t.Fatalf("login of %s: %d %v", user, status, out)
	}
	return out["access_token"].(string), out["refresh_token"].(string)
}

func (w *world) valid(token string) bool {
	_, err := w.auth.AuthenticateToken(context.Background(), token)
	if err != nil && !errors.Is(err, capi.InvalidAuthToken) {
		w.t.Errorf("AuthenticateToken: %v, want an InvalidAuthToken", err)
	}
	return err == nil
}

func (w *world) createUser(name string) (guid string) {
	w.t.Helper()
	admin, _ := w.login("admin", "secret")
	status, out, _ := w.do("POST", "/Users", admin, `{"userName":"`+name+`","password":"pw","origin":"","name":{"familyName":"F","givenName":"G"},"emails":[{"value":"m@x","primary":true}]}`)
	if status != 201 {
		w.t.Fatalf("create %s: %d %v", name, status, out)
	}
	return out["id"].(string)
}

func TestAccessTokenHasWhatClientsRead(t *testing.T) {
	w := newWorld(t)
	status, out, _ := w.do("POST", "/oauth/token", "", form("grant_type", "password", "username", "ADMIN", "password", "secret"))
	if status != 200 || out["token_type"] != "bearer" || out["expires_in"] != float64(1800) {
		t.Fatalf("%d %v", status, out)
	}
	var c jwt.MapClaims
	parsed, _, err := jwt.NewParser().ParseUnverified(out["access_token"].(string), &c)
	if err != nil {
		t.Fatal(err)
	}
	if parsed.Method.Alg() != "RS256" || c["user_name"] != "admin" || c["origin"] != "uaa" || c["user_id"] == "" ||
		c["iss"] != "https://uaa.test/oauth/token" || c["jti"] != out["jti"] || c["client_id"] != "cf" {
		t.Errorf("claims %v", c)
	}
	if _, ok := c["exp"].(float64); !ok {
		t.Errorf("exp is %T, want a number", c["exp"])
	}
	id, err := w.auth.AuthenticateToken(t.Context(), out["access_token"].(string))
	if err != nil || !id.IsAdmin() || id.Client || id.Username != "admin" || !id.Has("doppler.firehose") {
		t.Errorf("identity %+v, %v", id, err)
	}
}

func TestGrantsRefused(t *testing.T) {
	w := newWorld(t)
	for _, c := range []struct {
		name   string
		form   url.Values
		status int
		code   string
		says   string
	}{
		{"wrong password", form("grant_type", "password", "username", "admin", "password", "x"), 401, "unauthorized", "Bad credentials"},
		{"unknown user", form("grant_type", "password", "username", "nobody", "password", "x"), 401, "unauthorized", "Bad credentials"},
		{"endless password", form("grant_type", "password", "username", "admin", "password", strings.Repeat("x", 2000)), 401, "unauthorized", "Bad credentials"},
		{"no grant", form(), 400, "invalid_request", "Missing grant type"},
		{"unknown grant", form("grant_type", "urn:x"), 400, "unsupported_grant_type", "client_credentials"},
		{"passcode", form("grant_type", "password", "passcode", "1"), 401, "unauthorized", "Invalid passcode"},
		{"client without secret", form("grant_type", "client_credentials", "client_id", "admin", "client_secret", ""), 401, "invalid_client", "Bad client"},
		{"unknown client", form("grant_type", "client_credentials", "client_id", "nobody", "client_secret", "x"), 401, "invalid_client", "Bad client"},
		{"client with an assertion", form("grant_type", "client_credentials", "client_id", "cf", "client_assertion", "a.b.c"), 401, "invalid_client", "with the client's secret"},
		{"cf with a secret", form("grant_type", "password", "client_id", "cf", "client_secret", "x"), 401, "invalid_client", "Bad client"},
		{"grant the client has not", form("grant_type", "client_credentials", "client_id", "cf", "client_secret", ""), 401, "unauthorized_client", "cf"},
		{"no scope left", form("grant_type", "password", "username", "admin", "password", "secret", "scope", "x.y"), 400, "invalid_scope", "scopes"},
		{"made-up refresh token", form("grant_type", "refresh_token", "refresh_token", "a.b"), 401, "invalid_token", "expired"},
	} {
		status, out, _ := w.do("POST", "/oauth/token", "", c.form)
		if status != c.status || out["error"] != c.code || !strings.Contains(out["error_description"].(string), c.says) {
			t.Errorf("%s: %d %v, want %d %s with %q", c.name, status, out, c.status, c.code, c.says)
		}
	}
}

func TestRefresh(t *testing.T) {
	w := newWorld(t)
	access, refresh := w.login("admin", "secret")
	w.now = w.now.Add(31 * time.Minute)
	if w.valid(access) {
		t.Error("the access token is valid after its end")
	}
	status, out, _ := w.do("POST", "/oauth/token", "", form("grant_type", "refresh_token", "refresh_token", refresh))
	if status != 200 || out["refresh_token"] != refresh || !w.valid(out["access_token"].(string)) {
		t.Fatalf("refresh: %d %v", status, out)
	}
	for range 4 { // a session in use lives on
		w.now = w.now.Add(20 * 24 * time.Hour)
		if status, _, _ := w.do("POST", "/oauth/token", "", form("grant_type", "refresh_token", "refresh_token", refresh)); status != 200 {
			t.Fatalf("refresh after 20 days: %d", status)
		}
	}
	w.now = w.now.Add(31 * 24 * time.Hour)
	if status, _, _ := w.do("POST", "/oauth/token", "", form("grant_type", "refresh_token", "refresh_token", refresh)); status != 401 {
		t.Errorf("refresh after 31 idle days: %d, want 401", status)
	}
}

func TestTokensEnd(t *testing.T) {
	for _, c := range []struct {
		name string
		end  func(w *world, guid, token, admin string)
	}{
		{"logout", func(w *world, guid, token, admin string) {
			claims, err := capi.ParseClaims(token)
			if err != nil || !claims.Revocable {
				w.t.Fatalf("claims %+v, %v", claims, err)
			}
			if status, _, _ := w.do("DELETE", "/oauth/token/revoke/other", token, nil); status != 403 {
				w.t.Errorf("revoking another token: %d, want 403", status)
			}
			if status, out, _ := w.do("DELETE", "/oauth/token/revoke/"+claims.JTI, token, nil); status != 200 {
				w.t.Errorf("revoke: %d %v", status, out)
			}
		}},
		{"password changed", func(w *world, guid, token, admin string) {
			if status, out, _ := w.do("PUT", "/Users/"+guid+"/password", token, `{"oldPassword":"x","password":"new"}`); status != 401 {
				w.t.Errorf("wrong old password: %d %v", status, out)
			}
			if status, out, _ := w.do("PUT", "/Users/"+guid+"/password", token, `{"oldPassword":"pw","password":""}`); status != 422 || out["error"] != "invalid_password" {
				w.t.Errorf("empty new password: %d %v", status, out)
			}
			if status, out, _ := w.do("PUT", "/Users/"+guid+"/password", token, `{"oldPassword":"pw","password":"new"}`); status != 200 {
				w.t.Errorf("change: %d %v", status, out)
			}
			w.login("marie", "new")
		}},
		{"user deleted", func(w *world, guid, token, admin string) {
			if status, out, _ := w.do("DELETE", "/Users/"+guid, admin, nil); status != 200 || out["id"] != guid {
				w.t.Errorf("delete: %d %v", status, out)
			}
			if status, _, _ := w.do("DELETE", "/Users/"+guid, admin, nil); status != 404 {
				w.t.Errorf("second delete: %d, want 404", status)
			}
		}},
	} {
		t.Run(c.name, func(t *testing.T) {
			w := newWorld(t)
			guid := w.createUser("marie")
			admin, _ := w.login("admin", "secret")
			token, refresh := w.login("marie", "pw")
			if !w.valid(token) {
				t.Fatal("a fresh token is not valid")
			}
			c.end(w, guid, token, admin)
			if w.valid(token) {
				t.Error("the access token is still valid")
			}
			if status, _, _ := w.do("POST", "/oauth/token", "", form("grant_type", "refresh_token", "refresh_token", refresh)); status != 401 {
				t.Errorf("refresh: %d, want 401", status)
			}
			if !w.valid(admin) {
				t.Error("another's token ended too")
			}
		})
	}
}

func TestForgedTokens(t *testing.T) {
	w := newWorld(t)
	good, _ := w.login("admin", "secret")
	var c jwt.MapClaims
	parsed, _, err := jwt.NewParser().ParseUnverified(good, &c)
	if err != nil {
		t.Fatal(err)
	}
	key, err := w.auth.keys.signer()
	if err != nil {
		t.Fatal(err)
	}
	der, err := publicPEM(&key.key.PublicKey)
	if err != nil {
		t.Fatal(err)
	}
	other, err := newSigningKey(w.now)
	if err != nil {
		t.Fatal(err)
	}
	with := func(method jwt.SigningMethod, key any, change map[string]any) string {
		claims := jwt.MapClaims{}
		for k, v := range c {
			claims[k] = v
		}
		for k, v := range change {
			claims[k] = v
		}
		token := jwt.NewWithClaims(method, claims)
		token.Header["kid"] = parsed.Header["kid"]
		text, err := token.SignedString(key)
		if err != nil {
			t.Fatal(err)
		}
		return text
	}
	if !w.valid(with(jwt.SigningMethodRS256, key.key, nil)) {
		t.Fatal("the copy of a good token is not valid")
	}
	for name, token := range map[string]string{
		"unsigned":        with(jwt.SigningMethodNone, jwt.UnsafeAllowNoneSignatureType, nil),
		"HMAC by the key": with(jwt.SigningMethodHS256, []byte(der), nil),
		"RS512":           with(jwt.SigningMethodRS512, key.key, nil),
		"another key":     with(jwt.SigningMethodRS256, other.key, nil),
		"another issuer":  with(jwt.SigningMethodRS256, key.key, map[string]any{"iss": "https://uaa.evil/oauth/token"}),
		"another API":     with(jwt.SigningMethodRS256, key.key, map[string]any{"aud": []string{"other"}}),
		"ended":           with(jwt.SigningMethodRS256, key.key, map[string]any{"exp": w.now.Add(-time.Minute).Unix()}),
		"without end":     with(jwt.SigningMethodRS256, key.key, map[string]any{"exp": nil}),
		"unknown user":    with(jwt.SigningMethodRS256, key.key, map[string]any{"user_id": "x"}),
		"other password":  with(jwt.SigningMethodRS256, key.key, map[string]any{"rev_sig": "0000000000000000"}),
		"garbage":         "a.b.c",
		"empty":           "",
	} {
		if w.valid(token) {
			t.Errorf("%s: the token is valid", name)
		}
	}
}

func TestScopesAreThoseOfNow(t *testing.T) {
	w := newWorld(t)
	token, _ := w.login("admin", "secret")
	err := w.db.Update(func(tx *store.Tx) error {
		user, err := store.Users.Find(tx, "username", "admin")
		if err != nil {
			return err
		}
		user.Groups = nil
		return store.Users.Put(tx, user)
	})
	if err != nil {
		t.Fatal(err)
	}
	if id, err := w.auth.AuthenticateToken(t.Context(), token); err != nil || id.IsAdmin() {
		t.Errorf("%+v, %v: an administrator's right outlives it", id, err)
	}
}

func TestLockout(t *testing.T) {
	w := newWorld(t)
	w.createUser("marie")
	try := func(password string) (int, string) {
		status, out, _ := w.do("POST", "/oauth/token", "", form("grant_type", "password", "username", "Marie", "password", password))
		text, _ := out["error_description"].(string)
		return status, text
	}
	for i := range triesPair {
		if status, text := try("wrong"); status != 401 || text != "Bad credentials" {
			t.Fatalf("try %d: %d %s", i, status, text)
		}
	}
	if status, text := try("pw"); status != 401 || text != lockedOut {
		t.Errorf("the right password after %d wrong ones: %d %s, want the lock-out", triesPair, status, text)
	}
	w.now = w.now.Add(lockWindow)
	if status, text := try("pw"); status != 200 {
		t.Errorf("after the lock-out: %d %s", status, text)
	}
	for range triesPair * 2 { // right ones don't add up
		w.login("marie", "pw")
	}
}

func TestThrottleBounds(t *testing.T) {
	th := newThrottle(time.Now)
	fail := func(user, addr string) error {
		try, err := th.begin(t.Context(), userLimits(user, addr))
		if err == nil {
			try.wrong()
		}
		return err
	}
	for i := range triesAddress {
		if err := fail(strings.Repeat("u", i+1), "a"); err != nil {
			t.Fatalf("try %d of the address is refused", i)
		}
	}
	if fail("another", "a") == nil {
		t.Error("an address may try without end")
	}
	if fail("another", "b") != nil {
		t.Error("another address is locked too")
	}
	for i := range throttleEntries {
		_ = fail(strconv.Itoa(i), strconv.Itoa(i))
	}
	if n := len(th.young) + len(th.old); n > throttleEntries {
		t.Errorf("%d entries, want at most %d", n, throttleEntries)
	}
}

// Many logins of one user at once, from one address, are not wrong passwords.
func TestThrottleLetsManyAtOnceThrough(t *testing.T) {
	th := newThrottle(time.Now)
	limits := userLimits("marie", "a")
	var running []*attempt
	for range triesPair {
		try, err := th.begin(t.Context(), limits)
		if err != nil {
			t.Fatal(err)
		}
		running = append(running, try)
	}
	began := make(chan error)
	go func() {
		try, err := th.begin(t.Context(), limits)
		if err == nil {
			try.right()
		}
		began <- err
	}()
	for _, try := range running {
		try.right()
	}
	if err := <-began; err != nil {
		t.Errorf("one that waited for the others: %v", err)
	}
	for range triesPair {
		try, err := th.begin(t.Context(), limits)
		if err != nil {
			t.Fatal(err)
		}
		try.wrong()
	}
	if _, err := th.begin(t.Context(), limits); err == nil {
		t.Error("wrong ones are not counted")
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	for range triesPair {
		if _, err := th.begin(ctx, userLimits("paul", "a")); err != nil {
			t.Fatal(err)
		}
	}
	if _, err := th.begin(ctx, userLimits("paul", "a")); !errors.Is(err, context.Canceled) {
		t.Errorf("who hangs up waits on: %v", err)
	}
}

func TestUsers(t *testing.T) {
	w := newWorld(t)
	guid := w.createUser("marie@example.com")
	admin, _ := w.login("admin", "secret")
	plain, _ := w.login("marie@example.com", "pw")
	for _, c := range []struct {
		name, method, path, token, body string
		status                          int
		want                            string
	}{
		{"taken", "POST", "/Users", admin, `{"userName":"Marie@Example.com","password":"x"}`, 409, `"scim_resource_already_exists"`},
		{"no password", "POST", "/Users", admin, `{"userName":"x"}`, 400, `"invalid_scim_resource"`},
		{"no name", "POST", "/Users", admin, `{"userName":" ","password":"x"}`, 400, `user name is needed`},
		{"control character", "POST", "/Users", admin, `{"userName":"a\u0000b","password":"x"}`, 400, `control`},
		{"long name", "POST", "/Users", admin, `{"userName":"` + strings.Repeat("é", 300) + `","password":"x"}`, 400, `255`},
		{"unknown origin", "POST", "/Users", admin, `{"userName":"x","password":"x","origin":"ldap"}`, 400, `ldap`},
		{"not JSON", "POST", "/Users", admin, `{`, 400, `invalid_scim_resource`},
		{"too large", "POST", "/Users", admin, `{"userName":"` + strings.Repeat("x", bodyBytes) + `"}`, 413, `too large`},
		{"forbidden", "POST", "/Users", plain, `{"userName":"x","password":"x"}`, 403, `insufficient_scope`},
		{"no token", "POST", "/Users", "", `{}`, 401, `invalid_token`},
		{"list forbidden", "GET", "/Users", plain, "", 403, `scim.read`},
		{"find", "GET", "/Users?filter=" + url.QueryEscape(`userName eq "marie@example.com" and origin eq "uaa"`), admin, "", 200, guid},
		{"find none", "GET", "/Users?filter=" + url.QueryEscape(`userName eq "x"`), admin, "", 200, `"totalResults":0`},
		{"find by part", "GET", "/Users?filter=" + url.QueryEscape(`userName sw "MAR" or id eq "x"`), admin, "", 200, `"totalResults":1`},
		{"bad filter", "GET", "/Users?filter=userName", admin, "", 400, `invalid filter`},
		{"self", "GET", "/Users/" + guid, plain, "", 200, `"userName":"marie@example.com"`},
		{"other", "GET", "/Users/x", plain, "", 403, `scim.read`},
		{"password of another", "PUT", "/Users/x/password", plain, `{"password":"y"}`, 403, `insufficient_scope`},
		{"delete forbidden", "DELETE", "/Users/" + guid, plain, "", 403, `scim.write`},
		{"client", "GET", "/oauth/clients/cf", admin, "", 200, `"client_id":"cf"`},
		{"no client", "GET", "/oauth/clients/x", admin, "", 404, `not_found`},
		{"client forbidden", "GET", "/oauth/clients/cf", plain, "", 403, `clients.read`},
		{"userinfo", "GET", "/userinfo", plain, "", 200, `"user_name":"marie@example.com"`},
		{"login", "GET", "/info", "", "", 200, `"username":["text","Email"]`},
		{"openid", "GET", "/.well-known/openid-configuration", "", "", 200, `"issuer":"https://uaa.test/oauth/token"`},
		{"keys", "GET", "/token_keys", "", "", 200, `"alg":"RS256"`},
		{"key", "GET", "/token_key", "", "", 200, `BEGIN PUBLIC KEY`},
		{"nothing", "GET", "/x", "", "", 404, `not_found`},
	} {
		var body any
		if c.body != "" {
			body = c.body
		}
		status, out, _ := w.do(c.method, c.path, c.token, body)
		raw, err := json.Marshal(out)
		if err != nil || status != c.status || !strings.Contains(string(raw), c.want) {
			t.Errorf("%s: %d %s, want %d with %s", c.name, status, raw, c.status, c.want)
		}
		if strings.Contains(string(raw), "argon2") {
			t.Errorf("%s: the answer holds a password hash", c.name)
		}
	}
}

func TestSSHCode(t *testing.T) {
	w := newWorld(t)
	admin, _ := w.login("admin", "secret")
	status, _, header := w.do("GET", "/oauth/authorize?client_id=ssh-proxy&response_type=code&grant_type=authorization_code", admin, nil)
	to, err := url.Parse(header.Get("Location"))
	if err != nil || status != 302 || to.Query().Get("code") == "" {
		t.Fatalf("%d, Location %q", status, header.Get("Location"))
	}
	code := to.Query().Get("code")
	if _, err := w.auth.RedeemCode("cf", "x"); !errors.Is(err, store.ErrNotFound) {
		t.Errorf("an unknown code: %v", err)
	}
	if id, err := w.auth.RedeemCode("ssh-proxy", code); err != nil || id.Username != "admin" || !id.IsAdmin() {
		t.Errorf("redeem: %+v, %v", id, err)
	}
	if _, err := w.auth.RedeemCode("ssh-proxy", code); !errors.Is(err, store.ErrNotFound) {
		t.Errorf("a second time: %v, want ErrNotFound", err)
	}
	for path, want := range map[string]int{
		"/oauth/authorize?client_id=cf&response_type=code":                                          401,
		"/oauth/authorize?client_id=x&response_type=code":                                           401,
		"/oauth/authorize?client_id=ssh-proxy&response_type=token":                                  400,
		"/oauth/authorize?client_id=ssh-proxy&response_type=code&redirect_uri=https://evil.example": 400,
	} {
		if status, _, header := w.do("GET", path, admin, nil); status != want || header.Get("Location") != "" {
			t.Errorf("%s: %d to %q, want %d", path, status, header.Get("Location"), want)
		}
	}
}

func TestClientCredentials(t *testing.T) {
	w := newWorld(t)
	if err := w.auth.SetClientSecret(t.Context(), "admin", "s3cret"); err != nil {
		t.Fatal(err)
	}
	status, out, _ := w.do("POST", "/oauth/token", "", form("grant_type", "client_credentials", "client_id", "admin", "client_secret", "s3cret"))
	if status != 200 || out["refresh_token"] != nil {
		t.Fatalf("%d %v", status, out)
	}
	token := out["access_token"].(string)
	id, err := w.auth.AuthenticateToken(t.Context(), token)
	if err != nil || !id.Client || id.UserGUID != "admin" || !id.IsAdmin() {
		t.Errorf("%+v, %v", id, err)
	}
	claims, err := capi.ParseClaims(token)
	if err != nil || claims.UserName != "" || claims.ClientID != "admin" {
		t.Errorf("claims %+v, %v", claims, err)
	}
	if err := w.auth.SetClientSecret(t.Context(), "admin", "another"); err != nil {
		t.Fatal(err)
	}
	if w.valid(token) {
		t.Error("the token outlives the secret")
	}
}

func TestKeysSurviveAndHaveSuccessors(t *testing.T) {
	w := newWorld(t)
	token, refresh := w.login("admin", "secret")
	w.open()
	if !w.valid(token) {
		t.Fatal("a restart ends tokens")
	}
	w.now = w.now.Add(keyLife)
	if err := w.db.Update(func(tx *store.Tx) error { return deleteSessions(tx, "") }); err != nil {
		t.Fatal(err)
	}
	old := w.auth.keys.all()[0].ID
	token, _ = w.login("admin", "secret")
	if keys := w.auth.keys.all(); len(keys) != 2 || keys[1].ID == old || !w.valid(token) {
		t.Errorf("keys %d after the life of the first, want it and its successor", len(keys))
	}
	w.now = w.now.Add(keyKept)
	if keys := w.auth.keys.all(); len(keys) != 1 || keys[0].ID == old {
		t.Errorf("the old key is still used")
	}
	_ = refresh
}

func TestEnsureAdmin(t *testing.T) {
	w := newWorld(t)
	made, err := w.auth.EnsureAdmin("root", "")
	if err != nil || len(made) < 20 {
		t.Fatalf("generated %q, %v", made, err)
	}
	token, _ := w.login("root", made)
	if again, err := w.auth.EnsureAdmin("root", ""); err != nil || again != "" {
		t.Errorf("a second time: %q, %v", again, err)
	}
	if _, err := w.auth.EnsureAdmin("root", made); err != nil || !w.valid(token) {
		t.Errorf("the same password ends tokens (%v)", err)
	}
	if _, err := w.auth.EnsureAdmin("root", "other"); err != nil || w.valid(token) {
		t.Errorf("another password leaves tokens (%v)", err)
	}
	w.login("root", "other")
}

func TestForwardedAddr(t *testing.T) {
	for _, c := range []struct{ peer, header, want string }{
		{"127.0.0.1:1", "1.1.1.1, 2.2.2.2", "2.2.2.2"},
		{"[::1]:1", "", "::1"},
		{"3.3.3.3:1", "2.2.2.2", "3.3.3.3"},
	} {
		r := httptest.NewRequest("GET", "/", nil)
		r.RemoteAddr = c.peer
		if c.header != "" {
			r.Header.Set("X-Forwarded-For", c.header)
		}
		if got := forwardedAddr(r); got != c.want {
			t.Errorf("%s with %q: %s, want %s", c.peer, c.header, got, c.want)
		}
	}
}

func FuzzUserFilter(f *testing.F) {
	f.Add(`userName eq "x" and origin eq "y" or id sw "z"`)
	f.Fuzz(func(t *testing.T, text string) {
		filter, err := parseUserFilter(text)
		if err == nil {
			filter.match(userAttribute(&store.User{Username: "x"}))
		}
	})
}

func BenchmarkAuthenticate(b *testing.B) {
	w := newWorld(b)
	token, _ := w.login("admin", "secret")
	b.ReportAllocs()
	for b.Loop() {
		if _, err := w.auth.AuthenticateToken(context.Background(), token); err != nil {
			b.Fatal(err)
		}
	}
}
