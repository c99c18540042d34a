package api

import (
	"context"
	"errors"
	"net/http"
	"regexp"
	"strings"

	"github.com/cupola-paas/cupola/controller/capi"
	"github.com/cupola-paas/cupola/store"
)

// Nodes are the machines of a cluster. Their errors are capi's.
type Nodes interface {
	List(ctx context.Context) ([]capi.Node, error)
	// Drain lets instances leave a node and none come, or ends that.
	Drain(ctx context.Context, guid string, drain bool) error
	// Label changes labels of a node; nil takes one away.
	Label(ctx context.Context, guid string, labels map[string]*string) error
	// Remove forgets a node that is down.
	Remove(ctx context.Context, guid string) error
}

// Events of nodes: one was forgotten, one may route or may not any more.
const (
	eventNodeRemove = "audit.node.remove"
	eventNodeUpdate = "audit.node.update"
)

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
		patch(one, admin, s.updateNode),
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
	guid := c.Path("guid")
	err = nodes.Remove(c.Context(), guid)
	if answer := (*capi.Error)(nil); errors.As(err, &answer) && answer.Status == http.StatusNotFound {
		if err := c.View(func(tx *store.Tx) error { // it may have joined and never come to the cluster
			_, err := store.Nodes.Get(tx, guid)
			return notFound(err, "Node")
		}); err != nil {
			return err
		}
	} else if err != nil {
		return err
	}
	err = c.Update(func(tx *store.Tx) error {
		target := store.Actor{GUID: guid, Type: "node"}
		n, err := store.Nodes.Get(tx, guid)
		if err == nil {
			target.Name = n.Name
			err = store.Nodes.Delete(tx, guid)
		}
		return firstOf(orElse(err, nil), c.audit(tx, Event{Type: eventNodeRemove, Target: target}))
	})
	if err != nil {
		return err
	}
	return c.NoContent()
}

var nodeLabel = regexp.MustCompile(`^[a-zA-Z0-9]([a-zA-Z0-9_-]{0,61}[a-zA-Z0-9])?$`)

// updateNode changes labels, of which zone tells instances of one process apart.
func (s *Server) updateNode(c *Ctx) error {
	var in capi.NodeUpdate
	if err := c.decode(&in); err != nil {
		return err
	}
	nodes, err := s.cluster()
	if err != nil {
		return err
	}
	for key, value := range in.Labels {
		if !nodeLabel.MatchString(key) || strings.HasPrefix(key, "cupola") {
			return errInvalid("labels: a key has up to 63 letters, digits, dashes and underscores, and does not begin with cupola")
		}
		if value != nil && !nodeLabel.MatchString(*value) {
			return errInvalid("labels: a value has up to 63 letters, digits, dashes and underscores")
		}
	}
	if in.Router != nil {
		if err := s.letRoute(c, *in.Router); err != nil {
			return err
		}
	}
	if in.Labels != nil || in.Router == nil {
		if err := nodes.Label(c.Context(), c.Path("guid"), in.Labels); err != nil {
			return err
		}
	}
	return c.NoContent()
}

// letRoute says whether a machine may route. One that may not any more hears nothing from that moment on.
func (s *Server) letRoute(c *Ctx, may bool) error {
	return c.Update(func(tx *store.Tx) error {
		n, err := store.Nodes.Get(tx, c.Path("guid"))
		if err != nil {
			return notFound(err, "Node")
		}
		n.Router = may
		event := Event{Type: eventNodeUpdate, Target: store.Actor{GUID: n.GUID, Type: "node", Name: n.Name}, Data: request(map[string]any{"router": may})}
		return firstOf(store.Nodes.Put(tx, n), c.audit(tx, event))
	})
}
