package store

import (
	"cmp"
	"context"
	"crypto/sha1"
	"encoding/hex"
	"fmt"
	"io"
	"os"
	"slices"
	"sync"
	"time"
)

// Resource is a file of an app's source, known by the SHA-1 of its content and its size: that is what the
// clients of CAPI v3, POST /v3/resource_matches, send.
type Resource struct {
	SHA1      string
	SizeBytes int64
}

// Resources keeps source files of earlier pushes, so that only changed ones have to be uploaded. It is a cache: what was
// not matched for longest goes first when there are more than MaxBytes. Its methods may be called from
// any goroutine.
type Resources struct {
	// MaxBytes bounds the size of all files together. It may be changed before the first use.
	MaxBytes int64

	dir contentDir

	mu    sync.Mutex
	total int64 // bytes of all files; negative: not counted yet
}

// defaultResourcesBytes is MaxBytes when nothing else is said.
const defaultResourcesBytes = 1 << 30

// OpenResources opens the resources in dir, which is made when it does not exist.
func OpenResources(dir string) (*Resources, error) {
	d, err := openContentDir(dir, sha1.Size)
	if err != nil {
		return nil, fmt.Errorf("open the resources: %w", err)
	}
	if _, err := d.removeTemps(time.Now()); err != nil {
		return nil, fmt.Errorf("open the resources: %w", err)
	}
	return &Resources{MaxBytes: defaultResourcesBytes, dir: d, total: -1}, nil
}

// Match returns those of the wanted files that are here, in their order. They count as used.
func (r *Resources) Match(wanted []Resource) []Resource {
	var have []Resource
	for _, w := range wanted {
		if info, err := r.dir.stat(w.SHA1); err == nil && info.Size() == w.SizeBytes {
			r.use(w.SHA1)
			have = append(have, w)
		}
	}
	return have
}

// use marks a file as used now. That it may be evicted at this moment is no error of it.
func (r *Resources) use(sum string) {
	if path, err := r.dir.file(sum); err == nil {
		now := time.Now()
		_ = os.Chtimes(path, now, now)
	}
}

// Add keeps what rd gives. A file of more than MaxBytes is not kept: ErrTooLarge.
func (r *Resources) Add(ctx context.Context, rd io.Reader) (Resource, error) {
	temp, err := r.dir.createTemp()
	if err != nil {
		return Resource{}, fmt.Errorf("add resource: %w", err)
	}
	defer os.Remove(temp.Name()) // gone already when it was renamed
	defer temp.Close()
	hash := sha1.New()
	size, err := copyLimited(ctx, io.MultiWriter(temp, hash), rd, r.MaxBytes)
	if err != nil {
		return Resource{}, fmt.Errorf("add resource: %w", err)
	}
	res := Resource{SHA1: hex.EncodeToString(hash.Sum(nil)), SizeBytes: size}
	if err := r.keep(temp.Name(), res); err != nil {
		return Resource{}, fmt.Errorf("add resource %s: %w", res.SHA1, err)
	}
	return res, nil
}

// AddFile keeps a copy of the file at path.
func (r *Resources) AddFile(ctx context.Context, path string) (Resource, error) {
	f, err := os.Open(path)
	if err != nil {
		return Resource{}, fmt.Errorf("add resource: %w", err)
	}
	defer f.Close()
	return r.Add(ctx, f)
}

// keep places the file without a sync: a cache may lose it, and Open checks what it gives.
func (r *Resources) keep(temp string, res Resource) error {
	r.mu.Lock()
	defer r.mu.Unlock()
	_, err := r.dir.stat(res.SHA1)
	isNew := err != nil
	if err := r.dir.place(temp, res.SHA1); err != nil {
		return err
	}
	if r.total < 0 {
		r.total = 0
		for _, info := range r.dir.all() {
			r.total += info.Size()
		}
	} else if isNew {
		r.total += res.SizeBytes
	}
	if r.total > r.MaxBytes {
		r.evictLocked()
	}
	return nil
}

// evictLocked deletes the files that were not used for longest until a tenth of MaxBytes is free, so that the
// folder is not read for each file.
func (r *Resources) evictLocked() {
	type file struct {
		sum  string
		size int64
		used time.Time
	}
	var files []file
	r.total = 0
	for sum, info := range r.dir.all() {
		files = append(files, file{sum, info.Size(), info.ModTime()})
		r.total += info.Size()
	}
	slices.SortFunc(files, func(a, b file) int { return cmp.Or(a.used.Compare(b.used), cmp.Compare(a.sum, b.sum)) })
	for len(files) > 1 && r.total > r.MaxBytes-r.MaxBytes/10 {
		if r.dir.remove(files[0].sum) == nil {
			r.total -= files[0].size
		}
		files = files[1:]
	}
}

// Open opens a file for reading, or returns ErrNotFound. A file that does not have the content it is named by
// (a crash came before it was on the disk) is deleted and not found.
func (r *Resources) Open(sum string) (*os.File, error) {
	f, err := r.dir.open(sum)
	if err != nil {
		return nil, fmt.Errorf("resource %s: %w", sum, err)
	}
	if err := verify(f, sum); err != nil {
		f.Close()
		_ = r.dir.remove(sum)
		return nil, fmt.Errorf("resource %s: %w", sum, ErrNotFound)
	}
	r.use(sum)
	return f, nil
}

// verify reads f and goes back to its beginning.
func verify(f *os.File, sum string) error {
	hash := sha1.New()
	if _, err := io.Copy(hash, f); err != nil {
		return err
	}
	if hex.EncodeToString(hash.Sum(nil)) != sum {
		return fmt.Errorf("the content is damaged")
	}
	_, err := f.Seek(0, io.SeekStart)
	return err
}
