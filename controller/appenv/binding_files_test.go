package appenv

import (
	"encoding/json"
	"errors"
	"maps"
	"slices"
	"strings"
	"testing"

	"github.com/cupola-paas/cupola/store"
)

// bound makes an app that is bound to user-provided service instances, by name with their credentials.
func bound(t *testing.T, tx *store.Tx, feature string, instances map[string]string) *store.App {
	t.Helper()
	org := &store.Org{Name: "org"}
	space := &store.Space{Name: "space"}
	app := &store.App{Name: "shop", State: store.AppStarted, Features: map[string]bool{feature: true}}
	err := store.Orgs.Put(tx, org)
	space.OrgGUID = org.GUID
	err = errors.Join(err, store.Spaces.Put(tx, space))
	app.SpaceGUID = space.GUID
	err = errors.Join(err, store.Apps.Put(tx, app))
	for _, name := range slices.Sorted(maps.Keys(instances)) {
		i := &store.ServiceInstance{Name: name, Type: store.ServiceUserProvided, SpaceGUID: space.GUID, Tags: []string{"list", "of"}, Credentials: []byte(instances[name])}
		err = errors.Join(err, store.ServiceInstances.Put(tx, i), store.ServiceBindings.Put(tx, &store.ServiceBinding{
			Type: store.BindingApp, AppGUID: app.GUID, InstanceGUID: i.GUID, SpaceGUID: space.GUID,
		}))
	}
	if err != nil {
		t.Fatal(err)
	}
	return app
}

// inStore runs fn in a transaction of a fresh store that is not kept.
func inStore(t *testing.T, fn func(tx *store.Tx)) {
	t.Helper()
	db, err := store.Open(store.Options{Dir: t.TempDir(), NoSync: true})
	if err != nil {
		t.Fatal(err)
	}
	defer db.Close()
	if err := db.Update(func(tx *store.Tx) error { fn(tx); return nil }); err != nil {
		t.Fatal(err)
	}
}

func TestBindingFolders(t *testing.T) {
	inStore(t, func(tx *store.Tx) {
		app := bound(t, tx, ServiceBindingK8s, map[string]string{
			"db": `{"username":"admin","port":5432,"hosts": ["a", "b"],"none":null,"empty":{},"name":"credential","type":"credential","uri":"postgres://u:p@db.example.com/x"}`,
		})
		files, err := BindingFiles(tx, app)
		if err != nil {
			t.Fatal(err)
		}
		got := map[string]string{}
		for path, content := range files {
			name, ok := strings.CutPrefix(path, "/etc/cf-service-bindings/db/")
			if !ok {
				t.Errorf("a file at %s", path)
			}
			got[name] = string(content)
		}
		for _, guid := range []string{"binding_guid", "instance_guid"} {
			if len(got[guid]) != 36 {
				t.Errorf("%s = %q", guid, got[guid])
			}
			delete(got, guid)
		}
		want := map[string]string{
			"username": "admin", "port": "5432", "hosts": `["a","b"]`, "uri": "postgres://u:p@db.example.com/x",
			"name": "db", "instance_name": "db", "label": "user-provided", "type": "user-provided", "provider": "user-provided", "tags": `["list","of"]`,
		}
		if !maps.Equal(got, want) {
			t.Errorf("files = %v\nwant    %v", got, want)
		}
		env, err := Env{}.Task(tx, app, &store.Task{}, nil)
		if err != nil {
			t.Fatal(err)
		}
		if _, has := env["VCAP_SERVICES"]; has || env["SERVICE_BINDING_ROOT"] != "/etc/cf-service-bindings" || env["DATABASE_URL"] == "" {
			t.Errorf("env = %v", env)
		}
	})
}

func TestVCAPServicesFile(t *testing.T) {
	inStore(t, func(tx *store.Tx) {
		app := bound(t, tx, FileBasedVCAPServices, map[string]string{"My DB": `{"Key":"v"}`}) // no name of a file is made of these
		files, err := BindingFiles(tx, app)
		if err != nil || len(files) != 1 {
			t.Fatalf("files = %v, %v", files, err)
		}
		var have map[string][]Service
		if err := json.Unmarshal(files["/etc/cf-service-bindings/vcap_services"], &have); err != nil || len(have["user-provided"]) != 1 || string(have["user-provided"][0].Credentials) != `{"Key":"v"}` {
			t.Errorf("the file holds %+v, %v", have, err)
		}
		env, err := Env{}.Staging(tx, app, &store.Build{})
		if err != nil {
			t.Fatal(err)
		}
		if _, has := env["VCAP_SERVICES"]; has || env["VCAP_SERVICES_FILE_PATH"] != "/etc/cf-service-bindings/vcap_services" {
			t.Errorf("env = %v", env)
		}
		app.Features = nil
		if files, err := BindingFiles(tx, app); len(files) != 0 || err != nil {
			t.Errorf("without the feature there are %v, %v", files, err)
		}
	})
}

func TestBindingFilesRefused(t *testing.T) {
	big := `{"k":"` + strings.Repeat("x", 600_000) + `"}`
	for _, test := range []struct {
		name, feature string
		instances     map[string]string
		want          string
	}{
		{"a capital", ServiceBindingK8s, map[string]string{"DB": `{}`}, "Invalid binding name: 'DB'"},
		{"a folder above", ServiceBindingK8s, map[string]string{"..": `{}`}, "Invalid binding name: '..'"},
		{"a path", ServiceBindingK8s, map[string]string{"a/b": `{}`}, "Invalid binding name: 'a/b'"},
		{"a file above", ServiceBindingK8s, map[string]string{"db": `{"..":"x"}`}, "Invalid file name: .."},
		{"a file of ours", ServiceBindingK8s, map[string]string{"db": `{"..current":"x"}`}, "Invalid file name: ..current"},
		{"a path of a file", ServiceBindingK8s, map[string]string{"db": `{"a/b":"x"}`}, "Invalid file name: a/b"},
		{"folders too big", ServiceBindingK8s, map[string]string{"a": big, "b": big}, "exceed the maximum allowed bytesize of 1000000: 1200"},
		{"a file too big", FileBasedVCAPServices, map[string]string{"a": big, "b": big}, "exceed the maximum allowed bytesize of 1000000: 1200"},
	} {
		inStore(t, func(tx *store.Tx) {
			files, err := BindingFiles(tx, bound(t, tx, test.feature, test.instances))
			bad := (*BindingFilesError)(nil)
			if !errors.As(err, &bad) || !strings.Contains(bad.Error(), test.want) {
				t.Errorf("%s: %d files, %v, want %q", test.name, len(files), err, test.want)
			}
		})
	}
}

func TestDuplicateBindingNames(t *testing.T) {
	inStore(t, func(tx *store.Tx) {
		app := bound(t, tx, ServiceBindingK8s, map[string]string{"a": `{}`, "b": `{}`})
		bindings, _, err := store.ServiceBindings.List(tx, store.Query[store.ServiceBinding]{Where: []store.Cond{store.By("app", app.GUID)}})
		if err != nil || len(bindings) != 2 {
			t.Fatal(bindings, err)
		}
		bindings[1].Name = "a" // as the other's instance is called
		if err := store.ServiceBindings.Put(tx, bindings[1]); err != nil {
			t.Fatal(err)
		}
		if files, err := BindingFiles(tx, app); err == nil || !strings.Contains(err.Error(), "Duplicate binding name: a") {
			t.Errorf("%d files, %v", len(files), err)
		}
	})
}
