package api

import (
	"archive/zip"
	"bytes"
	"crypto/sha1"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"io"
	"mime/multipart"
	"net/http/httptest"
	"os"
	"strings"
	"testing"

	"github.com/cupola-paas/cupola/controller/bits"
	"github.com/cupola-paas/cupola/store"
)

// testOptions adds the blobs and the resources.
func testOptions(t testing.TB, o *Options) {
	t.Helper()
	var err error
	if o.Blobs, err = store.OpenBlobs(t.TempDir()); err != nil {
		t.Fatal(err)
	}
	if o.Resources, err = store.OpenResources(t.TempDir()); err != nil {
		t.Fatal(err)
	}
}

func zipOf(t testing.TB, files map[string]string) []byte {
	t.Helper()
	var b bytes.Buffer
	z := zip.NewWriter(&b)
	for _, name := range sortedKeys(files) {
		w, err := z.Create(name)
		if err != nil {
			t.Fatal(err)
		}
		_, _ = io.WriteString(w, files[name])
	}
	if err := z.Close(); err != nil {
		t.Fatal(err)
	}
	return b.Bytes()
}

// multi makes a multipart body of the parts that are not nil.
func multi(t testing.TB, resources any, zipped []byte) (body []byte, contentType string) {
	t.Helper()
	var b bytes.Buffer
	m := multipart.NewWriter(&b)
	if resources != nil {
		raw, err := json.Marshal(resources)
		if err != nil {
			t.Fatal(err)
		}
		w, _ := m.CreateFormField("resources")
		_, _ = w.Write(raw)
	}
	if zipped != nil {
		w, _ := m.CreateFormFile("bits", "package.zip")
		_, _ = w.Write(zipped)
	}
	_ = m.Close()
	return b.Bytes(), m.FormDataContentType()
}

func (w *world) makePackage(app string) string {
	w.t.Helper()
	return w.as("developer", "POST", "/v3/packages", map[string]any{"type": "bits", "relationships": appRef(app)}).want(201, "AWAITING_UPLOAD").guid()
}

func (w *world) upload(who, pkg string, body []byte, contentType string) *reply {
	w.t.Helper()
	r := httptest.NewRequest("POST", "/v3/packages/"+pkg+"/upload", bytes.NewReader(body))
	r.Header.Set("Content-Type", contentType)
	return w.send(who, r)
}

func (w *world) uploadZip(pkg string, resources any, zipped []byte) *reply {
	w.t.Helper()
	body, kind := multi(w.t, resources, zipped)
	return w.upload("developer", pkg, body, kind)
}

func sha1Of(text string) string { s := sha1.Sum([]byte(text)); return hex.EncodeToString(s[:]) }

func resourceOf(path, text, mode string) map[string]any {
	return map[string]any{"path": path, "mode": mode, "size_in_bytes": len(text), "checksum": map[string]any{"value": sha1Of(text)}}
}

func TestUploadAndMatch(t *testing.T) {
	w := newWorld(t)
	app := w.makeApp("a")
	big, small := strings.Repeat("big", 1000), "small"
	first := w.makePackage(app)
	w.uploadZip(first, nil, zipOf(t, map[string]string{"lib/big.js": big, "index.js": small})).want(200, `"state":"READY"`, `"type":"sha256"`)
	w.uploadZip(first, nil, zipOf(t, map[string]string{"x": "y"})).want(400, "only once")

	ask := map[string]any{"resources": []any{resourceOf("lib/big.js", big, "755"), resourceOf("index.js", small, "644"), resourceOf("new", strings.Repeat("n", 5000), "644")}}
	matched := w.as("developer", "POST", "/v3/resource_matches", ask).want(201)
	if matched.count() != 1 || matched.str("resources", 0, "path") != "lib/big.js" {
		t.Fatalf("matched: %s", matched.text)
	}
	w.as("admin", "PATCH", "/v3/feature_flags/resource_matching", map[string]any{"enabled": false}).want(200)
	if n := w.as("developer", "POST", "/v3/resource_matches", ask).want(201).count(); n != 0 {
		t.Errorf("%d resources matched while matching is switched off", n)
	}
	w.as("admin", "PATCH", "/v3/feature_flags/resource_matching", map[string]any{"enabled": true}).want(200)
	second := w.makePackage(app)
	w.uploadZip(second, matched.body["resources"], zipOf(t, map[string]string{"index.js": "changed"})).want(200, "READY")
	raw := w.as("developer", "GET", "/v3/packages/"+second+"/download", nil).want(200).text
	z, err := bits.Open(strings.NewReader(raw), int64(len(raw)), bits.DefaultLimits)
	w.must(err)
	got := map[string]string{}
	w.must(z.Each(t.Context(), func(e bits.Entry, r io.Reader) error {
		text, err := io.ReadAll(r)
		got[fmt.Sprintf("%s %o", e.Name, e.Mode.Perm())] = string(text)
		return err
	}))
	if got["lib/big.js 755"] != big || got["index.js 644"] != "changed" || len(got) != 2 {
		t.Errorf("package has %v", sortedKeys(got))
	}
	only := w.makePackage(app)
	w.uploadZip(only, []any{resourceOf("lib/big.js", big, "644")}, nil).want(200, "READY")
	old := w.makePackage(app)
	w.uploadZip(old, []any{map[string]any{"fn": "b.js", "sha1": sha1Of(big), "size": len(big)}}, nil).want(200, "READY")
	w.as("auditor", "GET", "/v3/packages/"+second+"/download", nil).want(403)
	w.as("developer", "GET", "/v3/packages?states=READY&app_guids="+app+"&order_by=-created_at&per_page=1", nil).want(200, old)
	w.as("stranger", "GET", "/v3/packages/"+second, nil).want(404, "Package not found")
	if n := w.as("stranger", "GET", "/v3/packages", nil).want(200).count(); n != 0 {
		t.Errorf("a stranger sees %d packages", n)
	}
	w.as("developer", "DELETE", "/v3/packages/"+second, nil).want(202)
	w.as("developer", "GET", "/v3/packages/"+second, nil).want(404, "Package not found")
}

func TestUploadRefusals(t *testing.T) {
	w := newWorld(t)
	app := w.makeApp("a")
	pkg := w.makePackage(app)
	climbing := zipOf(t, map[string]string{"../out": "x"})
	for _, c := range []struct {
		name      string
		resources any
		zipped    []byte
		status    int
		want      string
	}{
		{"nothing", nil, nil, 422, "has no files"},
		{"empty zip", nil, zipOf(t, nil), 422, "has no files"},
		{"only folders", nil, zipOf(t, map[string]string{"a/": ""}), 422, "has no files"},
		{"climbs", nil, climbing, 400, "150001"},
		{"no zip", nil, []byte("hello"), 400, "is cut off or is not a zip"},
		{"resources no list", map[string]any{"a": 1}, nil, 422, "must be a JSON array"},
		{"unknown file", []any{resourceOf("a", "never seen before", "644")}, nil, 422, "no longer known"},
		{"unknown file, no hash", []any{map[string]any{"path": "a", "checksum": map[string]any{"value": "../../x"}, "size_in_bytes": 4}}, nil, 422, "no longer known"},
		{"negative size", []any{map[string]any{"path": "a", "checksum": map[string]any{"value": "x"}, "size_in_bytes": -4}}, nil, 422, "unpacks to more"},
	} {
		t.Run(c.name, func(t *testing.T) {
			w.t = t
			w.uploadZip(pkg, c.resources, c.zipped).want(c.status, c.want)
			w.as("developer", "GET", "/v3/packages/"+pkg, nil).want(200, "AWAITING_UPLOAD")
		})
	}
	w.t = t
	w.upload("developer", pkg, []byte(`{}`), "application/json").want(422, "multipart/form-data")
	body, kind := multi(t, nil, zipOf(t, map[string]string{"a": strings.Repeat("abc", 100)}))
	w.upload("auditor", pkg, body, kind).want(403)
	w.upload("", pkg, body, kind).want(401)
	w.upload("developer", pkg, body[:len(body)/2], kind).want(400, "cut off")
	left, err := os.ReadDir(w.s.tempDir)
	if err != nil || len(left) != 0 {
		t.Errorf("left in the folder for uploads: %v, %v", left, err)
	}
	w.upload("developer", pkg, body, kind).want(200, "READY")
}

func TestPathOfAResourceMayNotClimb(t *testing.T) {
	w := newWorld(t)
	app := w.makeApp("a")
	big := strings.Repeat("big", 1000)
	w.uploadZip(w.makePackage(app), nil, zipOf(t, map[string]string{"big": big})).want(200)
	pkg := w.makePackage(app)
	w.uploadZip(pkg, []any{resourceOf("../../etc/cron", big, "644")}, nil).want(400, "leads out")
	w.uploadZip(pkg, []any{resourceOf("/etc/cron", big, "644")}, nil).want(400, "absolute path")
}

func TestCreatePackageRefusals(t *testing.T) {
	w := newWorld(t)
	app := w.makeApp("a")
	for _, c := range []struct {
		who    string
		body   any
		status int
		want   string
	}{
		{"developer", map[string]any{"type": "rpm", "relationships": appRef(app)}, 422, "Type must be one of"},
		{"developer", map[string]any{"type": "bits"}, 422, "Relationships App"},
		{"developer", map[string]any{"type": "bits", "relationships": appRef("nope")}, 422, "App is invalid"},
		{"stranger", map[string]any{"type": "bits", "relationships": appRef(app)}, 422, "App is invalid"},
		{"auditor", map[string]any{"type": "bits", "relationships": appRef(app)}, 403, "10003"},
		{"developer", map[string]any{"type": "docker", "data": map[string]any{"image": "nginx"}, "relationships": appRef(app)}, 403, "diego_docker"},
		{"developer", map[string]any{"type": "docker", "relationships": appRef(app)}, 422, "Image required"},
	} {
		w.as(c.who, "POST", "/v3/packages", c.body).want(c.status, c.want)
	}
	w.as("admin", "POST", "/v3/packages", map[string]any{"type": "docker", "data": map[string]any{"image": "nginx", "username": "u", "password": "secret"}, "relationships": appRef(app)}).want(201, `"password":"***"`, "READY")
	source := w.makePackage(app)
	w.as("developer", "POST", "/v3/packages/?source_guid="+source, map[string]any{"relationships": appRef(app)}).want(422, "not READY")
	w.uploadZip(source, nil, zipOf(t, map[string]string{"a": "b"})).want(200)
	w.as("developer", "POST", "/v3/packages/?source_guid="+source, map[string]any{"relationships": appRef(app)}).want(201, "READY")
	far := w.as("stranger", "POST", "/v3/apps", map[string]any{"name": "far", "relationships": spaceRef(w.otherSpace)}).want(201).guid()
	w.as("stranger", "POST", "/v3/packages?source_guid="+source, map[string]any{"relationships": appRef(far)}).want(422, "access to it")
}
