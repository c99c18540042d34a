package dashboard

import (
	"context"
	"errors"
	"net/http"
	"net/url"
	"strings"
	"time"

	"github.com/cupola-paas/cupola/controller/capi"
)

// page is a handler for somebody who is signed in; its error becomes a page that says it.
type page func(w http.ResponseWriter, r *http.Request, s *session) error

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
			d.toSignIn(w, r)
			return
		}
		if !strings.HasSuffix(r.URL.Path, "/live") { // else an open tab would never be signed out
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

// toSignIn asks for the password and comes back to the page that was wanted.
func (d *Dashboard) toSignIn(w http.ResponseWriter, r *http.Request) {
	if strings.HasSuffix(r.URL.Path, "/live") {
		http.Error(w, "Sign in again.", http.StatusUnauthorized)
		return
	}
	to := "/sign-in"
	if r.Method == http.MethodGet && r.URL.Path != "/" {
		to += "?to=" + url.QueryEscape(r.URL.RequestURI())
	}
	http.Redirect(w, r, to, http.StatusSeeOther)
}

// signInView is what the form shows.
type signInView struct {
	frame
	Username, To string
}

func (d *Dashboard) showSignIn(w http.ResponseWriter, r *http.Request) {
	if d.sessions.get(d.cookie(r, "session")) != nil {
		http.Redirect(w, r, "/", http.StatusSeeOther)
		return
	}
	d.signInForm(w, r, http.StatusOK, "")
}

// signInForm carries its token in the form and in a cookie: there is no session yet that could hold it.
func (d *Dashboard) signInForm(w http.ResponseWriter, r *http.Request, status int, wrong string) {
	token := d.cookie(r, "form")
	if len(token) != 43 {
		token = newSecret()
		d.setCookie(w, "form", token)
	}
	v := signInView{Username: r.PostFormValue("username"), To: localPath(r.FormValue("to"))}
	v.Title, v.CSRF, v.Notice = "Sign in", token, notice{wrong, true}
	d.render(w, status, "signin", &v)
}

func (d *Dashboard) signIn(w http.ResponseWriter, r *http.Request) {
	if crossOrigin(r) || !sameSecret(d.cookie(r, "form"), r.PostFormValue("csrf")) {
		d.signInForm(w, r, http.StatusForbidden, "This form was too old or not sent from this page. Please sign in again.")
		return
	}
	client, err := capi.New(capi.ClientOptions{API: d.apiURL, HTTPClient: d.http, UserAgent: "cupola-dashboard"})
	if err != nil {
		d.signInForm(w, r, http.StatusInternalServerError, sentence(err))
		return
	}
	ctx, cancel := context.WithTimeout(r.Context(), callTimeout)
	defer cancel()
	user := r.PostFormValue("username")
	if _, err := client.Login(ctx, user, r.PostFormValue("password")); err != nil {
		status, text := d.loginRefused(err)
		d.signInForm(w, r, status, text)
		return
	}
	if claims, err := client.Claims(ctx); err == nil && claims.UserName != "" {
		user = claims.UserName
	}
	d.sessions.drop(d.cookie(r, "session"))
	d.setCookie(w, "session", d.sessions.add(user, client)) // a new id with each sign-in
	d.setCookie(w, "form", "")
	http.Redirect(w, r, localPath(r.PostFormValue("to")), http.StatusSeeOther)
}

// loginRefused is the status and the sentence for a sign-in that did not work.
func (d *Dashboard) loginRefused(err error) (int, string) {
	var refused *capi.TokenError
	if errors.As(err, &refused) && refused.Status < 500 {
		if refused.Description == "Bad credentials" || refused.Description == "" {
			return http.StatusUnauthorized, "The user name or the password is wrong."
		}
		return http.StatusUnauthorized, sentence(refused)
	}
	d.log.Warn("sign-in failed", "error", err)
	return statusOf(err), explain(err)
}

func (d *Dashboard) signOut(w http.ResponseWriter, r *http.Request, s *session) error {
	d.sessions.drop(d.cookie(r, "session"))
	d.setCookie(w, "session", "")
	ctx, cancel := context.WithTimeout(context.WithoutCancel(r.Context()), 5*time.Second)
	defer cancel()
	if err := s.client.Logout(ctx); err != nil {
		d.log.Warn("token not revoked at sign-out", "error", err)
	}
	http.Redirect(w, r, "/sign-in", http.StatusSeeOther)
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
