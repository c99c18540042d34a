// Package cache keeps the cache layers of apps between builds, as folders on the host.
//
// A build takes the layers out (by renaming them into its own layers folder, which costs nothing) and, if
// it succeeds, puts back those it ends with, which replaces the cache as a whole. If it fails, the layers
// that it did not touch go back; a fingerprint of each tells. A crash in between loses what was taken but
// never leaves a half-changed layer: what is not in its place, or not as it was recorded, is not restored.
package cache

import (
	"bytes"
	"encoding/json"
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"sync"

	"github.com/cupola-paas/cupola/buildpack/launcher"
	"github.com/cupola-paas/cupola/buildpack/lifecycle"
)

// Layer is a cached layer: what the buildpack said of it and what the exporter found out.
type Layer struct {
	Buildpack string `json:"buildpack"`
	Name      string `json:"name"`
	lifecycle.Types
	Metadata    map[string]any `json:"metadata,omitempty"`
	Fingerprint string         `json:"fingerprint"`
	// DiffID is of the layer that was made of the folder when it had this fingerprint; empty if none was.
	DiffID string `json:"diffID,omitempty"`
}

// record is cache.json.
type record struct {
	Boot   string  `json:"boot"` // of the machine when this was written
	Layers []Layer `json:"layers"`
}

const recordFile = "cache.json"

// Store is a folder of caches. Its methods may be called at the same time.
type Store struct {
	dir string
	mu  sync.Mutex // held while folders are renamed
}

// Open makes a Store in dir, which must be on the same file system as the builds' folders.
func Open(dir string) (*Store, error) {
	return &Store{dir: dir}, os.MkdirAll(dir, 0o700)
}

var idGrammar = regexp.MustCompile(`^[A-Za-z0-9][A-Za-z0-9._-]{0,199}$`)

// ValidID says whether id may name a cache; such an id is safe as a folder's name.
func ValidID(id string) bool { return idGrammar.MatchString(id) }

func (s *Store) path(id string) string { return filepath.Join(s.dir, id) }

// Delete removes a cache. One that is not there is no error.
func (s *Store) Delete(id string) error {
	if !ValidID(id) {
		return nil
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	return errors.Join(os.RemoveAll(s.path(id)), os.RemoveAll(s.path(id)+"~new"), os.RemoveAll(s.path(id)+"~old"))
}

// List returns the ids of all caches.
func (s *Store) List() ([]string, error) {
	entries, err := os.ReadDir(s.dir)
	if err != nil {
		return nil, err
	}
	var ids []string
	for _, e := range entries {
		if e.IsDir() && ValidID(e.Name()) {
			ids = append(ids, e.Name())
		}
	}
	return ids, nil
}

// Taken is a cache that a build has in use.
type Taken struct {
	store     *Store
	id        string
	layersDir string
	Layers    []Layer // that were restored
}

// Take moves the layers of cache id into layersDir, each with its SBOM files, and returns what it moved.
// Another build that takes the same cache meanwhile finds nothing.
func (s *Store) Take(id, layersDir string) (*Taken, error) {
	t := &Taken{store: s, id: id, layersDir: layersDir}
	if !ValidID(id) {
		return t, nil
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.recover(id)
	r, err := s.read(id)
	if err != nil {
		return t, nil // a cache that cannot be read is an empty one
	}
	for _, l := range r.Layers {
		if !valid(l) || !s.intact(id, l, r.Boot) {
			continue
		}
		if err := t.move(l, s.path(id), layersDir); err != nil {
			return t, err
		}
		t.Layers = append(t.Layers, l)
	}
	return t, nil
}

func valid(l Layer) bool {
	plain := l.Name != "" && l.Name == filepath.Base(l.Name) && l.Name != "." && l.Name != ".."
	return plain && lifecycle.ValidID(l.Buildpack)
}

// intact says whether the layer's folder is there. After a restart of the machine it must still have its
// fingerprint as well: a power cut can leave files shorter than they were.
func (s *Store) intact(id string, l Layer, boot string) bool {
	path, ok := lifecycle.RealDir(s.path(id), launcher.EscapeID(l.Buildpack), l.Name)
	if !ok || boot == bootID() {
		return ok
	}
	now, err := Fingerprint(path)
	return err == nil && now == l.Fingerprint
}

func (s *Store) read(id string) (record, error) {
	var r record
	b, err := lifecycle.ReadFile(filepath.Join(s.path(id), recordFile), 64<<20)
	if err != nil {
		return r, err
	}
	dec := json.NewDecoder(bytes.NewReader(b))
	dec.UseNumber()
	if err := dec.Decode(&r); err != nil {
		return r, err
	}
	for i := range r.Layers {
		r.Layers[i].Metadata = lifecycle.PlainNumbers(r.Layers[i].Metadata)
	}
	return r, nil
}

// move renames a layer's folder and SBOM files from one tree of buildpack folders to another.
func (t *Taken) move(l Layer, from, to string) error {
	from = filepath.Join(from, launcher.EscapeID(l.Buildpack))
	to = filepath.Join(to, launcher.EscapeID(l.Buildpack))
	if err := os.MkdirAll(to, 0o755); err != nil {
		return err
	}
	if err := os.Rename(filepath.Join(from, l.Name), filepath.Join(to, l.Name)); err != nil {
		return err
	}
	for _, ext := range lifecycle.SBOMFormats {
		name := l.Name + ".sbom." + ext
		if err := os.Rename(filepath.Join(from, name), filepath.Join(to, name)); err != nil && !errors.Is(err, fs.ErrNotExist) {
			return err
		}
	}
	return nil
}

// Return puts back the layers that the build left as they were, after it failed.
func (t *Taken) Return() error {
	var same []Layer
	for _, l := range t.Layers {
		path, ok := lifecycle.RealDir(t.layersDir, launcher.EscapeID(l.Buildpack), l.Name)
		if !ok {
			continue
		}
		if now, err := Fingerprint(path); err == nil && now == l.Fingerprint {
			same = append(same, l)
		}
	}
	if len(same) == 0 {
		return nil
	}
	return t.Replace(same)
}

// Replace makes layers, which lie in the build's layers folder, the whole of the cache, in one step.
func (t *Taken) Replace(layers []Layer) error {
	if !ValidID(t.id) {
		return nil
	}
	s := t.store
	s.mu.Lock()
	defer s.mu.Unlock()
	next := s.path(t.id) + "~new"
	if err := errors.Join(os.RemoveAll(next), os.MkdirAll(next, 0o700)); err != nil {
		return err
	}
	for _, l := range layers {
		if err := t.move(l, t.layersDir, next); err != nil {
			return errors.Join(err, os.RemoveAll(next))
		}
	}
	// The record comes last: a new cache with a record is complete.
	if err := writeRecord(next, record{Boot: bootID(), Layers: layers}); err != nil {
		return errors.Join(err, os.RemoveAll(next))
	}
	return s.swap(t.id)
}

// swap puts the new cache in the place of the old one.
func (s *Store) swap(id string) error {
	path := s.path(id)
	if err := os.RemoveAll(path + "~old"); err != nil {
		return err
	}
	if err := os.Rename(path, path+"~old"); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	if err := os.Rename(path+"~new", path); err != nil {
		return err
	}
	return os.RemoveAll(path + "~old")
}

// recover ends a swap that a crash cut short.
func (s *Store) recover(id string) {
	path := s.path(id)
	if _, err := os.Lstat(filepath.Join(path+"~new", recordFile)); err == nil {
		s.swap(id) //nolint:errcheck // what cannot be swapped now is replaced by the next build
	}
}

func writeRecord(dir string, r record) error {
	b, err := json.Marshal(r)
	if err != nil {
		return err
	}
	f, err := os.CreateTemp(dir, "cache-*")
	if err != nil {
		return err
	}
	_, err = f.Write(b)
	err = errors.Join(err, f.Sync(), f.Close())
	if err == nil {
		err = os.Rename(f.Name(), filepath.Join(dir, recordFile))
	}
	return err
}

// bootID names the time that the machine has been up.
func bootID() string {
	b, _ := os.ReadFile("/proc/sys/kernel/random/boot_id")
	return strings.TrimSpace(string(b))
}
