package api

import (
	"net/http"

	"github.com/cupola-paas/cupola/controller/capi"
)

// cleanupRoutes are Cupola's own, for operators who are short of room.
func (s *Server) cleanupRoutes() []Route {
	return []Route{post("/v3/admin/actions/clean_up", on(platformAt, "Clean-up", SeePlatform, Administer), s.cleanUpNow)}
}

// cleanUpNow answers when the pass is over. What no record refers to goes, as it does by itself every few minutes.
func (s *Server) cleanUpNow(c *Ctx) error {
	if s.cleanUp == nil {
		return capi.UnableToPerform.Errorf("This platform keeps nothing that could be cleaned up")
	}
	freed, err := s.cleanUp(c.Context())
	if err != nil {
		return capi.UnableToPerform.Errorf("The clean-up did not get to its end: %v", err)
	}
	return c.JSON(http.StatusOK, freed)
}
