package lifecycle

import (
	"cmp"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"

	"github.com/cupola-paas/cupola/buildpack/launcher"
)

// Descriptor is a buildpack.toml (Buildpack API, Data Format).
type Descriptor struct {
	API   string `toml:"api"`
	Info  Info   `toml:"buildpack"`
	Order Order  `toml:"order"`

	Targets []Target `toml:"targets"`
	Stacks  []struct {
		ID string `toml:"id"`
	} `toml:"stacks"`

	Dir string `toml:"-"` // the buildpack's root
}

// Info is the [buildpack] table.
type Info struct {
	ID          string   `toml:"id"`
	Name        string   `toml:"name"`
	Version     string   `toml:"version"`
	Homepage    string   `toml:"homepage"`
	ClearEnv    bool     `toml:"clear-env"`
	SBOMFormats []string `toml:"sbom-formats"`
	ExecEnv     execEnvs `toml:"exec-env"`
}

// execEnvs reads both forms that are found: a list of names, and [[buildpack.exec-env]] tables.
type execEnvs []string

func (e *execEnvs) UnmarshalTOML(value any) error {
	switch list := value.(type) {
	case []map[string]any:
		for _, table := range list {
			name, _ := table["name"].(string)
			*e = append(*e, name)
		}
		return nil
	case []any:
		for _, v := range list {
			name, ok := v.(string)
			if !ok {
				return errors.New("exec-env: want names")
			}
			*e = append(*e, name)
		}
		return nil
	}
	return errors.New("exec-env: want a list")
}

// Order is a list of groups to try.
type Order []struct {
	Group []Ref `toml:"group"`
}

// Ref names a buildpack in a group.
type Ref struct {
	ID       string   `toml:"id"`
	Version  string   `toml:"version"`
	Optional bool     `toml:"optional"`
	ExecEnv  []string `toml:"exec-env"`
}

func (r Ref) String() string { return r.ID + "@" + r.Version }

// ReadDescriptor reads and checks the buildpack.toml in dir.
func ReadDescriptor(dir string) (*Descriptor, error) {
	path := filepath.Join(dir, "buildpack.toml")
	b, err := os.ReadFile(path) // may be a link: part of the builder, not of the app
	if err != nil {
		return nil, err
	}
	d, err := parseDescriptor(b)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", dir, err)
	}
	d.Dir = dir
	return d, nil
}

func parseDescriptor(b []byte) (*Descriptor, error) {
	var d Descriptor
	if err := decode("buildpack.toml", b, &d); err != nil {
		return nil, err
	}
	if !ValidID(d.Info.ID) || !ValidVersion(d.Info.Version) {
		return nil, fmt.Errorf("buildpack.toml: %q, version %q, is not a valid id and version", d.Info.ID, d.Info.Version)
	}
	return &d, checkAPI(d.Info.ID, d.API)
}

// Catalog is a buildpacks folder: ID/version/buildpack.toml (Platform API, Buildpacks Directory Layout).
type Catalog struct {
	Dir  string
	read map[key]*Descriptor
}

// key is what a buildpack is found by.
type key struct{ ID, Version string }

// Find returns a buildpack. An empty version finds the highest one that is there.
func (c *Catalog) Find(id, version string) (*Descriptor, error) {
	if !ValidID(id) || version != "" && !ValidVersion(version) {
		return nil, fmt.Errorf("%q, version %q, is not a valid buildpack id and version", id, version)
	}
	k := key{id, version}
	if d := c.read[k]; d != nil {
		return d, nil
	}
	dir := filepath.Join(c.Dir, launcher.EscapeID(id))
	if version == "" {
		newest, err := newestVersion(dir)
		if err != nil {
			return nil, &UnknownError{ID: id}
		}
		version = newest
	}
	d, err := ReadDescriptor(filepath.Join(dir, version))
	if errors.Is(err, os.ErrNotExist) {
		return nil, &UnknownError{ID: id, Version: version}
	}
	if err != nil {
		return nil, err
	}
	if c.read == nil {
		c.read = map[key]*Descriptor{}
	}
	c.read[k] = d
	return d, nil
}

func newestVersion(dir string) (string, error) {
	entries, err := os.ReadDir(dir)
	if err != nil || len(entries) == 0 {
		return "", cmp.Or(err, os.ErrNotExist)
	}
	last := slices.MaxFunc(entries, func(a, b os.DirEntry) int { return compareVersions(a.Name(), b.Name()) })
	return last.Name(), nil
}

// UnknownError is a buildpack that the builder does not have.
type UnknownError struct{ ID, Version string }

func (e *UnknownError) Error() string {
	if e.Version == "" {
		return fmt.Sprintf("there is no buildpack %q here; `cf buildpacks` lists those there are", e.ID)
	}
	return fmt.Sprintf("there is no buildpack %q in version %s here", e.ID, e.Version)
}
