package stack

import (
	"archive/tar"
	"context"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"reflect"
	"testing"
	"time"

	"github.com/google/go-containerregistry/pkg/v1/validate"
	"golang.org/x/sys/unix"
)

func TestMatch(t *testing.T) {
	for _, c := range []struct {
		pattern, name string
		want          bool
	}{
		{"dev/*", "dev/null", true},
		{"dev/*", "dev/pts/0", true},
		{"dev/*", "dev", false},
		{"dev/*", "device/x", false},
		{"etc/hostname", "etc/hostname", true},
		{"etc/hostname", "etc/hostname2", false},
		{"usr/lib/go-*/pkg/*", "usr/lib/go-1.24/pkg/tool", true},
		{"usr/lib/go-*/pkg/*", "usr/lib/go-1.24/bin/go", false},
		{"var/lib/dpkg/*-old", "var/lib/dpkg/status-old", true},
		{"var/lib/dpkg/*-old", "var/lib/dpkg/status", false},
	} {
		if got := match(c.pattern, c.name); got != c.want {
			t.Errorf("match(%q, %q) = %v", c.pattern, c.name, got)
		}
	}
}

func entries(t *testing.T, root string) []entry {
	t.Helper()
	e, err := scan(root, []string{"proc/*"})
	if err != nil {
		t.Fatal(err)
	}
	return e
}

func paths(entries []entry) []string {
	var names []string
	for _, e := range entries {
		names = append(names, e.path)
	}
	return names
}

func TestScanLeavesOutWhatNoImageHas(t *testing.T) {
	root := tree(t, map[string]string{
		"proc/1/status": "x", "bin": "-> usr/bin", "usr/bin/x": "x",
		"usr/share/doc/a/copyright": "c", "usr/share/doc/a/README": "r",
	})
	if err := unix.Mkfifo(filepath.Join(root, "pipe"), 0o600); err != nil {
		t.Fatal(err)
	}
	want := []string{"bin", "proc", "usr", "usr/bin", "usr/bin/x", "usr/share", "usr/share/doc", "usr/share/doc/a", "usr/share/doc/a/copyright"}
	if got := paths(entries(t, root)); !reflect.DeepEqual(got, want) {
		t.Errorf("got %q, want %q", got, want)
	}
}

func TestDifference(t *testing.T) {
	same := time.Now().Add(-time.Hour)
	base := map[string]string{"a/same": "1", "a/changed": "1", "a/touched": "1", "gone": "1", "goner/x": "1", "goner/y": "1", "link": "-> a"}
	before := tree(t, base)
	next := map[string]string{"a/same": "1", "a/changed": "2", "a/touched": "1", "link": "-> b", "new/deep/file": "1", "empty/": ""}
	after := tree(t, next)
	for _, root := range []string{before, after} {
		for _, f := range []string{"a/same", "a/changed"} {
			if err := os.Chtimes(filepath.Join(root, f), same, same); err != nil {
				t.Fatal(err)
			}
		}
	}
	// a/changed has another size, as a file of the same size and time counts as the same.
	if err := os.WriteFile(filepath.Join(after, "a/changed"), []byte("22"), 0o644); err != nil {
		t.Fatal(err)
	}
	got, err := difference(entries(t, before), entries(t, after))
	if err != nil {
		t.Fatal(err)
	}
	want := []string{".wh.gone", ".wh.goner", "a", "a/changed", "empty", "link", "new", "new/deep", "new/deep/file"}
	if !reflect.DeepEqual(paths(got), want) {
		t.Errorf("got %q, want %q", paths(got), want)
	}
}

func TestLayerIsReproducibleAndHasNoSetUserID(t *testing.T) {
	old := time.Date(2020, 5, 1, 0, 0, 0, 0, time.UTC)
	make1 := func() string {
		root := tree(t, map[string]string{"usr/bin/su": "x", "usr/lib/old.py": "y", "etc/new": "z", "l": "-> usr"})
		if err := os.Chmod(filepath.Join(root, "usr/bin/su"), 0o755|fs.ModeSetuid|fs.ModeSetgid); err != nil {
			t.Fatal(err)
		}
		if err := os.Chtimes(filepath.Join(root, "usr/lib/old.py"), old, old); err != nil {
			t.Fatal(err)
		}
		if err := os.Link(filepath.Join(root, "usr/bin/su"), filepath.Join(root, "usr/bin/su2")); err != nil {
			t.Fatal(err)
		}
		return root
	}
	cutoff := old.Add(time.Hour)
	var layers []*fileLayer
	for range 2 {
		l, err := writeLayer(context.Background(), filepath.Join(t.TempDir(), "l.tar.gz"), entries(t, make1()), cutoff)
		if err != nil {
			t.Fatal(err)
		}
		layers = append(layers, l)
	}
	if layers[0].digest != layers[1].digest || layers[0].diffID != layers[1].diffID {
		t.Error("two layers of the same files differ")
	}
	if err := validate.Layer(layers[0]); err != nil {
		t.Errorf("the layer is not what it says: %v", err)
	}
	rc, err := layers[0].Uncompressed()
	if err != nil {
		t.Fatal(err)
	}
	defer rc.Close()
	found := map[string]*tar.Header{}
	for tr := tar.NewReader(rc); ; {
		h, err := tr.Next()
		if err == io.EOF {
			break
		}
		if err != nil {
			t.Fatal(err)
		}
		found[h.Name] = h
	}
	if h := found["usr/bin/su"]; h == nil || h.Mode != 0o755 {
		t.Errorf("su = %+v, want mode 755", h)
	}
	if h := found["usr/bin/su2"]; h == nil || h.Typeflag != tar.TypeLink || h.Linkname != "usr/bin/su" {
		t.Errorf("su2 = %+v, want a hard link", h)
	}
	if h := found["usr/lib/old.py"]; h == nil || !h.ModTime.Equal(old) {
		t.Errorf("old.py = %+v, want its own time", h)
	}
	if h := found["etc/new"]; h == nil || !h.ModTime.Equal(fixedTime) {
		t.Errorf("new = %+v, want the fixed time", h)
	}
}
