package capi

import (
	"context"
	"net/http"
	"net/url"
	"strings"
)

// RouterGroup is a group of routers of the routing service; ReservablePorts is such as 1024-1123,2000.
type RouterGroup struct {
	GUID            string `json:"guid"`
	Name            string `json:"name"`
	Type            string `json:"type"` // tcp or http
	ReservablePorts string `json:"reservable_ports"`
}

// RouterGroups are those with a name, all when it is empty.
func (c *Client) RouterGroups(ctx context.Context, name string) ([]RouterGroup, error) {
	path := "/v1/router_groups"
	if name != "" {
		path += "?name=" + url.QueryEscape(name)
	}
	all, err := ServiceGet[[]RouterGroup](ctx, c, "routing", path)
	if err != nil {
		return nil, err
	}
	return *all, nil
}

// NetworkPolicy lets the instances of one app open connections to those of another (network policy API v1).
type NetworkPolicy struct {
	Source      NetworkPolicySource      `json:"source"`
	Destination NetworkPolicyDestination `json:"destination"`
}

// NetworkPolicySource is an app by GUID.
type NetworkPolicySource struct {
	ID string `json:"id"`
}

// NetworkPolicyDestination is an app by GUID, with the protocol (tcp or udp) and its ports.
type NetworkPolicyDestination struct {
	ID       string             `json:"id"`
	Protocol string             `json:"protocol"`
	Ports    NetworkPolicyPorts `json:"ports"`
}

// NetworkPolicyPorts is a range with both ends.
type NetworkPolicyPorts struct {
	Start int `json:"start"`
	End   int `json:"end"`
}

// NetworkPolicies is the body of requests and answers of the network policy API.
type NetworkPolicies struct {
	Total    int                  `json:"total_policies,omitempty"`
	Policies Array[NetworkPolicy] `json:"policies"`
}

const networkPolicyService = "network_policy_v1"

// NetworkPolicies are the policies whose source or destination is one of the apps; none given: all that the caller may see.
func (c *Client) NetworkPolicies(ctx context.Context, appGUIDs ...string) ([]NetworkPolicy, error) {
	path := "/policies"
	if len(appGUIDs) > 0 {
		path += "?id=" + url.QueryEscape(strings.Join(appGUIDs, ","))
	}
	all, err := ServiceGet[NetworkPolicies](ctx, c, networkPolicyService, path)
	if err != nil {
		return nil, err
	}
	return all.Policies, nil
}

// AddNetworkPolicy allows what p says.
func (c *Client) AddNetworkPolicy(ctx context.Context, p NetworkPolicy) error {
	_, err := ServiceChange[struct{}](ctx, c, networkPolicyService, http.MethodPost, "/policies", NetworkPolicies{Policies: Array[NetworkPolicy]{p}})
	return err
}

// RemoveNetworkPolicy no longer allows what p says.
func (c *Client) RemoveNetworkPolicy(ctx context.Context, p NetworkPolicy) error {
	_, err := ServiceChange[struct{}](ctx, c, networkPolicyService, http.MethodPost, "/policies/delete", NetworkPolicies{Policies: Array[NetworkPolicy]{p}})
	return err
}
