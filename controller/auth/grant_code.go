package auth

import (
	"crypto/sha256"
	"crypto/subtle"
	"encoding/base64"
	"net/http"

	"github.com/cupola-paas/cupola/controller/capi"
	"github.com/cupola-paas/cupola/store"
)

// codeGrant redeems the code that a browser brought back to a client (RFC 6749 4.1.3). A code that comes a second
// time ends what the first gave.
func (a *Auth) codeGrant(r *http.Request, client *store.Client) (*capi.Token, error) {
	bad := refuse(http.StatusBadRequest, "invalid_grant", "The code is not good, or not any more: it is for one use within two minutes.")
	text := r.Form.Get("code")
	found, ok := a.codes.take(client.GUID, text)
	if !ok {
		if session := a.codes.again(text); session != "" {
			err := a.db.Update(func(tx *store.Tx) error { return store.RefreshTokens.Delete(tx, session) })
			if ignoreGone(err) != nil {
				return nil, err
			}
		}
		return nil, bad
	}
	if found.redirect != r.Form.Get("redirect_uri") && found.redirect != "" {
		return nil, refuse(http.StatusBadRequest, "invalid_grant", "The redirect_uri is not the one that the code was asked for with.")
	}
	if !proves(r.Form.Get("code_verifier"), found.challenge) {
		return nil, refuse(http.StatusBadRequest, "invalid_grant", "The code_verifier does not fit the code_challenge.")
	}
	user, err := a.userByGUID(found.userGUID)
	if ignoreGone(err) != nil {
		return nil, err
	}
	if err != nil || user.Disabled {
		return nil, bad
	}
	scopes := both(askedScopes(found.scopes, r.Form.Get("scope")), heldScopes(user))
	return a.giveForCode(user, client, text, issuance{grant: grantCode, nonce: found.nonce, scopes: scopes})
}

// giveForCode makes a session even for a client that can't renew it, so that there is one to end.
func (a *Auth) giveForCode(user *store.User, client *store.Client, text string, i issuance) (*capi.Token, error) {
	token, err := a.startGrant(user, client, i)
	if err != nil {
		return nil, err
	}
	c, err := a.parse(token.AccessToken)
	if err == nil && c.Session != "" {
		a.codes.gave(text, c.Session)
	}
	return token, err
}

// proves reports whether a verifier is what a challenge was made of (RFC 7636 4.6).
func proves(verifier, challenge string) bool {
	if challenge == "" {
		return verifier == ""
	}
	sum := sha256.Sum256([]byte(verifier))
	return subtle.ConstantTimeCompare([]byte(base64.RawURLEncoding.EncodeToString(sum[:])), []byte(challenge)) == 1
}
