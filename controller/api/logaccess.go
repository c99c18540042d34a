package api

import (
	"fmt"
	"net/http"

	"github.com/cupola-paas/cupola/controller/capi"
	"github.com/cupola-paas/cupola/controller/logs"
	"github.com/cupola-paas/cupola/store"
)

// MayReadLogs says whether the sender of a request to the log cache may read an app's log. Its errors are
// those of the guard: not found, or for no or a bad token one that wraps logs.ErrUnauthorized.
func (s *Server) MayReadLogs(r *http.Request, appGUID string) error {
	who, err := s.auth.Authenticate(r)
	if err != nil {
		return fmt.Errorf("%w: %w", logs.ErrUnauthorized, err)
	}
	c := &Ctx{R: r, who: who}
	return s.db.View(func(tx *store.Tx) error {
		app, err := store.Apps.Get(tx, appGUID)
		if err != nil {
			return notFound(err, "App")
		}
		space, err := store.Spaces.Get(tx, app.SpaceGUID)
		if err != nil {
			return notFound(err, "App")
		}
		ok, err := c.Can(tx, Place{OrgGUID: space.OrgGUID, SpaceGUID: space.GUID}, SeeSpace)
		if err == nil && !ok {
			err = capi.NotFound("App")
		}
		return err
	})
}
