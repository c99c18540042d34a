package cache

import (
	"os"
	"path/filepath"
	"reflect"
	"testing"
	"time"

	"github.com/cupola-paas/cupola/buildpack/lifecycle"
)

func put(t testing.TB, path, content string) {
	t.Helper()
	if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(path, []byte(content), 0o644); err != nil {
		t.Fatal(err)
	}
}

// fixture is a store and the folder of builds beside it.
type fixture struct {
	t     *testing.T
	dir   string
	store *Store
}

func newFixture(t *testing.T) fixture {
	dir := t.TempDir()
	s, err := Open(filepath.Join(dir, "caches"))
	if err != nil {
		t.Fatal(err)
	}
	return fixture{t, dir, s}
}

func (f fixture) layers(build string) string {
	dir := filepath.Join(f.dir, build)
	if err := os.MkdirAll(dir, 0o755); err != nil {
		f.t.Fatal(err)
	}
	return dir
}

func (f fixture) take(build string) *Taken {
	f.t.Helper()
	t, err := f.store.Take("app", f.layers(build))
	if err != nil {
		f.t.Fatal(err)
	}
	return t
}

// layer describes a layer folder of a build as it is.
func (f fixture) layer(build, name string) Layer {
	f.t.Helper()
	print, err := Fingerprint(filepath.Join(f.dir, build, "x_y", name))
	if err != nil {
		f.t.Fatal(err)
	}
	return Layer{
		Buildpack: "x/y", Name: name, Types: lifecycle.Types{Cache: true}, Fingerprint: print,
		Metadata: map[string]any{"n": int64(7), "s": "v"}, DiffID: "sha256:1",
	}
}

// filled is a store with the layers one and two.
func filled(t *testing.T) fixture {
	f := newFixture(t)
	taken := f.take("first")
	put(t, filepath.Join(f.dir, "first/x_y/one/file"), "1")
	put(t, filepath.Join(f.dir, "first/x_y/one.sbom.cdx.json"), "{}")
	put(t, filepath.Join(f.dir, "first/x_y/two/file"), "2")
	if err := taken.Replace([]Layer{f.layer("first", "one"), f.layer("first", "two")}); err != nil {
		t.Fatal(err)
	}
	return f
}

func names(t *Taken) []string {
	list := []string{}
	for _, l := range t.Layers {
		list = append(list, l.Name)
	}
	return list
}

func want(t *testing.T, taken *Taken, list ...string) {
	t.Helper()
	if got := names(taken); !reflect.DeepEqual(got, append([]string{}, list...)) {
		t.Errorf("restored %q, want %q", got, list)
	}
}

func TestReplaceThenTake(t *testing.T) {
	f := filled(t)
	taken := f.take("second")
	want(t, taken, "one", "two")
	for _, file := range []string{"one/file", "one.sbom.cdx.json", "two/file"} {
		if _, err := os.Stat(filepath.Join(f.dir, "second/x_y", file)); err != nil {
			t.Error(err)
		}
	}
	if got := taken.Layers[0].Metadata; !reflect.DeepEqual(got, map[string]any{"n": int64(7), "s": "v"}) {
		t.Errorf("metadata = %#v", got)
	}
	want(t, f.take("third")) // in use elsewhere
}

func TestReturnKeepsWhatWasNotTouched(t *testing.T) {
	f := filled(t)
	taken := f.take("failed")
	put(t, filepath.Join(f.dir, "failed/x_y/two/file"), "3") // same size
	if err := taken.Return(); err != nil {
		t.Fatal(err)
	}
	want(t, f.take("next"), "one")
}

func TestReturnSeesChangesThatHideTheirTime(t *testing.T) {
	f := filled(t)
	taken := f.take("failed")
	path := filepath.Join(f.dir, "failed/x_y/one/file")
	info, err := os.Stat(path)
	if err != nil {
		t.Fatal(err)
	}
	put(t, path, "X")
	if err := os.Chtimes(path, time.Time{}, info.ModTime()); err != nil {
		t.Fatal(err)
	}
	if err := taken.Return(); err != nil {
		t.Fatal(err)
	}
	want(t, f.take("next"), "two")
}

func TestACrashLosesWhatWasTakenAndNothingElse(t *testing.T) {
	f := filled(t)
	want(t, f.take("crashed"), "one", "two")
	if err := os.RemoveAll(filepath.Join(f.dir, "crashed")); err != nil { // Sweep
		t.Fatal(err)
	}
	taken := f.take("next")
	want(t, taken)
	put(t, filepath.Join(f.dir, "next/x_y/one/file"), "new")
	if err := taken.Replace([]Layer{f.layer("next", "one")}); err != nil {
		t.Fatal(err)
	}
	want(t, f.take("after"), "one")
}

// TestCrashInSwap stops between any two steps of Replace's end.
func TestCrashInSwap(t *testing.T) {
	for _, state := range []struct {
		name   string
		change func(path string) error
		want   []string
	}{
		{"new complete, old in place", func(p string) error { return os.CopyFS(p+"~new", os.DirFS(p)) }, []string{"one", "two"}},
		{"old moved away", func(p string) error {
			if err := os.CopyFS(p+"~new", os.DirFS(p)); err != nil {
				return err
			}
			return os.Rename(p, p+"~old")
		}, []string{"one", "two"}},
		{"old not removed", func(p string) error { return os.CopyFS(p+"~old", os.DirFS(p)) }, []string{"one", "two"}},
		{"new without a record", func(p string) error { return os.MkdirAll(filepath.Join(p+"~new", "x_y", "one"), 0o755) }, []string{"one", "two"}},
	} {
		t.Run(state.name, func(t *testing.T) {
			f := filled(t)
			if err := state.change(f.store.path("app")); err != nil {
				t.Fatal(err)
			}
			want(t, f.take("next"), state.want...)
		})
	}
}

func TestAfterARebootLayersAreVerified(t *testing.T) {
	f := filled(t)
	path := f.store.path("app")
	r, err := f.store.read("app")
	if err != nil {
		t.Fatal(err)
	}
	r.Boot = "another"
	if err := writeRecord(path, r); err != nil {
		t.Fatal(err)
	}
	if err := os.Truncate(filepath.Join(path, "x_y/two/file"), 0); err != nil {
		t.Fatal(err)
	}
	want(t, f.take("next"), "one")
}

func TestHostileRecord(t *testing.T) {
	f := filled(t)
	path := f.store.path("app")
	put(t, filepath.Join(f.dir, "secret/file"), "s")
	if err := os.Symlink(filepath.Join(f.dir, "secret"), filepath.Join(path, "x_y", "link")); err != nil {
		t.Fatal(err)
	}
	layers := []Layer{{Buildpack: "x/y", Name: "link"}, {Buildpack: "x/y", Name: "../x_y"}, {Buildpack: "..", Name: "secret"}, {Buildpack: "x/y", Name: ".."}}
	if err := writeRecord(path, record{Boot: bootID(), Layers: layers}); err != nil {
		t.Fatal(err)
	}
	want(t, f.take("next"))
}

func TestDeleteAndList(t *testing.T) {
	f := filled(t)
	if ids, err := f.store.List(); err != nil || !reflect.DeepEqual(ids, []string{"app"}) {
		t.Errorf("List = %q, %v", ids, err)
	}
	for _, id := range []string{"app", "none", "../x"} {
		if err := f.store.Delete(id); err != nil {
			t.Errorf("Delete(%q) = %v", id, err)
		}
	}
	want(t, f.take("next"))
	if _, err := os.Stat(filepath.Join(f.dir, "x")); err == nil {
		t.Error("an id reached outside")
	}
}
