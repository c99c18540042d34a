package stack

import (
	"archive/tar"
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"log"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"reflect"
	"strings"
	"testing"
	"time"

	"github.com/google/go-containerregistry/pkg/name"
	"github.com/google/go-containerregistry/pkg/registry"
	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/mutate"
	"github.com/google/go-containerregistry/pkg/v1/random"
	"github.com/google/go-containerregistry/pkg/v1/remote"
	"github.com/google/go-containerregistry/pkg/v1/validate"
	"golang.org/x/sys/unix"
)

var testRelease = &release{ID: "debian", VersionID: "13", Codename: "trixie", PrettyName: "Debian GNU/Linux 13 (trixie)"}

// tree writes files below a new folder: a name that ends in / is a folder, "-> x" a link.
func tree(t *testing.T, files map[string]string) string {
	t.Helper()
	root := t.TempDir()
	for name, text := range files {
		path := filepath.Join(root, name)
		dir := filepath.Dir(path)
		if strings.HasSuffix(name, "/") {
			dir = path
		}
		if err := os.MkdirAll(dir, 0o755); err != nil {
			t.Fatal(err)
		}
		var err error
		if link, ok := strings.CutPrefix(text, "-> "); ok {
			err = os.Symlink(link, path)
		} else if dir != path && !strings.HasSuffix(name, "/") {
			err = os.WriteFile(path, []byte(text), 0o644)
		}
		if err != nil {
			t.Fatal(err)
		}
	}
	return root
}

func TestHostMirrors(t *testing.T) {
	debian := "ID=debian\n"
	for _, c := range []struct {
		name  string
		files map[string]string
		want  mirrors
	}{
		{"deb822", map[string]string{"etc/os-release": debian, "etc/apt/sources.list.d/debian.sources": "Types: deb\nURIs: http://a.example/debian/\nSuites: trixie\n\nTypes: deb\nURIs: http://a.example/debian-security\n"},
			mirrors{"http://a.example/debian", "http://a.example/debian-security"}},
		{"one line", map[string]string{"etc/os-release": debian, "etc/apt/sources.list": "# deb http://no.example/debian x\ndeb [arch=amd64] https://b.example/pub/debian trixie main\n"},
			mirrors{"https://b.example/pub/debian", ""}},
		{"third parties only", map[string]string{"etc/os-release": debian, "etc/apt/sources.list.d/x.list": "deb https://c.example/node nodistro main\n"}, mirrors{}},
		{"a mirror's list file", map[string]string{"etc/os-release": debian, "etc/apt/sources.list": "deb mirror+file:/etc/apt/mirrors trixie main\n"}, mirrors{}},
		{"not Debian", map[string]string{"etc/os-release": "ID=ubuntu\nID_LIKE=debian\n", "etc/apt/sources.list": "deb http://d.example/debian x main\n"}, mirrors{}},
		{"nothing", nil, mirrors{}},
	} {
		if got := hostMirrors(tree(t, c.files)); got != c.want {
			t.Errorf("%s: got %+v, want %+v", c.name, got, c.want)
		}
	}
}

func TestChooseMirrors(t *testing.T) {
	root := tree(t, map[string]string{"etc/os-release": "ID=debian\n", "etc/apt/sources.list": "deb http://host.example/debian x main\ndeb http://host.example/debian-security x main\n"})
	if got, want := chooseMirrors(Options{}, root), (mirrors{"http://host.example/debian", "http://host.example/debian-security"}); got != want {
		t.Errorf("by default: %+v, want %+v", got, want)
	}
	if got, want := chooseMirrors(Options{Mirror: "http://own.example/debian/"}, root), (mirrors{Main: "http://own.example/debian"}); got != want {
		t.Errorf("with a mirror: %+v, want %+v: the host's security archive is not of that mirror", got, want)
	}
	if got, want := securityOf("http://own.example/debian/"), "http://own.example/debian-security"; got != want {
		t.Errorf("securityOf = %q, want %q", got, want)
	}
}

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

func TestProgressOnlyGrows(t *testing.T) {
	var seen []int
	p := newProgress(func(_ string, done, total int) {
		if total != progressTotal {
			t.Fatalf("total = %d", total)
		}
		seen = append(seen, done)
	})
	p.begin("one", 500, 2)
	for _, l := range []string{"I: Retrieving a", "noise", "I: Extracting a", "I: Extracting b", "I: Extracting c"} {
		p.line(l)
	}
	p.begin("two", 1000, 1)
	for _, l := range []string{"0 upgraded, 2 newly installed, 0 to remove and 0 not upgraded.", "Get:1 x", "Get:2 y", "Unpacking x", "Unpacking y", "Setting up x", "Setting up y"} {
		p.line(l)
	}
	if last := 0; len(seen) == 0 || seen[len(seen)-1] != 1000 {
		t.Errorf("seen %v, want it to end at 1000", seen)
	} else {
		for _, n := range seen {
			if n < last {
				t.Errorf("seen %v goes back", seen)
			}
			last = n
		}
	}
}

func TestExplain(t *testing.T) {
	for _, c := range []struct {
		line string
		want error
	}{
		{"E: Failed getting release file http://x/dists/trixie/Release", ErrMirror},
		{"E: Unable to fetch some archives: Temporary failure resolving 'x'", ErrMirror},
		{"tar: write error: No space left on device", ErrNoSpace},
		{"E: You don't have enough free space in /var/cache/apt/archives/.", ErrNoSpace},
	} {
		if err := explain(&CommandError{Program: "apt-get", Tail: []string{c.line}, Err: errors.New("exit status 100")}); !errors.Is(err, c.want) {
			t.Errorf("%q is explained as %v, want %v", c.line, err, c.want)
		}
	}
	plain := explain(&CommandError{Program: "apt-get", Tail: []string{"E: something else"}, Err: errors.New("exit status 1")})
	if errors.Is(plain, ErrMirror) || errors.Is(plain, ErrNoSpace) || !strings.Contains(plain.Error(), "something else") {
		t.Errorf("an unknown failure is explained as %v", plain)
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

// prepared puts a small stack into a cache as prepareLocked does.
func prepared(t *testing.T, cache string, rec recipe, content string) *Stack {
	t.Helper()
	work, err := os.MkdirTemp(cache, tempPrefix)
	if err != nil {
		t.Fatal(err)
	}
	defer os.RemoveAll(work)
	pkgs := []Package{{"bash", content}}
	base, err := writeLayer(context.Background(), filepath.Join(work, "a.gz"), entries(t, tree(t, map[string]string{"run": content})), time.Now())
	if err != nil {
		t.Fatal(err)
	}
	more, err := writeLayer(context.Background(), filepath.Join(work, "b.gz"), entries(t, tree(t, map[string]string{"build": content})), time.Now())
	if err != nil {
		t.Fatal(err)
	}
	for kind, layers := range map[string][]v1.Layer{"run": {base}} {
		img, err := assemble(testRelease, kind, pkgs, layers)
		if err != nil {
			t.Fatal(err)
		}
		if err := writeLayout(filepath.Join(work, "out", kind), img, nil); err != nil {
			t.Fatal(err)
		}
	}
	img, err := assemble(testRelease, "build", pkgs, []v1.Layer{base, more})
	if err != nil {
		t.Fatal(err)
	}
	if err := writeLayout(filepath.Join(work, "out", "build"), img, base); err != nil {
		t.Fatal(err)
	}
	m := metadata{ID: testRelease.stackID(), Version: rec.version(pkgs), Packages: pkgs, Created: time.Now()}
	if err := publish(cache, rec, filepath.Join(work, "out"), m); err != nil {
		t.Fatal(err)
	}
	s, err := load(cache, rec)
	if err != nil {
		t.Fatal(err)
	}
	return s
}

func TestPrepareTakesWhatTheCacheHas(t *testing.T) {
	cache := t.TempDir()
	want := prepared(t, cache, recipeFor(DefaultSuite), "1")
	got, err := Prepare(context.Background(), Options{CacheDir: cache})
	if err != nil {
		t.Fatal(err)
	}
	if got.Version != want.Version || got.ID != "cupola-13" || len(got.Packages) != 1 {
		t.Errorf("got %s %s with %v", got.ID, got.Version, got.Packages)
	}
	for _, img := range []v1.Image{got.Run, got.Build} {
		if err := validate.Image(img); err != nil {
			t.Error(err)
		}
	}
}

func TestBuildImageSharesTheRunImagesLayer(t *testing.T) {
	s := prepared(t, t.TempDir(), recipeFor("x"), "1")
	run, err := s.Run.Layers()
	if err != nil {
		t.Fatal(err)
	}
	build, err := s.Build.Layers()
	if err != nil {
		t.Fatal(err)
	}
	a, _ := run[0].Digest()
	b, _ := build[0].Digest()
	if len(run) != 1 || len(build) != 2 || a != b {
		t.Fatalf("run has %d layers from %s, build %d from %s", len(run), a, len(build), b)
	}
	var files []os.FileInfo
	for _, p := range []string{s.RunPath, s.BuildPath} {
		st, err := os.Stat(filepath.Join(p, "blobs", "sha256", a.Hex))
		if err != nil {
			t.Fatal(err)
		}
		files = append(files, st)
	}
	if !os.SameFile(files[0], files[1]) {
		t.Error("the shared layer is on the disk twice")
	}
}

func TestPublishKeepsTheStackBefore(t *testing.T) {
	cache, rec := t.TempDir(), recipeFor("x")
	var all []*Stack
	for i := range 3 {
		all = append(all, prepared(t, cache, rec, fmt.Sprint(i)))
	}
	for i, want := range []bool{false, true, true} {
		_, err := os.Stat(all[i].RunPath)
		if (err == nil) != want {
			t.Errorf("stack %d: %v, want it to be there: %v", i, err, want)
		}
	}
	if s, err := load(cache, rec); err != nil || s.Version != all[2].Version {
		t.Errorf("the newest is %v, %v", s, err)
	}
}

func TestDamagedCacheIsNotTaken(t *testing.T) {
	cache, rec := t.TempDir(), recipeFor("x")
	s := prepared(t, cache, rec, "1")
	layers, err := s.Run.Layers()
	if err != nil {
		t.Fatal(err)
	}
	d, err := layers[0].Digest()
	if err != nil {
		t.Fatal(err)
	}
	if err := os.Truncate(filepath.Join(s.RunPath, "blobs", "sha256", d.Hex), 10); err != nil {
		t.Fatal(err)
	}
	if _, err := load(cache, rec); err == nil {
		t.Error("a stack with half a layer was taken")
	}
	if again := prepared(t, cache, rec, "1"); again.Version != s.Version {
		t.Errorf("made anew it is %s, want %s", again.Version, s.Version)
	}
}

func TestRemoveStale(t *testing.T) {
	cache := tree(t, map[string]string{tempPrefix + "crashed/run-root/etc/passwd": "x", "keep/x": "y"})
	if err := removeStale(cache); err != nil {
		t.Fatal(err)
	}
	if left := paths(entries(t, cache)); !reflect.DeepEqual(left, []string{"keep", "keep/x"}) {
		t.Errorf("left: %q", left)
	}
}

func TestRemoveTreeRefusesMounts(t *testing.T) {
	if os.Geteuid() != 0 {
		t.Skip("mounting needs root")
	}
	dir := tree(t, map[string]string{"root/dev/": "", "host/precious": "x"})
	target := filepath.Join(dir, "root", "dev")
	if err := unix.Mount(filepath.Join(dir, "host"), target, "", unix.MS_BIND, ""); err != nil {
		t.Skipf("this machine allows no mounts: %v", err)
	}
	defer func() {
		if err := unix.Unmount(target, 0); err != nil {
			t.Error(err)
		}
	}()
	if err := removeTree(filepath.Join(dir, "root")); err == nil || !strings.Contains(err.Error(), target) {
		t.Errorf("removeTree = %v, want it to name %s", err, target)
	}
	if _, err := os.Stat(filepath.Join(dir, "host", "precious")); err != nil {
		t.Error(err)
	}
}

func TestLockIsExclusive(t *testing.T) {
	name := filepath.Join(t.TempDir(), "lock")
	quiet := func(string, int, int) {}
	unlock, err := lock(context.Background(), name, quiet)
	if err != nil {
		t.Fatal(err)
	}
	waiting, got := make(chan struct{}), make(chan error, 1)
	go func() {
		again, err := lock(context.Background(), name, func(string, int, int) { close(waiting) })
		if err == nil {
			again()
		}
		got <- err
	}()
	<-waiting
	ctx, cancel := context.WithCancel(context.Background())
	cancel()
	if _, err := lock(ctx, name, quiet); !errors.Is(err, context.Canceled) {
		t.Errorf("a cancelled wait gives %v", err)
	}
	unlock()
	if err := <-got; err != nil {
		t.Error(err)
	}
}

func TestCommandLeavesNothingBehind(t *testing.T) {
	if os.Geteuid() != 0 {
		t.Skip("namespaces need root")
	}
	c := command{args: []string{"true"}, env: hostEnv()}
	if err := c.run(context.Background()); err != nil {
		t.Skipf("this machine allows no namespaces: %v", err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	pid := make(chan string, 1)
	c = command{args: []string{"bash", "-c", "setsid sleep 98317 & cat /proc/$!/stat; wait"}, env: hostEnv(), line: func(s string) { pid <- s; cancel() }}
	if err := c.run(ctx); !errors.Is(err, context.Canceled) {
		t.Errorf("cancelled: %v", err)
	}
	<-pid
	if out, err := exec.Command("pgrep", "-f", "^sleep 98317$").Output(); err == nil {
		t.Errorf("still running: %s", out)
	}
	err := command{args: []string{"bash", "-c", "echo 'E: Failed getting release file x'; exit 1"}, env: hostEnv()}.run(context.Background())
	if !errors.Is(err, ErrMirror) {
		t.Errorf("a mirror that can't be reached gives %v", err)
	}
}

func testRegistry(t *testing.T) string {
	t.Helper()
	srv := httptest.NewServer(registry.New(registry.Logger(log.New(io.Discard, "", 0))))
	t.Cleanup(srv.Close)
	return strings.TrimPrefix(srv.URL, "http://")
}

func TestPush(t *testing.T) {
	s, host := prepared(t, t.TempDir(), recipeFor("x"), "1"), testRegistry(t)
	for range 2 { // the second time all of it is there
		build, run, err := s.Push(context.Background(), Registry{Host: host}, "stack/build", "stack/run")
		if err != nil {
			t.Fatal(err)
		}
		for ref, img := range map[string]v1.Image{build: s.Build, run: s.Run} {
			want, err := img.Digest()
			if err != nil {
				t.Fatal(err)
			}
			r, err := name.NewDigest(ref)
			if err != nil || r.DigestStr() != want.String() {
				t.Errorf("%s is no reference to %s: %v", ref, want, err)
				continue
			}
			if _, err := remote.Image(r); err != nil {
				t.Error(err)
			}
		}
	}
}

func TestFromImages(t *testing.T) {
	host := testRegistry(t)
	put := func(repo string, change func(*v1.ConfigFile)) string {
		t.Helper()
		img, err := random.Image(100, 1)
		if err != nil {
			t.Fatal(err)
		}
		cf, err := img.ConfigFile()
		if err != nil {
			t.Fatal(err)
		}
		cf = cf.DeepCopy()
		cf.OS, cf.Architecture = "linux", "amd64"
		cf.Config.User, cf.Config.Env = "1000:1000", []string{"CNB_USER_ID=1000", "CNB_GROUP_ID=1000"}
		change(cf)
		if img, err = mutate.ConfigFile(img, cf); err != nil {
			t.Fatal(err)
		}
		ref, err := name.ParseReference(host + "/" + repo)
		if err != nil {
			t.Fatal(err)
		}
		if err := remote.Write(ref, img); err != nil {
			t.Fatal(err)
		}
		return ref.String()
	}
	good := put("good", func(c *v1.ConfigFile) {
		c.Config.Labels = map[string]string{"io.buildpacks.base.distro.name": "alpine", "io.buildpacks.base.distro.version": "3.22"}
	})
	s, err := FromImages(context.Background(), good, good)
	if err != nil || s.ID != "alpine-3.22" || len(s.Version) != 16 {
		t.Errorf("got %+v, %v", s, err)
	}
	for want, bad := range map[string]string{
		"not root":     put("root", func(c *v1.ConfigFile) { c.Config.User = "root" }),
		"CNB_GROUP_ID": put("env", func(c *v1.ConfigFile) { c.Config.Env = c.Config.Env[:1] }),
		"linux":        put("os", func(c *v1.ConfigFile) { c.OS = "windows" }),
		"architecture": put("arch", func(c *v1.ConfigFile) { c.Architecture = "s390x" }),
	} {
		if _, err := FromImages(context.Background(), bad, good); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: %v, want an error with %q", bad, err, want)
		}
	}
	if _, err := FromImages(context.Background(), host+"/none", good); err == nil || !strings.Contains(err.Error(), "none") {
		t.Errorf("an image that is not there: %v", err)
	}
}

func TestInstalledAndVersion(t *testing.T) {
	r := recipeFor("trixie")
	a := r.version([]Package{{"a", "1"}})
	if b := r.version([]Package{{"a", "2"}}); a == b {
		t.Error("the version is the same with another package version")
	}
	if b := recipeFor("forky").version([]Package{{"a", "1"}}); a == b {
		t.Error("the version is the same with another recipe")
	}
}

func TestDpkgConfigKeepsWhatInstallationsNeed(t *testing.T) {
	config := dpkgConfig(recipeFor("trixie"))
	if !strings.Contains(config, "path-exclude=/usr/share/man/*\n") {
		t.Error("manual pages are unpacked")
	}
	for _, not := range []string{"i18n", "nodejs", "path-exclude=/var", "path-exclude=/dev"} {
		if strings.Contains(config, not) {
			t.Errorf("dpkg is told to leave out %s", not)
		}
	}
}
