package api

import (
	"archive/zip"
	"errors"
	"fmt"
	"io"
	"mime/multipart"
	"path/filepath"
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

func (s *Server) takeBuildpack(c *Ctx, part *multipart.Part) error {
	name := filepath.Base(strings.ReplaceAll(part.FileName(), `\`, "/"))
	kind := strings.ToLower(filepath.Ext(name))
	if kind != ".zip" && kind != ".cnb" && kind != ".tgz" {
		return capi.BuildpackBitsUploadInvalid.Errorf("The buildpack upload is invalid: %s is not a .zip, .tgz or .cnb file", clip(name, 100))
	}
	sum, size, err := s.blobs.Put(c.Context(), part, buildpackBytes)
	if err != nil {
		return uploadError(err)
	}
	if kind == ".zip" {
		if err := s.checkZip(sum, size); err != nil {
			return err
		}
	}
	var job *store.Job
	var b *store.Buildpack
	err = c.Update(func(tx *store.Tx) (err error) {
		if err = c.unlocked(tx); err != nil {
			return err
		}
		if b, err = c.buildpackOf(tx); err != nil {
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

// checkZip reads the table of contents only.
func (s *Server) checkZip(sum string, size int64) error {
	f, err := s.blobs.Open(sum)
	if err != nil {
		return fmt.Errorf("check buildpack: %w", err)
	}
	defer f.Close()
	if _, err := zip.NewReader(f, size); err != nil {
		return capi.BuildpackZipError.Errorf("Buildpack zip error: the file is not a zip archive or is cut off (%v)", err)
	}
	return nil
}
