package imagecopy

import (
	"errors"
	"io"
	"log"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-containerregistry/pkg/authn"
	"github.com/google/go-containerregistry/pkg/name"
	"github.com/google/go-containerregistry/pkg/registry"
	"github.com/google/go-containerregistry/pkg/v1/mutate"
	"github.com/google/go-containerregistry/pkg/v1/random"
	"github.com/google/go-containerregistry/pkg/v1/remote"
)

// serve runs a registry; with a password it wants user and password.
func serve(t *testing.T, password string) string {
	t.Helper()
	inner := registry.New(registry.Logger(log.New(io.Discard, "", 0)))
	s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if _, given, _ := r.BasicAuth(); given != password {
			w.Header().Set("WWW-Authenticate", `Basic realm="test"`)
			http.Error(w, "no", http.StatusUnauthorized)
			return
		}
		inner.ServeHTTP(w, r)
	}))
	t.Cleanup(s.Close)
	return strings.TrimPrefix(s.URL, "http://")
}

func push(t *testing.T, ref, password string) string {
	t.Helper()
	img, err := random.Image(1000, 2)
	if err != nil {
		t.Fatal(err)
	}
	file, err := img.ConfigFile()
	if err != nil {
		t.Fatal(err)
	}
	file = file.DeepCopy()
	file.Config.Entrypoint, file.Config.Cmd, file.Config.User = []string{"/serve"}, []string{"-v"}, "app"
	file.Config.ExposedPorts = map[string]struct{}{"9090/tcp": {}, "53/udp": {}, "7000": {}, "x": {}}
	if img, err = mutate.ConfigFile(img, file); err != nil {
		t.Fatal(err)
	}
	to, err := name.ParseReference(ref)
	if err != nil {
		t.Fatal(err)
	}
	if err := remote.Write(to, img, remote.WithAuth(&authn.Basic{Username: "u", Password: password})); err != nil {
		t.Fatal(err)
	}
	digest, err := img.Digest()
	if err != nil {
		t.Fatal(err)
	}
	return digest.String()
}

func TestCopy(t *testing.T) {
	ours := Copier{Host: serve(t, "ours"), Username: "cupola", Password: "ours"}
	for _, password := range []string{"", "secret"} {
		theirs := serve(t, password)
		digest := push(t, theirs+"/team/app:v1", password)
		src := Source{Reference: theirs + "/team/app:v1"}
		if password != "" {
			src.Username, src.Password = "u", password
		}
		got, err := ours.Copy(t.Context(), src, "droplets/a")
		if err != nil {
			t.Fatal(err)
		}
		if got.Digest != digest || got.CommandLine() != "/serve -v" || got.User != "app" || !slices.Equal(got.Ports, []int{7000, 9090}) || got.SizeBytes < 2000 {
			t.Errorf("copied %+v, want digest %s", got, digest)
		}
		ref, err := name.ParseReference(ours.Host + "/droplets/a@" + digest)
		if err != nil {
			t.Fatal(err)
		}
		img, err := remote.Image(ref, remote.WithAuth(&authn.Basic{Username: "cupola", Password: "ours"}))
		if err != nil {
			t.Fatalf("it is not in our registry: %v", err)
		}
		if layers, err := img.Layers(); err != nil || len(layers) != 2 {
			t.Errorf("%d layers, %v", len(layers), err)
		}
	}
}

func TestCopySaysWhatIsWrong(t *testing.T) {
	ours := Copier{Host: serve(t, "ours"), Username: "cupola", Password: "ours"}
	private, open := serve(t, "secret"), serve(t, "")
	push(t, private+"/app", "secret")
	for _, test := range []struct {
		src  Source
		want string
	}{
		{Source{Reference: private + "/app"}, "wants other credentials"},
		{Source{Reference: private + "/app", Username: "u", Password: "wrong"}, "wants other credentials"},
		{Source{Reference: open + "/app"}, "does not have it"},
		{Source{Reference: "UPPER CASE"}, "is no image reference"},
		{Source{Reference: ours.Host + "/droplets/a"}, "own registry cannot be pushed from"},
	} {
		_, err := ours.Copy(t.Context(), test.src, "droplets/a")
		var known *Error
		if !errors.As(err, &known) || !strings.Contains(err.Error(), test.want) {
			t.Errorf("Copy(%+v) = %v, want %q", test.src, err, test.want)
		}
		if err != nil && strings.Contains(err.Error(), "wrong") && test.src.Password == "wrong" {
			t.Errorf("the error shows the password: %v", err)
		}
	}
}
