package api

import (
	"errors"
	"fmt"
	"strings"
	"testing"

	"github.com/cupola-paas/cupola/store"
)

// TestStackStates holds what each state of a stack means for apps that were never staged and for those that were.
func TestStackStates(t *testing.T) {
	w := newWorld(t)
	stack := ""
	w.view(func(tx *store.Tx) error {
		st, err := store.Stacks.Find(tx, "name", "cupola")
		stack = st.GUID
		return err
	})
	ready := func(app string) string {
		p := w.makePackage(app)
		w.uploadZip(p, nil, zipOf(t, map[string]string{"a": "b"})).want(200)
		return p
	}
	old := w.makeRunning("old")
	oldBits, newBits := ready(old), ready(w.makeApp("new"))
	for i, c := range []struct {
		state                     string
		create, build, buildAgain int
		warned                    bool
	}{
		{"ACTIVE", 201, 201, 201, false},
		{"DEPRECATED", 201, 201, 201, true},
		{"RESTRICTED", 422, 422, 201, true},
		{"DISABLED", 422, 422, 422, false},
	} {
		w.as("admin", "PATCH", "/v3/stacks/"+stack, map[string]any{"state": c.state, "state_reason": "ask ops"}).want(200)
		said := func(r *reply) {
			t.Helper()
			if r.status == 422 && !strings.Contains(r.text, "ask ops") {
				t.Errorf("%s: the refusal has no reason: %s", c.state, r.text)
			}
			if r.status == 201 && strings.Contains(r.header.Get("X-Cf-Warnings"), "ask+ops") != c.warned {
				t.Errorf("%s: warnings %q", c.state, r.header.Get("X-Cf-Warnings"))
			}
		}
		said(w.as("developer", "POST", "/v3/apps", map[string]any{"name": fmt.Sprint("app", i), "relationships": spaceRef(w.space)}).want(c.create))
		for bits, status := range map[string]int{newBits: c.build, oldBits: c.buildAgain} {
			said(w.as("developer", "POST", "/v3/builds", map[string]any{"package": map[string]any{"guid": bits}}).want(status))
		}
		w.update(func(tx *store.Tx) error { // they end
			builds, _, err := store.Builds.List(tx, store.Query[store.Build]{})
			for _, b := range builds {
				b.State = store.StateFailed
				err = errors.Join(err, store.Builds.Put(tx, b))
			}
			return err
		})
		w.as("developer", "POST", "/v3/apps/"+old+"/actions/restart", nil).want(200)
	}
}
