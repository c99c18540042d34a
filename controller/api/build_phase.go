package api

import (
	"time"

	"github.com/cupola-paas/cupola/controller/capi"
	"github.com/cupola-paas/cupola/store"
)

// buildPhaseRoutes are Cupola's own: what a build took its time for.
func (s *Server) buildPhaseRoutes() []Route {
	return []Route{index("/v3/builds/{guid}/phases", on(buildAt, "Build", SeeSpace, SeeSpace), s.listBuildPhases)}
}

// listBuildPhases has the phases of a build that is done, in their order; none of one that goes on or failed.
func (s *Server) listBuildPhases(c *Ctx) error {
	return c.answer(func(tx *store.Tx) (any, error) {
		b, err := store.Builds.Get(tx, c.Path("guid"))
		if err != nil {
			return nil, err
		}
		all := make([]capi.BuildPhase, 0, len(b.Phases))
		for _, p := range b.Phases {
			all = append(all, capi.BuildPhase{Name: p.Name, Milliseconds: p.Duration.Round(time.Millisecond).Milliseconds()})
		}
		return pageOf(c, all), nil
	})
}
