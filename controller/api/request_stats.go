package api

import (
	"net/http"

	"github.com/cupola-paas/cupola/controller/capi"
	"github.com/cupola-paas/cupola/store"
)

// requestStatsRoutes are Cupola's own: Cloud Foundry has such figures in its logs and metrics only.
func (s *Server) requestStatsRoutes() []Route {
	return []Route{
		get("/v3/apps/{guid}/request_stats", on(appAt, "App", SeeSpace, SeeSpace), s.getRequestStats),
		{"GET", "/v3/request_stats", signedIn(), s.listRequestStats, []string{"app_guids", "space_guids", "organization_guids"}, nil},
	}
}

// requestsOf is what the router has seen of an app; nothing of one that no route names.
func (s *Server) requestsOf(appGUID string) capi.RequestStats {
	out := s.requests(appGUID)
	out.App = capi.GUID{GUID: appGUID}
	return out
}

func (s *Server) getRequestStats(c *Ctx) error {
	return c.JSON(http.StatusOK, s.requestsOf(c.Path("guid")))
}

// listRequestStats answers for the apps of spaces or orgs, or for single apps, all of them at once.
func (s *Server) listRequestStats(c *Ctx) error {
	if !c.Filter.Has("app_guids") && !c.Filter.Has("space_guids") && !c.Filter.Has("organization_guids") {
		return errQuery("name the apps with app_guids, space_guids or organization_guids")
	}
	return c.answer(func(tx *store.Tx) (any, error) {
		where, err := c.filterSpaces(tx, "space")
		if err != nil {
			return nil, err
		}
		where = c.filterBy(where, "app_guids", "guid")
		apps, _, err := store.Apps.List(tx, store.Query[store.App]{Where: where})
		out := capi.RequestStatsList{Resources: make(capi.Array[capi.RequestStats], 0, len(apps))}
		for _, app := range apps {
			out.Resources = append(out.Resources, s.requestsOf(app.GUID))
		}
		return out, err
	})
}
