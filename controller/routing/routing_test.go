package routing

import (
	"fmt"
	"io"
	"log/slog"
	"testing"

	"github.com/cupola-paas/cupola/router"
	"github.com/cupola-paas/cupola/store"
)

// table keeps the last table it was given.
type table struct{ router.Table }

func (t *table) SetTable(n router.Table) error { t.Table = n; return nil }

func openStore(t testing.TB) *store.DB {
	t.Helper()
	db, err := store.Open(store.Options{Dir: t.TempDir(), NoSync: true})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { db.Close() })
	return db
}

func put[T any](t testing.TB, tx *store.Tx, table *store.Table[T], rec *T) *T {
	t.Helper()
	if err := table.Put(tx, rec); err != nil {
		t.Fatal(err)
	}
	return rec
}

func TestTableJoinsRoutesWithRoutableInstances(t *testing.T) {
	db := openStore(t)
	err := db.Update(func(tx *store.Tx) error {
		public := put(t, tx, store.Domains, &store.Domain{Name: "example.com"})
		internal := put(t, tx, store.Domains, &store.Domain{Name: "apps.internal", Internal: true})
		dest := []store.Destination{{AppGUID: "app", ProcessType: "web"}}
		put(t, tx, store.Routes, &store.Route{Host: "hello", Path: "/api", DomainGUID: public.GUID, Destinations: dest})
		put(t, tx, store.Routes, &store.Route{Host: "hidden", DomainGUID: internal.GUID, Destinations: dest})
		put(t, tx, store.Routes, &store.Route{Host: "unmapped", DomainGUID: public.GUID})
		put(t, tx, store.Routes, &store.Route{DomainGUID: public.GUID, Destinations: []store.Destination{{AppGUID: "app", ProcessType: "web", Port: 9000}}})
		for i, state := range []string{store.InstanceRunning, store.InstanceRunning, store.InstanceCrashed, store.InstanceStopping} {
			put(t, tx, store.Instances, &store.Instance{
				AppGUID: "app", ProcessGUID: "p", ProcessType: "web", Index: 3 - i, State: state,
				Routable: i != 1, Address: fmt.Sprintf("10.0.0.%d", i+1), Ports: []int{8080},
			})
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	var got table
	system := router.Route{Host: "api.example.com"}
	l := &Loop{DB: db, Router: &got, System: []router.Route{system}, Log: slog.New(slog.NewTextHandler(io.Discard, nil))}
	if err := l.Step(); err != nil {
		t.Fatal(err)
	}
	want := map[string]string{"api.example.com": "", "hello.example.com": "10.0.0.1:8080", "example.com": "10.0.0.1:9000"}
	if len(got.Routes) != len(want) {
		t.Fatalf("table has %d routes, want %d: %+v", len(got.Routes), len(want), got.Routes)
	}
	for _, r := range got.Routes {
		address, ok := want[r.Host]
		switch {
		case !ok:
			t.Errorf("unexpected route %s", r.Host)
		case address == "" && len(r.Endpoints) != 0, address != "" && (len(r.Endpoints) != 1 || r.Endpoints[0].Address != address):
			t.Errorf("route %s leads to %+v, want %q", r.Host, r.Endpoints, address)
		}
	}
}

func BenchmarkStep(b *testing.B) {
	for _, n := range []int{100, 1000, 10000} {
		b.Run(fmt.Sprintf("routes=%d", n), func(b *testing.B) {
			db := openStore(b)
			if err := db.Update(func(tx *store.Tx) error {
				d := put(b, tx, store.Domains, &store.Domain{Name: "example.com"})
				for i := range n {
					app := fmt.Sprintf("app-%d", i)
					put(b, tx, store.Routes, &store.Route{Host: app, DomainGUID: d.GUID, Destinations: []store.Destination{{AppGUID: app, ProcessType: "web"}}})
					put(b, tx, store.Instances, &store.Instance{AppGUID: app, ProcessType: "web", State: store.InstanceRunning, Routable: true, Address: "10.0.0.1"})
				}
				return nil
			}); err != nil {
				b.Fatal(err)
			}
			l := &Loop{DB: db, Router: &table{}}
			b.ReportAllocs()
			for b.Loop() {
				if err := l.Step(); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}
