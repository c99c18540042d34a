package launcher

import (
	"bytes"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"

	"github.com/BurntSushi/toml"
)

// maxExecDBytes bounds what one exec.d program may print.
const maxExecDBytes = 1 << 20

// execD runs the exec.d programs of all layers, then those of the process type, and sets the variables
// that they print to file descriptor 3 (Platform API, launcher, Execution; Buildpack API, Exec.d).
func (l *Launcher) execD(processType string) error {
	dirs := []string{"exec.d"}
	if processType != "" {
		dirs = append(dirs, filepath.Join("exec.d", processType))
	}
	for _, dir := range dirs {
		for _, layers := range l.layers() {
			for _, layer := range layers {
				if err := l.execDir(filepath.Join(layer, dir)); err != nil {
					return err
				}
			}
		}
	}
	return nil
}

func (l *Launcher) execDir(dir string) error {
	entries, _ := os.ReadDir(dir)
	for _, e := range entries {
		path := filepath.Join(dir, e.Name())
		if info, err := os.Stat(path); err != nil || !info.Mode().IsRegular() {
			continue
		}
		if err := l.execFile(path); err != nil {
			return fmt.Errorf("exec.d %s: %w", path, err)
		}
	}
	return nil
}

func (l *Launcher) execFile(path string) error {
	r, w, err := os.Pipe()
	if err != nil {
		return err
	}
	defer r.Close()
	cmd := exec.Command(path)
	cmd.Dir, cmd.Env = l.AppDir, l.Env.List()
	cmd.Stdin, cmd.Stdout, cmd.Stderr = os.Stdin, os.Stdout, os.Stderr
	cmd.ExtraFiles = []*os.File{w} // becomes file descriptor 3
	if err := cmd.Start(); err != nil {
		w.Close()
		return err
	}
	w.Close()
	output, readErr := io.ReadAll(io.LimitReader(r, maxExecDBytes+1))
	r.Close() // a program that prints on gets EPIPE instead of blocking for ever
	if err := cmd.Wait(); err != nil {
		return err
	}
	if readErr != nil {
		return readErr
	}
	return l.setOutput(output)
}

func (l *Launcher) setOutput(output []byte) error {
	if len(output) > maxExecDBytes {
		return fmt.Errorf("prints more than %d bytes to file descriptor 3", maxExecDBytes)
	}
	vars := map[string]string{}
	if _, err := toml.NewDecoder(bytes.NewReader(output)).Decode(&vars); err != nil {
		return fmt.Errorf("file descriptor 3: want NAME = \"value\" lines: %w", err)
	}
	for name, value := range vars {
		l.Env.Set(name, value)
	}
	return nil
}
