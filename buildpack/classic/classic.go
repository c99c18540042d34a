// Package classic runs Cloud Foundry's own kind of buildpack, version 2: bin/detect, supply, finalize, compile and
// release. Each takes part in a build as a Cloud Native Buildpack whose two programs are this package (in the phase
// program), so that detection, layers, cache, export and launch are those of any other buildpack, and chains may mix
// both kinds.
//
// What a classic buildpack is promised: the app lies in /home/vcap/app while it is built and when it runs, its
// dependencies in /home/vcap/deps/INDEX, scripts that are sourced at start in /home/vcap/profile.d. The cache folder is
// a cached layer. The buildpack's own files may be read-only.
//
// The host writes a folder with Install for each buildpack of a build, and reads a Report afterwards, which was written
// beside code of strangers and is checked. All else runs inside the build container.
package classic

import (
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"os"
	"path/filepath"
	"strings"

	"github.com/cupola-paas/cupola/buildpack/lifecycle"
)

// Exit codes of bin/build for what went wrong; those of Cloud Foundry's own builder.
const (
	ExitCompile  = 223
	ExitRelease  = 224
	ExitSupply   = 225
	ExitFinalize = 226
	ExitFetch    = 227 // ours: a buildpack by URL that could not be had
)

// api is the Buildpack API of the adapted buildpack: the last whose process commands are lines for a shell, as
// Cloud Foundry's are.
const api = "0.8"

const (
	configFile = "classic.toml"
	idPrefix   = "classic/"
	noVersion  = "0.0.0"
)

// Config is what the host tells the programs of one classic buildpack in one build.
type Config struct {
	Name string `toml:"name"` // in the catalogue, or the URL without a password
	Dir  string `toml:"dir"`  // in the container; empty: fetched from URL
	URL  string `toml:"url"`
	// Index and Width number the folder below deps; Last says that this buildpack has the last word in its chain.
	Index int  `toml:"index"`
	Width int  `toml:"width"`
	Last  bool `toml:"last"`
	// Share puts what the buildpack supplies into the environment of buildpacks of the other kind after it.
	Share bool `toml:"share"`
}

// ID is the id under which a classic buildpack takes part.
func ID(name string) string {
	sum := sha256.Sum256([]byte(name))
	return idPrefix + hex.EncodeToString(sum[:8])
}

// IsID says whether an id is one of ID's.
func IsID(id string) bool { return strings.HasPrefix(id, idPrefix) }

type descriptor struct {
	API       string `toml:"api"`
	Buildpack struct {
		ID      string `toml:"id"`
		Version string `toml:"version"`
		Name    string `toml:"name"`
	} `toml:"buildpack"`
	Stacks []struct {
		ID string `toml:"id"`
	} `toml:"stacks"`
}

// Install writes the buildpack into a folder of buildpacks. program is where the phase program lies in the container.
func Install(buildpacks, program string, c Config) error {
	id := ID(c.Name)
	dir := filepath.Join(buildpacks, strings.ReplaceAll(id, "/", "_"), noVersion)
	if err := os.MkdirAll(filepath.Join(dir, "bin"), 0o755); err != nil {
		return err
	}
	for _, name := range []string{"detect", "build"} {
		if err := os.Symlink(program, filepath.Join(dir, "bin", name)); err != nil {
			return err
		}
	}
	d := descriptor{API: api}
	d.Buildpack.ID, d.Buildpack.Version, d.Buildpack.Name = id, noVersion, c.Name
	d.Stacks = append(d.Stacks, struct {
		ID string `toml:"id"`
	}{"*"})
	if err := lifecycle.WriteTOML(filepath.Join(dir, "buildpack.toml"), d); err != nil {
		return err
	}
	return lifecycle.WriteTOML(filepath.Join(dir, configFile), c)
}

// Is says whether the program was started as one of a classic buildpack: by the links that Install makes.
func Is(program string) bool {
	switch filepath.Base(program) {
	case "detect", "build":
		_, err := os.Stat(filepath.Join(folder(program), configFile))
		return err == nil
	}
	return false
}

// folder is the buildpack's own, which the lifecycle names by CNB_BUILDPACK_DIR too.
func folder(program string) string { return filepath.Dir(filepath.Dir(program)) }

// Main runs bin/detect or bin/build and returns the exit code.
func Main(program string) int {
	var c Config
	if err := lifecycle.ReadTOML(filepath.Join(folder(program), configFile), &c); err != nil {
		fmt.Fprintln(os.Stderr, "ERROR:", err)
		return 1
	}
	r := newRun(c)
	if filepath.Base(program) == "detect" {
		return r.detect()
	}
	return r.build()
}
