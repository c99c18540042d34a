package environ

import (
	"os"
	"path/filepath"
	"slices"
	"testing"
)

func write(t *testing.T, dir string, files map[string]string) {
	t.Helper()
	for name, content := range files {
		path := filepath.Join(dir, name)
		if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(path, []byte(content), 0o644); err != nil {
			t.Fatal(err)
		}
	}
}

func TestApplyDir(t *testing.T) {
	tests := []struct {
		name  string
		old   []string
		files map[string]string
		bare  string
		want  string
	}{
		{"bare overrides", []string{"V=old"}, map[string]string{"V": "new"}, "override", "new"},
		{"bare as default keeps", []string{"V=old"}, map[string]string{"V": "new"}, "default", "old"},
		{"bare as default sets", nil, map[string]string{"V": "new"}, "default", "new"},
		{"override", []string{"V=old"}, map[string]string{"V.override": "new"}, "override", "new"},
		{"default keeps", []string{"V=old"}, map[string]string{"V.default": "new"}, "override", "old"},
		{"default replaces empty", []string{"V="}, map[string]string{"V.default": "new"}, "override", "new"},
		{"append has no delimiter", []string{"V=old"}, map[string]string{"V.append": "new"}, "override", "oldnew"},
		{"append with delimiter", []string{"V=old"}, map[string]string{"V.append": "new", "V.delim": ":"}, "override", "old:new"},
		{"append to nothing", nil, map[string]string{"V.append": "new", "V.delim": ":"}, "override", "new"},
		{"prepend with delimiter", []string{"V=old"}, map[string]string{"V.prepend": "new", "V.delim": " "}, "override", "new old"},
		{"prepend to nothing", nil, map[string]string{"V.prepend": "new", "V.delim": ":"}, "override", "new"},
		{"another's delimiter", []string{"V=old"}, map[string]string{"V.append": "new", "W.delim": ":"}, "override", "oldnew"},
		{"operations in order of names", []string{"V=old"}, map[string]string{"V": "base", "V.append": "+"}, "override", "base+"},
		{"unknown suffix", []string{"V=old"}, map[string]string{"V.other": "new"}, "override", "old"},
		{"content stays as it is", nil, map[string]string{"V": " $HOME \n"}, "override", " $HOME \n"},
		{"folders are ignored", []string{"V=old"}, map[string]string{"V/file": "new"}, "override", "old"},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			dir := t.TempDir()
			write(t, dir, test.files)
			e := FromList(test.old)
			if err := e.ApplyDir(dir, test.bare); err != nil {
				t.Fatal(err)
			}
			if got := e.Get("V"); got != test.want {
				t.Errorf("V = %q, want %q", got, test.want)
			}
		})
	}
}

func TestApplyDirWithoutFolder(t *testing.T) {
	e := FromList([]string{"A=1"})
	if err := e.ApplyDir(filepath.Join(t.TempDir(), "none"), "override"); err != nil {
		t.Error(err)
	}
	if !slices.Equal(e.List(), []string{"A=1"}) {
		t.Errorf("List = %q", e.List())
	}
}

func TestLayerPathsKeepTheirOrder(t *testing.T) {
	dir := t.TempDir()
	write(t, dir, map[string]string{"one/a/bin/x": "", "one/b/bin/x": "", "one/b/lib/x": "", "two/c/bin/x": "", "two/c/pkgconfig/x": ""})
	layer := func(name string) string { return filepath.Join(dir, name) }
	e := FromList([]string{"PATH=/bin"})
	e.AddLayerPaths([]string{layer("one/a"), layer("one/b")}, BuildPaths)
	e.AddLayerPaths([]string{layer("two/c")}, BuildPaths)
	// Later buildpacks first; the layers of one buildpack ascending.
	want := layer("two/c/bin") + ":" + layer("one/a/bin") + ":" + layer("one/b/bin") + ":/bin"
	if got := e.Get("PATH"); got != want {
		t.Errorf("PATH = %q, want %q", got, want)
	}
	if got, want := e.Get("LIBRARY_PATH"), layer("one/b/lib"); got != want {
		t.Errorf("LIBRARY_PATH = %q, want %q", got, want)
	}
	if got, want := e.Get("PKG_CONFIG_PATH"), layer("two/c/pkgconfig"); got != want {
		t.Errorf("PKG_CONFIG_PATH = %q, want %q", got, want)
	}
}

func TestApplyUser(t *testing.T) {
	dir := t.TempDir()
	write(t, dir, map[string]string{"PATH": "/mine", "NAME": "user", "CPATH": "/inc"})
	e := FromList([]string{"PATH=/bin", "NAME=buildpack"})
	if err := e.ApplyUser(dir); err != nil {
		t.Fatal(err)
	}
	if want := []string{"CPATH=/inc", "NAME=user", "PATH=/mine:/bin"}; !slices.Equal(e.List(), want) {
		t.Errorf("List = %q, want %q", e.List(), want)
	}
}

func TestCloneIsApart(t *testing.T) {
	a := FromList([]string{"V=1"})
	b := a.Clone()
	b.Set("V", "2")
	if a.Get("V") != "1" {
		t.Error("a change of the copy changed the original")
	}
}
