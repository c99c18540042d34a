package lifecycle

import "slices"

// section is one potential contribution of a buildpack to the build plan.
type section struct {
	Provides []Provide `toml:"provides"`
	Requires []Require `toml:"requires"`
}

// Provide offers a dependency.
type Provide struct {
	Name string `toml:"name"`
}

// Require asks for a dependency.
type Require struct {
	Name     string         `toml:"name"`
	Version  string         `toml:"version,omitempty"` // deprecated; moved into Metadata
	Metadata map[string]any `toml:"metadata,omitempty"`
}

// planFile is what bin/detect writes to CNB_BUILD_PLAN_PATH.
type planFile struct {
	Provides []Provide `toml:"provides"`
	Requires []Require `toml:"requires"`
	Or       []section `toml:"or"`
}

// sections are the alternatives, first the one at the top.
func (p planFile) sections() []section {
	return append([]section{{p.Provides, p.Requires}}, p.Or...)
}

// Entry of the build plan: a dependency, who can provide it, in order, and what was asked of it.
type Entry struct {
	Providers []Provider `toml:"providers"`
	Requires  []Require  `toml:"requires"`
}

// Provider names a buildpack.
type Provider struct {
	ID      string `toml:"id"`
	Version string `toml:"version"`
}

func (e Entry) name() string { return e.Requires[0].Name }

func (e Entry) providedBy(id string) bool {
	return slices.ContainsFunc(e.Providers, func(p Provider) bool { return p.ID == id })
}

// candidate is a buildpack in a trial.
type candidate struct {
	Element
	section
}

// maxTrials bounds the combinations of `or` sections that are tried for one group.
const maxTrials = 100_000

// resolvePlan tries the combinations of sections of the elements that passed, from left to right and
// depth first, and returns the first one that holds. The reason is that of the first trial that failed.
func resolvePlan(passed []Element, plans []planFile) (Group, []Entry, string) {
	trials, reason := 0, ""
	var try func(chosen []candidate) (Group, []Entry, bool)
	try = func(chosen []candidate) (Group, []Entry, bool) {
		if i := len(chosen); i < len(passed) {
			for _, s := range plans[i].sections() {
				next := append(slices.Clip(chosen), candidate{passed[i], s})
				if g, e, ok := try(next); ok || trials > maxTrials {
					return g, e, ok
				}
			}
			return nil, nil, false
		}
		trials++
		g, e, why := trial(chosen)
		if reason == "" {
			reason = why
		}
		return g, e, why == ""
	}
	if g, e, ok := try(nil); ok {
		return g, e, ""
	}
	return nil, nil, reason
}

// trial checks one combination: it excludes optional buildpacks whose dependencies do not meet, again and
// again until nothing changes, and fails when a required one's do not (Buildpack API, Phase #1).
func trial(chosen []candidate) (Group, []Entry, string) {
	for {
		at, why := unmet(chosen)
		if at < 0 {
			break
		}
		if !chosen[at].Optional {
			return nil, nil, why
		}
		chosen = slices.Delete(slices.Clone(chosen), at, at+1)
	}
	if len(chosen) == 0 {
		return nil, nil, "no buildpack is left"
	}
	var group Group
	for _, c := range chosen {
		group = append(group, c.Element)
	}
	return group, entries(chosen), ""
}

// unmet returns the first buildpack that requires what none before (or itself) provides, or provides what
// none after (or itself) requires.
func unmet(chosen []candidate) (int, string) {
	for i, c := range chosen {
		for _, r := range c.Requires {
			if !slices.ContainsFunc(chosen[:i+1], func(o candidate) bool { return o.provides(r.Name) }) {
				return i, c.Info.ID + " requires " + r.Name + ", which no buildpack before it provides"
			}
		}
		for _, p := range c.Provides {
			if !slices.ContainsFunc(chosen[i:], func(o candidate) bool { return o.requires(p.Name) }) {
				return i, c.Info.ID + " provides " + p.Name + ", which nothing requires"
			}
		}
	}
	return -1, ""
}

func (c candidate) provides(name string) bool {
	return slices.ContainsFunc(c.Provides, func(p Provide) bool { return p.Name == name })
}

func (c candidate) requires(name string) bool {
	return slices.ContainsFunc(c.Requires, func(r Require) bool { return r.Name == name })
}

// entries gathers requirements by name, in order of first mention, with their providers.
func entries(chosen []candidate) []Entry {
	var list []Entry
	index := map[string]int{}
	for _, c := range chosen {
		for _, r := range c.Requires {
			i, ok := index[r.Name]
			if !ok {
				i = len(list)
				index[r.Name] = i
				list = append(list, Entry{Providers: providers(chosen, r.Name)})
			}
			list[i].Requires = append(list[i].Requires, r.normal())
		}
	}
	return list
}

func providers(chosen []candidate, name string) []Provider {
	var list []Provider
	for _, c := range chosen {
		if c.provides(name) {
			list = append(list, Provider{c.Info.ID, c.Info.Version})
		}
	}
	return list
}

// normal moves the deprecated version key into the metadata, where buildpacks look for it.
func (r Require) normal() Require {
	if r.Version == "" {
		return r
	}
	metadata := map[string]any{"version": r.Version}
	for k, v := range r.Metadata {
		metadata[k] = v
	}
	return Require{Name: r.Name, Metadata: metadata}
}
