package staging

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"sync/atomic"
	"testing"

	"github.com/cupola-paas/cupola/buildpack"
	"github.com/cupola-paas/cupola/store"
)

// bits unpacks every upload to a bin/detect without modes.
type bits struct{ unpacked atomic.Int32 }

func (b *bits) Unpack(_ context.Context, _ *store.Buildpack, dir string) error {
	b.unpacked.Add(1)
	return errors.Join(os.Mkdir(filepath.Join(dir, "bin"), 0o700), os.WriteFile(filepath.Join(dir, "bin", "detect"), nil, 0o600))
}

func (w *world) put(b *store.Buildpack) *store.Buildpack {
	w.update(func(tx *store.Tx) error { return store.Buildpacks.Put(tx, b) })
	return b
}

func TestChoices(t *testing.T) {
	w := newWorld(t)
	w.put(&store.Buildpack{Name: "binary_buildpack", SystemID: "cupola/binary", Lifecycle: "buildpack", Enabled: true, Position: 5})
	w.put(&store.Buildpack{Name: "mine", SHA256: "a", Lifecycle: "buildpack", Enabled: true, Position: 3})
	w.put(&store.Buildpack{Name: "mine", SHA256: "b", Lifecycle: "buildpack", Enabled: true, Position: 4, Stack: "cupola-13"})
	w.put(&store.Buildpack{Name: "other", SHA256: "c", Lifecycle: "buildpack", Enabled: true, Position: 1, Stack: "dos"})
	w.put(&store.Buildpack{Name: "empty", Lifecycle: "buildpack", Enabled: true, Position: 2})
	w.put(&store.Buildpack{Name: "native", SHA256: "d", Lifecycle: "cnb", Enabled: true, Position: 1})
	text := func(lifecycle string, names ...string) string {
		var out []string
		w.update(func(tx *store.Tx) error {
			list, _, err := choices(tx, store.Lifecycle{Type: lifecycle, Buildpacks: names}, "cupola-13")
			for _, c := range list {
				what := c.ID + c.URL
				if c.rec != nil {
					what = "bits " + c.rec.SHA256
				}
				out = append(out, c.Name+"="+what)
			}
			if err != nil {
				out = append(out, err.Error())
			}
			return nil
		})
		return strings.Join(out, ", ")
	}
	for _, c := range []struct {
		name, lifecycle string
		names           []string
		want            string
	}{
		{"detection", "buildpack", nil, "nodejs_buildpack=cupola/nodejs, mine=bits a, mine=bits b, binary_buildpack=cupola/executable"},
		{"detection for cnb", "cnb", nil, "native=bits d, nodejs_buildpack=cupola/nodejs, binary_buildpack=cupola/executable"},
		{"a chain", "buildpack", []string{"mine", "binary_buildpack"}, "mine=bits b, binary_buildpack=cupola/binary"},
		{"by id", "cnb", []string{"cupola/nodejs", "native"}, "nodejs_buildpack=cupola/nodejs, native=bits d"},
		{"by URL", "buildpack", []string{"https://me:secret@example.com/x#v1"}, "https://example.com/x#v1=https://me:secret@example.com/x#v1"},
		{"disabled", "buildpack", []string{"go_buildpack"}, "unknown or invalid buildpack: go_buildpack: this buildpack is disabled: see `cupola buildpacks`"},
		{"another stack", "buildpack", []string{"other"}, "unknown or invalid buildpack: other: this buildpack is for the stack dos and the app's is cupola-13"},
		{"another lifecycle", "buildpack", []string{"native"}, "unknown or invalid buildpack: native: this buildpack is for apps of the lifecycle cnb"},
		{"no bits", "buildpack", []string{"empty"}, "unknown or invalid buildpack: empty: this buildpack has no bits yet: its operator must upload them"},
		{"a bad URL", "buildpack", []string{"file://host/x"}, "unknown or invalid buildpack: file://host/x: its scheme \"file\" is not one of https, http and git"},
	} {
		if got := text(c.lifecycle, c.names...); got != c.want {
			t.Errorf("%s:\n got %s\nwant %s", c.name, got, c.want)
		}
	}
}

func TestUploadedBuildpackIsUnpackedOnceAndSwept(t *testing.T) {
	w := newWorld(t)
	source := &bits{}
	w.Uploads, w.Uploaded = source, filepath.Join(t.TempDir(), "uploaded")
	mine := w.put(&store.Buildpack{Name: "mine", SHA256: "aa", Lifecycle: "buildpack", Enabled: true, Filename: "mine.zip"})
	for range 2 {
		b := w.newBuild("mine")
		w.step()
		w.workers.Wait()
		if got := w.build(b.GUID); got.State != store.StateStaged {
			t.Fatalf("build = %s %q", got.State, got.Error)
		}
	}
	if n := source.unpacked.Load(); n != 1 {
		t.Errorf("unpacked %d times", n)
	}
	dir := w.builder.got[0].Choices[0].Dir
	info, err := os.Stat(filepath.Join(dir, "bin", "detect"))
	if err != nil || info.Mode().Perm() != 0o755 {
		t.Errorf("bin/detect: %v, %v, want it executable", info, err)
	}
	if !strings.Contains(w.log.text(), "Downloading buildpack mine (mine.zip)") {
		t.Errorf("log:\n%s", w.log.text())
	}
	w.update(func(tx *store.Tx) error { return store.Buildpacks.Delete(tx, mine.GUID) })
	w.newBuild("nodejs_buildpack")
	w.step()
	w.workers.Wait()
	if _, err := os.Stat(dir); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("the folder of a deleted buildpack is still there: %v", err)
	}
}

func TestDropletNamesItsBuildpacks(t *testing.T) {
	w := newWorld(t)
	used := []buildpack.Used{
		{ID: "classic/1", Name: "mine", Version: "1.2", Language: "lang", DetectOutput: "Mine"},
		{ID: "cupola/nodejs", Version: "1.0.1"}, {ID: "cupola/procfile", Version: "1.0.2"},
	}
	w.update(func(tx *store.Tx) error {
		got := dropletBuildpacks(tx, used)
		want := []store.DropletBuildpack{
			{Name: "mine", BuildpackName: "lang", Version: "1.2"},
			{Name: "nodejs_buildpack", BuildpackName: "nodejs", Version: "1.0.1", DetectOutput: "nodejs"},
		}
		if len(got) != 2 || got[0] != want[0] || got[1] != want[1] {
			t.Errorf("got %+v, want %+v", got, want)
		}
		if one := dropletBuildpacks(tx, used[:1]); one[0].DetectOutput != "Mine" {
			t.Errorf("detect output = %q", one[0].DetectOutput)
		}
		return nil
	})
}

func TestBuildWithoutStartCommandFails(t *testing.T) {
	w := newWorld(t)
	w.builder.bare = true
	b := w.newBuild("nodejs_buildpack")
	w.step()
	w.workers.Wait()
	if got := w.build(b.GUID); got.State != store.StateFailed || !strings.HasPrefix(got.Error, "StagingError - Start command not specified") {
		t.Errorf("build = %s %q", got.State, got.Error)
	}
	w.update(func(tx *store.Tx) error {
		return store.Processes.Put(tx, &store.Process{AppGUID: w.app.GUID, SpaceGUID: w.app.SpaceGUID, Type: "web", Command: "./run"})
	})
	b = w.newBuild("nodejs_buildpack")
	w.step()
	w.workers.Wait()
	if got := w.build(b.GUID); got.State != store.StateStaged {
		t.Errorf("with a command: build = %s %q", got.State, got.Error)
	}
}
