package bits

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path"
	"slices"
	"strings"
)

// Unpack writes the package blob, a zip, into dir, which must exist and should be empty. Modes and links
// are kept; a folder without write permission gets its mode last, so that it can be filled. Nothing is
// written outside dir, whatever the zip says: everything goes through an os.Root.
func Unpack(ctx context.Context, blob *os.File, size int64, dir string) error {
	a, err := Open(blob, size, DefaultLimits)
	if err != nil {
		return err
	}
	root, err := os.OpenRoot(dir)
	if err != nil {
		return fmt.Errorf("unpack: %w", err)
	}
	defer root.Close()
	return a.unpack(ctx, root)
}

func (a *Archive) unpack(ctx context.Context, root *os.Root) error {
	var links, dirs []Entry
	made := map[string]bool{".": true}
	buffer := make([]byte, 128<<10)
	err := a.Each(ctx, func(e Entry, r io.Reader) error {
		switch e.Mode.Type() {
		case fs.ModeDir:
			dirs = append(dirs, e)
			return makeDir(root, e.Name, made)
		case fs.ModeSymlink:
			links = append(links, e)
			return nil
		}
		return writeFile(root, e, r, made, buffer)
	})
	if err != nil {
		return err
	}
	return finish(root, links, dirs, made)
}

// finish makes the links, now that nothing more is written through them, and then sets the folders' modes
// from the deepest up.
func finish(root *os.Root, links, dirs []Entry, made map[string]bool) error {
	for _, l := range links {
		if err := makeDir(root, path.Dir(l.Name), made); err != nil {
			return err
		}
		if err := root.Symlink(l.Link, l.Name); err != nil {
			return fmt.Errorf("unpack %q: %w", l.Name, err)
		}
	}
	slices.SortFunc(dirs, func(x, y Entry) int { return strings.Compare(y.Name, x.Name) })
	for _, d := range dirs {
		if err := root.Chmod(d.Name, d.Mode.Perm()); err != nil {
			return fmt.Errorf("unpack %q: %w", d.Name, err)
		}
	}
	return nil
}

func makeDir(root *os.Root, name string, made map[string]bool) error {
	if made[name] {
		return nil
	}
	if err := root.MkdirAll(name, 0o755); err != nil {
		return fmt.Errorf("unpack %q: %w", name, err)
	}
	made[name] = true
	return nil
}

func writeFile(root *os.Root, e Entry, r io.Reader, made map[string]bool, buffer []byte) (err error) {
	if err := makeDir(root, path.Dir(e.Name), made); err != nil {
		return err
	}
	f, err := root.OpenFile(e.Name, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o600)
	if err != nil {
		return fmt.Errorf("unpack %q: %w", e.Name, err)
	}
	defer func() { err = errors.Join(err, f.Close()) }()
	if _, err := io.CopyBuffer(onlyWriter{f}, r, buffer); err != nil {
		var bad *InvalidError
		if errors.As(err, &bad) {
			return err
		}
		return fmt.Errorf("unpack %q: %w", e.Name, err)
	}
	return f.Chmod(e.Mode.Perm())
}

// onlyWriter hides the file's ReadFrom, which would not use the buffer.
type onlyWriter struct{ io.Writer }
