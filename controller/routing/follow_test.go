package routing

import (
	"context"
	"fmt"
	"maps"
	"math/rand/v2"
	"slices"
	"testing"

	"github.com/cupola-paas/cupola/router"
	"github.com/cupola-paas/cupola/store"
)

// TestFollowingEqualsLookingAtAll changes a store at random and compares, after each change, what following the changes
// made of it with what a fresh pass over everything makes.
func TestFollowingEqualsLookingAtAll(t *testing.T) {
	for seed := range uint64(4) {
		t.Run(fmt.Sprint("seed ", seed), func(t *testing.T) { followAtRandom(t, rand.New(rand.NewPCG(seed, 7))) })
	}
}

func followAtRandom(t *testing.T, random *rand.Rand) {
	db := openStore(t)
	c := &changer{t: t, r: random}
	update(t, db, c.domains)
	system := router.Route{Host: "api.example.com"}
	var followed table
	l := newLoop(db, &followed, system)
	feed := db.Follow(t.Context(), store.Routes.Name(), store.Domains.Name(), store.Instances.Name())
	if err := l.Step(); err != nil {
		t.Fatal(err)
	}
	for step := range 300 {
		update(t, db, c.change)
		if random.IntN(3) == 0 {
			continue // several changes as one
		}
		if err := l.follow(feed.Take()); err != nil {
			t.Fatal(err)
		}
		var fresh table
		if err := newLoop(db, &fresh, system).Step(); err != nil {
			t.Fatal(err)
		}
		if !maps.EqualFunc(followed.routes, fresh.routes, func(a, b router.Route) bool { return same(&a, &b) }) {
			t.Fatalf("step %d: following gives %v, looking at all gives %v", step, followed.routes, fresh.routes)
		}
	}
	if followed.changes == 0 {
		t.Error("the router was never told of a change")
	}
}

// changer makes changes as the API and the scheduler do.
type changer struct {
	t      *testing.T
	r      *rand.Rand
	domain []string
}

func (c *changer) domains(tx *store.Tx) error {
	for _, d := range []*store.Domain{{Name: "example.com"}, {Name: "h1.example.com"}, {Name: "tcp.example.com", RouterGroupGUID: "g"}, {Name: "apps.internal", Internal: true}} {
		c.domain = append(c.domain, put(c.t, tx, store.Domains, d).GUID)
	}
	return nil
}

func (c *changer) change(tx *store.Tx) error {
	switch c.r.IntN(8) {
	case 0, 1:
		return c.route(tx)
	case 2:
		return deleteAny(tx, c.r, store.Routes)
	case 3:
		return deleteAny(tx, c.r, store.Instances)
	case 4:
		d, err := store.Domains.Get(tx, c.domain[0])
		if err == nil {
			d.Name = []string{"example.com", "example.org"}[c.r.IntN(2)]
			err = store.Domains.Put(tx, d)
		}
		return err
	}
	i := &store.Instance{AppGUID: c.app(), ProcessType: "web", State: store.InstanceRunning, Routable: c.r.IntN(4) > 0, Address: "10.0.0.1", Index: c.r.IntN(4)}
	if all := records(tx, store.Instances); len(all) > 10 || c.r.IntN(2) == 0 && len(all) > 0 {
		i.GUID = all[c.r.IntN(len(all))].GUID
	}
	return store.Instances.Put(tx, i)
}

func (c *changer) app() string { return fmt.Sprint("app", c.r.IntN(4)) }

func (c *changer) route(tx *store.Tx) error {
	r := &store.Route{Host: []string{"", "h1", "h2", "api", "*"}[c.r.IntN(5)], DomainGUID: c.domain[c.r.IntN(len(c.domain))]}
	if r.DomainGUID == c.domain[2] {
		r.Host, r.Port = "", 1024+c.r.IntN(3)
	}
	if all := records(tx, store.Routes); c.r.IntN(2) == 0 && len(all) > 0 {
		r = all[c.r.IntN(len(all))]
	}
	r.Destinations = nil
	for range c.r.IntN(3) {
		weight := 1 + c.r.IntN(50)
		r.Destinations = append(r.Destinations, store.Destination{AppGUID: c.app(), ProcessType: "web", Weight: &weight})
	}
	err := store.Routes.Put(tx, r)
	if _, conflict := err.(*store.ConflictError); conflict {
		return nil
	}
	return err
}

func records[T any](tx *store.Tx, table *store.Table[T]) []*T { return slices.Collect(table.All(tx)) }

func deleteAny[T any](tx *store.Tx, r *rand.Rand, table *store.Table[T]) error {
	all := records(tx, table)
	if len(all) == 0 {
		return nil
	}
	switch rec := any(all[r.IntN(len(all))]).(type) {
	case *store.Route:
		return table.Delete(tx, rec.GUID)
	case *store.Instance:
		return table.Delete(tx, rec.GUID)
	}
	return nil
}

func update(t *testing.T, db *store.DB, fn func(*store.Tx) error) {
	t.Helper()
	if err := db.Update(fn); err != nil {
		t.Fatal(err)
	}
}

// TestRunFollows waits for the router to hear of a change that is made while the loop runs.
func TestRunFollows(t *testing.T) {
	db := openStore(t)
	c := &changer{t: t}
	update(t, db, c.domains)
	told := make(chan router.Change, 8)
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan error, 1)
	go func() { done <- newLoop(db, telling(told)).Run(ctx) }()
	<-told // the table of the start
	update(t, db, func(tx *store.Tx) error {
		put(t, tx, store.Instances, &store.Instance{AppGUID: "a", ProcessType: "web", State: store.InstanceRunning, Routable: true, Address: "10.0.0.9", Ports: []int{8080}})
		put(t, tx, store.Routes, &store.Route{Port: 1024, DomainGUID: c.domain[2], Destinations: []store.Destination{{AppGUID: "a", ProcessType: "web", Port: 7000}}})
		return nil
	})
	got := <-told
	if len(got.Set) != 1 || got.Set[0].Port != 1024 || len(got.Set[0].Endpoints) != 1 || got.Set[0].Endpoints[0].Address != "10.0.0.9:7000" {
		t.Errorf("the router was told %+v", got)
	}
	cancel()
	if err := <-done; err != nil {
		t.Error(err)
	}
}

type telling chan router.Change

func (t telling) SetTable(router.Table) error  { t <- router.Change{}; return nil }
func (t telling) Change(c router.Change) error { t <- c; return nil }

func TestWeightsAreSharedByInstances(t *testing.T) {
	db := openStore(t)
	nine, one := 90, 10
	update(t, db, func(tx *store.Tx) error {
		d := put(t, tx, store.Domains, &store.Domain{Name: "example.com"})
		put(t, tx, store.Routes, &store.Route{Host: "w", DomainGUID: d.GUID, Destinations: []store.Destination{
			{AppGUID: "a", ProcessType: "web", Weight: &nine}, {AppGUID: "b", ProcessType: "web", Weight: &one},
		}})
		for n, app := range []string{"a", "b", "b"} {
			put(t, tx, store.Instances, &store.Instance{AppGUID: app, ProcessType: "web", Index: n, State: store.InstanceRunning, Routable: true, Address: "10.0.0.1"})
		}
		return nil
	})
	var got table
	if err := newLoop(db, &got).Step(); err != nil {
		t.Fatal(err)
	}
	sum := map[string]int{}
	for _, e := range got.routes[router.Name{Host: "w.example.com"}].Endpoints {
		sum[e.AppGUID] += e.Weight
	}
	if sum["a"] != 9*sum["b"] {
		t.Errorf("one instance of a and two of b share by %v, want nine to one", sum)
	}
}
