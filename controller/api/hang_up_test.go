package api

import (
	"bytes"
	"context"
	"crypto/rand"
	"fmt"
	"io/fs"
	"net"
	"net/http"
	"net/http/httptest"
	"path/filepath"
	"testing"

	"github.com/cupola-paas/cupola/store"
)

// filesIn lists the files below folders.
func filesIn(t *testing.T, folders ...string) []string {
	t.Helper()
	var files []string
	for _, dir := range folders {
		err := filepath.WalkDir(dir, func(path string, d fs.DirEntry, err error) error {
			if err == nil && !d.IsDir() {
				files = append(files, path)
			}
			return err
		})
		if err != nil {
			t.Fatal(err)
		}
	}
	return files
}

// TestHangingUpInAnUpload: a client that goes away in the middle of its upload leaves no file behind, and what it
// sent for is as it was and can be sent again.
func TestHangingUpInAnUpload(t *testing.T) {
	blobs, temp := t.TempDir(), t.TempDir()
	w := newWorld(t, func(o *Options) {
		var err error
		if o.Blobs, err = store.OpenBlobs(blobs); err != nil {
			t.Fatal(err)
		}
		o.TempDir = temp
	})
	done := make(chan struct{}, 1)
	srv := httptest.NewServer(http.HandlerFunc(func(rw http.ResponseWriter, r *http.Request) {
		w.s.ServeHTTP(rw, r)
		done <- struct{}{}
	}))
	defer srv.Close()

	app := w.makeApp("a")
	pkg := w.makePackage(app)
	droplet := w.as("developer", "POST", "/v3/droplets", map[string]any{"relationships": appRef(app)}).want(201, "AWAITING_UPLOAD").guid()
	buildpack := w.as("admin", "POST", "/v3/buildpacks", `{"name":"pack"}`).want(201, "AWAITING_UPLOAD").guid()
	noise := make([]byte, 1<<20)
	_, _ = rand.Read(noise)
	zipped := zipOf(t, map[string]string{"a": string(noise)})
	body, kind := multi(t, nil, zipped)

	before := len(filesIn(t, blobs, temp))
	for _, path := range []string{"/v3/packages/" + pkg, "/v3/droplets/" + droplet, "/v3/buildpacks/" + buildpack} {
		for _, part := range []int{0, 10, 150, len(body) / 2, len(body) - 5} {
			hangUp(t, srv.Listener.Addr().String(), path+"/upload", kind, body, part)
			<-done
			if left := filesIn(t, blobs, temp); len(left) != before {
				t.Errorf("%s after %d bytes of %d leaves %v", path, part, len(body), left)
			}
			w.as("admin", "GET", path, nil).want(200, `"state":"AWAITING_UPLOAD"`)
		}
	}
	w.upload("developer", pkg, body, kind).want(200, "READY")
}

// hangUp sends the first bytes of an upload as admin and closes the connection.
func hangUp(t *testing.T, address, path, kind string, body []byte, bytesSent int) {
	t.Helper()
	conn, err := (&net.Dialer{}).DialContext(context.Background(), "tcp", address)
	if err != nil {
		t.Fatal(err)
	}
	var b bytes.Buffer
	fmt.Fprintf(&b, "POST %s HTTP/1.1\r\nHost: api.example.com\r\nAuthorization: bearer admin\r\nContent-Type: %s\r\nContent-Length: %d\r\n\r\n", path, kind, len(body))
	b.Write(body[:bytesSent])
	if _, err := conn.Write(b.Bytes()); err != nil {
		t.Fatal(err)
	}
	if err := conn.Close(); err != nil {
		t.Fatal(err)
	}
}
