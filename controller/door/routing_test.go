package door

import (
	"io"
	"net/http"
	"testing"

	"github.com/cupola-paas/cupola/store"
)

// TestRouting: routes are told to nodes that may route, and who does nothing else gets no images.
func TestRouting(t *testing.T) {
	w, n := newWorld(t), newNode(t)
	cert, err := w.c.Certify("n1", n.request)
	if err != nil {
		t.Fatal(err)
	}
	c := w.client(n, cert)
	for _, is := range []struct {
		name            string
		node            store.Node
		routing, images int
	}{
		{"a node", store.Node{}, 403, 200}, {"a node that routes", store.Node{Router: true}, 200, 200},
		{"a machine that only routes", store.Node{Router: true, RouterOnly: true}, 200, 403}, {"one that may not any more", store.Node{RouterOnly: true}, 403, 403},
	} {
		is.node.GUID = "n1"
		if err := w.db.Update(func(tx *store.Tx) error { return store.Nodes.Put(tx, &is.node) }); err != nil {
			t.Fatal(err)
		}
		if status, text := w.get(c, "/v1/routing/watch"); status != is.routing || status == 200 && text != "routing for n1" {
			t.Errorf("%s: routes are answered with %d %s", is.name, status, text)
		}
		if status, _ := w.get(c, "/v2/"); status != is.images {
			t.Errorf("%s: images are answered with %d", is.name, status)
		}
	}
}

func routingFor(w http.ResponseWriter, _ *http.Request, node string) {
	io.WriteString(w, "routing for "+node)
}
