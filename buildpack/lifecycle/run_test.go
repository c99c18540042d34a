package lifecycle

import (
	"bytes"
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/cupola-paas/cupola/buildpack/lifecycle/environ"
)

// stage is a tree as a build container has it, with buildpacks as shell scripts.
type stage struct {
	t    *testing.T
	root string
	out  bytes.Buffer
	Run
}

func newStage(t *testing.T, order string) *stage {
	s := &stage{t: t, root: t.TempDir()}
	at := func(name string) string { return filepath.Join(s.root, name) }
	s.Run = Run{
		AppDir: at("app"), LayersDir: at("layers"), PlatformDir: at("platform"), BuildpacksDir: at("buildpacks"),
		OrderPath: at("order.toml"), SystemPath: at("system.toml"), BuildConfigDir: at("build-config"), OSRelease: at("os-release"),
		Env:    environ.FromList([]string{"PATH=" + os.Getenv("PATH"), "HOME=/home/x", "SECRET=not for buildpacks"}),
		Stdout: &s.out, Stderr: &s.out,
	}
	s.put("app/file", "")
	s.put("layers/analyzed.toml", "[run-image.target]\nos = \"linux\"\narch = \"amd64\"\n")
	s.put("os-release", "ID=debian\nVERSION_ID=\"13\"\n")
	s.put("order.toml", orderTOML(order))
	return s
}

func (s *stage) put(name, content string) {
	s.t.Helper()
	path := filepath.Join(s.root, name)
	if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
		s.t.Fatal(err)
	}
	if err := os.WriteFile(path, []byte(content), 0o755); err != nil {
		s.t.Fatal(err)
	}
}

// buildpack writes one with version 1.
func (s *stage) buildpack(id, more, detect, build string) {
	s.t.Helper()
	dir := "buildpacks/" + id + "/1/"
	s.put(dir+"buildpack.toml", fmt.Sprintf("api = \"0.12\"\n[buildpack]\nid = %q\nversion = \"1\"\n%s\n", id, more))
	s.put(dir+"bin/detect", "#!/bin/bash\n"+detect+"\n")
	s.put(dir+"bin/build", "#!/bin/bash\nset -e\n"+build+"\n")
}

// do runs and returns the exit code and the outcome as the host would read it.
func (s *stage) do() (int, Outcome) {
	s.t.Helper()
	code := s.Do()
	var o Outcome
	b, err := ReadFile(filepath.Join(s.LayersDir, OutcomeFile), 1<<20)
	if err == nil {
		err = json.Unmarshal(b, &o)
	}
	if err != nil {
		s.t.Fatal(err)
	}
	return code, o
}

func TestEnvironmentOfBuildpacks(t *testing.T) {
	s := newStage(t, "a b")
	s.put("platform/env/USERS", "u")
	s.put("platform/env/PATH", "/users")
	s.put("platform/env/CNB_TARGET_OS", "forged")
	s.put("build-config/env/OPERATORS", "o")
	s.put("build-config/env/USERS", "not this")
	print := `echo "$0 <$USERS> <$OPERATORS> <$SECRET> $CNB_TARGET_OS/$CNB_TARGET_ARCH/$CNB_TARGET_DISTRO_NAME/$CNB_TARGET_DISTRO_VERSION $HOME $CNB_EXEC_ENV ${PATH%%:*}"`
	s.buildpack("a", "", "", print)
	s.buildpack("b", "clear-env = true", "", print)
	code, o := s.do()
	if code != 0 {
		t.Fatalf("exit %d: %+v\n%s", code, o, s.out.String())
	}
	first, _, _ := strings.Cut(os.Getenv("PATH"), ":")
	for _, want := range []string{
		"buildpacks/a/1/bin/build <u> <o> <> linux/amd64/debian/13 /home/x production /users\n",
		"buildpacks/b/1/bin/build <not this> <o> <> linux/amd64/debian/13 /home/x production " + first + "\n",
	} {
		if !strings.Contains(s.out.String(), want) {
			t.Errorf("output lacks %q:\n%s", want, s.out.String())
		}
	}
}

func TestLayersOfABuild(t *testing.T) {
	s := newStage(t, "a b")
	s.put("layers/a/old/file", "from the cache")
	s.put("layers/gone/old/file", "of a buildpack that takes no part")
	s.buildpack("a", "", "", `
cd $CNB_LAYERS_DIR; mkdir -p seen/bin seen/env.build seen/env.launch ignored/x
echo v > seen/env.build/V; echo w > seen/env.launch/W
printf '[types]\nbuild = true\n' > seen.toml; printf '[metadata]\nx = 1\n' > ignored.toml; echo > old.toml`)
	s.buildpack("b", "", "", `echo "V=$V W=$W PATH=$PATH"; ls $CNB_LAYERS_DIR/../a; ls $CNB_LAYERS_DIR/..`)
	if code, o := s.do(); code != 0 {
		t.Fatalf("exit %d: %+v\n%s", code, o, s.out.String())
	}
	out := s.out.String()
	if !strings.Contains(out, "V=v\n W= PATH="+s.LayersDir+"/a/seen/bin:") {
		t.Errorf("the build layer is not in the environment:\n%s", out)
	}
	for name, want := range map[string]bool{"a/seen": true, "a/ignored": false, "a/ignored.ignore": true, "a/old": false, "a/old.ignore": true, "gone": false} {
		if _, err := os.Stat(filepath.Join(s.LayersDir, name)); (err == nil) != want {
			t.Errorf("%s: there = %v, want %v", name, err == nil, want)
		}
	}
}

func TestExitCodes(t *testing.T) {
	tests := []struct {
		name, order   string
		more          string
		detect, build string
		code          int
		message       string
	}{
		{"well", "a", "", "", "", 0, ""},
		{"not detected", "a", "", "exit 100", "", ExitNoneDetected, "no group"},
		{"detection fails", "a", "", "exit 3", "", ExitDetectErrored, "at least one"},
		{"optional detection fails", "a?", "", "exit 3", "", ExitDetectErrored, "at least one"},
		{"plan cannot be read", "a", "", "echo '[[' > $CNB_BUILD_PLAN_PATH", "", ExitDetectErrored, "at least one"},
		{"unknown", "nope", "", "", "", ExitBadBuildpack, "nope"},
		{"build fails", "a", "", "", "exit 8", ExitBuildFailed, "exit status 8"},
		{"killed", "a", "", "", "kill -9 $$", ExitBuildFailed, "exit status 137"},
		{"undeclared SBOM", "a", "", "", "echo {} > $CNB_LAYERS_DIR/x.sbom.cdx.json", ExitBuildFailed, "sbom-formats"},
		{"declared SBOM", "a", `sbom-formats = ["application/vnd.cyclonedx+json"]`, "", "echo {} > $CNB_LAYERS_DIR/x.sbom.cdx.json", 0, ""},
		{"layer is not TOML", "a", "", "", "echo '[[' > $CNB_LAYERS_DIR/x.toml", ExitBuildFailed, `layer "x"`},
		{"layer is a link", "a", "", "", "ln -s /etc/passwd $CNB_LAYERS_DIR/x.toml", ExitBuildFailed, `layer "x"`},
		{"reserved name", "a", "", "", "mkdir $CNB_LAYERS_DIR/store", ExitBuildFailed, "reserved"},
		{"wrong target", "a", "[[targets]]\nos = \"plan9\"", "", "", ExitNoneDetected, "no group"},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			s := newStage(t, test.order)
			s.buildpack("a", test.more, test.detect, test.build)
			code, o := s.do()
			if code != test.code || !strings.Contains(o.Message, test.message) {
				t.Errorf("exit %d, %q; want %d, %q\n%s", code, o.Message, test.code, test.message, s.out.String())
			}
		})
	}
}

func TestDetectionRunsOnceForAllGroups(t *testing.T) {
	s := newStage(t, "a b/a c")
	s.buildpack("a", "", "echo ran >> "+s.root+"/count", "")
	s.buildpack("b", "", "echo 'b wants more'; exit 100", "")
	s.buildpack("c", "", "", "")
	code, o := s.do()
	count, _ := os.ReadFile(filepath.Join(s.root, "count"))
	if code != 0 || string(count) != "ran\n" {
		t.Errorf("exit %d, detected %q", code, count)
	}
	if len(o.Tried) != 3 || o.Tried[1].Output != "b wants more" || len(o.Group) != 2 || o.Group[1].ID != "c" {
		t.Errorf("outcome = %+v", o)
	}
}

func TestPlanReachesItsProvider(t *testing.T) {
	s := newStage(t, "a b c")
	provide := "printf '[[provides]]\\nname = \"x\"\\n' > $CNB_BUILD_PLAN_PATH"
	s.buildpack("a", "", provide, `cat $CNB_BP_PLAN_PATH; printf '[[unmet]]\nname = "x"\n' > $CNB_LAYERS_DIR/build.toml`)
	s.buildpack("b", "", provide, `echo "b: $(cat $CNB_BP_PLAN_PATH)"`)
	s.buildpack("c", "", "printf '[[requires]]\\nname = \"x\"\\n[requires.metadata]\\nk = \"v\"\\n' > $CNB_BUILD_PLAN_PATH", `echo "c: <$(cat $CNB_BP_PLAN_PATH)>"`)
	if code, o := s.do(); code != 0 {
		t.Fatalf("exit %d: %+v\n%s", code, o, s.out.String())
	}
	out := s.out.String()
	if !strings.Contains(out, "b: [[entries]]\nname = \"x\"\n[entries.metadata]\nk = \"v\"") || !strings.Contains(out, "c: <>") {
		t.Errorf("plans:\n%s", out)
	}
}
