package dashboard

import (
	"context"
	"crypto/sha256"
	"encoding/base64"
	"errors"
	"net/http"
	"net/url"
	"strings"
	"time"

	"github.com/cupola-paas/cupola/controller/capi"
)

// cookieName has the prefix that keeps apps, which live at sibling names of the same domain, from planting
// a cookie of theirs (RFC 6265bis 4.1.3.2).
func (d *Dashboard) cookieName(name string) string {
	if d.secure {
		return "__Host-cupola-" + name
	}
	return "cupola-" + name
}

func (d *Dashboard) setCookie(w http.ResponseWriter, name, value string) {
	c := &http.Cookie{
		Name: d.cookieName(name), Value: value, Path: "/", HttpOnly: true, Secure: d.secure, SameSite: http.SameSiteLaxMode,
	}
	if value == "" {
		c.MaxAge = -1
	}
	http.SetCookie(w, c)
}

func (d *Dashboard) cookie(r *http.Request, name string) string {
	if c, err := r.Cookie(d.cookieName(name)); err == nil {
		return c.Value
	}
	return ""
}

// signedIn lets only somebody through who is signed in, and a form only with its token. Apps are same-site
// with the dashboard, so that SameSite alone would not keep their forms out.
func (d *Dashboard) signedIn(next page) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		s := d.sessions.get(d.cookie(r, "session"))
		if s == nil {
			d.askToSignIn(w, r)
			return
		}
		if !isStream(r) { // else an open tab would never be signed out
			s.touch(d.now())
		}
		if r.Method != http.MethodGet && r.Method != http.MethodHead && (crossOrigin(r) || !s.allows(r)) {
			d.fail(w, r, s, errForged)
			return
		}
		if err := next(w, r, s); err != nil {
			d.fail(w, r, s, err)
		}
	})
}

var errForged = errors.New("this form is out of date or did not come from this page: go back, reload the page and try again")

var originCheck http.CrossOriginProtection

func crossOrigin(r *http.Request) bool { return originCheck.Check(r) != nil }

// askToSignIn leads to the login page, and from there back to the page that was wanted.
func (d *Dashboard) askToSignIn(w http.ResponseWriter, r *http.Request) {
	if isStream(r) {
		refuseStream(w, capi.ErrNotLoggedIn)
		return
	}
	if r.Header.Get("X-Requested-With") != "" {
		http.Error(w, "Sign in again.", http.StatusUnauthorized)
		return
	}
	to := "/sign-in"
	switch {
	case r.Method == http.MethodGet && r.URL.Path != "/":
		to += "?to=" + url.QueryEscape(r.URL.RequestURI())
	case r.Method != http.MethodGet:
		to += "?ended=1&to=" + url.QueryEscape(d.cameFrom(r))
	}
	http.Redirect(w, r, to, http.StatusSeeOther)
}

// attempt is a sign-in on its way. The browser holds it in a cookie: what a stranger's link brings back has no such cookie,
// or not its state.
type attempt struct{ state, verifier, to, ended string }

func (a attempt) String() string {
	return a.state + "." + a.verifier + "." + a.ended + "." + base64.RawURLEncoding.EncodeToString([]byte(a.to))
}

func readAttempt(text string) (attempt, bool) {
	part := strings.Split(text, ".")
	if len(part) != 4 || len(part[0]) != 43 || len(part[1]) != 43 {
		return attempt{}, false
	}
	to, err := base64.RawURLEncoding.DecodeString(part[3])
	return attempt{part[0], part[1], localPath(string(to)), part[2]}, err == nil
}

// toLogin starts the authorization code flow with PKCE (RFC 6749 4.1, RFC 7636): the password is typed at the login
// server, or at the identity provider behind it, and never here.
func (d *Dashboard) toLogin(w http.ResponseWriter, r *http.Request) {
	to := localPath(r.FormValue("to"))
	if d.sessions.get(d.cookie(r, "session")) != nil {
		http.Redirect(w, r, to, http.StatusSeeOther)
		return
	}
	if len(to) > 1500 {
		to = "/"
	}
	a := attempt{newSecret(), newSecret(), to, ""}
	if r.FormValue("ended") == "1" {
		a.ended = "1"
	}
	d.setCookie(w, "sign-in", a.String())
	sum := sha256.Sum256([]byte(a.verifier))
	q := url.Values{
		"client_id": {d.clientID}, "response_type": {"code"}, "redirect_uri": {d.callbackURL()}, "state": {a.state},
		"code_challenge": {base64.RawURLEncoding.EncodeToString(sum[:])}, "code_challenge_method": {"S256"},
	}
	http.Redirect(w, r, d.loginURL+"/oauth/authorize?"+q.Encode(), http.StatusSeeOther)
}

func (d *Dashboard) callbackURL() string {
	return d.url.Scheme + "://" + d.url.Host + "/sign-in/callback"
}

// callback redeems the code that the login page sent back with the browser.
func (d *Dashboard) callback(w http.ResponseWriter, r *http.Request) {
	q := r.URL.Query()
	a, ok := readAttempt(d.cookie(r, "sign-in"))
	d.setCookie(w, "sign-in", "")
	if !ok || !sameSecret(a.state, q.Get("state")) {
		d.outside(w, http.StatusBadRequest, "This sign-in was not begun here, or too long ago.")
		return
	}
	if q.Get("code") == "" {
		d.outside(w, http.StatusForbidden, sentence(errors.New(cut("the login server did not let you in: "+q.Get("error_description"), 300))))
		return
	}
	client, err := capi.New(capi.ClientOptions{API: d.apiURL, HTTPClient: d.http, UserAgent: "cupola-dashboard", ClientID: d.clientID})
	if err != nil {
		d.outside(w, http.StatusInternalServerError, sentence(err))
		return
	}
	ctx, cancel := context.WithTimeout(r.Context(), callTimeout)
	defer cancel()
	if _, err := client.LoginCode(ctx, q.Get("code"), d.callbackURL(), a.verifier); err != nil {
		status, text := d.loginRefused(err)
		d.outside(w, status, text)
		return
	}
	claims, err := client.Claims(ctx)
	if err != nil {
		d.outside(w, http.StatusServiceUnavailable, reason(err))
		return
	}
	d.sessions.drop(d.cookie(r, "session"))
	id, s := d.sessions.add(claims, client) // a new id with each sign-in
	if a.ended != "" {
		s.leave(notice{"Your session had ended before the form arrived. Nothing was changed: please send it again.", true})
	}
	d.setCookie(w, "session", id)
	http.Redirect(w, r, a.to, http.StatusSeeOther)
}

// loginRefused is the status and the sentence for a sign-in that did not work.
func (d *Dashboard) loginRefused(err error) (int, string) {
	var refused *capi.TokenError
	if errors.As(err, &refused) && refused.Status < 500 {
		return http.StatusUnauthorized, sentence(refused)
	}
	d.log.Warn("sign-in failed", "error", err)
	return statusOf(err), reason(err)
}

// outsideView is a page for somebody who is not signed in.
type outsideView struct {
	frame
	Text string
}

func (d *Dashboard) outside(w http.ResponseWriter, status int, text string) {
	v := outsideView{Text: text}
	v.Title = "Signed out"
	if status != http.StatusOK {
		v.Title = "That did not work"
	}
	d.render(w, status, "outside", &v)
}

func (d *Dashboard) signedOut(w http.ResponseWriter, _ *http.Request) {
	d.outside(w, http.StatusOK, "You are signed out here and at the login page.")
}

// signOut ends the session here, its token, and the browser's session at the login server.
func (d *Dashboard) signOut(w http.ResponseWriter, r *http.Request, s *session) error {
	return d.leave(w, r, s.client.Logout)
}

// signOutEverywhere ends every login of the user: in all browsers and command lines.
func (d *Dashboard) signOutEverywhere(w http.ResponseWriter, r *http.Request, s *session) error {
	defer d.sessions.dropUser(s.userID)
	return d.leave(w, r, s.client.LogoutAll)
}

func (d *Dashboard) leave(w http.ResponseWriter, r *http.Request, revoke func(context.Context) error) error {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(r.Context()), 5*time.Second)
	defer cancel()
	if err := revoke(ctx); err != nil {
		d.log.Warn("token not revoked at sign-out", "error", err)
	}
	d.sessions.drop(d.cookie(r, "session"))
	d.setCookie(w, "session", "")
	q := url.Values{"client_id": {d.clientID}, "redirect": {d.url.Scheme + "://" + d.url.Host + "/signed-out"}}
	http.Redirect(w, r, d.loginURL+"/logout.do?"+q.Encode(), http.StatusSeeOther)
	return nil
}

// localPath is a path of ours, never an address elsewhere.
func localPath(to string) string {
	u, err := url.Parse(to)
	if err != nil || u.Scheme != "" || u.Host != "" || u.User != nil || u.Opaque != "" ||
		!strings.HasPrefix(to, "/") || strings.HasPrefix(to, "//") || strings.ContainsAny(to, "\\\r\n\t") {
		return "/"
	}
	return to
}
