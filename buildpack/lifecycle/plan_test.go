package lifecycle

import (
	"fmt"
	"strings"
	"testing"
)

// parsePlans reads "a!: +x -y | +z" lines: buildpack a, required with !, provides x and requires y, or
// provides z.
func parsePlans(t *testing.T, text string) ([]Element, []planFile) {
	t.Helper()
	var elements []Element
	var plans []planFile
	for line := range strings.Lines(strings.TrimSpace(text)) {
		id, rest, _ := strings.Cut(strings.TrimSpace(line), ":")
		name, required := strings.CutSuffix(id, "!")
		elements = append(elements, Element{&Descriptor{Info: Info{ID: name, Version: "1"}}, !required})
		var plan planFile
		for i, alternative := range strings.Split(rest, "|") {
			var s section
			for _, word := range strings.Fields(alternative) {
				if word[0] == '+' {
					s.Provides = append(s.Provides, Provide{word[1:]})
				} else {
					s.Requires = append(s.Requires, Require{Name: word[1:]})
				}
			}
			if i == 0 {
				plan.Provides, plan.Requires = s.Provides, s.Requires
			} else {
				plan.Or = append(plan.Or, s)
			}
		}
		plans = append(plans, plan)
	}
	return elements, plans
}

func describe(g Group, entries []Entry) string {
	var words []string
	for _, e := range g {
		words = append(words, e.Info.ID)
	}
	for _, e := range entries {
		var providers []string
		for _, p := range e.Providers {
			providers = append(providers, p.ID)
		}
		words = append(words, fmt.Sprintf("%s*%d<%s", e.name(), len(e.Requires), strings.Join(providers, ",")))
	}
	return strings.Join(words, " ")
}

func TestResolvePlan(t *testing.T) {
	tests := []struct{ name, plans, want, reason string }{
		{"nothing asked", "a!:\nb!:", "a b", ""},
		{"provided before", "a!: +x\nb!: -x", "a b x*1<a", ""},
		{"provided by itself", "a!: +x -x", "a x*1<a", ""},
		{"provided after", "a!: -x\nb!: +x", "", "a requires x, which no buildpack before it provides"},
		{"not provided", "a!: -x", "", "a requires x, which no buildpack before it provides"},
		{"not required", "a!: +x", "", "a provides x, which nothing requires"},
		{"required before only", "a!: +x -x\nb!: +x", "", "b provides x, which nothing requires"},
		{"optional that nothing requires is left out", "a: +x\nb!:", "b", ""},
		{"optional that misses something is left out", "a: -x\nb!:", "b", ""},
		{"leaving one out makes another useless", "a: +x\nb: -x -y\nc!:", "c", ""},
		{"leaving one out breaks a required one", "a!: +x\nb: -x -y", "", "a provides x, which nothing requires"},
		{"two provide", "a!: +x\nb!: +x\nc!: -x", "a b c x*1<a,b", ""},
		{"two require", "a!: +x\nb!: -x\nc!: -x", "a b c x*2<a", ""},
		{"or of a provider", "a!: +x | +y\nb!: -y", "a b y*1<a", ""},
		{"or of a requirer", "a!: +x\nb!: -y | -x", "a b x*1<a", ""},
		{"or with nothing", "a!: +x | \nb!:", "a b", ""},
		{"first alternative wins", "a!: +x | +y\nb!: -x | -y", "a b x*1<a", ""},
		{"depth first", "a!: +x | +y\nb!: -x -y | -y", "a b y*1<a", ""},
		{"all optional and all left out", "a: +x\nb: -y", "", "no buildpack is left"},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			elements, plans := parsePlans(t, test.plans)
			group, entries, reason := resolvePlan(elements, plans)
			if got := describe(group, entries); got != test.want || reason != test.reason {
				t.Errorf("resolvePlan = %q, %q; want %q, %q", got, reason, test.want, test.reason)
			}
		})
	}
}

func TestVersionOfRequireMovesIntoMetadata(t *testing.T) {
	r := Require{Name: "x", Version: "1.2", Metadata: map[string]any{"k": "v"}}.normal()
	if r.Version != "" || r.Metadata["version"] != "1.2" || r.Metadata["k"] != "v" {
		t.Errorf("normal = %+v", r)
	}
}
