package auth

import (
	"context"
	"encoding/base64"
	"encoding/json"
	"errors"
	"io"
	"math/big"
	"net/http"
	"runtime/debug"
	"strconv"
	"time"

	"github.com/cupola-paas/cupola/controller/capi"
	"github.com/cupola-paas/cupola/store"
)

// Version is the UAA version whose interface this is; clients compare it (the CLI wants 4.26 or newer).
const Version = "77.20.0"

// bodyBytes is the most that a request may send.
const bodyBytes = 64 << 10

// oauthError is a refusal in the form of RFC 6749 5.2.
type oauthError struct {
	status      int
	code        string
	description string
	retryAfter  time.Duration // when to come again; zero: nothing is said of it
}

func (e *oauthError) Error() string { return e.description }

func refuse(status int, code, description string) error {
	return &oauthError{status, code, description, 0}
}

// Handler answers for the login server and for the UAA: both hosts lead here.
func (a *Auth) Handler() http.Handler {
	mux := http.NewServeMux()
	for pattern, h := range map[string]handler{
		"GET /info":                                         a.info,
		"GET /healthz":                                      a.healthz,
		"POST /oauth/token":                                 a.grant,
		"DELETE /oauth/token/revoke/{jti}":                  a.revoke,
		"GET /oauth/token/revoke/user/{id}":                 a.revokeUser, // UAA's method
		"DELETE /oauth/token/revoke/user/{id}":              a.revokeUser,
		"GET /oauth/token/revoke/client/{id}":               a.revokeClient,
		"DELETE /oauth/token/revoke/client/{id}":            a.revokeClient,
		"POST /check_token":                                 a.checkToken,
		"POST /introspect":                                  a.introspect,
		"GET /token_key":                                    a.tokenKey,
		"GET /token_keys":                                   a.tokenKeys,
		"GET /.well-known/openid-configuration":             a.openID,
		"GET /oauth/token/.well-known/openid-configuration": a.openID, // below the issuer, where the standard looks
		"GET /userinfo":                                     a.userInfo,
		"POST /userinfo":                                    a.userInfo,
		"GET /Users":                                        a.listUsers,
		"POST /Users":                                       a.createUser,
		"GET /Users/{id}":                                   a.getUser,
		"PUT /Users/{id}":                                   a.replaceUser,
		"PATCH /Users/{id}":                                 a.patchUser,
		"DELETE /Users/{id}":                                a.deleteUser,
		"PUT /Users/{id}/password":                          a.changePassword,
		"PATCH /Users/{id}/status":                          a.accountStatus,
		"GET /Groups":                                       a.listGroups,
		"POST /Groups":                                      a.createGroup,
		"GET /Groups/{id}":                                  a.getGroup,
		"PUT /Groups/{id}":                                  a.replaceGroup,
		"PATCH /Groups/{id}":                                a.patchGroup,
		"DELETE /Groups/{id}":                               a.deleteGroup,
		"GET /Groups/{id}/members":                          a.listMembers,
		"POST /Groups/{id}/members":                         a.addMember,
		"GET /Groups/{id}/members/{member}":                 a.getMember,
		"DELETE /Groups/{id}/members/{member}":              a.removeMember,
		"GET /oauth/clients":                                a.listClients,
		"POST /oauth/clients":                               a.createClient,
		"GET /oauth/clients/{id}":                           a.getClient,
		"PUT /oauth/clients/{id}":                           a.replaceClient,
		"DELETE /oauth/clients/{id}":                        a.deleteClient,
		"PUT /oauth/clients/{id}/secret":                    a.changeSecret,
		"/":                                                 a.notFound,
	} {
		mux.Handle(pattern, a.serve(h))
	}
	for pattern, h := range map[string]handler{
		"GET /{$}":                     a.home,
		"GET /login":                   a.login,
		"POST /login.do":               a.loginDo,
		"GET /logout.do":               a.logout,
		"GET /passcode":                a.passcode,
		"GET /oauth/authorize":         a.authorize,
		"POST /oauth/authorize":        a.approve,
		"GET /login/oidc/{origin}":     a.startSignIn,
		"GET /login/callback/{origin}": a.signedIn,
		"GET /resources/style.css":     a.style,
	} {
		mux.Handle(pattern, a.serve(a.page(h)))
	}
	return mux
}

// handler answers one route; what it returns as an error becomes the answer.
type handler func(http.ResponseWriter, *http.Request) error

// page shows browsers the refusals of h on a page.
func (a *Auth) page(h handler) handler {
	return func(w http.ResponseWriter, r *http.Request) error {
		err := h(w, r)
		var known *oauthError
		if _, cli := bearer(r); cli || wantsJSON(r) || !errors.As(err, &known) {
			return err
		}
		setRetryAfter(w, known)
		return a.render(w, r, known.status, "error.html", map[string]any{"Problem": known.description})
	}
}

// serve turns the error of h into the answer, and a panic into one that tells nothing.
func (a *Auth) serve(h handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		defer func() {
			if p := recover(); p != nil {
				if p == http.ErrAbortHandler {
					panic(p)
				}
				a.log.Error("authorization server panicked", "path", r.URL.Path, "panic", p, "stack", string(debug.Stack()))
				writeError(w, refuse(http.StatusInternalServerError, "server_error", "An unknown error occurred."))
			}
		}()
		r.Body = http.MaxBytesReader(w, r.Body, bodyBytes)
		if err := h(w, r); err != nil {
			a.fail(w, r, err)
		}
	})
}

func (a *Auth) fail(w http.ResponseWriter, r *http.Request, err error) {
	var known *oauthError
	var api *capi.Error
	var large *http.MaxBytesError
	switch {
	case errors.As(err, &known):
	case errors.As(err, &large):
		err = refuse(http.StatusRequestEntityTooLarge, "invalid_request", "The request is too large.")
	case errors.Is(err, context.Canceled):
		err = refuse(http.StatusBadRequest, "invalid_request", "The request was given up.")
	case errors.As(err, &api):
		description := "The token expired, was revoked, or the token ID is incorrect."
		if errors.Is(err, capi.NotAuthenticated) {
			description = "Full authentication is required to access this resource"
		}
		err = refuse(http.StatusUnauthorized, "invalid_token", description)
	case errors.Is(err, store.ErrNoSpace):
		err = refuse(http.StatusInsufficientStorage, "server_error", "The platform's disk is full: ask its operator to make room.")
	default:
		a.log.Error("authorization request failed", "method", r.Method, "path", r.URL.Path, "error", err)
		err = refuse(http.StatusInternalServerError, "server_error", "An unknown error occurred.")
	}
	writeError(w, err)
}

func writeError(w http.ResponseWriter, err error) {
	e := err.(*oauthError) //nolint:errorlint // made just before
	setRetryAfter(w, e)
	if e.status == http.StatusUnauthorized {
		w.Header().Set("WWW-Authenticate", `Bearer realm="UAA/oauth", error="`+e.code+`"`)
	}
	writeJSON(w, e.status, capi.TokenError{Code: e.code, Description: e.description})
}

// setRetryAfter says when a request that was refused may come again.
func setRetryAfter(w http.ResponseWriter, e *oauthError) {
	if e.retryAfter > 0 {
		w.Header().Set("Retry-After", strconv.Itoa(int((e.retryAfter+time.Second-1)/time.Second)))
	}
}

func writeJSON(w http.ResponseWriter, status int, v any) {
	w.Header().Set("Content-Type", "application/json;charset=UTF-8")
	w.Header().Set("Cache-Control", "no-store")
	w.Header().Set("X-Content-Type-Options", "nosniff")
	w.WriteHeader(status)
	_ = json.NewEncoder(w).Encode(v) // a client that went away does not matter
}

// readBody reads a JSON body whole; the server has bounded it.
func readBody(r *http.Request) ([]byte, error) { return io.ReadAll(r.Body) }

func readJSON(r *http.Request, v any) error {
	raw, err := readBody(r)
	if err != nil {
		return err
	}
	return decodeJSON(raw, v)
}

func (a *Auth) notFound(http.ResponseWriter, *http.Request) error {
	return refuse(http.StatusNotFound, "not_found", "There is nothing at this address of the authorization server.")
}

func (a *Auth) healthz(w http.ResponseWriter, _ *http.Request) error {
	w.Header().Set("Content-Type", "text/plain; charset=utf-8")
	_, _ = io.WriteString(w, "ok\n")
	return nil
}

// jwk is a public key of RFC 7517, with the members that UAA adds.
type jwk struct {
	KeyType   string `json:"kty"`
	Exponent  string `json:"e"`
	Use       string `json:"use"`
	KeyID     string `json:"kid"`
	Algorithm string `json:"alg"`
	Value     string `json:"value"`
	Modulus   string `json:"n"`
}

func (k signingKey) jwk() (jwk, error) {
	value, err := publicPEM(&k.key.PublicKey)
	e := big.NewInt(int64(k.key.E)).Bytes()
	return jwk{
		KeyType: "RSA", Use: "sig", KeyID: k.ID, Algorithm: "RS256", Value: value,
		Exponent: base64.RawURLEncoding.EncodeToString(e), Modulus: base64.RawURLEncoding.EncodeToString(k.key.N.Bytes()),
	}, err
}

func (a *Auth) tokenKey(w http.ResponseWriter, _ *http.Request) error {
	key, err := a.keys.signer()
	if err != nil {
		return err
	}
	public, err := key.jwk()
	if err == nil {
		writeJSON(w, http.StatusOK, public)
	}
	return err
}

func (a *Auth) tokenKeys(w http.ResponseWriter, _ *http.Request) error {
	if _, err := a.keys.signer(); err != nil {
		return err
	}
	all := []jwk{}
	for _, key := range a.keys.all() {
		public, err := key.jwk()
		if err != nil {
			return err
		}
		all = append(all, public)
	}
	writeJSON(w, http.StatusOK, map[string]any{"keys": all})
	return nil
}

func (a *Auth) openID(w http.ResponseWriter, _ *http.Request) error {
	writeJSON(w, http.StatusOK, map[string]any{
		"issuer":                                a.issuer(),
		"authorization_endpoint":                a.loginURL + "/oauth/authorize",
		"token_endpoint":                        a.loginURL + "/oauth/token",
		"userinfo_endpoint":                     a.uaaURL + "/userinfo",
		"jwks_uri":                              a.uaaURL + "/token_keys",
		"token_endpoint_auth_methods_supported": []string{"client_secret_basic", "client_secret_post"},
		"id_token_signing_alg_values_supported": []string{"RS256"},
		"response_types_supported":              []string{"code"},
		"grant_types_supported":                 clientGrants,
		"code_challenge_methods_supported":      []string{"S256"},
		"subject_types_supported":               []string{"public"},
		"scopes_supported":                      []string{"openid", scopeRoles},
		"claims_supported":                      []string{"sub", "user_id", "user_name", "preferred_username", "email", "given_name", "family_name", "name", "roles", "origin", "iss", "aud", "exp", "iat", "nonce"},
	})
	return nil
}

func (a *Auth) userInfo(w http.ResponseWriter, r *http.Request) error {
	id, err := a.authenticate(r)
	if err != nil {
		return err
	}
	if id.Client || !id.Has("openid") {
		return insufficientScope("openid")
	}
	user, err := a.userByGUID(id.UserGUID)
	if err != nil {
		return err
	}
	out := map[string]any{
		"user_id": user.GUID, "sub": user.GUID, "user_name": user.Username, "email": user.Email, "origin": user.Origin,
		"given_name": user.GivenName, "family_name": user.FamilyName, "name": fullName(user), "email_verified": true, "preferred_username": user.Username,
	}
	if id.Has(scopeRoles) {
		out["roles"] = heldScopes(user)
	}
	writeJSON(w, http.StatusOK, out)
	return nil
}

// isInvalidToken reports whether an error says that a token is not good.
func isInvalidToken(err error) bool { return errors.Is(err, capi.InvalidAuthToken) }

func insufficientScope(scope string) error {
	return refuse(http.StatusForbidden, "insufficient_scope", "Insufficient scope for this resource: "+scope+" is needed.")
}
