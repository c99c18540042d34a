package docker

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"

	"github.com/distribution/reference"
	"github.com/docker/docker/api/types/image"
	"github.com/docker/docker/api/types/registry"
)

// Prepull fetches an image that is not there yet, by any reference.
func (d *Docker) Prepull(ctx context.Context, ref, user, secret string) error {
	if _, err := reference.ParseNormalizedNamed(ref); err != nil {
		return fmt.Errorf("image %q: %w", ref, err)
	}
	_, err := d.ensureImage(ctx, ref, user, secret)
	return err
}

// ensureImage pulls an image that is not there; several who want the same wait for one pull.
func (d *Docker) ensureImage(ctx context.Context, ref, user, secret string) (image.InspectResponse, error) {
	img, err := d.api.ImageInspect(ctx, ref)
	if err == nil || !notFound(err) {
		return img, failed("image "+ref, err)
	}
	pulled := d.pulls.DoChan(ref, func() (any, error) {
		// Not the caller's context: others may wait for the same pull.
		return nil, d.pull(d.ctx, ref, user, secret)
	})
	select {
	case <-ctx.Done():
		return img, fmt.Errorf("pull image %s: %w", ref, ctx.Err())
	case r := <-pulled:
		if r.Err != nil {
			return img, failed("pull image "+ref, r.Err)
		}
	}
	img, err = d.api.ImageInspect(ctx, ref)
	return img, failed("image "+ref, err)
}

func (d *Docker) pull(ctx context.Context, ref, user, secret string) error {
	o := image.PullOptions{}
	if user != "" || secret != "" {
		auth, err := registry.EncodeAuthConfig(registry.AuthConfig{Username: user, Password: secret})
		if err != nil {
			return err
		}
		o.RegistryAuth = auth
	}
	body, err := d.api.ImagePull(ctx, ref, o)
	if err != nil {
		return err
	}
	defer body.Close()
	progress := json.NewDecoder(body)
	for {
		var line struct {
			Error string `json:"error"`
		}
		if err := progress.Decode(&line); err == io.EOF {
			return nil
		} else if err != nil {
			return err
		}
		if line.Error != "" {
			return errors.New(line.Error)
		}
	}
}
