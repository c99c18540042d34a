package classic

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"gopkg.in/yaml.v3"

	"github.com/cupola-paas/cupola/buildpack/lifecycle"
)

// Sidecar is a program beside those of some process types (launch.yml).
type Sidecar struct {
	Name         string   `json:"name"`
	Command      string   `json:"command"`
	ProcessTypes []string `json:"process_types"`
	MemoryMB     int      `json:"memory_mb,omitempty"`
}

// released is what bin/release prints. config_vars have had no effect since Cloud Foundry's Diego.
type released struct {
	ProcessTypes map[string]string `yaml:"default_process_types"`
}

// launchFile is a deps/INDEX/launch.yml.
type launchFile struct {
	Processes []struct {
		Type    string `yaml:"type"`
		Command string `yaml:"command"`
		Limits  struct {
			Memory int `yaml:"memory"`
		} `yaml:"limits"`
		Platforms struct {
			CloudFoundry struct {
				SidecarFor []string `yaml:"sidecar_for"`
			} `yaml:"cloudfoundry"`
		} `yaml:"platforms"`
	} `yaml:"processes"`
}

// launch is all that is to be started.
type launch struct {
	types    map[string]string
	sidecars []Sidecar
}

// release gathers process types: bin/release's, over them those of launch.yml, over these the app's Procfile.
func (r *run) release() error {
	l := launch{types: map[string]string{}}
	if err := r.askRelease(&l); err != nil {
		return &phaseError{ExitRelease, err}
	}
	for _, step := range []func(*launch) error{r.readLaunchFiles, r.readProcfile} {
		if err := step(&l); err != nil {
			return &phaseError{ExitRelease, err}
		}
	}
	if err := l.check(); err != nil {
		return &phaseError{ExitRelease, err}
	}
	if err := r.writeLaunch(l); err != nil {
		return err
	}
	return r.writeReport(l)
}

func (r *run) askRelease(l *launch) error {
	if !r.has("release") {
		return fmt.Errorf("%s has no bin/release, by which it says how apps are started", r.Name)
	}
	var said bounded
	if err := r.script("release", &said, r.app); err != nil {
		return fmt.Errorf("bin/release of %s failed: %w", r.Name, err)
	}
	var out released
	if err := yaml.Unmarshal(said.Bytes(), &out); err != nil {
		return fmt.Errorf("bin/release of %s printed no valid YAML: %w", r.Name, err)
	}
	for kind, command := range out.ProcessTypes {
		l.types[kind] = command
	}
	return nil
}

// readLaunchFiles reads launch.yml of all buildpacks in order.
func (r *run) readLaunchFiles(l *launch) error {
	entries, err := os.ReadDir(r.deps())
	if err != nil {
		return err
	}
	for _, e := range entries {
		var f launchFile
		name := filepath.Join(r.deps(), e.Name(), "launch.yml")
		text, err := lifecycle.ReadFile(name, maxOutput)
		if errors.Is(err, os.ErrNotExist) || !e.IsDir() {
			continue
		}
		if err == nil {
			err = yaml.Unmarshal(text, &f)
		}
		if err != nil {
			return fmt.Errorf("deps/%s/launch.yml: %w", e.Name(), err)
		}
		l.add(f)
	}
	return nil
}

func (l *launch) add(f launchFile) {
	for _, p := range f.Processes {
		beside := p.Platforms.CloudFoundry.SidecarFor
		if len(beside) == 0 {
			l.types[p.Type] = p.Command
			continue
		}
		l.sidecars = append(l.sidecars, Sidecar{Name: p.Type, Command: p.Command, ProcessTypes: beside, MemoryMB: p.Limits.Memory})
	}
}

// readProcfile reads the app's Procfile, which a buildpack may have written.
func (r *run) readProcfile(l *launch) error {
	text, err := lifecycle.ReadFile(filepath.Join(r.app, "Procfile"), maxOutput)
	if errors.Is(err, os.ErrNotExist) {
		return nil
	}
	if err != nil {
		return err
	}
	for i, line := range strings.Split(strings.TrimPrefix(string(text), "\ufeff"), "\n") {
		line = strings.TrimSpace(line)
		if line == "" || strings.HasPrefix(line, "#") || line == "---" {
			continue
		}
		kind, command, ok := strings.Cut(line, ":")
		if !ok {
			return fmt.Errorf("line %d of the Procfile is not of the form \"type: command\"", i+1)
		}
		l.types[strings.TrimSpace(kind)] = unquote(strings.TrimSpace(command))
	}
	return nil
}

// unquote takes off the quotes that YAML, which Procfiles are for Cloud Foundry, allows around a command.
func unquote(command string) string {
	if len(command) < 2 || command[0] != '"' && command[0] != '\'' || command[len(command)-1] != command[0] {
		return command
	}
	var plain string
	if err := yaml.Unmarshal([]byte(command), &plain); err != nil {
		return command
	}
	return plain
}

func (l *launch) check() error {
	for kind, command := range l.types {
		switch {
		case strings.TrimSpace(command) == "":
			delete(l.types, kind)
		case !lifecycle.ValidProcessType(kind):
			return fmt.Errorf("process type %q: a type has letters, digits, '.', '_' and '-' alone", kind)
		}
	}
	for _, s := range l.sidecars {
		if s.Name == "" || strings.TrimSpace(s.Command) == "" {
			return errors.New("launch.yml: a sidecar has no type or no command")
		}
	}
	return nil
}

// process is one of launch.toml (Buildpack API 0.8): the command is a line for a shell.
type process struct {
	Type    string `toml:"type"`
	Command string `toml:"command"`
	Default bool   `toml:"default"`
}

func (r *run) writeLaunch(l launch) error {
	var f struct {
		Processes []process `toml:"processes"`
	}
	for kind, command := range l.types {
		f.Processes = append(f.Processes, process{kind, command, kind == "web"})
	}
	slices.SortFunc(f.Processes, func(a, b process) int { return strings.Compare(a.Type, b.Type) })
	return lifecycle.WriteTOML(filepath.Join(r.layers, "launch.toml"), f)
}
