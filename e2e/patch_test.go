package e2e

import (
	"archive/tar"
	"bytes"
	"fmt"
	"io"
	"net/http/httptest"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-containerregistry/pkg/name"
	"github.com/google/go-containerregistry/pkg/registry"
	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/mutate"
	"github.com/google/go-containerregistry/pkg/v1/remote"
	"github.com/google/go-containerregistry/pkg/v1/tarball"
	ggcrtypes "github.com/google/go-containerregistry/pkg/v1/types"

	"github.com/cupola-paas/cupola/buildpack/stack"
)

// TestPatchReachesAppsWithoutABuild gives the platform a newer run image and patches a running and a stopped app,
// the running one under load.
func TestPatchReachesAppsWithoutABuild(t *testing.T) {
	t.Parallel()
	p := unstarted(t)
	build, run, newer := publishStack(t)
	p.env = append(p.env, "CUPOLA_STACK_BUILD_IMAGE="+build, "CUPOLA_STACK_RUN_IMAGE="+run)
	p.boot(t)
	u := newUser(t, p)
	dir := sample(t, "node")
	writeFile(t, filepath.Join(dir, "version.txt"), "one\n")
	for _, app := range []string{"running", "stopped"} {
		u.must("push", app, "-p", dir, "-f", filepath.Join(dir, "manifest.yml"), "-i", "2")
	}
	u.must("stop", "stopped")
	if out := u.try("patch", "--plan").all(); !strings.Contains(out, "All apps stand on the newest run image") {
		t.Errorf("before there is a newer run image:\n%s", out)
	}

	if err := p.stop(); err != nil {
		t.Fatal(err)
	}
	p.env = append(p.env, "CUPOLA_STACK_RUN_IMAGE="+newer) // of two the last counts
	p.boot(t)
	u.answers("running", "/version", 200, "one")
	var builds struct {
		Pagination struct {
			Total int `json:"total_results"`
		} `json:"pagination"`
	}
	u.curl("/v3/builds", &builds)
	before := builds.Pagination.Total
	if out := u.must("patch", "--plan"); strings.Count(out, "planned") != 2 {
		t.Fatalf("the plan must have both apps:\n%s", out)
	}
	var out string
	total, failed, why := u.underLoad("running", func() { out = u.must("patch") })
	if failed != 0 || total < 20 {
		t.Errorf("%d of %d requests failed during the patch (the first: %s)\n%s", failed, total, why, out)
	}
	if strings.Count(out, "patched") != 2 {
		t.Errorf("both apps must be patched:\n%s", out)
	}
	u.must("start", "stopped")
	for _, app := range []string{"running", "stopped"} {
		u.answers(app, "/version", 200, "one")
		if got := u.must("ssh", app, "-c", "cat /etc/patched"); strings.TrimSpace(got) != "newer" {
			t.Errorf("%s runs on a run image whose /etc/patched is %q", app, got)
		}
	}
	if u.curl("/v3/builds", &builds); builds.Pagination.Total != before {
		t.Errorf("%d builds, there were %d: a patch must build nothing", builds.Pagination.Total, before)
	}
}

// publishStack serves the prepared stack's images, and a newer run image with one file more, from a registry of
// the test's own.
func publishStack(t *testing.T) (build, run, newer string) {
	t.Helper()
	s, err := stack.Cached(stack.Options{CacheDir: envOr("CUPOLA_STACK_CACHE", "/var/cache/cupola/stack")})
	if err != nil {
		t.Fatalf("the shared platform has prepared the stack, but: %v", err)
	}
	server := httptest.NewServer(registry.New())
	t.Cleanup(server.Close)
	push := func(repository string, img v1.Image) string {
		ref, err := name.ParseReference(strings.TrimPrefix(server.URL, "http://") + "/" + repository)
		if err == nil {
			err = remote.Write(ref, img)
		}
		if err != nil {
			t.Fatal(err)
		}
		return ref.Name()
	}
	return push("build:now", s.Build), push("run:now", s.Run), push("run:newer", withFile(t, s.Run, "etc/patched", "newer\n"))
}

// withFile is the image with a file more.
func withFile(t *testing.T, img v1.Image, path, text string) v1.Image {
	t.Helper()
	var layer bytes.Buffer
	w := tar.NewWriter(&layer)
	err := w.WriteHeader(&tar.Header{Name: path, Mode: 0o644, Size: int64(len(text))})
	if err == nil {
		_, err = fmt.Fprint(w, text)
	}
	if err == nil {
		err = w.Close()
	}
	if err != nil {
		t.Fatal(err)
	}
	l, err := tarball.LayerFromOpener(func() (io.ReadCloser, error) { return io.NopCloser(bytes.NewReader(layer.Bytes())), nil },
		tarball.WithMediaType(ggcrtypes.OCILayer))
	if err != nil {
		t.Fatal(err)
	}
	out, err := mutate.AppendLayers(img, l)
	if err != nil {
		t.Fatal(err)
	}
	return out
}
