package api

import (
	"net/http"
	"net/url"
	"regexp"
	"runtime/debug"

	"github.com/google/uuid"

	"github.com/cupola-paas/cupola/store"
)

// longest request line that the CLI sends is near 8 KB; more than this is refused (contract, 3.1).
const queryBytes = 64 << 10

var requestIDGrammar = regexp.MustCompile(`^[0-9A-Za-z:-]{1,100}$`)

// ServeHTTP answers one request.
func (s *Server) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	id := r.Header.Get("X-Vcap-Request-Id")
	if !requestIDGrammar.MatchString(id) {
		id = uuid.NewString()
	}
	w.Header().Set("X-Vcap-Request-Id", id)
	r = normalised(r)
	defer s.rescue(w, r, id)
	if _, pattern := s.mux.Handler(r); pattern == "" {
		c := &Ctx{R: r, W: w, s: s, requestID: id}
		c.fail(errUnknownRequest)
		return
	}
	s.mux.ServeHTTP(w, r)
}

// normalised returns r with a path that has no trailing and no doubled slash.
func normalised(r *http.Request) *http.Request {
	path := cleanPath(r.URL.Path)
	if path == r.URL.Path {
		return r
	}
	u := *r.URL
	u.Path, u.RawPath = path, ""
	if raw := cleanPath(r.URL.EscapedPath()); raw != u.EscapedPath() {
		if p, err := url.PathUnescape(raw); err == nil && p == path {
			u.RawPath = raw
		}
	}
	r2 := *r
	r2.URL = &u
	return &r2
}

// rescue turns a panic into a 500 that shows nothing of the inside.
func (s *Server) rescue(w http.ResponseWriter, r *http.Request, id string) {
	p := recover()
	if p == nil {
		return
	}
	if p == http.ErrAbortHandler {
		panic(p)
	}
	s.log.Error("api handler panicked", "request", id, "method", r.Method, "path", r.URL.Path, "panic", p, "stack", string(debug.Stack()))
	c := &Ctx{R: r, W: w, s: s, requestID: id}
	c.writeErrors(errInternal)
}

// serve is what every route goes through: query, caller, guard, handler, error.
func (s *Server) serve(route *Route) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		c := &Ctx{R: r, W: w, s: s, route: route, requestID: w.Header().Get("X-Vcap-Request-Id")}
		if err := s.run(c); err != nil {
			c.fail(err)
		}
	})
}

func (s *Server) run(c *Ctx) (err error) {
	if len(c.R.URL.RawQuery) > queryBytes {
		return errTooLarge("The query string is too long; ask for fewer things at once.")
	}
	if err = s.identify(c); err != nil {
		return err
	}
	if c.Filter, err = parseFilter(c.R.URL.RawQuery, c.route.Query, c.route.Orders); err != nil {
		return err
	}
	if err = s.db.View(func(tx *store.Tx) error { return s.guard(c, tx) }); err != nil {
		return err
	}
	return c.route.Handle(c)
}
