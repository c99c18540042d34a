package sandbox

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"strings"

	"github.com/containerd/errdefs"
	"github.com/docker/docker/api/types/filters"
	"github.com/docker/docker/api/types/image"
	"github.com/docker/docker/api/types/registry"
)

// Image is the configuration of an image that the engine has.
type Image struct {
	User   string
	Env    map[string]string
	Labels map[string]string
	Pulled bool // by this call
}

// Login are credentials for the registry of an image.
type Login struct{ Username, Password string }

// EnsureImage pulls an image that the engine does not have, and returns its configuration.
func (d *Docker) EnsureImage(ctx context.Context, reference string, login Login) (*Image, error) {
	info, err := d.client.ImageInspect(ctx, reference)
	pulled := false
	if errdefs.IsNotFound(err) {
		if err := d.pull(ctx, reference, login); err != nil {
			return nil, err
		}
		pulled = true
		info, err = d.client.ImageInspect(ctx, reference)
	}
	if err != nil {
		return nil, fmt.Errorf("look for build image %s: %w", reference, err)
	}
	img := &Image{Env: map[string]string{}, Labels: map[string]string{}, Pulled: pulled}
	if info.Config == nil {
		return img, nil
	}
	img.User = info.Config.User
	for _, kv := range info.Config.Env {
		name, value, _ := strings.Cut(kv, "=")
		img.Env[name] = value
	}
	for name, value := range info.Config.Labels {
		img.Labels[name] = value
	}
	return img, nil
}

func (d *Docker) pull(ctx context.Context, reference string, login Login) error {
	var opts image.PullOptions
	if login.Username != "" {
		auth, err := registry.EncodeAuthConfig(registry.AuthConfig{Username: login.Username, Password: login.Password})
		if err != nil {
			return err
		}
		opts.RegistryAuth = auth
	}
	progress, err := d.client.ImagePull(ctx, reference, opts)
	if err != nil {
		return fmt.Errorf("pull build image %s: %w", reference, err)
	}
	defer progress.Close()
	if err := pullResult(progress); err != nil {
		return fmt.Errorf("pull build image %s: %w", reference, err)
	}
	return nil
}

// pullResult reads the progress of a pull to its end. Failures come inside of it.
func pullResult(progress io.Reader) error {
	dec := json.NewDecoder(progress)
	for {
		var line struct{ Error string }
		err := dec.Decode(&line)
		if err == io.EOF {
			return nil
		}
		if err != nil {
			return err
		}
		if line.Error != "" {
			return errors.New(line.Error)
		}
	}
}

// RemoveOthers removes the images of the same repository that have another digest. One that a container uses stays.
func (d *Docker) RemoveOthers(ctx context.Context, reference string) error {
	repository, digest, ok := strings.Cut(reference, "@")
	if !ok {
		return nil // it was not named by content, and others may have asked for theirs
	}
	list, err := d.client.ImageList(ctx, image.ListOptions{Filters: filters.NewArgs(filters.Arg("reference", repository))})
	if err != nil {
		return fmt.Errorf("list images of %s: %w", repository, err)
	}
	var errs []error
	for _, i := range list {
		for _, ref := range i.RepoDigests {
			if !strings.HasPrefix(ref, repository+"@") || ref == repository+"@"+digest {
				continue
			}
			if _, err := d.client.ImageRemove(ctx, ref, image.RemoveOptions{}); err != nil && !errdefs.IsNotFound(err) && !errdefs.IsConflict(err) {
				errs = append(errs, err)
			}
		}
	}
	return errors.Join(errs...)
}
