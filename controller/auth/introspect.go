package auth

import (
	"encoding/base64"
	"encoding/json"
	"net/http"
	"strings"

	"github.com/cupola-paas/cupola/controller/capi"
)

// resourceServer checks that a request comes from a client that may ask about others' tokens, and reads its form.
func (a *Auth) resourceServer(r *http.Request) error {
	if err := r.ParseForm(); err != nil {
		return badForm(err)
	}
	if _, ok := bearer(r); ok {
		_, err := a.withScope(r, scopeResource)
		return err
	}
	if _, _, basic := r.BasicAuth(); !basic {
		return refuse(http.StatusUnauthorized, "unauthorized", "A client must ask: send its id and secret as Basic authorization.")
	}
	client, err := a.authenticateClient(r)
	if err != nil {
		return err
	}
	if len(both(client.Authorities, []string{scopeResource})) == 0 {
		return insufficientScope(scopeResource)
	}
	return nil
}

// tokenClaims are all claims of a token that is good now; scope is what the holder still has of it.
func (a *Auth) tokenClaims(r *http.Request) (map[string]any, error) {
	token := r.PostForm.Get("token")
	id, err := a.identify(token)
	if err != nil {
		return nil, err
	}
	all := map[string]any{}
	_, payload, _ := strings.Cut(token, ".")
	payload, _, _ = strings.Cut(payload, ".")
	raw, err := base64.RawURLEncoding.DecodeString(payload)
	if err != nil {
		return nil, err
	}
	if err := json.Unmarshal(raw, &all); err != nil {
		return nil, err
	}
	all["scope"] = capi.Array[string](id.Scopes)
	return all, nil
}

// checkToken is UAA's POST /check_token: the claims, or an error.
func (a *Auth) checkToken(w http.ResponseWriter, r *http.Request) error {
	if err := a.resourceServer(r); err != nil {
		return err
	}
	all, err := a.tokenClaims(r)
	if err != nil {
		if isInvalidToken(err) {
			err = refuse(http.StatusBadRequest, "invalid_token", "The token expired, was revoked, or the token ID is incorrect.")
		}
		return err
	}
	wanted := splitScopes(r.PostForm.Get("scopes"))
	have := all["scope"].(capi.Array[string])
	if len(both(wanted, have)) < len(wanted) {
		return refuse(http.StatusBadRequest, "invalid_scope", "Some requested scopes are missing")
	}
	writeJSON(w, http.StatusOK, all)
	return nil
}

// introspect is POST /introspect (RFC 7662): whether a token is good, and its claims.
func (a *Auth) introspect(w http.ResponseWriter, r *http.Request) error {
	if err := a.resourceServer(r); err != nil {
		return err
	}
	all, err := a.tokenClaims(r)
	if isInvalidToken(err) {
		all, err = map[string]any{"active": false}, nil
	} else if err == nil {
		all["active"] = true
	}
	if err == nil {
		writeJSON(w, http.StatusOK, all)
	}
	return err
}
