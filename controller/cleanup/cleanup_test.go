package cleanup

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"testing"
	"time"

	"github.com/cupola-paas/cupola/store"
)

// asked collects what Collect and RemoveImages are asked to keep.
type asked struct {
	image  func(repository, digest string) bool
	blob   func(sha256 string) bool
	pulled func(ref string) bool
	app    func(guid string) bool
	before time.Time
}

func (a *asked) Collect(_ context.Context, keep func(repository, digest string) bool, before time.Time) (int64, error) {
	a.image, a.before = keep, before
	return 1, nil
}
func (a *asked) RemoveImages(_ context.Context, keep func(ref string) bool) (int64, error) {
	a.pulled = keep
	return 3, nil
}
func (a *asked) Sweep(keep func(string) bool) error { a.app = keep; return nil }

type blobs struct{ *asked }

func (b blobs) Collect(keep func(string) bool, _ time.Time) (int64, error) {
	b.blob = keep
	return 2, nil
}

// world is a platform with one app of eight droplets, made an hour apart, of which the oldest is current and
// the second oldest is run by a process.
func world(t *testing.T) (*store.DB, *store.App, []*store.Droplet) {
	t.Helper()
	now := time.Now().Add(-20 * time.Hour)
	db, err := store.Open(store.Options{Dir: t.TempDir(), NoSync: true, Clock: func() time.Time { return now }})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { db.Close() })
	app := &store.App{Name: "hello", SpaceGUID: "space", State: store.AppStarted}
	var droplets []*store.Droplet
	for n := range 8 {
		now = now.Add(time.Hour)
		err := db.Update(func(tx *store.Tx) error {
			p := &store.Package{AppGUID: app.GUID, State: store.StateReady, SHA256: fmt.Sprintf("blob-%d", n)}
			if n == 0 {
				if err := store.Apps.Put(tx, app); err != nil {
					return err
				}
				p.AppGUID = app.GUID
			}
			if err := store.Packages.Put(tx, p); err != nil {
				return err
			}
			d := &store.Droplet{AppGUID: app.GUID, PackageGUID: p.GUID, State: store.StateStaged, Repository: "droplets/x", ImageDigest: fmt.Sprintf("sha256:%d", n)}
			droplets = append(droplets, d)
			return store.Droplets.Put(tx, d)
		})
		if err != nil {
			t.Fatal(err)
		}
	}
	now = time.Now()
	app.CurrentDropletGUID = droplets[0].GUID
	err = db.Update(func(tx *store.Tx) error {
		return errors.Join(
			store.Apps.Put(tx, app),
			store.Processes.Put(tx, &store.Process{AppGUID: app.GUID, Type: "web", DropletGUID: droplets[1].GUID}),
			store.Stacks.Put(tx, &store.Stack{Name: "s", BuildImage: "host/stacks/s/build@sha256:b", RunImage: "host/stacks/s/run@sha256:r"}))
	})
	if err != nil {
		t.Fatal(err)
	}
	return db, app, droplets
}

func TestKeepsWhatIsReferredTo(t *testing.T) {
	db, app, droplets := world(t)
	a := &asked{}
	l := &Loop{DB: db, Images: a, Blobs: blobs{a}, Engine: a, Apps: []AppData{a}, Log: slog.New(slog.NewTextHandler(io.Discard, nil))}
	if freed, err := l.Step(t.Context()); err != nil || freed != (Freed{Images: 1, Blobs: 2, Pulled: 3}) || freed.Sum() != 6 {
		t.Fatalf("freed %+v: %v", freed, err)
	}
	kept := map[int]bool{0: true, 1: true, 3: true, 4: true, 5: true, 6: true, 7: true} // current, run, the last five
	for n, d := range droplets {
		err := db.View(func(tx *store.Tx) error { _, err := store.Droplets.Get(tx, d.GUID); return err })
		if kept[n] != (err == nil) {
			t.Errorf("droplet %d: %v, want kept=%t", n, err, kept[n])
		}
		if got := a.image("droplets/x", d.ImageDigest); got != kept[n] {
			t.Errorf("image of droplet %d kept=%t, want %t", n, got, kept[n])
		}
		if got := a.pulled("host/droplets/x@" + d.ImageDigest); got != kept[n] {
			t.Errorf("pulled image of droplet %d kept=%t, want %t", n, got, kept[n])
		}
		if got := a.blob(fmt.Sprintf("blob-%d", n)); got != kept[n] {
			t.Errorf("bits of package %d kept=%t, want %t", n, got, kept[n])
		}
	}
	if !a.image("stacks/s/run", "sha256:r") || !a.image("stacks/s/build", "sha256:b") {
		t.Error("a stack's image was not kept")
	}
	if !a.app(app.GUID) || a.app("gone") {
		t.Error("data of apps: want the living kept and the deleted not")
	}
	if age := time.Since(a.before); age < youth-time.Minute || age > youth+time.Minute {
		t.Errorf("images younger than %v may be taken, want an hour", age)
	}
}

func TestDropsOldEventsJobsAndTokens(t *testing.T) {
	now := time.Now().Add(-40 * 24 * time.Hour)
	db, err := store.Open(store.Options{Dir: t.TempDir(), NoSync: true, Clock: func() time.Time { return now }})
	if err != nil {
		t.Fatal(err)
	}
	defer db.Close()
	add := func(name string) {
		if err := db.Update(func(tx *store.Tx) error {
			return errors.Join(
				store.AuditEvents.Put(tx, &store.AuditEvent{Type: name}), store.Jobs.Put(tx, &store.Job{Operation: name}),
				store.RefreshTokens.Put(tx, &store.RefreshToken{ClientID: name, ExpiresAt: tx.Now.Add(time.Hour)}))
		}); err != nil {
			t.Fatal(err)
		}
	}
	add("old")
	now = time.Now()
	add("new")
	if err := db.Update(dropRecords); err != nil {
		t.Fatal(err)
	}
	_ = db.View(func(tx *store.Tx) error {
		for e := range store.AuditEvents.All(tx) {
			if e.Type == "old" {
				t.Error("an event of 40 days ago is left")
			}
		}
		events, _ := store.AuditEvents.Count(tx)
		jobs, _ := store.Jobs.Count(tx)
		tokens, _ := store.RefreshTokens.Count(tx)
		if events != 1 || jobs != 1 || tokens != 1 {
			t.Errorf("left: %d events, %d jobs, %d tokens, want the new ones alone", events, jobs, tokens)
		}
		return nil
	})
}
