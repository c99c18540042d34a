package api

import (
	"testing"

	"github.com/cupola-paas/cupola/store"
)

// TestBuildpackURLsForbidden tries every way to give an app a buildpack by URL where the operator wants none; an app that
// has one from before can be changed otherwise, but not staged.
func TestBuildpackURLsForbidden(t *testing.T) {
	w := newWorld(t)
	const custom = "https://git.example.com/team/buildpack#v2"
	app := w.makeApp("before")
	w.as("developer", "PATCH", "/v3/apps/"+app, `{"lifecycle":{"type":"buildpack","data":{"buildpacks":["`+custom+`"]}}}`).want(200, custom)
	w.opts.NoBuildpackURLs = true
	w.s = New(w.opts)
	w.addBuildpack("platform_buildpack")

	const words = "Custom buildpacks are disabled"
	lifecycle := func(name string) string {
		return `"lifecycle":{"type":"buildpack","data":{"buildpacks":["` + name + `"]}}`
	}
	create := func(name, buildpack string) *reply {
		return w.as("developer", "POST", "/v3/apps", `{"name":"`+name+`","relationships":{"space":{"data":{"guid":"`+w.space+`"}}},`+lifecycle(buildpack)+`}`)
	}
	create("new", custom).want(422, words, "10008")
	other := create("new", "platform_buildpack").want(201).guid()
	w.as("developer", "PATCH", "/v3/apps/"+other, `{`+lifecycle(custom)+`}`).want(422, words)
	w.apply("developer", "applications: [{name: new, buildpacks: ['"+custom+"']}]").want(422, words)
	w.apply("developer", "applications: [{name: newer, buildpacks: ['"+custom+"']}]").want(422, words)

	w.as("developer", "PATCH", "/v3/apps/"+app, `{"name":"renamed"}`).want(200, "renamed")
	w.apply("developer", "applications: [{name: renamed, memory: 64M}]").want(202)
	stage := func(app, more string) *reply {
		pkg := w.makePackage(app)
		w.update(func(tx *store.Tx) error {
			p, err := store.Packages.Get(tx, pkg)
			w.must(err)
			p.State = store.StateReady
			return store.Packages.Put(tx, p)
		})
		return w.as("developer", "POST", "/v3/builds", `{"package":{"guid":"`+pkg+`"}`+more+`}`)
	}
	stage(app, "").want(422, words)
	stage(other, ","+lifecycle(custom)).want(422, words)
	stage(app, ","+lifecycle("platform_buildpack")).want(201)
	stage(other, "").want(201)
}
