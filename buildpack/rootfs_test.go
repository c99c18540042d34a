package buildpack

import (
	"archive/tar"
	"bytes"
	"context"
	"fmt"
	"io"
	"log"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"sync"
	"testing"

	"github.com/docker/docker/client"
	"github.com/google/go-containerregistry/pkg/name"
	"github.com/google/go-containerregistry/pkg/registry"
	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/empty"
	"github.com/google/go-containerregistry/pkg/v1/mutate"
	"github.com/google/go-containerregistry/pkg/v1/remote"
	"github.com/google/go-containerregistry/pkg/v1/tarball"
)

// tools are the host's programs that the base images of these tests are made of.
var tools = []string{"bash", "cat", "chmod", "dd", "ln", "ls", "mkdir", "rm", "sleep", "touch", "env"}

// dockerClient skips the test where no engine can be reached.
func dockerClient(t testing.TB) *client.Client {
	t.Helper()
	c, err := client.NewClientWithOpts(client.FromEnv, client.WithAPIVersionNegotiation())
	if err == nil {
		_, err = c.Ping(context.Background())
	}
	if err != nil {
		t.Skipf("Docker cannot be reached: %v", err)
	}
	t.Cleanup(func() { c.Close() })
	return c
}

// testRegistry is a registry in memory that the engine can pull from.
func testRegistry(t testing.TB) string {
	t.Helper()
	s := httptest.NewServer(registry.New(registry.Logger(log.New(io.Discard, "", 0))))
	t.Cleanup(s.Close)
	return strings.TrimPrefix(s.URL, "http://")
}

var libraryLine = regexp.MustCompile(`(/[^ ]+) \(0x`)

// rootfs is a layer with the host's shell, some tools and their libraries.
var rootfs = sync.OnceValues(func() ([]byte, error) {
	files := map[string]string{}
	for _, tool := range tools {
		path, err := exec.LookPath(tool)
		if err != nil {
			return nil, err
		}
		files["bin/"+tool] = path
		out, err := exec.Command("ldd", path).CombinedOutput()
		if err != nil {
			return nil, fmt.Errorf("ldd %s: %s", path, out)
		}
		for _, m := range libraryLine.FindAllStringSubmatch(string(out), -1) {
			files[strings.TrimPrefix(m[1], "/")] = m[1]
		}
	}
	return tarOf(files)
})

func tarOf(files map[string]string) ([]byte, error) {
	var b bytes.Buffer
	tw := tar.NewWriter(&b)
	names := make([]string, 0, len(files))
	for name := range files {
		names = append(names, name)
	}
	slices.Sort(names)
	dirs := map[string]bool{}
	for _, name := range names {
		for i, c := range name {
			if dir := name[:i]; c == '/' && !dirs[dir] {
				dirs[dir] = true
				tw.WriteHeader(&tar.Header{Typeflag: tar.TypeDir, Name: dir + "/", Mode: 0o755})
			}
		}
		content, err := os.ReadFile(files[name])
		if err != nil {
			return nil, err
		}
		tw.WriteHeader(&tar.Header{Typeflag: tar.TypeReg, Name: name, Mode: 0o755, Size: int64(len(content))})
		tw.Write(content)
	}
	return b.Bytes(), tw.Close()
}

// builderImage is the build image with our test buildpacks inside, and the label of a builder.
func (w *world) builderImage(repository, metadata string) string {
	w.t.Helper()
	files := map[string]string{}
	err := filepath.WalkDir("testdata/buildpacks", func(path string, d os.DirEntry, err error) error {
		if err == nil && !d.IsDir() {
			files["cnb/"+strings.TrimPrefix(path, "testdata/")] = path
		}
		return err
	})
	if err != nil {
		w.t.Fatal(err)
	}
	files["cnb/order.toml"] = files["cnb/buildpacks/order.toml"]
	return baseImageOf(w.t, w.host, repository, files, map[string]string{"io.buildpacks.builder.metadata": metadata})
}

// baseImage pushes an image to host/repository and returns its reference by digest. extra tells images
// apart.
func baseImage(t testing.TB, host, repository, extra string, labels map[string]string) string {
	t.Helper()
	marker := filepath.Join(t.TempDir(), "marker")
	if err := os.WriteFile(marker, []byte(extra), 0o644); err != nil {
		t.Fatal(err)
	}
	return baseImageOf(t, host, repository, map[string]string{"etc/marker": marker}, labels)
}

// baseImageOf pushes an image with the tools and more files.
func baseImageOf(t testing.TB, host, repository string, more, labels map[string]string) string {
	t.Helper()
	files, err := rootfs()
	if err != nil {
		t.Skipf("no base image can be made of this host's programs: %v", err)
	}
	second, err := tarOf(more)
	if err != nil {
		t.Fatal(err)
	}
	img := empty.Image
	for _, content := range [][]byte{files, second} {
		layer, err := tarball.LayerFromOpener(func() (io.ReadCloser, error) { return io.NopCloser(bytes.NewReader(content)), nil })
		if err != nil {
			t.Fatal(err)
		}
		if img, err = mutate.AppendLayers(img, layer); err != nil {
			t.Fatal(err)
		}
	}
	img, err = mutate.ConfigFile(img, configFor(t, img, labels))
	if err != nil {
		t.Fatal(err)
	}
	digest, err := img.Digest()
	if err != nil {
		t.Fatal(err)
	}
	ref, err := name.ParseReference(host + "/" + repository + "@" + digest.String())
	if err != nil {
		t.Fatal(err)
	}
	if err := remote.Write(ref, img); err != nil {
		t.Fatal(err)
	}
	return ref.Name()
}

func configFor(t testing.TB, img v1.Image, labels map[string]string) *v1.ConfigFile {
	t.Helper()
	config, err := img.ConfigFile()
	if err != nil {
		t.Fatal(err)
	}
	config = config.DeepCopy()
	config.OS, config.Architecture = "linux", goarch
	config.Config.Env = []string{"PATH=/bin", "CNB_USER_ID=2000", "CNB_GROUP_ID=2000"}
	config.Config.User = "2000:2000"
	config.Config.Labels = map[string]string{
		"io.buildpacks.base.distro.name": "debian", "io.buildpacks.base.distro.version": "13",
	}
	for k, v := range labels {
		config.Config.Labels[k] = v
	}
	return config
}

// programs builds the launcher and the phase program once.
var programs = sync.OnceValues(func() (map[string][]byte, error) {
	dir, err := os.MkdirTemp("", "programs")
	if err != nil {
		return nil, err
	}
	defer os.RemoveAll(dir)
	out := map[string][]byte{}
	for name, pkg := range map[string]string{"launcher": "./launcher/cmd/launcher", "phase": "./lifecycle/cmd/phase"} {
		path := filepath.Join(dir, name)
		cmd := exec.Command("go", "build", "-trimpath", "-ldflags", "-s -w", "-o", path, pkg)
		cmd.Env = append(os.Environ(), "CGO_ENABLED=0")
		if b, err := cmd.CombinedOutput(); err != nil {
			return nil, fmt.Errorf("go build %s: %v\n%s", pkg, err, b)
		}
		if out[name], err = os.ReadFile(path); err != nil {
			return nil, err
		}
	}
	return out, nil
})
