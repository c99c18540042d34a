package buildpack

import (
	"bytes"
	"context"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/cupola-paas/cupola/buildpack/sandbox"
)

// trigger calls fn once, when the log has had text.
type trigger struct {
	text string
	fn   func()
	log  bytes.Buffer
}

func (w *trigger) Write(p []byte) (int, error) {
	w.log.Write(p)
	if w.fn != nil && strings.Contains(w.log.String(), w.text) {
		w.fn()
		w.fn = nil
	}
	return len(p), nil
}

func TestCancelInAnyPhaseLeavesNothing(t *testing.T) {
	w := newWorld(t, nil)
	slow := map[string]string{"deps.lock": "x", ".do": "echo now; sleep 600"}
	quick := map[string]string{"deps.lock": "x"}
	for _, test := range []struct {
		name, text string
		files      map[string]string
	}{
		{"before the container", "", quick},
		{"while a buildpack runs", "now", slow},
		{"while exporting", "Uploading", quick},
	} {
		t.Run(test.name, func(t *testing.T) {
			ctx, cancel := context.WithCancel(context.Background())
			defer cancel()
			req := w.request(test.files)
			req.Log = &trigger{text: test.text, fn: cancel}
			if test.text == "" {
				cancel()
			}
			_, err := w.builder.Build(ctx, req)
			var failed *Error
			if !errors.As(err, &failed) || failed.Code != Canceled {
				t.Errorf("Build = %v, want it canceled", err)
			}
			if _, err := os.Stat(req.Source); !os.IsNotExist(err) {
				t.Errorf("the source is still there: %v", err)
			}
			w.nothingLeft()
		})
	}
}

func TestAFailedBuildKeepsTheCache(t *testing.T) {
	w := newWorld(t, nil)
	w.mustBuild(w.request(map[string]string{"deps.lock": "x"}))
	_, err := w.builder.Build(context.Background(), w.request(map[string]string{"deps.lock": "x", ".do": "exit 1"}))
	if err == nil {
		t.Fatal("the build did not fail")
	}
	if _, log := w.mustBuild(w.request(map[string]string{"deps.lock": "x"})); !strings.Contains(log, "Reusing cached") {
		t.Errorf("the cache is gone:\n%s", log)
	}
	spoil := map[string]string{"deps.lock": "x", ".do": "echo y > /layers/test_deps/modules/lock; exit 1"}
	if _, err = w.builder.Build(context.Background(), w.request(spoil)); err == nil {
		t.Fatal("the build did not fail")
	}
	if _, log := w.mustBuild(w.request(map[string]string{"deps.lock": "x"})); strings.Contains(log, "Reusing cached") {
		t.Errorf("a layer that a failed build changed was restored:\n%s", log)
	}
	if err := w.builder.DeleteCache("app-1"); err != nil {
		t.Fatal(err)
	}
	if _, log := w.mustBuild(w.request(map[string]string{"deps.lock": "x"})); strings.Contains(log, "Reusing cached") {
		t.Errorf("a deleted cache was restored:\n%s", log)
	}
}

// TestSweep finds what a crashed process left: a running container and a folder.
func TestSweep(t *testing.T) {
	w := newWorld(t, nil)
	ctx := context.Background()
	d, err := sandbox.Open("", w.options.Installation, "")
	if err != nil {
		t.Fatal(err)
	}
	defer d.Close()
	if _, err := d.EnsureImage(ctx, w.build, sandbox.Login{}); err != nil {
		t.Fatal(err)
	}
	for _, id := range []string{"crashed", "wanted"} {
		c, err := d.Create(ctx, sandbox.Spec{Build: id, Image: w.build, User: "2000:2000", Program: []string{"/bin/sleep", "600"}, MemoryMB: 64, PIDs: 10})
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { c.Remove() })
		if err := os.MkdirAll(filepath.Join(w.options.Dir, "builds", id, "layers"), 0o755); err != nil {
			t.Fatal(err)
		}
	}
	if err := w.builder.Sweep(ctx, func(id string) bool { return id == "wanted" }); err != nil {
		t.Fatal(err)
	}
	entries, err := os.ReadDir(filepath.Join(w.options.Dir, "builds"))
	if err != nil || len(entries) != 1 || entries[0].Name() != "wanted" {
		t.Errorf("folders after Sweep: %v, %v", entries, err)
	}
	if err := w.builder.Sweep(ctx, func(string) bool { return false }); err != nil {
		t.Fatal(err)
	}
	w.nothingLeft()
}

// TestTheContainerIsLockedDown looks from inside.
func TestTheContainerIsLockedDown(t *testing.T) {
	bundle := filepath.Join(t.TempDir(), "ca.pem")
	if err := os.WriteFile(bundle, []byte("certificates"), 0o644); err != nil {
		t.Fatal(err)
	}
	w := newWorld(t, func(o *Options) { o.CABundle = bundle })
	_, log := w.mustBuild(w.request(map[string]string{"deps.lock": "x", ".do": `
while read -r k v; do case $k in CapEff:|CapBnd:|NoNewPrivs:) echo "$k $v";; esac; done < /proc/self/status
[ -w / ] && echo "root is writable"
[ -w /etc ] && echo "etc is writable"
touch /cnb/buildpacks/x 2>/dev/null && echo "buildpacks are writable"
touch /platform/env/x 2>/dev/null && echo "platform is writable"
touch "$HOME/ok" /tmp/ok && echo "home and tmp are writable"
[ -e /var/run/docker.sock ] && echo "the socket is here"
echo "ca $(<$SSL_CERT_FILE) $NODE_EXTRA_CA_CERTS"
echo "home $HOME app $PWD $CNB_APP_DIR"`}))
	for _, want := range []string{
		"CapEff: 0000000000000000", "CapBnd: 0000000000000000", "NoNewPrivs: 1", "home and tmp are writable",
		"ca certificates /cnb/build-config/ca-certificates.crt", "home /home/vcap app /home/vcap/app /home/vcap/app",
	} {
		if !strings.Contains(log, want) {
			t.Errorf("log lacks %q:\n%s", want, log)
		}
	}
	for _, bad := range []string{"root is", "etc is", "buildpacks are", "platform is", "socket"} {
		if strings.Contains(log, bad) {
			t.Errorf("log has %q:\n%s", bad, log)
		}
	}
}

func TestNamedBuildpacks(t *testing.T) {
	w := newWorld(t, nil)
	req := w.request(map[string]string{"deps.lock": "x"})
	req.Buildpacks = []string{"test/check"}
	result, log := w.mustBuild(req)
	if len(result.Buildpacks) != 1 || result.Buildpacks[0] != (Used{ID: "test/check", Version: "1.0.0", Homepage: "https://example.com/test/check"}) {
		t.Errorf("buildpacks = %+v\n%s", result.Buildpacks, log)
	}
	if len(result.Processes) != 1 || result.Processes[0] != (Process{"shell", "echo shell", false}) {
		t.Errorf("processes = %+v", result.Processes)
	}
}

// TestForeignBuilder builds with the buildpacks, the order and the run image of a builder image.
func TestForeignBuilder(t *testing.T) {
	w := newWorld(t, func(o *Options) { o.Buildpacks = "" })
	builder := w.builderImage("stacks/builder", `{"images":[{"image":"`+w.run+`"}]}`)
	t.Cleanup(func() { w.removeImage(builder) })
	req := w.request(map[string]string{"deps.lock": "x"})
	req.BuildImage, req.RunImage = builder, ""
	result, log := w.mustBuild(req)
	if len(result.Buildpacks) != 2 || !strings.Contains(log, "Buildpacks: test/deps 1.0.0, test/check 1.0.0") {
		t.Errorf("buildpacks = %+v\n%s", result.Buildpacks, log)
	}
}

func TestRebaseRuns(t *testing.T) {
	w := newWorld(t, nil)
	first, _ := w.mustBuild(w.request(app))
	patched := baseImage(t, w.host, "stacks/run", "patched", nil)
	digest, err := w.builder.Rebase(context.Background(), w.host+"/droplets/app", first.Digest, patched)
	if err != nil {
		t.Fatal(err)
	}
	out := w.runDroplet(digest, []string{"/cnb/lifecycle/launcher"}, []string{"cat /etc/marker; echo; serve x"})
	if want := "patched\nserving deps two yes x in /home/vcap/app\n"; out != want {
		t.Errorf("the rebased image printed %q, want %q", out, want)
	}
}

func TestEngineIsGone(t *testing.T) {
	w := newWorld(t, nil)
	options := w.options
	options.DockerHost = "unix://" + filepath.Join(t.TempDir(), "none.sock")
	b, err := New(options)
	if err != nil {
		t.Fatal(err)
	}
	defer b.Close()
	_, err = b.Build(context.Background(), w.request(app))
	var failed *Error
	if !errors.As(err, &failed) || failed.Code != Internal || !strings.Contains(failed.Message, "Docker daemon") {
		t.Errorf("Build = %v, want an internal error that names Docker", err)
	}
}
