package capi

import (
	"context"
	"net/http"
)

// CreateBuild starts to turn a package into a droplet.
func (c *Client) CreateBuild(ctx context.Context, in BuildCreate) (*Build, error) {
	var b Build
	return &b, c.change(ctx, http.MethodPost, "/v3/builds", in, &b)
}

// Builds lists builds; filters are app_guids, states, package_guids.
func (c *Client) Builds(ctx context.Context, f Filter) ([]Build, error) {
	return All[Build](ctx, c, "/v3/builds", f)
}

// Build is a build by GUID.
func (c *Client) Build(ctx context.Context, guid string) (*Build, error) {
	var b Build
	return &b, c.get(ctx, "/v3/builds/"+guid, &b)
}

// WaitBuild waits until a build is STAGED; one that FAILED is a StagingError with the build's own words.
func (c *Client) WaitBuild(ctx context.Context, guid string) (*Build, error) {
	var b *Build
	err := poll(ctx, func() (bool, error) {
		var err error
		if b, err = c.Build(ctx, guid); err != nil {
			return false, err
		}
		if b.State == "FAILED" {
			detail := "StagingError - the build failed"
			if b.Error != nil {
				detail = *b.Error
			}
			return false, StagingError.Errorf("%s", detail)
		}
		return b.State == "STAGED", nil
	})
	return b, err
}

// CancelBuild ends a build that is staging.
func (c *Client) CancelBuild(ctx context.Context, guid string) error {
	return c.change(ctx, http.MethodPatch, "/v3/builds/"+guid, map[string]string{"state": "FAILED"}, nil)
}

// Droplets lists droplets; filters are app_guids, states, space_guids.
func (c *Client) Droplets(ctx context.Context, f Filter) ([]Droplet, error) {
	return All[Droplet](ctx, c, "/v3/droplets", f)
}

// Droplet is a droplet by GUID.
func (c *Client) Droplet(ctx context.Context, guid string) (*Droplet, error) {
	var d Droplet
	return &d, c.get(ctx, "/v3/droplets/"+guid, &d)
}

// CurrentDroplet is the droplet that an app runs; ResourceNotFound when it has none.
func (c *Client) CurrentDroplet(ctx context.Context, appGUID string) (*Droplet, error) {
	var d Droplet
	return &d, c.get(ctx, "/v3/apps/"+appGUID+"/droplets/current", &d)
}

// RebaseDroplet makes a droplet like this one on its stack's newest run image; the same when it stands on that.
func (c *Client) RebaseDroplet(ctx context.Context, guid string) (*Droplet, error) {
	var d Droplet
	return &d, c.change(ctx, http.MethodPost, "/v3/droplets/"+guid+"/actions/rebase", nil, &d)
}

// SetCurrentDroplet chooses the droplet that an app's next start runs.
func (c *Client) SetCurrentDroplet(ctx context.Context, appGUID, dropletGUID string) error {
	return c.change(ctx, http.MethodPatch, "/v3/apps/"+appGUID+"/relationships/current_droplet", One(dropletGUID), nil)
}

// CreateDeployment starts to replace an app's instances without a gap.
func (c *Client) CreateDeployment(ctx context.Context, in DeploymentCreate) (*Deployment, error) {
	var d Deployment
	return &d, c.change(ctx, http.MethodPost, "/v3/deployments", in, &d)
}

// Deployment is a deployment by GUID.
func (c *Client) Deployment(ctx context.Context, guid string) (*Deployment, error) {
	var d Deployment
	return &d, c.get(ctx, "/v3/deployments/"+guid, &d)
}

// Deployments lists deployments; filters are app_guids, status_values, status_reasons, states.
func (c *Client) Deployments(ctx context.Context, f Filter) ([]Deployment, error) {
	return All[Deployment](ctx, c, "/v3/deployments", f)
}

// WaitDeployment waits until a deployment is FINALIZED or PAUSED, telling see (may be nil) each state on the way.
// The caller judges the end: DEPLOYED is success.
func (c *Client) WaitDeployment(ctx context.Context, guid string, see func(*Deployment)) (*Deployment, error) {
	var d *Deployment
	err := poll(ctx, func() (bool, error) {
		var err error
		if d, err = c.Deployment(ctx, guid); err != nil {
			return false, err
		}
		if see != nil {
			see(d)
		}
		return d.Status.Value == "FINALIZED" || d.Status.Reason == "PAUSED", nil
	})
	return d, err
}

// CancelDeployment goes back to the droplet before.
func (c *Client) CancelDeployment(ctx context.Context, guid string) error {
	return c.change(ctx, http.MethodPost, "/v3/deployments/"+guid+"/actions/cancel", nil, nil)
}

// ContinueDeployment goes on with one that is PAUSED.
func (c *Client) ContinueDeployment(ctx context.Context, guid string) error {
	return c.change(ctx, http.MethodPost, "/v3/deployments/"+guid+"/actions/continue", nil, nil)
}
