// Package vault keeps backups of data services: whole streams by name, encrypted before they leave this process. It
// knows nothing of what is in them and imports nothing of ours.
package vault

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"regexp"
	"syscall"

	"golang.org/x/sys/unix"
)

// ErrNoSpace says that the disk of the folder is full.
var ErrNoSpace = errors.New("no space left for backups")

// Vault is a place for backups. Its methods may be called at the same time.
type Vault interface {
	// Put keeps what r gives, all of it or nothing: when r ends with another error than io.EOF, nothing stays.
	Put(ctx context.Context, name string, r io.Reader) error
	// Open returns what was put; fs.ErrNotExist when there is nothing by that name.
	Open(ctx context.Context, name string) (io.ReadCloser, error)
	// Remove is no error when there is nothing by that name.
	Remove(ctx context.Context, name string) error
}

// names are those of backups: GUIDs.
var names = regexp.MustCompile(`^[A-Za-z0-9][A-Za-z0-9-]{0,99}$`)

// Folder is a Vault in a folder of this machine, or of a disk that is mounted there.
type Folder struct{ Dir string }

var _ Vault = Folder{}

const (
	suffix  = ".backup"
	partial = ".partial-"
)

func (f Folder) path(name string) (string, error) {
	if !names.MatchString(name) {
		return "", fmt.Errorf("backup %q: no such name", name)
	}
	return filepath.Join(f.Dir, name+suffix), nil
}

// Put implements Vault. The file has its name when all of it is on the disk.
func (f Folder) Put(ctx context.Context, name string, r io.Reader) (err error) {
	path, err := f.path(name)
	if err != nil {
		return err
	}
	if err := os.MkdirAll(f.Dir, 0o700); err != nil {
		return err
	}
	fresh, err := os.CreateTemp(f.Dir, partial)
	if err != nil {
		return noSpace(err)
	}
	defer func() {
		if err != nil {
			err = errors.Join(err, fresh.Close(), os.Remove(fresh.Name()))
		}
	}()
	if _, err := io.Copy(fresh, reader{ctx, r}); err != nil {
		return noSpace(err)
	}
	if err := fresh.Sync(); err != nil {
		return noSpace(err)
	}
	if err := os.Rename(fresh.Name(), path); err != nil {
		return err
	}
	dir, err := os.Open(f.Dir)
	if err != nil {
		return err
	}
	return errors.Join(fresh.Close(), dir.Sync(), dir.Close())
}

// Bring keeps here, by another name, what a vault has, of which there are so many bytes. A file of the same file system is linked and takes
// no room; for all else there must be some besides, so that what writes to the same disk meanwhile is not hindered.
func (f Folder) Bring(ctx context.Context, from Vault, name, as string, bytes int64) error {
	path, err := f.path(as)
	if err != nil {
		return err
	}
	in, err := from.Open(ctx, name)
	if err != nil {
		return err
	}
	defer in.Close()
	if err := errors.Join(os.MkdirAll(f.Dir, 0o700), f.Remove(ctx, as)); err != nil {
		return err
	}
	if file, ok := in.(*os.File); ok && os.Link(file.Name(), path) == nil {
		return nil
	}
	if err := f.room(bytes); err != nil {
		return err
	}
	return f.Put(ctx, as, in)
}

// spareBytes is what is left to others of a disk's room.
const spareBytes = 256 << 20

func (f Folder) room(bytes int64) error {
	var disk unix.Statfs_t
	if err := unix.Statfs(f.Dir, &disk); err != nil {
		return fmt.Errorf("measure the disk of %s: %w", f.Dir, err)
	}
	if free := int64(disk.Bavail) * disk.Bsize; free < bytes+spareBytes {
		const mb = 1 << 20
		return fmt.Errorf("%w: %d MB are needed in %s, where %d MB are free and %d MB must stay so: make room there", ErrNoSpace, (bytes+mb-1)/mb, f.Dir, free/mb, spareBytes/mb)
	}
	return nil
}

// reader ends when its context does.
type reader struct {
	ctx context.Context
	r   io.Reader
}

func (r reader) Read(p []byte) (int, error) {
	if err := r.ctx.Err(); err != nil {
		return 0, err
	}
	return r.r.Read(p)
}

func noSpace(err error) error {
	if errors.Is(err, syscall.ENOSPC) || errors.Is(err, syscall.EDQUOT) {
		return fmt.Errorf("%w: free some, or keep backups elsewhere: %w", ErrNoSpace, err)
	}
	return err
}

// Open implements Vault.
func (f Folder) Open(_ context.Context, name string) (io.ReadCloser, error) {
	path, err := f.path(name)
	if err != nil {
		return nil, err
	}
	return os.Open(path)
}

// Remove implements Vault.
func (f Folder) Remove(_ context.Context, name string) error {
	path, err := f.path(name)
	if err != nil {
		return err
	}
	if err := os.Remove(path); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	return nil
}

// Sweep removes what a crash left half written.
func (f Folder) Sweep() error {
	left, err := filepath.Glob(filepath.Join(f.Dir, partial+"*"))
	for _, path := range left {
		err = errors.Join(err, os.Remove(path))
	}
	return err
}
