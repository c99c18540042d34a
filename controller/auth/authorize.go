package auth

import (
	"cmp"
	"fmt"
	"net/http"
	"net/url"
	"regexp"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/cupola-paas/cupola/store"
)

// authorization is what a client asks a user for (RFC 6749 4.1.1), checked.
type authorization struct {
	client    *store.Client
	redirect  string // where the answer goes
	named     bool   // the request named it, so the token request must repeat it
	scopes    []string
	state     string
	challenge string
	nonce     string
	ends      time.Time
}

// redirectError goes back to the client by the browser (RFC 6749 4.1.2.1); what is wrong with the client or its
// redirect URI never does.
type redirectError struct {
	to                *authorization
	code, description string
}

func (e *redirectError) Error() string { return e.description }

// authorize asks the user who is signed in whether a client may act for them. A bearer token in place of a browser's
// session is the CLI's way: it asks for a code for ssh-proxy and reads it from the redirect, which it does not follow.
func (a *Auth) authorize(w http.ResponseWriter, r *http.Request) error {
	asked, err := a.clientAndRedirect(r.URL.Query())
	if err != nil {
		return err
	}
	if _, ok := bearer(r); ok {
		return a.authorizeBearer(w, r, asked)
	}
	user, session, err := a.browserUser(r)
	if err != nil {
		return err
	}
	if user == nil && r.URL.Query().Get("prompt") == "none" {
		return a.answerAuthorization(w, r, &redirectError{asked, "login_required", "Nobody is signed in."})
	}
	if user == nil {
		toLogin(w, r)
		return nil
	}
	if err := a.readAuthorization(asked, r.URL.Query(), heldScopes(user)); err != nil {
		return a.answerAuthorization(w, r, err)
	}
	if asked.client.AutoApprove {
		return a.giveCode(w, r, asked, user.GUID)
	}
	if r.URL.Query().Get("prompt") == "none" {
		return a.answerAuthorization(w, r, &redirectError{asked, "interaction_required", "The user must approve."})
	}
	asked.ends = a.now().Add(approvalLife)
	if !a.approvals.put(session, asked, a.now()) {
		return noCodes()
	}
	return a.render(w, r, http.StatusOK, "approve.html", map[string]any{
		"Client": cmp.Or(asked.client.Name, asked.client.GUID), "Scopes": asked.scopes, "User": user.Username, "To": hostOf(asked.redirect),
	})
}

func (a *Auth) authorizeBearer(w http.ResponseWriter, r *http.Request, asked *authorization) error {
	id, err := a.authenticate(r)
	if err != nil {
		return err
	}
	if id.Client || !asked.client.AutoApprove || !id.Has(scopeUser) {
		return refuse(http.StatusUnauthorized, "unauthorized_client", "This client can't get a code for whoever asks.")
	}
	if err := a.readAuthorization(asked, r.URL.Query(), id.Scopes); err != nil {
		return a.answerAuthorization(w, r, err)
	}
	return a.giveCode(w, r, asked, id.UserGUID)
}

// approve is the answer to the page of authorize.
func (a *Auth) approve(w http.ResponseWriter, r *http.Request) error {
	if err := a.readForm(r); err != nil {
		return err
	}
	user, session, err := a.browserUser(r)
	if err != nil {
		return err
	}
	if user == nil {
		return refuse(http.StatusUnauthorized, "unauthorized", "You are not signed in any more: go back to where you came from and start again.")
	}
	asked := a.approvals.take(session, a.now())
	if asked == nil {
		return refuse(http.StatusBadRequest, "invalid_request", "Nothing waits for your approval: go back to where you came from and start again.")
	}
	var approved []string
	for name, values := range r.PostForm {
		if strings.HasPrefix(name, "scope.") {
			for _, v := range values {
				approved = append(approved, strings.TrimPrefix(v, "scope."))
			}
		}
	}
	asked.scopes = both(both(asked.scopes, approved), heldScopes(user))
	if r.PostForm.Get("user_oauth_approval") != "true" || len(asked.scopes) == 0 {
		return a.answerAuthorization(w, r, &redirectError{asked, "access_denied", "The user did not approve."})
	}
	return a.giveCode(w, r, asked, user.GUID)
}

// clientAndRedirect reads whom the answer may go to. Whole redirect URIs are compared.
func (a *Auth) clientAndRedirect(q url.Values) (*authorization, error) {
	client, err := a.clientByID(q.Get("client_id"))
	if ignoreGone(err) != nil {
		return nil, err
	}
	if err != nil {
		return nil, refuse(http.StatusUnauthorized, "invalid_client", "No client with the requested id.")
	}
	if !slices.Contains(client.GrantTypes, grantCode) || len(client.RedirectURIs) == 0 {
		return nil, refuse(http.StatusUnauthorized, "unauthorized_client", "This client may not send users here: it has not the grant type authorization_code.")
	}
	asked := &authorization{client: client, redirect: q.Get("redirect_uri"), state: q.Get("state"), nonce: q.Get("nonce"), challenge: q.Get("code_challenge")}
	asked.named = asked.redirect != ""
	switch {
	case !asked.named && len(client.RedirectURIs) > 1:
		return nil, refuse(http.StatusBadRequest, "invalid_request", "The client has several redirect URIs: name one as redirect_uri.")
	case !asked.named:
		asked.redirect = client.RedirectURIs[0]
	case !slices.Contains(client.RedirectURIs, asked.redirect):
		return nil, refuse(http.StatusBadRequest, "invalid_request", "The redirect URI is not one that is registered for the client.")
	}
	return asked, nil
}

var challengeGrammar = regexp.MustCompile(`^[A-Za-z0-9_-]{43}$`)

// readAuthorization checks the rest of a request; held are the scopes that the user can give.
func (a *Auth) readAuthorization(asked *authorization, q url.Values, held []string) error {
	method := q.Get("code_challenge_method")
	switch {
	case q.Get("response_type") != "code":
		return &redirectError{asked, "unsupported_response_type", "Only the response type code is supported."}
	case asked.challenge == "" && asked.client.SecretHash == "":
		return &redirectError{asked, "invalid_request", "A client without a secret must send a code_challenge (PKCE)."}
	case asked.challenge != "" && (method != "S256" || !challengeGrammar.MatchString(asked.challenge)):
		return &redirectError{asked, "invalid_request", "The code_challenge must be one of the method S256."}
	case len(asked.state) > 2000 || len(asked.nonce) > 2000:
		return &redirectError{asked, "invalid_request", "state or nonce is too long."}
	}
	wanted := splitScopes(q.Get("scope"))
	for _, s := range wanted {
		if !slices.Contains(asked.client.Scopes, s) {
			return &redirectError{asked, "invalid_scope", fmt.Sprintf("%.100q is not a scope of this client.", s)}
		}
	}
	asked.scopes = both(asked.client.Scopes, held)
	if len(wanted) > 0 {
		asked.scopes = both(asked.scopes, wanted)
	}
	if len(asked.scopes) == 0 {
		return &redirectError{asked, "invalid_scope", "The user has none of the scopes that are asked for."}
	}
	return nil
}

// splitScopes takes blanks and, as UAA does, commas.
func splitScopes(text string) []string {
	return strings.FieldsFunc(text, func(r rune) bool { return r == ' ' || r == ',' || r == '+' })
}

// both are the texts of a that are in b too.
func both(a, b []string) []string {
	return slices.DeleteFunc(slices.Clone(a), func(s string) bool { return !slices.Contains(b, s) })
}

func (a *Auth) giveCode(w http.ResponseWriter, r *http.Request, asked *authorization, userGUID string) error {
	c := code{clientID: asked.client.GUID, userGUID: userGUID, scopes: asked.scopes, challenge: asked.challenge, nonce: asked.nonce}
	if asked.named {
		c.redirect = asked.redirect
	}
	text := randomString(32)
	if !a.codes.add(text, c) {
		return noCodes()
	}
	return backToClient(w, r, asked, "code", text)
}

// answerAuthorization sends a redirectError to the client, by the browser that it came with; other errors are the
// browser's own.
func (a *Auth) answerAuthorization(w http.ResponseWriter, r *http.Request, err error) error {
	back, ok := err.(*redirectError) //nolint:errorlint // made here, never wrapped
	if !ok {
		return err
	}
	if _, cli := bearer(r); cli {
		return refuse(http.StatusBadRequest, back.code, back.description)
	}
	return backToClient(w, r, back.to, "error", back.code, "error_description", back.description)
}

func backToClient(w http.ResponseWriter, r *http.Request, asked *authorization, pairs ...string) error {
	to, err := url.Parse(asked.redirect)
	if err != nil {
		return err
	}
	query := to.Query()
	for i := 0; i < len(pairs); i += 2 {
		query.Set(pairs[i], pairs[i+1])
	}
	if asked.state != "" {
		query.Set("state", asked.state)
	}
	to.RawQuery = query.Encode()
	status := http.StatusFound
	if r.Method == http.MethodPost {
		status = http.StatusSeeOther
	}
	w.Header().Set("Location", to.String())
	w.Header().Set("Cache-Control", "no-store")
	w.Header().Set("Referrer-Policy", "no-referrer")
	w.WriteHeader(status)
	return nil
}

const (
	approvalLife    = 10 * time.Minute
	approvalsAtOnce = 10_000
)

// approvals are what users are being asked, one thing a browser session at a time; the page that answers names
// nothing, so that nothing of it can be changed on the way.
type approvals struct {
	mu   sync.Mutex
	open map[string]*authorization // by session
}

func newApprovals() *approvals { return &approvals{open: map[string]*authorization{}} }

func (p *approvals) put(session string, asked *authorization, now time.Time) bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	for k, v := range p.open {
		if !v.ends.After(now) {
			delete(p.open, k)
		}
	}
	if len(p.open) >= approvalsAtOnce {
		return false
	}
	p.open[session] = asked
	return true
}

func (p *approvals) take(session string, now time.Time) *authorization {
	p.mu.Lock()
	defer p.mu.Unlock()
	asked := p.open[session]
	delete(p.open, session)
	if asked == nil || !asked.ends.After(now) {
		return nil
	}
	return asked
}
