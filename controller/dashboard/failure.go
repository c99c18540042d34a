package dashboard

import (
	"context"
	"errors"
	"net/http"
	"strings"
	"unicode"
	"unicode/utf8"

	"github.com/cupola-paas/cupola/controller/capi"
)

// errNoPage is for an address that leads nowhere.
var errNoPage = errors.New("there is no such page here")

// errorView is the page for what went wrong.
type errorView struct {
	frame
	Text string
	Down bool // nothing answers; trying again may help
}

// fail turns an error into a page, or into the sign-in form when the login has ended.
func (d *Dashboard) fail(w http.ResponseWriter, r *http.Request, s *session, err error) {
	if r.Context().Err() != nil {
		return // nobody is there to read it
	}
	if loginEnded(err) {
		d.sessions.drop(d.cookie(r, "session"))
		d.setCookie(w, "session", "")
		d.askToSignIn(w, r)
		return
	}
	status := statusOf(err)
	if isStream(r) || r.Header.Get("X-Requested-With") != "" {
		http.Error(w, reason(err), status)
		return
	}
	if status >= 500 {
		d.log.Warn("dashboard can't show a page", "path", r.URL.Path, "error", err)
	}
	v := errorView{Text: reason(err), Down: status >= 500}
	v.Title = http.StatusText(status)
	d.dress(&ask{r, s, s.client}, &v.frame)
	d.render(w, status, "error", &v)
}

func loginEnded(err error) bool {
	var refused *capi.TokenError
	return errors.Is(err, capi.ErrNotLoggedIn) || errors.Is(err, capi.InvalidAuthToken) || errors.Is(err, capi.NotAuthenticated) ||
		errors.As(err, &refused) && refused.Status == http.StatusUnauthorized
}

// statusOf is the status of the page that explains err.
func statusOf(err error) int {
	var known *capi.Error
	var many *capi.Errors
	switch {
	case errors.Is(err, errForged):
		return http.StatusForbidden
	case errors.Is(err, errNoPage):
		return http.StatusNotFound
	case errors.As(err, &many) && len(many.Errors) > 0 && many.Errors[0].Status >= 400:
		return many.Errors[0].Status
	case errors.As(err, &known) && known.Status >= 400 && known.Status < 500:
		return known.Status
	}
	return http.StatusServiceUnavailable
}

// reason is what a person should know of err; nothing internal is in it.
func reason(err error) string {
	var connect *capi.ConnectError
	switch {
	case errors.As(err, &connect), errors.Is(err, context.DeadlineExceeded):
		return "The API does not answer. Apps go on running and serving; reload this page in a moment, and look at the server's log if it lasts."
	case statusOf(err) >= 500:
		return "The API had an error of its own. Apps go on running and serving; reload this page in a moment, and look at the server's log if it lasts."
	}
	return sentence(err)
}

// broken is the sentence for a part of a page that could not be read.
func broken(err error) string {
	if err == nil {
		return ""
	}
	return reason(err)
}

// sentence is the error's text with a capital letter and a full stop.
func sentence(err error) string {
	text := upper(strings.TrimSpace(err.Error()))
	if !strings.HasSuffix(text, ".") && !strings.HasSuffix(text, "!") && !strings.HasSuffix(text, "?") {
		text += "."
	}
	return text
}

// upper is a text with a capital letter.
func upper(text string) string {
	first, n := utf8.DecodeRuneInString(text)
	if n == 0 {
		return text
	}
	return string(unicode.ToUpper(first)) + text[n:]
}
