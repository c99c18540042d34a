// Package launcher starts a process inside an app image: it layers the environment that buildpacks left,
// runs exec.d programs, sources profile scripts where a shell is used and replaces itself by the process
// (Platform API, launcher). It reads the image's files and its own arguments, nothing else.
package launcher

import (
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"

	"github.com/BurntSushi/toml"
)

// Where things lie in an app image.
const (
	Path         = "/cnb/lifecycle/launcher"
	ProcessDir   = "/cnb/process"
	MetadataPath = "config/metadata.toml" // below the layers folder
)

// DefaultExecEnv is the execution environment when CNB_EXEC_ENV is not set.
const DefaultExecEnv = "production"

// Metadata is config/metadata.toml: what the build tells the launcher.
type Metadata struct {
	DefaultProcess string      `toml:"buildpack-default-process-type,omitempty"`
	Buildpacks     []Buildpack `toml:"buildpacks"`
	Processes      []Process   `toml:"processes"`
	Slices         []Slice     `toml:"slices,omitempty"`
}

// Buildpack is one that took part, in order of build.
type Buildpack struct {
	ID       string `toml:"id" json:"id"`
	Version  string `toml:"version" json:"version"`
	API      string `toml:"api" json:"api,omitempty"`
	Homepage string `toml:"homepage,omitempty" json:"homepage,omitempty"`
	Optional bool   `toml:"optional,omitempty" json:"-"`
}

// Process is a process type. Command has one element, a line for the shell, unless Direct.
type Process struct {
	Type        string   `toml:"type" json:"type"`
	Command     []string `toml:"command" json:"command"`
	Args        []string `toml:"args" json:"args"`
	Direct      bool     `toml:"direct" json:"direct"`
	WorkingDir  string   `toml:"working-dir,omitempty" json:"working-dir,omitempty"`
	BuildpackID string   `toml:"buildpack-id,omitempty" json:"buildpackID"`
	ExecEnv     []string `toml:"exec-env,omitempty" json:"exec-env,omitempty"`
}

// Slice is a set of globs whose files get a layer of their own.
type Slice struct {
	Paths []string `toml:"paths"`
}

// Eligible says whether the process may run in an execution environment.
func (p Process) Eligible(execEnv string) bool { return EligibleIn(p.ExecEnv, execEnv) }

// EligibleIn says whether a list of execution environments admits one; an empty list admits all.
func EligibleIn(list []string, execEnv string) bool {
	return len(list) == 0 || slices.Contains(list, "*") || slices.Contains(list, execEnv)
}

// ReadMetadata reads config/metadata.toml of a layers folder.
func ReadMetadata(layersDir string) (Metadata, error) {
	var m Metadata
	path := filepath.Join(layersDir, MetadataPath)
	if _, err := toml.DecodeFile(path, &m); err != nil && !os.IsNotExist(err) {
		return m, fmt.Errorf("read %s: %w", path, err)
	}
	return m, nil
}

// EscapeID is the folder name of a buildpack's id.
func EscapeID(id string) string { return strings.ReplaceAll(id, "/", "_") }

// AtLeast says whether a Buildpack API version such as "0.9" is at least 0.minor.
func AtLeast(api string, minor int) bool {
	major, rest, _ := strings.Cut(api, ".")
	if n, err := strconv.Atoi(major); err != nil || n > 0 {
		return err == nil
	}
	n, err := strconv.Atoi(rest)
	return err == nil && n >= minor
}

// CommandLine is the process as a person would type it.
func (p Process) CommandLine() string {
	words := make([]string, 0, len(p.Command)+len(p.Args))
	for _, w := range p.Command {
		if p.Direct {
			w = quote(w)
		}
		words = append(words, w)
	}
	for _, w := range p.Args {
		words = append(words, quote(w))
	}
	return strings.Join(words, " ")
}

// quote makes a word that a POSIX shell reads as it is.
func quote(word string) string {
	plain := func(r rune) bool {
		return r >= 'a' && r <= 'z' || r >= 'A' && r <= 'Z' || r >= '0' && r <= '9' || strings.ContainsRune("%+,-./:=@_^", r)
	}
	if word != "" && strings.IndexFunc(word, func(r rune) bool { return !plain(r) }) < 0 {
		return word
	}
	return "'" + strings.ReplaceAll(word, "'", `'\''`) + "'"
}
