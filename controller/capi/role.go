package capi

// Role types.
const (
	RoleOrgUser           = "organization_user"
	RoleOrgAuditor        = "organization_auditor"
	RoleOrgManager        = "organization_manager"
	RoleOrgBillingManager = "organization_billing_manager"
	RoleSpaceAuditor      = "space_auditor"
	RoleSpaceDeveloper    = "space_developer"
	RoleSpaceManager      = "space_manager"
	RoleSpaceSupporter    = "space_supporter"
)

// OrgRoles and SpaceRoles are all types, those first that most people have. They are not to be changed.
var (
	OrgRoles   = []string{RoleOrgUser, RoleOrgManager, RoleOrgAuditor, RoleOrgBillingManager}
	SpaceRoles = []string{RoleSpaceDeveloper, RoleSpaceManager, RoleSpaceAuditor, RoleSpaceSupporter}
)

// Role gives a user a role in an organization or a space; the other of the two is {"data":null}.
type Role struct {
	Resource
	Type          string            `json:"type"`
	Relationships RoleRelationships `json:"relationships"`
	Links         Links             `json:"links"`
}

// RoleRelationships of a Role.
type RoleRelationships struct {
	User         ToOne `json:"user"`
	Organization ToOne `json:"organization"`
	Space        ToOne `json:"space"`
}

// RoleCreate is the body of POST /v3/roles.
type RoleCreate struct {
	Type          string                  `json:"type"`
	Relationships RoleCreateRelationships `json:"relationships"`
}

// RoleCreateRelationships names the user and either an organization or a space.
type RoleCreateRelationships struct {
	User         *RoleUser `json:"user"`
	Organization *ToOne    `json:"organization,omitempty"`
	Space        *ToOne    `json:"space,omitempty"`
}

// RoleUser is the user of a new role.
type RoleUser struct {
	Data *RoleUserData `json:"data"`
}

// RoleUserData names a user by GUID, or by name and (where that is ambiguous) origin.
type RoleUserData struct {
	GUID     string `json:"guid,omitempty"`
	Username string `json:"username,omitempty"`
	Origin   string `json:"origin,omitempty"`
}
