package api

import (
	"errors"
	"io"
	"mime/multipart"
	"path/filepath"
	"slices"
	"strings"

	"github.com/cupola-paas/cupola/controller/capi"
	"github.com/cupola-paas/cupola/store"
)

// buildpackBytes is the most that an uploaded buildpack may have.
const buildpackBytes = 2 << 30

// uploadBuildpack takes the bits of a buildpack into the blobs. An upload that breaks off or is no archive leaves the
// buildpack as it was; the clean-up collects the blob.
func (s *Server) uploadBuildpack(c *Ctx) error {
	if err := c.View(func(tx *store.Tx) error { return c.unlocked(tx) }); err != nil {
		return err
	}
	parts, err := c.R.MultipartReader()
	if err != nil {
		return errInvalid("The upload must be multipart/form-data with the part 'bits', which is a .zip or .cnb file")
	}
	for {
		part, err := parts.NextPart()
		if errors.Is(err, io.EOF) {
			return errInvalid("A buildpack zip file must be uploaded as 'bits'")
		}
		if err != nil {
			return uploadError(err)
		}
		if part.FormName() == "bits" {
			return s.takeBuildpack(c, part)
		}
	}
}

func (c *Ctx) unlocked(tx *store.Tx) error {
	b, err := c.buildpackOf(tx)
	if err == nil && b.Locked {
		err = capi.BuildpackLocked.Errorf("The buildpack is locked: unlock %s first", b.Name)
	}
	return err
}

// kinds are the endings of file names that each lifecycle takes.
var kinds = map[string][]string{capi.LifecycleBuildpack: {".zip"}, capi.LifecycleCNB: {".cnb", ".tgz", ".tar"}}

func (s *Server) takeBuildpack(c *Ctx, part *multipart.Part) error {
	name := filepath.Base(strings.ReplaceAll(part.FileName(), `\`, "/"))
	lifecycle := ""
	err := c.View(func(tx *store.Tx) error {
		b, err := c.buildpackOf(tx)
		if err == nil {
			lifecycle = b.Lifecycle
		}
		return err
	})
	if err != nil {
		return err
	}
	if want := kinds[lifecycle]; !slices.Contains(want, strings.ToLower(filepath.Ext(name))) {
		return capi.BuildpackBitsUploadInvalid.Errorf("The buildpack upload is invalid: %s is not a %s file", clip(name, 100), strings.Join(want, " or "))
	}
	sum, size, err := s.blobs.Put(c.Context(), part, buildpackBytes)
	if err != nil {
		return uploadError(err)
	}
	found, bad := s.readBuildpack(lifecycle, sum, size)
	if bad != nil && refused(bad) == nil {
		return bad
	}
	return s.endUpload(c, name, sum, found, bad)
}

// endUpload writes the bits and a job that has ended. Bits that are refused leave the buildpack as it was, and a failed
// job says why, which is where clients look (contract, 4.5).
func (s *Server) endUpload(c *Ctx, name, sum string, found buildpackBits, bad error) error {
	var job *store.Job
	var b *store.Buildpack
	err := c.Update(func(tx *store.Tx) (err error) {
		if err = c.unlocked(tx); err != nil {
			return err
		}
		if b, err = c.buildpackOf(tx); err != nil {
			return err
		}
		if bad == nil {
			bad = takeStack(tx, b, found.stack)
		}
		if bad != nil {
			job, err = failedJob(tx, "buildpack.upload", b.GUID, bad)
			return err
		}
		b.SHA256, b.Filename, b.State = sum, name, store.StateReady
		b.SystemID, b.Version = "", "" // what was ours is replaced
		if err = firstOf(store.Buildpacks.Put(tx, b), c.auditBuildpack(tx, b, "upload")); err == nil {
			job, err = completeJob(tx, "buildpack.upload", "buildpack", b.GUID)
		}
		return err
	})
	if err != nil {
		return err
	}
	return c.Accepted(job.GUID, s.presentBuildpack(b))
}

// refused is the API's error that an error is; nil for one of our own making.
func refused(err error) *capi.Error {
	var e *capi.Error
	errors.As(err, &e)
	return e
}

// failedJob writes a job that has failed for a reason of the client's.
func failedJob(tx *store.Tx, operation, buildpackGUID string, cause error) (*store.Job, error) {
	e := refused(cause)
	if e == nil {
		return nil, cause
	}
	j := &store.Job{
		Operation: operation, State: capi.JobFailed, ResourceType: "buildpack", ResourceGUID: buildpackGUID,
		Errors: []store.JobError{{Code: e.Code, Title: e.Title, Detail: e.Detail}},
	}
	return j, store.Jobs.Put(tx, j)
}
