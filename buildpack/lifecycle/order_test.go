package lifecycle

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// catalog makes buildpacks: a component for each name, a composite for each name with an order such as
// "a b?/c d" (groups parted by a slash, ? for optional).
func catalog(t *testing.T, components string, composites map[string]string) Catalog {
	t.Helper()
	dir := t.TempDir()
	write := func(id, text string) {
		path := filepath.Join(dir, id, "1")
		if err := os.MkdirAll(filepath.Join(path, "bin"), 0o755); err != nil {
			t.Fatal(err)
		}
		text = fmt.Sprintf("api = \"0.12\"\n[buildpack]\nid = %q\nversion = \"1\"\n%s", id, text)
		if err := os.WriteFile(filepath.Join(path, "buildpack.toml"), []byte(text), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	for id := range strings.FieldsSeq(components) {
		write(id, "")
	}
	for id, order := range composites {
		write(id, orderTOML(order))
	}
	return Catalog{Dir: dir}
}

func orderTOML(order string) string {
	var b strings.Builder
	for group := range strings.SplitSeq(order, "/") {
		b.WriteString("[[order]]\n")
		for word := range strings.FieldsSeq(group) {
			id, optional := strings.CutSuffix(word, "?")
			fmt.Fprintf(&b, "[[order.group]]\nid = %q\nversion = \"1\"\noptional = %v\n", id, optional)
		}
	}
	return b.String()
}

func groupsText(groups []Group) string {
	var all []string
	for _, g := range groups {
		var words []string
		for _, e := range g {
			word := e.Info.ID
			if e.Optional {
				word += "?"
			}
			words = append(words, word)
		}
		all = append(all, strings.Join(words, " "))
	}
	return strings.Join(all, "/")
}

func TestResolveOrder(t *testing.T) {
	composites := map[string]string{"O": "A B/C D", "P": "E F/G H", "N": "A O?/P", "loop": "loop"}
	tests := []struct{ name, order, want string }{
		{"components", "A B?/C", "A B?/C"},
		{"nested", "E O F", "E A B F/E C D F"}, // the specification's matrix 3
		{"product", "O P", "A B E F/A B G H/C D E F/C D G H"},
		{"optional composite", "E O?", "E A B/E C D/E"},
		{"deep", "N", "A B/A C D/A/E F/G H"},
		{"the first of two wins", "A O", "A B/A C D"},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			c := catalog(t, "A B C D E F G H", composites)
			order, err := parseOrder([]byte(orderTOML(test.order)))
			if err != nil {
				t.Fatal(err)
			}
			groups, err := c.Resolve(order, "production")
			if err != nil {
				t.Fatal(err)
			}
			if got := groupsText(groups); got != test.want {
				t.Errorf("Resolve(%q) = %q, want %q", test.order, got, test.want)
			}
		})
	}
}

func TestResolveRefuses(t *testing.T) {
	c := catalog(t, "A", map[string]string{"loop": "loop", "wide": strings.Repeat("A/", 30) + "A"})
	for _, order := range []string{"loop", "nope", "../A"} {
		o, err := parseOrder([]byte(orderTOML(order)))
		if err != nil {
			t.Fatal(err)
		}
		if groups, err := c.Resolve(o, "production"); err == nil {
			t.Errorf("Resolve(%q) = %q, want an error", order, groupsText(groups))
		}
	}
}

func TestExtensionsAreRefused(t *testing.T) {
	_, err := parseOrder([]byte(orderTOML("A") + "[[order-extensions]]\n[[order-extensions.group]]\nid = \"x\"\nversion = \"1\"\n"))
	if !errors.Is(err, ErrExtensions) {
		t.Errorf("parseOrder = %v, want ErrExtensions", err)
	}
}

func TestNamedKeepsOptionalFollowers(t *testing.T) {
	order, err := parseOrder([]byte(orderTOML("node go? procfile?/python procfile?")))
	if err != nil {
		t.Fatal(err)
	}
	tests := map[string]string{
		"node": "node go? procfile?", "python": "python procfile?", "go": "go procfile?", "other": "other",
		"node python": "node python procfile?", "procfile": "procfile",
	}
	for ids, want := range tests {
		var words []string
		for _, r := range order.Named(strings.Fields(ids))[0].Group {
			word := r.ID
			if r.Optional {
				word += "?"
			}
			words = append(words, word)
		}
		if got := strings.Join(words, " "); got != want {
			t.Errorf("Named(%q) = %q, want %q", ids, got, want)
		}
	}
}

func TestSystemBuildpacksSurroundGroups(t *testing.T) {
	order, err := parseOrder([]byte(orderTOML("a b/pre c")))
	if err != nil {
		t.Fatal(err)
	}
	var s system
	s.System.Pre.Buildpacks = []Ref{{ID: "pre", Version: "1"}}
	s.System.Post.Buildpacks = []Ref{{ID: "post", Version: "1", Optional: true}}
	c := catalog(t, "a b c pre post", nil)
	groups, err := c.Resolve(order.withSystem(s), "production")
	if err != nil {
		t.Fatal(err)
	}
	if got, want := groupsText(groups), "pre a b post?/pre c post?"; got != want {
		t.Errorf("groups = %q, want %q", got, want)
	}
}

func TestExecEnvLeavesBuildpacksOut(t *testing.T) {
	c := catalog(t, "a b", nil)
	text := orderTOML("a b") + "exec-env = [\"test\"]\n"
	order, err := parseOrder([]byte(text))
	if err != nil {
		t.Fatal(err)
	}
	for env, want := range map[string]string{"production": "a", "test": "a b"} {
		groups, err := c.Resolve(order, env)
		if err != nil {
			t.Fatal(err)
		}
		if got := groupsText(groups); got != want {
			t.Errorf("Resolve in %s = %q, want %q", env, got, want)
		}
	}
}

func TestNewestVersion(t *testing.T) {
	dir := t.TempDir()
	for _, v := range []string{"1.9.0", "1.10.0", "0.99.9"} {
		os.MkdirAll(filepath.Join(dir, v), 0o755)
	}
	if got, err := newestVersion(dir); got != "1.10.0" || err != nil {
		t.Errorf("newestVersion = %q, %v", got, err)
	}
}

func TestAPIVersions(t *testing.T) {
	for api, ok := range map[string]bool{"0.6": false, "0.7": true, "0.12": true, "0.13": false, "1.0": false, "": false, "x": false} {
		if err := checkAPI("id", api); (err == nil) != ok {
			t.Errorf("checkAPI(%q) = %v", api, err)
		}
	}
}

func TestTargets(t *testing.T) {
	debian := Target{OS: "linux", Arch: "amd64", Distros: []Distro{{"debian", "13"}}}
	tests := []struct {
		name string
		toml string
		want bool
	}{
		{"none declared and no bin/build", "", false},
		{"any stack", "[[stacks]]\nid = \"*\"", true},
		{"bionic", "[[stacks]]\nid = \"io.buildpacks.stacks.bionic\"", false},
		{"same os", "[[targets]]\nos = \"linux\"", true},
		{"other arch", "[[targets]]\nos = \"linux\"\narch = \"arm64\"", false},
		{"distribution", "[[targets]]\n[[targets.distros]]\nname = \"debian\"\nversion = \"13\"", true},
		{"any version", "[[targets]]\n[[targets.distros]]\nname = \"debian\"", true},
		{"other version", "[[targets]]\n[[targets.distros]]\nname = \"debian\"\nversion = \"12\"", false},
		{"second of two", "[[targets]]\nos = \"windows\"\n[[targets]]\nos = \"linux\"", true},
	}
	for _, test := range tests {
		d, err := parseDescriptor([]byte("api = \"0.12\"\n[buildpack]\nid = \"a\"\nversion = \"1\"\n" + test.toml))
		if err != nil {
			t.Fatal(err)
		}
		d.Dir = t.TempDir()
		if got := d.serves(debian); got != test.want {
			t.Errorf("%s: serves = %v, want %v", test.name, got, test.want)
		}
	}
}
