package api

import (
	"bytes"
	"context"
	"errors"
	"io"
	"net/http/httptest"
	"testing"

	"github.com/cupola-paas/cupola/store"
)

func (w *world) uploadDroplet(guid string, bits []byte) *reply {
	w.t.Helper()
	body, kind := multi(w.t, nil, bits)
	r := httptest.NewRequest("POST", "/v3/droplets/"+guid+"/upload", bytes.NewReader(body))
	r.Header.Set("Content-Type", kind)
	return w.send("developer", r)
}

func TestDropletUpload(t *testing.T) {
	w := newWorld(t)
	app := w.makeApp("a")
	body := map[string]any{"relationships": appRef(app), "process_types": map[string]string{"web": "run"}}
	r := w.as("developer", "POST", "/v3/droplets", body).want(201, "AWAITING_UPLOAD", `"web":"run"`, `/upload"`)
	w.as("auditor", "POST", "/v3/droplets", body).want(403)
	w.as("stranger", "POST", "/v3/droplets", body).want(422, "App is invalid")
	w.as("developer", "POST", "/v3/droplets", map[string]any{"relationships": appRef(app), "process_types": map[string]string{"web": ""}}).want(422, "a command each")
	w.as("developer", "GET", "/v3/droplets/"+r.guid()+"/download", nil).want(422, "Only staged droplets")
	w.uploadDroplet(r.guid(), nil).want(422, "no part 'bits'")
	up := w.uploadDroplet(r.guid(), []byte("archive")).want(202, "PROCESSING_UPLOAD", r.guid())
	if up.header.Get("Location") == "" {
		t.Error("an upload must lead to its job")
	}
	w.uploadDroplet(r.guid(), []byte("archive")).want(400, "only once")
	w.view(func(tx *store.Tx) error {
		d, err := store.Droplets.Get(tx, r.guid())
		w.must(err)
		f, err := w.s.blobs.Open(d.SHA256)
		w.must(err)
		defer f.Close()
		kept, err := io.ReadAll(f)
		if string(kept) != "archive" {
			t.Errorf("kept %q", kept)
		}
		return err
	})
}

func TestDropletDownloadAndCopy(t *testing.T) {
	broken := errors.New("the registry is away")
	var fail error
	w := newWorld(t, func(o *Options) {
		o.WriteDroplet = func(_ context.Context, repository, digest, start string, to io.Writer) error {
			if fail != nil {
				return fail
			}
			_, err := io.WriteString(to, repository+"@"+digest+" "+start)
			return err
		}
	})
	app := w.makeApp("a")
	d := w.makeDroplet(app, map[string]string{"web": "run web"})
	r := w.as("developer", "GET", "/v3/droplets/"+d+"/download", nil).want(200, "@sha256:abc run web")
	if r.header.Get("Content-Type") != "application/gzip" {
		t.Errorf("Content-Type %s", r.header.Get("Content-Type"))
	}
	w.as("supporter", "GET", "/v3/droplets/"+d+"/download", nil).want(403)
	fail = broken
	w.as("developer", "GET", "/v3/droplets/"+d+"/download", nil).want(500)

	other := w.makeApp("b")
	body := map[string]any{"relationships": appRef(other)}
	copied := w.as("developer", "POST", "/v3/droplets?source_guid="+d, body).want(201, "STAGED", `"web":"run web"`).guid()
	w.as("developer", "POST", "/v3/droplets?source_guid=none", body).want(422, "Unable to copy the droplet")
	w.as("developer", "GET", "/v3/audit_events?types=audit.app.droplet.create&target_guids="+other, nil).want(200, `"total_results":1`)
	w.as("developer", "DELETE", "/v3/apps/"+app, nil).want(202)
	w.as("developer", "PATCH", "/v3/apps/"+other+"/relationships/current_droplet", `{"data":{"guid":"`+copied+`"}}`).want(200)
}
