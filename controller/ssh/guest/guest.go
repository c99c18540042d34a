// Package guest is the part of the SSH server that runs inside an instance: as the instance's user, with its
// environment. It becomes a shell or a command the way the image starts its processes, through its launcher
// where it has one, so that profile scripts are sourced; or it serves sftp.
package guest

import (
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"syscall"

	"github.com/pkg/sftp"
)

const (
	launcher = "/cnb/lifecycle/launcher"
	// vcapHome is where sessions begin in images that have the app in vcapApp, as in Cloud Foundry.
	vcapHome = "/home/vcap"
	vcapApp  = "/home/vcap/app"
)

// planVariable tells the launcher to start the process of the instance and its sidecars, whatever it was called with.
const planVariable = "CUPOLA_SUPERVISE"

// shells are tried in order.
var shells = []string{"/bin/bash", "/usr/bin/bash", "/bin/sh"}

// Run does what args (without the program's name) say. It returns only when it serves sftp, or with an error:
//
//	shell                  a shell
//	exec COMMAND           COMMAND, run by a shell
//	in FOLDER PROGRAM ...  PROGRAM with its arguments in FOLDER; the launcher comes back to us with it
//	sftp                   the sftp server, on standard input and output
func Run(args []string) error {
	if err := os.Unsetenv(planVariable); err != nil {
		return err // else the launcher would start the app a second time
	}
	switch {
	case len(args) == 1 && args[0] == "shell":
		return shell()
	case len(args) == 2 && args[0] == "exec":
		return shell("-c", args[1])
	case len(args) >= 3 && args[0] == "in":
		if err := os.Chdir(args[1]); err != nil {
			return err
		}
		return replace(args[2], args[3:]...)
	case len(args) == 1 && args[0] == "sftp":
		return serveFiles()
	}
	return fmt.Errorf("%q is nothing to do", args)
}

// shell becomes the image's shell.
func shell(args ...string) error {
	path := find(shells)
	if path == "" {
		return errors.New("the image has no shell (bash or sh)")
	}
	if find([]string{launcher}) == "" {
		return replace(path, args...)
	}
	words := append([]string{path}, args...)
	if os.Getenv("CNB_APP_DIR") == vcapApp {
		self, err := os.Executable()
		if err != nil {
			return err
		}
		words = append([]string{self, "in", vcapHome}, words...)
	}
	return replace(launcher, words...)
}

// find returns the first that can be executed.
func find(paths []string) string {
	for _, p := range paths {
		if info, err := os.Stat(p); err == nil && info.Mode().IsRegular() && info.Mode().Perm()&0o111 != 0 {
			return p
		}
	}
	return ""
}

// replace replaces us by another program; it returns an error only.
func replace(path string, args ...string) error {
	argv := append([]string{filepath.Base(path)}, args...)
	return fmt.Errorf("start %s: %w", path, syscall.Exec(path, argv, os.Environ()))
}

// serveFiles serves sftp until the client ends it.
func serveFiles() error {
	home := os.Getenv("HOME")
	if os.Getenv("CNB_APP_DIR") == vcapApp {
		home = vcapHome
	}
	server, err := sftp.NewServer(stdio{}, sftp.WithServerWorkingDirectory(home))
	if err != nil {
		return err
	}
	if err := server.Serve(); err != nil && !errors.Is(err, io.EOF) {
		return err
	}
	return nil
}

// stdio is standard input and output as one stream.
type stdio struct{}

func (stdio) Read(p []byte) (int, error)  { return os.Stdin.Read(p) }
func (stdio) Write(p []byte) (int, error) { return os.Stdout.Write(p) }
func (stdio) Close() error                { return errors.Join(os.Stdin.Close(), os.Stdout.Close()) }
