package api

import (
	"errors"
	"fmt"
	"net/http"

	"github.com/cupola-paas/cupola/controller/auth"
	"github.com/cupola-paas/cupola/controller/capi"
	"github.com/cupola-paas/cupola/controller/logs"
	"github.com/cupola-paas/cupola/store"
)

// logScopes let their holder read every log.
var logScopes = []string{"doppler.firehose", "logs.admin"}

// LogAccess says who may read logs. Its errors are those of the guard: not found, or for no or a bad token one that
// wraps logs.ErrUnauthorized.
func (s *Server) LogAccess() logs.Access {
	return logs.Access{Source: s.mayReadLogs, All: s.mayReadAllLogs}
}

func (s *Server) logReader(r *http.Request) (*auth.Identity, error) {
	who, err := s.auth.Authenticate(r)
	var refused *capi.Error
	if errors.As(err, &refused) {
		return nil, fmt.Errorf("%w: %w", logs.ErrUnauthorized, err)
	}
	return who, err
}

func readsAllLogs(who *auth.Identity) bool {
	for _, scope := range logScopes {
		if who.Has(scope) {
			return true
		}
	}
	return false
}

// mayReadAllLogs lets those pass that have a scope for it.
func (s *Server) mayReadAllLogs(r *http.Request) error {
	who, err := s.logReader(r)
	if err == nil && !readsAllLogs(who) {
		err = capi.Forbidden()
	}
	return err
}

// mayReadLogs lets those pass that may see the app, or may see the credentials of the service instance, and those that
// may read every log, also of what is no more.
func (s *Server) mayReadLogs(r *http.Request, guid string) error {
	who, err := s.logReader(r)
	if err != nil || readsAllLogs(who) {
		return err
	}
	c := &Ctx{R: r, who: who}
	return s.db.View(func(tx *store.Tx) error {
		place, need, err := placeOfLogs(tx, guid)
		if err != nil {
			return notFound(err, "App")
		}
		ok, err := c.Can(tx, place, need)
		if err == nil && !ok {
			err = capi.NotFound("App")
		}
		return err
	})
}

// placeOfLogs is where the app or service instance with that GUID is, and what one must be allowed there to read its logs and
// metrics. A server may print what its owners only should see.
func placeOfLogs(tx *store.Tx, guid string) (Place, Action, error) {
	place, err := placeOfApp(tx, guid)
	if !errors.Is(err, store.ErrNotFound) {
		return place, SeeSpace, err
	}
	i, err := store.ServiceInstances.Get(tx, guid)
	if err != nil {
		return Place{}, SeeSpace, err
	}
	place, err = placeOf(tx, i.SpaceGUID)
	return place, SeeSecrets, err
}
