package capi

import (
	"context"
	"net/http"
)

// WaitStats reads the stats of a process until see says that it has seen enough or fails.
func (c *Client) WaitStats(ctx context.Context, processGUID string, see func([]Stats) (enough bool, err error)) error {
	return poll(ctx, func() (bool, error) {
		stats, err := c.ProcessStats(ctx, processGUID)
		if err != nil {
			return false, err
		}
		return see(stats)
	})
}

// DeleteUnmappedRoutes deletes the routes of a space that lead nowhere, and waits until they are gone.
func (c *Client) DeleteUnmappedRoutes(ctx context.Context, spaceGUID string) error {
	return c.changeJob(ctx, http.MethodDelete, "/v3/spaces/"+spaceGUID+"/routes?unmapped=true", nil, nil)
}
