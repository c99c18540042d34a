package staging

import (
	"context"
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"sync"

	"github.com/cupola-paas/cupola/store"
)

// Uploads unpacks the bits of uploaded buildpacks.
type Uploads interface {
	// Unpack writes the files of b into dir, which is there and empty.
	Unpack(ctx context.Context, b *store.Buildpack, dir string) error
}

// uploads keeps unpacked buildpacks, each in a folder named by kind and content, for the builds that use them. The
// folders are read by builds at the same time and never changed.
type uploads struct {
	dir    string
	source Uploads

	mu      sync.Mutex // guards entries
	entries map[string]*upload
}

// upload is a folder that somebody uses.
type upload struct {
	mu    sync.Mutex // held while it is unpacked
	users int        // guarded by uploads.mu
}

const unpacking = ".unpacking-"

func uploadKey(b *store.Buildpack) string { return b.Lifecycle + "-" + b.SHA256 }

// take returns the folder of an uploaded buildpack, unpacked at the first call. It stays until release is called.
func (u *uploads) take(ctx context.Context, b *store.Buildpack) (dir string, release func(), err error) {
	key := uploadKey(b)
	u.mu.Lock()
	e := u.entries[key]
	if e == nil {
		e = &upload{}
		if u.entries == nil {
			u.entries = map[string]*upload{}
		}
		u.entries[key] = e
	}
	e.users++
	u.mu.Unlock()
	release = func() {
		u.mu.Lock()
		defer u.mu.Unlock()
		if e.users--; e.users == 0 {
			delete(u.entries, key)
		}
	}
	dir = filepath.Join(u.dir, key)
	e.mu.Lock()
	defer e.mu.Unlock()
	if err := u.unpack(ctx, b, dir); err != nil {
		release()
		return "", nil, err
	}
	return dir, release, nil
}

// unpack makes the folder unless it is there; as a whole or not at all.
func (u *uploads) unpack(ctx context.Context, b *store.Buildpack, dir string) error {
	if _, err := os.Stat(dir); err == nil {
		return nil
	}
	if err := os.MkdirAll(u.dir, 0o700); err != nil {
		return err
	}
	temp, err := os.MkdirTemp(u.dir, unpacking)
	if err != nil {
		return err
	}
	defer os.RemoveAll(temp)
	if err := u.source.Unpack(ctx, b, temp); err != nil {
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

// sweep removes what the catalogue does not have any more and no build uses.
func (u *uploads) sweep(wanted map[string]bool) error {
	entries, err := os.ReadDir(u.dir)
	if err != nil {
		return nil // nothing was unpacked yet
	}
	u.mu.Lock()
	defer u.mu.Unlock()
	var errs []error
	for _, e := range entries {
		busy := len(u.entries) > 0 && strings.HasPrefix(e.Name(), unpacking) || u.entries[e.Name()] != nil
		if !wanted[e.Name()] && !busy {
			errs = append(errs, os.RemoveAll(filepath.Join(u.dir, e.Name())))
		}
	}
	return errors.Join(errs...)
}
