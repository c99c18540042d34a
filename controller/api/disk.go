package api

import (
	"context"
	"net/http"

	"github.com/cupola-paas/cupola/controller/capi"
)

// Disks are the file systems that the platform writes to.
type Disks interface {
	Disks(ctx context.Context) ([]capi.Disk, error)
}

// diskRoutes are Cupola's own, for who sees what operators see.
func (s *Server) diskRoutes() []Route {
	return []Route{get("/v3/admin/disks", on(platformAt, "Disk", SeePlatform, AdminRead), s.listDisks)}
}

func (s *Server) listDisks(c *Ctx) error {
	out := capi.Disks{Resources: capi.Array[capi.Disk]{}}
	if s.disks != nil {
		all, err := s.disks.Disks(c.Context())
		if err != nil {
			return err
		}
		out.Resources = all
	}
	return c.JSON(http.StatusOK, out)
}
