package launcher

import (
	"errors"
	"fmt"
	"net"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"github.com/cupola-paas/cupola/buildpack/lifecycle/environ"
)

// Exit codes of the launcher's own failures (Platform API, launcher, Outputs).
const (
	CodeIncompatible = 11
	CodeLaunch       = 82
)

// Error is a failure before the process ran; Code is the exit code.
type Error struct {
	Code int
	Err  error
}

func (e *Error) Error() string { return e.Err.Error() }
func (e *Error) Unwrap() error { return e.Err }

// Launcher starts one process. Exec and Chdir are fields so that a test sees what would run.
type Launcher struct {
	LayersDir, AppDir string
	Metadata          Metadata
	Env               *environ.Env
	// Exec replaces this program by another; syscall.Exec but in tests.
	Exec func(path string, argv, env []string) error
	// Chdir changes the working directory; os.Chdir but in tests.
	Chdir func(dir string) error
}

// New makes a launcher from the environment that the image and the user gave.
func New(environment []string, exec func(string, []string, []string) error) (*Launcher, error) {
	env := environ.FromList(environment)
	l := &Launcher{
		LayersDir: orElse(env.Get("CNB_LAYERS_DIR"), "/layers"),
		AppDir:    orElse(env.Get("CNB_APP_DIR"), "/workspace"),
		Env:       env,
		Exec:      exec,
		Chdir:     os.Chdir,
	}
	if api := env.Get("CNB_PLATFORM_API"); api != "" && !supportedPlatform(api) {
		return nil, &Error{CodeIncompatible, fmt.Errorf("platform API %s is not supported; set CNB_PLATFORM_API to 0.7 ... 0.15", api)}
	}
	var err error
	if l.Metadata, err = ReadMetadata(l.LayersDir); err != nil {
		return nil, &Error{CodeLaunch, err}
	}
	return l, nil
}

func supportedPlatform(api string) bool {
	return AtLeast(api, 7) && !AtLeast(api, 16)
}

func orElse(value, otherwise string) string {
	if value == "" {
		return otherwise
	}
	return value
}

// Launch runs what self (argument zero) and args name. It returns only with an error.
func (l *Launcher) Launch(self string, args []string) error {
	process, err := l.process(self, args)
	if err != nil {
		return &Error{CodeLaunch, err}
	}
	if err := l.launch(process); err != nil {
		return &Error{CodeLaunch, err}
	}
	return nil
}

// process finds the process: a type by the name we were called by, else the user's own command.
func (l *Launcher) process(self string, args []string) (Process, error) {
	name := filepath.Base(self)
	execEnv := orElse(l.Env.Get("CNB_EXEC_ENV"), DefaultExecEnv)
	known := false
	for _, p := range l.Metadata.Processes {
		if p.Type != name {
			continue
		}
		known = true
		if p.Eligible(execEnv) {
			return l.withArgs(p, args), nil
		}
	}
	if known {
		return Process{}, fmt.Errorf("process type %q is not for the execution environment %q; set CNB_EXEC_ENV to one it is for", name, execEnv)
	}
	return userProcess(args)
}

// withArgs adds the user's arguments: in place of the default ones where the buildpack's API has those.
func (l *Launcher) withArgs(p Process, args []string) Process {
	if l.overridable(p) {
		if len(args) > 0 {
			p.Args = args
		}
		return p
	}
	p.Args = append(slices.Clone(p.Args), args...)
	return p
}

func (l *Launcher) overridable(p Process) bool {
	for _, b := range l.Metadata.Buildpacks {
		if b.ID == p.BuildpackID {
			return AtLeast(b.API, 9)
		}
	}
	return false
}

func userProcess(args []string) (Process, error) {
	switch {
	case len(args) == 0:
		return Process{}, errors.New("no process type and no command given; give a command, or start /cnb/process/TYPE")
	case args[0] == "--" && len(args) == 1:
		return Process{}, errors.New("no command after --; give one")
	case args[0] == "--":
		return Process{Command: args[1:2], Args: args[2:], Direct: true}, nil
	}
	return Process{Command: args[:1], Args: args[1:]}, nil
}

func (l *Launcher) launch(p Process) error {
	l.Env.Unset("CNB_APP_DIR", "CNB_LAYERS_DIR", "CNB_PROCESS_TYPE", "CNB_PLATFORM_API")
	l.trimPath()
	l.fillAddress(net.InterfaceAddrs)
	if err := l.layerEnv(p.Type); err != nil {
		return err
	}
	if err := l.execD(p.Type); err != nil {
		return err
	}
	if p.Direct {
		return l.direct(p)
	}
	return l.shell(p)
}

// trimPath removes what the exporter put before the run image's PATH.
func (l *Launcher) trimPath() {
	path := l.Env.Get("PATH")
	for _, dir := range []string{ProcessDir, filepath.Dir(Path)} {
		if path == dir {
			path = ""
		}
		path = strings.TrimPrefix(path, dir+":")
	}
	l.Env.Set("PATH", path)
}

// layers returns the absolute paths of each buildpack's launch layers, ascending, in order of build.
func (l *Launcher) layers() [][]string {
	var all [][]string
	for _, b := range l.Metadata.Buildpacks {
		dir := filepath.Join(l.LayersDir, EscapeID(b.ID))
		entries, _ := os.ReadDir(dir)
		var layers []string
		for _, e := range entries {
			if path := filepath.Join(dir, e.Name()); isDir(path) {
				layers = append(layers, path)
			}
		}
		all = append(all, layers)
	}
	return all
}

func isDir(path string) bool {
	info, err := os.Stat(path)
	return err == nil && info.IsDir()
}

// layerEnv applies layer paths and env files (Buildpack API, Environment).
func (l *Launcher) layerEnv(processType string) error {
	for _, layers := range l.layers() {
		l.Env.AddLayerPaths(layers, environ.LaunchPaths)
		for _, layer := range layers {
			dirs := []string{"env", "env.launch"}
			if processType != "" {
				dirs = append(dirs, filepath.Join("env.launch", processType))
			}
			for _, dir := range dirs {
				if err := l.Env.ApplyDir(filepath.Join(layer, dir), "override"); err != nil {
					return err
				}
			}
		}
	}
	return nil
}

// direct replaces us by the command, found in the PATH of the launch environment.
func (l *Launcher) direct(p Process) error {
	if err := l.Chdir(orElse(p.WorkingDir, l.AppDir)); err != nil {
		return fmt.Errorf("working directory: %w", err)
	}
	if len(p.Command) == 0 || p.Command[0] == "" {
		return fmt.Errorf("process type %q has no command", p.Type)
	}
	argv := append(slices.Clone(p.Command), p.Args...)
	if scripts := l.appProfiles(); len(scripts) > 0 {
		return l.sourced(scripts, argv)
	}
	path, err := l.lookPath(p.Command[0])
	if err != nil {
		return err
	}
	return l.replace(path, argv)
}

func (l *Launcher) replace(path string, argv []string) error {
	if err := l.Exec(path, argv, l.Env.List()); err != nil {
		return fmt.Errorf("start %s: %w", path, err)
	}
	return nil
}

// lookPath finds a program as execvp does, with the PATH of the launch environment.
func (l *Launcher) lookPath(name string) (string, error) {
	if strings.Contains(name, "/") {
		return name, nil
	}
	for _, dir := range filepath.SplitList(l.Env.Get("PATH")) {
		path := filepath.Join(orElse(dir, "."), name)
		if executable(path) {
			return path, nil
		}
	}
	return "", fmt.Errorf("command %q was not found in PATH (%s)", name, l.Env.Get("PATH"))
}

func executable(path string) bool {
	info, err := os.Stat(path)
	return err == nil && info.Mode().IsRegular() && info.Mode().Perm()&0o111 != 0
}
