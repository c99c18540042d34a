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

// The grants of RFC 6749 that are known here.
const (
	grantPassword = "password"
	grantRefresh  = "refresh_token"
	grantClient   = "client_credentials"
	grantCode     = "authorization_code" // only within the platform: RedeemCode
)

// lockedOut is the description that the CLI knows and shows.
const lockedOut = "Your account has been locked because of too many failed attempts to login."

// grant is POST /oauth/token.
func (a *Auth) grant(w http.ResponseWriter, r *http.Request) error {
	if err := r.ParseForm(); err != nil {
		var large *http.MaxBytesError
		if errors.As(err, &large) {
			return err
		}
		return refuse(http.StatusBadRequest, "invalid_request", "The body is not a form.")
	}
	token, err := a.token(r)
	if err == nil {
		writeJSON(w, http.StatusOK, token)
	}
	return err
}

func (a *Auth) token(r *http.Request) (*capi.Token, error) {
	kind := r.Form.Get("grant_type")
	switch {
	case kind == "":
		return nil, refuse(http.StatusBadRequest, "invalid_request", "Missing grant type")
	case r.Form.Get("passcode") != "":
		return nil, refuse(http.StatusUnauthorized, "unauthorized", "Single sign-on passcodes are not available here: log in with user name and password.")
	case kind != grantPassword && kind != grantRefresh && kind != grantClient:
		return nil, refuse(http.StatusBadRequest, "unsupported_grant_type",
			fmt.Sprintf("Unsupported grant type: %.100q. Use password, refresh_token or client_credentials.", kind))
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
	if id == "" {
		return nil, bad
	}
	addr := a.clientAddr(r)
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
	if !a.throttle.begin("client\x00"+id, addr) {
		return nil, refuse(http.StatusUnauthorized, "invalid_client", lockedOut)
	}
	hash := ""
	if client != nil {
		hash = client.SecretHash
	}
	if !a.hasher.verify(hash, secret) {
		return nil, bad
	}
	a.throttle.succeeded("client\x00"+id, addr)
	return client, nil
}

func unescape(s string) string {
	if u, err := url.QueryUnescape(s); err == nil {
		return u
	}
	return s
}

func (a *Auth) passwordGrant(r *http.Request, client *store.Client) (*capi.Token, error) {
	user, err := a.checkPassword(loginOrigin(r), r.Form.Get("username"), r.Form.Get("password"), a.clientAddr(r))
	if err != nil {
		return nil, err
	}
	scopes := scopesFor(user, client, r.Form.Get("scope"))
	if len(scopes) == 0 {
		return nil, refuse(http.StatusBadRequest, "invalid_scope", "The user has none of the scopes that are asked for.")
	}
	session := ""
	if slices.Contains(client.GrantTypes, grantRefresh) {
		if session, err = a.startSession(user, client, scopes); err != nil {
			return nil, err
		}
	}
	return a.issueUser(user, client, grantPassword, session, scopes)
}

// checkPassword finds the user with that name and password. A name that does not exist costs the same time.
func (a *Auth) checkPassword(origin, username, password, addr string) (*store.User, error) {
	if !a.throttle.begin(username, addr) {
		return nil, refuse(http.StatusUnauthorized, "unauthorized", lockedOut)
	}
	user, err := a.findUser(origin, username)
	if err != nil && !errors.Is(err, store.ErrNotFound) {
		return nil, err
	}
	hash := ""
	if user != nil && !user.Disabled {
		hash = user.PasswordHash
	}
	if !a.hasher.verify(hash, password) {
		return nil, refuse(http.StatusUnauthorized, "unauthorized", "Bad credentials")
	}
	a.throttle.succeeded(username, addr)
	return user, nil
}

// loginOrigin reads the origin from the login hint that the CLI sends with --origin.
func loginOrigin(r *http.Request) string {
	var hint struct {
		Origin string `json:"origin"`
	}
	text := r.URL.Query().Get("login_hint")
	if json.Unmarshal([]byte(text), &hint) != nil {
		_ = json.Unmarshal([]byte(unescape(text)), &hint) // some clients escape it twice; anything else is no hint
	}
	return cmp.Or(hint.Origin, DefaultOrigin)
}

func (a *Auth) refreshGrant(r *http.Request, client *store.Client) (*capi.Token, error) {
	ended := refuse(http.StatusUnauthorized, "invalid_token", "The token expired, was revoked, or the token ID is incorrect.")
	session := a.openSession(r.Form.Get("refresh_token"))
	if session == "" {
		return nil, ended
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
		return nil, ended
	}
	if err != nil {
		return nil, err
	}
	if err := a.extend(session, client); err != nil {
		return nil, err
	}
	scopes := askedScopes(rec.Scopes, r.Form.Get("scope"))
	held := union(userGroups, user.Groups)
	scopes = slices.DeleteFunc(scopes, func(s string) bool { return !slices.Contains(held, s) })
	return a.issueUser(user, client, grantRefresh, session, scopes)
}

// extend lets a session that is in use live on; it writes at most once a day.
func (a *Auth) extend(session string, client *store.Client) error {
	until := a.now().Add(client.RefreshTTL)
	var fresh bool
	err := a.db.View(func(tx *store.Tx) error {
		rec, err := store.RefreshTokens.Get(tx, session)
		fresh = err == nil && until.Sub(rec.ExpiresAt) < client.RefreshTTL/30
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
	wanted := strings.Fields(asked)
	return slices.DeleteFunc(slices.Clone(have), func(s string) bool { return len(wanted) > 0 && !slices.Contains(wanted, s) })
}

// revoke is what logout calls: the session of the token that the request bears ends.
func (a *Auth) revoke(w http.ResponseWriter, r *http.Request) error {
	id, err := a.Authenticate(r)
	if err != nil {
		return err
	}
	if r.PathValue("jti") != id.jti {
		return refuse(http.StatusForbidden, "access_denied", "A token can only revoke itself.")
	}
	if id.session != "" {
		err = a.db.Update(func(tx *store.Tx) error { return store.RefreshTokens.Delete(tx, id.session) })
	}
	if err = ignoreGone(err); err == nil {
		writeJSON(w, http.StatusOK, struct{}{})
	}
	return err
}
