package bits

import (
	"archive/zip"
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"path"
	"slices"
	"strings"
)

// listZip lists a zip (also a jar or war) as if it had been unpacked.
func (s *Source) listZip(ctx context.Context) error {
	archive, err := zip.OpenReader(s.Path)
	if errors.Is(err, zip.ErrFormat) {
		return fmt.Errorf("%s is neither a folder nor a zip: give the folder of the app with -p", s.Path)
	}
	if err != nil {
		return fmt.Errorf("can't read %s: %s", s.Path, reason(err))
	}
	s.archive = archive
	s.entries = map[string]*zip.File{}
	ignore, err := archiveIgnore(archive)
	if err != nil {
		return err
	}
	for _, entry := range archive.File {
		if ctx.Err() != nil {
			return ctx.Err()
		}
		if err := s.addEntry(entry, ignore); err != nil {
			return err
		}
	}
	slices.SortFunc(s.Files, func(a, b File) int { return strings.Compare(a.Path, b.Path) })
	return nil
}

func archiveIgnore(archive *zip.ReadCloser) (*Ignore, error) {
	lines := append([]string(nil), defaultIgnores...)
	for _, name := range ignoreFiles {
		for _, entry := range archive.File {
			if entry.Name != name {
				continue
			}
			data, err := readEntry(entry, maxIgnoreBytes)
			if err != nil {
				return nil, fmt.Errorf("read %s: %w", name, err)
			}
			lines = append(lines, splitLines(data)...)
		}
	}
	return ParseIgnore(lines...), nil
}

func (s *Source) addEntry(entry *zip.File, ignore *Ignore) error {
	name := strings.TrimSuffix(entry.Name, "/")
	if !fs.ValidPath(name) || name == "." || strings.Contains(name, `\`) {
		return fmt.Errorf("%s holds the entry %q, which is not a path inside it: make the zip anew", s.Path, entry.Name)
	}
	if ignore.Match(name, entry.Mode().IsDir()) {
		return nil
	}
	if s.entries[name] != nil {
		return fmt.Errorf("%s holds %s twice: make the zip anew", s.Path, name)
	}
	file := File{Path: path.Clean(name), Mode: entry.Mode()}
	var err error
	switch {
	case file.Mode.IsDir():
	case file.Mode&fs.ModeSymlink != 0:
		var target []byte
		target, err = readEntry(entry, 4096)
		file.Link = string(target)
		if err == nil && leadsOut(name, file.Link) {
			return fmt.Errorf("the link %s in %s leads out of the app, to %s: replace it by a copy", name, s.Path, target)
		}
	case file.Mode.IsRegular():
		file.SHA1, file.Size, err = hashEntry(entry)
	default:
		return fmt.Errorf("%s in %s is neither file, folder nor link: make the zip without it", name, s.Path)
	}
	if err != nil {
		return fmt.Errorf("can't read %s in %s: %w", name, s.Path, err)
	}
	s.entries[name] = entry
	s.Files = append(s.Files, file)
	return nil
}

func hashEntry(entry *zip.File) (sum string, size int64, err error) {
	r, err := entry.Open()
	if err != nil {
		return "", 0, err
	}
	defer r.Close()
	return hashReader(r)
}

func readEntry(entry *zip.File, limit int64) ([]byte, error) {
	r, err := entry.Open()
	if err != nil {
		return nil, err
	}
	defer r.Close()
	data, err := io.ReadAll(io.LimitReader(r, limit+1))
	if err == nil && int64(len(data)) > limit {
		return nil, fmt.Errorf("it is larger than %d bytes", limit)
	}
	return data, err
}
