package bits

import (
	"archive/zip"
	"bytes"
	"context"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

func writeTree(t testing.TB, files map[string]string) string {
	t.Helper()
	dir := t.TempDir()
	for name, content := range files {
		full := filepath.Join(dir, name)
		if err := os.MkdirAll(filepath.Dir(full), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(full, []byte(content), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	return dir
}

func paths(s *Source) string {
	var names []string
	for _, f := range s.Files {
		names = append(names, f.Path)
	}
	return strings.Join(names, " ")
}

func TestOpenFolder(t *testing.T) {
	dir := writeTree(t, map[string]string{
		"main.go": "package main", "web/index.html": "hi", ".git/config": "x", "manifest.yml": "x", "debug.log": "x",
		".cfignore": "*.log\n", ".cupolaignore": "secret/\n", "secret/key": "x", "Ω.txt": "omega",
	})
	if err := os.Symlink("main.go", filepath.Join(dir, "link")); err != nil {
		t.Fatal(err)
	}
	s, err := Open(context.Background(), dir, nil)
	if err != nil {
		t.Fatal(err)
	}
	if got, want := paths(s), "link main.go web web/index.html Ω.txt"; got != want {
		t.Errorf("files = %s, want %s", got, want)
	}
	if got, want := s.Files[3].SHA1, "c22b5f9178342609428d6f51b2c5af4c0bde6a42"; got != want {
		t.Errorf("SHA-1 of %s = %s, want %s", s.Files[3].Path, got, want)
	}
	if got, want := s.Bytes(), int64(len("package main")+len("hi")+len("omega")); got != want {
		t.Errorf("Bytes() = %d, want %d", got, want)
	}
}

func TestOpenRefuses(t *testing.T) {
	link := writeTree(t, map[string]string{"a": "x"})
	if err := os.Symlink("../../etc/passwd", filepath.Join(link, "out")); err != nil {
		t.Fatal(err)
	}
	tests := []struct{ name, path, want string }{
		{"no such folder", filepath.Join(t.TempDir(), "nope"), "there is no folder"},
		{"an empty folder", t.TempDir(), "has no files to push"},
		{"everything ignored", writeTree(t, map[string]string{"a": "x", ".cfignore": "*"}), "has no files to push"},
		{"a link out", link, "the link out leads out of the app"},
		{"a file", filepath.Join(writeTree(t, map[string]string{"a": "x"}), "a"), "neither a folder nor a zip"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			_, err := Open(context.Background(), tt.path, nil)
			if err == nil || !strings.Contains(err.Error(), tt.want) {
				t.Errorf("Open(%s) = %v, want an error with %q", tt.path, err, tt.want)
			}
		})
	}
}

func TestPackFolder(t *testing.T) {
	dir := writeTree(t, map[string]string{"same": "x", "changed": strings.Repeat("long ", 200), "d/run": "#!"})
	if err := os.Chmod(filepath.Join(dir, "d/run"), 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.Symlink("../same", filepath.Join(dir, "d/link")); err != nil {
		t.Fatal(err)
	}
	s, err := Open(context.Background(), dir, nil)
	if err != nil {
		t.Fatal(err)
	}
	var out bytes.Buffer
	if err := s.Pack(context.Background(), &out, func(f File) bool { return f.Path != "same" }); err != nil {
		t.Fatal(err)
	}
	got := readZip(t, out.Bytes())
	want := map[string]string{"changed": strings.Repeat("long ", 200), "d/": "", "d/run": "#!", "d/link": "../same"}
	if len(got) != len(want) {
		t.Errorf("zip has %d entries, want %d: %v", len(got), len(want), got)
	}
	for name, content := range want {
		if entry := got[name]; entry.content != content {
			t.Errorf("%s = %q, want %q", name, entry.content, content)
		}
	}
	if mode := got["d/run"].mode; mode.Perm() != 0o755 {
		t.Errorf("mode of d/run = %v, want 0755", mode)
	}
	if mode := got["d/link"].mode; mode&fs.ModeSymlink == 0 {
		t.Errorf("mode of d/link = %v, want a link", mode)
	}
}

type zipped struct {
	mode    fs.FileMode
	content string
}

func readZip(t testing.TB, data []byte) map[string]zipped {
	t.Helper()
	r, err := zip.NewReader(bytes.NewReader(data), int64(len(data)))
	if err != nil {
		t.Fatal(err)
	}
	out := map[string]zipped{}
	for _, f := range r.File {
		content, err := readEntry(f, 1<<20)
		if err != nil {
			t.Fatal(err)
		}
		out[f.Name] = zipped{f.Mode(), string(content)}
	}
	return out
}

func TestOpenZip(t *testing.T) {
	dir := writeTree(t, map[string]string{"a.txt": "a", "d/b.txt": "b", "x.log": "x", ".cfignore": "*.log"})
	file := filepath.Join(t.TempDir(), "app.zip")
	var out bytes.Buffer
	z := zip.NewWriter(&out)
	if err := z.AddFS(os.DirFS(dir)); err != nil {
		t.Fatal(err)
	}
	if err := z.Close(); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(file, out.Bytes(), 0o644); err != nil {
		t.Fatal(err)
	}
	s, err := Open(context.Background(), file, nil)
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	if got, want := paths(s), "a.txt d d/b.txt"; got != want {
		t.Errorf("files = %s, want %s", got, want)
	}
	var packed bytes.Buffer
	if err := s.Pack(context.Background(), &packed, func(f File) bool { return f.Path == "d/b.txt" }); err != nil {
		t.Fatal(err)
	}
	if got := readZip(t, packed.Bytes())["d/b.txt"].content; got != "b" {
		t.Errorf("d/b.txt = %q, want %q", got, "b")
	}
}

func TestOpenZipRefusesPathsOutside(t *testing.T) {
	for _, name := range []string{"../x", "/etc/passwd", "a/../../x", `..\x`} {
		var out bytes.Buffer
		z := zip.NewWriter(&out)
		if _, err := z.Create(name); err != nil {
			t.Fatal(err)
		}
		if err := z.Close(); err != nil {
			t.Fatal(err)
		}
		file := filepath.Join(t.TempDir(), "app.zip")
		if err := os.WriteFile(file, out.Bytes(), 0o644); err != nil {
			t.Fatal(err)
		}
		if _, err := Open(context.Background(), file, nil); err == nil {
			t.Errorf("Open accepts a zip with %q", name)
		}
	}
}

func TestCache(t *testing.T) {
	folder := writeTree(t, map[string]string{"a": "1", "b": "2"})
	dir := t.TempDir()
	open := func(at time.Time) (*Source, *Cache) {
		c := OpenCache(dir, folder)
		c.started = at
		s, err := Open(context.Background(), folder, c)
		if err != nil {
			t.Fatal(err)
		}
		return s, c
	}
	later := time.Now().Add(time.Minute)
	_, fresh := open(time.Now())
	if len(fresh.entries) != 0 {
		t.Errorf("files changed a moment ago are remembered: %v", fresh.entries)
	}
	first, c := open(later)
	if err := c.Save(); err != nil {
		t.Fatal(err)
	}
	second, c := open(later)
	if c.changed {
		t.Error("files that did not change were hashed again")
	}
	if first.Files[0].SHA1 != second.Files[0].SHA1 || second.Files[0].SHA1 == "" {
		t.Errorf("sums differ: %q and %q", first.Files[0].SHA1, second.Files[0].SHA1)
	}
	keepMTime(t, filepath.Join(folder, "a"), "9")
	third, c := open(later)
	if !c.changed || third.Files[0].SHA1 == first.Files[0].SHA1 {
		t.Error("a file replaced under its old mtime and size is not noticed")
	}
}

// keepMTime changes a file's content but neither its size nor its mtime.
func keepMTime(t testing.TB, file, content string) {
	t.Helper()
	info, err := os.Stat(file)
	if err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(file, []byte(content), 0o644); err != nil {
		t.Fatal(err)
	}
	if err := os.Chtimes(file, info.ModTime(), info.ModTime()); err != nil {
		t.Fatal(err)
	}
}

func BenchmarkOpen1000Files(b *testing.B) {
	files := map[string]string{}
	for i := range 1000 {
		files[filepath.Join("d", string(rune('a'+i%26)), strings.Repeat("x", i/26+1))] = strings.Repeat("content ", i)
	}
	folder := writeTree(b, files)
	cache := OpenCache(b.TempDir(), folder)
	cache.started = time.Now().Add(time.Minute)
	if _, err := Open(context.Background(), folder, cache); err != nil {
		b.Fatal(err)
	}
	cache.old = cache.entries
	for name, hashes := range map[string]Hashes{"cold": nil, "cached": &Cache{old: cache.entries, entries: map[string]cacheEntry{}}} {
		b.Run(name, func(b *testing.B) {
			b.ReportAllocs()
			for b.Loop() {
				if _, err := Open(context.Background(), folder, hashes); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}
