package builders

import (
	"archive/tar"
	"archive/zip"
	"bytes"
	"context"
	"crypto/tls"
	"errors"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"net/url"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"testing"
	"time"

	"github.com/docker/docker/api/types/container"
	"github.com/docker/docker/api/types/filters"
	"github.com/docker/docker/api/types/image"
	"github.com/docker/docker/client"
	"github.com/google/go-containerregistry/pkg/authn"
	"github.com/google/go-containerregistry/pkg/name"
	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/empty"
	"github.com/google/go-containerregistry/pkg/v1/mutate"
	"github.com/google/go-containerregistry/pkg/v1/remote"
	"github.com/google/go-containerregistry/pkg/v1/tarball"

	"github.com/cupola-paas/cupola/buildpack"
	"github.com/cupola-paas/cupola/controller/staging"
	"github.com/cupola-paas/cupola/store"
)

// bridge is a machine whose builds are on Docker's own network.
type bridge struct{}

func (bridge) StagingNetwork() string { return "" }
func (bridge) PlaceBuild(string, string) (string, func(), error) {
	return "", func() {}, nil
}

// site is a machine that builds, with real Docker and a real registry behind a door.
type site struct {
	*world
	node     *Node
	registry *store.Registry
	docker   *client.Client
	install  string
	images   map[string]string // build and run
	stop     func()
}

func newSite(t *testing.T) *site {
	t.Helper()
	docker, err := client.NewClientWithOpts(client.FromEnv, client.WithAPIVersionNegotiation())
	if err == nil {
		_, err = docker.Ping(t.Context())
	}
	if err != nil {
		t.Skipf("no Docker: %v", err)
	}
	t.Cleanup(func() { docker.Close() })
	s := &site{world: newWorld(t, machine("one", 4000)), docker: docker, install: "builders-" + filepath.Base(t.TempDir()) + strings.ToLower(t.Name()), images: map[string]string{}}
	if s.registry, err = store.OpenRegistry(store.RegistryOptions{Dir: t.TempDir(), Addr: "127.0.0.1:0", Password: "example-password", PullPassword: "example-reader"}); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { s.registry.Close(context.Background()) })
	door := httptest.NewTLSServer(s.registry.Handler())
	t.Cleanup(door.Close)
	at, err := url.Parse(door.URL)
	if err != nil {
		t.Fatal(err)
	}
	s.node, err = OpenNode(NodeOptions{
		Dir: t.TempDir(), Installation: s.install, Place: bridge{}, Door: at, Transport: &http.Transport{TLSClientConfig: &tls.Config{InsecureSkipVerify: true}},
		Image: func(name string) (ref, user, secret string) {
			return s.registry.Host() + "/" + name, store.PullUser, "example-reader"
		},
		Log: slog.New(slog.DiscardHandler),
	})
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	ended := make(chan error, 1)
	go func() { ended <- s.node.Run(ctx) }()
	s.stop = func() {
		cancel()
		if err := <-ended; err != nil {
			t.Error(err)
		}
		s.stop = func() {}
	}
	t.Cleanup(func() { s.stop() })
	s.serve = s.node.Handler()
	s.o.Host, s.o.PushUser, s.o.Push = s.registry.Host(), store.PushUser, s.registry.PushToken
	for _, kind := range []string{"build", "run"} {
		s.images[kind] = s.base(kind)
	}
	t.Cleanup(func() {
		docker.ImageRemove(context.Background(), s.images["build"], image.RemoveOptions{Force: true, PruneChildren: true})
	})
	return s
}

// base is an image with almost nothing: our buildpack for static sites needs no more.
func (s *site) base(kind string) string {
	s.t.Helper()
	var content bytes.Buffer
	w := tar.NewWriter(&content)
	text := "ID=debian\nVERSION_ID=13\nNAME=" + s.t.Name() + kind + "\n"
	for _, dir := range []string{"etc/", "home/", "home/vcap/", "home/vcap/app/", "tmp/", "layers/", "platform/", "cnb/", "cnb/lifecycle/"} {
		w.WriteHeader(&tar.Header{Name: dir, Typeflag: tar.TypeDir, Mode: 0o777})
	}
	w.WriteHeader(&tar.Header{Name: "etc/os-release", Mode: 0o644, Size: int64(len(text))})
	io.WriteString(w, text)
	w.Close()
	layer, err := tarball.LayerFromOpener(func() (io.ReadCloser, error) { return io.NopCloser(bytes.NewReader(content.Bytes())), nil })
	if err != nil {
		s.t.Fatal(err)
	}
	img, err := mutate.AppendLayers(empty.Image, layer)
	if err != nil {
		s.t.Fatal(err)
	}
	img, err = mutate.ConfigFile(img, s.config(img))
	if err != nil {
		s.t.Fatal(err)
	}
	repo, err := name.NewRepository(s.registry.Host() + "/stacks/" + kind)
	if err != nil {
		s.t.Fatal(err)
	}
	digest, err := img.Digest()
	if err != nil {
		s.t.Fatal(err)
	}
	ref := repo.Digest(digest.String())
	if err := remote.Write(ref, img, remote.WithAuth(s.master())); err != nil {
		s.t.Fatal(err)
	}
	return ref.Name()
}

func (s *site) config(img v1.Image) *v1.ConfigFile {
	c, err := img.ConfigFile()
	if err != nil {
		s.t.Fatal(err)
	}
	c = c.DeepCopy()
	c.OS, c.Architecture = "linux", runtime.GOARCH
	c.Config.User = "2000:2000"
	c.Config.Env = []string{"CNB_USER_ID=2000", "CNB_GROUP_ID=2000", "PATH=/usr/bin:/bin"}
	c.Config.Labels = map[string]string{"io.buildpacks.base.distro.name": "debian", "io.buildpacks.base.distro.version": "13"}
	return c
}

func (s *site) master() authn.Authenticator {
	return &authn.Basic{Username: "cupola", Password: "example-password"}
}

// ship is a build of a static site.
func (s *site) ship(id string, out io.Writer) staging.Shipment {
	s.t.Helper()
	var b bytes.Buffer
	z := zip.NewWriter(&b)
	for file, text := range map[string]string{"index.html": "hello", "Staticfile": ""} {
		w, err := z.Create(file)
		if err != nil {
			s.t.Fatal(err)
		}
		io.WriteString(w, text)
	}
	z.Close()
	if err := os.WriteFile(filepath.Join(s.blobs, "site"), b.Bytes(), 0o600); err != nil {
		s.t.Fatal(err)
	}
	return staging.Shipment{
		Request: buildpack.Request{
			ID: id, CacheID: "cache-1", BuildImage: s.images["build"], RunImage: s.images["run"], Repository: s.registry.Host() + "/droplets/a1",
			Named: true, Choices: []buildpack.Choice{{Name: "staticfile_buildpack", ID: "cupola/staticfile"}}, Log: out,
			Limits: buildpack.Limits{MemoryMB: 256, DiskMB: 256, PIDs: 200, Timeout: time.Minute},
		},
		Package: &store.Package{SHA256: "site"}, Egress: "staging/s1",
	}
}

// left are the build containers that there are.
func (s *site) left() []container.Summary {
	s.t.Helper()
	list, err := s.docker.ContainerList(context.Background(), container.ListOptions{
		All: true, Filters: filters.NewArgs(filters.Arg("label", "cupola.build.installation="+s.install)),
	})
	if err != nil {
		s.t.Fatal(err)
	}
	return list
}

// TestNodeBuilds: with real Docker and a real registry, all that a build is: from the package to the image, which only this build
// may write, with the log, and nothing left but the cache.
func TestNodeBuilds(t *testing.T) {
	s := newSite(t)
	seat, got := s.seat(ask("b1"))
	if seat == nil {
		t.Fatal(got)
	}
	out := &log{}
	result, err := seat.Build(t.Context(), s.ship("b1", out))
	if err != nil {
		t.Fatalf("%v\n%s", err, out.String())
	}
	ref, err := name.ParseReference(s.registry.Host() + "/droplets/a1@" + result.Digest)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := remote.Image(ref, remote.WithAuth(s.master())); err != nil {
		t.Errorf("the image is not in the registry: %v", err)
	}
	if !strings.Contains(out.String(), "-----> Uploading droplet") || result.RunImage != s.images["run"] || len(result.Phases) < 5 || result.Phases[0].Name != "unpack" {
		t.Errorf("result %+v with the log\n%s", result, out.String())
	}
	if list := s.left(); len(list) != 0 {
		t.Errorf("containers are left: %v", list)
	}
	for _, dir := range []string{"sources", "spool", "builds"} {
		if entries, err := os.ReadDir(filepath.Join(s.node.o.Dir, dir)); err != nil || len(entries) != 0 {
			t.Errorf("in %s is left %v, %v", dir, entries, err)
		}
	}
	other := s.ship("b2", out)
	other.Request.Repository = s.registry.Host() + "/droplets/a3"
	s.o.Push = func(string) (string, func()) { return s.registry.PushToken("droplets/a2") }
	if _, err := seat.Build(t.Context(), other); !errors.Is(err, staging.ErrMachineLost) || !strings.Contains(err.Error(), "export") {
		t.Errorf("with the password of another app: %v", err)
	}
}

// TestNodeFailures: what the app did wrong has its code; a build that nobody wants any more ends, and so does one whose
// controller began it again.
func TestNodeFailures(t *testing.T) {
	s := newSite(t)
	seat, got := s.seat(ask("b1"))
	if seat == nil {
		t.Fatal(got)
	}
	ship := s.ship("b1", &log{})
	ship.Request.Named, ship.Request.Choices = false, []buildpack.Choice{{Name: "nodejs_buildpack", ID: "cupola/nodejs"}}
	_, err := seat.Build(t.Context(), ship)
	if known := (*buildpack.Error)(nil); !errors.As(err, &known) || known.Code != buildpack.NoBuildpackDetected {
		t.Errorf("an app that nothing detects: %v", err)
	}
	began, gone := make(chan struct{}), make(chan struct{})
	ctx, cancel := context.WithCancelCause(t.Context())
	go func() {
		defer close(gone)
		_, err := seat.Build(ctx, s.ship("b3", &once{fn: func([]byte) { close(began); <-ctx.Done() }}))
		if known := (*buildpack.Error)(nil); !errors.As(err, &known) || known.Code != buildpack.Canceled {
			t.Errorf("a build that was cancelled: %v", err)
		}
	}()
	<-began
	cancel(errors.New("cancelled"))
	<-gone
	if _, err := seat.Build(t.Context(), s.ship("b3", &log{})); err != nil {
		t.Errorf("the same build begun again: %v", err)
	}
	s.stop()
	if list := s.left(); len(list) != 0 {
		t.Errorf("containers are left: %v", list)
	}
	if _, err := seat.Build(t.Context(), s.ship("b4", &log{})); !errors.Is(err, staging.ErrMachineLost) {
		t.Errorf("on a machine that stops: %v", err)
	}
}

// once calls a function with what is first written.
type once struct {
	fn    func([]byte)
	wrote bool
}

func (o *once) Write(p []byte) (int, error) {
	if !o.wrote && len(p) > 0 {
		o.wrote = true
		o.fn(p)
	}
	return len(p), nil
}

// TestLease: a build that its controller does not ask for any more ends.
func TestLease(t *testing.T) {
	n := &Node{running: map[string]*job{}}
	ctx, end, err := n.begin(t.Context(), "b1")
	if err != nil {
		t.Fatal(err)
	}
	defer end()
	n.running["b1"].lease.Reset(0)
	<-ctx.Done()
	if cause := context.Cause(ctx); !strings.Contains(cause.Error(), "does not ask for the build any more") {
		t.Errorf("it ends with %v", cause)
	}
}
