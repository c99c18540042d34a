package stack

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"reflect"
	"strings"
	"testing"
	"time"

	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/validate"
	"golang.org/x/sys/unix"
)

// prepared puts a small stack into a cache as prepareLocked does.
func prepared(t *testing.T, cache string, rec recipe, content string) *Stack {
	t.Helper()
	work, err := os.MkdirTemp(cache, tempPrefix)
	if err != nil {
		t.Fatal(err)
	}
	defer os.RemoveAll(work)
	pkgs := []Package{{"bash", content}}
	base, err := writeLayer(context.Background(), filepath.Join(work, "a.gz"), entries(t, tree(t, map[string]string{"run": content})), time.Now())
	if err != nil {
		t.Fatal(err)
	}
	more, err := writeLayer(context.Background(), filepath.Join(work, "b.gz"), entries(t, tree(t, map[string]string{"build": content})), time.Now())
	if err != nil {
		t.Fatal(err)
	}
	for kind, layers := range map[string][]v1.Layer{"run": {base}} {
		img, err := assemble(testRelease, kind, pkgs, layers)
		if err != nil {
			t.Fatal(err)
		}
		if err := writeLayout(filepath.Join(work, "out", kind), img, nil); err != nil {
			t.Fatal(err)
		}
	}
	img, err := assemble(testRelease, "build", pkgs, []v1.Layer{base, more})
	if err != nil {
		t.Fatal(err)
	}
	if err := writeLayout(filepath.Join(work, "out", "build"), img, base); err != nil {
		t.Fatal(err)
	}
	m := metadata{ID: testRelease.stackID(), Version: rec.version(pkgs), Packages: pkgs, Created: time.Now()}
	if err := publish(cache, rec, filepath.Join(work, "out"), m); err != nil {
		t.Fatal(err)
	}
	s, err := load(cache, rec)
	if err != nil {
		t.Fatal(err)
	}
	return s
}

func TestPrepareTakesWhatTheCacheHas(t *testing.T) {
	cache := t.TempDir()
	want := prepared(t, cache, recipeFor(DefaultSuite), "1")
	got, err := Prepare(context.Background(), Options{CacheDir: cache})
	if err != nil {
		t.Fatal(err)
	}
	if got.Version != want.Version || got.ID != "cupola-13" || len(got.Packages) != 1 {
		t.Errorf("got %s %s with %v", got.ID, got.Version, got.Packages)
	}
	for _, img := range []v1.Image{got.Run, got.Build} {
		if err := validate.Image(img); err != nil {
			t.Error(err)
		}
	}
}

func TestBuildImageSharesTheRunImagesLayer(t *testing.T) {
	s := prepared(t, t.TempDir(), recipeFor("x"), "1")
	run, err := s.Run.Layers()
	if err != nil {
		t.Fatal(err)
	}
	build, err := s.Build.Layers()
	if err != nil {
		t.Fatal(err)
	}
	a, _ := run[0].Digest()
	b, _ := build[0].Digest()
	if len(run) != 1 || len(build) != 2 || a != b {
		t.Fatalf("run has %d layers from %s, build %d from %s", len(run), a, len(build), b)
	}
	var files []os.FileInfo
	for _, p := range []string{s.RunPath, s.BuildPath} {
		st, err := os.Stat(filepath.Join(p, "blobs", "sha256", a.Hex))
		if err != nil {
			t.Fatal(err)
		}
		files = append(files, st)
	}
	if !os.SameFile(files[0], files[1]) {
		t.Error("the shared layer is on the disk twice")
	}
}

func TestPublishKeepsTheStackBefore(t *testing.T) {
	cache, rec := t.TempDir(), recipeFor("x")
	var all []*Stack
	for i := range 3 {
		all = append(all, prepared(t, cache, rec, fmt.Sprint(i)))
	}
	for i, want := range []bool{false, true, true} {
		_, err := os.Stat(all[i].RunPath)
		if (err == nil) != want {
			t.Errorf("stack %d: %v, want it to be there: %v", i, err, want)
		}
	}
	if s, err := load(cache, rec); err != nil || s.Version != all[2].Version {
		t.Errorf("the newest is %v, %v", s, err)
	}
}

func TestDamagedCacheIsNotTaken(t *testing.T) {
	cache, rec := t.TempDir(), recipeFor("x")
	s := prepared(t, cache, rec, "1")
	layers, err := s.Run.Layers()
	if err != nil {
		t.Fatal(err)
	}
	d, err := layers[0].Digest()
	if err != nil {
		t.Fatal(err)
	}
	if err := os.Truncate(filepath.Join(s.RunPath, "blobs", "sha256", d.Hex), 10); err != nil {
		t.Fatal(err)
	}
	if _, err := load(cache, rec); err == nil {
		t.Error("a stack with half a layer was taken")
	}
	if again := prepared(t, cache, rec, "1"); again.Version != s.Version {
		t.Errorf("made anew it is %s, want %s", again.Version, s.Version)
	}
}

func TestRemoveStale(t *testing.T) {
	cache := tree(t, map[string]string{tempPrefix + "crashed/run-root/etc/passwd": "x", "keep/x": "y"})
	if err := removeStale(cache); err != nil {
		t.Fatal(err)
	}
	if left := paths(entries(t, cache)); !reflect.DeepEqual(left, []string{"keep", "keep/x"}) {
		t.Errorf("left: %q", left)
	}
}

func TestRemoveTreeRefusesMounts(t *testing.T) {
	if os.Geteuid() != 0 {
		t.Skip("mounting needs root")
	}
	dir := tree(t, map[string]string{"root/dev/": "", "host/precious": "x"})
	target := filepath.Join(dir, "root", "dev")
	if err := unix.Mount(filepath.Join(dir, "host"), target, "", unix.MS_BIND, ""); err != nil {
		t.Skipf("this machine allows no mounts: %v", err)
	}
	defer func() {
		if err := unix.Unmount(target, 0); err != nil {
			t.Error(err)
		}
	}()
	if err := removeTree(filepath.Join(dir, "root")); err == nil || !strings.Contains(err.Error(), target) {
		t.Errorf("removeTree = %v, want it to name %s", err, target)
	}
	if _, err := os.Stat(filepath.Join(dir, "host", "precious")); err != nil {
		t.Error(err)
	}
}

func TestLockIsExclusive(t *testing.T) {
	name := filepath.Join(t.TempDir(), "lock")
	quiet := func(string, int, int) {}
	unlock, err := lock(context.Background(), name, quiet)
	if err != nil {
		t.Fatal(err)
	}
	waiting, got := make(chan struct{}), make(chan error, 1)
	go func() {
		again, err := lock(context.Background(), name, func(string, int, int) { close(waiting) })
		if err == nil {
			again()
		}
		got <- err
	}()
	<-waiting
	ctx, cancel := context.WithCancel(context.Background())
	cancel()
	if _, err := lock(ctx, name, quiet); !errors.Is(err, context.Canceled) {
		t.Errorf("a cancelled wait gives %v", err)
	}
	unlock()
	if err := <-got; err != nil {
		t.Error(err)
	}
}
