package store

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"iter"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"time"
)

// Blobs keeps files under the SHA-256 of their content: packages and uploaded buildpacks. Its methods may be
// called from any goroutine.
type Blobs struct {
	dir contentDir
	// mu lets a blob be found again (Put of what is there) or collected, not both at once.
	mu sync.Mutex
}

// OpenBlobs opens the blobs in dir, which is made when it does not exist.
func OpenBlobs(dir string) (*Blobs, error) {
	d, err := openContentDir(dir, sha256.Size)
	d.durable = true
	if err != nil {
		return nil, fmt.Errorf("open the blobs: %w", err)
	}
	return &Blobs{dir: d}, nil
}

// Put stores what r gives and returns its SHA-256 and size. When it returns nil, the blob survives a power cut; when
// not, nothing is left of it. More than limitBytes (if that is positive) is ErrTooLarge, a full disk ErrNoSpace.
func (b *Blobs) Put(ctx context.Context, r io.Reader, limitBytes int64) (sum string, size int64, err error) {
	temp, err := b.dir.createTemp()
	if err != nil {
		return "", 0, fmt.Errorf("put blob: %w", err)
	}
	defer os.Remove(temp.Name()) // gone already when it was renamed
	defer temp.Close()
	hash := sha256.New()
	size, err = copyLimited(ctx, io.MultiWriter(temp, hash), r, limitBytes)
	if err != nil {
		return "", 0, fmt.Errorf("put blob: %w", err)
	}
	if err := temp.Sync(); err != nil {
		return "", 0, fmt.Errorf("put blob: %w", noSpace(err))
	}
	sum = hex.EncodeToString(hash.Sum(nil))
	b.mu.Lock()
	defer b.mu.Unlock()
	if err := b.dir.place(temp.Name(), sum); err != nil {
		return "", 0, fmt.Errorf("put blob %s: %w", sum, err)
	}
	return sum, size, nil
}

// copyLimited copies until the end of r, the limit, or the end of ctx.
func copyLimited(ctx context.Context, w io.Writer, r io.Reader, limit int64) (int64, error) {
	if limit > 0 {
		r = io.LimitReader(r, limit+1)
	}
	n, err := io.Copy(w, contextReader{ctx, r})
	if err != nil {
		return n, noSpace(err)
	}
	if limit > 0 && n > limit {
		return n, fmt.Errorf("%w of %d bytes", ErrTooLarge, limit)
	}
	return n, nil
}

// contextReader stops reading when its context ends.
type contextReader struct {
	ctx context.Context
	r   io.Reader
}

func (c contextReader) Read(p []byte) (int, error) {
	if err := context.Cause(c.ctx); err != nil {
		return 0, err
	}
	return c.r.Read(p)
}

// Open opens a blob for reading, or returns ErrNotFound.
func (b *Blobs) Open(sum string) (*os.File, error) {
	f, err := b.dir.open(sum)
	if err != nil {
		return nil, fmt.Errorf("blob %s: %w", sum, err)
	}
	return f, nil
}

// Stat returns the size of a blob, or ErrNotFound.
func (b *Blobs) Stat(sum string) (int64, error) {
	info, err := b.dir.stat(sum)
	if err != nil {
		return 0, fmt.Errorf("blob %s: %w", sum, err)
	}
	return info.Size(), nil
}

// Delete deletes a blob, or returns ErrNotFound. Who has it open can read on.
func (b *Blobs) Delete(sum string) error {
	if err := b.dir.remove(sum); err != nil {
		return fmt.Errorf("blob %s: %w", sum, err)
	}
	return nil
}

// List yields the SHA-256 and size of every blob, in order. Blobs that come or go meanwhile may be missed.
func (b *Blobs) List() iter.Seq2[string, int64] {
	return func(yield func(string, int64) bool) {
		for sum, info := range b.dir.all() {
			if !yield(sum, info.Size()) {
				return
			}
		}
	}
}

// Collect deletes the blobs that keep refuses and that nobody put since olderThan, and what interrupted Puts left
// from before olderThan. It returns how many bytes it freed. olderThan must be so long ago that the record of a
// blob put before it is written by now.
func (b *Blobs) Collect(keep func(sum string) bool, olderThan time.Time) (freed int64, err error) {
	var errs []error
	for sum, info := range b.dir.all() {
		if info.ModTime().Before(olderThan) && !keep(sum) {
			n, err := b.collect(sum, olderThan)
			freed += n
			errs = append(errs, err)
		}
	}
	n, err := b.dir.removeTemps(olderThan)
	return freed + n, errors.Join(append(errs, err)...)
}

func (b *Blobs) collect(sum string, olderThan time.Time) (int64, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	info, err := b.dir.stat(sum)
	if err != nil || !info.ModTime().Before(olderThan) { // gone, or put again
		return 0, nil
	}
	if err := b.dir.remove(sum); err != nil {
		return 0, fmt.Errorf("collect blob %s: %w", sum, err)
	}
	return info.Size(), nil
}

// contentDir is a folder of files that are named by a hash of their content, in 256 folders by its first byte. The
// time of a file is when it was last put.
type contentDir struct {
	path     string
	sumBytes int
	durable  bool // sync folders after a new name
}

const tempDir = "tmp"

func openContentDir(path string, sumBytes int) (contentDir, error) {
	err := os.MkdirAll(filepath.Join(path, tempDir), 0o700)
	return contentDir{path: path, sumBytes: sumBytes}, noSpace(err)
}

// file returns the path of a file; ErrNotFound for what is no hash, so that nothing else can be named.
func (d contentDir) file(sum string) (string, error) {
	if len(sum) != 2*d.sumBytes || strings.Trim(sum, "0123456789abcdef") != "" {
		return "", ErrNotFound
	}
	return filepath.Join(d.path, sum[:2], sum), nil
}

func (d contentDir) createTemp() (*os.File, error) {
	f, err := os.CreateTemp(filepath.Join(d.path, tempDir), "put-*")
	return f, noSpace(err)
}

// place gives a synced temporary file its name, or takes note that the content was put once more.
func (d contentDir) place(temp, sum string) error {
	path, err := d.file(sum)
	if err != nil {
		return err
	}
	now := time.Now()
	if err := os.Chtimes(path, now, now); err == nil {
		return nil
	}
	if err := os.Mkdir(filepath.Dir(path), 0o700); err == nil {
		if err := d.sync(d.path); err != nil {
			return err
		}
	} else if !errors.Is(err, fs.ErrExist) {
		return noSpace(err)
	}
	if err := os.Rename(temp, path); err != nil {
		return noSpace(err)
	}
	return d.sync(filepath.Dir(path))
}

func (d contentDir) sync(folder string) error {
	if !d.durable {
		return nil
	}
	return syncDir(folder)
}

func (d contentDir) open(sum string) (*os.File, error) {
	path, err := d.file(sum)
	if err != nil {
		return nil, err
	}
	f, err := os.Open(path)
	return f, notFound(err)
}

func (d contentDir) stat(sum string) (fs.FileInfo, error) {
	path, err := d.file(sum)
	if err != nil {
		return nil, err
	}
	info, err := os.Stat(path)
	return info, notFound(err)
}

func (d contentDir) remove(sum string) error {
	path, err := d.file(sum)
	if err != nil {
		return err
	}
	return notFound(os.Remove(path))
}

// all yields every file by its hash, reading one folder at a time.
func (d contentDir) all() iter.Seq2[string, fs.FileInfo] {
	return func(yield func(string, fs.FileInfo) bool) {
		for first := range 256 {
			files, _ := os.ReadDir(filepath.Join(d.path, fmt.Sprintf("%02x", first))) // most often not there
			for _, f := range files {
				info, err := f.Info()
				if _, bad := d.file(f.Name()); err != nil || bad != nil {
					continue
				}
				if !yield(f.Name(), info) {
					return
				}
			}
		}
	}
}

// removeTemps deletes what was left by a crash.
func (d contentDir) removeTemps(olderThan time.Time) (freed int64, err error) {
	files, err := os.ReadDir(filepath.Join(d.path, tempDir))
	for _, f := range files {
		info, statErr := f.Info()
		if statErr != nil || !info.ModTime().Before(olderThan) {
			continue
		}
		if err := os.Remove(filepath.Join(d.path, tempDir, f.Name())); err != nil {
			return freed, err
		}
		freed += info.Size()
	}
	return freed, err
}

func notFound(err error) error {
	if errors.Is(err, fs.ErrNotExist) {
		return ErrNotFound
	}
	return err
}
