package lifecycle

import (
	"os"
	"path/filepath"
	"reflect"
	"strings"
	"testing"

	"github.com/cupola-paas/cupola/buildpack/launcher"
)

func launchOf(t *testing.T, api, text string) (launchFile, error) {
	t.Helper()
	dir := t.TempDir()
	if err := os.WriteFile(filepath.Join(dir, "launch.toml"), []byte(text), 0o644); err != nil {
		t.Fatal(err)
	}
	return readLaunch(dir, api)
}

func TestLaunchTOMLRefusals(t *testing.T) {
	process := "[[processes]]\ntype = \"web\"\ncommand = [\"x\"]\n"
	tests := []struct{ name, api, text, want string }{
		{"not TOML", "0.9", "[[", "line 1"},
		{"same type twice", "0.9", process + process, "twice"},
		{"two defaults", "0.9", process + "default = true\n[[processes]]\ntype = \"b\"\ncommand = [\"x\"]\ndefault = true", "more than one"},
		{"bad type", "0.9", "[[processes]]\ntype = \"a/b\"\ncommand = [\"x\"]", "letters"},
		{"dots", "0.9", "[[processes]]\ntype = \"..\"\ncommand = [\"x\"]", "letters"},
		{"no command", "0.9", "[[processes]]\ntype = \"web\"", "no command"},
		{"string since 0.9", "0.9", "[[processes]]\ntype = \"web\"\ncommand = \"x\"", "list"},
		{"list before 0.9", "0.8", process, "string"},
		{"label twice", "0.9", "[[labels]]\nkey = \"a\"\nvalue = \"1\"\n[[labels]]\nkey = \"a\"\nvalue = \"2\"", "twice"},
	}
	for _, test := range tests {
		if _, err := launchOf(t, test.api, test.text); err == nil || !strings.Contains(err.Error(), test.want) {
			t.Errorf("%s: error %v, want one with %q", test.name, err, test.want)
		}
	}
}

func TestLaterProcessesReplaceEarlierOnes(t *testing.T) {
	var m launcher.Metadata
	var o Outcome
	add := func(id, api, text string) {
		f, err := launchOf(t, api, text)
		if err != nil {
			t.Fatal(err)
		}
		addLaunch(&m, &o, f, id, api)
	}
	add("a", "0.9", "[[processes]]\ntype = \"web\"\ncommand = [\"one\", \"1\"]\nargs = [\"x\"]\ndefault = true\n[[slices]]\npaths = [\"s\"]\n[[labels]]\nkey = \"k\"\nvalue = \"a\"")
	if m.DefaultProcess != "web" {
		t.Errorf("default = %q, want web", m.DefaultProcess)
	}
	add("b", "0.8", "[[processes]]\ntype = \"web\"\ncommand = \"two\"\nworking-dir = \"/w\"\n[[labels]]\nkey = \"k\"\nvalue = \"b\"")
	want := []launcher.Process{{Type: "web", Command: []string{"two"}, WorkingDir: "/w", BuildpackID: "b"}}
	if !reflect.DeepEqual(m.Processes, want) {
		t.Errorf("processes = %+v, want %+v", m.Processes, want)
	}
	// A non-default definition takes the default away (launch.toml).
	if m.DefaultProcess != "" {
		t.Errorf("default = %q, want none", m.DefaultProcess)
	}
	if want := []Label{{"k", "b"}}; !reflect.DeepEqual(o.Labels, want) {
		t.Errorf("labels = %v, want %v", o.Labels, want)
	}
}

func TestUnmetEntriesGoToTheNextProvider(t *testing.T) {
	plan := []Entry{
		{Providers: []Provider{{ID: "a"}, {ID: "b"}}, Requires: []Require{{Name: "x"}}},
		{Providers: []Provider{{ID: "a"}, {ID: "b"}}, Requires: []Require{{Name: "y"}}},
	}
	dir := t.TempDir()
	os.WriteFile(filepath.Join(dir, "build.toml"), []byte("[[unmet]]\nname = \"y\""), 0o644)
	rest, err := remainingPlan(dir, "a", plan)
	if err != nil {
		t.Fatal(err)
	}
	if got := planFor("b", rest); len(got) != 1 || got[0].Name != "y" {
		t.Errorf("the plan of b = %v, want y alone", got)
	}
	os.WriteFile(filepath.Join(dir, "build.toml"), []byte("[[unmet]]\nname = \"z\""), 0o644)
	if _, err := remainingPlan(dir, "a", plan); err == nil {
		t.Error("an unmet entry that was not in the plan is accepted")
	}
}

func FuzzBuildpackTOML(f *testing.F) {
	f.Add("api = \"0.12\"\n[buildpack]\nid = \"a\"\nversion = \"1\"\n[[buildpack.exec-env]]\nname = \"test\"")
	f.Add("api = \"0.7\"\n[buildpack]\nid = \"../x\"\nversion = \"1\"\n[[order]]\n[[order.group]]\nid = \"b\"")
	f.Fuzz(func(t *testing.T, text string) {
		d, err := parseDescriptor([]byte(text))
		if err != nil {
			return
		}
		name := launcher.EscapeID(d.Info.ID)
		if name != filepath.Base(name) || name == "." || name == ".." {
			t.Errorf("id %q is not safe as a folder's name", d.Info.ID)
		}
	})
}

func FuzzLaunchTOML(f *testing.F) {
	f.Add("[[processes]]\ntype = \"web\"\ncommand = [\"x\"]\n[[labels]]\nkey = \"a\"", true)
	f.Add("[[processes]]\ntype = \"web\"\ncommand = \"x\"\ndirect = true", false)
	f.Fuzz(func(t *testing.T, text string, list bool) {
		api := map[bool]string{true: "0.9", false: "0.8"}[list]
		var file launchFile
		if decode("launch.toml", []byte(text), &file) != nil || file.check(api) != nil {
			return
		}
		var m launcher.Metadata
		addLaunch(&m, &Outcome{}, file, "id", api)
		for _, p := range m.Processes {
			if p.Type != filepath.Base(p.Type) || len(p.Command) == 0 || p.Command[0] == "" {
				t.Errorf("process %+v was accepted", p)
			}
		}
	})
}

func FuzzPlanTOML(f *testing.F) {
	f.Add("[[provides]]\nname = \"a\"\n[[or]]\n[[or.requires]]\nname = \"b\"\n[or.requires.metadata]\nx = 1")
	f.Fuzz(func(t *testing.T, text string) {
		var p planFile
		if decode("plan.toml", []byte(text), &p) != nil {
			return
		}
		element := Element{&Descriptor{Info: Info{ID: "a", Version: "1"}}, true}
		group, entries, reason := resolvePlan([]Element{element}, []planFile{p})
		if (reason == "") != (len(group) > 0) {
			t.Errorf("group %v with reason %q", group, reason)
		}
		for _, e := range entries {
			if len(e.Providers) == 0 || len(e.Requires) == 0 {
				t.Errorf("entry %+v lacks a provider or a requirement", e)
			}
		}
	})
}
