// Command buildpack is all of our system buildpacks in one program, told apart by the path it is started as:
// .../buildpacks/<id>/<version>/bin/detect or build. Layers carry it too, under the names of the small programs
// that run at launch.
package main

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"

	"github.com/cupola-paas/cupola/buildpack/system/binary"
	"github.com/cupola-paas/cupola/buildpack/system/cnb"
	"github.com/cupola-paas/cupola/buildpack/system/golang"
	"github.com/cupola-paas/cupola/buildpack/system/java"
	"github.com/cupola-paas/cupola/buildpack/system/nodejs"
	"github.com/cupola-paas/cupola/buildpack/system/procfile"
	"github.com/cupola-paas/cupola/buildpack/system/python"
	"github.com/cupola-paas/cupola/buildpack/system/ruby"
	"github.com/cupola-paas/cupola/buildpack/system/staticfile"
)

// buildpacks by the last part of their ids.
var buildpacks = map[string]cnb.Buildpack{
	"go":         golang.Buildpack{},
	"java":       java.Buildpack{},
	"ruby":       ruby.Buildpack{},
	"nodejs":     nodejs.Buildpack{},
	"python":     python.Buildpack{},
	"staticfile": staticfile.Buildpack{},
	"procfile":   procfile.Buildpack{},
	"binary":     binary.Buildpack{Named: true},
	"executable": binary.Buildpack{},
}

func main() {
	os.Exit(run(os.Args))
}

func run(args []string) int {
	switch name := filepath.Base(args[0]); name {
	case nodejs.HeapProgram:
		return atLaunch(nodejs.Heap(os.Getenv, os.NewFile(3, "exec.d output")))
	case java.MemoryProgram:
		return atLaunch(java.Memory(os.Getenv, os.NewFile(3, "exec.d output")))
	case staticfile.ServerProgram:
		return atLaunch(staticfile.Serve(args[1:]))
	case "detect", "build":
		return phase(name, args)
	default:
		fmt.Fprintf(os.Stderr, "start this program as .../buildpacks/<id>/<version>/bin/detect or build, not as %s\n", args[0])
		return 1
	}
}

// phase finds the buildpack by the folder: of its own declaration where the lifecycle names it, else of the
// program.
func phase(name string, args []string) int {
	dir := os.Getenv("CNB_BUILDPACK_DIR")
	if dir == "" {
		dir = filepath.Dir(filepath.Dir(args[0]))
	}
	id := filepath.Base(filepath.Dir(filepath.Clean(dir)))
	id = id[strings.LastIndexAny(id, "_/")+1:]
	b, ok := buildpacks[id]
	if !ok {
		fmt.Fprintf(os.Stderr, "there is no buildpack %q in this program\n", id)
		return 1
	}
	return cnb.Main(b, id, name, args[1:], os.Stdout)
}

func atLaunch(err error) int {
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	return 0
}
