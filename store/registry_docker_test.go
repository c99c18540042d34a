package store

import (
	"archive/tar"
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"io"
	"testing"
	"time"

	"github.com/docker/docker/api/types/image"
	"github.com/docker/docker/api/types/registry"
	"github.com/docker/docker/client"
	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/empty"
	"github.com/google/go-containerregistry/pkg/v1/mutate"
	"github.com/google/go-containerregistry/pkg/v1/tarball"
)

// TestDockerPulls has a real Docker daemon pull what was pushed.
func TestDockerPulls(t *testing.T) {
	docker, err := client.NewClientWithOpts(client.FromEnv, client.WithAPIVersionNegotiation())
	if err != nil {
		t.Skipf("no Docker: %v", err)
	}
	defer docker.Close()
	ctx, cancel := context.WithTimeout(t.Context(), 2*time.Minute)
	defer cancel()
	if _, err := docker.Ping(ctx); err != nil {
		t.Skipf("Docker can't be reached: %v", err)
	}
	r := openTestRegistry(t)
	digest := push(t, r, "droplets/app1:latest", layeredImage(t))
	name := r.Host() + "/droplets/app1@" + digest
	auth, err := registry.EncodeAuthConfig(registry.AuthConfig{Username: registryUser, Password: testPassword, ServerAddress: r.Host()})
	if err != nil {
		t.Fatal(err)
	}
	if err := dockerPull(ctx, docker, name, ""); err == nil {
		t.Error("Docker could pull without the password")
	}
	if err := dockerPull(ctx, docker, name, auth); err != nil {
		t.Fatalf("Docker pull: %v", err)
	}
	t.Cleanup(func() {
		if _, err := docker.ImageRemove(context.Background(), name, image.RemoveOptions{}); err != nil {
			t.Errorf("remove the image: %v", err)
		}
	})
	got, err := docker.ImageInspect(ctx, name)
	if err != nil {
		t.Fatal(err)
	}
	if len(got.RepoDigests) != 1 || got.RepoDigests[0] != name {
		t.Errorf("Docker has the image as %v, want %s", got.RepoDigests, name)
	}
}

func dockerPull(ctx context.Context, docker *client.Client, name, auth string) error {
	progress, err := docker.ImagePull(ctx, name, image.PullOptions{RegistryAuth: auth})
	if err != nil {
		return err
	}
	defer progress.Close()
	lines := json.NewDecoder(progress)
	for {
		var line struct{ Error string }
		if err := lines.Decode(&line); err == io.EOF {
			return nil
		} else if err != nil {
			return err
		}
		if line.Error != "" {
			return errors.New(line.Error)
		}
	}
}

// layeredImage is an image with one real layer; Docker unpacks it.
func layeredImage(t *testing.T) v1.Image {
	t.Helper()
	var layer bytes.Buffer
	w := tar.NewWriter(&layer)
	if err := w.WriteHeader(&tar.Header{Name: "hello", Mode: 0o644, Size: 5}); err != nil {
		t.Fatal(err)
	}
	if _, err := w.Write([]byte("world")); err != nil {
		t.Fatal(err)
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	l, err := tarball.LayerFromOpener(func() (io.ReadCloser, error) { return io.NopCloser(bytes.NewReader(layer.Bytes())), nil })
	if err != nil {
		t.Fatal(err)
	}
	img, err := mutate.AppendLayers(empty.Image, l)
	if err != nil {
		t.Fatal(err)
	}
	img, err = mutate.ConfigFile(img, withPlatform(t, img))
	if err != nil {
		t.Fatal(err)
	}
	return img
}

func withPlatform(t *testing.T, img v1.Image) *v1.ConfigFile {
	t.Helper()
	c, err := img.ConfigFile()
	if err != nil {
		t.Fatal(err)
	}
	c = c.DeepCopy()
	c.OS, c.Architecture = "linux", "amd64"
	return c
}
