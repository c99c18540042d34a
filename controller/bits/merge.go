package bits

import (
	"archive/zip"
	"context"
	"fmt"
	"io"
	"io/fs"
	"path"
	"time"

	"github.com/klauspost/compress/flate"
)

// Extra is a file that the client did not send because the platform has its bytes.
type Extra struct {
	Path string
	Mode fs.FileMode
	Open func() (io.ReadCloser, error)
}

// zipEpoch is the time of files that come from resource matching, whose own time nobody told us.
var zipEpoch = time.Date(1980, 1, 1, 0, 0, 0, 0, time.UTC)

// Merge writes one zip with the entries of a, copied as they are, and the extras. Where both have a path the
// uploaded file wins. a may be nil. The result must be checked by Open like any other: an extra's path comes
// from outside too.
func Merge(ctx context.Context, w io.Writer, a *Archive, extras []Extra) error {
	z := zip.NewWriter(w)
	z.RegisterCompressor(zip.Deflate, func(w io.Writer) (io.WriteCloser, error) {
		return flate.NewWriter(w, flate.BestSpeed)
	})
	have := map[string]bool{}
	if a != nil {
		for _, e := range a.Entries {
			have[e.Name] = true
			if err := z.Copy(e.file); err != nil {
				return fmt.Errorf("merge %q: %w", e.Name, err)
			}
		}
	}
	for _, x := range extras {
		if err := ctx.Err(); err != nil {
			return err
		}
		if name := path.Clean(x.Path); have[name] {
			continue
		}
		if err := addExtra(z, x); err != nil {
			return err
		}
	}
	return z.Close()
}

func addExtra(z *zip.Writer, x Extra) error {
	h := &zip.FileHeader{Name: x.Path, Method: zip.Deflate, Modified: zipEpoch}
	h.SetMode(x.Mode.Perm())
	w, err := z.CreateHeader(h)
	if err != nil {
		return fmt.Errorf("merge %q: %w", x.Path, err)
	}
	r, err := x.Open()
	if err != nil {
		return fmt.Errorf("merge %q: %w", x.Path, err)
	}
	defer r.Close()
	if _, err := io.Copy(w, r); err != nil {
		return fmt.Errorf("merge %q: %w", x.Path, err)
	}
	return nil
}
