package export

import (
	"archive/tar"
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log"
	"net/http/httptest"
	"os"
	"path/filepath"
	"reflect"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-containerregistry/pkg/name"
	"github.com/google/go-containerregistry/pkg/registry"
	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/empty"
	"github.com/google/go-containerregistry/pkg/v1/mutate"
	"github.com/google/go-containerregistry/pkg/v1/remote"
	"github.com/google/go-containerregistry/pkg/v1/tarball"

	"github.com/cupola-paas/cupola/buildpack/launcher"
	"github.com/cupola-paas/cupola/buildpack/lifecycle"
)

// fixture is a finished build before its export, beside a registry with a run image.
type fixture struct {
	t   testing.TB
	dir string
	Export
}

func newFixture(t testing.TB) *fixture {
	t.Helper()
	s := httptest.NewServer(registry.New(registry.Logger(log.New(io.Discard, "", 0))))
	t.Cleanup(s.Close)
	f := &fixture{t: t, dir: t.TempDir()}
	f.Export = Export{
		LayersDir: filepath.Join(f.dir, "layers"), AppDir: filepath.Join(f.dir, "app"), TempDir: filepath.Join(f.dir, "temp"),
		LayersPath: "/layers", AppPath: "/home/vcap/app", Owner: Owner{2000, 2001},
		Group:    []launcher.Buildpack{{ID: "x/one", Version: "1", API: "0.10", Homepage: "h"}, {ID: "two", Version: "2", API: "0.12"}},
		Launcher: []byte("program"), LauncherVersion: "v", Repository: strings.TrimPrefix(s.URL, "http://") + "/droplets/a",
	}
	f.useRunImage("one")
	os.MkdirAll(f.TempDir, 0o755)
	for path, content := range map[string]string{
		"layers/config/metadata.toml":      "[[processes]]\ntype = \"web\"\ncommand = [\"serve\"]\nargs = []\ndirect = true\nbuildpack-id = \"two\"\n[[slices]]\npaths = [\"public/*\", \"/home/vcap/app/assets\"]\n",
		"layers/x_one/mods.toml":           "[types]\nlaunch = true\ncache = true\n[metadata]\nn = 3\nf = 1.5\nlist = [1, 2]\n",
		"layers/x_one/mods/lib/b":          "b",
		"layers/x_one/mods/lib/a":          "a",
		"layers/x_one/mods.sbom.cdx.json":  "{}",
		"layers/x_one/build.toml":          "",
		"layers/x_one/store.toml":          "[metadata]\nsince = 1\n",
		"layers/x_one/tmp.toml":            "[types]\nbuild = true\n",
		"layers/two/only.toml":             "[types]\nlaunch = true\n",
		"layers/two/only/x":                "x",
		"layers/two/launch.sbom.spdx.json": "{\"a\":1}",
		"app/main.js":                      "code",
		"app/public/index.html":            "hi",
		"app/public/img/a.png":             "png",
		"app/assets/x.css":                 "css",
		"app/.profile":                     "p",
	} {
		f.put(path, content)
	}
	return f
}

func (f *fixture) put(path, content string) {
	f.t.Helper()
	path = filepath.Join(f.dir, path)
	if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
		f.t.Fatal(err)
	}
	if err := os.WriteFile(path, []byte(content), 0o644); err != nil {
		f.t.Fatal(err)
	}
}

// useRunImage makes and pushes a run image, told apart by its marker.
func (f *fixture) useRunImage(marker string) {
	f.t.Helper()
	reference := pushRunImage(f.t, strings.Split(f.Repository, "/")[0], marker, nil)
	img, ref, err := f.Registry.Image(context.Background(), reference)
	if err != nil {
		f.t.Fatal(err)
	}
	f.RunImage, f.RunReference = img, ref
}

func pushRunImage(t testing.TB, host, marker string, labels map[string]string) string {
	t.Helper()
	img := empty.Image
	for _, content := range []string{"base", marker} {
		var b bytes.Buffer
		tw := tar.NewWriter(&b)
		tw.WriteHeader(&tar.Header{Name: "etc-" + content, Size: int64(len(content)), Mode: 0o644})
		io.WriteString(tw, content)
		tw.Close()
		layer, err := tarball.LayerFromOpener(func() (io.ReadCloser, error) { return io.NopCloser(bytes.NewReader(b.Bytes())), nil })
		if err != nil {
			t.Fatal(err)
		}
		if img, err = mutate.AppendLayers(img, layer); err != nil {
			t.Fatal(err)
		}
	}
	config, err := img.ConfigFile()
	if err != nil {
		t.Fatal(err)
	}
	config = config.DeepCopy()
	config.OS, config.Architecture = "linux", "amd64"
	config.Config.Env = []string{"LANG=C", "PATH=/usr/bin:/bin"}
	config.Config.Labels = map[string]string{"io.buildpacks.base.distro.name": "debian", "io.buildpacks.base.marker": marker}
	for k, v := range labels {
		config.Config.Labels[k] = v
	}
	if img, err = mutate.ConfigFile(img, config); err != nil {
		t.Fatal(err)
	}
	digest, err := img.Digest()
	if err != nil {
		t.Fatal(err)
	}
	ref, err := name.NewDigest(host + "/stacks/run@" + digest.String())
	if err != nil {
		t.Fatal(err)
	}
	if err := remote.Write(ref, img); err != nil {
		t.Fatal(err)
	}
	return ref.Name()
}

func (f *fixture) export() *Exported {
	f.t.Helper()
	out, err := f.Do(context.Background())
	if err != nil {
		f.t.Fatal(err)
	}
	return out
}

func (f *fixture) image(digest string) v1.Image {
	f.t.Helper()
	img, _, err := f.Registry.Image(context.Background(), f.Repository+"@"+digest)
	if err != nil {
		f.t.Fatal(err)
	}
	return img
}

// analyze makes the exported image the previous one.
func (f *fixture) analyze(digest string) {
	f.t.Helper()
	previous, err := f.Registry.Analyze(context.Background(), f.Repository+"@"+digest)
	if err != nil || previous == nil {
		f.t.Fatalf("Analyze = %v, %v", previous, err)
	}
	f.Previous = previous
}

// listing is a line for each entry of a layer.
func listing(t testing.TB, l v1.Layer) []string {
	t.Helper()
	content, err := l.Uncompressed()
	if err != nil {
		t.Fatal(err)
	}
	defer content.Close()
	var lines []string
	tr := tar.NewReader(content)
	for {
		h, err := tr.Next()
		if err == io.EOF {
			return lines
		}
		if err != nil {
			t.Fatal(err)
		}
		if !h.ModTime.Equal(epoch) {
			t.Errorf("%s has the time %s", h.Name, h.ModTime)
		}
		lines = append(lines, strings.TrimSpace(fmt.Sprintf("%o %d:%d %s %s", h.Mode, h.Uid, h.Gid, h.Name, h.Linkname)))
	}
}

func TestExportedLayers(t *testing.T) {
	f := newFixture(t)
	layers, err := f.image(f.export().Digest.String()).Layers()
	if err != nil {
		t.Fatal(err)
	}
	want := [][]string{
		{"755 0:0 cnb/", "755 0:0 cnb/lifecycle/", "755 0:0 cnb/lifecycle/launcher"},
		{"755 0:0 layers/", "755 0:0 layers/x_one/", "755 2000:2001 layers/x_one/mods/", "755 2000:2001 layers/x_one/mods/lib/", "644 2000:2001 layers/x_one/mods/lib/a", "644 2000:2001 layers/x_one/mods/lib/b"},
		{"755 0:0 layers/", "755 0:0 layers/two/", "755 2000:2001 layers/two/only/", "644 2000:2001 layers/two/only/x"},
		{"755 0:0 layers/", "755 0:0 layers/sbom/", "755 0:0 layers/sbom/launch/", "755 0:0 layers/sbom/launch/two/", "644 0:0 layers/sbom/launch/two/sbom.spdx.json",
			"755 0:0 layers/sbom/launch/x_one/", "755 0:0 layers/sbom/launch/x_one/mods/", "644 0:0 layers/sbom/launch/x_one/mods/sbom.cdx.json"},
		{"755 0:0 layers/", "755 0:0 layers/config/", "644 0:0 layers/config/metadata.toml", "755 0:0 cnb/", "755 0:0 cnb/process/", "777 0:0 cnb/process/web /cnb/lifecycle/launcher"},
		{"755 0:0 home/", "755 2000:2001 home/vcap/", "755 2000:2001 home/vcap/app/", "755 2000:2001 home/vcap/app/assets/", "644 2000:2001 home/vcap/app/assets/x.css",
			"755 2000:2001 home/vcap/app/public/", "755 2000:2001 home/vcap/app/public/img/", "644 2000:2001 home/vcap/app/public/img/a.png", "644 2000:2001 home/vcap/app/public/index.html"},
		{"755 0:0 home/", "755 2000:2001 home/vcap/", "755 2000:2001 home/vcap/app/", "644 2000:2001 home/vcap/app/.profile", "644 2000:2001 home/vcap/app/main.js", "755 2000:2001 home/vcap/app/public/"},
	}
	if len(layers) != len(want)+2 {
		t.Fatalf("%d layers, want %d above the run image's two", len(layers), len(want))
	}
	for i, list := range want {
		if got := listing(t, layers[i+2]); !slices.Equal(got, list) {
			t.Errorf("layer %d:\n%s\nwant:\n%s", i, strings.Join(got, "\n"), strings.Join(list, "\n"))
		}
	}
}

func TestExportedConfiguration(t *testing.T) {
	f := newFixture(t)
	f.Labels = []lifecycle.Label{{Key: "k", Value: "v"}, {Key: LifecycleLabel, Value: "forged"}}
	config, err := f.image(f.export().Digest.String()).ConfigFile()
	if err != nil {
		t.Fatal(err)
	}
	c := config.Config
	if !reflect.DeepEqual(c.Entrypoint, []string{"/cnb/process/web"}) || c.Cmd != nil || c.WorkingDir != "/home/vcap/app" || c.User != "2000:2001" {
		t.Errorf("starts as %q %q in %q by %q", c.Entrypoint, c.Cmd, c.WorkingDir, c.User)
	}
	wantEnv := []string{"LANG=C", "PATH=/cnb/process:/cnb/lifecycle:/usr/bin:/bin", "CNB_LAYERS_DIR=/layers", "CNB_APP_DIR=/home/vcap/app", "CNB_PLATFORM_API=0.12"}
	if !slices.Equal(c.Env, wantEnv) {
		t.Errorf("Env = %q, want %q", c.Env, wantEnv)
	}
	if c.Labels["k"] != "v" || c.Labels[ProjectLabel] != "{}" || c.Labels[RebasableLabel] != "true" || !config.Created.Equal(epoch) {
		t.Errorf("labels %v, created %s", c.Labels, config.Created)
	}
	golden(t, "lifecycle.json", c.Labels[LifecycleLabel], strings.Split(f.Repository, "/")[0])
	golden(t, "build.json", c.Labels[BuildLabel], "")
}

// golden compares a label with a file in testdata; host is replaced, because its port changes.
func golden(t *testing.T, file, label, host string) {
	t.Helper()
	var b bytes.Buffer
	if err := json.Indent(&b, []byte(label), "", "  "); err != nil {
		t.Fatal(err)
	}
	got := b.String() + "\n"
	if host != "" {
		got = strings.ReplaceAll(got, host, "HOST")
	}
	path := filepath.Join("testdata", file)
	if os.Getenv("UPDATE_GOLDEN") != "" {
		os.MkdirAll("testdata", 0o755)
		if err := os.WriteFile(path, []byte(got), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	if got != string(want) {
		t.Errorf("%s:\n%s\nwant:\n%s", file, got, want)
	}
}

func TestExportIsReproducible(t *testing.T) {
	a, b := newFixture(t), newFixture(t)
	b.Repository, b.RunImage, b.RunReference = a.Repository, a.RunImage, a.RunReference
	if x, y := a.export().Digest, b.export().Digest; x != y {
		t.Errorf("the same build made %s and %s", x, y)
	}
}

func TestOnlyWhatChangedIsUploaded(t *testing.T) {
	f := newFixture(t)
	first := f.export()
	if first.Uploaded != 7 || first.Reused != 0 {
		t.Errorf("first: %d uploaded, %d reused", first.Uploaded, first.Reused)
	}
	f.analyze(first.Digest.String())
	f.Cached = first.Cache
	if same := f.export(); same.Digest != first.Digest || same.Uploaded != 0 {
		t.Errorf("unchanged: %s, %d uploaded, want %s, 0", same.Digest, same.Uploaded, first.Digest)
	}
	f.put("app/main.js", "more code")
	if next := f.export(); next.Digest == first.Digest || next.Uploaded != 1 {
		t.Errorf("one file changed: %d uploaded", next.Uploaded)
	}
	// Changed in place with the size and the time of before: the fingerprint must not fall for it.
	path := filepath.Join(f.LayersDir, "x_one/mods/lib/a")
	info, _ := os.Stat(path)
	f.put("layers/x_one/mods/lib/a", "Z")
	os.Chtimes(path, info.ModTime(), info.ModTime())
	if next := f.export(); next.Uploaded != 2 {
		t.Errorf("a cached layer changed: %d uploaded, want it and the app", next.Uploaded)
	}
}

func TestLayersOfThePreviousImageAreKept(t *testing.T) {
	f := newFixture(t)
	first := f.export()
	os.RemoveAll(filepath.Join(f.LayersDir, "two/only"))
	var missing *ReuseError
	if _, err := f.Do(context.Background()); !errors.As(err, &missing) || missing.Layer != "only" {
		t.Errorf("without a previous image: %v, want a ReuseError", err)
	}
	f.analyze(first.Digest.String())
	f.put("layers/two/only.toml", "[types]\nlaunch = true\n[metadata]\nnew = true\n")
	next := f.export()
	f.analyze(next.Digest.String())
	l, ok := f.Previous.Metadata.layer("two", "only")
	if !ok || l.Data["new"] != true || f.Previous.find(l.SHA) == nil {
		t.Errorf("kept layer = %+v", l)
	}
}

func TestRestore(t *testing.T) {
	f := newFixture(t)
	f.put("layers/two/only.sbom.syft.json", "{\"only\":1}")
	f.analyze(f.export().Digest.String())
	dir := t.TempDir()
	if err := f.Previous.Restore(dir, func(id, layer string) bool { return false }); err != nil {
		t.Fatal(err)
	}
	var got []string
	filepath.WalkDir(dir, func(path string, d os.DirEntry, _ error) error {
		if !d.IsDir() {
			b, _ := os.ReadFile(path)
			rel, _ := filepath.Rel(dir, path)
			got = append(got, rel+"="+string(b))
		}
		return nil
	})
	// mods is in the cache, so that the image does not bring it back; types never come back.
	want := []string{"two/only.sbom.syft.json={\"only\":1}", "two/only.toml=[metadata]\n", "x_one/store.toml=[metadata]\nsince = 1\n"}
	if !slices.Equal(got, want) {
		t.Errorf("restored %q, want %q", got, want)
	}
}

func TestAnalyzeWithoutAnImage(t *testing.T) {
	f := newFixture(t)
	none := f.Repository + "@sha256:" + strings.Repeat("0", 64)
	if p, err := f.Registry.Analyze(context.Background(), none); p != nil || err != nil {
		t.Errorf("Analyze = %v, %v; want nothing", p, err)
	}
	if p, err := f.Registry.Analyze(context.Background(), f.RunReference.Name()); p != nil || err != nil {
		t.Errorf("Analyze of an image without labels = %v, %v; want nothing", p, err)
	}
}

func TestHostileFiles(t *testing.T) {
	outside := filepath.Join(t.TempDir(), "secret")
	if err := os.WriteFile(outside, []byte("[metadata]\nsecret = 1\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	for name, prepare := range map[string]func(f *fixture){
		"store.toml is a link": func(f *fixture) { relink(f, outside, "x_one/store.toml") },
		"layer.toml is a link": func(f *fixture) { relink(f, outside, "two/only.toml") },
		"metadata is a link":   func(f *fixture) { relink(f, outside, "config/metadata.toml") },
		"SBOM is a link":       func(f *fixture) { relink(f, outside, "x_one/mods.sbom.cdx.json") },
		"buildpack is a link":  func(f *fixture) { relink(f, filepath.Dir(outside), "two") },
		"slice leads outside":  func(f *fixture) { f.put("layers/config/metadata.toml", "[[slices]]\npaths = [\"../x\"]") },
		"process type is a path": func(f *fixture) {
			f.put("layers/config/metadata.toml", "[[processes]]\ntype = \"../x\"\ncommand = [\"x\"]")
		},
	} {
		t.Run(name, func(t *testing.T) {
			f := newFixture(t)
			prepare(f)
			if out, err := f.Do(context.Background()); err == nil {
				t.Errorf("exported %s all the same", out.Digest)
			}
		})
	}
}

func relink(f *fixture, target, name string) {
	path := filepath.Join(f.LayersDir, name)
	os.RemoveAll(path)
	if err := os.Symlink(target, path); err != nil {
		f.t.Fatal(err)
	}
}

func TestSlicesMatchNamesOnly(t *testing.T) {
	dir := t.TempDir()
	for _, file := range []string{"a.txt", "sub/b.txt", "sub/deep/c.txt", "other/d.md"} {
		os.MkdirAll(filepath.Dir(filepath.Join(dir, file)), 0o755)
		os.WriteFile(filepath.Join(dir, file), nil, 0o644)
	}
	os.Symlink("/etc", filepath.Join(dir, "link"))
	slicesOf := []launcher.Slice{{Paths: []string{"*.txt"}}, {Paths: []string{"sub", "link/*"}}, {Paths: []string{"*/*.txt", "/app/other/*"}}}
	files, err := readApp(dir, "/app", slicesOf)
	if err != nil {
		t.Fatal(err)
	}
	got := map[string]int{}
	for _, f := range files {
		got[f.rel] = f.slice
	}
	want := map[string]int{"a.txt": 0, "sub": 1, "sub/b.txt": 1, "sub/deep": 1, "sub/deep/c.txt": 1, "other": rest, "other/d.md": 2, "link": rest}
	if !reflect.DeepEqual(got, want) {
		t.Errorf("slices %v, want %v", got, want)
	}
}
