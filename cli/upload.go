package cli

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"time"

	"golang.org/x/sync/errgroup"

	"github.com/cupola-paas/cupola/cli/bits"
	"github.com/cupola-paas/cupola/cli/manifest"
	"github.com/cupola-paas/cupola/cli/ui"
	"github.com/cupola-paas/cupola/controller/capi"
)

// inMemory is up to which size a zip is made in memory.
const inMemory = 16 << 20

// hand gives the server what an app is made of: its source, or the reference of an image.
func (p *pusher) hand(ctx context.Context, entry *manifest.App, app *capi.App) (packageGUID string, mark time.Time, err error) {
	image, user := entry.Docker()
	if image == "" {
		return p.upload(ctx, app, p.sources[entry.Name], p.matched[entry.Name])
	}
	guid, err := p.imagePackage(ctx, app, image, user)
	if err != nil {
		return "", mark, err
	}
	return guid, p.logMark(ctx, app.GUID), nil
}

// upload sends the files that the server does not have. It returns the GUID of the package, and where the log of
// the app stands.
func (p *pusher) upload(ctx context.Context, app *capi.App, source *bits.Source, m *matching) (packageGUID string, mark time.Time, err error) {
	var (
		pkg *capi.Package
		zip *packed
	)
	group, gctx := errgroup.WithContext(ctx)
	group.Go(func() (err error) {
		pkg, err = p.client.CreatePackage(gctx, capi.PackageCreate{Type: capi.PackageBits, Relationships: capi.PackageCreateRelationships{App: capi.To(app.GUID)}})
		return err
	})
	group.Go(func() (err error) { zip, err = pack(gctx, source, m); return err })
	group.Go(func() error { mark = p.logMark(gctx, app.GUID); return nil })
	err = group.Wait()
	if zip != nil {
		defer zip.close()
	}
	if err != nil {
		return "", mark, err
	}
	if err := p.send(ctx, pkg.GUID, zip, m); err != nil {
		return "", mark, err
	}
	p.ui.Notef("%s", uploaded(zip, len(m.have)))
	return pkg.GUID, mark, nil
}

// uploaded is such as: Uploaded 2.1K in 6 files; 1 file was there already.
func uploaded(zip *packed, there int) string {
	text := "Nothing to upload"
	if zip.files > 0 {
		text = "Uploaded " + ui.Bytes(zip.size) + " in " + ui.Count(zip.files, "file")
	}
	switch there {
	case 0:
		return text + "."
	case 1:
		return text + "; 1 file was there already."
	}
	return fmt.Sprintf("%s; %d files were there already.", text, there)
}

func (p *pusher) send(ctx context.Context, packageGUID string, zip *packed, m *matching) error {
	up := capi.Upload{Resources: m.have, Size: zip.size, Progress: func(n int64) { p.showUpload(n, zip.size) }}
	if zip.entries > 0 || len(m.have) == 0 {
		up.Bits = zip.reader
	} else {
		up.Size = 0
	}
	defer p.ui.Status("")
	if _, err := p.client.UploadPackage(ctx, packageGUID, up); err != nil {
		return fmt.Errorf("upload the source: %w", err)
	}
	return nil
}

// showUpload shows how much has been sent, and when all is, whom the command waits for.
func (p *pusher) showUpload(sent, size int64) {
	if sent < size {
		p.ui.Progress("Uploading", sent, size)
		return
	}
	p.ui.Status("Uploaded %s; the API puts the source together", ui.Bytes(size))
}

// packed is a zip on its way.
type packed struct {
	reader  io.Reader
	size    int64
	files   int // with content
	entries int // folders and links too
	file    *os.File
}

func (z *packed) close() {
	if z.file != nil {
		_ = errors.Join(z.file.Close(), os.Remove(z.file.Name())) // a temporary file that stays costs space in /tmp, nothing else
	}
}

// pack zips what the server does not have: in memory when it is small, else in a temporary file.
func pack(ctx context.Context, source *bits.Source, m *matching) (*packed, error) {
	z := &packed{}
	var size int64
	keep := map[string]bool{}
	for _, f := range source.Files {
		if f.Regular() && m.known[fileKey{f.SHA1, f.Size}] {
			continue
		}
		keep[f.Path] = true
		size += f.Size
		z.entries++
		if f.Regular() {
			z.files++
		}
	}
	kept := func(f bits.File) bool { return keep[f.Path] }
	if size <= inMemory {
		var buffer bytes.Buffer
		err := source.Pack(ctx, &buffer, kept)
		z.reader, z.size = &buffer, int64(buffer.Len())
		return z, err
	}
	return z, z.toFile(ctx, source, kept)
}

func (z *packed) toFile(ctx context.Context, source *bits.Source, keep func(bits.File) bool) error {
	file, err := os.CreateTemp("", "cupola-push-*.zip")
	if err != nil {
		return fmt.Errorf("pack the source: %w", err)
	}
	z.file = file
	if err := source.Pack(ctx, file, keep); err != nil {
		return err
	}
	if z.size, err = file.Seek(0, io.SeekCurrent); err != nil {
		return err
	}
	_, err = file.Seek(0, io.SeekStart)
	z.reader = file
	return err
}
