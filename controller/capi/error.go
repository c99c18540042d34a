package capi

import (
	"fmt"
	"strings"
)

// Kind is a kind of API error: Cloud Foundry's code and title and the HTTP status that goes with it. Kinds
// are errors so that errors.Is(err, capi.ResourceNotFound) works on what a server answered.
type Kind struct {
	Code   int
	Title  string
	Status int
}

// Error is the kind's title.
func (k Kind) Error() string { return k.Title }

// Errorf makes an error of this kind whose detail is the formatted text, which a person will read.
func (k Kind) Errorf(format string, args ...any) *Error {
	return &Error{Code: k.Code, Title: k.Title, Detail: fmt.Sprintf(format, args...), Status: k.Status}
}

// Error is one error of an answer of the API.
type Error struct {
	Code   int    `json:"code"`
	Title  string `json:"title"`
	Detail string `json:"detail"`
	Status int    `json:"-"` // HTTP
}

// Error is the detail alone: it is written for people.
func (e *Error) Error() string { return e.Detail }

// Is matches a Kind by its code.
func (e *Error) Is(target error) bool {
	k, ok := target.(Kind)
	return ok && k.Code == e.Code
}

// Errors is the body of an answer that is an error; it has at least one element.
type Errors struct {
	Errors []*Error `json:"errors"`
}

// Error joins the details.
func (e *Errors) Error() string {
	details := make([]string, len(e.Errors))
	for i, one := range e.Errors {
		details[i] = one.Detail
	}
	return strings.Join(details, "; ")
}

// Unwrap gives the single errors to errors.Is and errors.As.
func (e *Errors) Unwrap() []error {
	all := make([]error, len(e.Errors))
	for i, one := range e.Errors {
		all[i] = one
	}
	return all
}

// NotFound is a 404 for a resource that isn't there or may not be seen; noun is such as "App".
func NotFound(noun string) *Error { return ResourceNotFound.Errorf("%s not found", noun) }

// Invalid is a 422: the request is well-formed and cannot be done as it is.
func Invalid(format string, args ...any) *Error { return UnprocessableEntity.Errorf(format, args...) }

// Forbidden is a 403: the caller may see the resource but not do this with it.
func Forbidden() *Error {
	return NotAuthorized.Errorf("You are not authorized to perform the requested action")
}
