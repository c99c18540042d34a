package launcher

import (
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/BurntSushi/toml"
)

// image is a tree as an app image has it.
type image struct {
	t      testing.TB
	layers string
	app    string
}

func newImage(t testing.TB, m Metadata, files map[string]string) image {
	t.Helper()
	root := t.TempDir()
	i := image{t, filepath.Join(root, "layers"), filepath.Join(root, "app")}
	for _, dir := range []string{filepath.Join(i.layers, "config"), i.app} {
		if err := os.MkdirAll(dir, 0o755); err != nil {
			t.Fatal(err)
		}
	}
	for name, content := range files {
		path := filepath.Join(root, name)
		if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(path, []byte(content), 0o755); err != nil {
			t.Fatal(err)
		}
	}
	f, err := os.Create(filepath.Join(i.layers, MetadataPath))
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	if err := toml.NewEncoder(f).Encode(m); err != nil {
		t.Fatal(err)
	}
	return i
}

// launch runs the launcher with self and args, and the process that it would become as a child.
func (i image) launch(env []string, self string, args ...string) (string, error) {
	i.t.Helper()
	var out []byte
	dir := ""
	env = append([]string{"CNB_LAYERS_DIR=" + i.layers, "CNB_APP_DIR=" + i.app, "PATH=/cnb/process:/cnb/lifecycle:" + os.Getenv("PATH")}, env...)
	l, err := New(env, func(path string, argv, env []string) (err error) {
		cmd := exec.Command(path)
		cmd.Args, cmd.Env, cmd.Dir = argv, env, dir
		out, err = cmd.CombinedOutput()
		return err
	})
	if err != nil {
		return "", err
	}
	l.Chdir = func(to string) error { dir = to; return nil }
	err = l.Launch(self, args)
	return string(out), err
}

var twoBuildpacks = []Buildpack{{ID: "x/one", Version: "1", API: "0.10"}, {ID: "two", Version: "1", API: "0.8"}}

func TestProcesses(t *testing.T) {
	m := Metadata{Buildpacks: twoBuildpacks, Processes: []Process{
		{Type: "web", Command: []string{"printf", "%s|"}, Args: []string{"a b", "c"}, Direct: true, BuildpackID: "x/one"},
		{Type: "old", Command: []string{"printf '%s|'"}, Args: []string{"x y"}, BuildpackID: "two"},
		{Type: "olddirect", Command: []string{"printf"}, Args: []string{"%s|", "1"}, Direct: true, BuildpackID: "two"},
		{Type: "where", Command: []string{"pwd"}, WorkingDir: "/", Direct: true, BuildpackID: "x/one"},
		{Type: "shellwhere", Command: []string{"pwd"}, WorkingDir: "/usr", BuildpackID: "two"},
		{Type: "test", Command: []string{"pwd"}, ExecEnv: []string{"test"}, Direct: true, BuildpackID: "x/one"},
	}}
	i := newImage(t, m, nil)
	tests := []struct {
		name string
		self string
		args []string
		want string
	}{
		{"default arguments", "/cnb/process/web", nil, "a b|c|"},
		{"the user's take their place", "/cnb/process/web", []string{"z"}, "z|"},
		{"before 0.9 they are appended", "/cnb/process/old", []string{"z"}, "x y|z|"},
		{"direct before 0.9", "/cnb/process/olddirect", []string{"2"}, "1|2|"},
		{"working directory", "/cnb/process/where", nil, "/\n"},
		{"working directory of a shell process", "/cnb/process/shellwhere", nil, "/usr\n"},
		{"a command line", "/cnb/lifecycle/launcher", []string{"echo one; echo 'two  three'"}, "one\ntwo  three\n"},
		{"a command and words", "/cnb/lifecycle/launcher", []string{"printf '%s|'", "a b", "$HOME"}, "a b|$HOME|"},
		{"direct", "/cnb/lifecycle/launcher", []string{"--", "printf", "%s|", "a;b"}, "a;b|"},
		{"the app's folder", "/cnb/lifecycle/launcher", []string{"pwd"}, i.app + "\n"},
	}
	for _, test := range tests {
		got, err := i.launch(nil, test.self, test.args...)
		if err != nil || got != test.want {
			t.Errorf("%s: %q, %v; want %q", test.name, got, err, test.want)
		}
	}
	if _, err := i.launch(nil, "/cnb/process/test"); err == nil || !strings.Contains(err.Error(), "execution environment") {
		t.Errorf("a process for tests was launched in production: %v", err)
	}
	if got, err := i.launch([]string{"CNB_EXEC_ENV=test"}, "/cnb/process/test"); err != nil {
		t.Errorf("in its execution environment: %q, %v", got, err)
	}
}

func TestRefusals(t *testing.T) {
	i := newImage(t, Metadata{}, nil)
	tests := []struct {
		env  []string
		args []string
		code int
	}{
		{nil, nil, CodeLaunch},
		{nil, []string{"--"}, CodeLaunch},
		{nil, []string{"--", "no-such-program"}, CodeLaunch},
		{nil, []string{""}, CodeLaunch},
		{[]string{"CNB_PLATFORM_API=0.99"}, []string{"true"}, CodeIncompatible},
	}
	for _, test := range tests {
		_, err := i.launch(test.env, "launcher", test.args...)
		var failed *Error
		if !errors.As(err, &failed) || failed.Code != test.code {
			t.Errorf("launch(%q, %q) = %v, want code %d", test.env, test.args, err, test.code)
		}
	}
}

func TestEnvironmentIsLayered(t *testing.T) {
	m := Metadata{Buildpacks: twoBuildpacks, Processes: []Process{{Type: "web", Command: []string{"env"}, Direct: true, BuildpackID: "x/one"}}}
	files := map[string]string{
		"layers/x_one/a/bin/tool":                 "",
		"layers/x_one/b/bin/tool":                 "",
		"layers/two/c/lib/lib.so":                 "",
		"layers/x_one/a/env/ORDER.append":         "1",
		"layers/x_one/a/env.launch/ORDER.append":  "2",
		"layers/x_one/b/env.launch/ORDER.append":  "3",
		"layers/two/c/env.launch/ORDER.append":    "4",
		"layers/x_one/b/env.launch/web/ONLY":      "web",
		"layers/x_one/b/env.launch/worker/ONLY":   "worker",
		"layers/x_one/b/env.build/BUILD":          "x",
		"layers/two/c/env.launch/USERS.default":   "buildpack",
		"layers/two/c/env.launch/ANOTHER.default": "buildpack",
	}
	i := newImage(t, m, files)
	out, err := i.launch([]string{"USERS=user", "CNB_PROCESS_TYPE=x", "CNB_PLATFORM_API=0.12"}, "/cnb/process/web")
	if err != nil {
		t.Fatal(err)
	}
	got := strings.Split(strings.TrimSpace(out), "\n")
	want := []string{
		"ANOTHER=buildpack", "LD_LIBRARY_PATH=" + i.layers + "/two/c/lib", "ONLY=web", "ORDER=1234",
		"PATH=" + i.layers + "/x_one/a/bin:" + i.layers + "/x_one/b/bin:" + os.Getenv("PATH"), "USERS=user",
	}
	if !slices.Equal(got, want) {
		t.Errorf("environment:\n%s\nwant:\n%s", strings.Join(got, "\n"), strings.Join(want, "\n"))
	}
}

func TestExecDAndProfiles(t *testing.T) {
	m := Metadata{Buildpacks: twoBuildpacks, Processes: []Process{{Type: "web", Command: []string{`echo "$TRACE $A $B"`}, BuildpackID: "two"}}}
	i := newImage(t, m, map[string]string{
		"layers/x_one/a/exec.d/1":              "#!/bin/sh\necho 'A = \"1\"' >&3\n",
		"layers/x_one/a/exec.d/2":              "#!/bin/sh\necho \"B = \\\"$A-$PWD\\\"\" >&3\n",
		"layers/x_one/a/exec.d/web/1":          "#!/bin/sh\necho 'A = \"2\"' >&3\n",
		"layers/x_one/a/exec.d/worker/1":       "#!/bin/sh\nexit 1\n",
		"layers/two/c/profile.d/x":             "export TRACE=two",
		"layers/x_one/a/profile.d/b name.sh":   "export TRACE=one",
		"layers/two/c/profile.d/web/y":         "TRACE=$TRACE,web",
		"app/.profile.d/z.sh":                  "TRACE=$TRACE,app.d",
		"app/.profile.d/not-this":              "TRACE=wrong",
		"app/.profile":                         "TRACE=$TRACE,profile",
		"layers/x_one/a/profile.d/worker/none": "TRACE=wrong",
	})
	got, err := i.launch(nil, "/cnb/process/web")
	if err != nil {
		t.Fatal(err)
	}
	if want := "two,web,app.d,profile 2 1-" + i.app + "\n"; got != want {
		t.Errorf("printed %q, want %q", got, want)
	}
}

func TestExecDFailures(t *testing.T) {
	for name, script := range map[string]string{
		"exit status": "#!/bin/sh\nexit 3\n",
		"not TOML":    "#!/bin/sh\necho 'A = ' >&3\n",
		"no string":   "#!/bin/sh\necho 'A = 1' >&3\n",
		"too much":    "#!/bin/sh\nwhile echo '# xxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxx' >&3; do :; done 2>/dev/null; exit 0\n",
	} {
		i := newImage(t, Metadata{Buildpacks: twoBuildpacks}, map[string]string{"layers/two/c/exec.d/1": script})
		if out, err := i.launch(nil, "launcher", "echo ran"); err == nil {
			t.Errorf("%s: launched all the same: %q", name, out)
		}
	}
}

func TestCommandLine(t *testing.T) {
	tests := []struct {
		process Process
		want    string
	}{
		{Process{Command: []string{"node", "server.js"}, Direct: true}, "node server.js"},
		{Process{Command: []string{"bash", "-c", "echo 'a' && b"}, Direct: true}, `bash -c 'echo '\''a'\'' && b'`},
		{Process{Command: []string{"gunicorn app:app --bind=:$PORT"}}, "gunicorn app:app --bind=:$PORT"},
		{Process{Command: []string{"serve"}, Args: []string{"", "a b"}, Direct: true}, "serve '' 'a b'"},
	}
	for _, test := range tests {
		if got := test.process.CommandLine(); got != test.want {
			t.Errorf("CommandLine(%+v) = %q, want %q", test.process, got, test.want)
		}
	}
}

func FuzzExecDOutput(f *testing.F) {
	f.Add([]byte("A = \"1\"\nB = \"2\""))
	f.Add([]byte("[a]\nb = 1"))
	f.Fuzz(func(t *testing.T, output []byte) {
		l, err := New(nil, nil)
		if err != nil {
			t.Fatal(err)
		}
		before := len(l.Env.List())
		if err := l.setOutput(output); err != nil && len(l.Env.List()) != before {
			t.Error("output with an error changed the environment")
		}
	})
}

func FuzzQuote(f *testing.F) {
	f.Add("it's")
	f.Add("$HOME `x` \\ \"")
	f.Fuzz(func(t *testing.T, word string) {
		if strings.ContainsRune(word, 0) || len(word) > 1000 {
			return
		}
		out, err := exec.Command("/bin/bash", "-c", "printf %s "+quote(word)).Output()
		if err != nil || string(out) != word {
			t.Errorf("quote(%q) = %s, which the shell reads as %q (%v)", word, quote(word), out, err)
		}
	})
}
