package capi

import (
	"context"
	"net/http"
)

// Organizations lists the organizations that the caller may see; a filter is names.
func (c *Client) Organizations(ctx context.Context, f Filter) ([]Organization, error) {
	return All[Organization](ctx, c, "/v3/organizations", f)
}

// Organization is an organization by GUID.
func (c *Client) Organization(ctx context.Context, guid string) (*Organization, error) {
	var o Organization
	return &o, c.get(ctx, "/v3/organizations/"+guid, &o)
}

// OrganizationByName is an organization; ResourceNotFound when there is none.
func (c *Client) OrganizationByName(ctx context.Context, name string) (*Organization, error) {
	return first[Organization](ctx, c, "/v3/organizations", Filter{"names": {name}}, "Organization '%s' not found.", name)
}

// CreateOrganization makes an organization.
func (c *Client) CreateOrganization(ctx context.Context, in OrganizationCreate) (*Organization, error) {
	var o Organization
	return &o, c.change(ctx, http.MethodPost, "/v3/organizations", in, &o)
}

// DeleteOrganization deletes an organization with all that is in it and waits until it is gone.
func (c *Client) DeleteOrganization(ctx context.Context, guid string) error {
	return c.changeJob(ctx, http.MethodDelete, "/v3/organizations/"+guid, nil, nil)
}

// Spaces lists spaces; filters are names, organization_guids.
func (c *Client) Spaces(ctx context.Context, f Filter) ([]Space, error) {
	return All[Space](ctx, c, "/v3/spaces", f)
}

// Space is a space by GUID.
func (c *Client) Space(ctx context.Context, guid string) (*Space, error) {
	var s Space
	return &s, c.get(ctx, "/v3/spaces/"+guid, &s)
}

// SpaceByName is a space of an organization; ResourceNotFound when there is none.
func (c *Client) SpaceByName(ctx context.Context, orgGUID, name string) (*Space, error) {
	f := Filter{"names": {name}, "organization_guids": {orgGUID}}
	return first[Space](ctx, c, "/v3/spaces", f, "Space '%s' not found.", name)
}

// CreateSpace makes a space.
func (c *Client) CreateSpace(ctx context.Context, in SpaceCreate) (*Space, error) {
	var s Space
	return &s, c.change(ctx, http.MethodPost, "/v3/spaces", in, &s)
}

// DeleteSpace deletes a space with all that is in it and waits until it is gone.
func (c *Client) DeleteSpace(ctx context.Context, guid string) error {
	return c.changeJob(ctx, http.MethodDelete, "/v3/spaces/"+guid, nil, nil)
}

// CreateRole gives a user a role. One that the user has already is an UnprocessableEntity.
func (c *Client) CreateRole(ctx context.Context, in RoleCreate) (*Role, error) {
	var r Role
	return &r, c.change(ctx, http.MethodPost, "/v3/roles", in, &r)
}

// Roles lists roles; filters are types, user_guids, organization_guids, space_guids.
func (c *Client) Roles(ctx context.Context, f Filter) ([]Role, error) {
	return All[Role](ctx, c, "/v3/roles", f)
}

// DeleteRole takes a role away and waits until it is gone.
func (c *Client) DeleteRole(ctx context.Context, guid string) error {
	return c.changeJob(ctx, http.MethodDelete, "/v3/roles/"+guid, nil, nil)
}

// Buildpacks lists the catalogue in its order; filters are names, stacks, lifecycle.
func (c *Client) Buildpacks(ctx context.Context, f Filter) ([]Buildpack, error) {
	return All[Buildpack](ctx, c, "/v3/buildpacks", f)
}

// Stacks lists the stacks; a filter is names.
func (c *Client) Stacks(ctx context.Context, f Filter) ([]Stack, error) {
	return All[Stack](ctx, c, "/v3/stacks", f)
}

// OutdatedApps lists the apps whose image stands on an older run image than their stack has.
func (c *Client) OutdatedApps(ctx context.Context, stackGUID string) ([]App, error) {
	return All[App](ctx, c, "/v3/stacks/"+stackGUID+"/apps", Filter{}.With("outdated", "true"))
}

// RefreshStack assembles a stack again with the newest packages and waits until that is done.
func (c *Client) RefreshStack(ctx context.Context, guid string) error {
	return c.changeJob(ctx, http.MethodPost, "/v3/stacks/"+guid+"/actions/refresh", nil, nil)
}
