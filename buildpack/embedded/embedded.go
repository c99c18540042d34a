// Package embedded carries the small static programs that run inside containers. `make build` puts them
// here before it builds the binary around them.
package embedded

import (
	"embed"
	"fmt"
)

//go:embed all:*
var files embed.FS

// Launcher is the program that starts processes in app images.
func Launcher() ([]byte, error) { return read("launcher") }

// Phase is the program that runs detect and build in the build container.
func Phase() ([]byte, error) { return read("phase") }

// Buildpack is the program that all system buildpacks are.
func Buildpack() ([]byte, error) { return read("buildpack") }

// Guest is the program that serves SSH sessions inside instances.
func Guest() ([]byte, error) { return read("guest") }

// Keeper is the program that starts the servers of data services.
func Keeper() ([]byte, error) { return read("keeper") }

// Objects is the server of the offering "objects".
func Objects() ([]byte, error) { return read("objects") }

func read(name string) ([]byte, error) {
	b, err := files.ReadFile(name)
	if err != nil {
		return nil, fmt.Errorf("the program %q is not in this binary; build it with `make build`", name)
	}
	return b, nil
}
