package enginetest

import (
	"archive/tar"
	"bytes"
	_ "embed"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"testing"

	"github.com/google/go-containerregistry/pkg/authn"
	"github.com/google/go-containerregistry/pkg/name"
	"github.com/google/go-containerregistry/pkg/registry"
	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/empty"
	"github.com/google/go-containerregistry/pkg/v1/mutate"
	"github.com/google/go-containerregistry/pkg/v1/remote"
	"github.com/google/go-containerregistry/pkg/v1/tarball"
	"log"
)

//go:embed testdata/app/main.go
var appSource []byte

const passwd = "root:x:0:0::/:/\nvcap:x:2000:2000::/:/\ntoor:x:0:0::/:/\n"

// Registry is a registry on a loopback port, which Docker takes without TLS, with the test app's images.
type Registry struct {
	Prefix string // of all references: "127.0.0.1:port/"
	app    []byte // the layer
	auth   authn.Authenticator
}

var appLayer = sync.OnceValues(buildApp)

// NewRegistry compiles the test app and serves it until the test ends.
func NewRegistry(t testing.TB) *Registry {
	t.Helper()
	return newRegistry(t, "", "")
}

// newRegistry makes one that serves only who gives that name and password, unless the name is empty.
func newRegistry(t testing.TB, user, password string) *Registry {
	t.Helper()
	layer, err := appLayer()
	if err != nil {
		t.Fatal(err)
	}
	images := registry.New(registry.Logger(log.New(io.Discard, "", 0)))
	srv := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		u, p, _ := r.BasicAuth()
		if user != "" && (u != user || p != password) {
			w.Header().Set("WWW-Authenticate", `Basic realm="images"`)
			http.Error(w, "who are you?", http.StatusUnauthorized)
			return
		}
		images.ServeHTTP(w, r)
	}))
	t.Cleanup(srv.Close)
	reg := &Registry{Prefix: strings.TrimPrefix(srv.URL, "http://") + "/", app: layer, auth: authn.Anonymous}
	if user != "" {
		reg.auth = &authn.Basic{Username: user, Password: password}
	}
	return reg
}

// Image pushes the app with that user in its configuration and returns its reference by digest.
func (r *Registry) Image(t testing.TB, user string) string {
	t.Helper()
	layer, err := tarball.LayerFromOpener(func() (io.ReadCloser, error) {
		return io.NopCloser(bytes.NewReader(r.app)), nil
	})
	if err != nil {
		t.Fatal(err)
	}
	img, err := mutate.AppendLayers(empty.Image, layer)
	if err != nil {
		t.Fatal(err)
	}
	img, err = mutate.ConfigFile(img, &v1.ConfigFile{
		OS: "linux", Architecture: "amd64",
		RootFS: v1.RootFS{Type: "layers", DiffIDs: diffIDs(t, img)},
		Config: v1.Config{User: user, Entrypoint: []string{"/app"}},
	})
	if err != nil {
		t.Fatal(err)
	}
	digest, err := img.Digest()
	if err != nil {
		t.Fatal(err)
	}
	ref, err := name.NewDigest(r.Prefix + "apps/test@" + digest.String())
	if err != nil {
		t.Fatal(err)
	}
	if err := remote.Write(ref, img, remote.WithAuth(r.auth)); err != nil {
		t.Fatal(err)
	}
	return ref.String()
}

func diffIDs(t testing.TB, img v1.Image) []v1.Hash {
	t.Helper()
	c, err := img.ConfigFile()
	if err != nil {
		t.Fatal(err)
	}
	return c.RootFS.DiffIDs
}

// buildApp compiles the app and packs it into a layer.
func buildApp() ([]byte, error) {
	dir, err := os.MkdirTemp("", "enginetest")
	if err != nil {
		return nil, err
	}
	defer os.RemoveAll(dir)
	if err := os.WriteFile(filepath.Join(dir, "main.go"), appSource, 0o600); err != nil {
		return nil, err
	}
	if err := os.WriteFile(filepath.Join(dir, "go.mod"), []byte("module app\n\ngo 1.26\n"), 0o600); err != nil {
		return nil, err
	}
	build := exec.Command("go", "build", "-trimpath", "-ldflags=-s -w", "-o", "app", ".")
	build.Dir = dir
	build.Env = append(os.Environ(), "CGO_ENABLED=0", "GOWORK=off", "GOFLAGS=")
	if out, err := build.CombinedOutput(); err != nil {
		return nil, &exec.Error{Name: "go build: " + string(out), Err: err}
	}
	app, err := os.ReadFile(filepath.Join(dir, "app"))
	if err != nil {
		return nil, err
	}
	return pack(app)
}

func pack(app []byte) ([]byte, error) {
	var b bytes.Buffer
	w := tar.NewWriter(&b)
	for _, f := range []struct {
		name string
		mode int64
		kind byte
		text []byte
	}{
		{"etc/", 0o755, tar.TypeDir, nil},
		{"tmp/", 0o1777, tar.TypeDir, nil},
		{"data/", 0o777, tar.TypeDir, nil}, // where a volume is mounted
		{"etc/passwd", 0o644, tar.TypeReg, []byte(passwd)},
		{"app", 0o755, tar.TypeReg, app},
		{"bin/", 0o755, tar.TypeDir, nil},
		{"bin/sh", 0o777, tar.TypeSymlink, nil},
	} {
		h := &tar.Header{Name: f.name, Mode: f.mode, Typeflag: f.kind, Size: int64(len(f.text))}
		if f.kind == tar.TypeSymlink {
			h.Linkname = "../app"
		}
		if err := w.WriteHeader(h); err != nil {
			return nil, err
		}
		if _, err := w.Write(f.text); err != nil {
			return nil, err
		}
	}
	if err := w.Close(); err != nil {
		return nil, err
	}
	return b.Bytes(), nil
}
