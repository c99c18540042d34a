package buildpackage

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

	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/empty"
	"github.com/google/go-containerregistry/pkg/v1/layout"
	"github.com/google/go-containerregistry/pkg/v1/mutate"
	"github.com/google/go-containerregistry/pkg/v1/tarball"
)

const descriptor = "api = \"0.10\"\n[buildpack]\nid = \"example/app\"\nversion = \"1.2.3\"\n"

// makePackage makes a .cnb file of an image with the entries.
func makePackage(t *testing.T, label string, entries ...tar.Header) []byte {
	t.Helper()
	var layer bytes.Buffer
	tw := tar.NewWriter(&layer)
	for _, h := range entries {
		text := ""
		if strings.HasSuffix(h.Name, "buildpack.toml") {
			text = descriptor
		}
		h.Size, h.Mode = int64(len(text)), 0o644
		if strings.Contains(h.Name, "/bin/") {
			h.Mode = 0o4755
		}
		if err := tw.WriteHeader(&h); err != nil {
			t.Fatal(err)
		}
		if _, err := io.WriteString(tw, text); err != nil {
			t.Fatal(err)
		}
	}
	if err := tw.Close(); err != nil {
		t.Fatal(err)
	}
	l, err := tarball.LayerFromOpener(func() (io.ReadCloser, error) { return io.NopCloser(bytes.NewReader(layer.Bytes())), nil })
	if err != nil {
		t.Fatal(err)
	}
	img, err := mutate.AppendLayers(empty.Image, l)
	if err != nil {
		t.Fatal(err)
	}
	if img, err = mutate.Config(img, v1.Config{Labels: map[string]string{metadataLabel: label}}); err != nil {
		t.Fatal(err)
	}
	dir := t.TempDir()
	if p, err := layout.Write(dir, empty.Index); err != nil || p.AppendImage(img) != nil {
		t.Fatal(err)
	}
	var out bytes.Buffer
	tw = tar.NewWriter(&out)
	if err := errors.Join(tw.AddFS(os.DirFS(dir)), tw.Close()); err != nil {
		t.Fatal(err)
	}
	return out.Bytes()
}

const label = `{"id":"example/app","version":"1.2.3"}`

func file(name string) tar.Header { return tar.Header{Name: name, Typeflag: tar.TypeReg} }

func TestUnpack(t *testing.T) {
	const root = "cnb/buildpacks/example_app/1.2.3/"
	cnb := makePackage(t, label, file(root+"buildpack.toml"), file(root+"bin/build"),
		tar.Header{Name: root + "bin/detect", Typeflag: tar.TypeSymlink, Linkname: "build"}, file("etc/passwd"))
	var zipped bytes.Buffer
	z := gzip.NewWriter(&zipped)
	if _, err := z.Write(cnb); err != nil || z.Close() != nil {
		t.Fatal(err)
	}
	for name, content := range map[string][]byte{"plain": cnb, "gzipped": zipped.Bytes()} {
		dir := t.TempDir()
		got, err := Unpack(bytes.NewReader(content), dir)
		if err != nil || got != (Root{"example/app", "1.2.3"}) {
			t.Fatalf("%s: %+v, %v", name, got, err)
		}
		if again, err := ReadRoot(dir); err != nil || again != got {
			t.Errorf("%s: ReadRoot = %+v, %v", name, again, err)
		}
		info, err := os.Stat(filepath.Join(dir, "example_app/1.2.3/bin/detect"))
		if err != nil || info.Mode().Perm() != 0o755 || info.Mode()&fs.ModeSetuid != 0 {
			t.Errorf("%s: bin/detect: %v, %v", name, info, err)
		}
		if entries, _ := os.ReadDir(dir); len(entries) != 2 {
			t.Errorf("%s: %v lie in the folder, want the buildpack and what was written down", name, entries)
		}
	}
}

func TestUnpackRefuses(t *testing.T) {
	const root = "cnb/buildpacks/example_app/1.2.3/"
	for name, c := range map[string]struct {
		content []byte
		want    string
	}{
		"no tar":      {[]byte("hello"), "is cut off or is not a tar"},
		"no layout":   {nil, "is no OCI image layout"},
		"no label":    {makePackage(t, "", file(root+"buildpack.toml")), "does not say which buildpack it is"},
		"a bad id":    {makePackage(t, `{"id":"../x","version":"1"}`, file(root+"buildpack.toml")), "no valid buildpack id"},
		"not in it":   {makePackage(t, `{"id":"example/other","version":"1"}`, file(root+"buildpack.toml")), "which is not in it"},
		"a way out":   {makePackage(t, label, file(root+"buildpack.toml"), tar.Header{Name: root + "x", Typeflag: tar.TypeSymlink, Linkname: "../../../../etc"}), "leads out of it"},
		"a hard link": {makePackage(t, label, file(root+"buildpack.toml"), tar.Header{Name: root + "x", Typeflag: tar.TypeLink, Linkname: root + "buildpack.toml"}), "hard link"},
		"over a link": {makePackage(t, label, file(root+"buildpack.toml"), tar.Header{Name: root + "x", Typeflag: tar.TypeSymlink, Linkname: "y"}, file(root+"x/z")), "unpack"},
	} {
		if _, err := Unpack(bytes.NewReader(c.content), t.TempDir()); err == nil || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%s: %v, want %q", name, err, c.want)
		}
	}
}
