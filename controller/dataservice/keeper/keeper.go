// Package keeper is the first program in the container of a data service: it makes ready what the server needs (its
// data folder, private copies of its key) by steps that a catalogue file names, and then becomes the server. There is
// no shell in it, and it imports nothing of ours.
package keeper

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
)

// Where the plan and the program itself lie in the container.
const (
	PlanFile = "/etc/cupola-service/plan.json"
	Path     = "/cupola/keeper"
)

// Plan is what to do before the server runs, and the server.
type Plan struct {
	Steps []Step            `json:"steps,omitempty" yaml:"steps"`
	Exec  []string          `json:"exec" yaml:"exec"` // the server, with its arguments
	Env   map[string]string `json:"env,omitempty" yaml:"env"`
}

// Step is one thing to do: exactly one of Run, Copy, Tree, Rename, Mkdir and Remove. Steps run in their order at each
// start, so each must do no harm when it is repeated.
type Step struct {
	Unless string   `json:"unless,omitempty" yaml:"unless"` // a path; when it is there the step is passed over
	If     string   `json:"if,omitempty" yaml:"if"`         // a path; when it is not there the step is passed over
	Run    []string `json:"run,omitempty" yaml:"run"`       // a program with its arguments
	Copy   string   `json:"copy,omitempty" yaml:"copy"`     // a file, to To
	Tree   string   `json:"tree,omitempty" yaml:"tree"`     // a folder with all that is in it, to To, which is not there yet
	Rename string   `json:"rename,omitempty" yaml:"rename"` // a file or folder, to To; what is in it is on the disk before
	Mkdir  string   `json:"mkdir,omitempty" yaml:"mkdir"`
	Remove string   `json:"remove,omitempty" yaml:"remove"` // with all that is in it
	To     string   `json:"to,omitempty" yaml:"to"`
	Mode   string   `json:"mode,omitempty" yaml:"mode"` // octal; of Copy (0600) and Mkdir (0700)
}

// Check says what is wrong with a plan.
func (p Plan) Check() error {
	if len(p.Exec) == 0 {
		return errors.New("exec: name the server to run")
	}
	for i, s := range p.Steps {
		if err := s.check(); err != nil {
			return fmt.Errorf("steps[%d]: %w", i, err)
		}
	}
	return nil
}

func (s Step) check() error {
	n := 0
	for _, set := range []bool{len(s.Run) > 0, s.Copy != "", s.Tree != "", s.Rename != "", s.Mkdir != "", s.Remove != ""} {
		if set {
			n++
		}
	}
	if n != 1 {
		return errors.New("name exactly one of run, copy, tree, rename, mkdir and remove")
	}
	if (s.Copy != "" || s.Tree != "" || s.Rename != "") == (s.To == "") {
		return errors.New("to goes with copy, tree and rename, and they need it")
	}
	_, err := s.mode(0)
	return err
}

func (s Step) mode(standard os.FileMode) (os.FileMode, error) {
	if s.Mode == "" {
		return standard, nil
	}
	n, err := strconv.ParseUint(s.Mode, 8, 9)
	if err != nil {
		return 0, fmt.Errorf("mode %q: write it as 0600", s.Mode)
	}
	return os.FileMode(n), nil
}

// Prepare does the steps; what programs print goes to out.
func (p Plan) Prepare(out io.Writer) error {
	for i, s := range p.Steps {
		if s.Unless != "" {
			if _, err := os.Lstat(s.Unless); err == nil {
				continue
			}
		}
		if s.If != "" {
			if _, err := os.Lstat(s.If); errors.Is(err, os.ErrNotExist) {
				continue
			}
		}
		if err := p.do(s, out); err != nil {
			return fmt.Errorf("step %d: %w", i, err)
		}
	}
	return nil
}

func (p Plan) do(s Step, out io.Writer) error {
	switch {
	case len(s.Run) > 0:
		cmd := exec.Command(s.Run[0], s.Run[1:]...)
		cmd.Env, cmd.Stdout, cmd.Stderr = p.Environ(), out, out
		if err := cmd.Run(); err != nil {
			return fmt.Errorf("%s: %w", s.Run[0], err)
		}
		return nil
	case s.Copy != "":
		return s.copyFile()
	case s.Tree != "":
		return copyTree(s.Tree, s.To)
	case s.Rename != "":
		syscall.Sync() // a folder that took long to make is whole when it has its name
		return os.Rename(s.Rename, s.To)
	case s.Mkdir != "":
		mode, err := s.mode(0o700)
		if err != nil {
			return err
		}
		return os.MkdirAll(s.Mkdir, mode)
	}
	return os.RemoveAll(s.Remove)
}

// copyFile replaces the target at a stroke, so that a server that reloads sees the old or the new.
func (s Step) copyFile() error {
	mode, err := s.mode(0o600)
	if err != nil {
		return err
	}
	content, err := os.ReadFile(s.Copy)
	if err != nil {
		return err
	}
	if err := os.MkdirAll(filepath.Dir(s.To), 0o700); err != nil {
		return err
	}
	fresh := s.To + ".new"
	if err := os.Remove(fresh); err != nil && !errors.Is(err, os.ErrNotExist) {
		return err
	}
	if err := os.WriteFile(fresh, content, mode); err != nil {
		return err
	}
	if err := os.Chmod(fresh, mode); err != nil { // whatever the umask is
		return err
	}
	return os.Rename(fresh, s.To)
}

// copyTree copies folders and plain files, with their modes, as the user that the container has.
func copyTree(from, to string) error {
	return filepath.WalkDir(from, func(path string, e os.DirEntry, err error) error {
		if err != nil {
			return err
		}
		info, err := e.Info()
		if err != nil {
			return err
		}
		at := filepath.Join(to, strings.TrimPrefix(path, from))
		switch {
		case e.IsDir():
			return os.Mkdir(at, info.Mode().Perm())
		case !info.Mode().IsRegular():
			return fmt.Errorf("%s is neither a folder nor a plain file", path)
		}
		in, err := os.Open(path)
		if err != nil {
			return err
		}
		defer in.Close()
		out, err := os.OpenFile(at, os.O_CREATE|os.O_EXCL|os.O_WRONLY, info.Mode().Perm())
		if err != nil {
			return err
		}
		_, err = io.Copy(out, in)
		return errors.Join(err, out.Close())
	})
}

// Environ is the container's environment with the plan's.
func (p Plan) Environ() []string {
	var env []string
	for _, kv := range os.Environ() {
		name, _, _ := strings.Cut(kv, "=")
		if _, ours := p.Env[name]; !ours {
			env = append(env, kv)
		}
	}
	for k, v := range p.Env {
		env = append(env, k+"="+v)
	}
	return env
}

// Read reads the plan of this container. A word that it does not know is an error: a step whose condition was passed over could
// remove what it is to keep.
func Read(file string) (Plan, error) {
	var p Plan
	text, err := os.ReadFile(file)
	if err != nil {
		return p, err
	}
	d := json.NewDecoder(bytes.NewReader(text))
	d.DisallowUnknownFields()
	if err := d.Decode(&p); err != nil {
		return p, fmt.Errorf("%s: %w", file, err)
	}
	return p, p.Check()
}

// Become replaces this process by the server.
func (p Plan) Become() error { return replaceBy(p.Exec, p.Environ()) }

// replaceBy replaces this process by a program, which is looked for where it has no path.
func replaceBy(args, env []string) error {
	program := args[0]
	if !strings.Contains(program, "/") {
		found, err := exec.LookPath(program)
		if err != nil {
			return err
		}
		program = found
	}
	return fmt.Errorf("%s: %w", program, syscall.Exec(program, args, env))
}
