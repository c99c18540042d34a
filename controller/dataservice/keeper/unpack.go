package keeper

import (
	"archive/tar"
	"bufio"
	"bytes"
	"compress/gzip"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"syscall"
)

// gzipMagic begins what is compressed.
var gzipMagic = []byte{0x1f, 0x8b}

// Unpack makes a folder of a tar stream, compressed or not, in place of what is there, and empty files in it by the
// names of also. The folder has its name when all of it is there. A compressed stream that breaks off changes nothing; of
// one that is not compressed the end cannot be told.
func Unpack(in io.Reader, dir string, also ...string) error {
	fresh := dir + ".partial"
	if err := os.RemoveAll(fresh); err != nil {
		return err
	}
	if err := os.MkdirAll(fresh, 0o700); err != nil {
		return err
	}
	err := unpackInto(in, fresh)
	for _, name := range also {
		if err == nil {
			err = os.WriteFile(filepath.Join(fresh, filepath.Base(name)), nil, 0o600)
		}
	}
	if err != nil {
		return errors.Join(err, os.RemoveAll(fresh))
	}
	syscall.Sync()
	if err := os.RemoveAll(dir); err != nil {
		return err
	}
	return os.Rename(fresh, dir)
}

func unpackInto(in io.Reader, dir string) error {
	buffered := bufio.NewReader(in)
	plain := io.Reader(buffered)
	if head, _ := buffered.Peek(len(gzipMagic)); bytes.Equal(head, gzipMagic) {
		z, err := gzip.NewReader(buffered)
		if err != nil {
			return err
		}
		plain = z
	}
	root, err := os.OpenRoot(dir) // out of which no name leads
	if err != nil {
		return err
	}
	defer root.Close()
	entries := tar.NewReader(plain)
	for {
		h, err := entries.Next()
		if errors.Is(err, io.EOF) {
			_, err := io.Copy(io.Discard, plain) // to its checksum
			return err
		}
		if err == nil {
			err = unpackEntry(root, entries, h)
		}
		if err != nil {
			return err
		}
	}
}

func unpackEntry(root *os.Root, in io.Reader, h *tar.Header) error {
	name := filepath.Clean(h.Name)
	switch h.Typeflag {
	case tar.TypeDir:
		if name == "." {
			return nil
		}
		return root.MkdirAll(name, 0o700)
	case tar.TypeReg:
		if err := root.MkdirAll(filepath.Dir(name), 0o700); err != nil {
			return err
		}
		out, err := root.OpenFile(name, os.O_CREATE|os.O_WRONLY|os.O_TRUNC, 0o600)
		if err != nil {
			return err
		}
		_, err = io.Copy(out, in)
		return errors.Join(err, out.Close())
	}
	return fmt.Errorf("%s: only files and folders are expected", h.Name)
}
