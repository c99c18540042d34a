package buildpack

import (
	"bytes"
	"context"
	"errors"
	"os"
	"path/filepath"
	"reflect"
	"strings"
	"testing"
)

// scripts are the programs of a classic buildpack by their names in bin, without the first line.
type scripts map[string]string

// classicBuildpack makes a folder of a classic buildpack. Names with a slash are other files of it.
func (w *world) classicBuildpack(name string, s scripts) Choice {
	w.t.Helper()
	dir := filepath.Join(w.t.TempDir(), name)
	for file, text := range s {
		if !strings.Contains(file, "/") && !strings.Contains(file, ".") && file != "VERSION" {
			file, text = "bin/"+file, "#!/bin/bash\n"+text
		}
		path := filepath.Join(dir, file)
		if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
			w.t.Fatal(err)
		}
		if err := os.WriteFile(path, []byte(text), 0o755); err != nil {
			w.t.Fatal(err)
		}
	}
	return Choice{Name: name, Dir: dir}
}

func (w *world) classicRequest(named bool, choices ...Choice) Request {
	req := w.request(map[string]string{"content": "hello", ".profile": "export FROM_PROFILE=sourced\n"})
	req.Choices, req.Named = choices, named
	return req
}

var simple = scripts{
	"detect":  `[ -f "$1/content" ] && echo Simple`,
	"compile": `mkdir -p "$2"; if [ -f "$2/kept" ]; then cat "$2/kept"; else echo nothing kept; fi; echo kept before >"$2/kept"; echo "made of $(cat "$1/content")" >"$1/made"; echo user="$USER" home="$HOME" args="$*" var="$USER_VAR" cnb="${CNB_LAYERS_DIR:-none}"`,
	"release": "cat <<'END'\n---\nconfig_vars:\n  X: y\ndefault_process_types:\n  web: cat made; echo \"$FROM_PROFILE $PWD\"\n  worker: echo working | cat\nEND",
	"VERSION": "1.2.3\n", "manifest.yml": "language: simple\nstack: any\n",
}

func TestClassicBuildpackBuildsAndRuns(t *testing.T) {
	w := newWorld(t, nil)
	first, log := w.mustBuild(w.classicRequest(true, w.classicBuildpack("simple_buildpack", simple)))
	for _, want := range []string{"-----> Buildpacks: simple_buildpack\n", "nothing kept", "user=vcap home=/home/vcap args=/home/vcap/app /layers/", "var=u v cnb=none"} {
		if !strings.Contains(log, want) {
			t.Errorf("log lacks %q:\n%s", want, log)
		}
	}
	want := []Process{{"web", `cat made; echo "$FROM_PROFILE $PWD"`, true}, {"worker", "echo working | cat", false}}
	if !reflect.DeepEqual(first.Processes, want) {
		t.Errorf("processes = %+v, want %+v", first.Processes, want)
	}
	if u := first.Buildpacks[0]; u.Name != "simple_buildpack" || u.Version != "1.2.3" || u.Language != "simple" || u.DetectOutput != "" {
		t.Errorf("buildpack = %+v", u)
	}
	if out := w.runDroplet(first.Digest, []string{"/cnb/process/web"}, nil); out != "made of hello\nsourced /home/vcap/app\n" {
		t.Errorf("web printed %q", out)
	}
	again := w.classicRequest(true, w.classicBuildpack("simple_buildpack", simple))
	again.Previous = first.Digest
	if _, log = w.mustBuild(again); !strings.Contains(log, "kept before") {
		t.Errorf("the cache was not kept:\n%s", log)
	}
	if err := w.builder.DeleteCache("app-1"); err != nil {
		t.Fatal(err)
	}
	if _, log = w.mustBuild(w.classicRequest(true, w.classicBuildpack("simple_buildpack", simple))); !strings.Contains(log, "nothing kept") {
		t.Errorf("a deleted cache was used:\n%s", log)
	}
	w.nothingLeft()
}

func TestClassicBuildpacksInAChain(t *testing.T) {
	w := newWorld(t, nil)
	supplier := w.classicBuildpack("supplier", scripts{
		"supply": `echo supply "$@"; mkdir -p "$3/$4/bin"; echo '#!/bin/bash
echo tool of $0' >"$3/$4/bin/tool"; chmod +x "$3/$4/bin/tool"
echo 'processes:
- {type: proxy, command: ./proxy, limits: {memory: 64}, platforms: {cloudfoundry: {sidecar_for: [web]}}}
- {type: clock, command: ./clock}' >"$3/$4/launch.yml"`,
	})
	final := w.classicBuildpack("final", scripts{
		"supply":   `echo final supplies "$4"; mkdir -p "$3/$4"`,
		"finalize": `echo finalize "$@"; echo 'export PATH=$DEPS_DIR/0/bin:$PATH' >"$5/000_paths.sh"; echo 'web: "tool; ls ~/.."' >"$1/Procfile"`,
		"compile":  `echo compile must not run; exit 1`,
		"release":  `echo 'default_process_types: {web: nothing}'`,
	})
	result, log := w.mustBuild(w.classicRequest(true, supplier, final))
	for _, want := range []string{"supply /home/vcap/app", "/home/vcap/deps 0\n", "final supplies 1", "/home/vcap/deps 1 /home/vcap/profile.d\n"} {
		if !strings.Contains(log, want) {
			t.Errorf("log lacks %q:\n%s", want, log)
		}
	}
	wantSidecars := []Sidecar{{"proxy", "./proxy", []string{"web"}, 64}}
	if !reflect.DeepEqual(result.Sidecars, wantSidecars) {
		t.Errorf("sidecars = %+v, want %+v", result.Sidecars, wantSidecars)
	}
	wantProcesses := []Process{{"clock", "./clock", false}, {"web", "tool; ls ~/..", true}}
	if !reflect.DeepEqual(result.Processes, wantProcesses) {
		t.Errorf("processes = %+v, want %+v", result.Processes, wantProcesses)
	}
	out := w.runDroplet(result.Digest, []string{"/cnb/process/web"}, nil, "DEPS_DIR=/home/vcap/deps", "HOME=/home/vcap/app")
	if want := "tool of /home/vcap/deps/0/bin/tool\napp\ndeps\nlogs\nprofile.d\nstaging_info.yml\ntmp\n"; out != want {
		t.Errorf("web printed %q, want %q", out, want)
	}
}

func TestClassicBuildpackBeforeAnotherKind(t *testing.T) {
	w := newWorld(t, nil)
	supplier := w.classicBuildpack("supplier", scripts{
		"supply": `mkdir -p "$3/$4/bin" "$3/$4/env" "$3/$4/profile.d"; echo '#!/bin/bash
echo tool says $SUPPLIED $STARTED' >"$3/$4/bin/tool"; chmod +x "$3/$4/bin/tool"
echo -n yes >"$3/$4/env/SUPPLIED"; echo 'export STARTED=started' >"$3/$4/profile.d/start.sh"`,
	})
	req := w.classicRequest(true, supplier, Choice{Name: "deps_buildpack", ID: "test/deps"}, Choice{Name: "check_buildpack", ID: "test/check"})
	if err := os.WriteFile(filepath.Join(req.Source, "deps.lock"), []byte("x"), 0o644); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(req.Source, ".do"), []byte("tool; exit 0"), 0o644); err != nil {
		t.Fatal(err)
	}
	result, log := w.mustBuild(req)
	if !strings.Contains(log, "tool says yes") {
		t.Errorf("the next buildpack did not find what was supplied:\n%s", log)
	}
	if len(result.Buildpacks) != 3 {
		t.Errorf("buildpacks = %+v", result.Buildpacks)
	}
	if out := w.runDroplet(result.Digest, []string{"/cnb/lifecycle/launcher"}, []string{"tool"}); out != "tool says yes started\n" {
		t.Errorf("at launch the tool printed %q", out)
	}
}

func TestFirstThatDetectsBuilds(t *testing.T) {
	w := newWorld(t, nil)
	never := w.classicBuildpack("never", scripts{"detect": "echo not my kind; exit 1", "compile": "exit 1", "release": "exit 1"})
	yes := w.classicBuildpack("simple_buildpack", simple)
	ours := Choice{Name: "deps_buildpack", ID: "test/deps"}
	result, _ := w.mustBuild(w.classicRequest(false, never, ours, yes))
	if u := result.Buildpacks[0]; u.Name != "simple_buildpack" || u.DetectOutput != "Simple" {
		t.Errorf("built by %+v", result.Buildpacks)
	}
	req := w.classicRequest(false, ours, never)
	var log bytes.Buffer
	req.Log = &log
	_, err := w.builder.Build(context.Background(), req)
	var failed *Error
	if !errors.As(err, &failed) || failed.Code != NoBuildpackDetected || !strings.Contains(failed.Message, "never: does not apply: not my kind") {
		t.Errorf("Build = %v, want that nothing detected it", err)
	}
}

func TestClassicFailures(t *testing.T) {
	w := newWorld(t, nil)
	with := func(change scripts) scripts {
		s := scripts{"detect": "exit 0", "compile": "echo compiling", "release": "echo 'default_process_types: {web: x}'"}
		for name, text := range change {
			s[name] = text
		}
		return s
	}
	other := w.classicBuildpack("other", with(nil))
	for _, c := range []struct {
		name    string
		choices []Choice
		code    Code
		want    string
	}{
		{"compile", []Choice{w.classicBuildpack("bad", with(scripts{"compile": "exit 7"}))}, BuildFailed, "App staging failed in the buildpack compile phase: bin/compile of bad"},
		{"release", []Choice{w.classicBuildpack("bad", with(scripts{"release": "exit 1"}))}, ReleaseFailed, "App staging failed in the buildpack release phase"},
		{"release is no YAML", []Choice{w.classicBuildpack("bad", with(scripts{"release": "echo '{{{'"}))}, ReleaseFailed, "release phase"},
		{"no supply", []Choice{other, w.classicBuildpack("last", with(nil))}, BuildFailed, "bin/supply of other"},
		{"finalize", []Choice{w.classicBuildpack("bad", with(scripts{"finalize": "exit 1"}))}, BuildFailed, "bin/finalize of bad"},
		{"nothing to run", []Choice{w.classicBuildpack("empty", scripts{"VERSION": "1"})}, BuildFailed, "bin/compile of empty"},
		{"no such URL", []Choice{{Name: "file:///etc", URL: "file:///etc"}}, BadBuildpack, "could not be downloaded"},
	} {
		t.Run(c.name, func(t *testing.T) {
			req := w.classicRequest(true, c.choices...)
			var log bytes.Buffer
			req.Log = &log
			_, err := w.builder.Build(context.Background(), req)
			var failed *Error
			if !errors.As(err, &failed) || failed.Code != c.code || !strings.Contains(failed.Message, c.want) {
				t.Errorf("Build = %v, want %q with %q\n%s", err, c.code, c.want, log.String())
			}
			w.nothingLeft()
		})
	}
}

// TestUploadedPackage builds with a package of Cloud Native Buildpacks beside the builder's own.
func TestUploadedPackage(t *testing.T) {
	w := newWorld(t, nil)
	dir := t.TempDir()
	to := filepath.Join(dir, "other_check", "2.0.0")
	if err := os.CopyFS(to, os.DirFS("testdata/buildpacks/test_check/1.0.0")); err != nil {
		t.Fatal(err)
	}
	descriptor := "api = \"0.8\"\n[[stacks]]\nid = \"*\"\n[buildpack]\nid = \"other/check\"\nversion = \"2.0.0\"\n"
	for name, text := range map[string]string{"buildpack.toml": descriptor, "bin/detect": "#!/bin/bash\nexit 0\n"} {
		if err := os.WriteFile(filepath.Join(to, name), []byte(text), 0o755); err != nil {
			t.Fatal(err)
		}
	}
	if err := os.Chmod(filepath.Join(to, "bin", "build"), 0o755); err != nil {
		t.Fatal(err)
	}
	choice := Choice{Name: "other_cnb", ID: "other/check", Version: "2.0.0", Dir: dir}
	for _, named := range []bool{true, false} {
		result, log := w.mustBuild(w.classicRequest(named, choice))
		if len(result.Buildpacks) != 1 || result.Buildpacks[0].ID != "other/check" || result.Buildpacks[0].Version != "2.0.0" {
			t.Errorf("named %v: buildpacks = %+v\n%s", named, result.Buildpacks, log)
		}
	}
}
