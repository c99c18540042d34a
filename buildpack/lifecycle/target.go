package lifecycle

import (
	"os"
	"path/filepath"
	"strings"
)

// Target is a platform that a buildpack serves, or what a base image is (Buildpack API, Targets).
type Target struct {
	OS      string   `toml:"os"`
	Arch    string   `toml:"arch"`
	Variant string   `toml:"variant"`
	Distros []Distro `toml:"distros"`
}

// Distro is a distribution by $ID and $VERSION_ID of /etc/os-release.
type Distro struct {
	Name    string `toml:"name"`
	Version string `toml:"version"`
}

// serves says whether the buildpack can be used for base. What either side leaves open matches.
func (d *Descriptor) serves(base Target) bool {
	targets := d.effectiveTargets()
	for _, t := range targets {
		if t.matches(base) {
			return true
		}
	}
	return false
}

// effectiveTargets are the declared ones, else those that stacks or the build program imply.
func (d *Descriptor) effectiveTargets() []Target {
	if len(d.Targets) > 0 {
		return d.Targets
	}
	var targets []Target
	for _, s := range d.Stacks {
		switch s.ID {
		case "*":
			return []Target{{}}
		case "io.buildpacks.stacks.bionic":
			targets = append(targets, Target{OS: "linux", Arch: "amd64", Distros: []Distro{{"ubuntu", "18.04"}}})
		}
	}
	if len(targets) > 0 {
		return targets
	}
	if _, err := os.Stat(filepath.Join(d.Dir, "bin", "build")); err == nil {
		return []Target{{OS: "linux"}}
	}
	return nil
}

func (t Target) matches(base Target) bool {
	if !open(t.OS, base.OS) || !open(t.Arch, base.Arch) || !open(t.Variant, base.Variant) {
		return false
	}
	if len(t.Distros) == 0 || len(base.Distros) == 0 {
		return true
	}
	for _, d := range t.Distros {
		if open(d.Name, base.Distros[0].Name) && open(d.Version, base.Distros[0].Version) {
			return true
		}
	}
	return false
}

func open(a, b string) bool { return a == "" || b == "" || a == "*" || a == b }

// fill completes what the run image's labels left open from this machine's os-release: the build and the
// run image are of the same distribution (Platform API, Target Data).
func (t Target) fill(osRelease string) Target {
	if len(t.Distros) > 0 {
		return t
	}
	b, err := os.ReadFile(osRelease)
	if err != nil {
		return t
	}
	var d Distro
	for line := range strings.Lines(string(b)) {
		name, value, _ := strings.Cut(strings.TrimSpace(line), "=")
		value = strings.Trim(value, `"'`)
		switch name {
		case "ID":
			d.Name = value
		case "VERSION_ID":
			d.Version = value
		}
	}
	if d.Name != "" {
		t.Distros = []Distro{d}
	}
	return t
}

// vars are the CNB_TARGET variables.
func (t Target) vars() map[string]string {
	v := map[string]string{"CNB_TARGET_OS": t.OS, "CNB_TARGET_ARCH": t.Arch}
	if t.Variant != "" {
		v["CNB_TARGET_ARCH_VARIANT"] = t.Variant
	}
	if len(t.Distros) > 0 {
		v["CNB_TARGET_DISTRO_NAME"] = t.Distros[0].Name
		v["CNB_TARGET_DISTRO_VERSION"] = t.Distros[0].Version
	}
	return v
}
