package staging

import (
	"context"
	"errors"
	"io"
	"strings"
	"testing"

	"github.com/cupola-paas/cupola/buildpack"
	"github.com/cupola-paas/cupola/store"
)

// adopter says what it read.
type adopter struct {
	got  buildpack.Adoption
	text string
	err  error
}

func (a *adopter) Adopt(_ context.Context, in buildpack.Adoption) (*buildpack.Result, error) {
	text, _ := io.ReadAll(in.Archive)
	a.got, a.text = in, string(text)
	return &buildpack.Result{Digest: "sha256:eeee", Processes: []buildpack.Process{{Type: "web", Command: "run"}}}, a.err
}

type archives struct{}

func (archives) Droplet(sum string) (io.ReadCloser, error) {
	return io.NopCloser(strings.NewReader("archive " + sum)), nil
}

func TestUploadedDropletsBecomeImages(t *testing.T) {
	for _, test := range []struct {
		err        error
		state, job string
	}{
		{nil, store.StateStaged, "COMPLETE"},
		{&buildpack.Error{Code: buildpack.BadArchive, Message: "it has no folder ./app"}, store.StateFailed, "FAILED"},
	} {
		w, a := newWorld(t), &adopter{err: test.err}
		w.Adopter, w.Blobs = a, archives{}
		d := &store.Droplet{AppGUID: w.app.GUID, State: store.StateProcessingUpload, SHA256: "abc", ProcessTypes: map[string]string{"web": "mine"}}
		job := &store.Job{State: "PROCESSING"}
		w.update(func(tx *store.Tx) error {
			err := store.Droplets.Put(tx, d)
			job.ResourceGUID = d.GUID
			return errors.Join(err, store.Jobs.Put(tx, job))
		})
		w.step()
		w.workers.Wait()
		w.update(func(tx *store.Tx) error {
			got, err := store.Droplets.Get(tx, d.GUID)
			if err != nil {
				return err
			}
			if got.State != test.state || got.SHA256 != "" || test.err == nil && (got.ImageDigest != "sha256:eeee" || got.ProcessTypes["web"] != "run") {
				t.Errorf("droplet = %+v", got)
			}
			j, err := store.Jobs.Get(tx, job.GUID)
			if err == nil && (j.State != test.job || (len(j.Errors) == 0) != (test.err == nil)) {
				t.Errorf("job = %+v, want %s", j, test.job)
			}
			return err
		})
		if a.text != "archive abc" || a.got.RunImage == "" || a.got.Processes["web"] != "mine" || a.got.Repository != "127.0.0.1:1/"+Repository(w.app.GUID) {
			t.Errorf("adopted %+v from %q", a.got, a.text)
		}
	}
}
