package capi

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"strings"
	"time"
)

// maxAnswer bounds what is read of an answer that is decoded.
const maxAnswer = 64 << 20

// call is one request; body is given as a function so that it can be sent again.
type call struct {
	method      string
	url         string // absolute
	body        func() io.Reader
	length      int64 // of body; 0 when it says so itself
	contentType string
	anonymous   bool // without the access token
	once        bool // the body can't be sent again
	jobURL      *string
}

func jsonBody(v any) (func() io.Reader, error) {
	b, err := json.Marshal(v)
	if err != nil {
		return nil, err
	}
	return func() io.Reader { return bytes.NewReader(b) }, nil
}

func (c *Client) get(ctx context.Context, path string, out any) error {
	return c.send(ctx, call{method: http.MethodGet, url: c.api + path}, out)
}

// change sends a body (nil: none) and decodes the answer into out (nil: it is thrown away).
func (c *Client) change(ctx context.Context, method, path string, in, out any) error {
	cl := call{method: method, url: c.api + path}
	if in != nil {
		body, err := jsonBody(in)
		if err != nil {
			return err
		}
		cl.body, cl.contentType = body, "application/json"
	}
	return c.send(ctx, cl, out)
}

// send does a call and turns what went wrong into an error of this package.
func (c *Client) send(ctx context.Context, cl call, out any) error {
	resp, err := c.roundTrip(ctx, cl)
	if err != nil {
		return err
	}
	defer resp.Body.Close()
	body, err := io.ReadAll(io.LimitReader(resp.Body, maxAnswer))
	if err != nil {
		return &ConnectError{URL: origin(cl.url), Err: err}
	}
	if resp.StatusCode >= 400 {
		return answerError(resp, body)
	}
	if cl.jobURL != nil && resp.StatusCode == http.StatusAccepted {
		*cl.jobURL = resp.Header.Get("Location")
	}
	if out == nil || len(bytes.TrimSpace(body)) == 0 {
		return nil
	}
	if err := json.Unmarshal(body, out); err != nil {
		return fmt.Errorf("%s answered something that is not the API's JSON (%w): check the address of the API", origin(cl.url), err)
	}
	return nil
}

// roundTrip sends a call with a fresh token, again after a 401, and again after a broken read.
func (c *Client) roundTrip(ctx context.Context, cl call) (*http.Response, error) {
	for try := 1; ; try++ {
		token := ""
		if !cl.anonymous {
			var err error
			if token, err = c.session.access(ctx); err != nil {
				return nil, err
			}
		}
		resp, err := c.attempt(ctx, cl, token)
		if err != nil && (ctx.Err() != nil || cl.method != http.MethodGet || try > 2) {
			return nil, err
		}
		if err != nil || (cl.method == http.MethodGet && transient(resp.StatusCode) && try <= 2) {
			if err := pause(ctx, time.Duration(try)*200*time.Millisecond, resp); err != nil {
				return nil, err
			}
			continue
		}
		if resp.StatusCode == http.StatusUnauthorized && token != "" && try == 1 && !cl.once && c.session.renew(ctx, token) == nil {
			discard(resp)
			continue
		}
		return resp, nil
	}
}

func (c *Client) attempt(ctx context.Context, cl call, token string) (*http.Response, error) {
	var body io.Reader
	if cl.body != nil {
		body = cl.body()
	}
	req, err := http.NewRequestWithContext(ctx, cl.method, cl.url, body)
	if err != nil {
		return nil, fmt.Errorf("%q is not a usable address: %w", cl.url, err)
	}
	if cl.length > 0 {
		req.ContentLength = cl.length
	}
	if cl.contentType != "" {
		req.Header.Set("Content-Type", cl.contentType)
	}
	req.Header.Set("Accept", "application/json")
	return c.exchange(req, token)
}

func (c *Client) exchange(req *http.Request, token string) (*http.Response, error) {
	return c.exchangeBy(c.http, req, token)
}

func (c *Client) exchangeBy(hc *http.Client, req *http.Request, token string) (*http.Response, error) {
	req.Header.Set("User-Agent", c.userAgent)
	if token != "" && req.Header.Get("Authorization") == "" {
		req.Header.Set("Authorization", "bearer "+token)
	}
	resp, err := hc.Do(req)
	if err != nil {
		if cause := context.Cause(req.Context()); cause != nil && errors.Is(cause, context.Canceled) {
			return nil, cause
		}
		return nil, &ConnectError{URL: origin(req.URL.String()), Err: err}
	}
	for _, header := range resp.Header.Values("X-Cf-Warnings") {
		for _, w := range strings.Split(header, ",") {
			if text, err := url.QueryUnescape(strings.TrimSpace(w)); err == nil && text != "" {
				c.warn(text)
			}
		}
	}
	return resp, nil
}

// answerError is the API's errors where the body holds them, and the status otherwise.
func answerError(resp *http.Response, body []byte) error {
	var all Errors
	if json.Unmarshal(body, &all) == nil && len(all.Errors) > 0 && all.Errors[0] != nil {
		for _, e := range all.Errors {
			e.Status = resp.StatusCode
		}
		if len(all.Errors) == 1 {
			return all.Errors[0]
		}
		return &all
	}
	var oauth TokenError
	if json.Unmarshal(body, &oauth) == nil && oauth.Code != "" {
		oauth.Status = resp.StatusCode
		return &oauth
	}
	detail := fmt.Sprintf("%s answered %s", origin(resp.Request.URL.String()), resp.Status)
	if resp.StatusCode == http.StatusNotFound {
		return &Error{Code: UnknownRequest.Code, Title: UnknownRequest.Title, Detail: detail, Status: resp.StatusCode}
	}
	return &Error{Code: ServerError.Code, Title: ServerError.Title, Detail: detail, Status: resp.StatusCode}
}

func transient(status int) bool {
	return status == http.StatusBadGateway || status == http.StatusServiceUnavailable || status == http.StatusGatewayTimeout
}

// pause waits before another try; resp, if any, is thrown away.
func pause(ctx context.Context, d time.Duration, resp *http.Response) error {
	if resp != nil {
		discard(resp)
	}
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-ctx.Done():
		return context.Cause(ctx)
	case <-t.C:
		return nil
	}
}

func discard(resp *http.Response) {
	_, _ = io.Copy(io.Discard, io.LimitReader(resp.Body, 64<<10)) // so that the connection can be used again
	resp.Body.Close()
}

func origin(address string) string {
	u, err := url.Parse(address)
	if err != nil {
		return address
	}
	return u.Scheme + "://" + u.Host
}

// Do sends a request as it is, for cupola curl: path is below the API's origin. The access token is added
// unless the header has an Authorization. Any answer, errors included, is returned; the caller closes its body.
func (c *Client) Do(ctx context.Context, method, path string, header http.Header, body io.Reader) (*http.Response, error) {
	token, err := c.session.access(ctx)
	if err != nil && header.Get("Authorization") == "" {
		token = "" // the API says what it thinks of that
	}
	req, err := http.NewRequestWithContext(ctx, method, c.api+"/"+strings.TrimLeft(path, "/"), body)
	if err != nil {
		return nil, fmt.Errorf("%s %s is not a request: %w", method, path, err)
	}
	for k, v := range header {
		req.Header[k] = v
	}
	return c.exchange(req, token)
}
