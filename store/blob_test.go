package store

import (
	"context"
	"errors"
	"fmt"
	"io"
	"maps"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

func openTestBlobs(t *testing.T) (*Blobs, string) {
	t.Helper()
	dir := t.TempDir()
	b, err := OpenBlobs(dir)
	if err != nil {
		t.Fatal(err)
	}
	return b, dir
}

func putBlob(t *testing.T, b *Blobs, content string) string {
	t.Helper()
	sum, size, err := b.Put(t.Context(), strings.NewReader(content), 0)
	if err != nil || size != int64(len(content)) {
		t.Fatalf("Put(%q) = %d, %v", content, size, err)
	}
	return sum
}

// age makes a blob look as if it had been put an hour ago.
func age(t *testing.T, path string) {
	t.Helper()
	then := time.Now().Add(-time.Hour)
	if err := os.Chtimes(path, then, then); err != nil {
		t.Fatal(err)
	}
}

func tempFiles(t *testing.T, dir string) int {
	t.Helper()
	files, err := os.ReadDir(filepath.Join(dir, tempDir))
	if err != nil {
		t.Fatal(err)
	}
	return len(files)
}

func TestBlobs(t *testing.T) {
	b, _ := openTestBlobs(t)
	const hello = "2cf24dba5fb0a30e26e83b2ac5b9e29e1b161e5c1fa7425e73043362938b9824"
	if sum := putBlob(t, b, "hello"); sum != hello {
		t.Fatalf("sum = %s, want %s", sum, hello)
	}
	putBlob(t, b, "hello") // once more
	f, err := b.Open(hello)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	if content, _ := io.ReadAll(f); string(content) != "hello" {
		t.Errorf("content = %q, want hello", content)
	}
	if n, err := b.Stat(hello); n != 5 || err != nil {
		t.Errorf("Stat = %d, %v, want 5", n, err)
	}
	if all := maps.Collect(b.List()); len(all) != 1 || all[hello] != 5 {
		t.Errorf("List = %v, want one blob", all)
	}
	if err := b.Delete(hello); err != nil {
		t.Error(err)
	}
	if _, err := b.Stat(hello); !errors.Is(err, ErrNotFound) {
		t.Errorf("Stat after Delete = %v, want ErrNotFound", err)
	}
}

func TestBlobNamesAreHashes(t *testing.T) {
	b, dir := openTestBlobs(t)
	outside := filepath.Join(filepath.Dir(dir), "x")
	if err := os.WriteFile(outside, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	for _, sum := range []string{"", "../x", "../../" + filepath.Base(dir) + "/tmp", strings.Repeat("A", 64), strings.Repeat("a", 63) + "/"} {
		if _, err := b.Open(sum); !errors.Is(err, ErrNotFound) {
			t.Errorf("Open(%q) = %v, want ErrNotFound", sum, err)
		}
		if err := b.Delete(sum); !errors.Is(err, ErrNotFound) {
			t.Errorf("Delete(%q) = %v, want ErrNotFound", sum, err)
		}
	}
}

func TestBlobPutFailures(t *testing.T) {
	b, dir := openTestBlobs(t)
	broken := errors.New("connection reset")
	ended, end := context.WithCancel(t.Context())
	end()
	tests := []struct {
		name string
		ctx  context.Context
		r    io.Reader
		want error
	}{
		{"too large", t.Context(), strings.NewReader("12345"), ErrTooLarge},
		{"cut off", t.Context(), io.MultiReader(strings.NewReader("12"), errReader{broken}), broken},
		{"canceled", ended, strings.NewReader("12"), context.Canceled},
	}
	for _, test := range tests {
		if _, _, err := b.Put(test.ctx, test.r, 4); !errors.Is(err, test.want) {
			t.Errorf("%s: Put = %v, want %v", test.name, err, test.want)
		}
	}
	if n := tempFiles(t, dir); n != 0 {
		t.Errorf("%d temporary files are left", n)
	}
	if _, _, err := b.Put(t.Context(), strings.NewReader("1234"), 4); err != nil {
		t.Errorf("Put of just the limit: %v", err)
	}
}

type errReader struct{ err error }

func (r errReader) Read([]byte) (int, error) { return 0, r.err }

func TestBlobCollect(t *testing.T) {
	b, dir := openTestBlobs(t)
	kept, unused, fresh, again := putBlob(t, b, "kept"), putBlob(t, b, "unused"), putBlob(t, b, "fresh"), putBlob(t, b, "again")
	for _, sum := range []string{kept, unused, again} {
		age(t, filepath.Join(dir, sum[:2], sum))
	}
	putBlob(t, b, "again") // an upload of the same bytes, whose record is not written yet
	if err := os.WriteFile(filepath.Join(dir, tempDir, "put-crashed"), []byte("123"), 0o600); err != nil {
		t.Fatal(err)
	}
	age(t, filepath.Join(dir, tempDir, "put-crashed"))
	freed, err := b.Collect(func(sum string) bool { return sum == kept }, time.Now().Add(-time.Minute))
	if err != nil || freed != int64(len("unused")+3) {
		t.Errorf("Collect = %d, %v, want %d", freed, err, len("unused")+3)
	}
	all := maps.Collect(b.List())
	for sum, want := range map[string]bool{kept: true, unused: false, fresh: true, again: true} {
		if _, got := all[sum]; got != want {
			t.Errorf("after Collect, blob %s there = %v, want %v", sum[:8], got, want)
		}
	}
	if n := tempFiles(t, dir); n != 0 {
		t.Errorf("%d temporary files are left", n)
	}
}

func openTestResources(t *testing.T, maxBytes int64) (*Resources, string) {
	t.Helper()
	dir := t.TempDir()
	r, err := OpenResources(dir)
	if err != nil {
		t.Fatal(err)
	}
	r.MaxBytes = maxBytes
	return r, dir
}

func addResource(t *testing.T, r *Resources, content string) Resource {
	t.Helper()
	res, err := r.Add(t.Context(), strings.NewReader(content))
	if err != nil {
		t.Fatal(err)
	}
	return res
}

func TestResourcesMatch(t *testing.T) {
	r, dir := openTestResources(t, 1000)
	path := filepath.Join(dir, "source")
	if err := os.WriteFile(path, []byte("hello"), 0o600); err != nil {
		t.Fatal(err)
	}
	hello, err := r.AddFile(t.Context(), path)
	if want := (Resource{"aaf4c61ddcc5e8a2dabede0f3b482cd9aea9434d", 5}); hello != want || err != nil {
		t.Fatalf("AddFile = %v, %v, want %v", hello, err, want)
	}
	other := Resource{strings.Repeat("0", 40), 5}
	lie := Resource{hello.SHA1, 6}
	if got := r.Match([]Resource{other, hello, lie, {"../source", 5}}); len(got) != 1 || got[0] != hello {
		t.Errorf("Match = %v, want only %v", got, hello)
	}
	f, err := r.Open(hello.SHA1)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	if content, _ := io.ReadAll(f); string(content) != "hello" {
		t.Errorf("content = %q, want hello", content)
	}
}

func TestResourcesDamagedFileIsNotFound(t *testing.T) {
	r, dir := openTestResources(t, 1000)
	res := addResource(t, r, "hello")
	path := filepath.Join(dir, res.SHA1[:2], res.SHA1)
	if err := os.WriteFile(path, []byte("\x00\x00\x00\x00\x00"), 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := r.Open(res.SHA1); !errors.Is(err, ErrNotFound) {
		t.Errorf("Open = %v, want ErrNotFound", err)
	}
	if got := r.Match([]Resource{res}); len(got) != 0 {
		t.Errorf("Match = %v after the damage was seen, want nothing", got)
	}
}

func TestResourcesEviction(t *testing.T) {
	r, dir := openTestResources(t, 100)
	var files []Resource
	for i := range 10 {
		res := addResource(t, r, fmt.Sprintf("%010d", i))
		age(t, filepath.Join(dir, res.SHA1[:2], res.SHA1))
		files = append(files, res)
	}
	used := r.Match(files[3:4])
	last := addResource(t, r, "one file more")
	if got := r.Match(append(used, last)); len(got) != 2 {
		t.Errorf("what was used last was evicted: left %v", got)
	}
	var total int64
	for _, info := range r.dir.all() {
		total += info.Size()
	}
	if total > 100 || total != r.total {
		t.Errorf("%d bytes are left and %d counted, want the same and at most 100", total, r.total)
	}
	if _, err := r.Add(t.Context(), strings.NewReader(strings.Repeat("x", 101))); !errors.Is(err, ErrTooLarge) {
		t.Errorf("Add of more than MaxBytes = %v, want ErrTooLarge", err)
	}
}
