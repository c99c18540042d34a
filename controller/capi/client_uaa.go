package capi

import (
	"context"
	"net/http"
	"net/url"
	"strconv"
	"strings"
)

// UAAUser is a user as UAA keeps it (SCIM).
type UAAUser struct {
	ID       string     `json:"id,omitempty"`
	Username string     `json:"userName"`
	Password string     `json:"password,omitempty"`
	Origin   string     `json:"origin"`
	Name     UAAName    `json:"name"`
	Emails   []UAAEmail `json:"emails"`
}

// UAAName of a UAAUser.
type UAAName struct {
	Family string `json:"familyName"`
	Given  string `json:"givenName"`
}

// UAAEmail is an address of a UAAUser.
type UAAEmail struct {
	Value   string `json:"value"`
	Primary bool   `json:"primary"`
}

// UAAUsers are the users of that name; an empty origin means any.
func (c *Client) UAAUsers(ctx context.Context, name, origin string) ([]UAAUser, error) {
	filter := "userName eq " + strconv.Quote(name)
	if origin != "" {
		filter += " and origin eq " + strconv.Quote(origin)
	}
	all, err := ServiceGet[struct {
		Resources []UAAUser `json:"resources"`
	}](ctx, c, "uaa", "/Users?filter="+url.QueryEscape(filter))
	if err != nil {
		return nil, err
	}
	return all.Resources, nil
}

// CreateUAAUser makes a user in UAA. One of the same name and origin is a TokenError with status 409.
func (c *Client) CreateUAAUser(ctx context.Context, u UAAUser) (*UAAUser, error) {
	return ServiceChange[UAAUser](ctx, c, "uaa", http.MethodPost, "/Users", u)
}

// DeleteUAAUser deletes a user in UAA.
func (c *Client) DeleteUAAUser(ctx context.Context, id string) error {
	_, err := ServiceChange[struct{}](ctx, c, "uaa", http.MethodDelete, "/Users/"+url.PathEscape(id), nil)
	return err
}

// ChangePassword sets a new password for a user who knows the old one.
func (c *Client) ChangePassword(ctx context.Context, id, old, password string) error {
	_, err := ServiceChange[struct{}](ctx, c, "uaa", http.MethodPut, "/Users/"+url.PathEscape(id)+"/password",
		map[string]string{"oldPassword": old, "password": password})
	return err
}

// OAuthClient says whether UAA has a client of that id.
func (c *Client) OAuthClient(ctx context.Context, id string) error {
	_, err := ServiceGet[struct{}](ctx, c, "uaa", "/oauth/clients/"+url.PathEscape(id))
	return err
}

// SSHCode is a code for one login to the SSH endpoint (UAA, GET /oauth/authorize with response_type code).
func (c *Client) SSHCode(ctx context.Context) (string, error) {
	root, err := c.Root(ctx)
	if err != nil {
		return "", err
	}
	uaa, err := c.link(ctx, "uaa")
	if err != nil {
		return "", err
	}
	id := "ssh-proxy"
	if link := root.Links["app_ssh"]; link != nil && link.Meta != nil && link.Meta.OAuthClient != "" {
		id = link.Meta.OAuthClient
	}
	token, err := c.session.access(ctx)
	if err != nil {
		return "", err
	}
	query := url.Values{"client_id": {id}, "response_type": {"code"}}
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, uaa+"/oauth/authorize?"+query.Encode(), nil)
	if err != nil {
		return "", err
	}
	resp, err := c.exchangeBy(c.withoutRedirects(), req, token)
	if err != nil {
		return "", err
	}
	discard(resp)
	to, err := url.Parse(resp.Header.Get("Location"))
	if err != nil || to.Query().Get("code") == "" {
		return "", ServerError.Errorf("the authorization server at %s gave no code for SSH (%s)", origin(uaa), strings.ToLower(resp.Status))
	}
	return to.Query().Get("code"), nil
}

// withoutRedirects is the HTTP client that gives an answer 3xx back as it is.
func (c *Client) withoutRedirects() *http.Client {
	plain := *c.http
	plain.CheckRedirect = func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }
	return &plain
}
