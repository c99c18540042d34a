package api

import (
	"net/http"

	"github.com/cupola-paas/cupola/controller/auth"
	"github.com/cupola-paas/cupola/controller/capi"
	"github.com/cupola-paas/cupola/store"
)

// Place is where a resource belongs. Both GUIDs are empty for what belongs to the platform.
type Place struct {
	OrgGUID, SpaceGUID string
}

// Locator finds the place of the resource that a route's path names. It returns a not found error in the
// words that the client shall read, such as "App not found".
type Locator func(tx *store.Tx, c *Ctx) (Place, error)

type accessKind int

const (
	accessOpen     accessKind = iota + 1 // everybody, also without a token
	accessSignedIn                       // any valid token; the handler shows only what the caller may see
	accessAt                             // by the caller's roles at the place of the resource in the path
	accessInBody                         // by the caller's roles at a place that only the body names
	accessAnybody                        // everybody, also without a token; the handler shows only what the caller may see
	accessJoin                           // who has a token for a machine that joins
)

// Authenticator tells who sent a request; *auth.Auth is one. Its errors are capi's 1000 and 10002.
type Authenticator interface {
	Authenticate(r *http.Request) (*auth.Identity, error)
}

// actor is the caller as events and builds name it.
func (c *Ctx) actor() store.Actor {
	kind := "user"
	if c.who.Client {
		kind = "process"
	}
	return store.Actor{GUID: c.who.UserGUID, Type: kind, Name: c.who.Username, Email: c.who.Email}
}

// Access says who may call a route. The zero Access lets nobody pass and does not compile into a table.
type Access struct {
	kind accessKind
	at   Locator
	noun string // of what is not found by those who may not see it
	see  Action
	do   Action

	scopes []string // with which it may be called besides those of needScope
}

// open is for routes that answer without a token.
func open() Access { return Access{kind: accessOpen} }

// anybody is for reading what is partly public: without a token the caller is nobody, and the handler or at, which may
// be nil, filters by what the caller may see.
func anybody(at Locator, noun string) Access { return Access{kind: accessAnybody, at: at, noun: noun} }

// signedIn is for lists and the like: any valid token, and the handler filters by what the caller may see.
func signedIn() Access { return Access{kind: accessSignedIn} }

// on is for a route that names a resource in its path: who may not see there gets "<noun> not found", who may
// see but not do gets 403.
func on(at Locator, noun string, see, do Action) Access {
	return Access{kind: accessAt, at: at, noun: noun, see: see, do: do}
}

// inBody is for a creation whose place stands in the body. The handler must call Allow in its transaction.
func inBody() Access { return Access{kind: accessInBody} }

// joining is for a machine that becomes a node: its token is asked for instead of a user's.
func joining() Access { return Access{kind: accessJoin} }

// identify finds out who calls; an open route does not ask.
func (s *Server) identify(c *Ctx) error {
	if kind := c.route.Access.kind; kind == accessOpen || kind == accessJoin || kind == accessAnybody && c.R.Header.Get("Authorization") == "" {
		return nil
	}
	who, err := s.auth.Authenticate(c.R)
	if err != nil {
		return err
	}
	c.who = who
	return c.needScope()
}

// guard is the one authorisation point: every request passes it once before its handler, and once more in the
// transaction of every change.
func (s *Server) guard(c *Ctx, tx *store.Tx) error {
	a := c.route.Access
	switch a.kind {
	case accessOpen, accessSignedIn:
		c.allowed = a.kind == accessSignedIn && readOnly(c.R.Method)
		return nil
	case accessInBody:
		return nil
	case accessAnybody:
		if c.allowed = readOnly(c.R.Method); a.at == nil {
			return nil
		}
		_, err := a.at(tx, c)
		return notFound(err, a.noun)
	case accessJoin:
		return c.allowJoin(tx)
	case accessAt:
		place, err := a.at(tx, c)
		if err != nil {
			return notFound(err, a.noun)
		}
		c.place = place
		return c.Allow(tx, place, a.noun, a.see, a.do)
	}
	return capi.Forbidden()
}

func readOnly(method string) bool { return method == http.MethodGet || method == http.MethodHead }
