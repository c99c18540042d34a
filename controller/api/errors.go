package api

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"syscall"

	"github.com/cupola-paas/cupola/controller/capi"
	"github.com/cupola-paas/cupola/store"
)

var (
	errUnknownRequest = capi.UnknownRequest.Errorf("Unknown request")
	errInternal       = capi.ServerError.Errorf("An unknown error occurred.")
	errNoSpace        = capi.Kind{Code: 10001, Title: "CF-NoSpace", Status: http.StatusInsufficientStorage}.Errorf(
		"The platform's disk is full, so nothing was changed. Ask the operator to free space, then try again.")

	// errUnguarded is a mistake of ours: a handler wanted to commit what nobody had allowed.
	errUnguarded = errors.New("api: the handler never asked whether the caller may")
)

func errParse(detail string) error   { return capi.MessageParseError.Errorf("%s", detail) }
func errInvalid(detail string) error { return capi.UnprocessableEntity.Errorf("%s", detail) }
func errQuery(detail string) error {
	return capi.BadQueryParameter.Errorf("The query parameter is invalid: %s", detail)
}

func errTooLarge(detail string) error {
	return capi.Kind{Code: 1004, Title: "CF-BadRequest", Status: http.StatusRequestEntityTooLarge}.Errorf("%s", detail)
}

// notFound turns the store's ErrNotFound into "<noun> not found" and leaves other errors as they are.
func notFound(err error, noun string) error {
	if errors.Is(err, store.ErrNotFound) {
		return capi.NotFound(noun)
	}
	return err
}

// orElse returns instead when err says that something is not there, and err otherwise.
func orElse(err, instead error) error {
	if errors.Is(err, store.ErrNotFound) {
		return instead
	}
	return err
}

// firstOf returns the first error that is not nil.
func firstOf(errs ...error) error {
	for _, err := range errs {
		if err != nil {
			return err
		}
	}
	return nil
}

// isConflict reports whether a unique index refused the record.
func isConflict(err error) bool {
	var conflict *store.ConflictError
	return errors.As(err, &conflict)
}

// fail writes err as the response.
func (c *Ctx) fail(err error) {
	if errors.Is(err, context.Canceled) && c.R.Context().Err() != nil {
		return // nobody reads the answer
	}
	var many *capi.Errors
	if errors.As(err, &many) && len(many.Errors) > 0 {
		c.writeErrors(many.Errors...)
		return
	}
	c.writeErrors(c.translate(err))
}

// translate makes an API error of any error. What nobody foresaw is logged and shown as 500 without a word
// of the inside.
func (c *Ctx) translate(err error) *capi.Error {
	var known *capi.Error
	var conflict *store.ConflictError
	switch {
	case errors.As(err, &known):
		return known
	case errors.Is(err, store.ErrNotFound):
		return capi.NotFound("Resource")
	case errors.Is(err, store.ErrNoSpace), errors.Is(err, syscall.ENOSPC):
		c.s.log.Error("store is out of space", "request", c.requestID, "error", err)
		return errNoSpace
	case errors.As(err, &conflict):
		return capi.Invalid("Another resource has the same %s", conflict.Index)
	}
	c.s.log.Error("api request failed", "request", c.requestID, "method", c.R.Method, "path", c.R.URL.Path, "error", err)
	return errInternal
}

func (c *Ctx) writeErrors(all ...*capi.Error) {
	if all[0].Status == http.StatusUnauthorized {
		c.W.Header().Set("WWW-Authenticate", `Bearer realm="Cloud Foundry API"`)
	}
	var body any = capi.Errors{Errors: all}
	if isPolicyRequest(c.R) {
		body = policyError{all[0].Detail}
	}
	if inRoutingAPI(c.R) {
		body = routingError(all[0])
	}
	if err := c.JSON(all[0].Status, body); err != nil {
		panic(fmt.Sprintf("api: error that cannot be written: %v", err))
	}
}
