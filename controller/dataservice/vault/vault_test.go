package vault

import (
	"bytes"
	"context"
	"errors"
	"io"
	"io/fs"
	"os"
	"strings"
	"testing"
	"testing/iotest"
)

func sealed(t testing.TB, plain, key []byte, name string) []byte {
	t.Helper()
	var out bytes.Buffer
	if err := Encrypt(&out, iotest.HalfReader(bytes.NewReader(plain)), key, name); err != nil {
		t.Fatal(err)
	}
	return out.Bytes()
}

// TestCrypt: every length comes back, and every change is seen.
func TestCrypt(t *testing.T) {
	key := NewKey()
	for _, n := range []int{0, 1, chunkBytes - 1, chunkBytes, chunkBytes + 1, 3 * chunkBytes} {
		plain := bytes.Repeat([]byte("row "), n/4+1)[:n]
		text := sealed(t, plain, key, "b1")
		var out bytes.Buffer
		if err := Decrypt(&out, iotest.OneByteReader(bytes.NewReader(text)), key, "b1"); err != nil || !bytes.Equal(out.Bytes(), plain) {
			t.Fatalf("%d bytes come back as %d: %v", n, out.Len(), err)
		}
		if n > 64 && bytes.Contains(text, plain[:64]) {
			t.Error("it can be read")
		}
		bad := map[string][]byte{
			"cut off": text[:len(text)-1], "longer": append(bytes.Clone(text), 0), "of nothing": nil, "the head alone": text[:len(magic)],
		}
		for _, at := range []int{0, len(magic), len(text) / 2, len(text) - 1} {
			changed := bytes.Clone(text)
			changed[at] ^= 1
			bad["changed"] = changed
			for what, b := range bad {
				if err := Decrypt(io.Discard, bytes.NewReader(b), key, "b1"); !errors.Is(err, ErrDamaged) {
					t.Errorf("%d bytes, %s: %v, want ErrDamaged", n, what, err)
				}
			}
		}
		if n == 3*chunkBytes { // a whole chunk less is a stream without an end
			short := text[:len(text)-chunkBytes-16]
			if err := Decrypt(io.Discard, bytes.NewReader(short), key, "b1"); !errors.Is(err, ErrDamaged) {
				t.Errorf("without its last chunk: %v", err)
			}
		}
		if err := Decrypt(io.Discard, bytes.NewReader(text), NewKey(), "b1"); !errors.Is(err, ErrDamaged) {
			t.Errorf("with another key: %v", err)
		}
		if err := Decrypt(io.Discard, bytes.NewReader(text), key, "b2"); !errors.Is(err, ErrDamaged) {
			t.Errorf("under another name: %v", err)
		}
	}
}

// TestFolderBrings: what lies on the same file system is linked, all else copied, over what an earlier try has left; without room nothing is.
func TestFolderBrings(t *testing.T) {
	ctx := t.Context()
	from, spool := Folder{Dir: t.TempDir()}, Folder{Dir: t.TempDir() + "/spool"}
	if err := from.Put(ctx, "b1", strings.NewReader("content")); err != nil {
		t.Fatal(err)
	}
	for what, source := range map[string]Vault{"a file here": Moved{Now: from, Before: from}, "a stream": stream{from}} {
		for range 2 {
			if err := spool.Bring(ctx, source, "b1", "i1", 7); err != nil {
				t.Fatalf("%s: %v", what, err)
			}
		}
		content, err := os.ReadFile(spool.Dir + "/i1" + suffix)
		if err != nil || string(content) != "content" {
			t.Errorf("%s: it has %q (%v)", what, content, err)
		}
	}
	if err := spool.Bring(ctx, stream{from}, "b2", "i1", 7); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("of what is not there: %v", err)
	}
	if err := spool.Bring(ctx, from, "b1", "i2", 1<<62); err != nil {
		t.Errorf("a link needs room: %v", err)
	}
	err := spool.Bring(ctx, stream{from}, "b1", "i3", 1<<62)
	if !errors.Is(err, ErrNoSpace) || !strings.Contains(err.Error(), "MB are needed in "+spool.Dir) {
		t.Errorf("without room: %v", err)
	}
	if _, err := spool.Open(ctx, "i3"); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("without room there is %v", err)
	}
}

// stream is a Vault that is no folder of this machine.
type stream struct{ Folder }

func (s stream) Open(ctx context.Context, name string) (io.ReadCloser, error) {
	r, err := s.Folder.Open(ctx, name)
	if err != nil {
		return nil, err
	}
	return struct{ io.ReadCloser }{r}, nil
}

func TestFolder(t *testing.T) {
	f, ctx := Folder{Dir: t.TempDir() + "/deep"}, context.Background()
	if err := f.Put(ctx, "b1", strings.NewReader("content")); err != nil {
		t.Fatal(err)
	}
	r, err := f.Open(ctx, "b1")
	if err != nil {
		t.Fatal(err)
	}
	if got, err := io.ReadAll(r); err != nil || string(got) != "content" || r.Close() != nil {
		t.Errorf("it holds %q (%v)", got, err)
	}
	boom := errors.New("boom")
	if err := f.Put(ctx, "b2", io.MultiReader(strings.NewReader("half"), iotest.ErrReader(boom))); !errors.Is(err, boom) {
		t.Errorf("put of what breaks off: %v", err)
	}
	if err := os.WriteFile(f.Dir+"/"+partial+"x", nil, 0o600); err != nil {
		t.Fatal(err)
	}
	if err := f.Sweep(); err != nil {
		t.Fatal(err)
	}
	if left, err := os.ReadDir(f.Dir); err != nil || len(left) != 1 {
		t.Errorf("left are %v (%v), want what was put whole", left, err)
	}
	for range 2 {
		if err := f.Remove(ctx, "b1"); err != nil {
			t.Error(err)
		}
	}
	if _, err := f.Open(ctx, "b1"); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("after its removal: %v", err)
	}
	for _, name := range []string{"", "../x", "a/b", ".x"} {
		if err := f.Put(ctx, name, strings.NewReader("")); err == nil {
			t.Errorf("%q was taken for a name", name)
		}
	}
}

func FuzzDecrypt(f *testing.F) {
	key := NewKey()
	f.Add(sealed(f, []byte("content"), key, "b"))
	f.Add([]byte(magic))
	f.Fuzz(func(t *testing.T, b []byte) {
		var out bytes.Buffer
		if err := Decrypt(&out, bytes.NewReader(b), key, "b"); err != nil && out.Len() > len(b) {
			t.Errorf("%d bytes out of %d", out.Len(), len(b))
		}
	})
}
