package auth

import (
	"context"
	"crypto/subtle"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"regexp"
	"slices"
	"sync"
	"time"

	"github.com/coreos/go-oidc/v3/oidc"
	"golang.org/x/oauth2"

	"github.com/cupola-paas/cupola/controller/capi"
	"github.com/cupola-paas/cupola/store"
)

// Provider is an OpenID Connect provider whose users may sign in. Issuer and ClientID are needed.
type Provider struct {
	Name          string // the origin of its users; empty: oidc
	Label         string // on the button; empty: Name
	Issuer        string // URL below which /.well-known/openid-configuration lies
	ClientID      string
	ClientSecret  string   // empty: a public client
	Scopes        []string // asked for besides openid; empty: email and profile
	UsernameClaim string   // what names a user here; empty: email
	GroupsClaim   string   // holds a user's groups; empty: groups
	// Groups says what a group of the provider gives: scopes of ours, where AdminGroup stands for all of an administrator's, and
	// roles, as ROLE:ORG and ROLE:ORG/SPACE.
	Groups map[string][]string
	// Client reaches the provider; nil: one with the system's CAs and a time limit.
	Client *http.Client
}

// AdminGroup is, as what a provider's group gives, everything that makes an administrator.
const AdminGroup = "admin"

var originGrammar = regexp.MustCompile(`^[a-z0-9][a-z0-9.-]{0,62}$`)

const (
	providerTime  = 10 * time.Second // for one request to a provider
	discoverAgain = 5 * time.Second  // after it could not be reached
	signInTime    = 10 * time.Minute // for the user, at the provider
	oidcCookie    = "cupola_sign_in"
)

// Validate says what is wrong with the settings, naming the flags that they come from.
func (p Provider) Validate() error {
	issuer, err := url.Parse(p.Issuer)
	switch {
	case err != nil || issuer.Scheme != "https" || issuer.Host == "":
		return fmt.Errorf("--oidc-issuer %q is not a URL of HTTPS: give the one that the identity provider calls its issuer", p.Issuer)
	case p.ClientID == "":
		return errors.New("--oidc-client-id is missing: register this platform at the identity provider and give the id that it gets")
	case p.Name != "" && (!originGrammar.MatchString(p.Name) || p.Name == DefaultOrigin):
		return fmt.Errorf("--oidc-name %q can't be an origin: use lower-case letters, digits, . and -, and not %s", p.Name, DefaultOrigin)
	}
	for group, scopes := range p.Groups {
		for _, s := range scopes {
			if _, role := parseGroupRole(s); !role && s != AdminGroup && !slices.Contains(platformGroups(), s) {
				return fmt.Errorf("--oidc-group %s=%s: there is no such scope or role: use %s, a scope such as %s, or a role such as %s:ORG or %s:ORG/SPACE",
					group, s, AdminGroup, grantableGroups[0], capi.RoleOrgManager, capi.RoleSpaceDeveloper)
			}
		}
	}
	return nil
}

// provider is one that is in use. Its own description is read when it is needed first, so that it may be down when
// the platform starts.
type provider struct {
	Provider
	redirect string

	mu       sync.Mutex // guards what follows
	found    *oidc.Provider
	failed   error
	failedAt time.Time
}

func newProvider(p Provider, loginURL string) *provider {
	if p.Name == "" {
		p.Name = "oidc"
	}
	if p.Label == "" {
		p.Label = p.Name
	}
	if p.UsernameClaim == "" {
		p.UsernameClaim = "email"
	}
	if p.GroupsClaim == "" {
		p.GroupsClaim = "groups"
	}
	if len(p.Scopes) == 0 {
		p.Scopes = []string{"email", "profile"}
	}
	if p.Client == nil {
		p.Client = &http.Client{Timeout: providerTime}
	}
	return &provider{Provider: p, redirect: loginURL + "/login/callback/" + p.Name}
}

func (p *provider) startPath() string { return "/login/oidc/" + p.Name }

// provider is the one with that origin, or nil.
func (a *Auth) provider(origin string) *provider {
	for _, p := range a.providers {
		if p.Name == origin {
			return p
		}
	}
	return nil
}

// origins are where users can be from.
func (a *Auth) origins() []string {
	all := []string{DefaultOrigin}
	for _, p := range a.providers {
		all = append(all, p.Name)
	}
	return all
}

// discover reads the provider's description, once.
func (p *provider) discover(ctx context.Context, now time.Time) (*oidc.Provider, error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.found != nil {
		return p.found, nil
	}
	if p.failed != nil && now.Sub(p.failedAt) < discoverAgain {
		return nil, p.failed
	}
	found, err := oidc.NewProvider(p.context(ctx), p.Issuer)
	if err != nil {
		p.failed, p.failedAt = fmt.Errorf("identity provider %s: %w", p.Name, err), now
		return nil, p.failed
	}
	p.found = found
	return found, nil
}

func (p *provider) context(ctx context.Context) context.Context {
	return oidc.ClientContext(ctx, p.Client)
}

func (p *provider) oauth(found *oidc.Provider) *oauth2.Config {
	return &oauth2.Config{ClientID: p.ClientID, ClientSecret: p.ClientSecret, Endpoint: found.Endpoint(), RedirectURL: p.redirect,
		Scopes: append([]string{oidc.ScopeOpenID}, p.Scopes...)}
}

// signIn is what a browser carries while it is at the provider, sealed in a cookie: nobody can start a sign-in in
// somebody else's browser.
type signIn struct {
	Origin, State, Nonce, Verifier, Next string
	Ends                                 time.Time
}

// startSignIn sends a browser to the provider.
func (a *Auth) startSignIn(w http.ResponseWriter, r *http.Request) error {
	p := a.provider(r.PathValue("origin"))
	if p == nil {
		return a.notFound(w, r)
	}
	found, err := p.discover(r.Context(), a.now())
	if err != nil {
		return a.providerDown(p, err)
	}
	s := signIn{p.Name, randomString(32), randomString(32), oauth2.GenerateVerifier(), localTarget(r.URL.Query().Get("next")), a.now().Add(signInTime)}
	raw, err := json.Marshal(s)
	if err != nil {
		return err
	}
	setCookie(w, oidcCookie, a.seal("sign-in", base64.RawURLEncoding.EncodeToString(raw)), "/login/", signInTime)
	redirect(w, http.StatusFound, p.oauth(found).AuthCodeURL(s.State, oidc.Nonce(s.Nonce), oauth2.S256ChallengeOption(s.Verifier)))
	return nil
}

func (a *Auth) providerDown(p *provider, err error) error {
	a.log.Warn("identity provider can't be asked", "origin", p.Name, "error", err)
	return refuse(http.StatusBadGateway, "temporarily_unavailable", "The identity provider "+p.Label+" can't be reached at the moment: try again later.")
}

// signedIn is where the provider sends the browser back to.
func (a *Auth) signedIn(w http.ResponseWriter, r *http.Request) error {
	p := a.provider(r.PathValue("origin"))
	if p == nil {
		return a.notFound(w, r)
	}
	s, ok := a.openSignIn(r)
	q := r.URL.Query()
	if !ok || s.Origin != p.Name || subtle.ConstantTimeCompare([]byte(s.State), []byte(q.Get("state"))) != 1 {
		return refuse(http.StatusBadRequest, "invalid_request", "This sign-in was not begun in this browser, or too long ago: start again.")
	}
	setCookie(w, oidcCookie, "", "/login/", 0)
	if problem := q.Get("error"); problem != "" {
		return refuse(http.StatusUnauthorized, "unauthorized", fmt.Sprintf("%s did not sign you in: %.50s %.200s", p.Label, problem, q.Get("error_description")))
	}
	if iss := q.Get("iss"); iss != "" && iss != p.Issuer {
		return refuse(http.StatusBadRequest, "invalid_request", "The answer is another identity provider's.") // RFC 9207
	}
	user, err := a.userOfCode(r.Context(), p, s, q.Get("code"))
	if err != nil {
		return err
	}
	if err := a.startBrowser(w, user); err != nil {
		return err
	}
	redirect(w, http.StatusSeeOther, s.Next)
	return nil
}

func (a *Auth) openSignIn(r *http.Request) (s signIn, ok bool) {
	raw, err := base64.RawURLEncoding.DecodeString(a.unseal("sign-in", onlyCookie(r, oidcCookie)))
	if err != nil || json.Unmarshal(raw, &s) != nil {
		return signIn{}, false
	}
	return s, s.State != "" && s.Ends.After(a.now())
}

// userOfCode redeems the provider's code and finds the user whom it is for.
func (a *Auth) userOfCode(ctx context.Context, p *provider, s signIn, text string) (*store.User, error) {
	found, err := p.discover(ctx, a.now())
	if err != nil {
		return nil, a.providerDown(p, err)
	}
	token, err := p.oauth(found).Exchange(p.context(ctx), text, oauth2.VerifierOption(s.Verifier))
	if err != nil {
		return nil, a.providerDown(p, err)
	}
	raw, _ := token.Extra("id_token").(string)
	id, err := a.verifyIDToken(ctx, p, found, raw)
	if err != nil {
		return nil, err
	}
	if subtle.ConstantTimeCompare([]byte(id.Nonce), []byte(s.Nonce)) != 1 {
		return nil, refuse(http.StatusUnauthorized, "unauthorized", "The identity provider's answer belongs to another sign-in: start again.")
	}
	claims, err := claimsOf(id)
	if err != nil {
		return nil, err
	}
	if claims[p.UsernameClaim] == nil || (len(p.Groups) > 0 && claims[p.GroupsClaim] == nil) { // some tell it only when asked
		info, err := found.UserInfo(p.context(ctx), oauth2.StaticTokenSource(token))
		if err == nil && info.Subject == id.Subject {
			err = info.Claims(&claims) // into the map, beside what is there
		}
		if err != nil {
			a.log.Warn("identity provider gave no user information", "origin", p.Name, "error", err)
		}
	}
	return a.shadowUser(p, id.Subject, claims)
}

// userOfIDToken finds the user whom an ID token is about that the provider made for us.
func (a *Auth) userOfIDToken(ctx context.Context, p *provider, raw string) (*store.User, error) {
	found, err := p.discover(ctx, a.now())
	if err != nil {
		return nil, a.providerDown(p, err)
	}
	id, err := a.verifyIDToken(ctx, p, found, raw)
	if err != nil {
		return nil, err
	}
	claims, err := claimsOf(id)
	if err != nil {
		return nil, err
	}
	return a.shadowUser(p, id.Subject, claims)
}

// verifyIDToken checks signature, issuer, audience and end (OpenID Connect Core 1.0, 3.1.3.7).
func (a *Auth) verifyIDToken(ctx context.Context, p *provider, found *oidc.Provider, raw string) (*oidc.IDToken, error) {
	id, err := found.VerifierContext(p.context(ctx), &oidc.Config{ClientID: p.ClientID, Now: a.now}).Verify(p.context(ctx), raw)
	if err != nil {
		a.log.Warn("identity provider's token is refused", "origin", p.Name, "error", err)
		return nil, refuse(http.StatusUnauthorized, "unauthorized", "The identity provider's token is not good: it is not signed by "+p.Label+", not for this platform, or has ended.")
	}
	return id, nil
}

func claimsOf(id *oidc.IDToken) (map[string]any, error) {
	claims := map[string]any{}
	err := id.Claims(&claims)
	return claims, err
}
