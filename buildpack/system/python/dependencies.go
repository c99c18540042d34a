package python

import (
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"sort"
	"strings"

	"github.com/BurntSushi/toml"
	"github.com/Masterminds/semver/v3"

	"github.com/cupola-paas/cupola/buildpack/system/cnb"
)

// dependencies are what to install.
type dependencies struct {
	from     string   // the file that says so
	file     string   // a requirements file of the app; "" when lines are given
	lines    []string // requirements
	pins     []string // exact versions by a lock file, "name==version"
	requires string   // versions of Python that the app asks for
}

func (d *dependencies) empty() bool { return d.file == "" && len(d.lines) == 0 }

// findDependencies reads the first of the files that say what the app depends on.
func findDependencies(c *cnb.Context) (*dependencies, error) {
	switch {
	case c.Has("requirements.txt"):
		return &dependencies{from: "requirements.txt", file: "requirements.txt"}, nil
	case c.Has("pyproject.toml"):
		return fromPyproject(c)
	case c.Has("Pipfile.lock"):
		return fromPipfileLock(c)
	case c.Has("Pipfile"):
		return nil, errors.New("the app has a Pipfile but no Pipfile.lock: run `pipenv lock` and push the lock file too")
	case c.Has("setup.py"):
		return nil, errors.New("the app has a setup.py alone: put what it depends on into requirements.txt or pyproject.toml")
	}
	return &dependencies{}, nil
}

type pyproject struct {
	Project struct {
		Dependencies   []string `toml:"dependencies"`
		RequiresPython string   `toml:"requires-python"`
	} `toml:"project"`
	Tool struct {
		Poetry struct {
			Dependencies map[string]any `toml:"dependencies"`
		} `toml:"poetry"`
	} `toml:"tool"`
}

func fromPyproject(c *cnb.Context) (*dependencies, error) {
	var p pyproject
	if _, err := toml.DecodeFile(c.Path("pyproject.toml"), &p); err != nil {
		return nil, fmt.Errorf("pyproject.toml: %w", err)
	}
	d := &dependencies{from: "pyproject.toml", lines: p.Project.Dependencies, requires: p.Project.RequiresPython}
	for _, lock := range []string{"uv.lock", "poetry.lock"} {
		if !c.Has(lock) {
			continue
		}
		locked, err := readLock(c.Path(lock))
		if err != nil {
			return nil, fmt.Errorf("%s: %w", lock, err)
		}
		d.pins, d.from = locked, "pyproject.toml with "+lock
		break
	}
	if len(d.lines) == 0 && len(p.Tool.Poetry.Dependencies) > 0 {
		return fromPoetry(d, p.Tool.Poetry.Dependencies)
	}
	return d, nil
}

// fromPoetry takes names from Poetry's own table and versions from its lock file.
func fromPoetry(d *dependencies, table map[string]any) (*dependencies, error) {
	if len(d.pins) == 0 {
		return nil, errors.New("pyproject.toml has Poetry's own table of dependencies and there is no poetry.lock: run `poetry lock` and push the lock file too")
	}
	for name, spec := range table {
		if name == "python" {
			continue
		}
		if m, ok := spec.(map[string]any); ok {
			if m["optional"] == true {
				continue
			}
			if m["git"] != nil || m["path"] != nil || m["url"] != nil {
				return nil, fmt.Errorf("the dependency %q comes from elsewhere than a package index: list it in a requirements.txt", name)
			}
			name += extras(m["extras"])
		}
		d.lines = append(d.lines, name)
	}
	sort.Strings(d.lines)
	return d, nil
}

func extras(v any) string {
	list, ok := v.([]any)
	if !ok || len(list) == 0 {
		return ""
	}
	names := make([]string, 0, len(list))
	for _, e := range list {
		names = append(names, fmt.Sprint(e))
	}
	return "[" + strings.Join(names, ",") + "]"
}

// readLock reads the packages of uv.lock and poetry.lock, which are alike in what matters here. Packages that
// are there in several versions, for several platforms, are left to pip.
func readLock(name string) ([]string, error) {
	var lock struct {
		Package []struct {
			Name    string `toml:"name"`
			Version string `toml:"version"`
		} `toml:"package"`
	}
	if _, err := toml.DecodeFile(name, &lock); err != nil {
		return nil, err
	}
	count := map[string]int{}
	for _, p := range lock.Package {
		count[p.Name]++
	}
	var pins []string
	for _, p := range lock.Package {
		if count[p.Name] == 1 && p.Version != "" {
			pins = append(pins, p.Name+"=="+p.Version)
		}
	}
	return pins, nil
}

func fromPipfileLock(c *cnb.Context) (*dependencies, error) {
	text, err := os.ReadFile(c.Path("Pipfile.lock"))
	if err != nil {
		return nil, err
	}
	var lock struct {
		Default map[string]struct {
			Version string   `json:"version"`
			Markers string   `json:"markers"`
			Extras  []string `json:"extras"`
		} `json:"default"`
	}
	if err := json.Unmarshal(text, &lock); err != nil {
		return nil, fmt.Errorf("the Pipfile.lock is not valid JSON: %w", err)
	}
	d := &dependencies{from: "Pipfile.lock"}
	for name, p := range lock.Default {
		if p.Version == "" {
			return nil, fmt.Errorf("the dependency %q in Pipfile.lock has no version: list it in a requirements.txt", name)
		}
		line := name
		if len(p.Extras) > 0 {
			line += "[" + strings.Join(p.Extras, ",") + "]"
		}
		line += p.Version
		if p.Markers != "" {
			line += " ; " + p.Markers
		}
		d.lines = append(d.lines, line)
	}
	sort.Strings(d.lines)
	return d, nil
}

// key changes with all that decides what is installed.
func (d *dependencies) key(c *cnb.Context, text ...string) (string, error) {
	var k cnb.Key
	k.Text(text...)
	k.Text(d.lines...)
	k.Text("pins")
	k.Text(d.pins...)
	files, err := requirementFiles(c, d.file)
	if err != nil {
		return "", err
	}
	for _, f := range append(files, "pip.conf") {
		if err := k.File(c.Path(f)); err != nil {
			return "", err
		}
	}
	entries, err := os.ReadDir(c.Path("vendor"))
	if err != nil && !errors.Is(err, os.ErrNotExist) {
		return "", err
	}
	for _, e := range entries {
		if e.Type().IsRegular() {
			if err := k.File(c.Path("vendor", e.Name())); err != nil {
				return "", err
			}
		}
	}
	return k.Sum(), nil
}

// requirementFiles lists a requirements file and those that it includes.
func requirementFiles(c *cnb.Context, file string) ([]string, error) {
	if file == "" {
		return nil, nil
	}
	seen, queue := map[string]bool{file: true}, []string{file}
	for i := 0; i < len(queue); i++ {
		text, err := os.ReadFile(c.Path(queue[i]))
		if errors.Is(err, os.ErrNotExist) {
			continue // pip says so better
		}
		if err != nil {
			return nil, err
		}
		for _, line := range strings.Split(string(text), "\n") {
			if name := included(line); name != "" && !seen[name] {
				seen[name] = true
				queue = append(queue, name)
			}
		}
	}
	return queue, nil
}

// included is the file that a line of a requirements file includes, or "".
func included(line string) string {
	f := strings.Fields(strings.ReplaceAll(line, "=", " "))
	if len(f) < 2 {
		return ""
	}
	switch f[0] {
	case "-r", "-c", "--requirement", "--constraint":
		return f[1]
	}
	return ""
}

// pipArgs are the arguments that name what to install; the caller calls cleanUp when pip is done.
func (d *dependencies) pipArgs(c *cnb.Context) (args []string, cleanUp func(), err error) {
	if d.file != "" {
		return []string{"-r", c.Path(d.file)}, func() {}, nil
	}
	dir, err := os.MkdirTemp("", "requirements-")
	if err != nil {
		return nil, nil, err
	}
	cleanUp = func() { os.RemoveAll(dir) }
	for _, f := range []struct {
		option, name string
		lines        []string
	}{{"-r", "requirements.txt", d.lines}, {"-c", "constraints.txt", d.pins}} {
		name := dir + "/" + f.name
		if err := os.WriteFile(name, []byte(strings.Join(f.lines, "\n")+"\n"), 0o644); err != nil {
			cleanUp()
			return nil, nil, err
		}
		args = append(args, f.option, name)
	}
	return args, cleanUp, nil
}

// checkPython compares requires-python with the stack's Python.
func checkPython(requires, have string) error {
	if requires == "" {
		return nil
	}
	v, err := semver.NewVersion(have)
	if err != nil {
		return nil // a pre-release of Python: let pip judge
	}
	// "~=3.11" of PEP 440 is ">=3.11, <4"; the rest is written alike.
	expr := strings.ReplaceAll(requires, "==", "=")
	for strings.Contains(expr, "~=") {
		_, rest, _ := strings.Cut(expr, "~=")
		low := strings.TrimSpace(strings.FieldsFunc(rest, func(r rune) bool { return r == ',' })[0])
		parts := strings.Split(low, ".")
		upper := "<4"
		if len(parts) > 2 {
			upper = "~" + strings.Join(parts[:2], ".")
		}
		expr = strings.Replace(expr, "~="+rest[:len(rest)-len(strings.TrimLeft(rest, " "))]+low, ">="+low+", "+upper, 1)
	}
	constraint, err := semver.NewConstraint(expr)
	if err != nil {
		return nil
	}
	if !constraint.Check(v) {
		return fmt.Errorf("pyproject.toml requires Python %s, and the stack has %s: widen requires-python", requires, have)
	}
	return nil
}
