package store

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/go-containerregistry/pkg/authn"
	"github.com/google/go-containerregistry/pkg/name"
	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/mutate"
	"github.com/google/go-containerregistry/pkg/v1/random"
	"github.com/google/go-containerregistry/pkg/v1/remote"
	"github.com/google/go-containerregistry/pkg/v1/remote/transport"
	"github.com/google/go-containerregistry/pkg/v1/validate"
	"github.com/opencontainers/go-digest"
)

const testPassword = "s3cret"

var testAuth = remote.WithAuth(&authn.Basic{Username: registryUser, Password: testPassword})

func openTestRegistry(t testing.TB) *Registry {
	t.Helper()
	r, err := OpenRegistry(RegistryOptions{Dir: t.TempDir(), Addr: "127.0.0.1:0", Password: testPassword})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := r.Close(context.Background()); err != nil {
			t.Errorf("Close: %v", err)
		}
	})
	return r
}

func imageRef(t testing.TB, r *Registry, image string) name.Reference {
	t.Helper()
	ref, err := name.ParseReference(r.Host() + "/" + image)
	if err != nil {
		t.Fatal(err)
	}
	return ref
}

func randomImage(t testing.TB) v1.Image {
	t.Helper()
	img, err := random.Image(10_000, 3)
	if err != nil {
		t.Fatal(err)
	}
	return img
}

// push pushes an image and returns its digest.
func push(t testing.TB, r *Registry, image string, img v1.Image) string {
	t.Helper()
	if err := remote.Write(imageRef(t, r, image), img, testAuth); err != nil {
		t.Fatalf("push %s: %v", image, err)
	}
	d, err := img.Digest()
	if err != nil {
		t.Fatal(err)
	}
	return d.String()
}

// pull pulls an image and checks every byte against its digests.
func pull(r *Registry, image string) error {
	ref, err := name.ParseReference(r.Host() + "/" + image)
	if err != nil {
		return err
	}
	img, err := remote.Image(ref, testAuth)
	if err != nil {
		return err
	}
	return validate.Image(img)
}

func isMissing(err error) bool {
	var e *transport.Error
	return errors.As(err, &e) && e.StatusCode == http.StatusNotFound
}

func TestRegistryPushAndPull(t *testing.T) {
	dir := t.TempDir()
	r, err := OpenRegistry(RegistryOptions{Dir: dir, Addr: "127.0.0.1:0", Password: testPassword})
	if err != nil {
		t.Fatal(err)
	}
	digest := push(t, r, "droplets/app1:latest", randomImage(t))
	if err := pull(r, "droplets/app1@"+digest); err != nil {
		t.Errorf("pull: %v", err)
	}
	if err := r.Close(t.Context()); err != nil {
		t.Fatal(err)
	}
	r, err = OpenRegistry(RegistryOptions{Dir: dir, Addr: "127.0.0.1:0", Password: testPassword})
	if err != nil {
		t.Fatal(err)
	}
	defer r.Close(context.Background())
	if err := pull(r, "droplets/app1:latest"); err != nil {
		t.Errorf("pull after reopening: %v", err)
	}
	if n, err := r.DiskUsage(); n < 30_000 || err != nil {
		t.Errorf("DiskUsage = %d, %v, want the three layers of 10,000 bytes at least", n, err)
	}
}

func TestRegistryDelete(t *testing.T) {
	r := openTestRegistry(t)
	digest := push(t, r, "droplets/app1:latest", randomImage(t))
	if err := remote.Delete(imageRef(t, r, "droplets/app1@"+digest), testAuth); err != nil {
		t.Fatal(err)
	}
	if err := pull(r, "droplets/app1@"+digest); !isMissing(err) {
		t.Errorf("pull after delete = %v, want 404", err)
	}
}

func TestRegistryAsksForThePassword(t *testing.T) {
	r := openTestRegistry(t)
	tests := []struct {
		user, pass string
		want       int
	}{
		{"", "", 401}, {"cupola", "", 401}, {"cupola", "wrong", 401}, {"admin", testPassword, 401},
		{"cupola:s3cret", "", 401}, {"cupola", testPassword, 200},
	}
	for _, test := range tests {
		req, err := http.NewRequestWithContext(t.Context(), http.MethodGet, "http://"+r.Host()+"/v2/", nil)
		if err != nil {
			t.Fatal(err)
		}
		if test.user != "" {
			req.SetBasicAuth(test.user, test.pass)
		}
		res, err := http.DefaultClient.Do(req)
		if err != nil {
			t.Fatal(err)
		}
		res.Body.Close()
		challenge := strings.HasPrefix(res.Header.Get("WWW-Authenticate"), "Basic ")
		if res.StatusCode != test.want || challenge != (test.want == 401) {
			t.Errorf("GET /v2/ as %q:%q = %d, challenge %v, want %d", test.user, test.pass, res.StatusCode, challenge, test.want)
		}
	}
}

// TestRegistryPullPassword: whoever has it reads, and changes nothing.
func TestRegistryPullPassword(t *testing.T) {
	r, err := OpenRegistry(RegistryOptions{Dir: t.TempDir(), Addr: "127.0.0.1:0", Password: testPassword, PullPassword: "pull"})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = r.Close(context.Background()) })
	for _, c := range []struct {
		method, path, user, pass string
		want                     int
	}{
		{"GET", "/v2/", PullUser, "pull", 200}, {"GET", "/v2/", PullUser, "", 401}, {"GET", "/v2/", PullUser, testPassword, 401},
		{"GET", "/v2/", registryUser, "pull", 401}, {"POST", "/v2/a/b/blobs/uploads/", PullUser, "pull", 401},
		{"DELETE", "/v2/a/b/manifests/x", PullUser, "pull", 401}, {"POST", "/v2/a/b/blobs/uploads/", registryUser, testPassword, 202},
	} {
		req, err := http.NewRequestWithContext(t.Context(), c.method, "http://"+r.Host()+c.path, nil)
		if err != nil {
			t.Fatal(err)
		}
		req.SetBasicAuth(c.user, c.pass)
		res, err := http.DefaultClient.Do(req)
		if err != nil {
			t.Fatal(err)
		}
		res.Body.Close()
		if res.StatusCode != c.want {
			t.Errorf("%s %s as %s:%s = %d, want %d", c.method, c.path, c.user, c.pass, res.StatusCode, c.want)
		}
	}
}

func TestRegistryAddress(t *testing.T) {
	r := openTestRegistry(t)
	for addr, want := range map[string]string{
		"0.0.0.0:0": "loopback", "example.com:0": "loopback", "5000": "host:port", r.Host(): "address already in use",
	} {
		_, err := OpenRegistry(RegistryOptions{Dir: t.TempDir(), Addr: addr, Password: "p"})
		if err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("OpenRegistry at %s = %v, want an error with %q", addr, err, want)
		}
	}
}

// TestRegistryCloseDoesNotWaitForUnusedConnections has a connection on which nothing is asked.
func TestRegistryCloseDoesNotWaitForUnusedConnections(t *testing.T) {
	r, err := OpenRegistry(RegistryOptions{Dir: t.TempDir(), Addr: "127.0.0.1:0", Password: testPassword})
	if err != nil {
		t.Fatal(err)
	}
	conn, err := net.Dial("tcp", r.Host())
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	do(t, r, http.MethodGet, "/v2/", nil) // by now the server has accepted the first one too
	ctx, cancel := context.WithTimeout(t.Context(), 3*time.Second)
	defer cancel()
	if err := r.Close(ctx); err != nil {
		t.Errorf("Close: %v", err)
	}
}

// later is a time after all that has happened: with it Collect takes nothing for young.
func later() time.Time { return time.Now().Add(time.Hour) }

func TestCollectImages(t *testing.T) {
	r := openTestRegistry(t)
	base := randomImage(t)
	extra, err := random.Layer(5000, "application/vnd.docker.image.rootfs.diff.tar.gzip")
	if err != nil {
		t.Fatal(err)
	}
	derived, err := mutate.AppendLayers(base, extra)
	if err != nil {
		t.Fatal(err)
	}
	kept := push(t, r, "droplets/app1:kept", base)
	old := push(t, r, "droplets/app1:old", derived)
	gone := push(t, r, "droplets/app2:old", randomImage(t))
	keep := func(repository, digest string) bool { return repository == "droplets/app1" && digest == kept }
	if freed, err := r.Collect(t.Context(), keep, time.Now().Add(-time.Hour)); freed != 0 || err != nil {
		t.Errorf("Collect of what is older than an hour = %d, %v, want nothing", freed, err)
	}
	freed, err := r.Collect(t.Context(), keep, later())
	if freed < 35_000 || err != nil {
		t.Errorf("Collect = %d, %v, want 3 layers of 10,000 and one of 5,000 bytes at least", freed, err)
	}
	if err := pull(r, "droplets/app1:kept"); err != nil {
		t.Errorf("pull of the image that is kept: %v", err)
	}
	for _, image := range []string{"droplets/app1@" + old, "droplets/app1:old", "droplets/app2@" + gone, "droplets/app2:old"} {
		if err := pull(r, image); !isMissing(err) {
			t.Errorf("pull of %s = %v, want 404", image, err)
		}
	}
	if n := blobCount(r); n != 5 {
		t.Errorf("%d blobs are left, want 5: manifest, config and 3 layers", n)
	}
	push(t, r, "droplets/app2:again", derived) // what was deleted can come again
	if err := pull(r, "droplets/app2:again"); err != nil {
		t.Error(err)
	}
}

func TestCollectEmptiesTheDisk(t *testing.T) {
	r := openTestRegistry(t)
	none := func(string, string) bool { return false }
	if freed, err := r.Collect(t.Context(), none, later()); freed != 0 || err != nil {
		t.Errorf("Collect of nothing = %d, %v", freed, err)
	}
	push(t, r, "droplets/app1:a", randomImage(t))
	if _, err := r.Collect(t.Context(), none, later()); err != nil {
		t.Fatal(err)
	}
	if n, err := r.DiskUsage(); n != 0 || err != nil {
		t.Errorf("DiskUsage = %d, %v after everything was collected, want 0", n, err)
	}
	if names, err := (&collector{Registry: r, ctx: t.Context()}).repositories(); len(names) != 0 || err != nil {
		t.Errorf("repositories %v are left, %v", names, err)
	}
}

func TestCollectKeepsTheImagesOfAnIndex(t *testing.T) {
	r := openTestRegistry(t)
	idx, err := random.Index(1000, 1, 2)
	if err != nil {
		t.Fatal(err)
	}
	ref := imageRef(t, r, "stacks/run:latest")
	if err := remote.WriteIndex(ref, idx, testAuth); err != nil {
		t.Fatal(err)
	}
	want, err := idx.Digest()
	if err != nil {
		t.Fatal(err)
	}
	if _, err := r.Collect(t.Context(), func(_, digest string) bool { return digest == want.String() }, later()); err != nil {
		t.Fatal(err)
	}
	got, err := remote.Index(ref, testAuth)
	if err != nil {
		t.Fatal(err)
	}
	if err := validate.Index(got); err != nil {
		t.Error(err)
	}
}

// TestCollectLeavesWhatAClientAskedFor plays a push by hand: the client learns that a layer is there already, Collect
// runs, and the client puts its manifest.
func TestCollectLeavesWhatAClientAskedFor(t *testing.T) {
	r := openTestRegistry(t)
	img := randomImage(t)
	digest := push(t, r, "droplets/app1:a", img)
	if err := remote.Delete(imageRef(t, r, "droplets/app1@"+digest), testAuth); err != nil {
		t.Fatal(err)
	}
	time.Sleep(10 * time.Millisecond) // file times tick in steps of up to 4 ms
	olderThan := time.Now()
	if err := remote.Write(imageRef(t, r, "droplets/app1:b"), img, testAuth, remote.WithTransport(collectBeforeManifest{r, olderThan, t})); err != nil {
		t.Fatalf("push beside Collect: %v", err)
	}
	if err := pull(r, "droplets/app1:b"); err != nil {
		t.Errorf("pull of what was pushed beside Collect: %v", err)
	}
}

type collectBeforeManifest struct {
	r         *Registry
	olderThan time.Time
	t         *testing.T
}

func (c collectBeforeManifest) RoundTrip(req *http.Request) (*http.Response, error) {
	if req.Method == http.MethodPut && strings.Contains(req.URL.Path, "/manifests/") {
		if _, err := c.r.Collect(req.Context(), func(string, string) bool { return false }, c.olderThan); err != nil {
			c.t.Errorf("Collect: %v", err)
		}
	}
	return http.DefaultTransport.RoundTrip(req)
}

// TestCollectBesidePushes pushes images that share layers while Collect runs all the time.
func TestCollectBesidePushes(t *testing.T) {
	r := openTestRegistry(t)
	base := randomImage(t)
	var mu sync.Mutex
	wanted := map[string]bool{}
	keep := func(_, digest string) bool {
		mu.Lock()
		defer mu.Unlock()
		return wanted[digest]
	}
	done := make(chan struct{})
	var collecting sync.WaitGroup
	collecting.Go(func() {
		for {
			select {
			case <-done:
				return
			default:
			}
			if _, err := r.Collect(context.Background(), keep, time.Now().Add(-2*time.Second)); err != nil {
				t.Errorf("Collect: %v", err)
			}
		}
	})
	var pushing sync.WaitGroup
	for i := range 4 {
		pushing.Go(func() {
			for j := range 10 {
				img, err := mutate.Config(base, v1.Config{Env: []string{fmt.Sprintf("I=%d.%d", i, j)}})
				if err != nil {
					t.Error(err)
					return
				}
				digest := push(t, r, fmt.Sprintf("droplets/app%d:latest", i), img)
				mu.Lock()
				wanted[digest] = j%2 == 0
				mu.Unlock()
			}
		})
	}
	pushing.Wait()
	close(done)
	collecting.Wait()
	if _, err := r.Collect(t.Context(), keep, later()); err != nil {
		t.Fatal(err)
	}
	for digest, want := range wanted {
		found := false
		for i := range 4 {
			if err := pull(r, fmt.Sprintf("droplets/app%d@%s", i, digest)); err == nil {
				found = true
			} else if !isMissing(err) {
				t.Errorf("pull %s: %v", digest, err)
			}
		}
		if found != want {
			t.Errorf("image %s there = %v, want %v", digest, found, want)
		}
	}
}

func TestCollectUploads(t *testing.T) {
	r := openTestRegistry(t)
	location := startUpload(t, r)
	if _, err := r.Collect(t.Context(), func(string, string) bool { return false }, time.Now().Add(-time.Minute)); err != nil {
		t.Fatal(err)
	}
	if status := do(t, r, http.MethodGet, location, nil).StatusCode; status != http.StatusNoContent {
		t.Errorf("upload that has just begun = %d after Collect, want 204", status)
	}
	if _, err := r.Collect(t.Context(), func(string, string) bool { return false }, later()); err != nil {
		t.Fatal(err)
	}
	if status := do(t, r, http.MethodGet, location, nil).StatusCode; status != http.StatusNotFound {
		t.Errorf("old upload = %d after Collect, want 404", status)
	}
}

// startUpload begins to upload a layer and returns the path where it goes on.
func startUpload(t *testing.T, r *Registry) string {
	t.Helper()
	res := do(t, r, http.MethodPost, "/v2/droplets/app1/blobs/uploads/", nil)
	if res.StatusCode != http.StatusAccepted {
		t.Fatalf("POST of an upload = %d", res.StatusCode)
	}
	res = do(t, r, http.MethodPatch, res.Header.Get("Location"), strings.NewReader("half a layer"))
	if res.StatusCode != http.StatusAccepted {
		t.Fatalf("PATCH of an upload = %d", res.StatusCode)
	}
	return res.Header.Get("Location")
}

func do(t *testing.T, r *Registry, method, location string, body io.Reader) *http.Response {
	t.Helper()
	req, err := http.NewRequestWithContext(t.Context(), method, "http://"+r.Host()+location, body)
	if err != nil {
		t.Fatal(err)
	}
	req.SetBasicAuth(registryUser, testPassword)
	res, err := http.DefaultClient.Do(req)
	if err != nil {
		t.Fatal(err)
	}
	res.Body.Close()
	return res
}

func TestRegistryRefusesABadLayer(t *testing.T) {
	r := openTestRegistry(t)
	location := startUpload(t, r)
	status := do(t, r, http.MethodPut, location+"&digest=sha256:"+strings.Repeat("0", 64), nil).StatusCode
	if status != http.StatusBadRequest {
		t.Errorf("PUT of a layer under another digest = %d, want 400", status)
	}
	if n, _ := r.DiskUsage(); blobCount(r) != 0 {
		t.Errorf("a blob is left of it, %d bytes in all", n)
	}
}

func blobCount(r *Registry) (n int) {
	_ = r.images.Blobs().Enumerate(context.Background(), func(digest.Digest) error { n++; return nil })
	return n
}
