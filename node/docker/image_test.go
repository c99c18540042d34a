package docker

import (
	"strings"
	"testing"

	"github.com/google/go-containerregistry/pkg/name"
	"github.com/google/go-containerregistry/pkg/v1/remote"
)

// TestPrepull: with real Docker, an image is there after it was asked for, by digest and by tag.
func TestPrepull(t *testing.T) {
	f := newFixture(t)
	d := f.open(t, nil)
	digest, err := name.NewDigest(f.img)
	if err != nil {
		t.Fatal(err)
	}
	content, err := remote.Get(digest)
	if err != nil {
		t.Fatal(err)
	}
	tagged := f.reg.Prefix + "apps/test:one"
	tag, err := name.NewTag(tagged)
	if err != nil {
		t.Fatal(err)
	}
	if err := remote.Tag(tag, content); err != nil {
		t.Fatal(err)
	}
	for _, ref := range []string{f.img, tagged} {
		if _, err := d.api.ImageInspect(t.Context(), ref); !notFound(err) {
			t.Fatalf("%s is there before it was asked for: %v", ref, err)
		}
		for range 2 { // to ask again does no harm
			if err := d.Prepull(t.Context(), ref, "", ""); err != nil {
				t.Fatal(err)
			}
		}
		if _, err := d.api.ImageInspect(t.Context(), ref); err != nil {
			t.Error(err)
		}
	}
	none := f.reg.Prefix + "apps/none@sha256:" + strings.Repeat("0", 64)
	for ref, want := range map[string]string{none: "apps/none", "No Such": "invalid reference"} {
		if err := d.Prepull(t.Context(), ref, "", ""); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("fetch of %q = %v, want %q", ref, err, want)
		}
	}
}
