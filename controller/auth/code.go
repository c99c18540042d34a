package auth

import (
	"net/http"
	"net/url"
	"slices"
	"sync"
	"time"

	"github.com/cupola-paas/cupola/store"
)

const (
	codeLife    = 2 * time.Minute
	codesAtOnce = 10_000
)

// codes are the one-time codes that were given out and not redeemed yet. They live in memory: a restart of the
// controller costs somebody who just typed "cf ssh" another try.
type codes struct {
	now func() time.Time

	mu   sync.Mutex // guards open
	open map[string]code
}

type code struct {
	clientID, userGUID string
	ends               time.Time
}

func newCodes(now func() time.Time) *codes { return &codes{now: now, open: map[string]code{}} }

func (c *codes) make(clientID, userGUID string) (string, bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	now := c.now()
	for k, v := range c.open {
		if !v.ends.After(now) {
			delete(c.open, k)
		}
	}
	if len(c.open) >= codesAtOnce {
		return "", false
	}
	text := randomString(32)
	c.open[text] = code{clientID, userGUID, now.Add(codeLife)}
	return text, true
}

func (c *codes) take(clientID, text string) (userGUID string, ok bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	found, ok := c.open[text]
	delete(c.open, text)
	if !ok || found.clientID != clientID || !found.ends.After(c.now()) {
		return "", false
	}
	return found.userGUID, true
}

// authorize gives a signed-in user a code for a client that needs no approval (RFC 6749 4.1.1); the CLI asks for
// one for ssh-proxy and reads it from the redirect, which it does not follow.
func (a *Auth) authorize(w http.ResponseWriter, r *http.Request) error {
	id, err := a.Authenticate(r)
	if err != nil {
		return err
	}
	q := r.URL.Query()
	client, err := a.clientByID(q.Get("client_id"))
	if ignoreGone(err) != nil {
		return err
	}
	switch {
	case err != nil:
		return refuse(http.StatusUnauthorized, "invalid_client", "No client with the requested id.")
	case q.Get("response_type") != "code":
		return refuse(http.StatusBadRequest, "unsupported_response_type", "Only the response type code is supported.")
	case id.Client || !client.AutoApprove || len(client.RedirectURIs) == 0:
		return refuse(http.StatusUnauthorized, "unauthorized_client", "This client can't get a code for whoever asks.")
	}
	target := client.RedirectURIs[0]
	if asked := q.Get("redirect_uri"); asked != "" && !slices.Contains(client.RedirectURIs, asked) {
		return refuse(http.StatusBadRequest, "invalid_request", "The redirect URI is not one that is registered for the client.")
	} else if asked != "" {
		target = asked
	}
	text, ok := a.codes.make(client.GUID, id.UserGUID)
	if !ok {
		return refuse(http.StatusServiceUnavailable, "temporarily_unavailable", "Too many codes are in use: try again in a minute.")
	}
	to, err := url.Parse(target)
	if err != nil {
		return err
	}
	query := to.Query()
	query.Set("code", text)
	if state := q.Get("state"); state != "" {
		query.Set("state", state)
	}
	to.RawQuery = query.Encode()
	w.Header().Set("Location", to.String())
	w.WriteHeader(http.StatusFound)
	return nil
}

// RedeemCode says whose a one-time code is, for the SSH proxy; a code can be redeemed once, by the client that it
// was made for. The error is store.ErrNotFound when it is not good.
func (a *Auth) RedeemCode(clientID, text string) (*Identity, error) {
	guid, ok := a.codes.take(clientID, text)
	if !ok {
		return nil, store.ErrNotFound
	}
	user, err := a.userByGUID(guid)
	if err != nil {
		return nil, err
	}
	if user.Disabled {
		return nil, store.ErrNotFound
	}
	client, err := a.clientByID(clientID)
	if err != nil {
		return nil, err
	}
	return &Identity{UserGUID: user.GUID, Username: user.Username, Email: user.Email, Origin: user.Origin,
		ClientID: clientID, Scopes: scopesFor(user, client, "")}, nil
}
