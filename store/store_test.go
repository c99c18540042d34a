package store

import (
	"errors"
	"os"
	"path/filepath"
	"reflect"
	"strings"
	"sync/atomic"
	"testing"
	"time"
)

// testClock is a clock that goes on by a millisecond with each look at it.
type testClock struct{ ms atomic.Int64 }

func (c *testClock) Now() time.Time {
	return time.Date(2026, 5, 1, 12, 0, 0, 0, time.UTC).Add(time.Duration(c.ms.Add(1)) * time.Millisecond)
}

// openTest opens a database in dir that is checked and closed at the end of the test.
func openTest(t testing.TB, dir string) *DB {
	t.Helper()
	db, err := Open(Options{Dir: dir, Clock: new(testClock).Now, NoSync: true})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := db.Check(); err != nil {
			t.Errorf("Check: %v", err)
		}
		if err := db.Close(); err != nil {
			t.Errorf("Close: %v", err)
		}
	})
	return db
}

func update(t testing.TB, db *DB, fn func(*Tx) error) {
	t.Helper()
	if err := db.Update(fn); err != nil {
		t.Fatal(err)
	}
}

func view(t testing.TB, db *DB, fn func(*Tx) error) {
	t.Helper()
	if err := db.View(fn); err != nil {
		t.Fatal(err)
	}
}

func TestPutFillsInMeta(t *testing.T) {
	db := openTest(t, t.TempDir())
	app := &App{Name: "Dora", SpaceGUID: "s1", Meta: Meta{Labels: map[string]string{"a": "b"}}}
	var first, second time.Time
	update(t, db, func(tx *Tx) error { first = tx.Now; return Apps.Put(tx, app) })
	if len(app.GUID) != 36 || !app.CreatedAt.Equal(first) || !app.UpdatedAt.Equal(first) {
		t.Fatalf("after the first Put: %+v, want a GUID and both times %v", app.Meta, first)
	}
	stored := *app
	stored.CreatedAt = time.Time{} // a handler that builds the record anew
	stored.State = AppStarted
	update(t, db, func(tx *Tx) error { second = tx.Now; return Apps.Put(tx, &stored) })
	view(t, db, func(tx *Tx) error {
		got, err := Apps.Get(tx, app.GUID)
		if err != nil {
			return err
		}
		if !got.CreatedAt.Equal(first) || !got.UpdatedAt.Equal(second) || !reflect.DeepEqual(*got, stored) {
			t.Errorf("Get = %+v, want %+v, created %v, updated %v", *got, stored, first, second)
		}
		return nil
	})
}

func TestNotFound(t *testing.T) {
	db := openTest(t, t.TempDir())
	for name, fn := range map[string]func(*Tx) error{
		"Get":          func(tx *Tx) error { _, err := Apps.Get(tx, "none"); return err },
		"Find":         func(tx *Tx) error { _, err := Apps.Find(tx, "name", "none"); return err },
		"Find by guid": func(tx *Tx) error { _, err := Apps.Find(tx, "guid", "none"); return err },
		"Delete":       func(tx *Tx) error { return Apps.Delete(tx, "none") },
	} {
		if err := db.Update(fn); !errors.Is(err, ErrNotFound) || !strings.Contains(err.Error(), "apps") {
			t.Errorf("%s = %v, want ErrNotFound naming the table", name, err)
		}
	}
}

func TestUniqueIndex(t *testing.T) {
	db := openTest(t, t.TempDir())
	a := &App{Name: "dora", SpaceGUID: "s1"}
	update(t, db, func(tx *Tx) error { return Apps.Put(tx, a) })
	err := db.Update(func(tx *Tx) error { return Apps.Put(tx, &App{Name: "DORA", SpaceGUID: "s1"}) })
	var conflict *ConflictError
	if !errors.As(err, &conflict) || *conflict != (ConflictError{"apps", "space_name", "s1/DORA"}) {
		t.Fatalf("second app of the name: %v, want a ConflictError of space_name", err)
	}
	update(t, db, func(tx *Tx) error { return Apps.Put(tx, &App{Name: "dora", SpaceGUID: "s2"}) })
	a.Name = "Dora" // its own value in another case is no conflict
	update(t, db, func(tx *Tx) error { return Apps.Put(tx, a) })
	update(t, db, func(tx *Tx) error { return Apps.Delete(tx, a.GUID) })
	update(t, db, func(tx *Tx) error { return Apps.Put(tx, &App{Name: "dora", SpaceGUID: "s1"}) })
}

func TestReopen(t *testing.T) {
	dir := t.TempDir()
	db, err := Open(Options{Dir: dir})
	if err != nil {
		t.Fatal(err)
	}
	update(t, db, func(tx *Tx) error { return Settings.Put(tx, &Setting{Meta: Meta{GUID: "k"}, Value: []byte("v")}) })
	if _, err := Open(Options{Dir: dir}); !errors.Is(err, ErrLocked) {
		t.Errorf("second Open = %v, want ErrLocked", err)
	}
	if err := db.Close(); err != nil {
		t.Fatal(err)
	}
	view(t, openTest(t, dir), func(tx *Tx) error {
		s, err := Settings.Get(tx, "k")
		if err == nil && string(s.Value) != "v" {
			t.Errorf("value = %q after reopening, want v", s.Value)
		}
		return err
	})
}

func TestKeyFile(t *testing.T) {
	dir := t.TempDir()
	openTest(t, dir)
	key := filepath.Join(dir, "keys", "store.key")
	for path, want := range map[string]os.FileMode{filepath.Dir(key): 0o700, key: 0o600, filepath.Join(dir, "cupola.db"): 0o600} {
		info, err := os.Stat(path)
		if err != nil {
			t.Fatal(err)
		}
		if info.Mode().Perm() != want {
			t.Errorf("mode of %s = %v, want %v", path, info.Mode().Perm(), want)
		}
	}
}

func TestOpenWithAnotherKey(t *testing.T) {
	tests := []struct {
		name   string
		damage func(key string) error
		want   string
	}{
		{"missing", os.Remove, "is missing"},
		{"short", func(key string) error { return os.WriteFile(key, []byte("x"), 0o600) }, "has 1 bytes instead of 32"},
		{"wrong", func(key string) error { return os.WriteFile(key, make([]byte, 32), 0o600) }, "is not the one"},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			dir := t.TempDir()
			db, err := Open(Options{Dir: dir})
			if err != nil {
				t.Fatal(err)
			}
			if err := db.Close(); err != nil {
				t.Fatal(err)
			}
			if err := test.damage(filepath.Join(dir, "keys", "store.key")); err != nil {
				t.Fatal(err)
			}
			if _, err := Open(Options{Dir: dir}); err == nil || !strings.Contains(err.Error(), test.want) {
				t.Errorf("Open = %v, want an error with %q", err, test.want)
			}
		})
	}
}

func TestNothingSecretInTheFile(t *testing.T) {
	dir := t.TempDir()
	db := openTest(t, dir)
	update(t, db, func(tx *Tx) error {
		return Apps.Put(tx, &App{Name: "dora", SpaceGUID: "s", Environment: map[string]string{"PASSWORD": "hunter2-hunter2"}})
	})
	raw, err := os.ReadFile(filepath.Join(dir, "cupola.db"))
	if err != nil {
		t.Fatal(err)
	}
	for _, s := range []string{"hunter2", "PASSWORD"} {
		if strings.Contains(string(raw), s) {
			t.Errorf("the database file contains %q", s)
		}
	}
}
