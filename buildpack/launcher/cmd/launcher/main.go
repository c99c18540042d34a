// Command launcher is the entry point of app images: see package launcher.
package main

import (
	"errors"
	"fmt"
	"os"
	"syscall"

	"github.com/cupola-paas/cupola/buildpack/launcher"
)

func main() {
	l, err := launcher.New(os.Environ(), syscall.Exec)
	if err == nil {
		err = l.Launch(os.Args[0], os.Args[1:])
	}
	fmt.Fprintln(os.Stderr, "launcher: "+err.Error())
	code := launcher.CodeLaunch
	if failed := (*launcher.Error)(nil); errors.As(err, &failed) {
		code = failed.Code
	}
	os.Exit(code)
}
