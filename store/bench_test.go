package store

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// benchApps is how many apps a database has in benchmarks: what design.md promises figures for.
const benchApps = 10_000

// openBench opens a database with apps in it as they are in reality. It syncs, unlike those of tests, once they are there.
func openBench(b *testing.B) (*DB, string) {
	b.Helper()
	dir := b.TempDir()
	db, err := Open(Options{Dir: dir, NoSync: true})
	if err != nil {
		b.Fatal(err)
	}
	for at := 0; at < benchApps; at += 500 {
		update(b, db, func(tx *Tx) error {
			for i := at; i < at+500; i++ {
				if err := Apps.Put(tx, benchApp(i)); err != nil {
					return err
				}
			}
			return nil
		})
	}
	if err := db.Close(); err != nil {
		b.Fatal(err)
	}
	if db, err = Open(Options{Dir: dir}); err != nil {
		b.Fatal(err)
	}
	b.Cleanup(func() { db.Close() })
	return db, dir
}

func benchApp(i int) *App {
	return &App{
		Meta: Meta{Labels: map[string]string{"team": fmt.Sprint("team", i%50)}},
		Name: fmt.Sprint("app-", i), SpaceGUID: fmt.Sprintf("22222222-2222-4222-8222-%012d", i%100), State: AppStarted,
		Lifecycle:   Lifecycle{Type: "buildpack", Buildpacks: []string{"nodejs_buildpack"}, Stack: "cupola"},
		Environment: map[string]string{"DATABASE_URL": "postgres://user:password@db.internal/app", "LOG_LEVEL": "info", "NODE_ENV": "production"},
	}
}

func BenchmarkUpdate(b *testing.B) {
	db, _ := openBench(b)
	app := benchApp(benchApps)
	b.ReportAllocs()
	for i := 0; b.Loop(); i++ {
		app.State = fmt.Sprint(i % 2)
		update(b, db, func(tx *Tx) error { return Apps.Put(tx, app) })
	}
}

func BenchmarkUpdateNoSync(b *testing.B) {
	db, _ := openBench(b)
	db.bolt.NoSync = true
	app := benchApp(benchApps)
	b.ReportAllocs()
	for i := 0; b.Loop(); i++ {
		app.State = fmt.Sprint(i % 2)
		update(b, db, func(tx *Tx) error { return Apps.Put(tx, app) })
	}
}

func BenchmarkGet(b *testing.B) {
	db, _ := openBench(b)
	app := benchApp(benchApps)
	update(b, db, func(tx *Tx) error { return Apps.Put(tx, app) })
	b.ReportAllocs()
	for b.Loop() {
		view(b, db, func(tx *Tx) error { _, err := Apps.Get(tx, app.GUID); return err })
	}
}

func BenchmarkList(b *testing.B) {
	db, _ := openBench(b)
	spaces := make([]string, 50)
	for i := range spaces {
		spaces[i] = fmt.Sprintf("22222222-2222-4222-8222-%012d", i)
	}
	for name, q := range map[string]Query[App]{
		"page=100":                {Offset: 99 * 50, Limit: 50},
		"page=100,order_by=name":  {Offset: 99 * 50, Limit: 50, OrderBy: "name"},
		"page=100,order_by=-name": {Offset: 99 * 50, Limit: 50, OrderBy: "name", Desc: true},
		"page=1":                  {Limit: 50},
		"names=one":               {Where: []Cond{By("name", "app-7777")}, Limit: 50},
		"space=one":               {Where: []Cond{By("space", spaces[0])}, Limit: 50},
		"50 spaces,page=100":      {Where: []Cond{By("space", spaces...)}, Offset: 99 * 50, Limit: 50},
	} {
		b.Run(name, func(b *testing.B) {
			b.ReportAllocs()
			for b.Loop() {
				view(b, db, func(tx *Tx) error {
					apps, total, err := Apps.List(tx, q)
					if len(apps) == 0 || total < len(apps) {
						b.Fatalf("%d apps of %d", len(apps), total)
					}
					return err
				})
			}
		})
	}
}

// BenchmarkWatch is the time from the beginning of an Update to its wake-up on another goroutine, without a disk.
func BenchmarkWatch(b *testing.B) {
	db := openTest(b, b.TempDir())
	wake := db.Watch(b.Context(), Settings.Name())
	woken := make(chan struct{})
	go func() {
		for {
			select {
			case <-b.Context().Done():
				return
			case <-wake:
				woken <- struct{}{}
			}
		}
	}()
	for b.Loop() {
		update(b, db, func(tx *Tx) error { return Settings.Put(tx, &Setting{Meta: Meta{GUID: "a"}}) })
		<-woken
	}
}

func BenchmarkOpen(b *testing.B) {
	db, dir := openBench(b)
	if err := db.Close(); err != nil {
		b.Fatal(err)
	}
	info, err := os.Stat(filepath.Join(dir, "cupola.db"))
	if err != nil {
		b.Fatal(err)
	}
	for b.Loop() {
		db, err := Open(Options{Dir: dir})
		if err != nil {
			b.Fatal(err)
		}
		if err := db.Close(); err != nil {
			b.Fatal(err)
		}
	}
	b.ReportMetric(float64(info.Size())/benchApps, "file-bytes/app")
}

func BenchmarkCheck(b *testing.B) {
	db, _ := openBench(b)
	for b.Loop() {
		if err := db.Check(); err != nil {
			b.Fatal(err)
		}
	}
}

func BenchmarkBlobPut(b *testing.B) {
	blobs, err := OpenBlobs(b.TempDir())
	if err != nil {
		b.Fatal(err)
	}
	content := strings.Repeat("x", 1<<20)
	b.SetBytes(1 << 20)
	for i := 0; b.Loop(); i++ {
		if _, _, err := blobs.Put(context.Background(), strings.NewReader(fmt.Sprint(i, content)), 0); err != nil {
			b.Fatal(err)
		}
	}
}

func BenchmarkPushImage(b *testing.B) {
	r := openTestRegistry(b)
	b.Cleanup(func() { r.Close(context.Background()) })
	for b.Loop() {
		push(b, r, "droplets/app1:latest", randomImage(b))
	}
}
