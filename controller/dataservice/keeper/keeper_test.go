package keeper

import (
	"bytes"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

func write(t *testing.T, name, text string) {
	t.Helper()
	if err := os.WriteFile(name, []byte(text), 0o644); err != nil {
		t.Fatal(err)
	}
}

// TestPrepare: steps run in order, each time, and pass over what is there.
func TestPrepare(t *testing.T) {
	dir := t.TempDir()
	at := func(name string) string { return filepath.Join(dir, name) }
	write(t, at("key"), "one")
	if err := os.MkdirAll(at("made/deep"), 0o700); err != nil {
		t.Fatal(err)
	}
	write(t, at("made/deep/file"), "made before")
	p := Plan{Exec: []string{"server"}, Env: map[string]string{"WHO": "example"}, Steps: []Step{
		{Unless: at("data"), Remove: at("data.new")},
		{Unless: at("data"), Tree: at("made"), To: at("data.new")},
		{Unless: at("data"), Copy: at("key"), To: at("data.new/first")},
		{Unless: at("data"), Rename: at("data.new"), To: at("data")},
		{Copy: at("key"), To: at("private/key"), Mode: "0400"},
		{Run: []string{"env"}},
	}}
	if err := p.Check(); err != nil {
		t.Fatal(err)
	}
	write(t, at("data.new"), "what a crash has left")
	var out bytes.Buffer
	if err := p.Prepare(&out); err != nil {
		t.Fatal(err)
	}
	if !strings.Contains(out.String(), "WHO=example\n") {
		t.Errorf("the program's environment is %q", &out)
	}
	write(t, at("key"), "two")
	if err := p.Prepare(&out); err != nil {
		t.Fatalf("again: %v", err)
	}
	for name, want := range map[string]string{"data/first": "one", "data/deep/file": "made before", "private/key": "two"} {
		if got, err := os.ReadFile(at(name)); err != nil || string(got) != want {
			t.Errorf("%s holds %q (%v), want %q", name, got, err, want)
		}
	}
	if info, err := os.Stat(at("data/deep")); err != nil || info.Mode().Perm() != 0o700 {
		t.Errorf("the folder is %v (%v)", info.Mode(), err)
	}
	if info, err := os.Stat(at("private/key")); err != nil || info.Mode().Perm() != 0o400 {
		t.Errorf("the key is %v (%v)", info.Mode(), err)
	}
}

func TestCheck(t *testing.T) {
	for _, s := range []Step{
		{}, {Run: []string{"a"}, Mkdir: "b"}, {Copy: "a"}, {Rename: "a"}, {Tree: "a"}, {Mkdir: "a", To: "b"}, {Copy: "a", To: "b", Mode: "rw"}, {Copy: "a", To: "b", Mode: "17777"},
	} {
		if err := (Plan{Exec: []string{"x"}, Steps: []Step{s}}).Check(); err == nil {
			t.Errorf("the step %+v is taken", s)
		}
	}
	if err := (Plan{}).Check(); err == nil {
		t.Error("a plan without a server is taken")
	}
	if err := (Plan{Steps: []Step{{Run: []string{"/no/such/program"}}}}).Prepare(os.Stderr); err == nil {
		t.Error("a step that failed was passed over")
	}
}

// TestRead: a plan is what was written, and one with a word that is not known is none.
func TestRead(t *testing.T) {
	file := filepath.Join(t.TempDir(), "plan.json")
	write(t, file, `{"exec": ["server"], "steps": [{"unless": "/data", "remove": "/data.new"}]}`)
	if p, err := Read(file); err != nil || p.Exec[0] != "server" || p.Steps[0].Unless != "/data" {
		t.Errorf("it reads %+v (%v)", p, err)
	}
	for _, text := range []string{`{"exec": ["server"], "steps": [{"unles": "/data", "remove": "/data"}]}`, `{"exec": ["server"], "environment": {}}`, `{}`, `[`} {
		write(t, file, text)
		if p, err := Read(file); err == nil {
			t.Errorf("%s is taken as %+v", text, p)
		}
	}
}
