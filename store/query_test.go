package store

import (
	"fmt"
	"math/rand/v2"
	"reflect"
	"slices"
	"strings"
	"testing"
)

// putApps puts apps named a0, a1, ... in spaces s0, s1, s2 and returns them in creation order. All of ten are made at one time.
func putApps(t testing.TB, db *DB, n int) []*App {
	t.Helper()
	var apps []*App
	for len(apps) < n {
		update(t, db, func(tx *Tx) error {
			for range min(10, n-len(apps)) {
				i := len(apps)
				app := &App{Name: fmt.Sprint("a", i), SpaceGUID: fmt.Sprint("s", i%3), State: []string{AppStarted, AppStopped}[i%2]}
				if err := Apps.Put(tx, app); err != nil {
					return err
				}
				apps = append(apps, app)
			}
			return nil
		})
	}
	return apps
}

func names(apps []*App) string {
	var all []string
	for _, a := range apps {
		all = append(all, a.Name)
	}
	return strings.Join(all, " ")
}

func TestList(t *testing.T) {
	db := openTest(t, t.TempDir())
	apps := putApps(t, db, 12)
	update(t, db, func(tx *Tx) error { return Apps.Put(tx, apps[4]) }) // updated last
	tests := []struct {
		name  string
		q     Query[App]
		want  string
		total int
	}{
		{"all", Query[App]{}, "a0 a1 a2 a3 a4 a5 a6 a7 a8 a9 a10 a11", 12},
		{"page", Query[App]{Offset: 4, Limit: 3}, "a4 a5 a6", 12},
		{"last page", Query[App]{Offset: 10, Limit: 5}, "a10 a11", 12},
		{"after the last page", Query[App]{Offset: 12, Limit: 5}, "", 12},
		{"descending page", Query[App]{Desc: true, Offset: 1, Limit: 3}, "a10 a9 a8", 12},
		{"by name", Query[App]{OrderBy: "name", Limit: 4}, "a0 a1 a10 a11", 12},
		{"by name, descending", Query[App]{OrderBy: "name", Desc: true, Limit: 2}, "a9 a8", 12},
		{"by update, descending", Query[App]{OrderBy: "updated_at", Desc: true, Limit: 2}, "a4 a11", 12},
		{"by state: ties in creation order", Query[App]{OrderBy: "state", Limit: 3}, "a0 a2 a4", 12},
		{"one value", Query[App]{Where: []Cond{By("space", "s1")}}, "a1 a4 a7 a10", 4},
		{"any case", Query[App]{Where: []Cond{By("name", "A3")}}, "a3", 1},
		{"or", Query[App]{Where: []Cond{By("space", "s1", "s0", "s1")}, Limit: 3}, "a0 a1 a3", 8},
		{"and", Query[App]{Where: []Cond{By("space", "s1"), By("state", AppStarted)}}, "a4 a10", 2},
		{"and, page", Query[App]{Where: []Cond{By("space", "s1", "s2"), By("state", AppStarted)}, Offset: 1, Limit: 2}, "a4 a8", 4},
		{"no values", Query[App]{Where: []Cond{By("space")}}, "", 0},
		{"unknown value", Query[App]{Where: []Cond{By("space", "s9"), By("state", AppStarted)}}, "", 0},
		{"guids", Query[App]{Where: []Cond{By("guid", apps[7].GUID, "none", apps[2].GUID)}}, "a2 a7", 2},
		{"where, by name, descending", Query[App]{Where: []Cond{By("space", "s1")}, OrderBy: "name", Desc: true}, "a7 a4 a10 a1", 4},
		{"where, descending page", Query[App]{Where: []Cond{By("space", "s1")}, Desc: true, Limit: 2}, "a10 a7", 4},
		{"match", Query[App]{Match: func(a *App) bool { return len(a.Name) == 3 }}, "a10 a11", 2},
		{"match, page", Query[App]{Where: []Cond{By("state", AppStopped)}, Match: func(a *App) bool { return a.SpaceGUID != "s0" }, Offset: 1, Limit: 2}, "a5 a7", 4},
	}
	view(t, db, func(tx *Tx) error {
		for _, test := range tests {
			got, total, err := Apps.List(tx, test.q)
			if err != nil || names(got) != test.want || total != test.total {
				t.Errorf("%s: %q of %d, %v, want %q of %d", test.name, names(got), total, err, test.want, test.total)
			}
			if test.q.Match == nil {
				if n, err := Apps.Count(tx, test.q.Where...); n != test.total || err != nil {
					t.Errorf("%s: Count = %d, %v, want %d", test.name, n, err, test.total)
				}
			}
		}
		return nil
	})
}

func TestQueryErrors(t *testing.T) {
	db := openTest(t, t.TempDir())
	putApps(t, db, 1)
	update(t, db, func(tx *Tx) error { return Routes.Put(tx, &Route{}) })
	view(t, db, func(tx *Tx) error {
		for name, err := range map[string]error{
			"index":          second(Apps.List(tx, Query[App]{Where: []Cond{By("nmae", "x")}})),
			"order":          second(Apps.List(tx, Query[App]{OrderBy: "nmae"})),
			"order by many":  second(Routes.List(tx, Query[Route]{OrderBy: "app"})),
			"order by many ": second(Routes.List(tx, Query[Route]{OrderBy: "app", Where: []Cond{By("host", "")}})),
		} {
			if err == nil {
				t.Errorf("%s: no error", name)
			}
		}
		if _, err := Apps.Find(tx, "nmae", "x"); err == nil {
			t.Error("Find by an unknown index: no error")
		}
		return nil
	})
}

func second[T any](_ []*T, _ int, err error) error { return err }

func TestIndexes(t *testing.T) {
	db := openTest(t, t.TempDir())
	update(t, db, func(tx *Tx) error {
		puts := []error{
			Routes.Put(tx, &Route{Meta: Meta{GUID: "r1"}, Host: "Shop", Path: "/A", DomainGUID: "d", Destinations: []Destination{{AppGUID: "x"}, {AppGUID: "y"}, {AppGUID: "x"}}}),
			Routes.Put(tx, &Route{Meta: Meta{GUID: "r2"}, Host: "shop", Path: "/a", DomainGUID: "d", Port: 80}),
			Domains.Put(tx, &Domain{Meta: Meta{GUID: "d1"}, Name: "Example.com", SharedOrgGUIDs: []string{"o1", "o2"}}),
			Buildpacks.Put(tx, &Buildpack{Meta: Meta{GUID: "b1"}, Name: "go", Position: 10}),
			Buildpacks.Put(tx, &Buildpack{Meta: Meta{GUID: "b2"}, Name: "node", Position: 9}),
			SecurityGroups.Put(tx, &SecurityGroup{Meta: Meta{GUID: "g1"}, Name: "public", Running: true}),
			Settings.Put(tx, &Setting{Meta: Meta{GUID: "s\x00\x01"}}),
			Orgs.Put(tx, &Org{Meta: Meta{GUID: "o1"}, Name: "a\x00b"}),
			Orgs.Put(tx, &Org{Meta: Meta{GUID: "o2"}, Name: "a"}),
		}
		for _, err := range puts {
			if err != nil {
				return err
			}
		}
		return nil
	})
	view(t, db, func(tx *Tx) error {
		for _, test := range []struct {
			find func() (string, error)
			want string
		}{
			{found(Routes, tx, "app", "y"), "r1"},
			{found(Routes, tx, "port", "80"), "r2"},
			{found(Routes, tx, "key", "d/shop//a/80"), "r2"},
			{found(Routes, tx, "key", "d/shop//A/0"), "r1"},
			{found(Domains, tx, "name", "EXAMPLE.COM"), "d1"},
			{found(Domains, tx, "shared_org", "o2"), "d1"},
			{found(Domains, tx, "org", ""), "d1"},
			{found(SecurityGroups, tx, "running_global", "true"), "g1"},
			{found(Buildpacks, tx, "position", "9"), "b2"},
			{found(Orgs, tx, "name", "a\x00b"), "o1"},
			{found(Orgs, tx, "name", "a"), "o2"},
			{found(Settings, tx, "guid", "s\x00\x01"), "s\x00\x01"},
		} {
			if got, err := test.find(); got != test.want || err != nil {
				t.Errorf("found %q, %v, want %q", got, err, test.want)
			}
		}
		ordered, _, err := Buildpacks.List(tx, Query[Buildpack]{OrderBy: "position"})
		if err != nil || ordered[0].GUID != "b2" {
			t.Errorf("buildpacks by position begin with %v, %v, want b2 at 9 before b1 at 10", ordered[0].GUID, err)
		}
		return nil
	})
}

func found[T any](table *Table[T], tx *Tx, index, value string) func() (string, error) {
	return func() (string, error) {
		rec, err := table.Find(tx, index, value)
		if err != nil {
			return "", err
		}
		return table.meta(rec).GUID, nil
	}
}

func TestAllMayChangeTheTable(t *testing.T) {
	db := openTest(t, t.TempDir())
	apps := putApps(t, db, 600) // more than two batches
	update(t, db, func(tx *Tx) error {
		i := 0
		for app := range Apps.All(tx) {
			if app.Name != apps[i].Name {
				return fmt.Errorf("app %d is %s, want %s", i, app.Name, apps[i].Name)
			}
			if i%2 == 0 {
				if err := Apps.Delete(tx, app.GUID); err != nil {
					return err
				}
			} else if err := Apps.Put(tx, app); err != nil {
				return err
			}
			i++
		}
		if i != 600 {
			return fmt.Errorf("All gave %d apps, want 600", i)
		}
		return nil
	})
	view(t, db, func(tx *Tx) error {
		n := 0
		for range Apps.All(tx) {
			if n++; n == 5 {
				break
			}
		}
		if total, err := Apps.Count(tx); total != 300 || err != nil {
			t.Errorf("Count = %d, %v, want 300", total, err)
		}
		return nil
	})
}

// TestAgainstMap does random things to a table and to a plain map, and compares them.
func TestAgainstMap(t *testing.T) {
	db := openTest(t, t.TempDir())
	random := rand.New(rand.NewPCG(1, 2))
	model := map[string]App{}
	var order []string // guids as they were created
	for range 300 {
		update(t, db, func(tx *Tx) error {
			for range 1 + random.IntN(5) {
				if err := randomStep(tx, random, model, &order); err != nil {
					return err
				}
			}
			return nil
		})
		view(t, db, func(tx *Tx) error { return compareWithModel(tx, random, model, order) })
	}
}

func randomStep(tx *Tx, random *rand.Rand, model map[string]App, order *[]string) error {
	app := &App{Name: fmt.Sprint("n", random.IntN(20)), SpaceGUID: fmt.Sprint("s", random.IntN(3)), State: fmt.Sprint(random.IntN(2))}
	app.GUID = fmt.Sprint("g", random.IntN(40))
	old, exists := model[app.GUID]
	if random.IntN(4) == 0 {
		err := Apps.Delete(tx, app.GUID)
		if exists != (err == nil) {
			return fmt.Errorf("Delete(%s) = %v, exists %v", app.GUID, err, exists)
		}
		delete(model, app.GUID)
		*order = slices.DeleteFunc(*order, func(g string) bool { return g == app.GUID })
		return nil
	}
	taken := false
	for guid, other := range model {
		taken = taken || guid != app.GUID && other.Name == app.Name && other.SpaceGUID == app.SpaceGUID
	}
	err := Apps.Put(tx, app)
	if taken != (err != nil) {
		return fmt.Errorf("Put(%+v) = %v, taken %v", app, err, taken)
	}
	if err != nil {
		return nil
	}
	if exists && !app.CreatedAt.Equal(old.CreatedAt) {
		return fmt.Errorf("Put(%s) changed the time of creation", app.GUID)
	}
	model[app.GUID] = *app
	if !exists {
		*order = append(*order, app.GUID)
	}
	return nil
}

func compareWithModel(tx *Tx, random *rand.Rand, model map[string]App, order []string) error {
	space, desc := fmt.Sprint("s", random.IntN(3)), random.IntN(2) == 0
	var want []App
	for _, guid := range order {
		if model[guid].SpaceGUID == space {
			want = append(want, model[guid])
		}
	}
	if desc {
		slices.Reverse(want)
	}
	offset, limit := random.IntN(4), random.IntN(4)
	recs, total, err := Apps.List(tx, Query[App]{Where: []Cond{By("space", space)}, Desc: desc, Offset: offset, Limit: limit})
	if err != nil {
		return err
	}
	var got []App
	for _, r := range recs {
		got = append(got, *r)
	}
	if total != len(want) {
		return fmt.Errorf("%d apps in %s, want %d", total, space, len(want))
	}
	if want = page(want, offset, limit); len(got) != len(want) || len(got) > 0 && !reflect.DeepEqual(got, want) {
		return fmt.Errorf("apps of %s, desc %v, page %d+%d: %v, want %v", space, desc, offset, limit, got, want)
	}
	return nil
}
