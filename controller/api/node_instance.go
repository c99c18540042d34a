package api

import (
	"errors"
	"slices"

	"github.com/cupola-paas/cupola/controller/capi"
	"github.com/cupola-paas/cupola/store"
)

// listNodeInstances says what runs on a node: instances know the address of their machine.
func (s *Server) listNodeInstances(c *Ctx) error {
	if s.nodes == nil {
		return capi.NotFound("Node")
	}
	all, err := s.nodes.List(c.Context())
	if err != nil {
		return err
	}
	at := slices.IndexFunc(all, func(n capi.Node) bool { return n.GUID == c.Path("guid") })
	if at < 0 {
		return capi.NotFound("Node")
	}
	return c.answerPage(func(tx *store.Tx) (*page, error) {
		return answerList(c, tx, Listing[store.Instance, capi.NodeInstance]{
			Table: store.Instances, Meta: func(i *store.Instance) *store.Meta { return &i.Meta },
			Where: []store.Cond{store.By("host", all[at].Address)}, Present: presentNodeInstance,
		})
	})
}

func presentNodeInstance(tx *store.Tx, i *store.Instance) (capi.NodeInstance, error) {
	out := capi.NodeInstance{
		Resource: resource(&i.Meta), App: capi.GUID{GUID: i.AppGUID}, Process: i.ProcessType, Index: i.Index, State: i.State, Memory: i.MemoryMB,
	}
	app, err := store.Apps.Get(tx, i.AppGUID)
	if errors.Is(err, store.ErrNotFound) { // deleted; its instances are being stopped
		return out, nil
	}
	if err == nil {
		out.Name, out.Space = app.Name, capi.GUID{GUID: app.SpaceGUID}
	}
	return out, err
}
