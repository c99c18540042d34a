package auth

import (
	"net/http"
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
	now  func() time.Time
	life time.Duration

	mu    sync.Mutex // guards what follows
	open  map[string]code
	spent map[string]spentCode // of those that were redeemed: what they gave
}

// code is what somebody allowed a client, and how the client must prove itself.
type code struct {
	clientID, userGUID string
	scopes             []string
	redirect           string // what the token request must repeat; empty: nothing
	challenge          string // PKCE (RFC 7636), S256; empty: none
	nonce              string
	ends               time.Time
}

type spentCode struct {
	session string
	ends    time.Time
}

func newCodes(now func() time.Time, life time.Duration) *codes {
	return &codes{now: now, life: life, open: map[string]code{}, spent: map[string]spentCode{}}
}

// add gives out a code under the text; false when too many are out.
func (c *codes) add(text string, what code) bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	now := c.now()
	for k, v := range c.open {
		if !v.ends.After(now) {
			delete(c.open, k)
		}
	}
	for k, v := range c.spent {
		if !v.ends.After(now) {
			delete(c.spent, k)
		}
	}
	if len(c.open) >= codesAtOnce {
		return false
	}
	what.ends = now.Add(c.life)
	c.open[text] = what
	return true
}

// take redeems a code, once, whether it succeeds or not.
func (c *codes) take(clientID, text string) (code, bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	found, ok := c.open[text]
	delete(c.open, text)
	if !ok || found.clientID != clientID || !found.ends.After(c.now()) {
		return code{}, false
	}
	return found, true
}

// gave notes which session a code gave.
func (c *codes) gave(text, session string) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if len(c.spent) < codesAtOnce {
		c.spent[text] = spentCode{session, c.now().Add(c.life)}
	}
}

// again is the session that a code gave before: who sends a code twice may have stolen it (RFC 6749 4.1.2).
func (c *codes) again(text string) string {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.spent[text].session
}

// noCodes is the answer when too many codes are out.
func noCodes() error {
	return refuse(http.StatusServiceUnavailable, "temporarily_unavailable", "Too many codes are in use: try again in a minute.")
}

// RedeemCode says whose a one-time code is: the SSH server calls it with the client "ssh-proxy" and, as code, the
// password that somebody logs in with. A code is good for two minutes after "cf ssh" or "cf ssh-code" asked for it,
// for one try, and for the client that it was made for. The error is store.ErrNotFound when it is not good, or its
// user is gone or disabled by now; others are the store's. Identity.Scopes are those that both the token had, with
// which the code was asked for, and the user still has; what they allow the caller decides.
func (a *Auth) RedeemCode(clientID, text string) (*Identity, error) {
	found, ok := a.codes.take(clientID, text)
	if !ok {
		return nil, store.ErrNotFound
	}
	user, err := a.userByGUID(found.userGUID)
	if err != nil {
		return nil, err
	}
	if user.Disabled {
		return nil, store.ErrNotFound
	}
	return &Identity{UserGUID: user.GUID, Username: user.Username, Email: user.Email, Origin: user.Origin,
		ClientID: clientID, Scopes: both(found.scopes, heldScopes(user))}, nil
}
