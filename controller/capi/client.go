package capi

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"strings"
	"sync"
)

// ClientOptions say which API a Client talks to and how. Only API is needed.
type ClientOptions struct {
	API        string       // https://api.example.com; https is assumed where the scheme is missing
	HTTPClient *http.Client // nil: one that follows CAPEM and SkipVerify and reaches *.localhost on loopback
	CAPEM      []byte       // certificates to trust beside the system's
	SkipVerify bool         // trust any certificate

	Token        Token       // what was saved of an earlier login
	OnToken      func(Token) // called with each new token, so that it can be saved; may be nil
	ClientID     string      // OAuth2 client; empty: cf with the empty secret
	ClientSecret string

	UserAgent string            // empty: cupola
	Warnings  func(text string) // called with each warning of the API; may be nil
	Trace     func(line string) // called with a line for each request, without headers and bodies; may be nil
}

// Client speaks the Cloud Controller API v3. It may be used by several goroutines at once.
//
// It renews its access token when that is about to end, and once after a 401. Reads are tried again after a
// connection that broke. Errors of the API are *Error or *Errors, those of UAA *TokenError, and a server that
// can't be reached is a *ConnectError.
type Client struct {
	api       string
	http      *http.Client
	userAgent string
	warn      func(string)
	session   session

	mu   sync.Mutex // guards root
	root *Root
}

// New makes a Client; it connects to nothing yet.
func New(o ClientOptions) (*Client, error) {
	api, err := normalizeAPI(o.API)
	if err != nil {
		return nil, err
	}
	hc := o.HTTPClient
	if hc == nil {
		transport, err := newTransport(o)
		if err != nil {
			return nil, err
		}
		hc = &http.Client{Transport: transport, CheckRedirect: sameHostOnly}
	}
	if o.Trace != nil {
		told := *hc
		told.Transport = tracer{next: transportOf(hc), tell: o.Trace}
		hc = &told
	}
	c := &Client{api: api, http: hc, userAgent: o.UserAgent, warn: o.Warnings}
	if c.userAgent == "" {
		c.userAgent = "cupola"
	}
	if c.warn == nil {
		c.warn = func(string) {}
	}
	c.session = session{client: c, token: o.Token, onToken: o.OnToken, id: o.ClientID, secret: o.ClientSecret}
	if c.session.id == "" {
		c.session.id = "cf"
	}
	return c, nil
}

// API is the origin of the API, without a slash at its end.
func (c *Client) API() string { return c.api }

// Root is the answer of GET /, asked for once.
func (c *Client) Root(ctx context.Context) (*Root, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.root != nil {
		return c.root, nil
	}
	var root Root
	err := c.send(ctx, call{method: http.MethodGet, url: c.api + "/", anonymous: true}, &root)
	if errors.Is(err, UnknownRequest) || (err == nil && root.Href("cloud_controller_v3") == "") {
		return nil, fmt.Errorf("%s is not a Cloud Foundry API: check the address, which is such as https://api.example.com", c.api)
	}
	if err != nil {
		return nil, err
	}
	c.root = &root
	return c.root, nil
}

// Info is the answer of GET /v3/info.
func (c *Client) Info(ctx context.Context) (*Info, error) {
	var info Info
	return &info, c.send(ctx, call{method: http.MethodGet, url: c.api + "/v3/info", anonymous: true}, &info)
}

// link is the URL of a service that GET / names.
func (c *Client) link(ctx context.Context, name string) (string, error) {
	root, err := c.Root(ctx)
	if err != nil {
		return "", err
	}
	href := strings.TrimRight(root.Href(name), "/")
	if href == "" {
		return "", fmt.Errorf("the API at %s names no %s service", c.api, name)
	}
	return href, nil
}

func normalizeAPI(api string) (string, error) {
	if api == "" {
		return "", errors.New("no API is set: give its address, such as https://api.example.com")
	}
	if !strings.Contains(api, "://") {
		api = "https://" + api
	}
	u, err := url.Parse(api)
	if err != nil || u.Host == "" || (u.Scheme != "https" && u.Scheme != "http") || u.User != nil {
		return "", fmt.Errorf("%q is not the address of an API: it is such as https://api.example.com", api)
	}
	return u.Scheme + "://" + u.Host, nil
}

// sameHostOnly keeps bearer tokens from following a redirect to another host.
func sameHostOnly(req *http.Request, via []*http.Request) error {
	if len(via) >= 10 {
		return errors.New("stopped after 10 redirects")
	}
	if req.URL.Host != via[0].URL.Host {
		req.Header.Del("Authorization")
	}
	return nil
}
