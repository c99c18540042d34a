package capi

import (
	"context"
	"encoding/base64"
	"encoding/json"
	"errors"
	"io"
	"net/http"
	"net/url"
	"strings"
	"sync"
	"time"
)

// ErrNotLoggedIn says that a call needs a login, or that the login has ended.
var ErrNotLoggedIn = errors.New("not logged in: log in first, for example with \"cupola login\"")

// renewBefore is how long before its end an access token is renewed.
const renewBefore = time.Minute

// session holds the tokens of a Client.
type session struct {
	client     *Client
	onToken    func(Token)
	id, secret string

	mu    sync.Mutex // guards token; held over a renewal, so that there is one at a time
	token Token
}

// Claims are what an access token says of whom it was given to. Clients have no UserName.
type Claims struct {
	UserID    string   `json:"user_id"`
	UserName  string   `json:"user_name"`
	Origin    string   `json:"origin"`
	ClientID  string   `json:"client_id"`
	Scope     []string `json:"scope"`
	ExpiresAt int64    `json:"exp"`
	JTI       string   `json:"jti"`
	Revocable bool     `json:"revocable"`
}

// ParseClaims reads an access token without verifying it, which only the server can.
func ParseClaims(accessToken string) (Claims, error) {
	var claims Claims
	parts := strings.Split(accessToken, ".")
	if len(parts) != 3 {
		return claims, errors.New("the access token is not a JWT: log in again")
	}
	raw, err := base64.RawURLEncoding.DecodeString(parts[1])
	if err == nil {
		err = json.Unmarshal(raw, &claims)
	}
	if err != nil {
		return claims, errors.New("the access token can't be read: log in again")
	}
	return claims, nil
}

// LoginInfo is the answer of the authorization server's GET /login: its version and prompts.
func (c *Client) LoginInfo(ctx context.Context) (*LoginInfo, error) {
	login, err := c.link(ctx, "login")
	if err != nil {
		return nil, err
	}
	var info LoginInfo
	return &info, c.send(ctx, call{method: http.MethodGet, url: login + "/login", anonymous: true}, &info)
}

// Login gets a token for a user by password and keeps it.
func (c *Client) Login(ctx context.Context, username, password string) (Token, error) {
	return c.session.grant(ctx, url.Values{"grant_type": {"password"}, "username": {username}, "password": {password}})
}

// LoginOrigin is Login for a user of the identity provider with that origin.
func (c *Client) LoginOrigin(ctx context.Context, username, password, origin string) (Token, error) {
	hint, err := json.Marshal(map[string]string{"origin": origin})
	if err != nil {
		return Token{}, err
	}
	return c.session.grant(ctx, url.Values{"grant_type": {"password"}, "username": {username}, "password": {password}, loginHint: {string(hint)}})
}

// LoginPasscode gets a token by a one-time passcode, which a person who is signed in at the authorization server
// gets at its page /passcode.
func (c *Client) LoginPasscode(ctx context.Context, passcode string) (Token, error) {
	return c.session.grant(ctx, url.Values{"grant_type": {"password"}, "passcode": {passcode}})
}

// LoginCode redeems the code that a browser brought back from the authorization server (RFC 6749 4.1.3), with the
// redirect URI that it was asked for with and the PKCE verifier, and keeps the token. The client is ClientOptions.ClientID.
func (c *Client) LoginCode(ctx context.Context, code, redirect, verifier string) (Token, error) {
	return c.session.grant(ctx, url.Values{"grant_type": {"authorization_code"}, "code": {code}, "redirect_uri": {redirect}, "code_verifier": {verifier}})
}

// LogoutAll has the server end every login of the user whose token is in use, this one included.
func (c *Client) LogoutAll(ctx context.Context) error {
	claims, err := c.Claims(ctx)
	if err != nil {
		return err
	}
	uaa, err := c.link(ctx, "login")
	if err != nil {
		return err
	}
	return c.send(ctx, call{method: http.MethodDelete, url: uaa + "/oauth/token/revoke/user/" + url.PathEscape(claims.UserID)}, nil)
}

// LoginAssertion gets a token for the user of a token of another authorization server (RFC 7523 2.1); an id and a
// secret are those of an OAuth client that stands in for this one, empty otherwise.
func (c *Client) LoginAssertion(ctx context.Context, id, secret, assertion string) (Token, error) {
	form := url.Values{"grant_type": {"urn:ietf:params:oauth:grant-type:jwt-bearer"}, "assertion": {assertion}}
	if id != "" {
		form.Set("client_id", id)
		form.Set("client_secret", secret)
	}
	return c.session.grant(ctx, form)
}

// LoginClient gets a token for a client by its secret and keeps it. Such a token can't be renewed.
func (c *Client) LoginClient(ctx context.Context, id, secret string) (Token, error) {
	return c.session.grant(ctx, url.Values{"grant_type": {"client_credentials"}, "client_id": {id}, "client_secret": {secret}})
}

// LoginClientAssertion is LoginClient with a signed assertion in place of the secret (RFC 7523 2.2).
func (c *Client) LoginClientAssertion(ctx context.Context, id, assertion string) (Token, error) {
	return c.session.grant(ctx, url.Values{"grant_type": {"client_credentials"}, "client_id": {id}, "client_assertion": {assertion},
		"client_assertion_type": {"urn:ietf:params:oauth:client-assertion-type:jwt-bearer"}})
}

// loginHint is the field of a grant that travels in the query.
const loginHint = "login_hint"

// AccessToken is a token that is good for at least a minute more.
func (c *Client) AccessToken(ctx context.Context) (string, error) { return c.session.access(ctx) }

// Claims are those of the token in use.
func (c *Client) Claims(ctx context.Context) (Claims, error) {
	token, err := c.session.access(ctx)
	if err != nil {
		return Claims{}, err
	}
	return ParseClaims(token)
}

// Logout has the server forget the login, where it can, and drops the tokens in any case.
func (c *Client) Logout(ctx context.Context) error {
	s := &c.session
	s.mu.Lock()
	token := s.token
	s.token = Token{}
	s.mu.Unlock()
	claims, err := ParseClaims(token.AccessToken)
	if err != nil || !claims.Revocable {
		return nil
	}
	uaa, err := c.link(ctx, "login")
	if err != nil {
		return err
	}
	req, err := http.NewRequestWithContext(ctx, http.MethodDelete, uaa+"/oauth/token/revoke/"+url.PathEscape(claims.JTI), nil)
	if err != nil {
		return err
	}
	resp, err := c.exchange(req, token.AccessToken)
	if err != nil {
		return err
	}
	discard(resp)
	return nil
}

// access is the access token, renewed when it is about to end.
func (s *session) access(ctx context.Context) (string, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.token.AccessToken == "" {
		return "", ErrNotLoggedIn
	}
	claims, err := ParseClaims(s.token.AccessToken)
	if err != nil {
		return "", err
	}
	left := time.Until(time.Unix(claims.ExpiresAt, 0))
	if left > renewBefore {
		return s.token.AccessToken, nil
	}
	if s.token.RefreshToken == "" {
		if left > 0 {
			return s.token.AccessToken, nil
		}
		return "", ErrNotLoggedIn
	}
	if err := s.renewLocked(ctx); err != nil {
		return "", err
	}
	return s.token.AccessToken, nil
}

// renew gets a new access token unless another call has replaced stale already.
func (s *session) renew(ctx context.Context, stale string) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.token.AccessToken != stale {
		return nil
	}
	if s.token.RefreshToken == "" {
		return ErrNotLoggedIn
	}
	return s.renewLocked(ctx)
}

func (s *session) renewLocked(ctx context.Context) error {
	err := s.grantLocked(ctx, url.Values{"grant_type": {"refresh_token"}, "refresh_token": {s.token.RefreshToken}})
	var refused *TokenError
	if errors.As(err, &refused) && refused.Status < 500 {
		return ErrNotLoggedIn
	}
	return err
}

func (s *session) grant(ctx context.Context, form url.Values) (Token, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if err := s.grantLocked(ctx, form); err != nil {
		return Token{}, err
	}
	return s.token, nil
}

func (s *session) grantLocked(ctx context.Context, form url.Values) error {
	login, err := s.client.link(ctx, "login")
	if err != nil {
		return err
	}
	address := login + "/oauth/token"
	if hint := form.Get(loginHint); hint != "" {
		form.Del(loginHint)
		address += "?" + url.Values{loginHint: {hint}}.Encode()
	}
	body := form.Encode()
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, address, strings.NewReader(body))
	if err != nil {
		return err
	}
	req.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	req.Header.Set("Accept", "application/json")
	if form.Get("client_id") == "" {
		req.SetBasicAuth(url.QueryEscape(s.id), url.QueryEscape(s.secret))
	}
	resp, err := s.client.exchange(req, "")
	if err != nil {
		return err
	}
	defer resp.Body.Close()
	raw, err := io.ReadAll(io.LimitReader(resp.Body, 1<<20))
	if err != nil {
		return &ConnectError{URL: origin(login), Err: err}
	}
	if resp.StatusCode >= 400 {
		return answerError(resp, raw)
	}
	var token Token
	if err := json.Unmarshal(raw, &token); err != nil || token.AccessToken == "" {
		return errors.New("the authorization server at " + origin(login) + " answered no token: check the address of the API")
	}
	if token.RefreshToken == "" && form.Get("grant_type") == "refresh_token" {
		token.RefreshToken = s.token.RefreshToken
	}
	s.token = token
	if s.onToken != nil {
		s.onToken(token)
	}
	return nil
}
