// Package binary is the buildpacks cupola/binary and cupola/executable: they run what is executable already.
//
// cupola/binary is for those who name it, as Cloud Foundry's binary_buildpack: it takes any folder, and what to
// start is in the Procfile, in the start command of the app, or is the only executable at the top.
// cupola/executable does the same for apps that nobody named a buildpack for. It is the last in the order and
// takes part only when there is something to start: a Procfile beside at least one executable file, or one
// executable file alone at the top.
package binary

import (
	"bytes"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"strings"

	"github.com/cupola-paas/cupola/buildpack/system/cnb"
)

// Buildpack runs executables.
type Buildpack struct {
	// Named means that the user chose the buildpack, so that any folder will do.
	Named bool
}

var _ cnb.Buildpack = Buildpack{}

// Detect passes folders that have something to start.
func (b Buildpack) Detect(c *cnb.Context) error {
	top, err := executables(c.AppDir, false)
	if err != nil || b.Named {
		return err
	}
	if c.Has("Procfile") {
		all, err := executables(c.AppDir, true)
		if err == nil && len(all) == 0 {
			return cnb.Passf("a Procfile, but no executable file")
		}
		return err
	}
	switch len(top) {
	case 0:
		return cnb.Passf("no executable file at the top")
	case 1:
		return nil
	default:
		return cnb.Passf("%d executable files at the top and no Procfile to say which to start", len(top))
	}
}

// Build starts the only executable, where there is one.
func (b Buildpack) Build(c *cnb.Context) (*cnb.Launch, error) {
	top, err := executables(c.AppDir, false)
	if err != nil {
		return nil, err
	}
	if len(top) != 1 {
		return &cnb.Launch{}, nil
	}
	name := c.Path(top[0])
	if err := ensureExecutable(name); err != nil {
		return nil, err
	}
	c.Log.Step("Starting %s unless told otherwise", top[0])
	return cnb.Web(name), nil
}

// executables lists executable files, at the top of a folder or in all of it.
func executables(dir string, deep bool) ([]string, error) {
	var names []string
	err := filepath.WalkDir(dir, func(name string, d fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		if d.IsDir() {
			if name != dir && (!deep || strings.HasPrefix(d.Name(), ".")) {
				return fs.SkipDir
			}
			return nil
		}
		ok, err := isExecutable(name, d)
		if ok {
			rel, rerr := filepath.Rel(dir, name)
			if rerr != nil {
				return rerr
			}
			names = append(names, rel)
		}
		return err
	})
	return names, err
}

// isExecutable tells ELF programs by what they are, since archives made elsewhere lose the bit, and scripts by
// their first line and the bit.
func isExecutable(name string, d fs.DirEntry) (bool, error) {
	if !d.Type().IsRegular() {
		return false, nil
	}
	info, err := d.Info()
	if err != nil {
		return false, err
	}
	f, err := os.Open(name)
	if err != nil {
		return false, err
	}
	defer f.Close()
	var head [18]byte
	n, err := io.ReadFull(f, head[:])
	if err != nil && err != io.EOF && err != io.ErrUnexpectedEOF {
		return false, err
	}
	return isProgram(head[:n], info.Mode()&0o111 != 0), nil
}

// isProgram looks at the first bytes of a file: an ELF program that is no object file and, without the bit, no
// library either; or a script with the bit.
func isProgram(head []byte, executable bool) bool {
	if bytes.HasPrefix(head, []byte("#!")) {
		return executable
	}
	if len(head) < 18 || !bytes.HasPrefix(head, []byte("\x7fELF")) {
		return false
	}
	kind := head[16] // e_type, low byte; little endian on every platform of ours
	return kind == 2 || kind == 3 && executable
}

func ensureExecutable(name string) error {
	info, err := os.Stat(name)
	if err != nil || info.Mode()&0o111 == 0o111 {
		return err
	}
	return os.Chmod(name, info.Mode()|0o755)
}
