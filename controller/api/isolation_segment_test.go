package api

import (
	"testing"

	"github.com/cupola-paas/cupola/store"
)

// TestNoCompatibleCell: in a segment without nodes nothing is built and nothing starts; in shared all goes on.
func TestNoCompatibleCell(t *testing.T) {
	w := newWorld(t)
	shared, empty := &store.IsolationSegment{Name: sharedSegment}, &store.IsolationSegment{Name: "empty"}
	w.update(func(tx *store.Tx) error {
		shared.OrgGUIDs, empty.OrgGUIDs = []string{w.org}, []string{w.org}
		return firstOf(store.IsolationSegments.Put(tx, shared), store.IsolationSegments.Put(tx, empty))
	})
	app := w.makeRunning("cells")
	pkg := w.makePackage(app)
	w.update(func(tx *store.Tx) error {
		p, err := store.Packages.Get(tx, pkg)
		w.must(err)
		p.State = store.StateReady
		return store.Packages.Put(tx, p)
	})
	assign := func(path, guid string) {
		t.Helper()
		body := `{"data":null}`
		if guid != "" {
			body = `{"data":{"guid":"` + guid + `"}}`
		}
		w.as("admin", "PATCH", path, body).want(200)
	}
	space, org := "/v3/spaces/"+w.space+"/relationships/isolation_segment", "/v3/organizations/"+w.org+"/relationships/default_isolation_segment"
	restart := func() *reply { return w.as("developer", "POST", "/v3/apps/"+app+"/actions/restart", nil) }
	refused := func() {
		t.Helper()
		restart().want(400, `"code":170009`, `"title":"CF-NoCompatibleCell"`, "empty")
		w.as("developer", "POST", "/v3/builds", `{"package":{"guid":"`+pkg+`"}}`).want(400, "CF-NoCompatibleCell")
	}
	restart().want(200)
	assign(space, empty.GUID)
	refused()
	assign(space, shared.GUID)
	restart().want(200)
	assign(space, "")
	assign(org, empty.GUID)
	refused()
	assign(space, shared.GUID)
	restart().want(200)
	w.as("developer", "POST", "/v3/builds", `{"package":{"guid":"`+pkg+`"}}`).want(201)
}
