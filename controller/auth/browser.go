package auth

import (
	"crypto/subtle"
	"errors"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"time"

	"github.com/cupola-paas/cupola/store"
)

// Cookies, named as UAA names them. They are for the one host alone, for HTTPS, and out of scripts' reach.
const (
	sessionCookie = "JSESSIONID"
	csrfCookie    = "X-Uaa-Csrf" // also the form's field
	browserLife   = 8 * time.Hour
)

func setCookie(w http.ResponseWriter, name, value, path string, lasts time.Duration) {
	c := &http.Cookie{Name: name, Value: value, Path: path, HttpOnly: true, Secure: true, SameSite: http.SameSiteLaxMode, MaxAge: int(lasts / time.Second)}
	if value == "" {
		c.MaxAge = -1
	}
	http.SetCookie(w, c)
}

// onlyCookie is the value of a cookie. One that is there twice is none: an app on a neighbouring name may have
// added the other.
func onlyCookie(r *http.Request, name string) string {
	value := ""
	for _, c := range r.CookiesNamed(name) {
		if value != "" && c.Value != value {
			return ""
		}
		value = c.Value
	}
	return value
}

// startBrowser signs a browser in. The session is a new one, whatever cookie the browser had.
func (a *Auth) startBrowser(w http.ResponseWriter, user *store.User) error {
	session, err := a.startSession(user, "", browserLife, nil)
	if err != nil {
		return err
	}
	setCookie(w, sessionCookie, a.seal("browser", session), "/", browserLife)
	return nil
}

// browserUser is who is signed in with a browser, and the name of the session; nobody is nil.
func (a *Auth) browserUser(r *http.Request) (user *store.User, session string, err error) {
	session = a.unseal("browser", onlyCookie(r, sessionCookie))
	if session == "" {
		return nil, "", nil
	}
	err = a.db.View(func(tx *store.Tx) error {
		rec, err := store.RefreshTokens.Get(tx, session)
		if err != nil {
			return err
		}
		if rec.ClientID != "" || !rec.ExpiresAt.After(a.now()) {
			return store.ErrNotFound
		}
		if user, err = store.Users.Get(tx, rec.UserGUID); err == nil && user.Disabled {
			err = store.ErrNotFound
		}
		return err
	})
	if errors.Is(err, store.ErrNotFound) {
		return nil, "", nil
	}
	return user, session, err
}

// csrfToken is the secret of a browser that its forms repeat; it makes one where there is none.
func csrfToken(w http.ResponseWriter, r *http.Request) string {
	token := onlyCookie(r, csrfCookie)
	if len(token) < 16 || len(token) > 64 {
		token = randomString(22)
		setCookie(w, csrfCookie, token, "/", browserLife)
	}
	return token
}

// readForm reads a form that one of our pages sent. It refuses those of other origins: by what browsers say of
// where a request comes from, and because their forms don't know the cookie. Either would do in a browser; apps on
// neighbouring names can set cookies here, so the cookie alone would not.
func (a *Auth) readForm(r *http.Request) error {
	if err := r.ParseForm(); err != nil {
		return badForm(err)
	}
	cookie, field := onlyCookie(r, csrfCookie), r.PostForm.Get(csrfCookie)
	if a.crossOrigin.Check(r) != nil || cookie == "" || subtle.ConstantTimeCompare([]byte(cookie), []byte(field)) != 1 {
		return refuse(http.StatusForbidden, "invalid_login_request", "The page was too old, or the request did not come from it: go back, load the page again and repeat.")
	}
	return nil
}

func badForm(err error) error {
	var large *http.MaxBytesError
	if errors.As(err, &large) {
		return err
	}
	return refuse(http.StatusBadRequest, "invalid_request", "The body is not a form.")
}

// wantsJSON tells programs from browsers.
func wantsJSON(r *http.Request) bool {
	return strings.Contains(strings.Join(r.Header.Values("Accept"), ","), "application/json")
}

// targets are the pages of ours that a browser may be sent to after it signed in.
var targets = []string{"/", "/passcode", "/oauth/authorize"}

// localTarget lets pass a page of ours, whole, and makes "/" of everything else.
func localTarget(next string) string {
	u, err := url.Parse(next)
	if err != nil || u.IsAbs() || u.Host != "" || u.User != nil || u.Opaque != "" || !slices.Contains(targets, u.Path) {
		return "/"
	}
	return (&url.URL{Path: u.Path, RawQuery: u.RawQuery}).String()
}

// toLogin sends a browser to the login page, and back here afterwards.
func toLogin(w http.ResponseWriter, r *http.Request) {
	next := url.Values{"next": {r.URL.RequestURI()}}
	redirect(w, http.StatusFound, "/login?"+next.Encode())
}

func redirect(w http.ResponseWriter, status int, to string) {
	w.Header().Set("Location", to)
	w.Header().Set("Cache-Control", "no-store")
	w.WriteHeader(status)
}

func hostOf(uri string) string {
	u, err := url.Parse(uri)
	if err != nil || u.Host == "" {
		return uri
	}
	return u.Host
}

// firstOf is the first error that there is.
func firstOf(errs ...error) error {
	for _, err := range errs {
		if err != nil {
			return err
		}
	}
	return nil
}
