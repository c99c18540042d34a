package system

import (
	"bytes"
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"runtime"
	"strings"
	"testing"

	"github.com/BurntSushi/toml"
)

// program is the real program of all buildpacks, built once for the package's tests.
var program []byte

func TestMain(m *testing.M) { os.Exit(run(m)) }

func run(m *testing.M) int {
	dir, err := os.MkdirTemp("", "buildpacks-")
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	defer os.RemoveAll(dir)
	cmd := exec.Command("go", "build", "-trimpath", "-ldflags=-s -w", "-o", filepath.Join(dir, "buildpack"), "./cmd/buildpack")
	cmd.Env = append(os.Environ(), "CGO_ENABLED=0")
	if out, err := cmd.CombinedOutput(); err != nil {
		fmt.Fprintf(os.Stderr, "build the buildpacks: %v\n%s", err, out)
		return 1
	}
	if program, err = os.ReadFile(filepath.Join(dir, "buildpack")); err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	return m.Run()
}

func TestInstall(t *testing.T) {
	dir := t.TempDir()
	for range 2 { // it may be repeated
		if err := Install(dir, program); err != nil {
			t.Fatal(err)
		}
	}
	var first os.FileInfo
	for _, b := range Buildpacks() {
		var d descriptor
		if _, err := toml.DecodeFile(filepath.Join(dir, b.Dir(), "buildpack.toml"), &d); err != nil {
			t.Fatal(err)
		}
		if d.API != API || d.Buildpack.ID != b.ID || d.Buildpack.Version != b.Version || len(d.Targets) != 1 {
			t.Errorf("%s declares %+v", b.ID, d)
		}
		for _, phase := range []string{"detect", "build"} {
			st, err := os.Stat(filepath.Join(dir, b.Dir(), "bin", phase))
			if err != nil {
				t.Fatal(err)
			}
			if first == nil {
				first = st
			}
			if st.Mode().Perm() != 0o755 || !os.SameFile(first, st) {
				t.Errorf("%s of %s has mode %v and is the same file as the others: %v", phase, b.ID, st.Mode(), os.SameFile(first, st))
			}
		}
	}
	var o orderFile
	if _, err := toml.DecodeFile(filepath.Join(dir, "order.toml"), &o); err != nil {
		t.Fatal(err)
	}
	for _, g := range o.Order {
		for _, e := range g.Group {
			if _, err := os.Stat(filepath.Join(dir, Buildpack{ID: e.ID, Version: e.Version}.Dir())); err != nil {
				t.Errorf("the order names what is not installed: %v", err)
			}
		}
	}
	if last := o.Order[len(o.Order)-1].Group[0].ID; last != "cupola/executable" {
		t.Errorf("the last in the order is %s", last)
	}
}

func TestInstallRefusesWhatIsNoProgram(t *testing.T) {
	if err := Install(t.TempDir(), []byte("#!/bin/sh")); err == nil {
		t.Error("a script was taken for the program")
	}
}

func TestBuildpacks(t *testing.T) {
	names := map[string]bool{}
	form := regexp.MustCompile(`^(0|[1-9]\d*)\.(0|[1-9]\d*)\.(0|[1-9]\d*)$`)
	for _, b := range Buildpacks() {
		if !form.MatchString(b.Version) {
			t.Errorf("%s has version %q, want three numbers", b.ID, b.Version)
		}
		if b.CFName != "" && CFName(b.ID) != b.CFName {
			t.Errorf("CFName(%s) = %q, want %q", b.ID, CFName(b.ID), b.CFName)
		}
		names[b.CFName] = true
	}
	for _, want := range []string{"go_buildpack", "java_buildpack", "ruby_buildpack", "nodejs_buildpack", "python_buildpack", "staticfile_buildpack", "binary_buildpack"} {
		if !names[want] {
			t.Errorf("%s is missing", want)
		}
	}
	if got := CFName("cupola/executable"); got != "binary_buildpack" {
		t.Errorf("an executable that nobody named a buildpack for is shown as %q", got)
	}
}

// staging is one app with its layers, as a lifecycle holds them.
type staging struct {
	t                *testing.T
	buildpack        string // folder
	app, layers, tmp string
	env              []string
}

func stage(t *testing.T, name string, files map[string]string) *staging {
	t.Helper()
	dir := t.TempDir()
	if err := Install(filepath.Join(dir, "cnb"), program); err != nil {
		t.Fatal(err)
	}
	s := &staging{t: t, app: filepath.Join(dir, "app"), layers: filepath.Join(dir, "layers"), tmp: dir}
	for _, b := range Buildpacks() {
		if b.ID == "cupola/"+name {
			s.buildpack = filepath.Join(dir, "cnb", b.Dir())
		}
	}
	for _, d := range []string{s.app, s.layers, filepath.Join(dir, "platform", "env")} {
		if err := os.MkdirAll(d, 0o755); err != nil {
			t.Fatal(err)
		}
	}
	s.write(files)
	return s
}

func (s *staging) write(files map[string]string) {
	s.t.Helper()
	for name, text := range files {
		path := filepath.Join(s.app, name)
		if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
			s.t.Fatal(err)
		}
		mode := os.FileMode(0o644)
		if strings.HasPrefix(text, "#!") {
			mode = 0o755
		}
		if err := os.WriteFile(path, []byte(text), mode); err != nil {
			s.t.Fatal(err)
		}
	}
}

// phase runs detect or build and returns its exit code and output.
func (s *staging) phase(name string) (int, string) {
	s.t.Helper()
	cmd := exec.CommandContext(context.Background(), filepath.Join(s.buildpack, "bin", name))
	cmd.Dir = s.app
	cmd.Env = append(os.Environ(),
		"CNB_BUILDPACK_DIR="+s.buildpack, "CNB_PLATFORM_DIR="+filepath.Join(s.tmp, "platform"), "CNB_LAYERS_DIR="+s.layers,
		"CNB_BUILD_PLAN_PATH="+filepath.Join(s.tmp, "plan.toml"), "CNB_BP_PLAN_PATH="+filepath.Join(s.tmp, "bp-plan.toml"))
	cmd.Env = append(cmd.Env, s.env...)
	var out bytes.Buffer
	cmd.Stdout, cmd.Stderr = &out, &out
	err := cmd.Run()
	if cmd.ProcessState == nil {
		s.t.Fatal(err)
	}
	return cmd.ProcessState.ExitCode(), out.String()
}

// build runs both phases, which must pass, and returns the output of build.
func (s *staging) build() string {
	s.t.Helper()
	if code, out := s.phase("detect"); code != 0 {
		s.t.Fatalf("detect = %d: %s", code, out)
	}
	code, out := s.phase("build")
	if code != 0 {
		s.t.Fatalf("build = %d: %s", code, out)
	}
	return out
}

// restore does to the layers what the lifecycle does between two builds: those that are not cached lose their
// content, and all lose their types.
func (s *staging) restore() {
	s.t.Helper()
	files, err := filepath.Glob(filepath.Join(s.layers, "*.toml"))
	if err != nil {
		s.t.Fatal(err)
	}
	for _, f := range files {
		var l struct {
			Types    map[string]bool   `toml:"types"`
			Metadata map[string]string `toml:"metadata"`
		}
		if _, err := toml.DecodeFile(f, &l); err != nil {
			s.t.Fatal(err)
		}
		if !l.Types["cache"] {
			if err := os.RemoveAll(strings.TrimSuffix(f, ".toml")); err != nil {
				s.t.Fatal(err)
			}
		}
		if err := encode(f, map[string]any{"metadata": l.Metadata}); err != nil {
			s.t.Fatal(err)
		}
	}
}

type process struct {
	Type    string
	Command []string
	Default bool
}

func (s *staging) processes() map[string]process {
	s.t.Helper()
	var l struct{ Processes []process }
	if _, err := toml.DecodeFile(filepath.Join(s.layers, "launch.toml"), &l); err != nil && !os.IsNotExist(err) {
		s.t.Fatal(err)
	}
	m := map[string]process{}
	for _, p := range l.Processes {
		m[p.Type] = p
	}
	return m
}

func TestDetectSaysWhyNot(t *testing.T) {
	for name, want := range map[string]string{
		"go": "no go.mod", "java": "no JAR with a Main-Class", "ruby": "no Gemfile", "nodejs": "no package.json", "python": "no requirements.txt", "staticfile": "no Staticfile",
		"procfile": "no Procfile", "executable": "no executable file",
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			s := stage(t, name, map[string]string{"notes.txt": "x"})
			code, out := s.phase("detect")
			if code != 100 || !strings.Contains(out, want) || strings.Count(out, "\n") != 1 {
				t.Errorf("detect = %d with %q, want 100 with one line: %s", code, out, want)
			}
		})
	}
}

func TestProcfileHasTheLastWord(t *testing.T) {
	t.Parallel()
	s := stage(t, "executable", map[string]string{"run": "#!/bin/sh\n", "Procfile": "web: ./run --port $PORT\nworker: ./run work\n"})
	s.build()
	got := s.processes()
	if want := "[bash -c exec ./run --port $PORT]"; fmt.Sprint(got["web"].Command) != want || !got["web"].Default {
		t.Errorf("web = %+v, want %s", got["web"], want)
	}
	if want := "[./run work]"; fmt.Sprint(got["worker"].Command) != want {
		t.Errorf("worker = %+v, want %s", got["worker"], want)
	}
}

func TestBrokenProcfileFailsTheBuild(t *testing.T) {
	t.Parallel()
	s := stage(t, "procfile", map[string]string{"Procfile": "no colon here\n"})
	if code, out := s.phase("build"); code != 1 || !strings.Contains(out, "line 1") {
		t.Errorf("build = %d: %s", code, out)
	}
}

func TestStatic(t *testing.T) {
	t.Parallel()
	s := stage(t, "staticfile", map[string]string{"Staticfile": "root: site\nnonsense: 1\n", "site/index.html": "x"})
	if out := s.build(); !strings.Contains(out, "nonsense") {
		t.Errorf("an unknown option is passed over in silence: %s", out)
	}
	web := s.processes()["web"]
	if len(web.Command) != 2 {
		t.Fatalf("web = %+v", web)
	}
	for _, f := range web.Command {
		if _, err := os.Stat(f); err != nil {
			t.Error(err)
		}
	}
}

func TestGoApp(t *testing.T) {
	if _, err := exec.LookPath("go"); err != nil {
		t.Skip("there is no go client here")
	}
	t.Parallel()
	version := runtime.Version() // of the client here, so that nothing is downloaded
	s := stage(t, "go", map[string]string{
		"go.mod":              "module example.com/x\n\ngo 1.21\n\ntoolchain " + version + "\n",
		"cmd/web/main.go":     "package main\n\nimport \"example.com/x/vendored\"\n\nfunc main() { println(vendored.Text) }\n",
		"cmd/job/main.go":     "package main\n\nfunc main() { println(\"job\") }\n",
		"vendored/text.go":    "package vendored\n\nconst Text = \"hello\"\n",
		"templates/page.html": "x",
	})
	s.env = []string{"CGO_ENABLED=0"}
	out := s.build()
	if !strings.Contains(out, strings.TrimPrefix(version, "go")) {
		t.Errorf("the log does not name %s: %s", version, out)
	}
	procs := s.processes()
	got, err := exec.Command(procs["web"].Command[0]).CombinedOutput()
	if err != nil || string(got) != "hello\n" {
		t.Errorf("web says %q, %v", got, err)
	}
	if _, ok := procs["job"]; !ok || !procs["web"].Default || procs["job"].Default {
		t.Errorf("processes = %+v", procs)
	}
	if _, err := os.Stat(filepath.Join(s.app, "templates/page.html")); err != nil {
		t.Errorf("what the app reads is gone: %v", err)
	}
	if _, err := os.Stat(filepath.Join(s.app, "cmd/web/main.go")); !os.IsNotExist(err) {
		t.Errorf("the source is still there: %v", err)
	}
}

func TestGoErrorsAreShown(t *testing.T) {
	t.Parallel()
	s := stage(t, "go", map[string]string{
		"go.mod": "module example.com/x\n\ngo 1.21\n\ntoolchain " + runtime.Version() + "\n", "main.go": "package main\n\nfunc main() { nope() }\n",
	})
	if code, out := s.phase("build"); code == 0 || !strings.Contains(out, "nope") {
		t.Errorf("build = %d: %s", code, out)
	}
}

const vendoredWheel = "../../e2e/apps/python"

func TestPythonApp(t *testing.T) {
	if err := exec.Command("/usr/bin/python3", "-c", "import venv, pip, ensurepip").Run(); err != nil {
		t.Skipf("the host's Python can't make environments: %v", err)
	}
	t.Parallel()
	s := stage(t, "python", nil)
	if err := os.CopyFS(s.app, os.DirFS(vendoredWheel)); err != nil {
		t.Fatal(err)
	}
	s.env = []string{"PIP_FIND_LINKS=", "PIP_INDEX_URL=http://127.0.0.1:1/"}
	s.build()
	greet := exec.Command(filepath.Join(s.layers, "venv", "bin", "python"), "-c", "import cupola_greeting; print(cupola_greeting.greet('x'))")
	if out, err := greet.CombinedOutput(); err != nil || string(out) != "Hello from x\n" {
		t.Errorf("the wheel says %q, %v", out, err)
	}
	s.restore()
	s.write(map[string]string{"version.txt": "2"})
	if out := s.build(); !strings.Contains(out, "Reusing") {
		t.Errorf("unchanged dependencies were installed again: %s", out)
	}
}

// TestNodeApp asks the npm registry, as every first build of an app does.
func TestNodeApp(t *testing.T) {
	if testing.Short() {
		t.Skip("downloads Node.js")
	}
	if out, err := exec.Command("npm", "view", "ms@2.1.3", "version").CombinedOutput(); err != nil {
		t.Skipf("npm can't reach its registry here: %v\n%s", err, out)
	}
	t.Parallel()
	s := stage(t, "nodejs", map[string]string{
		"package.json": `{"name":"x","version":"1.2.3","engines":{"node":"22.x"},"scripts":{"start":"node server.js","build":"node build.js","postinstall":"node -e \"require('fs').appendFileSync('ran.txt','x')\""},
			"dependencies":{"ms":"2.1.3"},"devDependencies":{"isarray":"2.0.5"}}`,
		"build.js":  `require('isarray'); require('fs').writeFileSync('built.txt', process.version)`,
		"server.js": `console.log(require('ms')('1m'), process.version)`,
		"notes.txt": "1",
	})
	if out := s.build(); !strings.Contains(out, "no lock file") {
		t.Errorf("there is no word about the missing lock file: %s", out)
	}
	s.check(t)
	// A push that changes one file: everything is restored, nothing may ask the network.
	s.restore()
	s.write(map[string]string{"notes.txt": "2"})
	if err := os.RemoveAll(filepath.Join(s.app, "node_modules")); err != nil {
		t.Fatal(err)
	}
	s.env = []string{"npm_config_registry=http://127.0.0.1:1/", "npm_config_fetch_retries=0"}
	if out := s.build(); strings.Count(out, "Reusing") != 2 {
		t.Errorf("unchanged dependencies were installed again: %s", out)
	}
	s.check(t)
	s.write(map[string]string{"build.js": "process.exit(3)"})
	if code, out := s.phase("build"); code != 3 || !strings.Contains(out, `"build"`) {
		t.Errorf("with a failing build script: %d, %s", code, out)
	}
}

// check runs what was built as launch would.
func (s *staging) check(t *testing.T) {
	t.Helper()
	web := s.processes()["web"]
	cmd := exec.Command(filepath.Join(s.layers, "node", "bin", web.Command[0]), web.Command[1:]...)
	cmd.Dir = s.app
	if out, err := cmd.CombinedOutput(); err != nil || !strings.HasPrefix(string(out), "60000 v22.") {
		t.Errorf("the app says %q, %v", out, err)
	}
	for _, want := range []string{"built.txt", "ran.txt"} {
		if _, err := os.Stat(filepath.Join(s.app, want)); err != nil {
			t.Errorf("a script did not run: %v", err)
		}
	}
	if _, err := os.Stat(filepath.Join(s.app, "node_modules", "isarray")); !os.IsNotExist(err) {
		t.Errorf("what only the build needs is in the image: %v", err)
	}
	fd := exec.Command(filepath.Join(s.layers, "node", "exec.d", "node-heap"))
	fd.Env = []string{"MEMORY_LIMIT=100M"}
	r, w, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	fd.ExtraFiles = []*os.File{w}
	err = fd.Run()
	w.Close()
	var got struct{ NODE_OPTIONS string }
	if _, derr := toml.NewDecoder(r).Decode(&got); err != nil || derr != nil || got.NODE_OPTIONS != "--max-old-space-size=80" {
		t.Errorf("exec.d gives %q, %v, %v", got.NODE_OPTIONS, err, derr)
	}
}
