package buildpack

import (
	"archive/tar"
	"bytes"
	"compress/gzip"
	"context"
	"fmt"
	"net"
	"net/http"
	"net/http/cgi"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/cupola-paas/cupola/buildpack/stack"
	"github.com/cupola-paas/cupola/buildpack/system"
)

// newRealWorld is a world with the platform's own stack and buildpacks. It skips the test where no stack was prepared.
func newRealWorld(t *testing.T) *world {
	t.Helper()
	cache := os.Getenv("CUPOLA_STACK_CACHE")
	if cache == "" {
		cache = "/var/cache/cupola/stack"
	}
	prepared, err := stack.Cached(stack.Options{CacheDir: cache})
	if err != nil {
		t.Skipf("no prepared stack of this version in %s: %v", cache, err)
	}
	program := filepath.Join(t.TempDir(), "buildpack")
	cmd := exec.Command("go", "build", "-trimpath", "-ldflags", "-s -w", "-o", program, "./system/cmd/buildpack")
	cmd.Env = append(os.Environ(), "CGO_ENABLED=0")
	if out, err := cmd.CombinedOutput(); err != nil {
		t.Fatalf("build the buildpacks: %v\n%s", err, out)
	}
	text, err := os.ReadFile(program)
	if err != nil {
		t.Fatal(err)
	}
	buildpacks := filepath.Join(t.TempDir(), "buildpacks")
	if err := system.Install(buildpacks, text); err != nil {
		t.Fatal(err)
	}
	w := newWorld(t, func(o *Options) { o.Buildpacks, o.BuildEnv = buildpacks, nil })
	w.build, w.run, err = prepared.Push(t.Context(), stack.Registry{Host: w.host}, "real/build", "real/run")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { w.removeImage(w.build) })
	return w
}

// TestAppsOnTheStack builds and runs one app for each buildpack that needs nothing of a network.
func TestAppsOnTheStack(t *testing.T) {
	w := newRealWorld(t)
	for name, test := range map[string]func(*world, *testing.T){
		"ruby with vendored and native gems": (*world).rubyApp, "java": (*world).javaApp, "classic by git": (*world).gitBuildpack,
	} {
		t.Run(name, func(t *testing.T) {
			own := *w
			own.t = t
			test(&own, t)
		})
	}
}

func (w *world) rubyApp(t *testing.T) {
	req := w.request(map[string]string{
		"Gemfile":         "source 'https://rubygems.org'\nruby '3.3.1'\ngem 'greeting'\n",
		"Gemfile.lock":    "GEM\n  remote: https://rubygems.org/\n  specs:\n    greeting (1.0.0)\n\nPLATFORMS\n  ruby\n\nDEPENDENCIES\n  greeting\n\nBUNDLED WITH\n   2.5.20\n",
		"Procfile":        "web: bundle exec ruby app.rb\n",
		"app.rb":          "require 'greeting'\nputs \"#{Greeting.text} #{ENV['RACK_ENV']} #{ENV['FROM_PROFILE']}\"\n",
		".profile":        "export FROM_PROFILE=profile\n",
		"vendor/cache/.k": "",
	})
	req.ID, req.CacheID, req.Choices = "ruby", "ruby-app", []Choice{{Name: "ruby_buildpack", ID: "cupola/ruby"}}
	gem := filepath.Join(req.Source, "vendor/cache/greeting-1.0.0.gem")
	if err := os.WriteFile(gem, nativeGem(t), 0o644); err != nil {
		t.Fatal(err)
	}
	result, log := w.mustBuild(req)
	for _, want := range []string{"the Gemfile asks for Ruby 3.3.1; the stack has 3.3.", "Installing dependencies", "from the folder vendor/cache alone"} {
		if !strings.Contains(log, want) {
			t.Errorf("log lacks %q:\n%s", want, log)
		}
	}
	if out := w.runDroplet(result.Digest, []string{"/cnb/process/web"}, nil); out != "hello from C production profile\n" {
		t.Errorf("web printed %q", out)
	}
}

// nativeGem is a gem with a C extension, as `gem build` would make it.
func nativeGem(t *testing.T) []byte {
	t.Helper()
	data := gemTar(t, map[string]string{
		"lib/greeting.rb":         "require 'greeting/greeting'\n",
		"ext/greeting/extconf.rb": "require 'mkmf'\ncreate_makefile 'greeting/greeting'\n",
		"ext/greeting/greeting.c": "#include <ruby.h>\nstatic VALUE text(VALUE self) { return rb_str_new_cstr(\"hello from C\"); }\nvoid Init_greeting(void) { rb_define_singleton_method(rb_define_module(\"Greeting\"), \"text\", text, 0); }\n",
	})
	spec := `--- !ruby/object:Gem::Specification
name: greeting
version: !ruby/object:Gem::Version
  version: 1.0.0
platform: ruby
authors: [Example]
summary: An example
homepage: https://example.com
licenses: [MIT]
email:
dependencies: []
extensions: [ext/greeting/extconf.rb]
files: [lib/greeting.rb, ext/greeting/extconf.rb, ext/greeting/greeting.c]
require_paths: [lib]
required_ruby_version: !ruby/object:Gem::Requirement
  requirements:
  - - ">="
    - !ruby/object:Gem::Version
      version: '0'
required_rubygems_version: !ruby/object:Gem::Requirement
  requirements:
  - - ">="
    - !ruby/object:Gem::Version
      version: '0'
rubygems_version: 3.5.0
specification_version: 4
`
	return gemTar(t, map[string]string{"metadata.gz": string(gzipped(t, []byte(spec))), "data.tar.gz": string(gzipped(t, data))})
}

func gemTar(t *testing.T, files map[string]string) []byte {
	t.Helper()
	var b bytes.Buffer
	tw := tar.NewWriter(&b)
	for name, text := range files {
		err := tw.WriteHeader(&tar.Header{Name: name, Typeflag: tar.TypeReg, Mode: 0o644, Size: int64(len(text))})
		if err == nil {
			_, err = tw.Write([]byte(text))
		}
		if err != nil {
			t.Fatal(err)
		}
	}
	if err := tw.Close(); err != nil {
		t.Fatal(err)
	}
	return b.Bytes()
}

func gzipped(t *testing.T, content []byte) []byte {
	t.Helper()
	var b bytes.Buffer
	z := gzip.NewWriter(&b)
	_, err := z.Write(content)
	if err != nil || z.Close() != nil {
		t.Fatal(err)
	}
	return b.Bytes()
}

const mainJava = `public class Main {
  public static void main(String[] args) {
    System.out.println(Runtime.getRuntime().maxMemory() / 1048576 > 100 ? "heap" : "no heap");
    System.out.println(System.getProperty("greeting") + " " + System.getProperty("java.version").split("[.]")[0] + " \u03a9 " + System.getenv("SERVER_PORT"));
  }
}
`

func (w *world) javaApp(t *testing.T) {
	if _, err := exec.LookPath("javac"); err != nil {
		t.Skip("javac is not installed: no class can be compiled")
	}
	req := w.request(map[string]string{
		"META-INF/MANIFEST.MF": "Manifest-Version: 1.0\r\nMain-Class: Ma\r\n in\r\n\r\n",
		"Main.java":            mainJava,
	})
	cmd := exec.Command("javac", "--release", "17", "Main.java")
	cmd.Dir = req.Source
	if out, err := cmd.CombinedOutput(); err != nil {
		t.Fatalf("javac: %v\n%s", err, out)
	}
	req.CacheID, req.Choices = "java-app", []Choice{{Name: "go_buildpack", ID: "cupola/go"}, {Name: "java_buildpack", ID: "cupola/java"}}
	result, log := w.mustBuild(req)
	if !strings.Contains(log, "OpenJDK 21") {
		t.Errorf("log:\n%s", log)
	}
	out := w.runDroplet(result.Digest, []string{"/cnb/process/web"}, nil, "MEMORY_LIMIT=512m", "PORT=8080", "JAVA_OPTS=-Dgreeting=hi")
	if !strings.Contains(out, "heap\nhi 21 Ω 8080\n") || !strings.Contains(out, "-Xmx279m") {
		t.Errorf("web printed %q", out)
	}
	again := w.request(map[string]string{"META-INF/MANIFEST.MF": "Main-Class: Main\n"})
	again.CacheID, again.Choices, again.Previous = req.CacheID, req.Choices, result.Digest
	if _, log := w.mustBuild(again); !strings.Contains(log, "from the cache") {
		t.Errorf("the runtime was copied again:\n%s", log)
	}
}

// gitBuildpack uses a buildpack by the URL of a git server on the engine's bridge.
func (w *world) gitBuildpack(t *testing.T) {
	url := gitServer(t, scripts{"bin/compile": "#!/bin/bash\necho from the branch\n", "bin/release": "#!/bin/bash\necho 'default_process_types: {web: echo by git}'\n"})
	req := w.request(map[string]string{"x": ""})
	req.Choices, req.Named = []Choice{{Name: url + "#v2", URL: url + "#v2"}}, true
	result, log := w.mustBuild(req)
	if !strings.Contains(log, "Downloading buildpack "+url) || !strings.Contains(log, "from the branch") {
		t.Errorf("log:\n%s", log)
	}
	if out := w.runDroplet(result.Digest, []string{"/cnb/process/web"}, nil); out != "by git\n" {
		t.Errorf("web printed %q", out)
	}
	req = w.request(map[string]string{"x": ""})
	req.Choices, req.Named = []Choice{{Name: url + "#v3", URL: url + "#v3"}}, true
	if _, err := w.builder.Build(context.Background(), req); err == nil || !strings.Contains(err.Error(), "could not be downloaded") {
		t.Errorf("a branch that is not there: %v", err)
	}
}

// gitServer serves a repository with the files on its branch v2.
func gitServer(t *testing.T, files scripts) string {
	t.Helper()
	git, err := exec.LookPath("git")
	if err != nil {
		t.Skip("git is not installed")
	}
	bridge, err := net.InterfaceByName("docker0")
	if err != nil {
		t.Skip("the engine has no bridge docker0 on this machine")
	}
	addresses, err := bridge.Addrs()
	if err != nil || len(addresses) == 0 {
		t.Skip("docker0 has no address")
	}
	root := t.TempDir()
	repo := filepath.Join(root, "buildpack")
	for name, text := range files {
		path := filepath.Join(repo, name)
		if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(path, []byte(text), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	for _, args := range [][]string{
		{"init", "-q", "-b", "v2"}, {"add", "-A"},
		{"-c", "user.name=Example", "-c", "user.email=x@example.com", "commit", "-q", "-m", "buildpack"},
	} {
		cmd := exec.Command(git, append([]string{"-C", repo}, args...)...)
		if out, err := cmd.CombinedOutput(); err != nil {
			t.Fatalf("git %v: %v\n%s", args, err, out)
		}
	}
	host, _, _ := net.ParseCIDR(addresses[0].String())
	listener, err := net.Listen("tcp", net.JoinHostPort(host.String(), "0"))
	if err != nil {
		t.Fatal(err)
	}
	server := httptest.NewUnstartedServer(http.Handler(&cgi.Handler{
		Path: git, Args: []string{"http-backend"}, Env: []string{"GIT_PROJECT_ROOT=" + root, "GIT_HTTP_EXPORT_ALL=1"},
	}))
	server.Listener = listener
	server.Start()
	t.Cleanup(server.Close)
	return fmt.Sprintf("http://%s/buildpack/.git", listener.Addr())
}
