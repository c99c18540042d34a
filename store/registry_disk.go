package store

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"net/http"
	"os"
	"path/filepath"
	"sync"
	"time"

	"github.com/distribution/distribution/v3/registry/storage/driver"
	"github.com/distribution/distribution/v3/registry/storage/driver/factory"
)

// imageDisk is distribution's storage driver on a folder. We have our own because the one of the library links the
// whole of gRPC for its tracing (14 MB of binary, 5 MB of resident memory), and to write durably at the
// right moments: the content of a blob before it has its name, names and links all together in flush.
//
// Paths are distribution's: absolute, with slashes, checked against driver.PathRegexp.
type imageDisk struct {
	root string

	mu    sync.Mutex
	dirty map[string]struct{} // files and folders to sync in flush; guarded by mu
}

const (
	imageDiskName      = "cupola"
	imageDiskParameter = "disk"
	// maxDirty bounds imageDisk.dirty.
	maxDirty = 4096
)

var _ driver.StorageDriver = (*imageDisk)(nil)

// imageDiskFactory hands distribution the disk that its configuration carries.
type imageDiskFactory struct{}

func (imageDiskFactory) Create(_ context.Context, p map[string]any) (driver.StorageDriver, error) {
	d, ok := p[imageDiskParameter].(*imageDisk)
	if !ok {
		return nil, errors.New("no disk is given")
	}
	return d, nil
}

var registerImageDisk = sync.OnceFunc(func() { factory.Register(imageDiskName, imageDiskFactory{}) })

func openImageDisk(dir string) (*imageDisk, error) {
	registerImageDisk()
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return nil, noSpace(err)
	}
	return &imageDisk{root: dir, dirty: map[string]struct{}{}}, nil
}

func (d *imageDisk) Name() string { return imageDiskName }

func (d *imageDisk) full(path string) (string, error) {
	if path != "/" && !driver.PathRegexp.MatchString(path) {
		return "", driver.InvalidPathError{Path: path, DriverName: imageDiskName}
	}
	return filepath.Join(d.root, filepath.FromSlash(path)), nil
}

// wrap gives errors the types that distribution asks for.
func wrap(err error, path string) error {
	if err == nil {
		return nil
	}
	if errors.Is(err, fs.ErrNotExist) {
		return driver.PathNotFoundError{Path: path, DriverName: imageDiskName}
	}
	return driver.Error{DriverName: imageDiskName, Detail: noSpace(err)}
}

// GetContent reads a small file. A link is not synced before it has its name, so a power cut can leave it empty; then it
// is not there.
func (d *imageDisk) GetContent(_ context.Context, path string) ([]byte, error) {
	full, err := d.full(path)
	if err != nil {
		return nil, err
	}
	content, err := os.ReadFile(full)
	if err == nil && len(content) == 0 && filepath.Base(full) == "link" {
		err = fs.ErrNotExist
	}
	return content, wrap(err, path)
}

// PutContent replaces a small file at once. Only content of blobs is synced here.
func (d *imageDisk) PutContent(_ context.Context, path string, content []byte) error {
	full, err := d.full(path)
	if err != nil {
		return err
	}
	if err := d.makeDir(filepath.Dir(full)); err != nil {
		return wrap(err, path)
	}
	temp, err := os.CreateTemp(filepath.Dir(full), ".new-*")
	if err != nil {
		return wrap(err, path)
	}
	defer os.Remove(temp.Name()) // gone already when it was renamed
	defer temp.Close()
	if _, err := temp.Write(content); err != nil {
		return wrap(err, path)
	}
	if filepath.Base(full) == "data" {
		if err := temp.Sync(); err != nil {
			return wrap(err, path)
		}
	}
	if err := os.Rename(temp.Name(), full); err != nil {
		return wrap(err, path)
	}
	return wrap(d.mark(full, filepath.Dir(full)), path)
}

// makeDir makes a folder and those above it, to be synced in flush.
func (d *imageDisk) makeDir(full string) error {
	err := os.Mkdir(full, 0o700)
	if errors.Is(err, fs.ErrNotExist) && full != d.root {
		if err := d.makeDir(filepath.Dir(full)); err != nil {
			return err
		}
		err = os.Mkdir(full, 0o700)
	}
	if errors.Is(err, fs.ErrExist) {
		return nil
	}
	if err != nil {
		return err
	}
	return d.mark(filepath.Dir(full))
}

// mark keeps what has to be synced.
func (d *imageDisk) mark(paths ...string) error {
	d.mu.Lock()
	for _, p := range paths {
		d.dirty[p] = struct{}{}
	}
	full := len(d.dirty) >= maxDirty
	d.mu.Unlock()
	if full {
		return d.flush()
	}
	return nil
}

// flush syncs everything that was written before it was called. The first sync makes a journaling file system write
// it all, so that the others cost little.
func (d *imageDisk) flush() error {
	d.mu.Lock()
	dirty := d.dirty
	d.dirty = map[string]struct{}{}
	d.mu.Unlock()
	var errs []error
	for path := range dirty {
		if err := syncDir(path); err != nil && !errors.Is(err, fs.ErrNotExist) { // deleted since
			errs = append(errs, err, d.mark(path))
		}
	}
	return errors.Join(errs...)
}

// touch makes a file young; no error when there is none.
func (d *imageDisk) touch(path string) {
	if full, err := d.full(path); err == nil {
		now := time.Now()
		_ = os.Chtimes(full, now, now)
	}
}

func (d *imageDisk) Reader(_ context.Context, path string, offset int64) (io.ReadCloser, error) {
	full, err := d.full(path)
	if err != nil {
		return nil, err
	}
	f, err := os.Open(full)
	if err != nil {
		return nil, wrap(err, path)
	}
	if _, err := f.Seek(offset, io.SeekStart); err != nil {
		f.Close()
		return nil, driver.InvalidOffsetError{Path: path, Offset: offset, DriverName: imageDiskName}
	}
	return f, nil
}

func (d *imageDisk) Writer(_ context.Context, path string, resume bool) (driver.FileWriter, error) {
	full, err := d.full(path)
	if err != nil {
		return nil, err
	}
	if err := d.makeDir(filepath.Dir(full)); err != nil {
		return nil, wrap(err, path)
	}
	flags := os.O_WRONLY | os.O_CREATE
	if !resume {
		flags |= os.O_TRUNC
	}
	f, err := os.OpenFile(full, flags, 0o600)
	if err != nil {
		return nil, wrap(err, path)
	}
	size, err := f.Seek(0, io.SeekEnd)
	if err != nil {
		f.Close()
		return nil, wrap(err, path)
	}
	return &imageWriter{file: f, buffer: bufio.NewWriterSize(f, 64<<10), size: size}, nil
}

func (d *imageDisk) Stat(_ context.Context, path string) (driver.FileInfo, error) {
	full, err := d.full(path)
	if err != nil {
		return nil, err
	}
	info, err := os.Stat(full)
	if err != nil {
		return nil, wrap(err, path)
	}
	fields := driver.FileInfoFields{Path: path, ModTime: info.ModTime(), IsDir: info.IsDir()}
	if !info.IsDir() {
		fields.Size = info.Size()
	}
	return driver.FileInfoInternal{FileInfoFields: fields}, nil
}

func (d *imageDisk) List(_ context.Context, path string) ([]string, error) {
	full, err := d.full(path)
	if err != nil {
		return nil, err
	}
	entries, err := os.ReadDir(full)
	if err != nil {
		return nil, wrap(err, path)
	}
	paths := make([]string, 0, len(entries))
	for _, e := range entries {
		paths = append(paths, filepath.Join(path, e.Name()))
	}
	return paths, nil
}

func (d *imageDisk) Move(_ context.Context, from, to string) error {
	fullFrom, err := d.full(from)
	if err != nil {
		return err
	}
	fullTo, err := d.full(to)
	if err != nil {
		return err
	}
	if err := d.makeDir(filepath.Dir(fullTo)); err != nil {
		return wrap(err, to)
	}
	if err := os.Rename(fullFrom, fullTo); err != nil {
		return wrap(err, from)
	}
	return wrap(d.mark(filepath.Dir(fullTo)), to)
}

func (d *imageDisk) Delete(_ context.Context, path string) error {
	full, err := d.full(path)
	if err != nil {
		return err
	}
	if _, err := os.Stat(full); err != nil {
		return wrap(err, path)
	}
	return wrap(os.RemoveAll(full), path)
}

func (d *imageDisk) RedirectURL(*http.Request, string) (string, error) { return "", nil }

func (d *imageDisk) Walk(ctx context.Context, path string, fn driver.WalkFn, options ...func(*driver.WalkOptions)) error {
	return driver.WalkFallback(ctx, d, path, fn, options...)
}

// usage adds up the sizes of all files below path.
func (d *imageDisk) usage(path string) (int64, error) {
	full, err := d.full(path)
	if err != nil {
		return 0, err
	}
	var total int64
	err = filepath.WalkDir(full, func(_ string, e fs.DirEntry, err error) error {
		if errors.Is(err, fs.ErrNotExist) {
			return nil // deleted meanwhile
		}
		if err != nil || e.IsDir() {
			return err
		}
		if info, err := e.Info(); err == nil {
			total += info.Size()
		}
		return nil
	})
	return total, err
}

// imageWriter writes one upload.
type imageWriter struct {
	file   *os.File
	buffer *bufio.Writer
	size   int64
	ended  bool // closed or canceled
}

var errUploadEnded = fmt.Errorf("%s: the upload has ended", imageDiskName)

func (w *imageWriter) Write(p []byte) (int, error) {
	if w.ended {
		return 0, errUploadEnded
	}
	n, err := w.buffer.Write(p)
	w.size += int64(n)
	return n, noSpace(err)
}

func (w *imageWriter) Size() int64 { return w.size }

// Close does not sync: an upload goes on in this process or not at all.
func (w *imageWriter) Close() error {
	if w.ended {
		return errUploadEnded
	}
	w.ended = true
	return errors.Join(noSpace(w.buffer.Flush()), w.file.Close())
}

func (w *imageWriter) Cancel(context.Context) error {
	if w.ended {
		return errUploadEnded
	}
	w.ended = true
	return errors.Join(w.file.Close(), os.Remove(w.file.Name()))
}

// Commit makes the content durable, before Move gives it the name of a blob.
func (w *imageWriter) Commit(context.Context) error {
	if w.ended {
		return errUploadEnded
	}
	if err := w.buffer.Flush(); err != nil {
		return noSpace(err)
	}
	return noSpace(w.file.Sync())
}
