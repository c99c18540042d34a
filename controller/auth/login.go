package auth

import (
	"embed"
	"html/template"
	"net/http"
	"net/url"
	"slices"
	"time"

	"github.com/cupola-paas/cupola/controller/capi"
	"github.com/cupola-paas/cupola/store"
)

//go:embed pages
var pageFiles embed.FS

var pages = template.Must(template.ParseFS(pageFiles, "pages/*.html"))

// render writes one of our pages: it runs no scripts and can't be put into a frame.
func (a *Auth) render(w http.ResponseWriter, r *http.Request, status int, name string, data map[string]any) error {
	data["CSRF"] = csrfToken(w, r)
	h := w.Header()
	h.Set("Content-Type", "text/html; charset=utf-8")
	h.Set("Content-Security-Policy", "default-src 'none'; style-src 'self'; base-uri 'none'; frame-ancestors 'none'")
	h.Set("X-Frame-Options", "DENY")
	h.Set("X-Content-Type-Options", "nosniff")
	h.Set("Referrer-Policy", "same-origin")
	h.Set("Cache-Control", "no-store")
	w.WriteHeader(status)
	return pages.ExecuteTemplate(w, name, data)
}

func (a *Auth) style(w http.ResponseWriter, r *http.Request) error {
	w.Header().Set("Cache-Control", "max-age=3600")
	http.ServeFileFS(w, r, pageFiles, "pages/style.css")
	return nil
}

// info tells programs what to ask a person for.
func (a *Auth) info(w http.ResponseWriter, _ *http.Request) error {
	out := capi.LoginInfo{
		App:      capi.LoginApp{Version: Version},
		Links:    map[string]string{"uaa": a.uaaURL, "login": a.loginURL},
		ZoneName: "uaa", EntityID: a.loginURL, CommitID: "cupola", Timestamp: a.now().UTC().Format(time.RFC3339),
		Prompts: map[string][2]string{
			"username": {"text", "Email"}, "password": {"password", "Password"},
			"passcode": {"password", "One Time Code (Get one at " + a.loginURL + "/passcode)"},
		},
		IDPs: map[string]string{},
	}
	for _, p := range a.providers {
		out.IDPs[p.Name] = a.loginURL + p.startPath()
	}
	writeJSON(w, http.StatusOK, out)
	return nil
}

// home is the first page.
func (a *Auth) home(w http.ResponseWriter, r *http.Request) error {
	if wantsJSON(r) {
		return a.info(w, r)
	}
	user, _, err := a.browserUser(r)
	if err != nil {
		return err
	}
	if user == nil {
		redirect(w, http.StatusFound, "/login")
		return nil
	}
	return a.render(w, r, http.StatusOK, "home.html", map[string]any{"User": user.Username})
}

// login is the page to sign in at, and JSON for programs.
func (a *Auth) login(w http.ResponseWriter, r *http.Request) error {
	if wantsJSON(r) {
		return a.info(w, r)
	}
	next := localTarget(r.URL.Query().Get("next"))
	user, _, err := a.browserUser(r)
	if err != nil {
		return err
	}
	if user != nil {
		redirect(w, http.StatusFound, next)
		return nil
	}
	return a.loginPage(w, r, http.StatusOK, next, "", "")
}

type loginButton struct{ Label, URL string }

func (a *Auth) loginPage(w http.ResponseWriter, r *http.Request, status int, next, username, problem string) error {
	var buttons []loginButton
	for _, p := range a.providers {
		buttons = append(buttons, loginButton{p.Label, p.startPath() + "?" + url.Values{"next": {next}}.Encode()})
	}
	return a.render(w, r, status, "login.html", map[string]any{"Next": next, "Username": username, "Problem": problem, "Providers": buttons})
}

// loginDo is POST /login.do, the login page's form.
func (a *Auth) loginDo(w http.ResponseWriter, r *http.Request) error {
	if err := a.readForm(r); err != nil {
		return err
	}
	next, username := localTarget(r.PostForm.Get("next")), r.PostForm.Get("username")
	user, err := a.checkPassword(r, DefaultOrigin, username, r.PostForm.Get("password"))
	if known, ok := err.(*oauthError); ok && known.status == http.StatusUnauthorized { //nolint:errorlint // made there
		problem := "The user name or the password is not right."
		if known.description == lockedOut {
			setRetryAfter(w, known)
			problem = lockedOut + " Try again in a few minutes."
		}
		return a.loginPage(w, r, http.StatusUnauthorized, next, username, problem)
	}
	if err != nil {
		return err
	}
	if err := a.startBrowser(w, user); err != nil {
		return err
	}
	redirect(w, http.StatusSeeOther, next)
	return nil
}

// logout is GET /logout.do: the browser's session ends. A client may have the browser sent back to a redirect URI
// of its own.
func (a *Auth) logout(w http.ResponseWriter, r *http.Request) error {
	_, session, err := a.browserUser(r)
	if err != nil {
		return err
	}
	if session != "" {
		err = ignoreGone(a.db.Update(func(tx *store.Tx) error { return store.RefreshTokens.Delete(tx, session) }))
		if err != nil {
			return err
		}
	}
	setCookie(w, sessionCookie, "", "/", 0)
	to := "/login"
	if client, err := a.clientByID(r.URL.Query().Get("client_id")); err == nil {
		if back := r.URL.Query().Get("redirect"); slices.Contains(client.RedirectURIs, back) {
			to = back
		}
	}
	redirect(w, http.StatusFound, to)
	return nil
}
