package store

import (
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"
	"time"
)

// TestConditions compares lists by labels, times and turned conditions with what a loop over the records finds.
func TestConditions(t *testing.T) {
	now := time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC)
	db, err := Open(Options{Dir: t.TempDir(), NoSync: true, Clock: func() time.Time { return now }})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := db.Check(); err != nil {
			t.Error(err)
		}
		db.Close()
	})
	start := now
	rnd := rand.New(rand.NewPCG(1, 2))
	apps := putLabelled(t, db, rnd, 200, &now)
	at := func(seconds int) time.Time { return start.Add(time.Duration(seconds) * time.Second) }
	within := func(x time.Time, from, to int) bool { return !x.Before(at(from)) && x.Before(at(to)) }
	many := []string{"A003", "a000/x", "a", "\x00", "none"} // other than those of the apps, besides
	for i := range 60 {
		many = append(many, fmt.Sprintf("a%03d", i*2))
	}
	isOneOf := func(a *App) bool { return a.Name == "a003" || slices.Contains(many, a.Name) }
	conds := map[string]struct {
		cond Cond
		want func(*App) bool
	}{
		"label":           {By("label", "env"), func(a *App) bool { return a.Labels["env"] != "" }},
		"label value":     {By("label", "env=v1", "env=v2"), func(a *App) bool { return a.Labels["env"] == "v1" || a.Labels["env"] == "v2" }},
		"no label":        {NotBy("label", "env"), func(a *App) bool { return a.Labels["env"] == "" }},
		"other label":     {NotBy("label", "env=v1"), func(a *App) bool { return a.Labels["env"] != "v1" }},
		"space":           {By("space", "s1", "s2"), func(a *App) bool { return a.SpaceGUID != "s0" }},
		"space twice":     {By("space", "s1", "s1", "s2"), func(a *App) bool { return a.SpaceGUID != "s0" }},
		"name twice":      {By("name", "a001", "A001", "a002"), func(a *App) bool { return a.Name == "a001" || a.Name == "a002" }},
		"many names":      {By("name", many...), isOneOf},
		"not many names":  {NotBy("name", many...), func(a *App) bool { return !isOneOf(a) }},
		"many labels":     {By("label", append(many, "env=v1", "x")...), func(a *App) bool { return a.Labels["x"] != "" }},
		"not space":       {NotBy("space", "s1"), func(a *App) bool { return a.SpaceGUID != "s1" }},
		"made":            {During("created_at", TimeRange{at(3), at(11)}), func(a *App) bool { return within(a.CreatedAt, 3, 11) }},
		"made since":      {During("created_at", TimeRange{From: at(7)}), func(a *App) bool { return !a.CreatedAt.Before(at(7)) }},
		"made until":      {During("created_at", TimeRange{To: at(7)}), func(a *App) bool { return a.CreatedAt.Before(at(7)) }},
		"made in either":  {During("created_at", TimeRange{at(8), at(12)}, TimeRange{at(2), at(9)}), func(a *App) bool { return within(a.CreatedAt, 2, 12) }},
		"changed":         {During("updated_at", TimeRange{at(21), at(24)}), func(a *App) bool { return within(a.UpdatedAt, 21, 24) }},
		"changed until":   {During("updated_at", TimeRange{To: at(21)}), func(a *App) bool { return a.UpdatedAt.Before(at(21)) }},
		"never":           {During("created_at", TimeRange{at(9), at(9)}), func(*App) bool { return false }},
		"no span":         {Cond{Index: "created_at", Times: []TimeRange{}}, func(*App) bool { return false }},
		"nobody excluded": {NotBy("space"), func(*App) bool { return true }},
	}
	for first, a := range conds {
		for second, b := range conds {
			for _, desc := range []bool{false, true} {
				for _, order := range []string{"", "updated_at", "name"} {
					q := Query[App]{Where: []Cond{a.cond, b.cond}, Desc: desc, OrderBy: order, Offset: 3, Limit: 7}
					if first == second {
						q.Where = q.Where[:1]
					}
					all := slices.DeleteFunc(slices.Clone(apps), func(x *App) bool { return !a.want(x) || !b.want(x) })
					checkList(t, db, fmt.Sprintf("%s and %s by %q, descending %t", first, second, order, desc), q, all)
				}
			}
		}
	}
}

// putLabelled puts n apps at rising times and changes some of them later.
func putLabelled(t *testing.T, db *DB, rnd *rand.Rand, n int, now *time.Time) []*App {
	t.Helper()
	var apps []*App
	for i := range n {
		app := &App{Name: fmt.Sprintf("a%03d", (i*37)%n), SpaceGUID: fmt.Sprint("s", i%3)}
		if v := rnd.IntN(4); v > 0 {
			app.Labels = map[string]string{"env": fmt.Sprint("v", v), "x": "y"}
		}
		update(t, db, func(tx *Tx) error { return Apps.Put(tx, app) })
		apps = append(apps, app)
		if i%10 == 9 {
			*now = now.Add(time.Second)
		}
	}
	for range n / 2 {
		app := apps[rnd.IntN(n)]
		if rnd.IntN(3) == 0 {
			app.Labels = nil
		}
		*now = now.Add(100 * time.Millisecond)
		update(t, db, func(tx *Tx) error { return Apps.Put(tx, app) })
	}
	return apps
}

// checkList compares a page with the same page of wanted, given in creation order.
func checkList(t *testing.T, db *DB, name string, q Query[App], wanted []*App) {
	t.Helper()
	slices.SortStableFunc(wanted, func(a, b *App) int {
		switch q.OrderBy {
		case "updated_at":
			return a.UpdatedAt.Compare(b.UpdatedAt)
		case "name":
			return strings.Compare(a.Name, b.Name)
		}
		return 0
	})
	if q.Desc {
		slices.Reverse(wanted)
	}
	view(t, db, func(tx *Tx) error {
		got, total, err := Apps.List(tx, q)
		if err != nil {
			return err
		}
		if want := page(wanted, q.Offset, q.Limit); names(got) != names(want) || total != len(wanted) {
			t.Errorf("%s: %q of %d, want %q of %d", name, names(got), total, names(want), len(wanted))
		}
		return nil
	})
}

func TestGUIDsAndValues(t *testing.T) {
	db := openTest(t, t.TempDir())
	apps := putApps(t, db, 12)
	view(t, db, func(tx *Tx) error {
		guids, err := Apps.GUIDs(tx, By("space", "s1"))
		if want := []string{apps[1].GUID, apps[4].GUID, apps[7].GUID, apps[10].GUID}; !slices.Equal(guids, want) || err != nil {
			t.Errorf("GUIDs = %v, %v, want %v", guids, err, want)
		}
		for prefix, want := range map[string]string{"": "s0 s1 s2", "s1": "s1", "x": ""} {
			if got, err := Apps.Values(tx, "space", prefix); strings.Join(got, " ") != want || err != nil {
				t.Errorf("values from %q = %v, %v, want %q", prefix, got, err, want)
			}
		}
		if _, err := Apps.Values(tx, "no-such-index", ""); err == nil {
			t.Error("an index that is not there has values")
		}
		_, _, err = Apps.List(tx, Query[App]{Where: []Cond{During("name", TimeRange{})}})
		if err == nil {
			t.Error("names were taken for times")
		}
		return nil
	})
}
