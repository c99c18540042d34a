package export

import (
	"archive/tar"
	"context"
	"errors"
	"strings"
	"testing"

	v1 "github.com/google/go-containerregistry/pkg/v1"
)

func TestRebase(t *testing.T) {
	f := newFixture(t)
	first := f.export().Digest.String()
	host := strings.Split(f.Repository, "/")[0]
	newRun := pushRunImage(t, host, "patched", nil)
	rebased, err := f.Registry.Rebase(context.Background(), f.Repository, first, newRun)
	if err != nil {
		t.Fatal(err)
	}
	old, now := f.image(first), f.image(rebased)
	oldLayers, _ := old.Layers()
	nowLayers, _ := now.Layers()
	if got := firstName(t, nowLayers[1]); got != "etc-patched" {
		t.Errorf("top layer of the run image has %q", got)
	}
	for i := 2; i < len(oldLayers); i++ {
		a, _ := oldLayers[i].Digest()
		b, _ := nowLayers[i].Digest()
		if a != b {
			t.Errorf("layer %d changed", i)
		}
	}
	config, err := now.ConfigFile()
	if err != nil {
		t.Fatal(err)
	}
	labels := config.Config.Labels
	if labels["io.buildpacks.base.marker"] != "patched" || !strings.Contains(labels[LifecycleLabel], newRun[strings.Index(newRun, "@"):]) {
		t.Errorf("labels still tell of the old run image: %v", labels)
	}
	// A rebased image is a previous image as any other, and rebasing back gives the first one.
	back, err := f.Registry.Rebase(context.Background(), f.Repository, rebased, f.RunReference.Name())
	if err != nil || back != first {
		t.Errorf("rebased back: %s, %v; want %s", back, err, first)
	}
}

func firstName(t *testing.T, l v1.Layer) string {
	t.Helper()
	content, err := l.Uncompressed()
	if err != nil {
		t.Fatal(err)
	}
	defer content.Close()
	h, err := tar.NewReader(content).Next()
	if err != nil {
		t.Fatal(err)
	}
	return h.Name
}

func TestRebaseRefuses(t *testing.T) {
	f := newFixture(t)
	first := f.export().Digest.String()
	host := strings.Split(f.Repository, "/")[0]
	ctx := context.Background()
	if _, err := f.Registry.Rebase(ctx, f.Repository, first, pushRunImage(t, host, "x", map[string]string{"io.buildpacks.base.distro.name": "alpine"})); err == nil {
		t.Error("rebased onto another distribution")
	}
	if _, err := f.Registry.Rebase(ctx, f.Repository, first, host+"/stacks/run@sha256:"+strings.Repeat("0", 64)); !IsNotFound(err) {
		t.Errorf("run image that is not there: %v", err)
	}
	f.Labels = nil
	reference := pushRunImage(t, host, "fixed", map[string]string{RebasableLabel: "false"})
	img, ref, err := f.Registry.Image(ctx, reference)
	if err != nil {
		t.Fatal(err)
	}
	f.RunImage, f.RunReference = img, ref
	if _, err := f.Registry.Rebase(ctx, f.Repository, f.export().Digest.String(), reference); !errors.Is(err, ErrNotRebasable) {
		t.Errorf("rebase = %v, want ErrNotRebasable", err)
	}
}
