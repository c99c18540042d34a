package buildpack

import (
	"archive/tar"
	"compress/gzip"
	"context"
	"errors"
	"io"
	"os"
	"path"
	"slices"
	"strings"
)

// Bounds of a droplet archive, unpacked.
const (
	archiveBytes   = 8 << 30
	archiveEntries = 500_000
)

// unpackDroplet writes the folders of a droplet archive into root. Whatever it says, nothing is written outside of it,
// and links are made last, so that nothing is written through them.
func unpackDroplet(ctx context.Context, archive io.Reader, root *os.Root) error {
	zip, err := gzip.NewReader(archive)
	if err != nil {
		return badArchive("it is no gzipped tar file")
	}
	u := &unpacker{root: root, left: archiveBytes}
	in := tar.NewReader(zip)
	for n := 0; ; n++ {
		h, err := in.Next()
		if err == io.EOF {
			break
		}
		if err != nil {
			return badArchive("it is damaged: %v", err)
		}
		if err := ctx.Err(); err != nil {
			return err
		}
		if n > archiveEntries {
			return badArchive("it has more than %d files", archiveEntries)
		}
		if err := u.entry(h, in); err != nil {
			return err
		}
	}
	if err := u.finish(); err != nil {
		return err
	}
	for _, needed := range []string{"app", "layers"} {
		if err := root.MkdirAll(needed, 0o755); err != nil {
			return badArchive("%v", err)
		}
	}
	if !u.app {
		return badArchive("it has no folder ./app")
	}
	return nil
}

type unpacker struct {
	root  *os.Root
	left  int64
	links []*tar.Header
	app   bool
}

func (u *unpacker) entry(h *tar.Header, content io.Reader) error {
	name := path.Clean("/" + h.Name)[1:]
	if !wanted(name) {
		return nil
	}
	u.app = u.app || name == "app" || strings.HasPrefix(name, "app/")
	copied := *h
	copied.Name = name
	switch h.Typeflag {
	case tar.TypeDir:
		if err := u.root.MkdirAll(name, 0o755); err != nil {
			return badArchive("%v", err)
		}
		return nil
	case tar.TypeReg:
		return u.file(&copied, content)
	case tar.TypeSymlink, tar.TypeLink:
		u.links = append(u.links, &copied)
		return nil
	}
	return badArchive("%q is neither file, folder nor link", h.Name)
}

// wanted says whether a name belongs to a droplet; an archive may have more, which is left out.
func wanted(name string) bool {
	first, _, _ := strings.Cut(name, "/")
	return name == stagingInfo || slices.ContainsFunc(dropletFolders, func(f struct{ archive, image string }) bool { return f.archive == first })
}

func (u *unpacker) file(h *tar.Header, content io.Reader) (err error) {
	if u.left -= h.Size; h.Size < 0 || u.left < 0 {
		return badArchive("it unpacks to more than %d GB", archiveBytes>>30)
	}
	if err := u.root.MkdirAll(path.Dir(h.Name), 0o755); err != nil {
		return badArchive("%v", err)
	}
	if err := u.root.RemoveAll(h.Name); err != nil { // a later entry of the same name wins
		return badArchive("%v", err)
	}
	f, err := u.root.OpenFile(h.Name, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o600)
	if err != nil {
		return badArchive("%v", err)
	}
	defer func() { err = errors.Join(err, f.Close()) }()
	if _, err := io.Copy(f, io.LimitReader(content, h.Size)); err != nil {
		return badArchive("it is damaged: %v", err)
	}
	return f.Chmod(h.FileInfo().Mode().Perm() | 0o400)
}

// finish makes the links.
func (u *unpacker) finish() error {
	for _, h := range u.links {
		if !strings.Contains(h.Name, "/") {
			return badArchive("./%s must be a folder", h.Name)
		}
		if err := u.root.MkdirAll(path.Dir(h.Name), 0o755); err != nil {
			return badArchive("%v", err)
		}
		if err := u.root.RemoveAll(h.Name); err != nil {
			return badArchive("%v", err)
		}
		var err error
		if h.Typeflag == tar.TypeSymlink {
			err = u.root.Symlink(h.Linkname, h.Name)
		} else {
			err = u.root.Link(path.Clean("/" + h.Linkname)[1:], h.Name)
		}
		if err != nil {
			return badArchive("%v", err)
		}
	}
	return nil
}
