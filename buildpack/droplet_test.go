package buildpack

import (
	"archive/tar"
	"bytes"
	"compress/gzip"
	"errors"
	"io"
	"log"
	"net/http/httptest"
	"strings"
	"testing"

	"github.com/google/go-containerregistry/pkg/name"
	"github.com/google/go-containerregistry/pkg/registry"
	"github.com/google/go-containerregistry/pkg/v1/mutate"
	"github.com/google/go-containerregistry/pkg/v1/random"
	"github.com/google/go-containerregistry/pkg/v1/remote"
)

// archive makes a gzipped tar of names and contents; "->x" is a link to x, a name with a slash at its end a folder.
func archive(t *testing.T, entries ...[2]string) *bytes.Buffer {
	t.Helper()
	var b bytes.Buffer
	zip := gzip.NewWriter(&b)
	out := tar.NewWriter(zip)
	for _, e := range entries {
		h := &tar.Header{Name: e[0], Mode: 0o755, Size: int64(len(e[1])), Typeflag: tar.TypeReg}
		if target, ok := strings.CutPrefix(e[1], "->"); ok {
			h.Typeflag, h.Linkname, h.Size = tar.TypeSymlink, target, 0
		} else if strings.HasSuffix(e[0], "/") {
			h.Typeflag, h.Size = tar.TypeDir, 0
		}
		if err := out.WriteHeader(h); err != nil {
			t.Fatal(err)
		}
		if h.Typeflag == tar.TypeReg {
			if _, err := io.WriteString(out, e[1]); err != nil {
				t.Fatal(err)
			}
		}
	}
	if err := errors.Join(out.Close(), zip.Close()); err != nil {
		t.Fatal(err)
	}
	return &b
}

// adopter is a Builder over a registry of its own with a stack in it; it needs no engine.
func adopter(t *testing.T) (*Builder, Adoption) {
	t.Helper()
	s := httptest.NewServer(registry.New(registry.Logger(log.New(io.Discard, "", 0))))
	t.Cleanup(s.Close)
	host := strings.TrimPrefix(s.URL, "http://")
	b, err := New(Options{Dir: t.TempDir(), Installation: "test", Registry: Registry{Host: host}, Launcher: []byte("launcher"), Phase: []byte("phase")})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { b.Close() })
	img, err := random.Image(100, 1)
	if err != nil {
		t.Fatal(err)
	}
	file, err := img.ConfigFile()
	if err != nil {
		t.Fatal(err)
	}
	file = file.DeepCopy()
	file.OS, file.Architecture, file.Config.Env = "linux", "amd64", []string{"CNB_USER_ID=2000", "CNB_GROUP_ID=2000"}
	if img, err = mutate.ConfigFile(img, file); err != nil {
		t.Fatal(err)
	}
	ref, err := name.ParseReference(host + "/stacks/run:1")
	if err != nil {
		t.Fatal(err)
	}
	if err := remote.Write(ref, img); err != nil {
		t.Fatal(err)
	}
	return b, Adoption{ID: "d1", BuildImage: ref.String(), RunImage: ref.String(), Repository: host + "/droplets/a"}
}

func names(t *testing.T, r io.Reader) map[string]string {
	t.Helper()
	zip, err := gzip.NewReader(r)
	if err != nil {
		t.Fatal(err)
	}
	out := map[string]string{}
	in := tar.NewReader(zip)
	for {
		h, err := in.Next()
		if err == io.EOF {
			return out
		}
		if err != nil {
			t.Fatal(err)
		}
		text, err := io.ReadAll(in)
		if err != nil {
			t.Fatal(err)
		}
		out[h.Name] = string(text)
	}
}

func TestADropletGoesRound(t *testing.T) {
	b, a := adopter(t)
	a.Archive = archive(t, [2]string{"./app/", ""}, [2]string{"./app/config.ru", "run"}, [2]string{"app/Procfile", "web: bundle exec rackup\nworker: sleep 9\n"},
		[2]string{"./app/current", "->config.ru"}, [2]string{"./deps/0/bin/ruby", "ruby"}, [2]string{"./profile.d/0.sh", "export A=1"},
		[2]string{"./tmp/", ""}, [2]string{"./logs/", ""}, [2]string{"./staging_info.yml", `{"detected_buildpack":"ruby","start_command":"other"}`}, [2]string{"./more", "x"})
	first, err := b.Adopt(t.Context(), a)
	if err != nil {
		t.Fatal(err)
	}
	if len(first.Processes) != 2 || first.Processes[0].Command != "bundle exec rackup" {
		t.Errorf("processes = %+v", first.Processes)
	}
	var out bytes.Buffer
	if err := b.WriteDroplet(t.Context(), a.Repository+"@"+first.Digest, "start", &out); err != nil {
		t.Fatal(err)
	}
	again := bytes.NewReader(out.Bytes())
	got := names(t, &out)
	for name, want := range map[string]string{
		"./app/config.ru": "run", "./deps/0/bin/ruby": "ruby", "./profile.d/0.sh": "export A=1", "./tmp/": "", "./logs/": "",
		"./staging_info.yml": `{"detected_buildpack":"ruby","start_command":"other"}`, "./app/current": "",
	} {
		if text, ok := got[name]; !ok || text != want {
			t.Errorf("%s = %q (there: %t), want %q; there is %v", name, text, ok, want, got)
		}
	}
	if _, ok := got["./more"]; ok || got["./layers/config/metadata.toml"] == "" {
		t.Errorf("the archive has what it should not, or lacks the metadata: %v", got)
	}
	a.Archive, a.Processes = again, map[string]string{"web": "mine"}
	second, err := b.Adopt(t.Context(), a)
	if err != nil || len(second.Processes) != 2 || second.Processes[0].Command != "mine" || second.Processes[1].Command != "sleep 9" {
		t.Errorf("the second round gives %+v, %v", second, err)
	}
}

func TestBadDropletsAreRefused(t *testing.T) {
	b, a := adopter(t)
	for what, in := range map[string]io.Reader{
		"no archive":           strings.NewReader("no archive"),
		"no folder ./app":      archive(t, [2]string{"./deps/x", "y"}),
		"must be a folder":     archive(t, [2]string{"./app/x", "y"}, [2]string{"./deps", "->/etc"}),
		"it is damaged":        io.LimitReader(archive(t, [2]string{"./app/x", strings.Repeat("y", 9000)}), 30),
		"path escapes":         archive(t, [2]string{"./app/up", "->/etc"}, [2]string{"./app/up/x", "y"}, [2]string{"./app/x", "->../../../up"}, [2]string{"./app/x/y", "->a"}),
		"no process type":      archive(t, [2]string{"./app/Procfile", "a b: run"}),
		"metadata.toml cannot": archive(t, [2]string{"./app/x", ""}, [2]string{"./layers/config/metadata.toml", "="}),
	} {
		a.Archive = in
		_, err := b.Adopt(t.Context(), a)
		var bad *Error
		if !errors.As(err, &bad) || bad.Code != BadArchive {
			t.Errorf("%s: %v, want an error about the archive", what, err)
		}
	}
}
