package router

import (
	"net/http"
	"strconv"
	"strings"
)

// stickyCookie carries the instance id of a session; the app starts the session by setting sessionCookie.
const (
	stickyCookie  = "__VCAP_ID__"
	sessionCookie = "JSESSIONID"
)

const (
	headerAppInstance     = "X-Cf-App-Instance"
	headerProcessInstance = "X-Cf-Process-Instance"
)

// selection is what X-Cf-App-Instance or X-CF-Process-Instance asks for.
type selection struct {
	guid    string
	process bool // guid is of a process, not of an app
	index   int  // -1: any
}

func (s *selection) allows(ep *endpoint) bool {
	if s.index >= 0 && ep.Index != s.index {
		return false
	}
	if s.process {
		return ep.ProcessGUID == s.guid
	}
	return ep.AppGUID == s.guid
}

// selectInstance reads the two headers. sel is nil if there is none; reason is the router error if one is
// malformed. An app's instance must be given with its index, a process may go without.
func selectInstance(h http.Header) (sel *selection, reason string) {
	if v := h[headerAppInstance]; len(v) > 0 {
		guid, index, ok := parseInstance(v[0], true)
		if !ok {
			return nil, errInvalidInstanceHeader
		}
		return &selection{guid: guid, index: index}, ""
	}
	if v := h[headerProcessInstance]; len(v) > 0 {
		guid, index, ok := parseInstance(v[0], false)
		if !ok {
			return nil, errInvalidProcessInstance
		}
		return &selection{guid: guid, index: index, process: true}, ""
	}
	return nil, ""
}

func parseInstance(s string, needIndex bool) (guid string, index int, ok bool) {
	guid, digits, found := strings.Cut(s, ":")
	if !isIdentifier(guid) {
		return "", 0, false
	}
	if !found {
		return guid, -1, !needIndex
	}
	n, err := strconv.ParseUint(digits, 10, 31)
	return guid, int(n), err == nil
}

// stickyID returns the instance id that the client's cookie names. It counts only beside the app's own: a session that
// has ended holds nobody.
func stickyID(r *http.Request) string {
	for _, line := range r.Header["Cookie"] {
		if !strings.Contains(line, stickyCookie) {
			continue
		}
		if _, err := r.Cookie(sessionCookie); err != nil {
			return ""
		}
		if c, err := r.Cookie(stickyCookie); err == nil {
			return c.Value
		}
		return ""
	}
	return ""
}

// setSticky binds the client to ep when the app starts a session, or when the client was bound to an
// instance that is gone. An app that sets the cookie itself is left alone.
//
// The cookie is scoped to the route's path, as in Cloud Foundry: apps under different paths of one host
// keep their own.
func setSticky(h http.Header, routePath, asked string, ep *endpoint) {
	lines := h["Set-Cookie"]
	if len(lines) == 0 && (asked == "" || asked == ep.InstanceID) {
		return
	}
	sticky := http.Cookie{Name: stickyCookie, Value: ep.InstanceID, Path: routePath, HttpOnly: true}
	if sticky.Path == "" {
		sticky.Path = "/"
	}
	wanted := asked != "" && asked != ep.InstanceID
	for _, line := range lines {
		name, _, _ := strings.Cut(line, "=")
		switch strings.TrimSpace(name) {
		case stickyCookie:
			return
		case sessionCookie:
			if c, err := http.ParseSetCookie(line); err == nil {
				wanted = true
				sticky.Secure, sticky.SameSite, sticky.Partitioned = c.Secure, c.SameSite, c.Partitioned
				sticky.Expires, sticky.MaxAge = c.Expires, min(c.MaxAge, 0) // it ends with the app's, and else with the browser's session
			}
		}
	}
	if wanted {
		h["Set-Cookie"] = append(lines[:len(lines):len(lines)], sticky.String())
	}
}
