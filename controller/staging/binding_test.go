package staging

import (
	"errors"
	"strings"
	"testing"

	"github.com/cupola-paas/cupola/controller/appenv"
	"github.com/cupola-paas/cupola/store"
)

// TestBindingFiles: a build gets the files about the app's services; bindings that cannot be files fail it in words.
func TestBindingFiles(t *testing.T) {
	w := newWorld(t)
	i := &store.ServiceInstance{Name: "db", Type: store.ServiceUserProvided, SpaceGUID: w.app.SpaceGUID, Credentials: []byte(`{"password":"example"}`)}
	w.update(func(tx *store.Tx) error {
		w.app.Features = map[string]bool{appenv.ServiceBindingK8s: true}
		return errors.Join(store.Apps.Put(tx, w.app), store.ServiceInstances.Put(tx, i), store.ServiceBindings.Put(tx, &store.ServiceBinding{
			Type: store.BindingApp, AppGUID: w.app.GUID, InstanceGUID: i.GUID, SpaceGUID: w.app.SpaceGUID,
		}))
	})
	b := w.newBuild()
	w.step()
	w.workers.Wait()
	if got := w.build(b.GUID); got.State != store.StateStaged {
		t.Fatalf("build = %s %q, want STAGED", got.State, got.Error)
	}
	if got := string(w.builder.got[0].Files["/etc/cf-service-bindings/db/password"]); got != "example" {
		t.Errorf("the file holds %q", got)
	}

	w.update(func(tx *store.Tx) error { i.Name = "DB"; return store.ServiceInstances.Put(tx, i) })
	b = w.newBuild()
	w.step()
	w.workers.Wait()
	const want = "StagingError - Cannot build service binding files for app - Invalid binding name: 'DB'"
	if got := w.build(b.GUID); got.State != store.StateFailed || !strings.HasPrefix(got.Error, want) {
		t.Errorf("build = %s %q, want FAILED %q", got.State, got.Error, want)
	}
}
