// Package environ keeps the environment of a buildpack or of a process and changes it by the rules of
// Buildpack API, Environment: layer paths, env directories with their suffixes, the user's and the
// operator's variables. The lifecycle uses it while building, the launcher when a process starts.
package environ

import (
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
)

// listSeparator parts the elements of path variables.
const listSeparator = string(os.PathListSeparator)

// Env is a set of variables. The zero value is empty and ready; it is not for use by several goroutines.
type Env struct{ vars map[string]string }

// FromList makes an Env of NAME=value strings; of two with the same name the last wins.
func FromList(list []string) *Env {
	e := &Env{vars: make(map[string]string, len(list))}
	for _, kv := range list {
		if name, value, ok := strings.Cut(kv, "="); ok && name != "" {
			e.vars[name] = value
		}
	}
	return e
}

// Clone returns an independent copy.
func (e *Env) Clone() *Env {
	c := &Env{vars: make(map[string]string, len(e.vars))}
	for k, v := range e.vars {
		c.vars[k] = v
	}
	return c
}

// Get returns the value of name, empty when unset.
func (e *Env) Get(name string) string { return e.vars[name] }

// Lookup returns the value of name and whether it is set.
func (e *Env) Lookup(name string) (string, bool) {
	v, ok := e.vars[name]
	return v, ok
}

// Set gives name a value.
func (e *Env) Set(name, value string) {
	if e.vars == nil {
		e.vars = map[string]string{}
	}
	e.vars[name] = value
}

// Unset removes names.
func (e *Env) Unset(names ...string) {
	for _, n := range names {
		delete(e.vars, n)
	}
}

// List returns NAME=value strings, sorted.
func (e *Env) List() []string {
	list := make([]string, 0, len(e.vars))
	for k, v := range e.vars {
		list = append(list, k+"="+v)
	}
	slices.Sort(list)
	return list
}

// LayerPath is a folder of a layer that goes into a variable (Buildpack API, Layer Paths).
type LayerPath struct{ Var, Dir string }

// BuildPaths and LaunchPaths are the layer paths of the two phases.
var (
	BuildPaths = []LayerPath{
		{"PATH", "bin"}, {"LD_LIBRARY_PATH", "lib"}, {"LIBRARY_PATH", "lib"},
		{"CPATH", "include"}, {"PKG_CONFIG_PATH", "pkgconfig"},
	}
	LaunchPaths = []LayerPath{{"PATH", "bin"}, {"LD_LIBRARY_PATH", "lib"}}
)

// IsPathVar says whether name is one of the layer path variables of the build phase.
func IsPathVar(name string) bool {
	return slices.ContainsFunc(BuildPaths, func(p LayerPath) bool { return p.Var == name })
}

// AddLayerPaths puts the folders that exist in the layers of one buildpack before what the variables
// hold. layers are absolute paths in ascending order, and keep this order inside the variables.
func (e *Env) AddLayerPaths(layers []string, paths []LayerPath) {
	for i := len(layers) - 1; i >= 0; i-- {
		for _, p := range paths {
			dir := filepath.Join(layers[i], p.Dir)
			if info, err := os.Stat(dir); err == nil && info.IsDir() {
				e.prependPath(p.Var, dir)
			}
		}
	}
}

func (e *Env) prependPath(name, value string) {
	if old := e.Get(name); old != "" {
		value += listSeparator + old
	}
	e.Set(name, value)
}

// ApplyDir changes the environment by the files of an env folder, in the order of their names. A folder
// that is not there changes nothing; folders inside are ignored. bare is how a file without suffix
// counts: "override" for layers, "default" for the operator's build-config.
func (e *Env) ApplyDir(dir, bare string) error {
	files, err := readFiles(dir)
	if err != nil {
		return err
	}
	for _, f := range files {
		name, action, found := strings.Cut(f.name, ".")
		if !found {
			action = bare
		}
		e.apply(name, action, f.content, delimiter(files, name))
	}
	return nil
}

func (e *Env) apply(name, action, value, delim string) {
	old := e.Get(name)
	switch action {
	case "override":
		e.Set(name, value)
	case "default":
		if old == "" {
			e.Set(name, value)
		}
	case "append":
		if old != "" {
			value = old + delim + value
		}
		e.Set(name, value)
	case "prepend":
		if old != "" {
			value += delim + old
		}
		e.Set(name, value)
	}
}

// ApplyUser sets the user's variables, the files of platform/env: path variables go before what is
// there, others take its place.
func (e *Env) ApplyUser(dir string) error {
	files, err := readFiles(dir)
	if err != nil {
		return err
	}
	for _, f := range files {
		if IsPathVar(f.name) {
			e.prependPath(f.name, f.content)
			continue
		}
		e.Set(f.name, f.content)
	}
	return nil
}

type file struct{ name, content string }

func delimiter(files []file, name string) string {
	for _, f := range files {
		if f.name == name+".delim" {
			return f.content
		}
	}
	return ""
}

func readFiles(dir string) ([]file, error) {
	entries, err := os.ReadDir(dir)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	var files []file
	for _, entry := range entries {
		path := filepath.Join(dir, entry.Name())
		if info, err := os.Stat(path); err != nil || !info.Mode().IsRegular() {
			continue
		}
		content, err := os.ReadFile(path)
		if err != nil {
			return nil, err
		}
		files = append(files, file{entry.Name(), string(content)})
	}
	return files, nil
}
