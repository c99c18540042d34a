package capi

import (
	"context"
	"net/http"
)

// Routes lists routes; filters are hosts, paths, ports, domain_guids, space_guids, organization_guids, app_guids.
func (c *Client) Routes(ctx context.Context, f Filter) ([]Route, error) {
	return All[Route](ctx, c, "/v3/routes", f)
}

// FindRoute is the route with exactly that host and path under a domain; ResourceNotFound when there is none.
func (c *Client) FindRoute(ctx context.Context, domainGUID, host, path string) (*Route, error) {
	f := Filter{"domain_guids": {domainGUID}, "hosts": {host}, "paths": {path}}
	return first[Route](ctx, c, "/v3/routes", f, "Route with host '%s' and path '%s' not found.", host, path)
}

// CreateRoute makes a route.
func (c *Client) CreateRoute(ctx context.Context, in RouteCreate) (*Route, error) {
	var r Route
	return &r, c.change(ctx, http.MethodPost, "/v3/routes", in, &r)
}

// DeleteRoute deletes a route and waits until it is gone.
func (c *Client) DeleteRoute(ctx context.Context, guid string) error {
	return c.changeJob(ctx, http.MethodDelete, "/v3/routes/"+guid, nil, nil)
}

// Destinations are where a route leads.
func (c *Client) Destinations(ctx context.Context, routeGUID string) ([]Destination, error) {
	var d Destinations
	err := c.get(ctx, "/v3/routes/"+routeGUID+"/destinations", &d)
	return d.Destinations, err
}

// MapRoute leads a route to an app too; doing it again changes nothing. A zero port is the app's own.
func (c *Client) MapRoute(ctx context.Context, routeGUID, appGUID string, port int, protocol string) error {
	to := DestinationInsert{App: DestinationInsertApp{GUID: appGUID}, Protocol: protocol}
	if port != 0 {
		n := Int(port)
		to.Port = &n
	}
	in := DestinationsInsert{Destinations: []DestinationInsert{to}}
	return c.change(ctx, http.MethodPost, "/v3/routes/"+routeGUID+"/destinations", in, nil)
}

// UnmapRoute takes a destination from a route.
func (c *Client) UnmapRoute(ctx context.Context, routeGUID, destinationGUID string) error {
	return c.change(ctx, http.MethodDelete, "/v3/routes/"+routeGUID+"/destinations/"+destinationGUID, nil, nil)
}

// Domains lists domains; filters are names, organization_guids.
func (c *Client) Domains(ctx context.Context, f Filter) ([]Domain, error) {
	return All[Domain](ctx, c, "/v3/domains", f)
}

// DomainByName is a domain; ResourceNotFound when there is none.
func (c *Client) DomainByName(ctx context.Context, name string) (*Domain, error) {
	return first[Domain](ctx, c, "/v3/domains", Filter{"names": {name}}, "Domain '%s' not found.", name)
}

// OrgDomains are the domains that an organization may use.
func (c *Client) OrgDomains(ctx context.Context, orgGUID string) ([]Domain, error) {
	return All[Domain](ctx, c, "/v3/organizations/"+orgGUID+"/domains", nil)
}

// DefaultDomain is the domain that an organization's apps get routes under.
func (c *Client) DefaultDomain(ctx context.Context, orgGUID string) (*Domain, error) {
	var d Domain
	return &d, c.get(ctx, "/v3/organizations/"+orgGUID+"/domains/default", &d)
}

// CreateDomain makes a domain.
func (c *Client) CreateDomain(ctx context.Context, in DomainCreate) (*Domain, error) {
	var d Domain
	return &d, c.change(ctx, http.MethodPost, "/v3/domains", in, &d)
}
