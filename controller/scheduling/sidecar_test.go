package scheduling

import (
	"strings"
	"testing"

	"github.com/cupola-paas/cupola/buildpack/launcher/supervise"
	"github.com/cupola-paas/cupola/store"
)

func TestSidecarsRunBesideTheirProcess(t *testing.T) {
	w := newWorld(t)
	w.update(func(tx *store.Tx) error {
		for _, sc := range []store.SidecarSpec{
			{Name: "config", Command: "./config --watch", ProcessTypes: []string{"web"}},
			{Name: "other", Command: "./other", ProcessTypes: []string{"worker"}},
		} {
			if err := store.Sidecars.Put(tx, &store.Sidecar{SidecarSpec: sc, AppGUID: w.app.GUID}); err != nil {
				return err
			}
		}
		return nil
	})
	w.init()
	order := func() startOrder {
		var d *store.Droplet
		w.update(func(tx *store.Tx) (err error) { d, err = store.Droplets.Get(tx, w.app.CurrentDropletGUID); return err })
		return startOrder{&store.Instance{Meta: store.Meta{GUID: "i"}}, wanted{w.app, w.web, d}}
	}
	got, err := w.workload(order())
	if err != nil {
		t.Fatal(err)
	}
	plan := got.Env[superviseVariable]
	if want := `{"main":["/cnb/process/web"],"sidecars":[{"name":"config","command":"./config --watch"}]}`; plan != want {
		t.Errorf("plan = %s, want %s", plan, want)
	}
	if read, err := supervise.ParsePlan(got.Env[supervise.Variable]); err != nil || read.Sidecars[0].Name != "config" {
		t.Errorf("the launcher reads %+v, %v", read, err)
	}
	if len(got.Command) != 0 || got.Entrypoint[0] != launcherPath {
		t.Errorf("it starts %v %v, want the launcher alone", got.Entrypoint, got.Command)
	}

	w.update(func(tx *store.Tx) error { // a revision without sidecars counts, whatever the app has now
		r := &store.Revision{AppGUID: w.app.GUID, Version: 1}
		err := store.Revisions.Put(tx, r)
		w.web.RevisionGUID = r.GUID
		return err
	})
	if got, err = w.workload(order()); err != nil || got.Env[superviseVariable] != "" || !strings.HasSuffix(got.Entrypoint[0], "/web") {
		t.Errorf("a revision without sidecars starts %v with plan %q, %v", got.Entrypoint, got.Env[superviseVariable], err)
	}
}
