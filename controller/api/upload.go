package api

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"mime/multipart"
	"net/http"
	"os"
	"strconv"

	"github.com/cupola-paas/cupola/controller/bits"
	"github.com/cupola-paas/cupola/controller/capi"
	"github.com/cupola-paas/cupola/store"
)

const (
	resourcesBytes = 32 << 20 // of the JSON list of files that the client did not send
	resourcesMax   = 100_000
	// resourceLeast and resourceMost bound the files that are remembered for later pushes: below it costs more
	// to ask than to send.
	resourceLeast = 1 << 10
	resourceMost  = 256 << 20
)

// upload is what came in a multipart body.
type upload struct {
	zip       *os.File // nil: no bits were sent
	zipBytes  int64
	resources []capi.ResourceMatch
}

func (u *upload) close() {
	if u.zip != nil {
		_ = u.zip.Close()
	}
}

// uploadPackage takes the bits of a package. It is READY in the answer. An upload that breaks off leaves the
// package as it was, so that it can be sent again (contract, 2.2).
func (s *Server) uploadPackage(c *Ctx) error {
	if err := s.checkUploadable(c); err != nil {
		return err
	}
	u, err := s.receive(c)
	if err != nil {
		return err
	}
	defer u.close()
	sum, size, err := s.storeBits(c.Context(), u)
	if err != nil {
		return uploadError(err)
	}
	return s.finishUpload(c, sum, size)
}

func (s *Server) checkUploadable(c *Ctx) error {
	return c.View(func(tx *store.Tx) error {
		p, err := store.Packages.Get(tx, c.Path("guid"))
		if err != nil {
			return err
		}
		if err := c.needFlag(tx, "app_bits_upload", true); err != nil {
			return err
		}
		return uploadable(p)
	})
}

func uploadable(p *store.Package) error {
	if p.Type != capi.PackageBits {
		return errInvalid("Package type must be bits.")
	}
	if p.State != store.StateAwaitingUpload {
		return capi.UnableToPerform.Errorf("Bits may be uploaded only once. Create a new package to upload different bits.")
	}
	return nil
}

// receive reads the parts in the order in which they come; the zip goes to a temporary file that has no name any
// more, so that nothing is left of it whatever happens.
func (s *Server) receive(c *Ctx) (*upload, error) {
	body := http.MaxBytesReader(c.W, c.R.Body, bits.ArchiveBytes+resourcesBytes+bodyBytes)
	c.R.Body = body
	parts, err := c.R.MultipartReader()
	if err != nil {
		return nil, errInvalid("The upload must be multipart/form-data with the parts 'resources' and 'bits'")
	}
	u := &upload{}
	for {
		part, err := parts.NextPart()
		if err == io.EOF {
			return u, nil
		}
		if err == nil {
			err = s.receivePart(u, part)
		}
		if err != nil {
			u.close()
			return nil, uploadError(err)
		}
	}
}

func (s *Server) receivePart(u *upload, part *multipart.Part) error {
	switch part.FormName() {
	case "resources":
		raw, err := io.ReadAll(io.LimitReader(part, resourcesBytes+1))
		if err != nil {
			return err
		}
		u.resources, err = parseResources(raw)
		return err
	case "bits", "application":
		if u.zip != nil {
			return errInvalid("The upload has the part 'bits' twice")
		}
		return s.receiveZip(u, part)
	}
	return nil
}

func (s *Server) receiveZip(u *upload, part io.Reader) error {
	f, err := os.CreateTemp(s.tempDir, "upload-*")
	if err != nil {
		return fmt.Errorf("keep upload: %w", err)
	}
	u.zip = f
	if err := os.Remove(f.Name()); err != nil {
		return fmt.Errorf("keep upload: %w", err)
	}
	u.zipBytes, err = io.Copy(f, io.LimitReader(part, bits.ArchiveBytes+1))
	if err == nil && u.zipBytes > bits.ArchiveBytes {
		err = errTooLarge(fmt.Sprintf("The package is too large: %d MB are allowed. Leave out what the app does not need by a .cfignore file.", bits.ArchiveBytes>>20))
	}
	return err
}

// parseResources reads the list in its v3 form, or in the v2 form that old clients send.
func parseResources(raw []byte) ([]capi.ResourceMatch, error) {
	if len(raw) > resourcesBytes {
		return nil, errTooLarge(fmt.Sprintf("The list of resources may have %d MB at most", resourcesBytes>>20))
	}
	if len(bytes.TrimSpace(raw)) == 0 {
		return nil, nil
	}
	var in []struct {
		capi.ResourceMatch
		FN   string `json:"fn"`
		SHA1 string `json:"sha1"`
		Size int64  `json:"size"`
	}
	if err := json.Unmarshal(raw, &in); err != nil {
		return nil, errInvalid("The part 'resources' must be a JSON array of files with path, mode, checksum and size_in_bytes")
	}
	if len(in) > resourcesMax {
		return nil, errInvalid(fmt.Sprintf("The part 'resources' may name %d files at most", resourcesMax))
	}
	out := make([]capi.ResourceMatch, len(in))
	for i, r := range in {
		out[i] = r.ResourceMatch
		if r.FN != "" {
			out[i].Path, out[i].Checksum.Value, out[i].SizeInBytes = r.FN, r.SHA1, r.Size
		}
	}
	return out, nil
}

// storeBits checks the zip, remembers its files, adds those that were not sent, and keeps the whole as a blob.
func (s *Server) storeBits(ctx context.Context, u *upload) (sum string, size int64, err error) {
	var archive *bits.Archive
	if u.zip != nil && u.zipBytes > 0 {
		if archive, err = bits.Open(u.zip, u.zipBytes, bits.DefaultLimits); err != nil {
			return "", 0, err
		}
	}
	if (archive == nil || archive.Files() == 0) && len(u.resources) == 0 {
		return "", 0, errInvalid("The package has no files: push a folder that has some, and see whether .cfignore leaves all of them out")
	}
	if archive != nil {
		if err := s.remember(ctx, archive); err != nil {
			return "", 0, err
		}
	}
	if len(u.resources) == 0 {
		if _, err := u.zip.Seek(0, io.SeekStart); err != nil {
			return "", 0, err
		}
		return s.blobs.Put(ctx, u.zip, bits.ArchiveBytes)
	}
	return s.storeMerged(ctx, archive, u.resources)
}

// remember reads every file once, which checks it, and keeps those that are worth matching.
func (s *Server) remember(ctx context.Context, a *bits.Archive) error {
	return a.Each(ctx, func(e bits.Entry, r io.Reader) error {
		if s.resources == nil || e.Size < resourceLeast || e.Size > resourceMost {
			return nil
		}
		_, err := s.resources.Add(ctx, r)
		var bad *bits.InvalidError
		if err == nil || errors.As(err, &bad) || ctx.Err() != nil {
			return err
		}
		s.log.Warn("source file not remembered", "error", err)
		return nil // it is only a cache
	})
}

// storeMerged writes the zip with the matched files added, checks it as if it had been sent, and keeps it.
func (s *Server) storeMerged(ctx context.Context, a *bits.Archive, resources []capi.ResourceMatch) (sum string, size int64, err error) {
	extras, err := s.extras(resources)
	if err != nil {
		return "", 0, err
	}
	f, err := os.CreateTemp(s.tempDir, "merge-*")
	if err != nil {
		return "", 0, fmt.Errorf("merge package: %w", err)
	}
	defer f.Close()
	if err := os.Remove(f.Name()); err != nil {
		return "", 0, fmt.Errorf("merge package: %w", err)
	}
	if err := bits.Merge(ctx, f, a, extras); err != nil {
		return "", 0, err
	}
	if size, err = f.Seek(0, io.SeekEnd); err != nil {
		return "", 0, err
	}
	if _, err := bits.Open(f, size, bits.DefaultLimits); err != nil {
		return "", 0, err
	}
	if _, err := f.Seek(0, io.SeekStart); err != nil {
		return "", 0, err
	}
	return s.blobs.Put(ctx, f, bits.ArchiveBytes)
}

func (s *Server) extras(resources []capi.ResourceMatch) ([]bits.Extra, error) {
	out := make([]bits.Extra, 0, len(resources))
	var total int64
	for _, r := range resources {
		mode, err := strconv.ParseUint(r.Mode, 8, 32)
		if r.Mode == "" || err != nil {
			mode = 0o644
		}
		if total += r.SizeInBytes; r.SizeInBytes < 0 || total > bits.DefaultLimits.Bytes {
			return nil, errInvalid(fmt.Sprintf("The package unpacks to more than %d MB", bits.DefaultLimits.Bytes>>20))
		}
		out = append(out, bits.Extra{Path: r.Path, Mode: fs.FileMode(mode).Perm(), Open: s.opener(r)})
	}
	return out, nil
}

func (s *Server) opener(r capi.ResourceMatch) func() (io.ReadCloser, error) {
	return func() (io.ReadCloser, error) {
		gone := errInvalid(fmt.Sprintf("The file '%s' is no longer known to the platform: push again to send it", clip(r.Path, 200)))
		if s.resources == nil {
			return nil, gone
		}
		f, err := s.resources.Open(r.Checksum.Value)
		if err != nil {
			return nil, orElse(err, gone)
		}
		if info, err := f.Stat(); err != nil || info.Size() != r.SizeInBytes {
			_ = f.Close()
			return nil, gone
		}
		return f, nil
	}
}

// uploadError puts what is wrong with an upload into the API's words.
func uploadError(err error) error {
	var bad *bits.InvalidError
	var known *capi.Error
	var tooLarge *http.MaxBytesError
	switch {
	case errors.As(err, &known):
		return err
	case errors.As(err, &bad):
		return capi.AppPackageInvalid.Errorf("The app package is invalid: %v", bad)
	case errors.As(err, &tooLarge), errors.Is(err, store.ErrTooLarge):
		return errTooLarge(fmt.Sprintf("The package is too large: %d MB are allowed", bits.ArchiveBytes>>20))
	case errors.Is(err, io.ErrUnexpectedEOF), errors.Is(err, multipart.ErrMessageTooLarge):
		return errParse("The upload was cut off; the package still awaits its bits, so send them again")
	}
	return err
}

// finishUpload writes that the package is ready, unless somebody else's upload came first.
func (s *Server) finishUpload(c *Ctx, sum string, size int64) error {
	var shown capi.Package
	err := c.Update(func(tx *store.Tx) error {
		p, err := store.Packages.Get(tx, c.Path("guid"))
		if err != nil {
			return err
		}
		if err := uploadable(p); err != nil {
			return err
		}
		p.State, p.SHA256, p.SizeBytes = store.StateReady, sum, size
		if err := store.Packages.Put(tx, p); err != nil {
			return err
		}
		app, err := store.Apps.Get(tx, p.AppGUID)
		if err != nil {
			return err
		}
		if shown, err = s.presentPackage(tx, p); err != nil {
			return err
		}
		s.apiLine(app.GUID, "Uploaded bits of package "+p.GUID)
		return c.audit(tx, Event{Type: "audit.app.package.upload", Target: appTarget(app), Place: c.place, Data: map[string]any{"package_guid": p.GUID}})
	})
	if err != nil {
		return err
	}
	return c.JSON(http.StatusOK, shown)
}

// matchResources answers which of the client's files need not be sent.
func (s *Server) matchResources(c *Ctx) error {
	var in capi.ResourceMatches
	if err := c.decodeLarge(&in, resourcesBytes); err != nil {
		return err
	}
	if len(in.Resources) > resourcesMax {
		return errInvalid(fmt.Sprintf("Resources may be %d at most", resourcesMax))
	}
	matching := false
	err := c.View(func(tx *store.Tx) (err error) {
		if err := c.needFlag(tx, "app_bits_upload", flagDefault("app_bits_upload")); err != nil {
			return err
		}
		matching, err = flagOn(tx, "resource_matching", flagDefault("resource_matching"))
		return err
	})
	if err != nil {
		return err
	}
	out := capi.ResourceMatches{}
	if s.resources == nil || !matching {
		return c.JSON(http.StatusCreated, out)
	}
	wanted := make([]store.Resource, 0, len(in.Resources))
	for _, r := range in.Resources {
		if r.SizeInBytes >= resourceLeast {
			wanted = append(wanted, store.Resource{SHA1: r.Checksum.Value, SizeBytes: r.SizeInBytes})
		}
	}
	have := map[store.Resource]bool{}
	for _, r := range s.resources.Match(wanted) {
		have[r] = true
	}
	for _, r := range in.Resources {
		if have[store.Resource{SHA1: r.Checksum.Value, SizeBytes: r.SizeInBytes}] {
			out.Resources = append(out.Resources, r)
		}
	}
	return c.JSON(http.StatusCreated, out)
}
