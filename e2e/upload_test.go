package e2e

import (
	"bytes"
	"errors"
	"io"
	"mime/multipart"
	"net/http"
	"path/filepath"
	"strings"
	"testing"
)

// cutOff is a body that breaks off.
type cutOff struct{ rest io.Reader }

func (c *cutOff) Read(p []byte) (int, error) {
	n, err := c.rest.Read(p)
	if err == io.EOF {
		err = errors.New("the client's line is cut")
	}
	return n, err
}

// TestAnUploadCutOffHalfWayCanBeRepeated breaks the connection in the middle of the bits.
func TestAnUploadCutOffHalfWayCanBeRepeated(t *testing.T) {
	u := newUser(t, shared)
	dir, app := sample(t, "static"), host(t, "cut")
	u.must("push", app, "-p", dir, "-f", filepath.Join(dir, "manifest.yml"), "--no-start")
	var made struct{ GUID, State string }
	u.curlPost("/v3/packages", `{"type":"bits","relationships":{"app":{"data":{"guid":"`+u.guid(app)+`"}}}}`, &made)

	var form bytes.Buffer
	w := multipart.NewWriter(&form)
	part, err := w.CreateFormFile("bits", "package.zip")
	if err != nil {
		t.Fatal(err)
	}
	_, _ = part.Write(bytes.Repeat([]byte("PK\x03\x04 half of a zip "), 1<<16))
	req, err := http.NewRequestWithContext(t.Context(), http.MethodPost, u.url("api", "/v3/packages/"+made.GUID+"/upload"), &cutOff{&form})
	if err != nil {
		t.Fatal(err)
	}
	req.Header.Set("Content-Type", w.FormDataContentType())
	req.Header.Set("Authorization", strings.TrimSpace(u.must("oauth-token")))
	if resp, err := u.client.Do(req); err == nil {
		resp.Body.Close()
		if resp.StatusCode < 400 {
			t.Errorf("half an upload was answered with %s", resp.Status)
		}
	}
	u.eventually("no trace of the upload", func() bool {
		u.curl("/v3/packages/"+made.GUID, &made)
		left, _ := filepath.Glob(filepath.Join(shared.dir, "data", "build", "uploads", "*"))
		return made.State == "AWAITING_UPLOAD" && len(left) == 0
	})
	u.must("push", app, "-p", dir, "-f", filepath.Join(dir, "manifest.yml"))
	u.answers(app, "/", 200, "")
}

// curlPost posts JSON to the API.
func (u *user) curlPost(path, body string, into any) {
	u.t.Helper()
	u.decode(u.must("curl", "-X", "POST", path, "-d", body), into)
}
