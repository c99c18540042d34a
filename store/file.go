package store

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"syscall"
)

// noSpace turns the operating system's word for a full disk (or a full quota) into ErrNoSpace.
func noSpace(err error) error {
	if errors.Is(err, syscall.ENOSPC) || errors.Is(err, syscall.EDQUOT) {
		return fmt.Errorf("%w: %w", ErrNoSpace, err)
	}
	return err
}

// createFile makes path with what write writes, mode 0600, whole and durable or not at all. A file that
// is there already, even one made at this moment by another process, stays as it is and is no error.
func createFile(path string, write func(*os.File) error) error {
	return placeFile(path, write, func(temp string) error {
		if err := os.Link(temp, path); err != nil && !errors.Is(err, fs.ErrExist) {
			return err
		}
		return nil
	})
}

// placeFile writes a temporary file beside path, syncs it, lets place give it its name, and syncs the folder.
func placeFile(path string, write func(*os.File) error, place func(temp string) error) (err error) {
	dir := filepath.Dir(path)
	f, err := os.CreateTemp(dir, ".new-*")
	if err != nil {
		return noSpace(err)
	}
	defer os.Remove(f.Name()) // gone already when place renamed it
	defer f.Close()
	if err := write(f); err != nil {
		return noSpace(err)
	}
	if err := f.Sync(); err != nil {
		return noSpace(err)
	}
	if err := place(f.Name()); err != nil {
		return noSpace(err)
	}
	return syncDir(dir)
}

// syncDir makes new names in a folder durable.
func syncDir(dir string) error {
	d, err := os.Open(dir)
	if err != nil {
		return err
	}
	defer d.Close()
	return noSpace(d.Sync())
}
