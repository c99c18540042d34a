package sandbox

import (
	"context"
	"errors"
	"fmt"

	"github.com/docker/docker/api/types/container"
	"github.com/docker/docker/api/types/filters"
)

// Sweep removes the containers of this installation whose build keep does not want. It removes nothing else.
func (d *Docker) Sweep(ctx context.Context, keep func(build string) bool) error {
	list, err := d.client.ContainerList(ctx, container.ListOptions{
		All:     true,
		Filters: filters.NewArgs(filters.Arg("label", installationLabel+"="+d.installation), filters.Arg("label", buildLabel)),
	})
	if err != nil {
		return fmt.Errorf("list build containers: %w", err)
	}
	var errs []error
	for _, c := range list {
		build := c.Labels[buildLabel]
		if c.Labels[installationLabel] != d.installation || keep(build) {
			continue
		}
		errs = append(errs, d.remove(ctx, c.ID))
	}
	return errors.Join(errs...)
}
