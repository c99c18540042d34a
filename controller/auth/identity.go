package auth

import (
	"context"
	"crypto/hmac"
	"errors"
	"net/http"
	"slices"
	"strings"
	"time"

	"github.com/cupola-paas/cupola/controller/capi"
	"github.com/cupola-paas/cupola/store"
)

// Identity is who holds a token. For a client's own token Client is true, and UserGUID and Username are its id.
type Identity struct {
	UserGUID string
	Username string
	Email    string
	Origin   string
	ClientID string
	Client   bool
	Scopes   []string

	session string
	jti     string
	ends    time.Time
	forAPI  bool // the API is among those whom the token is for
}

// Has reports whether the token carries a scope.
func (i *Identity) Has(scope string) bool { return slices.Contains(i.Scopes, scope) }

// IsAdmin reports whether the holder administers the platform.
func (i *Identity) IsAdmin() bool { return i.Has(ScopeAdmin) }

// Authenticate says who sent a request to the API: it reads its bearer token. Without one the error is a
// capi.NotAuthenticated, with a bad one, or one that is for others than the API, a capi.InvalidAuthToken.
func (a *Auth) Authenticate(r *http.Request) (*Identity, error) {
	id, err := a.authenticate(r)
	if err == nil && !id.forAPI {
		err = invalidToken()
	}
	return id, err
}

// authenticate is Authenticate for the authorization server itself, whoever else the token is for.
func (a *Auth) authenticate(r *http.Request) (*Identity, error) {
	token, ok := bearer(r)
	if !ok {
		return nil, capi.NotAuthenticated.Errorf("Authentication error")
	}
	return a.identify(token)
}

func bearer(r *http.Request) (token string, ok bool) {
	scheme, token, _ := strings.Cut(r.Header.Get("Authorization"), " ")
	return strings.TrimSpace(token), strings.EqualFold(scheme, "bearer")
}

// AuthenticateToken says whom an access token for the API belongs to, unless it has ended: by time, by logout,
// because it was revoked, because the user is gone or disabled, or because the password has changed.
func (a *Auth) AuthenticateToken(_ context.Context, token string) (*Identity, error) {
	id, err := a.identify(token)
	if err == nil && !id.forAPI {
		err = invalidToken()
	}
	return id, err
}

func (a *Auth) identify(token string) (*Identity, error) {
	c, err := a.parse(token)
	if err != nil {
		return nil, invalidToken()
	}
	id := &Identity{UserGUID: c.UserID, ClientID: c.ClientID, Scopes: c.Scope, session: c.Session, jti: c.ID, ends: c.ExpiresAt.Time}
	id.forAPI = slices.ContainsFunc(apiAudiences, func(aud string) bool { return slices.Contains(c.Audience, aud) })
	err = a.db.View(func(tx *store.Tx) error {
		if _, err := store.RevokedTokens.Get(tx, c.ID); !errors.Is(err, store.ErrNotFound) {
			return firstOf(err, store.ErrNotFound)
		}
		if c.UserID == "" {
			return a.checkClient(tx, c, id)
		}
		return a.checkUser(tx, c, id)
	})
	if errors.Is(err, store.ErrNotFound) {
		return nil, invalidToken()
	}
	if err != nil {
		return nil, err
	}
	return id, nil
}

func invalidToken() error { return capi.InvalidAuthToken.Errorf("Invalid Auth Token") }

func (a *Auth) checkUser(tx *store.Tx, c *claims, id *Identity) error {
	user, err := store.Users.Get(tx, c.UserID)
	if err != nil {
		return err
	}
	client, err := store.Clients.Get(tx, c.ClientID)
	if err != nil {
		return err
	}
	if user.Disabled || !hmac.Equal([]byte(c.RevSig), []byte(a.userMark(user, client))) {
		return store.ErrNotFound
	}
	if c.Session != "" {
		if _, err := store.RefreshTokens.Get(tx, c.Session); err != nil {
			return err
		}
	}
	id.Username, id.Email, id.Origin = user.Username, user.Email, user.Origin
	held := heldScopes(user)
	id.Scopes = slices.DeleteFunc(slices.Clone(id.Scopes), func(s string) bool { return !slices.Contains(held, s) })
	return nil
}

func (a *Auth) checkClient(tx *store.Tx, c *claims, id *Identity) error {
	client, err := store.Clients.Get(tx, c.ClientID)
	if err != nil {
		return err
	}
	if !hmac.Equal([]byte(c.RevSig), []byte(a.clientMark(client))) {
		return store.ErrNotFound
	}
	id.UserGUID, id.Username, id.Client = client.GUID, client.GUID, true
	id.Scopes = slices.DeleteFunc(slices.Clone(id.Scopes), func(s string) bool { return !slices.Contains(client.Authorities, s) })
	return nil
}
