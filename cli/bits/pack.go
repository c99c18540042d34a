package bits

import (
	"archive/zip"
	"compress/flate"
	"context"
	"fmt"
	"io"
	"os"
	"path/filepath"
)

// storeBelow is the size under which compressing costs more than it saves.
const storeBelow = 256

// Pack writes a zip of the entries for which keep says yes. Modes, folders and links are kept. The
// compression is the fastest one: a push is nearly always closer than a modem.
func (s *Source) Pack(ctx context.Context, w io.Writer, keep func(File) bool) error {
	z := zip.NewWriter(w)
	z.RegisterCompressor(zip.Deflate, func(out io.Writer) (io.WriteCloser, error) {
		return flate.NewWriter(out, flate.BestSpeed)
	})
	for _, f := range s.Files {
		if ctx.Err() != nil {
			return ctx.Err()
		}
		if !keep(f) {
			continue
		}
		if err := s.packFile(z, f); err != nil {
			return fmt.Errorf("pack %s: %w", f.Path, err)
		}
	}
	return z.Close()
}

func (s *Source) packFile(z *zip.Writer, f File) error {
	if entry := s.entries[f.Path]; entry != nil {
		return z.Copy(entry)
	}
	header := &zip.FileHeader{Name: f.Path, Method: zip.Deflate}
	header.SetMode(f.Mode)
	switch {
	case f.Mode.IsDir():
		header.Name += "/"
		header.Method = zip.Store
		_, err := z.CreateHeader(header)
		return err
	case f.Link != "":
		header.Method = zip.Store
		out, err := z.CreateHeader(header)
		if err != nil {
			return err
		}
		_, err = io.WriteString(out, f.Link)
		return err
	}
	return s.packContent(z, header, f)
}

func (s *Source) packContent(z *zip.Writer, header *zip.FileHeader, f File) error {
	in, err := os.Open(filepath.Join(s.Path, filepath.FromSlash(f.Path)))
	if err != nil {
		return err
	}
	defer in.Close()
	if f.Size < storeBelow {
		header.Method = zip.Store
	}
	if info, err := in.Stat(); err == nil {
		header.Modified = info.ModTime()
	}
	out, err := z.CreateHeader(header)
	if err != nil {
		return err
	}
	buffer := buffers.Get().(*[]byte)
	defer buffers.Put(buffer)
	_, err = io.CopyBuffer(out, struct{ io.Reader }{in}, *buffer)
	return err
}
