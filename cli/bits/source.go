// Package bits turns a folder or a zip into what the API wants of an app's source: a list of files with
// SHA-1 and size, and a zip of those that the server does not have yet.
//
// It reads and never writes the source. Files that .cfignore or .cupolaignore name stay out; what can't
// be part of an app (unreadable files, sockets, links that lead out of the folder) is an error that names
// it, before anything is uploaded.
package bits

import (
	"archive/zip"
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path"
	"path/filepath"
	"runtime"
	"slices"
	"strings"

	"golang.org/x/sync/errgroup"
)

// File is one entry of a source. Path is relative and has slashes on every system.
type File struct {
	Path string
	Mode fs.FileMode
	Size int64  // regular files only
	SHA1 string // regular files only, in hex
	Link string // symbolic links only: the target
}

// Regular says that the entry is a file with content, which takes part in resource matching.
func (f File) Regular() bool { return f.Mode.IsRegular() }

// Source is an app's source, listed and hashed. Close it.
type Source struct {
	Path  string
	Files []File // sorted by Path: folders come before what is in them

	archive *zip.ReadCloser      // when the source is a zip
	entries map[string]*zip.File // of archive, by Path
}

// Hashes remembers SHA-1 sums between pushes; see Cache.
type Hashes interface {
	Get(path string, info fs.FileInfo) (sha1 string, ok bool)
	Put(path string, info fs.FileInfo, sha1 string)
}

// Open lists and hashes the source at path, which is a folder or a zip. hashes may be nil.
func Open(ctx context.Context, path string, hashes Hashes) (*Source, error) {
	info, err := os.Stat(path)
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return nil, fmt.Errorf("there is no folder %s: check the path", path)
	case err != nil:
		return nil, fmt.Errorf("can't read %s: %s", path, reason(err))
	}
	s := &Source{Path: path}
	if info.IsDir() {
		err = s.listFolder(ctx, hashes)
	} else {
		err = s.listZip(ctx)
	}
	if err == nil && len(s.Files) == 0 {
		err = fmt.Errorf("%s has no files to push: it is empty, or .cfignore leaves everything out", path)
	}
	if err != nil {
		return nil, errors.Join(err, s.Close())
	}
	return s, nil
}

// Close releases the zip; a folder holds nothing.
func (s *Source) Close() error {
	if s.archive == nil {
		return nil
	}
	return s.archive.Close()
}

// Bytes is the size of all files together.
func (s *Source) Bytes() int64 {
	var sum int64
	for _, f := range s.Files {
		sum += f.Size
	}
	return sum
}

type found struct {
	index int // in Files
	full  string
	info  fs.FileInfo
}

func (s *Source) listFolder(ctx context.Context, hashes Hashes) error {
	root, err := filepath.EvalSymlinks(s.Path)
	if err != nil {
		return fmt.Errorf("can't read %s: %s", s.Path, reason(err))
	}
	ignore, err := LoadIgnore(root)
	if err != nil {
		return err
	}
	var toHash []found
	err = filepath.WalkDir(root, func(full string, entry fs.DirEntry, err error) error {
		if ctx.Err() != nil {
			return ctx.Err()
		}
		rel := relative(root, full)
		if rel != "." && ignore.Match(rel, entry.IsDir()) {
			if entry.IsDir() && ignore.Prunes(rel) {
				return fs.SkipDir
			}
			return nil
		}
		if err != nil {
			return fmt.Errorf("can't read %s: %s; mend its permissions or name it in .cfignore", rel, reason(err))
		}
		if rel == "." {
			return nil
		}
		info, err := entry.Info()
		if err != nil {
			return fmt.Errorf("can't read %s: %s", rel, reason(err))
		}
		if err := s.add(full, rel, info); err != nil {
			return err
		}
		if info.Mode().IsRegular() {
			toHash = append(toHash, found{index: len(s.Files) - 1, full: full, info: info})
		}
		return nil
	})
	if err != nil {
		return err
	}
	if err := s.hash(ctx, toHash, hashes); err != nil {
		return err
	}
	slices.SortFunc(s.Files, func(a, b File) int { return strings.Compare(a.Path, b.Path) })
	return nil
}

func relative(root, full string) string {
	rel, err := filepath.Rel(root, full)
	if err != nil {
		return "."
	}
	return filepath.ToSlash(rel)
}

func (s *Source) add(full, rel string, info fs.FileInfo) error {
	file := File{Path: rel, Mode: info.Mode()}
	switch {
	case info.Mode().IsRegular():
		file.Size = info.Size()
	case info.IsDir():
	case info.Mode()&fs.ModeSymlink != 0:
		target, err := os.Readlink(full)
		if err != nil {
			return fmt.Errorf("can't read %s: %s", rel, reason(err))
		}
		file.Link = filepath.ToSlash(target)
		if leadsOut(rel, file.Link) {
			return fmt.Errorf("the link %s leads out of the app, to %s: replace it by a copy or name it in .cfignore", rel, target)
		}
	default:
		return fmt.Errorf("%s is neither file, folder nor link: remove it or name it in .cfignore", rel)
	}
	s.Files = append(s.Files, file)
	return nil
}

// leadsOut says whether a link at rel with that target points outside the folder.
func leadsOut(rel, target string) bool {
	if path.IsAbs(target) || filepath.IsAbs(target) {
		return true
	}
	joined := path.Join(path.Dir(rel), target)
	return joined == ".." || strings.HasPrefix(joined, "../")
}

// hash fills SHA1, several files at once, asking hashes first.
func (s *Source) hash(ctx context.Context, files []found, hashes Hashes) error {
	group, ctx := errgroup.WithContext(ctx)
	group.SetLimit(2 * runtime.GOMAXPROCS(0))
	for _, f := range files {
		file := &s.Files[f.index]
		if hashes != nil {
			if sum, ok := hashes.Get(file.Path, f.info); ok {
				file.SHA1 = sum
				continue
			}
		}
		group.Go(func() error {
			if ctx.Err() != nil {
				return ctx.Err()
			}
			sum, size, err := hashFile(f.full)
			if err != nil {
				return fmt.Errorf("can't read %s: %s; mend its permissions or name it in .cfignore", file.Path, reason(err))
			}
			file.SHA1, file.Size = sum, size
			if hashes != nil && size == f.info.Size() {
				hashes.Put(file.Path, f.info, sum)
			}
			return nil
		})
	}
	return group.Wait()
}

// reason is an operating system's error without the path that people have read already.
func reason(err error) string {
	var p *fs.PathError
	if errors.As(err, &p) {
		return p.Err.Error()
	}
	return err.Error()
}

var _ io.Closer = (*Source)(nil)
