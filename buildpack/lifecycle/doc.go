// Package lifecycle implements the phases of a Cloud Native Buildpacks build that run buildpack code:
// detection (Buildpack API, Phase #1) and build (Phase #5), and the files that phases exchange. It runs
// inside the build container, by cmd/phase, as the stack's user; what needs a registry or the cache runs
// on the host and lives in the packages export and cache beside it. It serves Buildpack API 0.7 to 0.12.
package lifecycle

import (
	"fmt"
	"regexp"
	"strconv"
	"strings"
)

// The Buildpack API versions that are served, 0.MinAPI to 0.MaxAPI.
const (
	MinAPI = 7
	MaxAPI = 12
)

// maxFileBytes bounds each TOML file that a buildpack writes.
const maxFileBytes = 4 << 20

// checkAPI returns an error unless the buildpack's API is one that is served.
func checkAPI(id, api string) error {
	major, minor, _ := strings.Cut(api, ".")
	n, err := strconv.Atoi(minor)
	if err != nil || major != "0" || n < MinAPI || n > MaxAPI {
		return &IncompatibleError{ID: id, API: api}
	}
	return nil
}

// IncompatibleError is a buildpack whose API is not served.
type IncompatibleError struct{ ID, API string }

func (e *IncompatibleError) Error() string {
	return fmt.Sprintf("buildpack %s wants Buildpack API %q; 0.%d to 0.%d are served; use a version of it for one of those", e.ID, e.API, MinAPI, MaxAPI)
}

var (
	idGrammar      = regexp.MustCompile(`^[A-Za-z0-9][A-Za-z0-9./_-]*$`)
	versionGrammar = regexp.MustCompile(`^[A-Za-z0-9][A-Za-z0-9.+_-]*$`)
	typeGrammar    = regexp.MustCompile(`^[A-Za-z0-9._-]+$`)
)

// ValidID says whether id may name a buildpack; such an id, escaped, is safe as a folder's name.
func ValidID(id string) bool {
	switch strings.ToLower(id) {
	case "app", "config", "generated", "sbom":
		return false
	}
	return len(id) <= 200 && idGrammar.MatchString(id) && !strings.Contains(id, "..")
}

// ValidVersion says whether version may name a buildpack's version.
func ValidVersion(version string) bool {
	return len(version) <= 100 && versionGrammar.MatchString(version) && !strings.Contains(version, "..")
}

// ValidProcessType says whether name may be a process type (Buildpack API, launch.toml).
func ValidProcessType(name string) bool {
	return len(name) <= 100 && typeGrammar.MatchString(name) && name != "." && name != ".."
}
