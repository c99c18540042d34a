package routing

import (
	"fmt"
	"io"
	"log/slog"
	"testing"

	"github.com/cupola-paas/cupola/router"
	"github.com/cupola-paas/cupola/store"
)

// table is a router that only keeps what it is given, by name.
type table struct {
	routes  map[router.Name]router.Route
	changes int // calls of Change
}

func (t *table) SetTable(n router.Table) error {
	t.routes = map[router.Name]router.Route{}
	for _, r := range n.Routes {
		if _, twice := t.routes[r.Name()]; twice {
			return fmt.Errorf("%s is there twice", r.Name())
		}
		t.routes[r.Name()] = r
	}
	return nil
}

func (t *table) Change(c router.Change) error {
	t.changes++
	for _, n := range c.Remove {
		delete(t.routes, n)
	}
	for _, r := range c.Set {
		t.routes[r.Name()] = r
	}
	return nil
}

func newLoop(db *store.DB, to Tables, system ...router.Route) *Loop {
	return &Loop{DB: db, Router: to, System: system, Log: slog.New(slog.NewTextHandler(io.Discard, nil))}
}

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
	l := newLoop(db, &got, system)
	if err := l.Step(); err != nil {
		t.Fatal(err)
	}
	want := map[string]string{"api.example.com": "", "hello.example.com": "10.0.0.1:8080", "example.com": "10.0.0.1:9000"}
	if len(got.routes) != len(want) {
		t.Fatalf("table has %d routes, want %d: %+v", len(got.routes), len(want), got.routes)
	}
	for _, r := range got.routes {
		address, ok := want[r.Host]
		switch {
		case !ok:
			t.Errorf("unexpected route %s", r.Host)
		case address == "" && len(r.Endpoints) != 0, address != "" && (len(r.Endpoints) != 1 || r.Endpoints[0].Address != address):
			t.Errorf("route %s leads to %+v, want %q", r.Host, r.Endpoints, address)
		}
	}
}

// platformOf fills a store with n routes, one app each, and half as many instances again. It does so in many small
// transactions: one large one takes time by the square of its size.
func platformOf(b *testing.B, n int) *store.DB {
	db := openStore(b)
	domain := &store.Domain{Name: "example.com"}
	if err := db.Update(func(tx *store.Tx) error { return store.Domains.Put(tx, domain) }); err != nil {
		b.Fatal(err)
	}
	for from := 0; from < n; from += 200 {
		err := db.Update(func(tx *store.Tx) error {
			for i := from; i < min(from+200, n); i++ {
				app := fmt.Sprintf("app-%d", i)
				put(b, tx, store.Routes, &store.Route{Meta: store.Meta{GUID: fmt.Sprintf("route-%d", i)}, Host: app, DomainGUID: domain.GUID, Destinations: []store.Destination{{AppGUID: app, ProcessType: "web"}}})
				for k := range 1 + i%2 {
					put(b, tx, store.Instances, &store.Instance{Meta: store.Meta{GUID: fmt.Sprintf("instance-%d-%d", i, k)}, AppGUID: app, ProcessType: "web", Index: k, State: store.InstanceRunning, Routable: true, Address: "10.0.0.1"})
				}
			}
			return nil
		})
		if err != nil {
			b.Fatal(err)
		}
	}
	return db
}

func realRouter(b *testing.B) *router.Router {
	r, err := router.New(router.Options{HTTPAddr: "127.0.0.1:0", Logger: slog.New(slog.NewTextHandler(io.Discard, nil))})
	if err != nil {
		b.Fatal(err)
	}
	return r
}

// BenchmarkStart is the first pass over everything, the router's part included.
func BenchmarkStart(b *testing.B) {
	for _, n := range []int{200, 2000, 20000} {
		b.Run(fmt.Sprintf("routes=%d", n), func(b *testing.B) {
			db := platformOf(b, n)
			b.ReportAllocs()
			for b.Loop() {
				if err := newLoop(db, realRouter(b)).Step(); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}

// BenchmarkResync is a pass over everything that finds nothing new.
func BenchmarkResync(b *testing.B) {
	for _, n := range []int{200, 2000, 20000} {
		b.Run(fmt.Sprintf("routes=%d", n), func(b *testing.B) {
			l := newLoop(platformOf(b, n), realRouter(b))
			b.ReportAllocs()
			for b.Loop() {
				if err := l.Step(); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}

// BenchmarkOneChange is one instance that comes or goes among all others, the router's part included.
func BenchmarkOneChange(b *testing.B) {
	for _, n := range []int{200, 2000, 20000} {
		b.Run(fmt.Sprintf("routes=%d", n), func(b *testing.B) {
			db := platformOf(b, n)
			l := newLoop(db, realRouter(b))
			if err := l.Step(); err != nil {
				b.Fatal(err)
			}
			feed := db.Follow(b.Context(), store.Routes.Name(), store.Domains.Name(), store.Instances.Name())
			b.ReportAllocs()
			for i := 0; b.Loop(); i++ {
				b.StopTimer()
				err := db.Update(func(tx *store.Tx) error {
					rec, err := store.Instances.Get(tx, fmt.Sprintf("instance-%d-0", i%n))
					if err != nil {
						return err
					}
					rec.Routable = !rec.Routable
					return store.Instances.Put(tx, rec)
				})
				if err != nil {
					b.Fatal(err)
				}
				b.StartTimer()
				if err := l.follow(feed.Take()); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}
