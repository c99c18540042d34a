package stack

import (
	"context"
	"io"
	"log"
	"net/http/httptest"
	"strings"
	"testing"

	"github.com/google/go-containerregistry/pkg/name"
	"github.com/google/go-containerregistry/pkg/registry"
	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/mutate"
	"github.com/google/go-containerregistry/pkg/v1/random"
	"github.com/google/go-containerregistry/pkg/v1/remote"
)

func testRegistry(t *testing.T) string {
	t.Helper()
	srv := httptest.NewServer(registry.New(registry.Logger(log.New(io.Discard, "", 0))))
	t.Cleanup(srv.Close)
	return strings.TrimPrefix(srv.URL, "http://")
}

func TestPush(t *testing.T) {
	s, host := prepared(t, t.TempDir(), recipeFor("x"), "1"), testRegistry(t)
	for range 2 { // the second time all of it is there
		build, run, err := s.Push(context.Background(), Registry{Host: host}, "stack/build", "stack/run")
		if err != nil {
			t.Fatal(err)
		}
		for ref, img := range map[string]v1.Image{build: s.Build, run: s.Run} {
			want, err := img.Digest()
			if err != nil {
				t.Fatal(err)
			}
			r, err := name.NewDigest(ref)
			if err != nil || r.DigestStr() != want.String() {
				t.Errorf("%s is no reference to %s: %v", ref, want, err)
				continue
			}
			if _, err := remote.Image(r); err != nil {
				t.Error(err)
			}
		}
	}
}

func TestFromImages(t *testing.T) {
	host := testRegistry(t)
	put := func(repo string, change func(*v1.ConfigFile)) string {
		t.Helper()
		img, err := random.Image(100, 1)
		if err != nil {
			t.Fatal(err)
		}
		cf, err := img.ConfigFile()
		if err != nil {
			t.Fatal(err)
		}
		cf = cf.DeepCopy()
		cf.OS, cf.Architecture = "linux", "amd64"
		cf.Config.User, cf.Config.Env = "1000:1000", []string{"CNB_USER_ID=1000", "CNB_GROUP_ID=1000"}
		change(cf)
		if img, err = mutate.ConfigFile(img, cf); err != nil {
			t.Fatal(err)
		}
		ref, err := name.ParseReference(host + "/" + repo)
		if err != nil {
			t.Fatal(err)
		}
		if err := remote.Write(ref, img); err != nil {
			t.Fatal(err)
		}
		return ref.String()
	}
	good := put("good", func(c *v1.ConfigFile) {
		c.Config.Labels = map[string]string{"io.buildpacks.base.distro.name": "alpine", "io.buildpacks.base.distro.version": "3.22"}
	})
	s, err := FromImages(context.Background(), good, good)
	if err != nil || s.ID != "alpine-3.22" || len(s.Version) != 16 {
		t.Errorf("got %+v, %v", s, err)
	}
	for want, bad := range map[string]string{
		"not root":     put("root", func(c *v1.ConfigFile) { c.Config.User = "root" }),
		"CNB_GROUP_ID": put("env", func(c *v1.ConfigFile) { c.Config.Env = c.Config.Env[:1] }),
		"linux":        put("os", func(c *v1.ConfigFile) { c.OS = "windows" }),
		"architecture": put("arch", func(c *v1.ConfigFile) { c.Architecture = "s390x" }),
	} {
		if _, err := FromImages(context.Background(), bad, good); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: %v, want an error with %q", bad, err, want)
		}
	}
	if _, err := FromImages(context.Background(), host+"/none", good); err == nil || !strings.Contains(err.Error(), "none") {
		t.Errorf("an image that is not there: %v", err)
	}
}
