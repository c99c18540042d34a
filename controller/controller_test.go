package controller

import (
	"context"
	"errors"
	"io/fs"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/cupola-paas/cupola/store"
)

func TestConfigIsCheckedBeforeAnythingOpens(t *testing.T) {
	for _, c := range []struct {
		name   string
		change func(*Config)
		want   string // empty: fine
	}{
		{"defaults", func(*Config) {}, ""},
		{"domain", func(c *Config) { c.Domain = "no domain" }, "--domain"},
		{"apps domain", func(c *Config) { c.AppsDomain = "-x.example" }, "--apps-domain"},
		{"address", func(c *Config) { c.HTTPSAddr = "8443" }, "--https"},
		{"port", func(c *Config) { c.HTTPAddr = ":70000" }, "--http"},
		{"ssh", func(c *Config) { c.SSHAddr = "2222" }, "--ssh"},
		{"no ssh", func(c *Config) { c.SSHAddr = SSHOff }, ""},
		{"registry", func(c *Config) { c.RegistryAddr = "10.0.0.1:5870" }, "loopback"},
		{"engine", func(c *Config) { c.Engine = "magic" }, "--engine"},
		{"a program of nodes", func(c *Config) { c.Nomad.Program = "/usr/bin/nomad" }, ""},
		{"own cluster", func(c *Config) { c.Nomad.Own = true }, ""},
		{"own cluster on Docker", func(c *Config) { c.Nomad.Own, c.Engine = true, "docker" }, "--engine nomad"},
		{"own cluster and another's", func(c *Config) { c.Nomad.Own, c.Nomad.Address = true, "http://192.0.2.1:4646" }, "leave out the flags"},
		{"own cluster everywhere", func(c *Config) { c.Nomad.Own, c.Nomad.OwnAddress = true, "0.0.0.0" }, "--nomad-address"},
		{"own cluster on two ports", func(c *Config) { c.Nomad.Own, c.Nomad.OwnPorts = true, "4646,4647" }, "--nomad-ports"},
		{"ports of no cluster of its own", func(c *Config) { c.Engine, c.Nomad.OwnPorts = "nomad", "1,2,3" }, "give --nomad"},
		{"certificates of nodes", func(c *Config) { c.Engine, c.NodeCertificates = "nomad", time.Hour }, ""},
		{"certificates of nodes for a second", func(c *Config) { c.Engine, c.NodeCertificates = "nomad", time.Second }, "--node-certificates"},
		{"certificates of no nodes", func(c *Config) { c.NodeCertificates = time.Hour }, "--engine nomad"},
		{"half a stack", func(c *Config) { c.BuildImage = "x" }, "--stack-run-image"},
		{"builder and stack", func(c *Config) { c.Builder, c.BuildImage, c.RunImage = "b", "x", "y" }, "--builder"},
		{"builder with another run image", func(c *Config) { c.Builder, c.RunImage = "b", "y" }, ""},
		{"short password", func(c *Config) { c.AdminPassword = "short" }, "8 characters"},
		{"missing root", func(c *Config) { c.ACMERoot = "/no/such/file" }, "--acme-ca-root"},
	} {
		config := Config{}
		c.change(&config)
		err := config.WithDefaults().Validate()
		switch {
		case c.want == "" && err != nil, c.want != "" && (err == nil || !strings.Contains(err.Error(), c.want)):
			t.Errorf("%s: %v, want an error with %q", c.name, err, c.want)
		}
	}
}

func TestLocalNames(t *testing.T) {
	public := Config{ACMEEmail: "ops@example.com"}
	for host, want := range map[string]bool{
		"app.example.com": false, "a.cupola.localhost": true, "localhost": true, "x.internal": true, "127.0.0.1": true, "single": true,
	} {
		if got := public.local(host); got != want {
			t.Errorf("local(%q) = %t, want %t", host, got, want)
		}
		if !(Config{}).local(host) {
			t.Errorf("without ACME local(%q) = false", host)
		}
	}
}

func openStore(t *testing.T) *store.DB {
	t.Helper()
	db, err := store.Open(store.Options{Dir: t.TempDir(), NoSync: true})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { db.Close() })
	return db
}

func TestCertificateStorage(t *testing.T) {
	s, ctx := newCertStorage(openStore(t)), t.Context()
	if _, err := s.Load(ctx, "a/b"); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("Load of nothing = %v, want fs.ErrNotExist", err)
	}
	for _, key := range []string{"a/b/cert", "a/b/key", "a/c", "d"} {
		if err := s.Store(ctx, key, []byte("value of "+key)); err != nil {
			t.Fatal(err)
		}
	}
	if got, err := s.Load(ctx, "a/b/key"); err != nil || string(got) != "value of a/b/key" {
		t.Errorf("Load = %q, %v", got, err)
	}
	for _, c := range []struct {
		folder    string
		recursive bool
		want      []string
	}{
		{"a", true, []string{"a/b/cert", "a/b/key", "a/c"}}, {"a", false, []string{"a/b", "a/c"}}, {"", false, []string{"a", "d"}},
	} {
		got, err := s.List(ctx, c.folder, c.recursive)
		slices.Sort(got)
		if err != nil || !slices.Equal(got, c.want) {
			t.Errorf("List(%q, %t) = %q, %v, want %q", c.folder, c.recursive, got, err, c.want)
		}
	}
	if info, err := s.Stat(ctx, "a/b"); err != nil || info.IsTerminal {
		t.Errorf("Stat of a folder = %+v, %v", info, err)
	}
	if err := s.Delete(ctx, "a"); err != nil {
		t.Fatal(err)
	}
	if s.Exists(ctx, "a/b/cert") || !s.Exists(ctx, "d") {
		t.Error("Delete of a folder: want everything below it gone, and nothing else")
	}
}

func TestCertificateLocksWaitAndGiveUp(t *testing.T) {
	s := newCertStorage(openStore(t))
	if err := s.Lock(t.Context(), "x"); err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithTimeout(t.Context(), 10*time.Millisecond)
	defer cancel()
	if err := s.Lock(ctx, "x"); !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("Lock of a held name = %v, want the context's end", err)
	}
	got := make(chan error, 1)
	go func() { got <- s.Lock(t.Context(), "x") }()
	if err := s.Unlock(t.Context(), "x"); err != nil {
		t.Fatal(err)
	}
	if err := <-got; err != nil {
		t.Errorf("Lock after Unlock = %v", err)
	}
}

func TestKnownHosts(t *testing.T) {
	db := openStore(t)
	if err := db.Update(func(tx *store.Tx) error {
		shared, internal := &store.Domain{Name: "example.com"}, &store.Domain{Name: "apps.internal", Internal: true}
		err := errors.Join(store.Domains.Put(tx, shared), store.Domains.Put(tx, internal))
		return errors.Join(err,
			store.Routes.Put(tx, &store.Route{Host: "hello", DomainGUID: shared.GUID}),
			store.Routes.Put(tx, &store.Route{Host: "a.b", DomainGUID: shared.GUID}),
			store.Routes.Put(tx, &store.Route{Host: "x", DomainGUID: internal.GUID}))
	}); err != nil {
		t.Fatal(err)
	}
	k := &knownHosts{db: db, system: map[string]bool{"api.example.com": true}}
	for host, want := range map[string]bool{
		"api.example.com": true, "hello.example.com": true, "a.b.example.com": true, "example.com": false,
		"nobody.example.com": false, "x.apps.internal": false, "other.org": false,
	} {
		if got := k.known(host); got != want {
			t.Errorf("known(%q) = %t, want %t", host, got, want)
		}
	}
}

func TestSeedPutsANewBuildpackIntoItsPlace(t *testing.T) {
	db, config := openStore(t), Config{}.WithDefaults()
	if err := seed(db, config, true); err != nil {
		t.Fatal(err)
	}
	order := func() string {
		var names []string
		_ = db.View(func(tx *store.Tx) error {
			list, _, err := store.Buildpacks.List(tx, store.Query[store.Buildpack]{OrderBy: "position"})
			for i, b := range list {
				if b.Position != i+1 {
					t.Errorf("%s is at %d, want %d", b.Name, b.Position, i+1)
				}
				names = append(names, b.Name)
			}
			return err
		})
		return strings.Join(names, " ")
	}
	want := order()
	if err := db.Update(func(tx *store.Tx) error { // as a platform of an earlier version had it
		gone, err := store.Buildpacks.Find(tx, "name", "ruby_buildpack")
		if err != nil {
			return err
		}
		for b := range store.Buildpacks.All(tx) {
			if b.Position > gone.Position {
				b.Position--
				err = errors.Join(err, store.Buildpacks.Put(tx, b))
			}
		}
		return errors.Join(err, store.Buildpacks.Delete(tx, gone.GUID))
	}); err != nil {
		t.Fatal(err)
	}
	if err := seed(db, config, true); err != nil {
		t.Fatal(err)
	}
	if got := order(); got != want {
		t.Errorf("after an upgrade: %s, want %s", got, want)
	}
}

func TestSeedKeepsWhatPeopleChanged(t *testing.T) {
	db, config := openStore(t), Config{}.WithDefaults()
	if err := seed(db, config, true); err != nil {
		t.Fatal(err)
	}
	if err := db.Update(func(tx *store.Tx) error {
		d, err := store.Domains.Find(tx, "name", config.AppsDomain)
		if err != nil {
			return err
		}
		b, err := store.Buildpacks.Find(tx, "name", "go_buildpack")
		if err != nil {
			return err
		}
		b.SHA256, b.SystemID, b.Filename = "abc", "", "mine.zip"
		return errors.Join(store.Domains.Delete(tx, d.GUID), store.Buildpacks.Put(tx, b))
	}); err != nil {
		t.Fatal(err)
	}
	if err := seed(db, config, true); err != nil {
		t.Fatal(err)
	}
	_ = db.View(func(tx *store.Tx) error {
		if _, err := store.Domains.Find(tx, "name", config.AppsDomain); !errors.Is(err, store.ErrNotFound) {
			t.Error("a domain that was deleted came back")
		}
		if b, err := store.Buildpacks.Find(tx, "name", "go_buildpack"); err != nil || b.Filename != "mine.zip" {
			t.Errorf("an uploaded buildpack was replaced: %+v %v", b, err)
		}
		if n, _ := store.OrgQuotas.Count(tx); n != 1 {
			t.Errorf("%d default quotas", n)
		}
		return nil
	})
}
