package buildpack

import (
	"bytes"
	"context"
	"errors"
	"io"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"testing"
	"time"

	"github.com/docker/docker/api/types/container"
	"github.com/docker/docker/api/types/filters"
	"github.com/docker/docker/api/types/image"
	"github.com/docker/docker/client"
	"github.com/docker/docker/pkg/stdcopy"
)

const goarch = runtime.GOARCH

// world is a builder with its registry, base images and engine.
type world struct {
	t        testing.TB
	docker   *client.Client
	builder  *Builder
	options  Options
	host     string
	build    string
	run      string
	buildSeq int
}

func newWorld(t testing.TB, change func(*Options)) *world {
	t.Helper()
	w := &world{t: t, docker: dockerClient(t), host: testRegistry(t)}
	binaries, err := programs()
	if err != nil {
		t.Fatal(err)
	}
	buildpacks, err := filepath.Abs("testdata/buildpacks")
	if err != nil {
		t.Fatal(err)
	}
	w.options = Options{
		Dir: t.TempDir(), Installation: "test-" + filepath.Base(t.TempDir()) + "-" + strings.ToLower(strings.NewReplacer("/", "-", "#", "-").Replace(t.Name())),
		Buildpacks: buildpacks, BuildEnv: map[string]string{"OPERATOR": "op"},
		Launcher: binaries["launcher"], Phase: binaries["phase"],
	}
	if change != nil {
		change(&w.options)
	}
	if w.builder, err = New(w.options); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { w.builder.Close() })
	w.build = baseImage(t, w.host, "stacks/build", "build", nil)
	w.run = baseImage(t, w.host, "stacks/run", "run", nil)
	t.Cleanup(func() { w.removeImage(w.build) })
	return w
}

func (w *world) removeImage(reference string) {
	w.docker.ImageRemove(context.Background(), reference, image.RemoveOptions{Force: true, PruneChildren: true})
}

func (w *world) source(files map[string]string) string {
	w.t.Helper()
	dir := filepath.Join(w.t.TempDir(), "source")
	for name, content := range files {
		path := filepath.Join(dir, name)
		if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
			w.t.Fatal(err)
		}
		if err := os.WriteFile(path, []byte(content), 0o644); err != nil {
			w.t.Fatal(err)
		}
	}
	return dir
}

func (w *world) request(files map[string]string) Request {
	w.buildSeq++
	return Request{
		ID: "b" + string(rune('a'+w.buildSeq)), CacheID: "app-1", Source: w.source(files),
		Env: map[string]string{"USER_VAR": "u v"}, BuildImage: w.build, RunImage: w.run,
		Repository: w.host + "/droplets/app",
	}
}

func (w *world) mustBuild(req Request) (*Result, string) {
	w.t.Helper()
	var log bytes.Buffer
	req.Log = &log
	r, err := w.builder.Build(context.Background(), req)
	if err != nil {
		w.t.Fatalf("Build: %v\n%s", err, log.String())
	}
	return r, log.String()
}

// nothingLeft checks that no container and no folder of a build is left.
func (w *world) nothingLeft() {
	w.t.Helper()
	list, err := w.docker.ContainerList(context.Background(), container.ListOptions{
		All: true, Filters: filters.NewArgs(filters.Arg("label", "cupola.build.installation="+w.options.Installation)),
	})
	if err != nil {
		w.t.Fatal(err)
	}
	if len(list) > 0 {
		w.t.Errorf("containers are left: %+v", list)
	}
	entries, err := os.ReadDir(filepath.Join(w.options.Dir, "builds"))
	if err != nil {
		w.t.Fatal(err)
	}
	if len(entries) > 0 {
		w.t.Errorf("folders are left: %v", entries)
	}
}

// runDroplet runs the image in the engine and returns what it prints.
func (w *world) runDroplet(digest string, entrypoint, args []string, env ...string) string {
	w.t.Helper()
	ctx := context.Background()
	ref := w.host + "/droplets/app@" + digest
	progress, err := w.docker.ImagePull(ctx, ref, image.PullOptions{})
	if err != nil {
		w.t.Fatal(err)
	}
	io.Copy(io.Discard, progress)
	progress.Close()
	w.t.Cleanup(func() { w.removeImage(ref) })
	created, err := w.docker.ContainerCreate(ctx, &container.Config{
		Image: ref, Entrypoint: entrypoint, Cmd: args, Env: env,
		Labels: map[string]string{"cupola.build.installation": w.options.Installation},
	}, &container.HostConfig{NetworkMode: "none"}, nil, nil, "")
	if err != nil {
		w.t.Fatal(err)
	}
	defer w.docker.ContainerRemove(ctx, created.ID, container.RemoveOptions{Force: true})
	ended, failed := w.docker.ContainerWait(ctx, created.ID, container.WaitConditionNextExit)
	if err := w.docker.ContainerStart(ctx, created.ID, container.StartOptions{}); err != nil {
		w.t.Fatal(err)
	}
	select {
	case <-ended:
	case err := <-failed:
		w.t.Fatal(err)
	}
	logs, err := w.docker.ContainerLogs(ctx, created.ID, container.LogsOptions{ShowStdout: true, ShowStderr: true})
	if err != nil {
		w.t.Fatal(err)
	}
	defer logs.Close()
	var out bytes.Buffer
	stdcopy.StdCopy(&out, &out, logs)
	return out.String()
}

var app = map[string]string{"deps.lock": "left-pad 1.0", "server": "code", "public/index.html": "hi"}

func TestBuildReadsFiles(t *testing.T) {
	w := newWorld(t, nil)
	req := w.request(map[string]string{"deps.lock": "left-pad 1.0", "server": "code", ".do": `echo "bound=$(</etc/given/db/uri) $(</etc/given/top)"; echo x 2>/dev/null >/etc/given/top || echo kept`})
	req.Files = map[string][]byte{"/etc/given/db/uri": []byte("example"), "/etc/given/top": []byte("all")}
	r, log := w.mustBuild(req)
	if !strings.Contains(log, "bound=example all\nkept") {
		t.Errorf("the build read other files:\n%s", log)
	}
	w.nothingLeft()
	if out := w.runDroplet(r.Digest, []string{"/cnb/lifecycle/launcher"}, []string{"[ -e /etc/given ] || echo gone"}); out != "gone\n" {
		t.Errorf("the files are in the image: %q", out)
	}
	req = w.request(app)
	req.Files = map[string][]byte{"/etc/../root/x/y": nil}
	req.Log = io.Discard
	if _, err := w.builder.Build(context.Background(), req); err == nil || !strings.Contains(err.Error(), "absolute path") {
		t.Errorf("a path that leads elsewhere: %v", err)
	}
}

func TestBuildThenRebuildThenRun(t *testing.T) {
	w := newWorld(t, nil)
	first, log := w.mustBuild(w.request(app))
	w.nothingLeft()
	for _, want := range []string{
		"Buildpacks: test/deps 1.0.0, test/check 1.0.0", "Installing dependencies",
		"args=/layers/test_check /platform user=2000:2000 deps=deps mode=one user_var=u v operator=op target=linux/debian",
	} {
		if !strings.Contains(log, want) {
			t.Errorf("log lacks %q:\n%s", want, log)
		}
	}
	wantProcesses := []Process{
		{"web", "serve 'default arg'", true}, {"worker", "bash -c 'echo working'", false}, {"shell", "echo shell", false},
	}
	if len(first.Processes) != 3 || first.Processes[0] != wantProcesses[0] || first.Processes[1] != wantProcesses[1] || first.Processes[2] != wantProcesses[2] {
		t.Errorf("Processes = %+v, want %+v", first.Processes, wantProcesses)
	}
	out := w.runDroplet(first.Digest, nil, nil)
	if want := "serving deps two yes default arg in /home/vcap/app\n"; out != want {
		t.Errorf("web printed %q, want %q", out, want)
	}
	if out := w.runDroplet(first.Digest, []string{"/cnb/lifecycle/launcher"}, []string{"echo $DEPS; echo $CNB_APP_DIR $PATH"}); out != "deps\n/layers/test_deps/modules/bin:/bin\n" {
		t.Errorf("a command of the user printed %q", out)
	}

	again := w.request(app)
	again.Previous = first.Digest
	same, log := w.mustBuild(again)
	if !strings.Contains(log, "Reusing cached dependencies") || !strings.Contains(log, "Keeping the data layer") {
		t.Errorf("nothing was reused:\n%s", log)
	}
	if same.Digest != first.Digest {
		t.Errorf("the same source made %s, then %s", first.Digest, same.Digest)
	}

	changed := w.request(map[string]string{"deps.lock": "left-pad 1.0", "server": "new code", "public/index.html": "hi"})
	changed.Previous = first.Digest
	next, log := w.mustBuild(changed)
	if next.Digest == first.Digest {
		t.Error("another source made the same image")
	}
	if !strings.Contains(log, "1 layers uploaded") {
		t.Errorf("want one layer uploaded:\n%s", log)
	}
	t.Logf("phases of a one-file change: %v", next.Phases)
}

func TestFailures(t *testing.T) {
	w := newWorld(t, nil)
	with := func(do string) map[string]string {
		return map[string]string{"deps.lock": "x", ".do": do}
	}
	tests := []struct {
		name   string
		files  map[string]string
		change func(*Request)
		code   Code
		want   []string
	}{
		{"nothing detects", map[string]string{"README": ""}, nil, NoBuildpackDetected,
			[]string{"test/never 0.0.1: does not apply: needs never.txt", "test/deps 1.0.0: does not apply: no deps.lock here"}},
		{"detect breaks", app, func(r *Request) { r.Buildpacks = []string{"test/broken"} }, DetectFailed,
			[]string{"test/broken 0.0.1: failed with exit status 7: cannot look"}},
		{"unknown buildpack", app, func(r *Request) { r.Buildpacks = []string{"test/nope"} }, BadBuildpack, []string{"test/nope"}},
		{"build fails", with("echo bad luck; exit 9"), nil, BuildFailed, []string{"test/check 1.0.0 failed: exit status 9"}},
		{"times out", with("sleep 600"), func(r *Request) { r.Limits.Timeout = 2 * time.Second }, TimedOut, []string{"2s"}},
		{"needs memory", with(`x=a; while :; do x=$x$x; done`), func(r *Request) { r.Limits.MemoryMB = 64 }, OutOfMemory, []string{"64 MB"}},
		{"fills the disk", with("dd if=/dev/zero of=big bs=1M count=64; sleep 600"), func(r *Request) { r.Limits.DiskMB = 16 }, OutOfDisk, []string{"16 MB are allowed"}},
		{"layer outside", with(`mkdir -p $CNB_LAYERS_DIR/launch`), nil, BuildFailed, []string{"reserved"}},
		{"escape by link", with(`rm -rf /layers/test_deps; ln -s /etc /layers/test_deps`), nil, Internal, []string{"removed its layers folder"}},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			req := w.request(test.files)
			if test.change != nil {
				test.change(&req)
			}
			var log bytes.Buffer
			req.Log = &log
			_, err := w.builder.Build(context.Background(), req)
			var failed *Error
			if !errors.As(err, &failed) || failed.Code != test.code {
				t.Fatalf("Build = %v, want code %q\n%s", err, test.code, log.String())
			}
			for _, want := range test.want {
				if !strings.Contains(failed.Message, want) {
					t.Errorf("message lacks %q: %s", want, failed.Message)
				}
			}
			w.nothingLeft()
		})
	}
}
