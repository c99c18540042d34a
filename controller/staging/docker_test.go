package staging

import (
	"context"
	"encoding/json"
	"strings"
	"testing"

	"github.com/cupola-paas/cupola/buildpack/imagecopy"
	"github.com/cupola-paas/cupola/store"
)

// copier answers as the test says.
type copier struct {
	got imagecopy.Source
	to  string
	err error
}

func (c *copier) Copy(_ context.Context, src imagecopy.Source, repository string) (*imagecopy.Image, error) {
	c.got, c.to = src, repository
	return &imagecopy.Image{Digest: "sha256:dddd", SizeBytes: 3 << 20, Entrypoint: []string{"/serve"}, Ports: []int{9090}, User: "app"}, c.err
}

func (w *world) dockerBuild() *store.Build {
	b := w.newBuild()
	w.update(func(tx *store.Tx) error {
		p, err := store.Packages.Get(tx, b.PackageGUID)
		if err != nil {
			return err
		}
		p.Type, p.Docker = "docker", store.DockerImage{Image: "registry.example.com/app:v1", Username: "ann", Password: "secret-word"}
		if err := store.Packages.Put(tx, p); err != nil {
			return err
		}
		b.Lifecycle = store.Lifecycle{Type: "docker"}
		return store.Builds.Put(tx, b)
	})
	return b
}

func TestADockerImageBecomesADroplet(t *testing.T) {
	w, c := newWorld(t), &copier{}
	w.Copier = c
	b := w.dockerBuild()
	w.step()
	w.workers.Wait()
	got := w.build(b.GUID)
	if got.State != store.StateStaged {
		t.Fatalf("build is %s: %s", got.State, got.Error)
	}
	if c.got.Password != "secret-word" || c.to != Repository(w.app.GUID) {
		t.Errorf("copied %+v to %s", c.got, c.to)
	}
	w.update(func(tx *store.Tx) error {
		d, err := store.Droplets.Get(tx, got.DropletGUID)
		if err != nil {
			return err
		}
		text, err := json.Marshal(d)
		if strings.Contains(string(text), "secret-word") {
			t.Errorf("the droplet has the password: %s", text)
		}
		if d.Docker.Image != "registry.example.com/app:v1" || d.ImageDigest != "sha256:dddd" || d.ProcessTypes["web"] != "/serve" || len(d.Ports) != 1 || d.Stack != "" {
			t.Errorf("droplet %s", text)
		}
		if n, _ := store.AppUsageEvents.Count(tx); n != 1 {
			t.Errorf("%d usage events, want STAGING_STOPPED", n)
		}
		return err
	})
}

func TestADockerImageThatCannotBeHad(t *testing.T) {
	w := newWorld(t)
	w.Copier = &copier{err: &imagecopy.Error{Message: "image x cannot be used: its registry does not have it"}}
	b := w.dockerBuild()
	w.step()
	w.workers.Wait()
	if got := w.build(b.GUID); got.State != store.StateFailed || got.Error != "StagingError - image x cannot be used: its registry does not have it" {
		t.Errorf("build is %s: %q", got.State, got.Error)
	}
}
