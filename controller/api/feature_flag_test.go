package api

import (
	"testing"

	"github.com/cupola-paas/cupola/store"
)

// TestKindsOfAppsBehindFlags holds that apps of the lifecycles docker and cnb are made and built only while their feature flags are on,
// but by administrators, and that the refusal has the operator's words.
func TestKindsOfAppsBehindFlags(t *testing.T) {
	for _, kind := range []string{"docker", "cnb"} {
		t.Run(kind, func(t *testing.T) {
			w := newWorld(t)
			flag := "/v3/feature_flags/diego_" + kind
			create := func(who, name string) *reply {
				return w.as(who, "POST", "/v3/apps", map[string]any{"name": name, "lifecycle": map[string]any{"type": kind, "data": map[string]any{}}, "relationships": spaceRef(w.space)})
			}
			create("developer", "a").want(403, "330002", "Feature Disabled: diego_"+kind)
			manifest := "applications: [{name: a, lifecycle: " + kind + "}]"
			if kind == "docker" {
				manifest = "applications: [{name: a, docker: {image: registry.example.com/a}}]"
			}
			w.apply("developer", manifest).want(422, "For application 'a': Feature Disabled: diego_"+kind)
			create("admin", "b").want(201)
			w.as("admin", "PATCH", flag, map[string]any{"enabled": true}).want(200)
			app := create("developer", "a").want(201).guid()
			w.as("admin", "PATCH", flag, map[string]any{"enabled": false, "custom_error_message": "ask the platform team"}).want(200)
			w.update(func(tx *store.Tx) error {
				return store.Packages.Put(tx, &store.Package{Meta: store.Meta{GUID: "ready"}, AppGUID: app, Type: "bits", State: store.StateReady})
			})
			w.as("developer", "POST", "/v3/builds", map[string]any{"package": map[string]any{"guid": "ready"}}).want(403, "Feature Disabled: ask the platform team")
		})
	}
}
