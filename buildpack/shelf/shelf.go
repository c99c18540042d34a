// Package shelf keeps unpacked buildpacks on a machine, each in a folder named by its kind and content, for the builds that use
// them. The folders are read by builds at the same time and never changed.
package shelf

import (
	"context"
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"sync"
)

// Shelf is one folder of them. Its methods may be called at the same time.
type Shelf struct {
	Dir string // on the file system of the builds' folders

	mu      sync.Mutex // guards entries
	entries map[string]*entry
}

// entry is a folder that somebody uses.
type entry struct {
	mu    sync.Mutex // held while it is unpacked
	users int        // guarded by Shelf.mu
}

const unpacking = ".unpacking-"

// Has reports whether a buildpack is there.
func (s *Shelf) Has(key string) bool {
	_, err := os.Stat(filepath.Join(s.Dir, key))
	return err == nil
}

// Take returns the folder of a buildpack. If it is not there, unpack writes its files into an empty folder first. It stays
// until release is called. The caller vouches for the key as the name of a folder.
func (s *Shelf) Take(ctx context.Context, key string, unpack func(ctx context.Context, dir string) error) (dir string, release func(), err error) {
	s.mu.Lock()
	e := s.entries[key]
	if e == nil {
		e = &entry{}
		if s.entries == nil {
			s.entries = map[string]*entry{}
		}
		s.entries[key] = e
	}
	e.users++
	s.mu.Unlock()
	release = func() {
		s.mu.Lock()
		defer s.mu.Unlock()
		if e.users--; e.users == 0 {
			delete(s.entries, key)
		}
	}
	dir = filepath.Join(s.Dir, key)
	e.mu.Lock()
	defer e.mu.Unlock()
	if err := s.unpack(ctx, key, dir, unpack); err != nil {
		release()
		return "", nil, err
	}
	return dir, release, nil
}

// unpack makes the folder unless it is there; as a whole or not at all.
func (s *Shelf) unpack(ctx context.Context, key, dir string, unpack func(context.Context, string) error) error {
	if s.Has(key) {
		return nil
	}
	if err := os.MkdirAll(s.Dir, 0o700); err != nil {
		return err
	}
	temp, err := os.MkdirTemp(s.Dir, unpacking)
	if err != nil {
		return err
	}
	defer os.RemoveAll(temp)
	if err := unpack(ctx, temp); err != nil {
		return err
	}
	if err := readable(temp); err != nil {
		return err
	}
	return os.Rename(temp, dir)
}

// readable lets the stack's user read everything and run what lies in a bin folder: archives often carry no modes.
func readable(dir string) error {
	return filepath.WalkDir(dir, func(name string, d fs.DirEntry, err error) error {
		if err != nil || d.Type()&fs.ModeSymlink != 0 {
			return err
		}
		info, err := d.Info()
		if err != nil {
			return err
		}
		mode := info.Mode().Perm() | 0o444
		if d.IsDir() || filepath.Base(filepath.Dir(name)) == "bin" {
			mode |= 0o755
		}
		return os.Chmod(name, mode)
	})
}

// Sweep removes what is not wanted any more and no build uses.
func (s *Shelf) Sweep(wanted map[string]bool) error {
	found, err := os.ReadDir(s.Dir)
	if err != nil {
		return nil // nothing was unpacked yet
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	var errs []error
	for _, e := range found {
		busy := len(s.entries) > 0 && strings.HasPrefix(e.Name(), unpacking) || s.entries[e.Name()] != nil
		if !wanted[e.Name()] && !busy {
			errs = append(errs, os.RemoveAll(filepath.Join(s.Dir, e.Name())))
		}
	}
	return errors.Join(errs...)
}
