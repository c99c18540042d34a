package api

import (
	"errors"
	"io"
	"maps"
	"net/http"

	"github.com/cupola-paas/cupola/controller/capi"
	"github.com/cupola-paas/cupola/store"
)

// dropletBytes is the most that an uploaded droplet may have.
const dropletBytes = 4 << 30

// createDroplet makes a droplet that awaits its bits, or a copy of another one for an app.
func (s *Server) createDroplet(c *Ctx) error {
	var in capi.DropletCreate
	if err := c.decode(&in); err != nil {
		return err
	}
	source := c.R.URL.Query().Get("source_guid")
	var shown capi.Droplet
	err := c.Update(func(tx *store.Tx) error {
		app, place, err := c.appInBody(tx, in.Relationships.App.GUID(), Develop)
		if err != nil {
			return err
		}
		d := &store.Droplet{State: store.StateAwaitingUpload, Lifecycle: app.Lifecycle, ProcessTypes: in.ProcessTypes}
		if source != "" {
			if d, err = c.copiedDroplet(tx, source); err != nil {
				return err
			}
		} else if err := validateNewDroplet(app, in); err != nil {
			return err
		}
		d.AppGUID, d.SpaceGUID = app.GUID, app.SpaceGUID
		if err := firstOf(patchMetadata(&d.Meta, in.Metadata), store.Droplets.Put(tx, d)); err != nil {
			return err
		}
		c.place = place
		if shown, err = s.showDroplet(c, tx, d); err != nil {
			return err
		}
		return c.audit(tx, Event{Type: "audit.app.droplet.create", Target: appTarget(app), Place: place, Data: map[string]any{"droplet_guid": d.GUID}})
	})
	if err != nil {
		return err
	}
	return c.JSON(http.StatusCreated, shown)
}

func validateNewDroplet(app *store.App, in capi.DropletCreate) error {
	if app.Lifecycle.Type == capi.LifecycleDocker {
		return errInvalid("Droplets of apps of the docker lifecycle come from their image and cannot be uploaded")
	}
	for kind, command := range in.ProcessTypes {
		if err := firstOf(validateName("Process type", kind), validateCommand(command)); err != nil {
			return err
		}
		if command == "" {
			return errInvalid("Process types must have a command each")
		}
	}
	return nil
}

// copiedDroplet is the same image for another app; it stays when the first app is deleted, since images are kept as
// long as any droplet refers to them.
func (c *Ctx) copiedDroplet(tx *store.Tx, guid string) (*store.Droplet, error) {
	hidden := errInvalid("Unable to copy the droplet: ensure the source droplet exists and you have access to it")
	source, err := store.Droplets.Get(tx, guid)
	if err != nil {
		return nil, orElse(err, hidden)
	}
	place, err := placeOf(tx, source.SpaceGUID)
	if err != nil {
		return nil, orElse(err, hidden)
	}
	if ok, err := c.Can(tx, place, SeeSecrets); err != nil || !ok {
		return nil, firstOf(err, hidden)
	}
	if source.State != store.StateStaged {
		return nil, errInvalid("Unable to copy the droplet: it is " + source.State + ", not STAGED")
	}
	d := *source
	d.Meta, d.BuildGUID, d.PackageGUID = store.Meta{}, "", ""
	d.ProcessTypes = maps.Clone(source.ProcessTypes)
	return &d, nil
}

// uploadDroplet takes the archive of a droplet; the staging loop makes an image of it.
func (s *Server) uploadDroplet(c *Ctx) error {
	err := c.View(func(tx *store.Tx) error {
		d, err := store.Droplets.Get(tx, c.Path("guid"))
		if err != nil {
			return err
		}
		return awaitsUpload(d)
	})
	if err != nil {
		return err
	}
	sum, err := s.receiveDroplet(c)
	if err != nil {
		return uploadError(err)
	}
	var job *store.Job
	var shown capi.Droplet
	err = c.Update(func(tx *store.Tx) error {
		d, err := store.Droplets.Get(tx, c.Path("guid"))
		if err != nil {
			return err
		}
		if err := awaitsUpload(d); err != nil {
			return err
		}
		app, err := store.Apps.Get(tx, d.AppGUID)
		if err != nil {
			return err
		}
		d.State, d.SHA256 = store.StateProcessingUpload, sum
		job = &store.Job{Operation: "droplet.upload", State: capi.JobProcessing, ResourceType: "droplet", ResourceGUID: d.GUID}
		if err := firstOf(store.Droplets.Put(tx, d), store.Jobs.Put(tx, job)); err != nil {
			return err
		}
		if shown, err = s.showDroplet(c, tx, d); err != nil {
			return err
		}
		return c.audit(tx, Event{Type: "audit.app.droplet.upload", Target: appTarget(app), Place: c.place, Data: map[string]any{"droplet_guid": d.GUID}})
	})
	if err != nil {
		return err
	}
	return c.Accepted(job.GUID, shown)
}

func awaitsUpload(d *store.Droplet) error {
	if d.State != store.StateAwaitingUpload {
		return capi.UnableToPerform.Errorf("Droplet bits may be uploaded only once. Create a new droplet to upload different bits.")
	}
	return nil
}

// receiveDroplet keeps the part 'bits' as a blob.
func (s *Server) receiveDroplet(c *Ctx) (sum string, err error) {
	c.R.Body = http.MaxBytesReader(c.W, c.R.Body, dropletBytes+bodyBytes)
	parts, err := c.R.MultipartReader()
	if err != nil {
		return "", errInvalid("The upload must be multipart/form-data with the part 'bits'")
	}
	for {
		part, err := parts.NextPart()
		if err == io.EOF {
			return "", errInvalid("The upload has no part 'bits': send the droplet in it, a gzipped tar file")
		}
		if err != nil {
			return "", err
		}
		if part.FormName() != "bits" {
			continue
		}
		sum, size, err := s.blobs.Put(c.Context(), part, dropletBytes)
		if err == nil && size == 0 {
			err = errInvalid("The droplet is empty: send a gzipped tar file")
		}
		return sum, err
	}
}

// downloadDroplet streams the droplet as an archive.
func (s *Server) downloadDroplet(c *Ctx) error {
	var d *store.Droplet
	err := c.Update(func(tx *store.Tx) (err error) { // the event is a change
		if d, err = store.Droplets.Get(tx, c.Path("guid")); err != nil {
			return err
		}
		if d.Docker.Image != "" {
			return errInvalid("Cannot download droplets with 'docker' lifecycle.")
		}
		if d.State != store.StateStaged || s.writeDroplet == nil {
			return errInvalid("Only staged droplets can be downloaded.")
		}
		app, err := store.Apps.Get(tx, d.AppGUID)
		if err != nil {
			return err
		}
		return c.audit(tx, Event{Type: "audit.app.droplet.download", Target: appTarget(app), Place: c.place, Data: map[string]any{"droplet_guid": d.GUID}})
	})
	if err != nil {
		return err
	}
	w := &lateHead{c: c}
	err = s.writeDroplet(c.Context(), d.Repository, d.ImageDigest, d.ProcessTypes["web"], w)
	if err != nil && w.begun {
		s.log.Warn("droplet not sent whole", "droplet", d.GUID, "error", err)
		panic(http.ErrAbortHandler) // so that the client does not take what it has for the whole
	}
	return err
}

// lateHead writes the response's head with the first byte, so that an error before it can still be answered.
type lateHead struct {
	c     *Ctx
	begun bool
}

func (w *lateHead) Write(p []byte) (int, error) {
	if !w.begun {
		w.begun = true
		w.c.head("application/gzip")
		w.c.W.Header().Set("Content-Disposition", `attachment; filename="droplet.tgz"`)
		w.c.W.WriteHeader(http.StatusOK)
	}
	n, err := w.c.W.Write(p)
	if err != nil {
		return n, errors.Join(w.c.Context().Err(), err)
	}
	return n, nil
}
