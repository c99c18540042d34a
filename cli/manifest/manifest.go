// Package manifest reads Cloud Foundry app manifests (manifest.yml) on the client's side.
//
// It does what the API leaves to clients: it finds the file, puts variables in, resolves YAML anchors
// and merge keys, turns `path` into a folder on this machine, lets flags override, and checks what can
// be checked before anything is made. Every complaint names file, line and column. What it hands to
// the API is plain YAML without anchors and without `path`.
package manifest

import (
	"bytes"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"

	"gopkg.in/yaml.v3"
)

// MaxBytes is the largest manifest that the API takes (CAPI v3, apply_manifest) and that Load reads.
const MaxBytes = 1 << 20

// MaxNameLength is the longest name of an app, in characters.
const MaxNameLength = 255

// Error is a complaint about one place in a manifest.
type Error struct {
	File         string
	Line, Column int // from 1; 0: not known
	Problem      string
}

func (e *Error) Error() string {
	switch {
	case e.Line == 0:
		return fmt.Sprintf("%s: %s", e.File, e.Problem)
	default:
		return fmt.Sprintf("%s:%d:%d: %s", e.File, e.Line, e.Column, e.Problem)
	}
}

// ErrNotFound is returned by Locate when a folder has no manifest.
var ErrNotFound = errors.New("no manifest.yml here")

// Manifest is a manifest whose variables and anchors are resolved.
type Manifest struct {
	File     string // as shown to people; empty when there is no file
	Apps     []*App
	Warnings []*Error // what was ignored, and is probably a slip

	version *yaml.Node
}

// App is one entry of `applications`.
type App struct {
	Name string
	// Path is the folder or zip with the source, absolute; empty when the manifest names none.
	Path string

	node *yaml.Node // the mapping, without `path`
	file string
}

// Locate finds the manifest: path itself, or manifest.yml or manifest.yaml in the folder path.
// It returns ErrNotFound when the folder has neither.
func Locate(path string) (string, error) {
	info, err := os.Stat(path)
	if errors.Is(err, os.ErrNotExist) {
		return "", fmt.Errorf("manifest %s does not exist: check the path given with -f", path)
	}
	if err != nil {
		return "", err
	}
	if !info.IsDir() {
		return path, nil
	}
	for _, name := range []string{"manifest.yml", "manifest.yaml"} {
		candidate := filepath.Join(path, name)
		if info, err := os.Stat(candidate); err == nil && !info.IsDir() {
			return candidate, nil
		}
	}
	return "", ErrNotFound
}

// Load reads and checks the manifest at file. Paths in it are relative to its folder.
func Load(file string, vars Variables) (*Manifest, error) {
	data, err := readLimited(file)
	if err != nil {
		return nil, err
	}
	m, err := Parse(file, data, vars)
	if err != nil {
		return nil, err
	}
	dir, err := filepath.Abs(filepath.Dir(file))
	if err != nil {
		return nil, err
	}
	for _, app := range m.Apps {
		if app.Path != "" && !filepath.IsAbs(app.Path) {
			app.Path = filepath.Join(dir, app.Path)
		}
	}
	return m, nil
}

func readLimited(file string) ([]byte, error) {
	info, err := os.Stat(file)
	if err != nil {
		return nil, fmt.Errorf("read %s: %w", file, errors.Unwrap(err))
	}
	if info.Size() > MaxBytes {
		return nil, &Error{File: file, Problem: "the manifest is larger than 1 MB: split it"}
	}
	data, err := os.ReadFile(file)
	if err != nil {
		return nil, fmt.Errorf("read %s: %w", file, errors.Unwrap(err))
	}
	return data, nil
}

// Parse checks data as the manifest that people know as file. It reads no other file.
func Parse(file string, data []byte, vars Variables) (*Manifest, error) {
	if len(data) > MaxBytes {
		return nil, &Error{File: file, Problem: "the manifest is larger than 1 MB: split it"}
	}
	root, err := parseYAML(file, data)
	if err != nil {
		return nil, err
	}
	r := resolver{file: file, vars: vars, open: map[*yaml.Node]bool{}}
	if root, err = r.resolve(root, 0); err != nil {
		return nil, err
	}
	if err := r.missingVariables(); err != nil {
		return nil, err
	}
	return build(file, root)
}

// ForApp is the manifest that stands in where there is no file: one app with a default route.
func ForApp(name string) *Manifest {
	app := &App{Name: name, node: &yaml.Node{Kind: yaml.MappingNode, Tag: "!!map"}, file: "manifest"}
	app.set("name", scalar(name))
	return &Manifest{Apps: []*App{app}}
}

func build(file string, root *yaml.Node) (*Manifest, error) {
	c := checker{file: file}
	if root.Kind != yaml.MappingNode {
		return nil, c.errorf(root, "a manifest is a mapping with the key applications")
	}
	m := &Manifest{File: file, version: lookup(root, "version")}
	apps := lookup(root, "applications")
	if apps == nil {
		return nil, c.errorf(root, "the key applications is missing: list the apps to push under it")
	}
	if apps.Kind != yaml.SequenceNode {
		return nil, c.errorf(apps, "applications must be a list: begin each app with a dash")
	}
	if len(apps.Content) == 0 {
		return nil, c.errorf(apps, "applications is empty: list at least one app")
	}
	for _, node := range apps.Content {
		if err := c.app(node); err != nil {
			return nil, err
		}
		m.Apps = append(m.Apps, newApp(file, node))
	}
	m.Warnings = c.warnings
	return m, c.uniqueNames(apps)
}

func newApp(file string, node *yaml.Node) *App {
	app := &App{node: node, file: file}
	if name := lookup(node, "name"); name != nil {
		app.Name = name.Value
	}
	if path := lookup(node, "path"); path != nil {
		app.Path = path.Value
		remove(node, "path")
	}
	return app
}

// Select keeps the app called name. When the manifest has one app only, it is that one under a new
// name, as `push OTHER-NAME` means it.
func (m *Manifest) Select(name string) error {
	for _, app := range m.Apps {
		if app.Name == name {
			m.Apps = []*App{app}
			return nil
		}
	}
	if len(m.Apps) != 1 {
		return &Error{File: m.File, Problem: fmt.Sprintf("there is no app %q, only %s", name, m.names())}
	}
	if err := CheckName(name); err != nil {
		return err
	}
	m.Apps[0].Name = name
	m.Apps[0].set("name", scalar(name))
	return nil
}

func (m *Manifest) names() string {
	var names []string
	for _, app := range m.Apps {
		names = append(names, fmt.Sprintf("%q", app.Name))
	}
	return strings.Join(names, ", ")
}

// YAML is the manifest as the API takes it.
func (m *Manifest) YAML() ([]byte, error) {
	list := &yaml.Node{Kind: yaml.SequenceNode, Tag: "!!seq"}
	for _, app := range m.Apps {
		list.Content = append(list.Content, app.node)
	}
	root := &yaml.Node{Kind: yaml.MappingNode, Tag: "!!map"}
	if m.version != nil {
		root.Content = append(root.Content, scalar("version"), m.version)
	}
	root.Content = append(root.Content, scalar("applications"), list)
	var out bytes.Buffer
	enc := yaml.NewEncoder(&out)
	enc.SetIndent(2)
	if err := enc.Encode(root); err != nil {
		return nil, fmt.Errorf("write manifest: %w", err)
	}
	return out.Bytes(), enc.Close()
}

// CheckName says what is wrong with name as the name of an app.
func CheckName(name string) error {
	switch {
	case strings.TrimSpace(name) == "":
		return errors.New("the name of the app is empty: give it one")
	case len([]rune(name)) > MaxNameLength:
		return fmt.Errorf("the name of the app has %d characters: use at most %d", len([]rune(name)), MaxNameLength)
	case strings.ContainsFunc(name, func(r rune) bool { return r < ' ' || r == 0x7f }):
		return fmt.Errorf("the name of the app %q contains a control character: remove it", name)
	}
	return nil
}
