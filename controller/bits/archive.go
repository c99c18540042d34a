// Package bits reads the zips that people upload as app source, as if each of them were an attack: names
// that climb out, links that lead out, bombs, duplicates, devices. What has passed Open can be unpacked.
//
// A package blob is always a zip. The API checks it, merges in the files that the client did not have to
// send (Merge) and stores it; the staging loop unpacks it (Unpack).
package bits

import (
	"archive/zip"
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"path"
	"strings"
	"unicode/utf8"
)

// Limits bound what an archive may hold.
type Limits struct {
	Bytes     int64 // of all files, unpacked
	Files     int   // entries of any kind
	Ratio     int64 // unpacked to packed bytes, once more than RatioFrom bytes are unpacked
	RatioFrom int64
	NameBytes int // of one path
	Depth     int // of folders
}

// ArchiveBytes is the most that an uploaded zip may have.
const ArchiveBytes = 1 << 30

// directoryBytes is the most that a zip's table of contents may have; what is read into memory at once.
const directoryBytes = 24 << 20

// DefaultLimits are what the platform accepts.
var DefaultLimits = Limits{Bytes: 4 << 30, Files: 100_000, Ratio: 100, RatioFrom: 64 << 20, NameBytes: 4096, Depth: 200}

// InvalidError says what is wrong with an archive, in a sentence for the person who made it.
type InvalidError struct {
	Entry   string // empty: the archive as a whole
	Problem string
}

func (e *InvalidError) Error() string {
	if e.Entry == "" {
		return "the zip " + e.Problem
	}
	name := e.Entry
	if len(name) > 200 {
		name = name[:200] + "…"
	}
	return fmt.Sprintf("the zip's entry %q %s", name, e.Problem)
}

func invalid(entry, problem string, args ...any) error {
	return &InvalidError{entry, fmt.Sprintf(problem, args...)}
}

// Entry is one file, folder or symbolic link of an archive.
type Entry struct {
	Name string // clean, relative, with slashes; folders have no slash at the end
	Mode fs.FileMode
	Size int64
	Link string // where a symbolic link leads, as written

	file *zip.File
}

// Archive is a zip that has been checked whole, except for the bytes of its files, which are checked as
// they are read. It reads from the ReaderAt that it was opened with.
type Archive struct {
	Entries []Entry
	limits  Limits
}

// Open reads the table of contents of a zip and checks every entry. It returns an *InvalidError for what
// the person who made the zip must mend.
func Open(r io.ReaderAt, size int64, l Limits) (*Archive, error) {
	budget := &budgetReader{r: r, left: directoryBytes}
	z, err := zip.NewReader(budget, size)
	switch {
	case budget.spent:
		return nil, invalid("", "has a table of contents of more than %d MB", directoryBytes>>20)
	case errors.Is(err, zip.ErrFormat), errors.Is(err, zip.ErrAlgorithm), errors.Is(err, io.ErrUnexpectedEOF), errors.Is(err, io.EOF):
		return nil, invalid("", "cannot be read: it is cut off or is not a zip")
	case err != nil && !errors.Is(err, zip.ErrInsecurePath):
		return nil, fmt.Errorf("read zip: %w", err)
	}
	budget.open()
	if len(z.File) > l.Files {
		return nil, invalid("", "has %d entries; %d are allowed", len(z.File), l.Files)
	}
	a := &Archive{limits: l}
	if err := a.readEntries(z.File); err != nil {
		return nil, err
	}
	return a, a.check(size)
}

func (a *Archive) readEntries(files []*zip.File) error {
	a.Entries = make([]Entry, 0, len(files))
	for _, f := range files {
		e, err := a.readEntry(f)
		if err != nil {
			return err
		}
		if e.Name != "." { // the app's folder itself
			a.Entries = append(a.Entries, e)
		}
	}
	return nil
}

func (a *Archive) readEntry(f *zip.File) (Entry, error) {
	name, err := a.cleanName(f.Name)
	if err != nil {
		return Entry{}, err
	}
	e := Entry{Name: name, Mode: modeOf(f), Size: int64(f.UncompressedSize64), file: f}
	switch {
	case f.Flags&1 != 0:
		return e, invalid(f.Name, "is encrypted; upload it without a password")
	case f.Method != zip.Store && f.Method != zip.Deflate:
		return e, invalid(f.Name, "is compressed by method %d; use deflate", f.Method)
	case f.UncompressedSize64 > uint64(a.limits.Bytes):
		return e, invalid(f.Name, "is too large")
	}
	switch e.Mode.Type() {
	case 0, fs.ModeDir:
		return e, nil
	case fs.ModeSymlink:
		e.Link, err = readLink(f)
		return e, err
	}
	return e, invalid(f.Name, "is a device, pipe or socket; only files, folders and links can be uploaded")
}

func (a *Archive) cleanName(name string) (string, error) {
	switch {
	case name == "" || strings.ContainsRune(name, 0):
		return "", invalid(name, "has no usable name")
	case !utf8.ValidString(name):
		return "", invalid(name, "has a name that is not UTF-8")
	case len(name) > a.limits.NameBytes:
		return "", invalid(name, "has a path of more than %d bytes", a.limits.NameBytes)
	case name[0] == '/' || name[0] == '\\':
		return "", invalid(name, "has an absolute path; pack the files by relative paths")
	}
	segments := strings.FieldsFunc(name, func(r rune) bool { return r == '/' || r == '\\' })
	if len(segments) > a.limits.Depth {
		return "", invalid(name, "lies more than %d folders deep", a.limits.Depth)
	}
	for _, s := range segments {
		if s == ".." {
			return "", invalid(name, "leads out of the app's folder by \"..\"")
		}
		if len(s) > 255 {
			return "", invalid(name, "has a file name of more than 255 bytes")
		}
	}
	return path.Clean(name), nil
}

// modeOf keeps type and permissions. Bits that a file must not bring along (setuid, setgid, sticky) go;
// an archive made without permissions gets the usual ones.
func modeOf(f *zip.File) fs.FileMode {
	const unix, macOS = 3, 19
	m := f.Mode()
	perm := m.Perm()
	if system := f.CreatorVersion >> 8; system != unix && system != macOS || perm == 0 && m.Type() != fs.ModeSymlink {
		perm = 0o644
		if m.IsDir() {
			perm = 0o755
		}
	}
	if strings.HasSuffix(f.Name, "/") {
		return fs.ModeDir | perm
	}
	return m.Type() | perm
}

const linkBytes = 4096

func readLink(f *zip.File) (string, error) {
	if f.UncompressedSize64 > linkBytes {
		return "", invalid(f.Name, "is a link of more than %d bytes", linkBytes)
	}
	r, err := f.Open()
	if err != nil {
		return "", invalid(f.Name, "cannot be read: %v", err)
	}
	defer r.Close()
	target, err := io.ReadAll(io.LimitReader(r, linkBytes+1))
	if err != nil || len(target) == 0 || len(target) > linkBytes || !utf8.Valid(target) || strings.ContainsRune(string(target), 0) {
		return "", invalid(f.Name, "is a link that cannot be read")
	}
	return string(target), nil
}

// Each calls fn with every entry in turn and, for a file, its bytes. Reading to the end checks the file's
// checksum and length; what fn leaves is read for it.
func (a *Archive) Each(ctx context.Context, fn func(e Entry, r io.Reader) error) error {
	for _, e := range a.Entries {
		if err := ctx.Err(); err != nil {
			return err
		}
		if err := e.visit(fn); err != nil {
			return err
		}
	}
	return nil
}

func (e Entry) visit(fn func(Entry, io.Reader) error) error {
	if !e.Mode.IsRegular() {
		return fn(e, strings.NewReader(""))
	}
	r, err := e.file.Open()
	if err != nil {
		return invalid(e.Name, "cannot be read: its header is damaged")
	}
	defer r.Close()
	body := &sizedReader{r: r, left: e.Size, name: e.Name}
	if err := fn(e, body); err != nil {
		return err
	}
	_, err = io.Copy(io.Discard, body)
	return err
}

// sizedReader ends a file that is longer than its header says, and names the entry in what goes wrong.
type sizedReader struct {
	r    io.Reader
	left int64
	name string
}

func (s *sizedReader) Read(p []byte) (int, error) {
	n, err := s.r.Read(p)
	s.left -= int64(n)
	switch {
	case s.left < 0:
		return 0, invalid(s.name, "is longer than the zip says")
	case err != nil && err != io.EOF:
		return n, invalid(s.name, "is damaged: %v", err)
	}
	return n, err
}

// budgetReader refuses to read more than left bytes until open is called.
type budgetReader struct {
	r     io.ReaderAt
	left  int64
	spent bool
	free  bool
}

var errBudget = errors.New("table of contents too large")

func (b *budgetReader) open() { b.free = true }

func (b *budgetReader) ReadAt(p []byte, off int64) (int, error) {
	if !b.free {
		if b.left -= int64(len(p)); b.left < 0 {
			b.spent = true
			return 0, errBudget
		}
	}
	return b.r.ReadAt(p, off)
}

// Files returns how many files and links the archive has, without folders.
func (a *Archive) Files() int {
	n := 0
	for _, e := range a.Entries {
		if !e.Mode.IsDir() {
			n++
		}
	}
	return n
}
