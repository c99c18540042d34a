package cnb

import (
	"archive/tar"
	"bytes"
	"compress/gzip"
	"errors"
	"os"
	"path/filepath"
	"reflect"
	"strings"
	"testing"
	"time"
)

func testContext(t *testing.T) *Context {
	t.Helper()
	return &Context{AppDir: t.TempDir(), LayersDir: t.TempDir(), PlatformDir: t.TempDir(), Log: &Log{w: t.Output()}}
}

func TestCommand(t *testing.T) {
	for _, c := range []struct {
		line string
		want []string
	}{
		{"node server.js", []string{"node", "server.js"}},
		{"  ./run   --fast ", []string{"./run", "--fast"}},
		{"gunicorn -b 0.0.0.0:$PORT app:app", []string{"bash", "-c", "exec gunicorn -b 0.0.0.0:$PORT app:app"}},
		{`java -D"x y" -jar a.jar`, []string{"bash", "-c", `exec java -D"x y" -jar a.jar`}},
		{"npm run migrate && node .", []string{"bash", "-c", "npm run migrate && node ."}},
		{"NODE_ENV=test node .", []string{"bash", "-c", "NODE_ENV=test node ."}},
		{"cd web", []string{"bash", "-c", "cd web"}},
		{"exec ./run", []string{"bash", "-c", "exec ./run"}},
		{"./a; ./b", []string{"bash", "-c", "./a; ./b"}},
		{"", nil},
	} {
		if got := Command(c.line); !reflect.DeepEqual(got, c.want) {
			t.Errorf("Command(%q) = %q, want %q", c.line, got, c.want)
		}
	}
}

func TestParseProcfile(t *testing.T) {
	got, err := ParseProcfile("\ufeff# comment\r\nweb: ./run -p $PORT\r\n\nworker_1:  ./work\nweb: ./other\n")
	if err != nil {
		t.Fatal(err)
	}
	want := []Process{
		{Type: "web", Command: []string{"./other"}, Default: true},
		{Type: "worker_1", Command: []string{"./work"}},
	}
	if !reflect.DeepEqual(got, want) {
		t.Errorf("got %+v, want %+v", got, want)
	}
	for _, bad := range []string{"web ./run", "web:", "we b: ./run", "web: x\n: y"} {
		if _, err := ParseProcfile(bad); err == nil || !strings.Contains(err.Error(), "line") {
			t.Errorf("ParseProcfile(%q) = %v, want an error that names the line", bad, err)
		}
	}
}

func FuzzParseProcfile(f *testing.F) {
	f.Add("web: ./run\nworker: x && y")
	f.Add("web")
	f.Fuzz(func(t *testing.T, text string) {
		procs, err := ParseProcfile(text)
		if err != nil {
			return
		}
		for _, p := range procs {
			if p.Type == "" || len(p.Command) == 0 || p.Command[0] == "" {
				t.Errorf("ParseProcfile(%q) gives the process %+v", text, p)
			}
		}
	})
}

func TestLayerIsReusedOnlyWithContentAndKey(t *testing.T) {
	c := testContext(t)
	l, err := c.Layer("modules")
	if err != nil {
		t.Fatal(err)
	}
	if l.Fits("key", "") {
		t.Error("a new, empty layer fits")
	}
	l.Launch, l.Cache, l.Metadata["key"] = true, true, "a"
	if err := os.WriteFile(l.Path("file"), nil, 0o644); err != nil {
		t.Fatal(err)
	}
	if err := l.Write(); err != nil {
		t.Fatal(err)
	}
	again, err := c.Layer("modules")
	if err != nil {
		t.Fatal(err)
	}
	if !again.Fits("key", "a") || again.Fits("key", "b") {
		t.Errorf("restored with %v: fits a = %v, fits b = %v", again.Metadata, again.Fits("key", "a"), again.Fits("key", "b"))
	}
	if again.Launch || again.Cache {
		t.Error("a restored layer has types before they are set")
	}
	if err := again.Reset(); err != nil {
		t.Fatal(err)
	}
	if _, err := os.Stat(again.Dir + ".toml"); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("after Reset the layer's metadata is still there: %v", err)
	}
}

func TestLayerWithBrokenMetadataIsMadeAnew(t *testing.T) {
	c := testContext(t)
	dir := filepath.Join(c.LayersDir, "x")
	if err := os.MkdirAll(dir, 0o755); err != nil {
		t.Fatal(err)
	}
	for name, text := range map[string]string{dir + ".toml": "not [toml", filepath.Join(dir, "f"): "x"} {
		if err := os.WriteFile(name, []byte(text), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	l, err := c.Layer("x")
	if err != nil {
		t.Fatal(err)
	}
	if entries, _ := os.ReadDir(l.Dir); len(entries) != 0 || len(l.Metadata) != 0 {
		t.Errorf("the layer still has %d files and metadata %v", len(entries), l.Metadata)
	}
}

func TestCatalogAsksOnceADay(t *testing.T) {
	c, asked := testContext(t), 0
	var fail error
	get := func() []string {
		t.Helper()
		list, err := c.Catalog("versions", func() ([]string, error) { asked++; return []string{"1.0.0", "2.0.0"}, fail })
		if err != nil {
			t.Fatal(err)
		}
		return list
	}
	get()
	if got := get(); asked != 1 || len(got) != 2 {
		t.Errorf("asked %d times, got %v", asked, got)
	}
	l, err := c.Layer("versions")
	if err != nil {
		t.Fatal(err)
	}
	l.Metadata["checked"] = time.Now().Add(-48 * time.Hour).Format(time.RFC3339)
	if err := l.Write(); err != nil {
		t.Fatal(err)
	}
	fail = errors.New("the network is away")
	if got := get(); asked != 2 || len(got) != 2 {
		t.Errorf("with an old list and no network: asked %d times, got %v", asked, got)
	}
}

func archive(t *testing.T, headers ...tar.Header) string {
	t.Helper()
	var b bytes.Buffer
	z := gzip.NewWriter(&b)
	w := tar.NewWriter(z)
	for _, h := range headers {
		h.Size = int64(len("x"))
		if h.Typeflag != tar.TypeReg {
			h.Size = 0
		}
		if err := w.WriteHeader(&h); err != nil {
			t.Fatal(err)
		}
		if h.Size > 0 {
			if _, err := w.Write([]byte("x")); err != nil {
				t.Fatal(err)
			}
		}
	}
	if err := errors.Join(w.Close(), z.Close()); err != nil {
		t.Fatal(err)
	}
	name := filepath.Join(t.TempDir(), "a.tgz")
	if err := os.WriteFile(name, b.Bytes(), 0o644); err != nil {
		t.Fatal(err)
	}
	return name
}

func TestUnpackStaysInside(t *testing.T) {
	same := func(n string) string { return n }
	dir := t.TempDir()
	ok := archive(t, tar.Header{Name: "package/bin/node", Mode: 0o755, Typeflag: tar.TypeReg},
		tar.Header{Name: "package/link", Linkname: "/etc/passwd", Typeflag: tar.TypeSymlink})
	if err := Unpack(ok, dir, same); err != nil {
		t.Fatal(err)
	}
	if st, err := os.Stat(filepath.Join(dir, "package/bin/node")); err != nil || st.Mode()&0o111 == 0 {
		t.Errorf("the program is not there or not executable: %v", err)
	}
	if _, err := os.Lstat(filepath.Join(dir, "package/link")); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("a link was unpacked: %v", err)
	}
	for _, name := range []string{"../out", "/etc/out", "a/../../out"} {
		if err := Unpack(archive(t, tar.Header{Name: name, Typeflag: tar.TypeReg}), dir, same); err == nil {
			t.Errorf("%q was unpacked", name)
		}
	}
}

func TestKeyTellsPartsApart(t *testing.T) {
	var a, b Key
	a.Text("x", "yz")
	b.Text("xy", "z")
	if a.Sum() == b.Sum() {
		t.Error("parts that join to the same text have the same key")
	}
}

func TestEnvFallsBackToThePlatform(t *testing.T) {
	c := testContext(t)
	if err := os.MkdirAll(filepath.Join(c.PlatformDir, "env"), 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(c.PlatformDir, "env", "BP_TEST_X"), []byte("platform"), 0o644); err != nil {
		t.Fatal(err)
	}
	if got := c.Env("BP_TEST_X"); got != "platform" {
		t.Errorf("Env = %q, want the platform's", got)
	}
	t.Setenv("BP_TEST_X", "process")
	if got := c.Env("BP_TEST_X"); got != "process" {
		t.Errorf("Env = %q, want the process's", got)
	}
}
