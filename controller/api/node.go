package api

import (
	"context"
	"net/http"

	"github.com/cupola-paas/cupola/controller/capi"
)

// Nodes are the machines of a cluster. Their errors are capi's.
type Nodes interface {
	List(ctx context.Context) ([]capi.Node, error)
	// Drain lets instances leave a node and none come, or ends that.
	Drain(ctx context.Context, guid string, drain bool) error
	// Remove forgets a node that is down.
	Remove(ctx context.Context, guid string) error
}

// nodeRoutes are Cupola's own, for operators.
func (s *Server) nodeRoutes() []Route {
	const all, one = "/v3/admin/nodes", "/v3/admin/nodes/{guid}"
	admin := on(platformAt, "Node", SeePlatform, Administer)
	read := on(platformAt, "Node", SeePlatform, AdminRead)
	return []Route{
		get(all, read, s.listNodes),
		index(one+"/instances", read, s.listNodeInstances),
		post(one+"/actions/drain", admin, s.drainNode(true)),
		post(one+"/actions/resume", admin, s.drainNode(false)),
		del(one, admin, s.removeNode),
	}
}

func (s *Server) cluster() (Nodes, error) {
	if s.nodes == nil {
		return nil, capi.UnableToPerform.Errorf("This platform runs on one machine: start its server with --engine nomad to have nodes")
	}
	return s.nodes, nil
}

func (s *Server) listNodes(c *Ctx) error {
	out := capi.Nodes{Resources: capi.Array[capi.Node]{}}
	if s.nodes != nil { // one machine is no cluster, which is no mistake
		all, err := s.nodes.List(c.Context())
		if err != nil {
			return err
		}
		out.Resources = all
	}
	return c.JSON(http.StatusOK, out)
}

func (s *Server) drainNode(drain bool) Handler {
	return func(c *Ctx) error {
		nodes, err := s.cluster()
		if err != nil {
			return err
		}
		if err := nodes.Drain(c.Context(), c.Path("guid"), drain); err != nil {
			return err
		}
		return c.NoContent()
	}
}

func (s *Server) removeNode(c *Ctx) error {
	nodes, err := s.cluster()
	if err != nil {
		return err
	}
	if err := nodes.Remove(c.Context(), c.Path("guid")); err != nil {
		return err
	}
	return c.NoContent()
}
