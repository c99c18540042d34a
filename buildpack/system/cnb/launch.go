package cnb

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"strings"
)

// Launch is what a buildpack gives to start.
type Launch struct {
	Processes []Process `toml:"processes"`
	Labels    []Label   `toml:"labels"`
}

// Process is a process type of the image.
type Process struct {
	Type    string   `toml:"type"`
	Command []string `toml:"command"`
	Args    []string `toml:"args,omitempty"`
	Default bool     `toml:"default"`
}

// Label is put on the image.
type Label struct {
	Key   string `toml:"key"`
	Value string `toml:"value"`
}

// Web is a Launch of one web process.
func Web(command ...string) *Launch {
	return &Launch{Processes: []Process{{Type: "web", Command: command, Default: true}}}
}

// Set adds a process or replaces the one of its type.
func (l *Launch) Set(p Process) {
	for i := range l.Processes {
		if l.Processes[i].Type == p.Type {
			l.Processes[i] = p
			return
		}
	}
	l.Processes = append(l.Processes, p)
}

func (l *Launch) write(c *Context) error {
	if len(l.Processes)+len(l.Labels) == 0 {
		return nil
	}
	return writeTOML(filepath.Join(c.LayersDir, "launch.toml"), l)
}

// addProcfile lets the app's Procfile have the last word, whichever buildpack built it.
func (l *Launch) addProcfile(c *Context) error {
	procs, err := Procfile(c)
	if err != nil {
		return err
	}
	for _, p := range procs {
		l.Set(p)
	}
	return nil
}

var procfileLine = regexp.MustCompile(`^([A-Za-z0-9_-]+):\s*(.+)$`)

// Procfile reads the app's Procfile; there are no processes when the app has none.
func Procfile(c *Context) ([]Process, error) {
	b, err := os.ReadFile(c.Path("Procfile"))
	if errors.Is(err, os.ErrNotExist) {
		return nil, nil
	}
	if err != nil {
		return nil, fmt.Errorf("read the Procfile: %w", err)
	}
	return ParseProcfile(string(b))
}

// ParseProcfile reads lines of "type: command". Empty lines and those that begin with # are skipped.
func ParseProcfile(text string) ([]Process, error) {
	var l Launch
	text = strings.TrimPrefix(text, "\ufeff")
	for i, line := range strings.Split(text, "\n") {
		line = strings.TrimSpace(line)
		if line == "" || strings.HasPrefix(line, "#") {
			continue
		}
		m := procfileLine.FindStringSubmatch(line)
		if m == nil {
			return nil, fmt.Errorf("Procfile line %d is not of the form \"type: command\", such as \"web: ./server\": %q", i+1, line)
		}
		l.Set(Process{Type: m[1], Command: Command(m[2]), Default: m[1] == "web"})
	}
	return l.Processes, nil
}

// shellSigns are what only a shell understands. A lone word such as cd or export does too, but as the first
// one.
const shellSigns = "$`\"'\\|&;<>()*?[]{}~#!=\n"

// compoundSigns make a command line more than one program, so that exec can't be put before it.
const compoundSigns = "|&;()`{}\n"

var builtins = map[string]bool{
	"cd": true, "export": true, "source": true, ".": true, "set": true, "eval": true, "exec": true, "if": true,
	"for": true, "while": true, "until": true, "case": true, "test": true, "trap": true, "ulimit": true, "umask": true,
	"echo": true, "printf": true, "true": true, "false": true, "wait": true, "function": true, "time": true, "command": true,
}

// Command turns a line that a person typed into a command. A plain one is started directly; one that needs a
// shell replaces the shell where that can be, so that the stop signal reaches the app itself.
func Command(line string) []string {
	words := strings.Fields(line)
	if len(words) == 0 {
		return nil
	}
	plain := !strings.ContainsAny(line, shellSigns)
	switch {
	case plain && !builtins[words[0]]:
		return words
	case builtins[words[0]] || strings.ContainsAny(line, compoundSigns) || strings.Contains(words[0], "="):
		return []string{"bash", "-c", line}
	default:
		return []string{"bash", "-c", "exec " + line}
	}
}
