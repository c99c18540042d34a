// Package system holds our own buildpacks: what they are called, and how they are laid out in a folder for the
// lifecycle. What they do is in the folders below, one each; all of it is one program, cmd/buildpack.
package system

import (
	"bytes"
	"crypto/sha256"
	"embed"
	"encoding/binary"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"sort"
	"strings"

	"github.com/BurntSushi/toml"
)

// API is the Buildpack API that all of them speak.
const API = "0.10"

// Buildpack is one of ours.
type Buildpack struct {
	ID          string // such as "cupola/nodejs"
	Version     string // changes with what the buildpack does
	API         string
	CFName      string // such as "nodejs_buildpack": what `cf buildpacks` lists and -b takes; "" for none
	Description string
}

// sources are what versions are made from.
//
//go:embed binary/*.go cmd/buildpack/*.go cnb/*.go golang/*.go java/*.go nodejs/*.go procfile/*.go python/*.go ruby/*.go staticfile/*.go
var sources embed.FS

// declared are the buildpacks in the order of detection; folder has the source.
var declared = []struct{ name, folder, cfName, description string }{
	{"go", "golang", "go_buildpack", "Go modules, with the toolchain that go.mod asks for"},
	{"java", "java", "java_buildpack", "Runnable JARs, and WARs on Tomcat"},
	{"ruby", "ruby", "ruby_buildpack", "Ruby apps with a Gemfile, on the stack's Ruby"},
	{"nodejs", "nodejs", "nodejs_buildpack", "Node.js apps managed by npm, yarn or pnpm"},
	{"python", "python", "python_buildpack", "Python apps on the stack's Python"},
	{"staticfile", "staticfile", "staticfile_buildpack", "Static files, served by nginx"},
	{"binary", "binary", "binary_buildpack", "Anything executable, with -c or a Procfile"},
	{"procfile", "procfile", "", "Start commands from a Procfile"},
	{executable, "binary", "", "An executable file that nobody named a buildpack for"},
}

// executable is the buildpack that detects what cupola/binary takes unseen.
const executable = "executable"

// Buildpacks lists ours, in the order of detection.
func Buildpacks() []Buildpack {
	list := make([]Buildpack, 0, len(declared))
	for _, d := range declared {
		list = append(list, Buildpack{
			ID: "cupola/" + d.name, Version: version(d.folder), API: API, CFName: d.cfName, Description: d.description,
		})
	}
	return list
}

// CFName is the Cloud Foundry name of a buildpack id that took part in a build, or "" when it has none.
func CFName(id string) string {
	if id == "cupola/"+executable {
		return "binary_buildpack"
	}
	for _, d := range declared {
		if id == "cupola/"+d.name {
			return d.cfName
		}
	}
	return ""
}

// DetectingID is the buildpack that detects apps in place of one that takes them unseen; else the same.
func DetectingID(id string) string {
	if id == "cupola/binary" {
		return "cupola/" + executable
	}
	return id
}

// IsHelper says whether an id is of one of ours that is in no catalogue and only goes with others.
func IsHelper(id string) bool { return id == "cupola/procfile" }

// version is 1.0.N, N from the buildpack's source and what it shares with the others: the specification wants
// three numbers.
func version(folder string) string {
	h := sha256.New()
	for _, dir := range []string{folder, "cnb", "cmd/buildpack"} {
		names, err := fs.Glob(sources, dir+"/*.go")
		if err != nil {
			panic(err) // the pattern is ours
		}
		sort.Strings(names)
		for _, name := range names {
			if strings.HasSuffix(name, "_test.go") {
				continue
			}
			text, err := sources.ReadFile(name)
			if err != nil {
				panic(err) // it was just listed
			}
			fmt.Fprintf(h, "%s %d\n%s", name, len(text), text)
		}
	}
	return fmt.Sprintf("1.0.%d", binary.BigEndian.Uint32(h.Sum(nil))%1e9)
}

// Install lays out all buildpacks below dir: dir/<id, "/" as "_">/<version>/{buildpack.toml, bin/detect, bin/build}
// and dir/order.toml. program is cmd/buildpack, built for the stack; it is there once, under many names.
//
// dir must be new or from an earlier Install: everything in it is removed first.
func Install(dir string, program []byte) error {
	if !bytes.HasPrefix(program, []byte("\x7fELF")) {
		return errors.New("the buildpacks' program is not a Linux program: build it with `make build`")
	}
	if err := os.RemoveAll(dir); err != nil {
		return fmt.Errorf("install buildpacks: %w", err)
	}
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return fmt.Errorf("install buildpacks: %w", err)
	}
	shared := filepath.Join(dir, ".program")
	if err := os.WriteFile(shared, program, 0o755); err != nil {
		return fmt.Errorf("install buildpacks: %w", err)
	}
	for _, b := range Buildpacks() {
		if err := b.install(dir, shared); err != nil {
			return fmt.Errorf("install buildpack %s: %w", b.ID, err)
		}
	}
	if err := os.Remove(shared); err != nil {
		return fmt.Errorf("install buildpacks: %w", err)
	}
	if err := encode(filepath.Join(dir, "order.toml"), order()); err != nil {
		return fmt.Errorf("install the buildpacks' order: %w", err)
	}
	return readable(dir)
}

// readable lets the stack's user read all of it, whatever our umask is.
func readable(dir string) error {
	return filepath.WalkDir(dir, func(name string, d fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		mode := fs.FileMode(0o644)
		if d.IsDir() || filepath.Base(filepath.Dir(name)) == "bin" {
			mode = 0o755
		}
		return os.Chmod(name, mode)
	})
}

// Dir is where Install puts a buildpack, below its dir.
func (b Buildpack) Dir() string {
	return filepath.Join(strings.ReplaceAll(b.ID, "/", "_"), b.Version)
}

func (b Buildpack) install(root, shared string) error {
	dir := filepath.Join(root, b.Dir())
	if err := os.MkdirAll(filepath.Join(dir, "bin"), 0o755); err != nil {
		return err
	}
	for _, phase := range []string{"detect", "build"} {
		if err := os.Link(shared, filepath.Join(dir, "bin", phase)); err != nil {
			return err
		}
	}
	return encode(filepath.Join(dir, "buildpack.toml"), b.descriptor())
}

type descriptor struct {
	API       string    `toml:"api"`
	Buildpack info      `toml:"buildpack"`
	Targets   []targets `toml:"targets"`
}

type info struct {
	ID          string `toml:"id"`
	Version     string `toml:"version"`
	Name        string `toml:"name"`
	Description string `toml:"description"`
}

type targets struct {
	OS string `toml:"os"`
}

func (b Buildpack) descriptor() descriptor {
	return descriptor{
		API:       b.API,
		Buildpack: info{ID: b.ID, Version: b.Version, Name: "Cupola " + strings.TrimPrefix(b.ID, "cupola/"), Description: b.Description},
		Targets:   []targets{{OS: "linux"}},
	}
}

type orderFile struct {
	Order []group `toml:"order"`
}

type group struct {
	Group []groupEntry `toml:"group"`
}

type groupEntry struct {
	ID       string `toml:"id"`
	Version  string `toml:"version"`
	Optional bool   `toml:"optional,omitempty"`
}

// order is a group for each language, the surest sign first: a Go module may have a package.json for its pages, a
// Node.js app hardly a go.mod, and a Ruby app may have one too. What is merely executable comes last. The Procfile comes behind each, so that its
// processes replace those of the language.
func order() orderFile {
	byID := map[string]Buildpack{}
	for _, b := range Buildpacks() {
		byID[strings.TrimPrefix(b.ID, "cupola/")] = b
	}
	entry := func(name string, optional bool) groupEntry {
		return groupEntry{ID: byID[name].ID, Version: byID[name].Version, Optional: optional}
	}
	var f orderFile
	for _, name := range []string{"go", "java", "ruby", "nodejs", "python", "staticfile", executable} {
		f.Order = append(f.Order, group{Group: []groupEntry{entry(name, false), entry("procfile", true)}})
	}
	return f
}

func encode(name string, v any) error {
	f, err := os.Create(name)
	if err != nil {
		return err
	}
	return errors.Join(toml.NewEncoder(f).Encode(v), f.Close())
}
