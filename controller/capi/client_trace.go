package capi

import (
	"fmt"
	"net/http"
	"time"
)

// tracer tells of each request and its answer: method, address, status, time and the request's id. Headers and
// bodies, which hold secrets, are not told.
type tracer struct {
	next http.RoundTripper
	tell func(line string)
}

// RoundTrip sends a request and tells what came of it.
func (t tracer) RoundTrip(req *http.Request) (*http.Response, error) {
	began := time.Now()
	resp, err := t.next.RoundTrip(req)
	took := time.Since(began).Round(time.Millisecond)
	if err != nil {
		t.tell(fmt.Sprintf("%s %s: %v (%s)", req.Method, traced(req), err, took))
		return nil, err
	}
	line := fmt.Sprintf("%s %s: %s (%s)", req.Method, traced(req), resp.Status, took)
	if id := resp.Header.Get("X-Vcap-Request-Id"); id != "" {
		line += " " + id
	}
	t.tell(line)
	return resp, nil
}

// traced is the address of a request. At the authorization server queries may hold codes.
func traced(req *http.Request) string {
	u := *req.URL
	if u.Path == "/oauth/token" || u.Path == "/oauth/authorize" {
		u.RawQuery = ""
	}
	return u.Redacted()
}

func transportOf(hc *http.Client) http.RoundTripper {
	if hc.Transport == nil {
		return http.DefaultTransport
	}
	return hc.Transport
}
