package auth

import (
	"net/http"

	"github.com/golang-jwt/jwt/v5"

	"github.com/cupola-paas/cupola/controller/capi"
	"github.com/cupola-paas/cupola/store"
)

// assertionGrant takes a JWT that says who the user is in place of a password (RFC 7523 2.1): an ID token of an
// identity provider that was made for us, or an access token of our own.
func (a *Auth) assertionGrant(r *http.Request, client *store.Client) (*capi.Token, error) {
	text := r.Form.Get("assertion")
	if text == "" || len(text) > tokenMax {
		return nil, refuse(http.StatusBadRequest, "invalid_request", "assertion is needed: a JWT of an identity provider or of this server.")
	}
	issuer := issuerOf(text)
	if issuer == a.issuer() {
		return a.ownAssertion(r, client, text)
	}
	for _, p := range a.providers {
		if p.Issuer != issuer {
			continue
		}
		user, err := a.userOfIDToken(r.Context(), p, text)
		if err != nil {
			return nil, err
		}
		return a.startGrant(user, client, issuance{grant: grantAssertion, scopes: scopesFor(user, client, r.Form.Get("scope"))})
	}
	return nil, refuse(http.StatusUnauthorized, "unauthorized", "The assertion's issuer is not one that is trusted here.")
}

// ownAssertion gives for an access token one that lasts no longer, can do no more and ends with the same session.
func (a *Auth) ownAssertion(r *http.Request, client *store.Client, text string) (*capi.Token, error) {
	id, err := a.identify(text)
	if err != nil {
		return nil, err
	}
	if id.Client || !id.Has(scopeUser) {
		return nil, refuse(http.StatusUnauthorized, "unauthorized", "The assertion must be the token of a user, with the scope "+scopeUser+".")
	}
	user, err := a.userByGUID(id.UserGUID)
	if err != nil {
		return nil, err
	}
	scopes := both(scopesFor(user, client, r.Form.Get("scope")), id.Scopes)
	if len(scopes) == 0 {
		return nil, refuse(http.StatusBadRequest, "invalid_scope", "The assertion has none of the scopes that are asked for.")
	}
	return a.issueUser(user, issuance{client: client, grant: grantAssertion, scopes: scopes, session: id.session, until: id.ends})
}

// issuerOf reads who a JWT says it is from, unverified: it only chooses by whose keys it is verified.
func issuerOf(text string) string {
	var c jwt.RegisteredClaims
	if _, _, err := jwt.NewParser().ParseUnverified(text, &c); err != nil {
		return ""
	}
	return c.Issuer
}
