package store

import "time"

// Domain is a DNS name under which routes are made; shared with everybody when OrgGUID is empty.
type Domain struct {
	Meta
	Name            string   `json:"name"`
	Internal        bool     `json:"internal,omitempty"`
	OrgGUID         string   `json:"org_guid,omitempty"`
	SharedOrgGUIDs  []string `json:"shared_org_guids,omitempty"`
	RouterGroupGUID string   `json:"router_group_guid,omitempty"`
	// EnforceRoutePolicies lets only apps use its routes that a RoutePolicy names and that are within RoutePoliciesScope.
	// Both are set when the domain is made and never after.
	EnforceRoutePolicies bool   `json:"enforce_route_policies,omitempty"`
	RoutePoliciesScope   string `json:"route_policies_scope,omitempty"` // of the Scope constants
}

// What Domain.RoutePoliciesScope may say: where the apps may be that use a route, whatever its policies.
const (
	ScopeAny   = "any"
	ScopeOrg   = "org"   // the org of the route's space
	ScopeSpace = "space" // the route's space
)

// RoutePolicy lets apps use a route of a domain with EnforceRoutePolicies (CAPI v3, /v3/route_policies).
type RoutePolicy struct {
	Meta
	RouteGUID  string `json:"route_guid"`
	SourceType string `json:"source_type"`           // of the Source constants
	SourceGUID string `json:"source_guid,omitempty"` // nobody says that it exists; empty for SourceAny
}

// What RoutePolicy.SourceType may say.
const (
	SourceAny   = "any" // every app; the only policy of its route then
	SourceApp   = "app"
	SourceSpace = "space" // all apps in it
	SourceOrg   = "org"   // all apps in its spaces
)

// Source is the policy's source as the API writes it: cf:any, or cf:app:GUID.
func (p *RoutePolicy) Source() string {
	if p.SourceType == SourceAny {
		return "cf:any"
	}
	return "cf:" + p.SourceType + ":" + p.SourceGUID
}

// RouterGroup is a set of ports that routes of its domains share. Its type is tcp.
type RouterGroup struct {
	Meta
	Name            string `json:"name"`
	Type            string `json:"type"`
	ReservablePorts string `json:"reservable_ports"` // such as 1024-1123,2000
}

// Route is a name that leads to apps.
type Route struct {
	Meta
	Host             string            `json:"host"`
	Path             string            `json:"path"` // empty, or begins with a slash
	Port             int               `json:"port,omitempty"`
	DomainGUID       string            `json:"domain_guid"`
	SpaceGUID        string            `json:"space_guid"`
	SharedSpaceGUIDs []string          `json:"shared_space_guids,omitempty"`
	Options          map[string]string `json:"options,omitempty"`
	Destinations     []Destination     `json:"destinations,omitempty"`
	// RouteServiceURL is where its requests go first (that of its ServiceRouteBinding), or empty.
	RouteServiceURL string `json:"route_service_url,omitempty"`
}

// Destination is one process of an app that a route leads to.
type Destination struct {
	GUID        string    `json:"guid"`
	AppGUID     string    `json:"app_guid"`
	ProcessType string    `json:"process_type"`
	Port        int       `json:"port,omitempty"`     // zero: the process's first port
	Protocol    string    `json:"protocol,omitempty"` // http1 (also the empty string), http2 or tcp
	Weight      *int      `json:"weight,omitempty"`
	CreatedAt   time.Time `json:"created_at"`
	UpdatedAt   time.Time `json:"updated_at"`
}

// SecurityGroup is a set of egress rules. Rules is the API's JSON array.
type SecurityGroup struct {
	Meta
	Name          string   `json:"name"`
	Rules         []byte   `json:"rules"`
	Running       bool     `json:"running,omitempty"`
	Staging       bool     `json:"staging,omitempty"`
	RunningSpaces []string `json:"running_spaces,omitempty"`
	StagingSpaces []string `json:"staging_spaces,omitempty"`
}

// NetworkPolicy lets the instances of one app connect to those of another, on ports from first to last.
type NetworkPolicy struct {
	Meta
	SourceAppGUID      string `json:"source_app_guid"`
	DestinationAppGUID string `json:"destination_app_guid"`
	Protocol           string `json:"protocol"` // tcp or udp
	FirstPort          int    `json:"first_port"`
	LastPort           int    `json:"last_port"`
}

// IsolationSegment is a named part of the platform's nodes.
type IsolationSegment struct {
	Meta
	Name     string   `json:"name"`
	OrgGUIDs []string `json:"org_guids,omitempty"`
}
