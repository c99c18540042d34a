// Command phase runs detection and build inside the build container: see package lifecycle. The
// arguments are the buildpacks that the developer chose; without any, the builder's order decides.
// With the argument -hold it does nothing until it is asked to end: it keeps the place of a build in a scheduler.
// Started as bin/detect or bin/build of a classic buildpack it is that: see package classic.
package main

import (
	"os"
	"slices"

	"github.com/cupola-paas/cupola/buildpack/classic"
	"github.com/cupola-paas/cupola/buildpack/lifecycle"
	"github.com/cupola-paas/cupola/buildpack/lifecycle/environ"
)

func main() {
	if classic.Is(os.Args[0]) {
		os.Exit(classic.Main(os.Args[0]))
	}
	if slices.Equal(os.Args[1:], []string{"-hold"}) {
		hold()
		return
	}
	env := environ.FromList(os.Environ())
	path := func(name, otherwise string) string {
		if v := env.Get(name); v != "" {
			return v
		}
		return otherwise
	}
	run := lifecycle.Run{
		AppDir:         path("CNB_APP_DIR", "/workspace"),
		LayersDir:      path("CNB_LAYERS_DIR", "/layers"),
		PlatformDir:    path("CNB_PLATFORM_DIR", "/platform"),
		BuildpacksDir:  path("CNB_BUILDPACKS_DIR", "/cnb/buildpacks"),
		OrderPath:      path("CNB_ORDER_PATH", "/cnb/order.toml"),
		SystemPath:     path("CNB_SYSTEM_PATH", "/cnb/system.toml"),
		BuildConfigDir: path("CNB_BUILD_CONFIG_DIR", "/cnb/build-config"),
		OSRelease:      "/etc/os-release",
		Buildpacks:     os.Args[1:],
		Env:            env,
		Stdout:         os.Stdout,
		Stderr:         os.Stderr,
	}
	os.Exit(run.Do())
}
