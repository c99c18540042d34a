package export

import (
	"archive/tar"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path"
	"path/filepath"
	"strings"
	"syscall"

	"github.com/cupola-paas/cupola/buildpack/lifecycle"
)

// Owner is who owns the files of layers.
type Owner struct{ UID, GID int }

// packer writes a layer's tar: entries in lexical order of folders, fixed times, fixed owners.
type packer struct {
	tw     *tar.Writer
	owner  Owner
	inodes map[uint64]string // files with several names, by their first one
	buf    []byte
}

func newPacker(w io.Writer, owner Owner) *packer {
	return &packer{tw: tar.NewWriter(w), owner: owner, inodes: map[uint64]string{}, buf: make([]byte, 128<<10)}
}

func (p *packer) close() error { return p.tw.Close() }

// parents writes entries for the folders above name (slash-separated, without a leading slash), which
// belong to root: an engine that makes missing ones itself may close them for others.
func (p *packer) parents(name string) error {
	for i, c := range name {
		if c != '/' {
			continue
		}
		if err := p.folder(name[:i], Owner{}); err != nil {
			return err
		}
	}
	return nil
}

func (p *packer) folder(name string, owner Owner) error {
	return p.tw.WriteHeader(&tar.Header{
		Typeflag: tar.TypeDir, Name: name + "/", Mode: 0o755, ModTime: epoch, Uid: owner.UID, Gid: owner.GID,
	})
}

func (p *packer) file(name string, content []byte, mode int64) error {
	h := &tar.Header{Typeflag: tar.TypeReg, Name: name, Mode: mode, ModTime: epoch, Size: int64(len(content))}
	if err := p.tw.WriteHeader(h); err != nil {
		return err
	}
	_, err := p.tw.Write(content)
	return err
}

func (p *packer) link(name, target string) error {
	return p.tw.WriteHeader(&tar.Header{Typeflag: tar.TypeSymlink, Name: name, Linkname: target, Mode: 0o777, ModTime: epoch})
}

// tree writes dir and all below it as name. Of what is neither file, folder nor link nothing is written.
func (p *packer) tree(dir, name string) error {
	return filepath.WalkDir(dir, func(file string, d fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		info, err := d.Info()
		if err != nil {
			return err
		}
		rel, err := filepath.Rel(dir, file)
		if err != nil {
			return err
		}
		return p.entry(file, path.Join(name, filepath.ToSlash(rel)), info)
	})
}

// entry writes one file, folder or link of the host as name.
func (p *packer) entry(file, name string, info fs.FileInfo) error {
	h := &tar.Header{
		Name: name, Mode: int64(info.Mode().Perm()), ModTime: epoch, Uid: p.owner.UID, Gid: p.owner.GID,
	}
	if info.Mode()&fs.ModeSticky != 0 {
		h.Mode |= 0o1000
	}
	switch info.Mode().Type() {
	case fs.ModeDir:
		h.Typeflag, h.Name = tar.TypeDir, name+"/"
		return p.tw.WriteHeader(h)
	case fs.ModeSymlink:
		target, err := os.Readlink(file)
		if err != nil {
			return err
		}
		h.Typeflag, h.Linkname, h.Mode = tar.TypeSymlink, target, 0o777
		return p.tw.WriteHeader(h)
	case 0:
		return p.regular(file, h, info)
	}
	return nil
}

func (p *packer) regular(file string, h *tar.Header, info fs.FileInfo) error {
	if st, ok := info.Sys().(*syscall.Stat_t); ok && st.Nlink > 1 {
		if first, seen := p.inodes[st.Ino]; seen {
			h.Typeflag, h.Linkname = tar.TypeLink, first
			return p.tw.WriteHeader(h)
		}
		p.inodes[st.Ino] = h.Name
	}
	f, opened, err := lifecycle.OpenRegular(file)
	if err != nil {
		return err
	}
	defer f.Close()
	h.Typeflag, h.Size = tar.TypeReg, opened.Size()
	if err := p.tw.WriteHeader(h); err != nil {
		return err
	}
	n, err := io.CopyBuffer(onlyWriter{p.tw}, io.LimitReader(f, h.Size), p.buf)
	if err == nil && n != h.Size {
		err = fmt.Errorf("%s became shorter while it was read", file)
	}
	return err
}

// onlyWriter hides ReadFrom, which would take a buffer of its own for each file.
type onlyWriter struct{ io.Writer }

// tarName is an absolute path as the name of a tar entry.
func tarName(abs string) string { return strings.TrimPrefix(path.Clean(abs), "/") }
