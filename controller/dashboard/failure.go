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
	if isStream(r) {
		refuseStream(w, err)
		return
	}
	if r.Header.Get("X-Requested-With") != "" {
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

// refuseStream answers who wanted to listen and may not, or not now. It is a stream of one event, as a browser's script is told
// nothing of an answer that is none, and would call a session that has ended an outage. After "down" it asks again.
func refuseStream(w http.ResponseWriter, err error) {
	e := &eventStream{w: w, ctl: http.NewResponseController(w)}
	w.Header().Set("Content-Type", "text/event-stream")
	switch status := statusOf(err); {
	case loginEnded(err):
		_ = e.send("signed-out", nil) // there is nobody to tell that an event was not taken
	case status >= 500 || status == http.StatusTooManyRequests:
		_ = e.send("down", reason(err))
	default:
		_ = e.send("gone", reason(err))
	}
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
	case errors.Is(err, errTooManyStreams):
		return http.StatusTooManyRequests
	case told(err):
		return http.StatusUnprocessableEntity
	case errors.As(err, &many) && len(many.Errors) > 0 && many.Errors[0].Status >= 400:
		return many.Errors[0].Status
	case errors.As(err, &known) && known.Status >= 400 && known.Status < 500:
		return known.Status
	}
	return http.StatusServiceUnavailable
}

// told reports whether err is no failure of the API but its word on another's: of a broker that is not reached, of a job that did
// not get on. Such errors are written for people, whatever status they came with.
func told(err error) bool {
	var one *capi.Error
	var many *capi.Errors
	if errors.As(err, &many) && len(many.Errors) > 0 {
		one = many.Errors[0]
	}
	if one == nil && !errors.As(err, &one) {
		return false
	}
	return (one.Status == 0 || one.Status >= 500) && one.Detail != "" && one.Title != capi.ServerError.Title && one.Title != capi.ServiceUnavailable.Title
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
