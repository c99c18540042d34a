package dashboard

import (
	"context"
	"errors"
	"net/http"
	"net/url"
	"slices"
	"strconv"
	"strings"

	"github.com/cupola-paas/cupola/controller/capi"
)

// ask is one request of somebody who is signed in, with the API as they may use it.
type ask struct {
	r *http.Request
	s *session
	c *capi.Client
}

// guid is the GUID in the path; the wrappers have checked it.
func (q *ask) guid() string { return q.r.PathValue("guid") }

// query is a parameter of the address; form one of what was sent. Both without blanks around.
func (q *ask) query(name string) string { return strings.TrimSpace(q.r.URL.Query().Get(name)) }
func (q *ask) form(name string) string  { return strings.TrimSpace(q.r.PostFormValue(name)) }

// queryGUID is a parameter that is a GUID, empty when it is none.
func (q *ask) queryGUID(name string) string {
	if v := q.query(name); guidGrammar.MatchString(v) {
		return v
	}
	return ""
}

// formGUID is a field that must be a GUID.
func (q *ask) formGUID(name string) (string, error) {
	if v := q.form(name); guidGrammar.MatchString(v) {
		return v, nil
	}
	return "", capi.Invalid("choose a %s", strings.ReplaceAll(name, "-", " "))
}

// number is a field that is a whole number, nil where it is empty.
func (q *ask) number(name, what string) (*capi.Int, error) {
	text := q.form(name)
	if text == "" {
		return nil, nil
	}
	n, err := strconv.Atoi(text)
	if err != nil || n < 0 {
		return nil, capi.Invalid("%q is no number of %s: give a whole number", text, what)
	}
	v := capi.Int(n)
	return &v, nil
}

// reader reads a page from the API. It changes nothing, and is called again and again while the page is open.
type reader func(ctx context.Context, q *ask) (screen, error)

// screen is a page that was read: the template and what it shows.
type screen struct {
	template string
	view     framed
}

// writer does what a form says. It returns the sentence for the next page and its address; an error of the API
// becomes that sentence, and the address is where the form was.
type writer func(ctx context.Context, q *ask) (done, next string, err error)

// page is a handler for somebody who is signed in; its error becomes a page that says it.
type page func(w http.ResponseWriter, r *http.Request, s *session) error

// guidsAreSound refuses paths whose GUIDs are none.
func guidsAreSound(r *http.Request) bool {
	for _, name := range []string{"guid", "other"} {
		if v := r.PathValue(name); v != "" && !guidGrammar.MatchString(v) {
			return false
		}
	}
	return true
}

// shows answers with a page, or with what changes on it for as long as the browser listens.
func (d *Dashboard) shows(read reader) page {
	return func(w http.ResponseWriter, r *http.Request, s *session) error {
		if !guidsAreSound(r) {
			return errNoPage
		}
		q := &ask{r, s, s.client}
		if isStream(r) {
			s.arrived()
			return d.stream(w, q, read)
		}
		ctx, cancel := context.WithTimeout(r.Context(), callTimeout)
		defer cancel()
		shown, err := read(ctx, q)
		if err != nil {
			return err
		}
		d.dress(q, shown.view.base())
		if r.Header.Get("Sec-Purpose") == "" { // a page that is only loaded ahead shows nothing
			shown.view.base().Notice = s.take(r.URL.RequestURI(), d.now())
		}
		d.render(w, http.StatusOK, shown.template, shown.view)
		return nil
	}
}

// does answers a form: it acts and goes to the next page, which tells how it went.
func (d *Dashboard) does(act writer) page {
	return func(w http.ResponseWriter, r *http.Request, s *session) error {
		if !guidsAreSound(r) {
			return errNoPage
		}
		q := &ask{r, s, s.client}
		ctx, cancel := context.WithTimeout(r.Context(), callTimeout)
		defer cancel()
		done, next, err := act(ctx, q)
		if err != nil && (loginEnded(err) || statusOf(err) >= 500 || errors.Is(err, errNoPage)) {
			return err
		}
		if err != nil {
			s.leave(notice{reason(err), true})
			http.Redirect(w, r, d.cameFrom(r), http.StatusSeeOther)
			return nil
		}
		if done != "" {
			s.leave(notice{Text: done})
		}
		http.Redirect(w, r, next, http.StatusSeeOther)
		return nil
	}
}

// cameFrom is the page of ours that a form was on, the first page where the browser does not tell.
func (d *Dashboard) cameFrom(r *http.Request) string {
	from, err := url.Parse(r.Referer())
	if err != nil || from.Host != d.url.Host || strings.HasPrefix(from.Path, "/sign-") {
		return "/"
	}
	return localPath(from.RequestURI())
}

// oneOf is a field that must be one of some words.
func (q *ask) oneOf(name string, words ...string) (string, error) {
	if v := q.form(name); slices.Contains(words, v) {
		return v, nil
	}
	return "", capi.Invalid("%q is not one of %s", q.form(name), strings.Join(words, ", "))
}
