package cli

import (
	"context"
	"errors"
	"net"
	"net/url"
	"strings"
	"time"

	"github.com/cupola-paas/cupola/cli/config"
	"github.com/cupola-paas/cupola/cli/ui"
	"github.com/cupola-paas/cupola/controller/capi"
)

// session is one command's view of the platform.
type session struct {
	*console
	cfg    config.Config
	client *capi.Client // nil when no API is set and none is needed
}

// open reads the state and checks that it has what a command needs, without asking the server.
func (k *console) open(ctx context.Context, n need) (*session, error) {
	cfg, err := k.file.Load()
	if err != nil {
		return nil, err
	}
	k.waitMinutes = cfg.WaitMinutes
	if cfg.Color != "" {
		k.ui.Colour(cfg.Color == "true")
	}
	s := &session{console: k, cfg: cfg}
	switch {
	case n >= theAPI && cfg.API == "":
		return nil, withHint(errors.New("no API is set"), "next: cupola login -a https://api.example.com")
	case n >= aLogin && cfg.AccessToken == "":
		return nil, withHint(errors.New("not logged in"), "next: cupola login")
	case n >= anOrg && cfg.Org.GUID == "":
		return nil, withHint(errors.New("no org is targeted"), "next: cupola target -o ORG (see: cupola orgs)")
	case n >= aSpace && cfg.Space.GUID == "":
		return nil, withHint(errors.New("no space is targeted"), "next: cupola target -s SPACE (see: cupola spaces)")
	}
	if cfg.API == "" {
		return s, nil
	}
	if err := s.connect(); err != nil {
		return nil, err
	}
	if n >= aLogin {
		return s, s.freshen(ctx)
	}
	return s, nil
}

// connect makes the client for what cfg says; it sends nothing yet.
func (s *session) connect() error {
	client, err := capi.New(capi.ClientOptions{
		API:        s.cfg.API,
		CAPEM:      []byte(s.cfg.CA),
		SkipVerify: s.cfg.SkipValidation,
		Token:      capi.Token{AccessToken: s.cfg.AccessToken, RefreshToken: s.cfg.RefreshToken},
		OnToken:    s.keepToken,
		UserAgent:  "cupola/" + version(),
		Trace:      s.traceTo(s.cfg),
		Warnings:   func(text string) { s.ui.Warnf("%s", ui.Clean(text)) },
	})
	if err != nil {
		return err
	}
	s.client = client
	s.cfg.API = client.API()
	return nil
}

// freshen renews a token that is about to end while other commands wait, so that two of them never spend
// the same refresh token.
func (s *session) freshen(ctx context.Context) error {
	if !ending(s.cfg.AccessToken) {
		return nil
	}
	var renewed capi.Token
	_, err := s.file.Update(func(c *config.Config) error {
		if c.AccessToken != s.cfg.AccessToken && !ending(c.AccessToken) { // another command was first
			s.cfg = *c
			return s.connect()
		}
		client, err := capi.New(capi.ClientOptions{API: c.API, CAPEM: []byte(c.CA), SkipVerify: c.SkipValidation,
			Token: capi.Token{AccessToken: c.AccessToken, RefreshToken: c.RefreshToken}, OnToken: func(t capi.Token) { renewed = t }})
		if err != nil {
			return err
		}
		if _, err := client.AccessToken(ctx); err != nil {
			return err
		}
		if renewed.AccessToken != "" {
			c.AccessToken, c.RefreshToken = renewed.AccessToken, renewed.RefreshToken
		}
		s.cfg = *c
		return s.connect()
	})
	return err
}

func ending(accessToken string) bool {
	claims, err := capi.ParseClaims(accessToken)
	return err == nil && time.Until(time.Unix(claims.ExpiresAt, 0)) < 2*time.Minute
}

// keepToken saves a token that the client has renewed.
func (s *session) keepToken(t capi.Token) {
	_, err := s.file.Update(func(c *config.Config) error {
		c.AccessToken, c.RefreshToken = t.AccessToken, t.RefreshToken
		return nil
	})
	if err != nil {
		s.ui.Warnf("the renewed login could not be saved: %v", err)
	}
}

// app is an app of the targeted space.
func (s *session) app(ctx context.Context, name string) (*capi.App, error) {
	app, err := s.client.AppByName(ctx, s.cfg.Space.GUID, name)
	if notFound(err) {
		return nil, withHint(errors.New("there is no app "+quote(name)+" in space "+quote(s.cfg.Space.Name)), "see: cupola apps")
	}
	return app, err
}

// where is "org / space", for sentences.
func (s *session) where() string { return s.cfg.Org.Name + " / " + s.cfg.Space.Name }

// appURL is where a browser finds a route. Apps are behind the same listener as the API, so that they share its
// scheme and port.
func (s *session) appURL(routeURL string) string {
	api, err := url.Parse(s.cfg.API)
	if err != nil || api.Port() == "" {
		return "https://" + routeURL
	}
	host, path, hasPath := strings.Cut(routeURL, "/")
	if _, _, err := net.SplitHostPort(host); err != nil {
		host = net.JoinHostPort(host, api.Port())
	}
	if hasPath {
		path = "/" + path
	}
	return api.Scheme + "://" + host + path
}

// routeURL is where a route is found: a TCP route has a port of its own.
func (s *session) routeURL(r capi.Route) string {
	if r.Protocol == "tcp" {
		return r.URL
	}
	return s.appURL(r.URL)
}

func quote(name string) string { return `"` + ui.Clean(name) + `"` }
