package api

import (
	"net/url"
	"slices"
	"strings"

	"github.com/cupola-paas/cupola/store"
)

// buildpackURL says whether an app names its buildpack by the URL of a git repository, with a branch after #, or of a
// zip. It is fetched inside the build container, which has no more of a network than any build.
func buildpackURL(name string) bool {
	u, err := url.Parse(name)
	if err != nil || u.Host == "" || strings.HasPrefix(u.Host, "-") || strings.HasPrefix(u.Fragment, "-") || len(name) > 2000 {
		return false
	}
	return u.Scheme == "https" || u.Scheme == "http" || u.Scheme == "git"
}

// allowBuildpacks refuses buildpacks by URL where the operator wants none.
func (s *Server) allowBuildpacks(l store.Lifecycle) error {
	if s.noBuildpackURLs && slices.ContainsFunc(l.Buildpacks, buildpackURL) {
		return errInvalid("Custom buildpacks are disabled: name buildpacks of the platform, see `cf buildpacks`")
	}
	return nil
}

// shownBuildpacks are the buildpacks of an app without the passwords of URLs.
func shownBuildpacks(names []string) []string {
	if names == nil {
		return nil
	}
	shown := make([]string, len(names))
	for i, name := range names {
		shown[i] = shownBuildpack(name)
	}
	return shown
}

// shownBuildpack puts stars in place of the user and password of a URL, as Cloud Foundry does.
func shownBuildpack(name string) string {
	u, err := url.Parse(name)
	if err != nil || u.User == nil {
		return name
	}
	u.User = nil
	return strings.Replace(u.String(), "://", "://***:***@", 1)
}
