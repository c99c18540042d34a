package launcher

import (
	"errors"
	"os"
	"path/filepath"
	"strings"
)

// shells are tried in order. Bash is what the specification names; a busybox image has only sh.
var shells = []string{"/bin/bash", "/usr/bin/bash", "/bin/sh"}

// shell replaces us by one shell that sources the profile scripts, goes to the working directory and
// replaces itself by the command (Platform API, launcher, Execution). The scripts are handed over as
// arguments, so that no name is ever part of the program text.
func (l *Launcher) shell(p Process) error {
	path, err := findShell()
	if err != nil {
		return err
	}
	if err := l.Chdir(l.AppDir); err != nil {
		return err
	}
	if len(p.Command) == 0 || p.Command[0] == "" {
		return errors.New("the command is empty; give one")
	}
	profiles := l.profiles(p.Type)
	command := p.Command[0]
	if len(p.Args) > 0 {
		command = withWords(command)
	}
	// The words of the inner shell: program, command line, name ($0), arguments.
	argv := []string{filepath.Base(path), "-c", program(path, len(profiles), p.WorkingDir != ""), command}
	argv = append(argv, profiles...)
	if p.WorkingDir != "" {
		argv = append(argv, p.WorkingDir)
	}
	argv = append(argv, filepath.Base(path))
	return l.replace(path, append(argv, p.Args...))
}

// withWords makes the command take the shell's arguments as its own.
func withWords(command string) string { return command + ` "$@"` }

// program is the text for the outer shell: $0 is the command line, then come the profile scripts, the
// working directory if there is one, $0 of the inner shell, and the arguments.
func program(shell string, profiles int, workingDir bool) string {
	text := sourcing(profiles)
	if workingDir {
		text += "cd \"$1\" || exit 82; shift\n"
	}
	return text + "exec " + shell + ` -c "$0" "$@"`
}

// sourcing is the text that sources the scripts that are the first arguments.
func sourcing(scripts int) string {
	var b strings.Builder
	for range scripts {
		// The script's name leaves the arguments before it is sourced: a script sees those that follow.
		b.WriteString("CNB_PROFILE_=$1; shift; . \"$CNB_PROFILE_\"\n")
	}
	b.WriteString("unset CNB_PROFILE_\n")
	return b.String()
}

func findShell() (string, error) {
	for _, path := range shells {
		if executable(path) {
			return path, nil
		}
	}
	return "", errors.New("the image has no shell; give the command after -- to run it directly")
}

// sourced starts a program after the scripts that an app has for Cloud Foundry, which sources them before whatever it
// starts; the specification knows them for commands of a shell only. The program is looked up afterwards, as the
// scripts may change PATH.
func (l *Launcher) sourced(scripts, argv []string) error {
	shell, err := findShell()
	if err != nil {
		return err
	}
	text := sourcing(len(scripts)) + `exec "$@"`
	words := append([]string{filepath.Base(shell), "-c", text, filepath.Base(shell)}, scripts...)
	return l.replace(shell, append(words, argv...))
}

// profiles lists the scripts to source: profile.d of the layers, of the process type, then those of the app.
func (l *Launcher) profiles(processType string) []string {
	var scripts []string
	dirs := []string{"profile.d"}
	if processType != "" {
		dirs = append(dirs, filepath.Join("profile.d", processType))
	}
	for _, dir := range dirs {
		for _, layers := range l.layers() {
			for _, layer := range layers {
				scripts = append(scripts, regular(filepath.Join(layer, dir), "")...)
			}
		}
	}
	return append(scripts, l.appProfiles()...)
}

// appProfiles are the scripts of the app as Cloud Foundry has them, in its order: those that classic buildpacks put
// beside the app, .profile.d, .profile.
func (l *Launcher) appProfiles() []string {
	scripts := regular(filepath.Join(filepath.Dir(l.AppDir), "profile.d"), "")
	scripts = append(scripts, regular(filepath.Join(l.AppDir, ".profile.d"), ".sh")...)
	if path := filepath.Join(l.AppDir, ".profile"); isFile(path) {
		scripts = append(scripts, path)
	}
	return scripts
}

// regular returns the files of dir, sorted by name, that end in suffix.
func regular(dir, suffix string) []string {
	var files []string
	entries, _ := os.ReadDir(dir)
	for _, e := range entries {
		if path := filepath.Join(dir, e.Name()); isFile(path) && strings.HasSuffix(path, suffix) {
			files = append(files, path)
		}
	}
	return files
}

func isFile(path string) bool {
	info, err := os.Stat(path)
	return err == nil && info.Mode().IsRegular()
}
