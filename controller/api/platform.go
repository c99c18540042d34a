package api

import (
	"net/http"

	"github.com/cupola-paas/cupola/controller/capi"
)

func (s *Server) platformRoutes() []Route {
	return []Route{
		get("/healthz", open(), s.healthz),
		get("/readyz", open(), s.readyz),
		get("/ca.pem", open(), s.caPEM),
	}
}

// healthz says that the process answers.
func (s *Server) healthz(c *Ctx) error {
	return c.JSON(http.StatusOK, map[string]string{"status": "ok"})
}

// readyz says whether the whole can serve, and if not what it waits for.
func (s *Server) readyz(c *Ctx) error {
	ok, waiting := s.ready()
	body := struct {
		Ready   bool               `json:"ready"`
		Waiting capi.Array[string] `json:"waiting_for"`
	}{ok, waiting}
	if !ok {
		return c.JSON(http.StatusServiceUnavailable, body)
	}
	return c.JSON(http.StatusOK, body)
}

// caPEM hands out the certificate of the local CA, for people to trust.
func (s *Server) caPEM(c *Ctx) error {
	pem := s.ca()
	if len(pem) == 0 {
		return capi.ResourceNotFound.Errorf("There is no local CA: this platform's certificates come from a public one")
	}
	c.head("application/x-pem-file")
	c.W.WriteHeader(http.StatusOK)
	_, _ = c.W.Write(pem)
	return nil
}
