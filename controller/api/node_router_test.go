package api

import (
	"strings"
	"testing"

	"github.com/cupola-paas/cupola/store"
)

// TestRouterJoins: a machine routes by a token that was made for it, and by an administrator's word.
func TestRouterJoins(t *testing.T) {
	nodes := &someNodes{}
	w := newWorld(t, func(o *Options) { o.Joins, o.Nodes = &gate{}, nodes })
	routing := strings.Replace(joinBody, "{", `{"router":true,`, 1)
	only := `{"name":"edge-1","address":"10.1.2.4","certificate_request":"good","router_only":true}`
	plain := w.nodeToken(`{}`)
	w.joins(plain, routing).want(422, "cupola node token --router")
	w.joins(plain, only).want(422, "cupola node token --router")
	find := func(guid string) (n *store.Node) {
		t.Helper()
		w.view(func(tx *store.Tx) (err error) { n, err = store.Nodes.Get(tx, guid); return err })
		return n
	}
	first := w.joins(plain, joinBody).want(201).guid() // the token was not spent
	if find(first).Router {
		t.Error("a node routes that nobody let")
	}
	w.as("admin", "DELETE", "/v3/admin/nodes/"+first, nil).want(204) // the network is small
	nodes.did = nil
	guid := w.joins(w.nodeToken(`{"router":true}`), joinBody).want(201).guid()
	if find(guid).Router {
		t.Error("a node routes that did not ask for it")
	}
	if n := find(w.joins(w.nodeToken(`{"router":true}`), routing).want(201).guid()); !n.Router || n.RouterOnly || n.Subnet == "" {
		t.Errorf("a node that routes: %+v", n)
	}
	if n := find(w.joins(w.nodeToken(`{"router":true}`), only).want(201).guid()); !n.Router || !n.RouterOnly || n.Subnet != "" || n.Agent != "" {
		t.Errorf("a machine that only routes: %+v", n)
	}

	path := "/v3/admin/nodes/" + guid
	w.as("developer", "PATCH", path, `{"router":true}`).want(403)
	w.as("readonly", "PATCH", path, `{"router":true}`).want(403)
	w.as("admin", "PATCH", path, `{"router":"yes"}`).want(422)
	w.as("admin", "PATCH", "/v3/admin/nodes/n7", `{"router":true}`).want(404, "Node not found")
	w.as("admin", "PATCH", path, `{"router":true}`).want(204)
	if !find(guid).Router || w.events(eventNodeUpdate) != 1 {
		t.Errorf("after an administrator let it: %+v", find(guid))
	}
	w.as("admin", "PATCH", path, `{"router":false}`).want(204)
	if find(guid).Router || len(nodes.did) != 0 {
		t.Errorf("after he took it back: %+v, the cluster was told %v", find(guid), nodes.did)
	}
}
