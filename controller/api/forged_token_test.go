package api

import (
	"crypto/rand"
	"crypto/rsa"
	"crypto/x509"
	"encoding/base64"
	"encoding/json"
	"encoding/pem"
	"io"
	"maps"
	"net/http"
	"net/url"
	"strings"
	"testing"
	"time"

	"github.com/golang-jwt/jwt/v5"

	"github.com/cupola-paas/cupola/store"
)

// forger has a real token of the administrator, taken apart, and the key that it was signed with.
type forger struct {
	t      *testing.T
	claims jwt.MapClaims
	kid    string
	key    *rsa.PrivateKey
}

func newForger(t *testing.T, w *world, address string) *forger {
	t.Helper()
	form := url.Values{"grant_type": {"password"}, "username": {"admin"}, "password": {"secret"}}
	r, err := http.NewRequest(http.MethodPost, address+"/oauth/token", strings.NewReader(form.Encode()))
	w.must(err)
	r.SetBasicAuth("cf", "")
	r.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	answer, err := http.DefaultClient.Do(r)
	w.must(err)
	defer answer.Body.Close()
	var granted struct {
		AccessToken string `json:"access_token"`
	}
	w.must(json.NewDecoder(answer.Body).Decode(&granted))
	f := &forger{t: t, claims: jwt.MapClaims{}}
	token, _, err := jwt.NewParser().ParseUnverified(granted.AccessToken, f.claims)
	w.must(err)
	f.kid, _ = token.Header["kid"].(string)
	w.view(func(tx *store.Tx) error {
		s, err := store.Settings.Get(tx, "uaa.signing_keys")
		w.must(err)
		var keys []struct{ PKCS8 []byte }
		w.must(json.Unmarshal(s.Value, &keys))
		parsed, err := x509.ParsePKCS8PrivateKey(keys[len(keys)-1].PKCS8)
		f.key, _ = parsed.(*rsa.PrivateKey)
		return err
	})
	return f
}

// sign makes a token of the real claims with some changed; a nil value takes a claim away.
func (f *forger) sign(method jwt.SigningMethod, key any, changed jwt.MapClaims) string {
	f.t.Helper()
	claims := maps.Clone(f.claims)
	for name, value := range changed {
		if claims[name] = value; value == nil {
			delete(claims, name)
		}
	}
	token := jwt.NewWithClaims(method, claims)
	token.Header["kid"] = f.kid
	signed, err := token.SignedString(key)
	if err != nil {
		f.t.Fatal(err)
	}
	return signed
}

// real signs with the authorization server's own key.
func (f *forger) real(changed jwt.MapClaims) string {
	return f.sign(jwt.SigningMethodRS256, f.key, changed)
}

// forgeries are tokens that must not open anything.
func (f *forger) forgeries() map[string]string {
	stranger, err := rsa.GenerateKey(rand.Reader, 2048)
	if err != nil {
		f.t.Fatal(err)
	}
	der, err := x509.MarshalPKIXPublicKey(&f.key.PublicKey)
	if err != nil {
		f.t.Fatal(err)
	}
	public := pem.EncodeToMemory(&pem.Block{Type: "PUBLIC KEY", Bytes: der})
	good := f.real(nil)
	parts := strings.Split(good, ".")
	ago := time.Now().Add(-time.Hour).Unix()
	return map[string]string{
		"expired":                     f.real(jwt.MapClaims{"exp": ago, "iat": ago - 600}),
		"without an end":              f.real(jwt.MapClaims{"exp": nil}),
		"issued tomorrow":             f.real(jwt.MapClaims{"iat": time.Now().Add(24 * time.Hour).Unix()}),
		"of another issuer":           f.real(jwt.MapClaims{"iss": "https://uaa.example.org/oauth/token"}),
		"without issuer":              f.real(jwt.MapClaims{"iss": nil}),
		"for another audience":        f.real(jwt.MapClaims{"aud": []string{"dashboard.example.org"}}),
		"without audience":            f.real(jwt.MapClaims{"aud": nil}),
		"without the user's mark":     f.real(jwt.MapClaims{"rev_sig": nil}),
		"with another mark":           f.real(jwt.MapClaims{"rev_sig": "0011223344556677"}),
		"of a user that is not":       f.real(jwt.MapClaims{"user_id": "nobody-there", "sub": "nobody-there"}),
		"of a client that is not":     f.real(jwt.MapClaims{"client_id": "nobody-there"}),
		"of a session that is over":   f.real(jwt.MapClaims{"sid": "gone"}),
		"alg none":                    f.sign(jwt.SigningMethodNone, jwt.UnsafeAllowNoneSignatureType, nil),
		"HS256 by the public key":     f.sign(jwt.SigningMethodHS256, public, nil),
		"HS256 by the public key DER": f.sign(jwt.SigningMethodHS256, der, nil),
		"another key":                 f.sign(jwt.SigningMethodRS256, stranger, nil),
		"RS512":                       f.sign(jwt.SigningMethodRS512, f.key, nil),
		"PS256":                       f.sign(jwt.SigningMethodPS256, f.key, nil),
		"signature cut off":           parts[0] + "." + parts[1] + ".",
		"two parts":                   parts[0] + "." + parts[1],
		"changed claims":              parts[0] + "." + base64.RawURLEncoding.EncodeToString([]byte(`{"scope":["cloud_controller.admin"]}`)) + "." + parts[2],
		"garbage":                     "garbage",
		"dots":                        "..",
		"no text":                     "\xff\xfe.\x01.\x02",
		"long":                        strings.Repeat("a", 100_000),
		"twice":                       good + " " + good,
	}
}

// TestForgedTokensOpenNothing tries expired and forged tokens at a route of each kind, with the real authorization
// server before the API. A token made the same way and unchanged is taken, so that each is refused for its own fault.
func TestForgedTokensOpenNothing(t *testing.T) {
	w := newWorld(t)
	app := w.makeRunning("a")
	address := w.front()
	f := newForger(t, w, address)
	ask := func(token, method, path, body string) (int, string) {
		r, err := http.NewRequest(method, address+path, strings.NewReader(body))
		w.must(err)
		r.Header["Authorization"] = []string{"bearer " + token}
		answer, err := http.DefaultClient.Do(r)
		if err != nil {
			return 0, "" // not even a header
		}
		defer answer.Body.Close()
		raw, err := io.ReadAll(answer.Body)
		w.must(err)
		return answer.StatusCode, string(raw)
	}
	if status, text := ask(f.real(nil), "GET", "/v3/apps/"+app, ""); status != 200 {
		t.Fatalf("the real token: %d: %s", status, text)
	}
	for name, token := range f.forgeries() {
		for _, c := range []struct{ method, path, body string }{
			{"GET", "/v3/apps", ""}, {"GET", "/v3/apps/" + app, ""}, {"GET", "/v3/apps/" + app + "/env", ""}, {"POST", "/v3/organizations", `{"name":"forged"}`},
			{"PATCH", "/v3/apps/" + app, `{"name":"forged"}`}, {"POST", "/v3/apps/" + app + "/actions/stop", ""}, {"DELETE", "/v3/apps/" + app, ""},
			{"POST", "/v3/packages/x/upload", ""}, {"PUT", "/v3/tasks/x/cancel", ""}, {"GET", "/v3/jobs/x", ""},
		} {
			status, text := ask(token, c.method, c.path, c.body)
			refused := status == 401 && strings.Contains(text, `"code":1000,`) && strings.Contains(text, "CF-InvalidAuthToken")
			if !refused && status != 0 && !(name == "long" && status == 431) {
				t.Errorf("%s %s with a token %s: %d: %.200s", c.method, c.path, name, status, text)
			}
		}
	}
	w.as("admin", "GET", "/v3/organizations?names=forged", nil).want(200, `"total_results":0`)
	w.as("admin", "GET", "/v3/apps/"+app, nil).want(200, "STARTED", `"name":"a"`)
}
