package api

import (
	"context"
	"testing"

	"github.com/cupola-paas/cupola/controller/capi"
)

// someNodes is a cluster of one.
type someNodes struct{ did []string }

func (n *someNodes) List(context.Context) ([]capi.Node, error) {
	return []capi.Node{{GUID: "n1", Name: "vm-1", State: capi.NodeReady, Memory: 4096, Reserved: 512, Count: 3}}, nil
}

func (n *someNodes) Drain(_ context.Context, guid string, drain bool) error {
	if guid != "n1" {
		return capi.ResourceNotFound.Errorf("Node not found")
	}
	if drain {
		n.did = append(n.did, "drain")
	} else {
		n.did = append(n.did, "resume")
	}
	return nil
}

func (n *someNodes) Label(_ context.Context, guid string, labels map[string]*string) error {
	for key, value := range labels {
		if value == nil {
			n.did = append(n.did, "unlabel "+key)
		} else {
			n.did = append(n.did, "label "+key+"="+*value)
		}
	}
	return nil
}

func (n *someNodes) Remove(_ context.Context, guid string) error {
	n.did = append(n.did, "remove "+guid)
	return nil
}

func TestNodes(t *testing.T) {
	nodes := &someNodes{}
	w := newWorld(t, func(o *Options) { o.Nodes = nodes })
	w.as("admin", "GET", "/v3/admin/nodes", nil).want(200, `"guid":"n1"`, `"state":"READY"`, `"memory_in_mb":4096`, `"reserved_memory_in_mb":512`, `"instances":3`)
	w.as("developer", "GET", "/v3/admin/nodes", nil).want(403)
	w.as("readonly", "POST", "/v3/admin/nodes/n1/actions/drain", nil).want(403)
	w.as("admin", "POST", "/v3/admin/nodes/n1/actions/drain", nil).want(204)
	w.as("admin", "POST", "/v3/admin/nodes/n1/actions/resume", nil).want(204)
	w.as("admin", "POST", "/v3/admin/nodes/n2/actions/drain", nil).want(404, "Node not found")
	w.as("admin", "DELETE", "/v3/admin/nodes/n1", nil).want(204)
	if got := len(nodes.did); got != 3 {
		t.Errorf("the cluster was told %v", nodes.did)
	}
}

// TestNoNodes: on one machine there are none, and nothing to do with them.
func TestNoNodes(t *testing.T) {
	w := newWorld(t, func(*Options) {})
	w.as("admin", "GET", "/v3/admin/nodes", nil).want(200, `"resources":[]`)
	for _, call := range [][2]string{{"POST", "/actions/drain"}, {"POST", "/actions/resume"}, {"DELETE", ""}} {
		w.as("admin", call[0], "/v3/admin/nodes/n1"+call[1], nil).want(400, "--engine nomad")
	}
}
