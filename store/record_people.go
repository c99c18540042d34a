package store

import "time"

// Org is a tenant.
type Org struct {
	Meta
	Name                        string `json:"name"`
	Suspended                   bool   `json:"suspended,omitempty"`
	QuotaGUID                   string `json:"quota_guid,omitempty"`
	DefaultIsolationSegmentGUID string `json:"default_isolation_segment_guid,omitempty"`
}

// Space is the place in an org that owns apps, routes and service instances.
type Space struct {
	Meta
	Name                 string `json:"name"`
	OrgGUID              string `json:"org_guid"`
	QuotaGUID            string `json:"quota_guid,omitempty"`
	SSHDisabled          bool   `json:"ssh_disabled,omitempty"`
	IsolationSegmentGUID string `json:"isolation_segment_guid,omitempty"`
}

// Quota limits an org (OrgGUID empty) or a space of OrgGUID. Unlimited means no limit.
type Quota struct {
	Meta
	Name                string `json:"name"`
	OrgGUID             string `json:"org_guid,omitempty"`
	TotalMemoryMB       int    `json:"total_memory_mb"`
	ProcessMemoryMB     int    `json:"process_memory_mb"`
	TotalInstances      int    `json:"total_instances"`
	AppTasks            int    `json:"app_tasks"`
	LogRateBytes        int    `json:"log_rate_bytes"`
	PaidServicesAllowed bool   `json:"paid_services_allowed"`
	ServiceInstances    int    `json:"service_instances"`
	ServiceKeys         int    `json:"service_keys"`
	Routes              int    `json:"routes"`
	ReservedPorts       int    `json:"reserved_ports"`
	Domains             int    `json:"domains"`
}

// User is a person who can sign in, or a client that has been given roles (Origin empty).
type User struct {
	Meta
	Username     string    `json:"username"`
	Origin       string    `json:"origin"`
	PasswordHash string    `json:"password_hash,omitempty"` // PHC string, argon2id
	PasswordAt   time.Time `json:"password_at,omitzero"`
	Email        string    `json:"email,omitempty"`
	GivenName    string    `json:"given_name,omitempty"`
	FamilyName   string    `json:"family_name,omitempty"`
	Groups       []string  `json:"groups,omitempty"` // scopes such as cloud_controller.admin
	Disabled     bool      `json:"disabled,omitempty"`

	ExternalID     string   `json:"external_id,omitempty"`     // the subject at the identity provider Origin
	ExternalGroups []string `json:"external_groups,omitempty"` // scopes that the provider's groups gave at the last sign-in
	TokenSalt      string   `json:"token_salt,omitempty"`      // a new one ends all tokens
	Version        int      `json:"version,omitempty"`         // of the SCIM resource; each change raises it
}

// Group is a scope that users can be given; who has it stands in User.Groups under the group's name.
type Group struct {
	Meta
	Name        string `json:"name"` // such as cloud_controller.admin
	Description string `json:"description,omitempty"`
	Version     int    `json:"version,omitempty"`
}

// RevokedToken is an access token that ends before its time; its GUID is the token's jti.
type RevokedToken struct {
	Meta
	ExpiresAt time.Time `json:"expires_at"` // by then the token has ended by itself
}

// Client is an OAuth2 client; its GUID is the client id.
type Client struct {
	Meta
	SecretHash   string        `json:"secret_hash,omitempty"` // empty: the empty secret is right (the public client "cf")
	GrantTypes   []string      `json:"grant_types"`
	Scopes       []string      `json:"scopes,omitempty"`      // what a user's token may carry
	Authorities  []string      `json:"authorities,omitempty"` // what its own token carries
	RedirectURIs []string      `json:"redirect_uris,omitempty"`
	AutoApprove  bool          `json:"auto_approve,omitempty"`
	AccessTTL    time.Duration `json:"access_ttl,omitempty"`
	RefreshTTL   time.Duration `json:"refresh_ttl,omitempty"`
	Name         string        `json:"name,omitempty"`       // shown where a user approves it; empty: the id
	TokenSalt    string        `json:"token_salt,omitempty"` // a new one ends all tokens
}

// RefreshToken is a grant that can be renewed until ExpiresAt; its GUID is the token's jti. Without a ClientID it is
// a browser's session at the login page.
type RefreshToken struct {
	Meta
	UserGUID  string    `json:"user_guid"`
	ClientID  string    `json:"client_id"`
	Scopes    []string  `json:"scopes"`
	ExpiresAt time.Time `json:"expires_at"`
}

// Role gives a user a role in one org or one space. Type is a CAPI role type such as space_developer.
// OrgGUID is set for space roles too: the org of the space. FromGroup says that it came with a group of an identity provider and
// goes with it.
type Role struct {
	Meta
	Type      string `json:"type"`
	UserGUID  string `json:"user_guid"`
	OrgGUID   string `json:"org_guid"`
	SpaceGUID string `json:"space_guid,omitempty"`
	FromGroup bool   `json:"from_group,omitempty"`
}
