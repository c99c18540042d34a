package keeper

import (
	"archive/tar"
	"bytes"
	"compress/gzip"
	"errors"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

func put(t *testing.T, path, content string) {
	t.Helper()
	if err := os.MkdirAll(filepath.Dir(path), 0o700); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(path, []byte(content), 0o600); err != nil {
		t.Fatal(err)
	}
}

const first, second = "000000010000000000000001", "000000010000000000000002"

// TestSegments: what was archived is shipped in order, stays until it is taken, and comes back as it was.
func TestSegments(t *testing.T) {
	log, dir, spool := &bytes.Buffer{}, t.TempDir(), t.TempDir()+"/spool"
	at := time.Date(2026, 1, 2, 3, 4, 5, 6000, time.UTC)
	for _, name := range []string{second, first, first + ".00000028.backup", "00000002.history"} {
		path := filepath.Join(dir, name)
		put(t, path, "content of "+name)
		if err := os.Chtimes(path, at, at); err != nil {
			t.Fatal(err)
		}
		if err := Archive(log, path, spool, 1<<20); err != nil {
			t.Fatal(err)
		}
	}
	in, acks := io.Pipe()
	entries, out := io.Pipe()
	done := make(chan error, 1)
	go func() { done <- Ship(out, in, spool); out.Close() }()
	stream := tar.NewReader(entries)
	for _, want := range []string{first, second} {
		h, err := stream.Next()
		if err != nil || h.Name != want || !h.ModTime.Equal(at) {
			t.Fatalf("shipped is %+v (%v), want %s of %s", h, err, want, at)
		}
		content, err := io.ReadAll(stream)
		if err != nil {
			t.Fatal(err)
		}
		kept := t.TempDir()
		put(t, filepath.Join(kept, want), string(content))
		back := filepath.Join(t.TempDir(), "segment")
		if err := Segment(kept, want, back); err != nil {
			t.Fatal(err)
		}
		if got, err := os.ReadFile(back); err != nil || string(got) != "content of "+want {
			t.Errorf("%s comes back as %q (%v)", want, got, err)
		}
		if _, err := os.Stat(filepath.Join(spool, want+packed)); err != nil {
			t.Errorf("before it was taken it is gone: %v", err)
		}
		if _, err := io.WriteString(acks, want+"\n"); err != nil {
			t.Fatal(err)
		}
	}
	go func() { _, _ = io.Copy(io.Discard, entries) }() // the rest of the last block
	acks.Close()
	if err := <-done; err != nil {
		t.Error(err)
	}
	if left, err := os.ReadDir(spool); err != nil || len(left) != 0 {
		t.Errorf("left are %v (%v)", left, err)
	}
	if err := Segment(spool, first, filepath.Join(dir, "x")); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("a segment that is not there: %v", err)
	}
	put(t, filepath.Join(spool, second), "not compressed")
	if err := Segment(spool, second, filepath.Join(dir, "x")); err == nil || errors.Is(err, fs.ErrNotExist) {
		t.Errorf("a segment that cannot be unpacked: %v", err)
	}
}

// TestArchiveIsBounded: a server whose segments nobody takes goes on.
func TestArchiveIsBounded(t *testing.T) {
	log, dir, spool := &bytes.Buffer{}, t.TempDir(), t.TempDir()
	for _, name := range []string{first, second} {
		put(t, filepath.Join(dir, name), "content")
		if err := Archive(log, filepath.Join(dir, name), spool, 1); err != nil {
			t.Fatal(err)
		}
	}
	if left, _ := os.ReadDir(spool); len(left) != 1 || !strings.Contains(log.String(), second+" is not archived") {
		t.Errorf("kept are %v, said is %q; want the first alone", left, log)
	}
}

// TestUnpack: a folder is whole or as it was, and nothing is written outside of it.
func TestUnpack(t *testing.T) {
	pack := func(names ...string) []byte {
		var b bytes.Buffer
		w := tar.NewWriter(&b)
		for _, name := range names {
			h := &tar.Header{Name: name, Size: 1, Mode: 0o644}
			if strings.HasSuffix(name, "/") {
				h.Typeflag, h.Size = tar.TypeDir, 0
			}
			if err := w.WriteHeader(h); err != nil {
				t.Fatal(err)
			}
			if h.Size > 0 {
				_, _ = w.Write([]byte("x"))
			}
		}
		w.Close()
		return b.Bytes()
	}
	base := t.TempDir()
	dir := filepath.Join(base, "data")
	if err := Unpack(bytes.NewReader(pack("./", "empty/", "a", "deep/b")), dir, "recovery.signal"); err != nil {
		t.Fatal(err)
	}
	for _, name := range []string{"a", "deep/b", "empty", "recovery.signal"} {
		if _, err := os.Stat(filepath.Join(dir, name)); err != nil {
			t.Error(err)
		}
	}
	for what, bad := range map[string][]byte{"cut off": zipped(t, pack("c"))[:80], "leading out": pack("../out"), "compressed and damaged": append([]byte{0x1f, 0x8b}, pack("c")...)} {
		if err := Unpack(bytes.NewReader(bad), dir); err == nil {
			t.Errorf("a stream that is %s is taken", what)
		}
		if _, err := os.Stat(filepath.Join(dir, "a")); err != nil {
			t.Errorf("after a stream that was %s: %v", what, err)
		}
	}
	if left, _ := os.ReadDir(base); len(left) != 1 {
		t.Errorf("left are %v", left)
	}
}

func zipped(t *testing.T, b []byte) []byte {
	t.Helper()
	var out bytes.Buffer
	z := gzip.NewWriter(&out)
	if _, err := z.Write(b); err != nil || z.Close() != nil {
		t.Fatal(err)
	}
	return out.Bytes()
}
