package controller

import (
	"context"
	"errors"
	"net"
	"net/http"
	"net/netip"

	"github.com/cupola-paas/cupola/node"
	"github.com/cupola-paas/cupola/node/agent"
	"github.com/cupola-paas/cupola/store"
)

// places keeps for the engine of a cluster which machine has which data.
type places struct{ db *store.DB }

// Place implements nomad.Places.
func (p places) Place(id string) (nodeID string, ok bool, err error) {
	err = p.db.View(func(tx *store.Tx) error {
		have, err := store.Places.Get(tx, id)
		if errors.Is(err, store.ErrNotFound) {
			return nil
		}
		if err == nil {
			nodeID, ok = have.Node, true
		}
		return err
	})
	return nodeID, ok, err
}

// SetPlace implements nomad.Places.
func (p places) SetPlace(id, nodeID string) error {
	if have, ok, err := p.Place(id); err != nil || ok && have == nodeID {
		return err
	}
	return p.db.Update(func(tx *store.Tx) error {
		return store.Places.Put(tx, &store.Place{Meta: store.Meta{GUID: id}, Node: nodeID})
	})
}

// ForgetPlace implements nomad.Places.
func (p places) ForgetPlace(id string) error {
	return p.db.Update(func(tx *store.Tx) error {
		if err := store.Places.Delete(tx, id); !errors.Is(err, store.ErrNotFound) {
			return err
		}
		return nil
	})
}

// dialFar reaches a workload on another machine for one on the controller's.
func (s *Server) dialFar(ctx context.Context, far node.Far, from string, to netip.AddrPort) (net.Conn, error) {
	return agent.Bridge(ctx, far.Agent, s.door.Agent(far.Node), from, to)
}

// reachable reports whether apps everywhere reach an instance on another machine at that address.
func (s *Server) reachable(a netip.Addr) bool {
	e, ok := s.engine.(interface{ Reachable(netip.Addr) bool })
	return ok && e.Reachable(a)
}

// tellNames and takeConnections are what nodes ask for at the door, which is open before what answers them is.
func (s *Server) tellNames(w http.ResponseWriter, r *http.Request) {
	s.names.Handler().ServeHTTP(w, r)
}

func (s *Server) takeConnections(w http.ResponseWriter, r *http.Request) {
	agent.Bring(s.local).ServeHTTP(w, r)
}
