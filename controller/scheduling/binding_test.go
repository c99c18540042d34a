package scheduling

import (
	"errors"
	"testing"

	"github.com/cupola-paas/cupola/controller/appenv"
	"github.com/cupola-paas/cupola/node"
	"github.com/cupola-paas/cupola/store"
)

// TestBindingFiles: instances and tasks get the files about their services beside what else they get once their
// address is known; bindings that cannot be files are told.
func TestBindingFiles(t *testing.T) {
	w := newWorld(t)
	instance := &store.ServiceInstance{Name: "db", Type: store.ServiceUserProvided, SpaceGUID: w.app.SpaceGUID, Credentials: []byte(`{"password":"example"}`)}
	task := &store.Task{AppGUID: w.app.GUID, SequenceID: 1, Command: "true", State: taskPending, DropletGUID: w.app.CurrentDropletGUID}
	w.update(func(tx *store.Tx) error {
		w.app.Features = map[string]bool{appenv.ServiceBindingK8s: true}
		err := errors.Join(store.Apps.Put(tx, w.app), store.Tasks.Put(tx, task), store.ServiceInstances.Put(tx, instance))
		return errors.Join(err, store.ServiceBindings.Put(tx, &store.ServiceBinding{
			Type: store.BindingApp, AppGUID: w.app.GUID, InstanceGUID: instance.GUID, SpaceGUID: w.app.SpaceGUID,
		}))
	})
	order := func() startOrder {
		var d *store.Droplet
		w.update(func(tx *store.Tx) (err error) { d, err = store.Droplets.Get(tx, w.app.CurrentDropletGUID); return err })
		return startOrder{&store.Instance{Meta: store.Meta{GUID: "i"}}, wanted{w.app, w.web, d}}
	}
	const password = "/etc/cf-service-bindings/db/password"
	w.init()
	for _, others := range []bool{false, true} {
		if others {
			w.Finish = func(id, _ string) func(string) (node.Extra, error) {
				return func(address string) (node.Extra, error) {
					return node.Extra{Env: map[string]string{"AT": address}, Files: map[string][]byte{"/etc/other/id": []byte(id)}}, nil
				}
			}
		}
		for what, make := range map[string]func() (node.Workload, error){
			"instance": func() (node.Workload, error) { return w.workload(order()) },
			"task":     func() (node.Workload, error) { return w.taskWorkload(task) },
		} {
			got, err := make()
			if err != nil {
				t.Fatal(err)
			}
			extra, err := got.Finish("10.0.0.9")
			if err != nil || string(extra.Files[password]) != "example" {
				t.Errorf("%s: files = %v, %v", what, extra.Files, err)
			}
			if others && (extra.Env["AT"] != "10.0.0.9" || string(extra.Files["/etc/other/id"]) != got.ID) {
				t.Errorf("%s: what it gets besides is lost: %v", what, extra)
			}
		}
	}

	w.update(func(tx *store.Tx) error {
		instance.Name = "Not a folder's name"
		return store.ServiceInstances.Put(tx, instance)
	})
	bad := (*appenv.BindingFilesError)(nil)
	if _, err := w.workload(order()); !errors.As(err, &bad) {
		t.Errorf("a name that does not fit: %v", err)
	}
	w.update(func(tx *store.Tx) error { w.app.Features = nil; return store.Apps.Put(tx, w.app) })
	w.Finish = nil
	w.init()
	if got, err := w.workload(order()); err != nil || got.Finish != nil {
		t.Errorf("without the feature: %v, it waits for its address", err)
	}
}
