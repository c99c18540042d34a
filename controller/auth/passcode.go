package auth

import (
	"crypto/rand"
	"net/http"
	"strings"
	"time"

	"github.com/cupola-paas/cupola/store"
)

// passcodeLife is how long the code of the passcode page is good for: until somebody has typed it.
const passcodeLife = 5 * time.Minute

// passcodeLetters are 32 letters and digits that people don't mistake for one another; ten of them are 50 bits.
const (
	passcodeLetters = "ABCDEFGHJKLMNPQRSTUVWXYZ23456789"
	passcodeLength  = 10
)

func newPasscode() string {
	raw := make([]byte, passcodeLength)
	_, _ = rand.Read(raw) // never fails (crypto/rand)
	for i, b := range raw {
		raw[i] = passcodeLetters[int(b)%len(passcodeLetters)]
	}
	return string(raw)
}

// passcode is the page that shows who is signed in a code for "cf login --sso". Each look at it makes another.
func (a *Auth) passcode(w http.ResponseWriter, r *http.Request) error {
	user, _, err := a.browserUser(r)
	if err != nil {
		return err
	}
	if user == nil {
		toLogin(w, r)
		return nil
	}
	text := newPasscode()
	if !a.passcodes.add(text, code{userGUID: user.GUID}) {
		return noCodes()
	}
	if wantsJSON(r) {
		writeJSON(w, http.StatusOK, map[string]string{"passcode": text})
		return nil
	}
	return a.render(w, r, http.StatusOK, "passcode.html", map[string]any{
		"User": user.Username, "Code": text, "Minutes": int(passcodeLife / time.Minute), "API": strings.Replace(a.loginURL, "://login.", "://api.", 1),
	})
}

// redeemPasscode finds whose a passcode is. Wrong ones are counted against the address.
func (a *Auth) redeemPasscode(r *http.Request, text string) (*store.User, error) {
	attempt, err := a.throttle.begin(r.Context(), passcodeLimits(a.clientAddr(r)))
	if err != nil {
		return nil, err
	}
	wrong := refuse(http.StatusUnauthorized, "unauthorized", "Invalid passcode")
	found, ok := a.passcodes.take("", strings.ToUpper(strings.TrimSpace(text)))
	if !ok {
		attempt.wrong()
		return nil, wrong
	}
	attempt.right()
	user, err := a.userByGUID(found.userGUID)
	if ignoreGone(err) != nil {
		return nil, err
	}
	if err != nil || user.Disabled {
		return nil, wrong
	}
	return user, nil
}
