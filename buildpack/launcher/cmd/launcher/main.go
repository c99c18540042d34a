// Command launcher is the entry point of app images: see package launcher. With a plan in its environment it runs
// a process with its sidecars instead: see package supervise.
package main

import (
	"errors"
	"fmt"
	"os"
	"syscall"

	"github.com/cupola-paas/cupola/buildpack/launcher"
	"github.com/cupola-paas/cupola/buildpack/launcher/supervise"
)

func main() {
	code, err := run()
	if err == nil {
		os.Exit(code)
	}
	fmt.Fprintln(os.Stderr, "launcher: "+err.Error())
	code = launcher.CodeLaunch
	if failed := (*launcher.Error)(nil); errors.As(err, &failed) {
		code = failed.Code
	}
	os.Exit(code)
}

// run returns only when the process was not launched, or was supervised and has ended.
func run() (int, error) {
	if plan := os.Getenv(supervise.Variable); plan != "" {
		p, err := supervise.ParsePlan(plan)
		if err != nil {
			return 0, err
		}
		if err := os.Unsetenv(supervise.Variable); err != nil {
			return 0, err
		}
		s := supervise.Supervisor{Launcher: launcher.Path, Env: os.Environ(), Stdout: os.Stdout, Stderr: os.Stderr}
		return s.Run(p)
	}
	l, err := launcher.New(os.Environ(), syscall.Exec)
	if err != nil {
		return 0, err
	}
	return 0, l.Launch(os.Args[0], os.Args[1:])
}
