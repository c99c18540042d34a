package bits

import (
	"archive/zip"
	"bytes"
	"context"
	"errors"
	"fmt"
	"hash/crc32"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// file is an entry of a zip to be made.
type file struct {
	name string
	mode fs.FileMode
	body string
}

func makeZip(t testing.TB, files ...file) []byte {
	t.Helper()
	var b bytes.Buffer
	z := zip.NewWriter(&b)
	for _, f := range files {
		h := &zip.FileHeader{Name: f.name, Method: zip.Deflate}
		h.SetMode(f.mode)
		w, err := z.CreateHeader(h)
		if err != nil {
			t.Fatal(err)
		}
		if _, err := io.WriteString(w, f.body); err != nil {
			t.Fatal(err)
		}
	}
	if err := z.Close(); err != nil {
		t.Fatal(err)
	}
	return b.Bytes()
}

func open(raw []byte, l Limits) (*Archive, error) {
	return Open(bytes.NewReader(raw), int64(len(raw)), l)
}

// unpackTo writes raw as a blob and unpacks it into a new folder.
func unpackTo(t testing.TB, raw []byte) (string, error) {
	t.Helper()
	blob := filepath.Join(t.TempDir(), "blob")
	if err := os.WriteFile(blob, raw, 0o600); err != nil {
		t.Fatal(err)
	}
	f, err := os.Open(blob)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	dir := t.TempDir()
	return dir, Unpack(context.Background(), f, int64(len(raw)), dir)
}

const link = fs.ModeSymlink | 0o777

func TestOpenRefuses(t *testing.T) {
	small := DefaultLimits
	small.Bytes, small.Files, small.RatioFrom, small.Depth, small.NameBytes = 1<<20, 5, 1<<10, 3, 40
	for _, c := range []struct {
		name  string
		files []file
		want  string
	}{
		{"climbs", []file{{"../x", 0o644, ""}}, `leads out of the app's folder by ".."`},
		{"climbs inside", []file{{"a/../x", 0o644, ""}}, "leads out"},
		{"climbs by backslash", []file{{`..\x`, 0o644, ""}}, "leads out"},
		{"absolute", []file{{"/etc/passwd", 0o644, ""}}, "absolute path"},
		{"absolute backslash", []file{{`\x`, 0o644, ""}}, "absolute path"},
		{"twice", []file{{"a", 0o644, "1"}, {"a", 0o644, "2"}}, "is there twice"},
		{"twice when cleaned", []file{{"a", 0o644, "1"}, {"./a", 0o644, "2"}}, "is there twice"},
		{"file as folder", []file{{"a", 0o644, ""}, {"a/b", 0o644, ""}}, "which is not a folder"},
		{"link as folder", []file{{"a", link, "b"}, {"a/c", 0o644, ""}}, "which is not a folder"},
		{"link out", []file{{"d/a", link, "../../x"}}, "leads out of the app's folder"},
		{"absolute link", []file{{"a", link, "/etc"}}, "leads out of the app's folder"},
		{"link through a link", []file{{"a", link, "."}, {"d/", fs.ModeDir | 0o755, ""}, {"b", link, "a/../x"}}, "leads out of the app's folder"},
		{"empty link", []file{{"a", link, ""}}, "cannot be read"},
		{"device", []file{{"a", fs.ModeDevice | 0o644, ""}}, "device, pipe or socket"},
		{"pipe", []file{{"a", fs.ModeNamedPipe | 0o644, ""}}, "device, pipe or socket"},
		{"too many", []file{{"a", 0o644, ""}, {"b", 0o644, ""}, {"c", 0o644, ""}, {"d", 0o644, ""}, {"e", 0o644, ""}, {"f", 0o644, ""}}, "has 6 entries; 5 are allowed"},
		{"too large", []file{{"a", 0o644, strings.Repeat("x", 1<<20+1)}}, "is too large"},
		{"too large together", []file{{"a", 0o644, strings.Repeat("x", 1<<19+1)}, {"b", 0o644, strings.Repeat("x", 1<<19)}}, "unpacks to more than 1 MB"},
		{"bomb", []file{{"a", 0o644, strings.Repeat("x", 1<<19)}}, "more than 100 times its size"},
		{"deep", []file{{"a/b/c/d", 0o644, ""}}, "more than 3 folders deep"},
		{"long", []file{{strings.Repeat("n", 41), 0o644, ""}}, "more than 40 bytes"},
		{"not UTF-8", []file{{"a\xff", 0o644, ""}}, "not UTF-8"},
		{"NUL", []file{{"a\x00b", 0o644, ""}}, "no usable name"},
	} {
		_, err := open(makeZip(t, c.files...), small)
		var bad *InvalidError
		if !errors.As(err, &bad) || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%s: %v, want %q", c.name, err, c.want)
		}
	}
	for name, raw := range map[string][]byte{"nothing": nil, "no zip": []byte("hello"), "cut off": makeZip(t, file{"a", 0o644, "abc"})[:40]} {
		if _, err := open(raw, DefaultLimits); err == nil || !strings.Contains(err.Error(), "is cut off or is not a zip") {
			t.Errorf("%s: %v", name, err)
		}
	}
}

func TestLinksThroughLinksEnd(t *testing.T) {
	files := []file{{"a", link, strings.Repeat("./", 2000) + "b"}, {"b", 0o644, ""}}
	for i := range 600 {
		files = append(files, file{fmt.Sprintf("l%d", i), link, strings.Repeat("./", 2000) + "a"})
	}
	if _, err := open(makeZip(t, files...), DefaultLimits); err == nil || !strings.Contains(err.Error(), "too many links") {
		t.Errorf("%v", err)
	}
}

func TestOpenRefusesEncrypted(t *testing.T) {
	raw := makeZip(t, file{"a", 0o644, "abc"})
	for _, signature := range []string{"PK\x03\x04", "PK\x01\x02"} {
		at := bytes.Index(raw, []byte(signature))
		raw[at+map[string]int{"PK\x03\x04": 6, "PK\x01\x02": 8}[signature]] |= 1
	}
	if _, err := open(raw, DefaultLimits); err == nil || !strings.Contains(err.Error(), "encrypted") {
		t.Errorf("%v", err)
	}
}

func TestDamageIsSeenWhenRead(t *testing.T) {
	body := "some text that is stored"
	var b bytes.Buffer
	z := zip.NewWriter(&b)
	w, err := z.CreateRaw(&zip.FileHeader{Name: "a", Method: zip.Store, CRC32: crc32.ChecksumIEEE([]byte("other")), CompressedSize64: uint64(len(body)), UncompressedSize64: uint64(len(body))})
	if err != nil {
		t.Fatal(err)
	}
	_, _ = io.WriteString(w, body)
	if err := z.Close(); err != nil {
		t.Fatal(err)
	}
	a, err := open(b.Bytes(), DefaultLimits)
	if err != nil {
		t.Fatal(err)
	}
	err = a.Each(context.Background(), func(Entry, io.Reader) error { return nil })
	var bad *InvalidError
	if !errors.As(err, &bad) || !strings.Contains(err.Error(), `"a" is damaged`) {
		t.Errorf("%v", err)
	}
}

func TestUnpackKeepsModesAndLinks(t *testing.T) {
	raw := makeZip(t,
		file{"ro/", fs.ModeDir | 0o555, ""}, file{"ro/inner/", fs.ModeDir | 0o500, ""}, file{"ro/inner/run.sh", 0o755, "#!"},
		file{"ro/Ω.jsp", 0o444, "omega"}, file{"here", link, "ro/inner/run.sh"}, file{"dead", link, "nowhere"},
		file{"deep/a/b", fs.ModeSetuid | 0o755, "x"}, file{"./dot", 0o600, ""}, file{"back", link, "deep/../dot"},
	)
	dir, err := unpackTo(t, raw)
	if err != nil {
		t.Fatal(err)
	}
	for name, want := range map[string]fs.FileMode{
		"ro": fs.ModeDir | 0o555, "ro/inner": fs.ModeDir | 0o500, "ro/inner/run.sh": 0o755, "ro/Ω.jsp": 0o444,
		"deep/a/b": 0o755, "dot": 0o600, "here": fs.ModeSymlink, "dead": fs.ModeSymlink,
	} {
		info, err := os.Lstat(filepath.Join(dir, name))
		if err != nil {
			t.Fatal(err)
		}
		if got := info.Mode(); got.Type() != want.Type() || want.Type() != fs.ModeSymlink && got != want {
			t.Errorf("%s: mode %v, want %v", name, got, want)
		}
	}
	if target, _ := os.Readlink(filepath.Join(dir, "here")); target != "ro/inner/run.sh" {
		t.Errorf("link leads to %q", target)
	}
	if text, _ := os.ReadFile(filepath.Join(dir, "ro/Ω.jsp")); string(text) != "omega" {
		t.Errorf("text %q", text)
	}
	// t.TempDir cannot remove what is in folders without write permission unless it is root.
	_ = os.Chmod(filepath.Join(dir, "ro"), 0o755)
	_ = os.Chmod(filepath.Join(dir, "ro/inner"), 0o755)
}

func TestUnpackEnds(t *testing.T) {
	blob, err := os.CreateTemp(t.TempDir(), "")
	if err != nil {
		t.Fatal(err)
	}
	defer blob.Close()
	raw := makeZip(t, file{"a", 0o644, "x"})
	if _, err := blob.Write(raw); err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	cancel()
	if err := Unpack(ctx, blob, int64(len(raw)), t.TempDir()); !errors.Is(err, context.Canceled) {
		t.Errorf("%v", err)
	}
}

func TestMerge(t *testing.T) {
	a, err := open(makeZip(t, file{"new.txt", 0o600, "sent"}, file{"both", 0o644, "sent"}), DefaultLimits)
	if err != nil {
		t.Fatal(err)
	}
	known := func(text string) func() (io.ReadCloser, error) {
		return func() (io.ReadCloser, error) { return io.NopCloser(strings.NewReader(text)), nil }
	}
	var out bytes.Buffer
	err = Merge(context.Background(), &out, a, []Extra{
		{Path: "old/run", Mode: 0o755, Open: known("known")}, {Path: "both", Mode: 0o644, Open: known("known")},
	})
	if err != nil {
		t.Fatal(err)
	}
	dir, err := unpackTo(t, out.Bytes())
	if err != nil {
		t.Fatal(err)
	}
	for name, want := range map[string]string{"new.txt": "sent", "both": "sent", "old/run": "known"} {
		if got, err := os.ReadFile(filepath.Join(dir, name)); string(got) != want {
			t.Errorf("%s = %q, %v, want %q", name, got, err, want)
		}
	}
	if info, _ := os.Stat(filepath.Join(dir, "old/run")); info.Mode() != 0o755 {
		t.Errorf("mode %v", info.Mode())
	}
	out.Reset()
	if err := Merge(context.Background(), &out, nil, []Extra{{Path: "../out", Open: known("x")}}); err != nil {
		t.Fatal(err)
	}
	if _, err := open(out.Bytes(), DefaultLimits); err == nil {
		t.Error("a resource's path that climbs out was not seen by Open")
	}
}

// FuzzUnpack: whatever the bytes, no panic and nothing outside the folder.
func FuzzUnpack(f *testing.F) {
	f.Add(makeZip(f, file{"a/", fs.ModeDir | 0o555, ""}, file{"a/b", 0o644, "text"}, file{"l", link, "a/b"}))
	f.Add(makeZip(f, file{"../a", 0o644, "x"}))
	f.Add(makeZip(f, file{"a", link, "."}, file{"b", link, "a/../.."}, file{"b/c", 0o644, "x"}))
	f.Fuzz(func(t *testing.T, raw []byte) {
		limits := Limits{Bytes: 1 << 20, Files: 100, Ratio: 100, RatioFrom: 1 << 16, NameBytes: 200, Depth: 20}
		a, err := open(raw, limits)
		if err != nil {
			return
		}
		parent := t.TempDir()
		dir := filepath.Join(parent, "app")
		if err := os.Mkdir(dir, 0o755); err != nil {
			t.Fatal(err)
		}
		root, err := os.OpenRoot(dir)
		if err != nil {
			t.Fatal(err)
		}
		defer root.Close()
		_ = a.unpack(context.Background(), root)
		beside, err := os.ReadDir(parent)
		if err != nil || len(beside) != 1 {
			t.Errorf("something was written outside: %v, %v", beside, err)
		}
		_ = filepath.WalkDir(dir, func(path string, d fs.DirEntry, err error) error {
			if err == nil && d.Type() == fs.ModeSymlink {
				if target, err := filepath.EvalSymlinks(path); err == nil && target != dir && !strings.HasPrefix(target, dir+"/") {
					t.Errorf("%s leads out to %s", path, target)
				}
			}
			return nil
		})
	})
}
