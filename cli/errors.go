package cli

import (
	"crypto/x509"
	"errors"
	"fmt"
	"net/url"
	"strings"

	"github.com/cupola-paas/cupola/cli/ui"
	"github.com/cupola-paas/cupola/controller/capi"
)

// usageProblem is an error in how a command was typed.
type usageProblem struct {
	text, hint string
}

func (u *usageProblem) Error() string { return u.text }

func (u *usageProblem) withHint(hint string) *usageProblem {
	u.hint = hint
	return u
}

func badUsage(format string, args ...any) *usageProblem {
	return &usageProblem{text: fmt.Sprintf(format, args...)}
}

// exitError ends the command with a code of its own; err may be nil when all has been said.
type exitError struct {
	code int
	err  error
}

func (e *exitError) Error() string {
	if e.err == nil {
		return fmt.Sprintf("exit %d", e.code)
	}
	return e.err.Error()
}

// hinted is an error with what to do next.
type hinted struct {
	err  error
	hint string
}

func (h *hinted) Error() string { return h.err.Error() }
func (h *hinted) Unwrap() error { return h.err }

func withHint(err error, format string, args ...any) error {
	return &hinted{err: err, hint: fmt.Sprintf(format, args...)}
}

// explain gives an error its last words and what to do about it.
func (k *console) explain(err error) (hint string, text error) {
	var (
		known     *hinted
		connect   *capi.ConnectError
		authority x509.UnknownAuthorityError
	)
	switch {
	case errors.As(err, &known):
		return known.hint, known.err
	case errors.Is(err, capi.ErrNotLoggedIn), errors.Is(err, capi.InvalidAuthToken):
		if cfg, e := k.file.Load(); e == nil && cfg.AccessToken == "" {
			return "next: cupola login", errors.New("not logged in")
		}
		return "", expired{}
	case errors.As(err, &connect) && errors.As(connect, &authority):
		return trustHint(connect.URL), err
	case errors.As(err, &connect):
		return reachHint(connect.URL), err
	case errors.Is(err, ui.ErrNoAnswer):
		return "give the answer as a flag: see --help of the command", errors.New("a question has to be asked, and nobody is there to answer")
	}
	return "", err
}

// expired is a login that the server no longer renews.
type expired struct{}

func (expired) Error() string { return "Session expired: cupola login" }

// trustHint says how to get going with a platform whose CA is not known here.
func trustHint(address string) string {
	u, err := url.Parse(address)
	if err != nil || !isLocalhost(u.Hostname()) {
		return "if it is your own platform: cupola api " + address + " --ca-cert FILE, where FILE is its CA certificate"
	}
	api := strings.Replace(address, "login.", "api.", 1)
	return "this platform has a CA of its own. Trust it with:\n" +
		"  cupola api " + api + " --skip-ssl-validation && cupola ca > cupola-ca.pem\n" +
		"  cupola api " + api + " --ca-cert cupola-ca.pem"
}

// reachHint says where to look when a server does not answer.
func reachHint(address string) string {
	if u, err := url.Parse(address); err == nil && isLocalhost(u.Hostname()) {
		return "the platform of this machine is started with: cupola server"
	}
	return "the API is changed with: cupola api URL"
}

func isLocalhost(host string) bool {
	return host == "localhost" || strings.HasSuffix(host, ".localhost")
}

func notFound(err error) bool { return errors.Is(err, capi.ResourceNotFound) }
