package osb

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net"
	"net/http"
	"strings"
	"unicode"

	"github.com/cupola-paas/cupola/controller/capi"
)

// Codes that brokers give with a status (OSB, Service Broker Errors).
const (
	AsyncRequired           = "AsyncRequired"
	ConcurrencyError        = "ConcurrencyError"
	RequiresApp             = "RequiresApp"
	MaintenanceInfoConflict = "MaintenanceInfoConflict"
)

// Kind is what went wrong.
type Kind int

// Kinds of an Error.
const (
	Unreachable  Kind = iota + 1 // no connection was made: the broker knows nothing of the request
	TimedOut                     // it did not answer in time
	Broken                       // the connection ended before the answer did
	Unauthorized                 // 401 or 403
	Rejected                     // any other 4xx; Code and Description say more
	Conflict                     // 409: what is to be made is there, but other than asked for
	Gone                         // 410: what is to be deleted is not there
	Malformed                    // an answer of success that is not what the specification says
	BrokerFault                  // 5xx
)

// Error is why a broker did not do what it was asked for.
type Error struct {
	Kind        Kind
	Status      int    // of the answer; zero: there was none
	Code        string // one of the codes, or the broker's own, or empty
	Description string // for the user, by the broker; one line, bounded
	// Orphan says that the broker may have made what it was asked for, so that it must be asked to delete it
	// (OSB, Orphan Mitigation). It has a meaning for creations alone.
	Orphan bool
	err    error
}

// Unwrap is what the network said.
func (e *Error) Unwrap() error { return e.err }

// Error is a sentence for the user. It has neither credentials nor the broker's address.
func (e *Error) Error() string {
	text := ""
	switch e.Kind {
	case Unreachable:
		text = "The service broker could not be reached"
	case TimedOut:
		text = "The service broker did not answer in time"
	case Broken:
		text = "The service broker ended the connection before it had answered"
	case Unauthorized:
		return "Authentication with the service broker failed. Double-check that the username and password are correct."
	case Malformed:
		text = "The service broker returned an invalid response"
	case Conflict:
		text = "The service broker says that this exists already with other settings"
	case Gone:
		text = "The service broker says that this does not exist"
	case Rejected:
		text = "The service broker rejected the request"
	default:
		text = "The service broker failed"
	}
	if e.Status != 0 {
		text += fmt.Sprintf(" (status %d)", e.Status)
	}
	if e.Description != "" {
		return text + ": " + e.Description
	}
	return text + "."
}

// failure is an error without an answer.
func failure(err error) *Error {
	e := &Error{Kind: Broken, Orphan: true, err: err}
	var op *net.OpError
	var timeout net.Error
	var dns *net.DNSError
	var refused *refusal
	switch {
	case errors.As(err, &dns):
		e.Kind, e.Orphan, e.Description = Unreachable, false, "its name is not known: "+clean(dns.Name)
	case errors.As(err, &op) && op.Op == "dial":
		e.Kind, e.Orphan, e.Description = Unreachable, false, clean(op.Err.Error())
	case errors.Is(err, context.DeadlineExceeded), errors.As(err, &timeout) && timeout.Timeout():
		e.Kind = TimedOut
	case isPlain(err):
		e.Kind, e.Orphan, e.Description = Unreachable, false, "there is no TLS at its address: register it with http://"
	case isCertificate(err):
		e.Kind, e.Orphan, e.Description = Unreachable, false, "its certificate cannot be verified: "+clean(rootCause(err))
	case errors.As(err, &refused):
		e.Kind, e.Orphan, e.Description = Unreachable, false, refused.why
	}
	return e
}

// refusal is why a transport does not go to an address.
type refusal struct{ why string }

func (r *refusal) Error() string { return r.why }

// Refuse makes the error of a transport that does not go to an address.
func Refuse(why string) error { return &refusal{why} }

func isCertificate(err error) bool {
	return strings.Contains(err.Error(), "tls: ") || strings.Contains(err.Error(), "x509: ")
}

// rootCause is the innermost text, without the request's URL.
func rootCause(err error) string {
	for errors.Unwrap(err) != nil {
		err = errors.Unwrap(err)
	}
	return err.Error()
}

const descriptionBytes = 1000

// clean makes one bounded line of what a stranger says.
func clean(text string) string {
	text = strings.Map(func(r rune) rune {
		if unicode.IsControl(r) || r == unicode.ReplacementChar {
			return ' '
		}
		return r
	}, strings.ToValidUTF8(text, ""))
	text = strings.Join(strings.Fields(text), " ")
	if len(text) > descriptionBytes {
		text = strings.ToValidUTF8(text[:descriptionBytes], "") + "…"
	}
	return text
}

// problem is the error of an answer that is none of success.
func (a *answer) problem() *Error {
	e := &Error{Status: a.status}
	var body struct {
		Error       any `json:"error"`
		Description any `json:"description"`
	}
	if json.Unmarshal(a.body, &body) == nil {
		code, _ := body.Error.(string)
		description, _ := body.Description.(string)
		e.Code, e.Description = a.say(code), a.say(description)
		if e.Description == "" && e.Code != "" {
			e.Description = e.Code
		}
	}
	switch {
	case a.status == http.StatusUnauthorized || a.status == http.StatusForbidden:
		e.Kind = Unauthorized
	case a.status == http.StatusConflict:
		e.Kind = Conflict
	case a.status == http.StatusGone:
		e.Kind = Gone
	case a.status >= 400 && a.status < 500:
		e.Kind = Rejected
	case a.status >= 500:
		e.Kind, e.Orphan = BrokerFault, true
	case a.status >= 200 && a.status < 300: // success, but none that the request has
		e.Kind, e.Orphan = Malformed, true
	default: // redirects are not followed: credentials would go somewhere else
		e.Kind = Malformed
		e.Description = "it redirects, which is not followed: register the address where it is"
	}
	return e
}

// malformed is the error of an answer whose status is one of success and whose body is not.
func (a *answer) malformed(err error) *Error {
	return &Error{Kind: Malformed, Status: a.status, Description: a.say(err.Error()), Orphan: a.status != http.StatusOK, err: err}
}

// APIError is what the API answers when a broker has failed it.
func (e *Error) APIError() *capi.Error { return e.APIKind().Errorf("%s", e.Error()) }

// APIKind is Cloud Foundry's code for the failure.
func (e *Error) APIKind() capi.Kind {
	switch e.Code {
	case AsyncRequired:
		return capi.BrokerAsyncRequired
	case ConcurrencyError:
		return capi.BrokerConcurrencyError
	case RequiresApp:
		return capi.BrokerRequiresApp
	case MaintenanceInfoConflict:
		return capi.MaintenanceInfoConflict
	}
	switch e.Kind {
	case Unreachable, Broken:
		return capi.BrokerUnreachable
	case TimedOut:
		return capi.BrokerTimeout
	case Unauthorized:
		return capi.BrokerAuthenticationFailed
	case Malformed:
		return capi.BrokerResponseMalformed
	case Conflict:
		return capi.BrokerConflict
	case Rejected, Gone:
		return capi.BrokerRequestRejected
	}
	return capi.BrokerBadResponse
}
