package auth

import (
	"cmp"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"slices"
	"strings"

	"github.com/cupola-paas/cupola/controller/capi"
	"github.com/cupola-paas/cupola/store"
)

// The grants that are known here: of RFC 6749, and of RFC 7523.
const (
	grantPassword  = "password"
	grantRefresh   = "refresh_token"
	grantClient    = "client_credentials"
	grantCode      = "authorization_code"
	grantAssertion = "urn:ietf:params:oauth:grant-type:jwt-bearer"
)

// lockedOut is the description that the CLI knows and shows.
const lockedOut = "Your account has been locked because of too many failed attempts to login."

// endedToken is the answer to a refresh token or an assertion that is not good, or not any more.
var endedToken = refuse(http.StatusUnauthorized, "invalid_token", "The token expired, was revoked, or the token ID is incorrect.")

// grant is POST /oauth/token.
func (a *Auth) grant(w http.ResponseWriter, r *http.Request) error {
	if err := r.ParseForm(); err != nil {
		return badForm(err)
	}
	token, err := a.token(r)
	if err == nil {
		writeJSON(w, http.StatusOK, token)
	}
	return err
}

func (a *Auth) token(r *http.Request) (*capi.Token, error) {
	kind := r.Form.Get("grant_type")
	if kind == "" {
		return nil, refuse(http.StatusBadRequest, "invalid_request", "Missing grant type")
	}
	if !slices.Contains(clientGrants, kind) {
		return nil, refuse(http.StatusBadRequest, "unsupported_grant_type",
			fmt.Sprintf("Unsupported grant type: %.100q. Use one of %s.", kind, strings.Join(clientGrants, ", ")))
	}
	client, err := a.authenticateClient(r)
	if err != nil {
		return nil, err
	}
	if !slices.Contains(client.GrantTypes, kind) {
		return nil, refuse(http.StatusUnauthorized, "unauthorized_client", fmt.Sprintf("The client %s may not use the grant type %s.", client.GUID, kind))
	}
	switch kind {
	case grantPassword:
		return a.passwordGrant(r, client)
	case grantRefresh:
		return a.refreshGrant(r, client)
	case grantCode:
		return a.codeGrant(r, client)
	case grantAssertion:
		return a.assertionGrant(r, client)
	}
	return a.issueClient(client, askedScopes(client.Authorities, r.Form.Get("scope")))
}

// authenticateClient takes Basic authorization or client_id and client_secret of the form (RFC 6749 2.3.1).
func (a *Auth) authenticateClient(r *http.Request) (*store.Client, error) {
	id, secret, basic := r.BasicAuth()
	if basic {
		id, secret = unescape(id), unescape(secret)
	} else {
		id, secret = r.Form.Get("client_id"), r.Form.Get("client_secret")
	}
	bad := refuse(http.StatusUnauthorized, "invalid_client", "Bad client credentials")
	if r.Form.Has("client_assertion") { // RFC 7523 2.2, which nobody here could check
		return nil, refuse(http.StatusUnauthorized, "invalid_client", "Client assertions are not taken here: log in with the client's secret")
	}
	if id == "" {
		return nil, bad
	}
	client, err := a.clientByID(id)
	if err == nil && client.SecretHash == "" {
		if secret != "" {
			return nil, bad
		}
		return client, nil
	}
	if err != nil && !errors.Is(err, store.ErrNotFound) {
		return nil, err
	}
	hash := ""
	if client != nil {
		hash = client.SecretHash
	}
	right, err := a.checkHash(r.Context(), clientLimits(id, a.clientAddr(r)), hash, secret)
	var known *oauthError
	if errors.As(err, &known) && known.status == http.StatusUnauthorized {
		return nil, &oauthError{known.status, "invalid_client", known.description, known.retryAfter}
	}
	if err != nil {
		return nil, err
	}
	if !right {
		return nil, bad
	}
	return client, nil
}

func unescape(s string) string {
	if u, err := url.QueryUnescape(s); err == nil {
		return u
	}
	return s
}

// passwordGrant takes a user's name and password, or the passcode of somebody who signed in with a browser.
func (a *Auth) passwordGrant(r *http.Request, client *store.Client) (*capi.Token, error) {
	var user *store.User
	var err error
	if passcode := r.Form.Get("passcode"); passcode != "" {
		user, err = a.redeemPasscode(r, passcode)
	} else {
		user, err = a.checkPassword(r, loginOrigin(r), r.Form.Get("username"), r.Form.Get("password"))
	}
	if err != nil {
		return nil, err
	}
	return a.startGrant(user, client, issuance{grant: grantPassword, scopes: scopesFor(user, client, r.Form.Get("scope"))})
}

// startGrant begins a session for a client that may renew its tokens, and gives a user the first.
func (a *Auth) startGrant(user *store.User, client *store.Client, i issuance) (*capi.Token, error) {
	if len(i.scopes) == 0 {
		return nil, refuse(http.StatusBadRequest, "invalid_scope", "The user has none of the scopes that are asked for.")
	}
	i.client = client
	if slices.Contains(client.GrantTypes, grantRefresh) {
		session, err := a.startSession(user, client.GUID, cmp.Or(client.RefreshTTL, refreshTTL), i.scopes)
		if err != nil {
			return nil, err
		}
		i.session, i.refresh = session, true
	}
	return a.issueUser(user, i)
}

// checkPassword finds the user with that name and password. A name that does not exist costs the same time.
func (a *Auth) checkPassword(r *http.Request, origin, username, password string) (*store.User, error) {
	if p := a.provider(origin); p != nil {
		return nil, refuse(http.StatusUnauthorized, "unauthorized", "Users of "+p.Label+" have no password here: sign in with \"cf login --sso\".")
	}
	user, err := a.findUser(origin, username)
	if err != nil && !errors.Is(err, store.ErrNotFound) {
		return nil, err
	}
	hash := ""
	if user != nil && !user.Disabled {
		hash = user.PasswordHash
	}
	right, err := a.checkHash(r.Context(), userLimits(username, a.clientAddr(r)), hash, password)
	if err == nil && !right {
		err = refuse(http.StatusUnauthorized, "unauthorized", "Bad credentials")
	}
	return user, err
}

// loginOrigin reads the origin from the login hint that the CLI sends with --origin.
func loginOrigin(r *http.Request) string {
	var hint struct {
		Origin string `json:"origin"`
	}
	text := r.Form.Get("login_hint")
	if json.Unmarshal([]byte(text), &hint) != nil {
		_ = json.Unmarshal([]byte(unescape(text)), &hint) // some clients escape it twice; anything else is no hint
	}
	return cmp.Or(hint.Origin, DefaultOrigin)
}

func (a *Auth) refreshGrant(r *http.Request, client *store.Client) (*capi.Token, error) {
	session := a.openSession(r.Form.Get("refresh_token"))
	if session == "" {
		return nil, endedToken
	}
	var rec *store.RefreshToken
	var user *store.User
	err := a.db.View(func(tx *store.Tx) (err error) {
		if rec, err = store.RefreshTokens.Get(tx, session); err != nil {
			return err
		}
		user, err = store.Users.Get(tx, rec.UserGUID)
		return err
	})
	if errors.Is(err, store.ErrNotFound) || (err == nil && (rec.ClientID != client.GUID || user.Disabled || !rec.ExpiresAt.After(a.now()))) {
		return nil, endedToken
	}
	if err != nil {
		return nil, err
	}
	if err := a.extend(session, client); err != nil {
		return nil, err
	}
	scopes := both(askedScopes(rec.Scopes, r.Form.Get("scope")), heldScopes(user))
	return a.issueUser(user, issuance{client: client, grant: grantRefresh, session: session, refresh: true, scopes: scopes})
}

// extend lets a session that is in use live on; it writes at most once a day.
func (a *Auth) extend(session string, client *store.Client) error {
	lasts := cmp.Or(client.RefreshTTL, refreshTTL)
	until := a.now().Add(lasts)
	var fresh bool
	err := a.db.View(func(tx *store.Tx) error {
		rec, err := store.RefreshTokens.Get(tx, session)
		fresh = err == nil && until.Sub(rec.ExpiresAt) < lasts/30
		return err
	})
	if err != nil || fresh {
		return ignoreGone(err)
	}
	return ignoreGone(a.db.Update(func(tx *store.Tx) error {
		rec, err := store.RefreshTokens.Get(tx, session)
		if err != nil {
			return err
		}
		rec.ExpiresAt = until
		return store.RefreshTokens.Put(tx, rec)
	}))
}

func ignoreGone(err error) error {
	if errors.Is(err, store.ErrNotFound) {
		return nil
	}
	return err
}

// askedScopes is the part of have that a request asks for; all of it when it asks for none.
func askedScopes(have []string, asked string) []string {
	wanted := splitScopes(asked)
	return slices.DeleteFunc(slices.Clone(have), func(s string) bool { return len(wanted) > 0 && !slices.Contains(wanted, s) })
}
