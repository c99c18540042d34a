package lifecycle

import (
	"errors"
	"fmt"
	"path/filepath"

	"github.com/cupola-paas/cupola/buildpack/launcher"
)

// launchFile is a launch.toml (Buildpack API, Data Format).
type launchFile struct {
	Labels    []Label          `toml:"labels"`
	Processes []processTOML    `toml:"processes"`
	Slices    []launcher.Slice `toml:"slices"`
}

type processTOML struct {
	Type       string   `toml:"type"`
	Command    words    `toml:"command"`
	Args       []string `toml:"args"`
	Direct     bool     `toml:"direct"` // before 0.9
	Default    bool     `toml:"default"`
	WorkingDir string   `toml:"working-dir"`
	ExecEnv    []string `toml:"exec-env"`
}

// words reads a command in both forms: a string before Buildpack API 0.9, a list since.
type words struct {
	list []string
	text bool
}

func (w *words) UnmarshalTOML(value any) error {
	switch v := value.(type) {
	case string:
		w.list, w.text = []string{v}, true
		return nil
	case []any:
		for _, word := range v {
			s, ok := word.(string)
			if !ok {
				return errors.New("command: want strings")
			}
			w.list = append(w.list, s)
		}
		return nil
	}
	return errors.New("command: want a list of strings")
}

func readLaunch(dir, api string) (launchFile, error) {
	var f launchFile
	if err := ReadTOML(filepath.Join(dir, "launch.toml"), &f); err != nil {
		return f, err
	}
	return f, f.check(api)
}

func (f launchFile) check(api string) error {
	types, keys, defaults := map[string]bool{}, map[string]bool{}, 0
	for _, p := range f.Processes {
		if err := p.check(api); err != nil {
			return fmt.Errorf("launch.toml: process type %q: %w", p.Type, err)
		}
		if types[p.Type] {
			return fmt.Errorf("launch.toml: process type %q is there twice", p.Type)
		}
		types[p.Type] = true
		if p.Default {
			defaults++
		}
	}
	if defaults > 1 {
		return errors.New("launch.toml: more than one process type is the default")
	}
	for _, l := range f.Labels {
		if l.Key == "" || keys[l.Key] {
			return fmt.Errorf("launch.toml: label %q is empty or there twice", l.Key)
		}
		keys[l.Key] = true
	}
	return nil
}

func (p processTOML) check(api string) error {
	list := launcher.AtLeast(api, 9)
	switch {
	case !ValidProcessType(p.Type):
		return errors.New("a type has letters, digits, '.', '_' and '-' alone")
	case len(p.Command.list) == 0 || p.Command.list[0] == "":
		return errors.New("it has no command")
	case list && p.Command.text:
		return errors.New("since Buildpack API 0.9 the command is a list")
	case !list && !p.Command.text:
		return errors.New("before Buildpack API 0.9 the command is a string")
	}
	return nil
}

// process is the launcher's form.
func (p processTOML) process(id, api string) launcher.Process {
	return launcher.Process{
		Type: p.Type, Command: p.Command.list, Args: p.Args, Direct: p.Direct || launcher.AtLeast(api, 9),
		WorkingDir: p.WorkingDir, BuildpackID: id, ExecEnv: p.ExecEnv,
	}
}

// addLaunch merges a buildpack's launch.toml: of the same process type, and of the same label, the last
// one counts; a type that is defined again without default is the default no more.
func addLaunch(m *launcher.Metadata, o *Outcome, f launchFile, id, api string) {
	for _, p := range f.Processes {
		put(&m.Processes, p.process(id, api))
		if p.Default {
			m.DefaultProcess = p.Type
		} else if m.DefaultProcess == p.Type {
			m.DefaultProcess = ""
		}
	}
	m.Slices = append(m.Slices, f.Slices...)
	for _, l := range f.Labels {
		putLabel(&o.Labels, l)
	}
}

func put(list *[]launcher.Process, p launcher.Process) {
	for i := range *list {
		if (*list)[i].Type == p.Type {
			(*list)[i] = p
			return
		}
	}
	*list = append(*list, p)
}

func putLabel(list *[]Label, l Label) {
	for i := range *list {
		if (*list)[i].Key == l.Key {
			(*list)[i] = l
			return
		}
	}
	*list = append(*list, l)
}
