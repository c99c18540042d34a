package capi

import (
	"context"
	"net/http"
)

// Get reads what is at a path of the API, such as /v3/stacks/:guid.
func Get[T any](ctx context.Context, c *Client, path string) (*T, error) {
	out := new(T)
	return out, c.get(ctx, path, out)
}

// Change sends in (nil: no body) to a path of the API and returns the answer; where the API makes a job of it, it
// waits for the job.
func Change[T any](ctx context.Context, c *Client, method, path string, in any) (*T, error) {
	out := new(T)
	return out, c.changeJob(ctx, method, path, in, out)
}

// Act is Change for what answers nothing of interest.
func (c *Client) Act(ctx context.Context, method, path string, in any) error {
	return c.changeJob(ctx, method, path, in, nil)
}

// Delete deletes what is at a path and waits until it is gone.
func (c *Client) Delete(ctx context.Context, path string) error {
	return c.changeJob(ctx, http.MethodDelete, path, nil, nil)
}

// First is the first resource of a collection that matches the filter, ResourceNotFound when there is none.
func First[T any](ctx context.Context, c *Client, path string, f Filter, noun string) (*T, error) {
	return first[T](ctx, c, path, f, "%s not found", noun)
}

// Relate adds resources to a to-many relationship, such as /v3/security_groups/:guid/relationships/running_spaces.
func (c *Client) Relate(ctx context.Context, path string, guids ...string) error {
	return c.Act(ctx, http.MethodPost, path, Many(guids...))
}

// Assign sets a to-one relationship; the empty GUID makes it none.
func (c *Client) Assign(ctx context.Context, path, guid string) error {
	return c.Act(ctx, http.MethodPatch, path, One(guid))
}

// ServiceGet is Get at another service of the platform, by its name in GET /: routing, network_policy_v1, uaa.
func ServiceGet[T any](ctx context.Context, c *Client, service, path string) (*T, error) {
	return serviceCall[T](ctx, c, service, http.MethodGet, path, nil)
}

// ServiceChange is Change at another service of the platform.
func ServiceChange[T any](ctx context.Context, c *Client, service, method, path string, in any) (*T, error) {
	return serviceCall[T](ctx, c, service, method, path, in)
}

func serviceCall[T any](ctx context.Context, c *Client, service, method, path string, in any) (*T, error) {
	base, err := c.link(ctx, service)
	if err != nil {
		return nil, err
	}
	cl := call{method: method, url: base + path}
	if in != nil {
		if cl.body, err = jsonBody(in); err != nil {
			return nil, err
		}
		cl.contentType = "application/json"
	}
	out := new(T)
	return out, c.send(ctx, cl, out)
}

// Begin is Act for what a service broker may take its time over: it returns when the broker has begun (done is
// false), or when all is done.
func (c *Client) Begin(ctx context.Context, method, path string, in any) (done bool, err error) {
	cl := call{method: method, url: c.api + path}
	if in != nil {
		if cl.body, err = jsonBody(in); err != nil {
			return false, err
		}
		cl.contentType = "application/json"
	}
	var jobURL string
	cl.jobURL = &jobURL
	if err := c.send(ctx, cl, nil); err != nil {
		return false, err
	}
	if jobURL == "" {
		return true, nil
	}
	err = poll(ctx, func() (bool, error) {
		job, err := c.Job(ctx, jobURL)
		if err != nil {
			return false, err
		}
		done = job.State == JobComplete
		return done || job.State == JobPolling, job.failure()
	})
	return done, err
}
