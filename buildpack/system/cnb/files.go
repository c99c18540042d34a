package cnb

import (
	"archive/tar"
	"compress/gzip"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
)

// Unpack writes a gzipped tar file below dir. rename gives each file's place below dir, or "" to leave it
// out. Links and whatever else is neither file nor folder are left out; a name that leads elsewhere fails.
func Unpack(archive, dir string, rename func(string) string) error {
	f, err := os.Open(archive)
	if err != nil {
		return err
	}
	defer f.Close()
	z, err := gzip.NewReader(f)
	if err != nil {
		return fmt.Errorf("read %s: %w", filepath.Base(archive), err)
	}
	for tr := tar.NewReader(z); ; {
		h, err := tr.Next()
		if err == io.EOF {
			return nil
		}
		if err != nil {
			return fmt.Errorf("read %s: %w", filepath.Base(archive), err)
		}
		name := rename(strings.TrimPrefix(h.Name, "./"))
		if name == "" || h.Typeflag != tar.TypeReg {
			continue
		}
		if !filepath.IsLocal(name) {
			return fmt.Errorf("%s has a file outside of itself: %q", filepath.Base(archive), h.Name)
		}
		if err := writeFrom(tr, filepath.Join(dir, name), fs.FileMode(h.Mode)&0o755|0o644); err != nil {
			return err
		}
	}
}

func writeFrom(r io.Reader, name string, mode fs.FileMode) error {
	if err := os.MkdirAll(filepath.Dir(name), 0o755); err != nil {
		return err
	}
	f, err := os.OpenFile(name, os.O_CREATE|os.O_TRUNC|os.O_WRONLY, mode)
	if err != nil {
		return err
	}
	_, err = io.Copy(f, r)
	return errors.Join(err, f.Close())
}

// Key hashes texts and the contents of files; a file that is not there counts as such.
type Key struct{ parts []string }

// Text adds texts.
func (k *Key) Text(s ...string) { k.parts = append(k.parts, s...) }

// File adds the content of a file.
func (k *Key) File(name string) error {
	b, err := os.ReadFile(name)
	if errors.Is(err, os.ErrNotExist) {
		k.Text("none:" + filepath.Base(name))
		return nil
	}
	if err != nil {
		return err
	}
	sum := sha256.Sum256(b)
	k.Text(filepath.Base(name), hex.EncodeToString(sum[:]))
	return nil
}

// Sum is the key.
func (k *Key) Sum() string {
	h := sha256.New()
	for _, p := range k.parts {
		fmt.Fprintf(h, "%d:%s,", len(p), p)
	}
	return hex.EncodeToString(h.Sum(nil))
}
