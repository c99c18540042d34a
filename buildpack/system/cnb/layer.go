package cnb

import (
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"

	"github.com/BurntSushi/toml"
)

// Layer is a folder that outlives the build: in the image, in the cache, or for later buildpacks.
//
// The lifecycle restores the content of cached layers, and of all others the metadata alone.
type Layer struct {
	Name string
	Dir  string
	// Launch, Build and Cache are the layer's types. A restored layer has none until it is written.
	Launch, Build, Cache bool
	// Metadata is compared by the buildpack itself to tell whether the content still fits.
	Metadata map[string]string
}

type layerFile struct {
	Types struct {
		Launch bool `toml:"launch"`
		Build  bool `toml:"build"`
		Cache  bool `toml:"cache"`
	} `toml:"types"`
	Metadata map[string]string `toml:"metadata"`
}

// Layer opens a layer of the buildpack, restored or new.
func (c *Context) Layer(name string) (*Layer, error) {
	l := &Layer{Name: name, Dir: filepath.Join(c.LayersDir, name), Metadata: map[string]string{}}
	var f layerFile
	_, err := toml.DecodeFile(l.file(), &f)
	if err != nil && !errors.Is(err, os.ErrNotExist) {
		// Metadata that can't be read is no reason to fail: the layer is made anew.
		c.Log.Info("the cached layer %s is not readable, making it anew", name)
		return l, l.Reset()
	}
	if f.Metadata != nil {
		l.Metadata = f.Metadata
	}
	return l, os.MkdirAll(l.Dir, 0o755)
}

func (l *Layer) file() string { return l.Dir + ".toml" }

// Path is a file of the layer.
func (l *Layer) Path(elem ...string) string {
	return filepath.Join(append([]string{l.Dir}, elem...)...)
}

// Fits says whether the layer was restored with its content and with this metadata value.
func (l *Layer) Fits(key, value string) bool {
	if l.Metadata[key] != value {
		return false
	}
	entries, err := os.ReadDir(l.Dir)
	return err == nil && len(entries) > 0
}

// Reset empties the layer. Until Write it is no layer: a build that fails leaves nothing to be reused.
func (l *Layer) Reset() error {
	l.Metadata = map[string]string{}
	if err := RemoveAll(l.Dir); err != nil {
		return err
	}
	if err := os.Remove(l.file()); err != nil && !errors.Is(err, os.ErrNotExist) {
		return err
	}
	return os.MkdirAll(l.Dir, 0o755)
}

// Write makes the layer one with its types and metadata.
func (l *Layer) Write() error {
	var f layerFile
	f.Types.Launch, f.Types.Build, f.Types.Cache = l.Launch, l.Build, l.Cache
	f.Metadata = l.Metadata
	if err := writeTOML(l.file(), f); err != nil {
		return fmt.Errorf("write layer %s: %w", l.Name, err)
	}
	return nil
}

// LaunchEnv sets a variable at launch: suffix is "override", "default", "prepend" or "append" (Buildpack API,
// Environment). Lists are joined with ':'.
func (l *Layer) LaunchEnv(name, suffix, value string) error {
	dir := l.Path("env.launch")
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return err
	}
	if suffix == "prepend" || suffix == "append" {
		if err := os.WriteFile(filepath.Join(dir, name+".delim"), []byte(":"), 0o644); err != nil {
			return err
		}
	}
	return os.WriteFile(filepath.Join(dir, name+"."+suffix), []byte(value), 0o644)
}

// AddSelf puts this program into the layer, to run there under another name.
func (l *Layer) AddSelf(c *Context, elem ...string) error {
	name := l.Path(elem...)
	if err := os.MkdirAll(filepath.Dir(name), 0o755); err != nil {
		return err
	}
	return copyFile(c.executable, name, 0o755)
}

func copyFile(from, to string, mode os.FileMode) error {
	src, err := os.Open(from)
	if err != nil {
		return err
	}
	defer src.Close()
	dst, err := os.OpenFile(to, os.O_CREATE|os.O_TRUNC|os.O_WRONLY, mode)
	if err != nil {
		return err
	}
	_, err = io.Copy(dst, src)
	return errors.Join(err, dst.Close())
}

// RemoveAll removes a folder even where it holds folders that are not writable, as Go's module cache does.
func RemoveAll(dir string) error {
	if os.RemoveAll(dir) == nil {
		return nil
	}
	err := filepath.WalkDir(dir, func(name string, d os.DirEntry, err error) error {
		if err != nil || !d.IsDir() {
			return err
		}
		return os.Chmod(name, 0o755)
	})
	return errors.Join(err, os.RemoveAll(dir))
}
