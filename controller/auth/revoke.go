package auth

import (
	"errors"
	"net/http"
	"time"

	"github.com/cupola-paas/cupola/store"
)

// longestToken is how long an access token lasts at most.
const longestToken = clientTTLMax

// revoke is DELETE /oauth/token/revoke/:jti. Logout calls it with the token's own name: its session ends, and so do
// all tokens of it. Others' tokens, and sessions by the name of their refresh token, take the scope tokens.revoke.
func (a *Auth) revoke(w http.ResponseWriter, r *http.Request) error {
	id, err := a.authenticate(r)
	if err != nil {
		return err
	}
	jti := r.PathValue("jti")
	own := jti == id.jti
	if !own && !id.Has(scopeTokensRevoke) && !id.Has(scopeAdmin) {
		return refuse(http.StatusForbidden, "access_denied", "A token can only revoke itself; others take the scope "+scopeTokensRevoke+".")
	}
	if len(jti) > 100 {
		return refuse(http.StatusNotFound, "not_found", "There is no such token.")
	}
	err = a.db.Update(func(tx *store.Tx) error {
		if own && id.session != "" {
			return store.RefreshTokens.Delete(tx, id.session)
		}
		if !own {
			if err := store.RefreshTokens.Delete(tx, jti); !errors.Is(err, store.ErrNotFound) {
				return err
			}
			return a.revokeToken(tx, jti, a.now().Add(longestToken))
		}
		return a.revokeToken(tx, jti, id.ends)
	})
	if err = ignoreGone(err); err == nil {
		writeJSON(w, http.StatusOK, struct{}{})
	}
	return err
}

// revokeToken notes that an access token has ended, and forgets those that have ended by themselves since.
func (a *Auth) revokeToken(tx *store.Tx, jti string, until time.Time) error {
	var over []string
	for t := range store.RevokedTokens.All(tx) {
		if t.ExpiresAt.Before(a.now()) {
			over = append(over, t.GUID)
		}
	}
	for _, guid := range over {
		if err := store.RevokedTokens.Delete(tx, guid); err != nil {
			return err
		}
	}
	return store.RevokedTokens.Put(tx, &store.RevokedToken{Meta: store.Meta{GUID: jti}, ExpiresAt: until})
}

// revokeUser ends all tokens and sessions of a user; users may do it to themselves.
func (a *Auth) revokeUser(w http.ResponseWriter, r *http.Request) error {
	guid := r.PathValue("id")
	return a.revokeAll(w, r, func(id *Identity) bool { return !id.Client && id.UserGUID == guid && id.Has(scopeUser) }, func(tx *store.Tx) error {
		user, err := store.Users.Get(tx, guid)
		if err != nil {
			return noUser(err, guid)
		}
		user.TokenSalt = randomString(12)
		return errors.Join(deleteSessions(tx, guid), store.Users.Put(tx, user))
	})
}

// revokeClient ends all tokens of a client, its own and those that users let it have.
func (a *Auth) revokeClient(w http.ResponseWriter, r *http.Request) error {
	guid := r.PathValue("id")
	return a.revokeAll(w, r, func(id *Identity) bool { return id.Client && id.ClientID == guid }, func(tx *store.Tx) error {
		client, err := store.Clients.Get(tx, guid)
		if err != nil {
			return noClient(err, guid)
		}
		client.TokenSalt = randomString(12)
		return errors.Join(deleteClientSessions(tx, guid), store.Clients.Put(tx, client))
	})
}

func (a *Auth) revokeAll(w http.ResponseWriter, r *http.Request, own func(*Identity) bool, change func(*store.Tx) error) error {
	id, err := a.authenticate(r)
	if err != nil {
		return err
	}
	if !own(id) && !id.Has(scopeTokensRevoke) && !id.Has(scopeAdmin) {
		return insufficientScope(scopeTokensRevoke)
	}
	if err := a.db.Update(change); err != nil {
		return err
	}
	writeJSON(w, http.StatusOK, struct{}{})
	return nil
}
