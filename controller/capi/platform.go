package capi

import "encoding/json"

// SecurityGroup is a set of egress rules.
type SecurityGroup struct {
	Resource
	Name            string                     `json:"name"`
	Rules           json.RawMessage            `json:"rules"`
	GloballyEnabled GloballyEnabled            `json:"globally_enabled"`
	Relationships   SecurityGroupRelationships `json:"relationships"`
	Links           Links                      `json:"links"`
}

// GloballyEnabled says where a security group applies to everybody.
type GloballyEnabled struct {
	Running bool `json:"running"`
	Staging bool `json:"staging"`
}

// SecurityGroupRelationships of a SecurityGroup.
type SecurityGroupRelationships struct {
	RunningSpaces ToMany `json:"running_spaces"`
	StagingSpaces ToMany `json:"staging_spaces"`
}

// SecurityGroupRule is one egress rule. Destination is an address, a CIDR or a range, or several with commas.
type SecurityGroupRule struct {
	Protocol    string `json:"protocol"`
	Destination string `json:"destination"`
	Ports       string `json:"ports,omitempty"`
	Type        *Int   `json:"type,omitempty"`
	Code        *Int   `json:"code,omitempty"`
	Description string `json:"description,omitempty"`
	Log         *bool  `json:"log,omitempty"`
}

// SecurityGroupUpdate is the body of POST /v3/security_groups and of PATCH /v3/security_groups/:guid.
type SecurityGroupUpdate struct {
	Name            *string                           `json:"name,omitempty"`
	Rules           *[]SecurityGroupRule              `json:"rules,omitempty"`
	GloballyEnabled *GloballyEnabledUpdate            `json:"globally_enabled,omitempty"`
	Relationships   *SecurityGroupUpdateRelationships `json:"relationships,omitempty"`
}

// GloballyEnabledUpdate: what is nil stays.
type GloballyEnabledUpdate struct {
	Running *bool `json:"running,omitempty"`
	Staging *bool `json:"staging,omitempty"`
}

// SecurityGroupUpdateRelationships binds a new group to spaces.
type SecurityGroupUpdateRelationships struct {
	RunningSpaces *ToMany `json:"running_spaces,omitempty"`
	StagingSpaces *ToMany `json:"staging_spaces,omitempty"`
}

// IsolationSegment is a named part of the platform's nodes.
type IsolationSegment struct {
	Resource
	Name     string   `json:"name"`
	Metadata Metadata `json:"metadata"`
	Links    Links    `json:"links"`
}

// IsolationSegmentUpdate is the body of POST and PATCH of isolation segments.
type IsolationSegmentUpdate struct {
	Name     *string        `json:"name,omitempty"`
	Metadata *MetadataPatch `json:"metadata,omitempty"`
}

// FeatureFlag turns a part of the platform on or off; UpdatedAt is null while it is at its default.
type FeatureFlag struct {
	Name               string  `json:"name"`
	Enabled            bool    `json:"enabled"`
	UpdatedAt          Time    `json:"updated_at"`
	CustomErrorMessage *string `json:"custom_error_message"`
	Links              Links   `json:"links"`
}

// FeatureFlagUpdate is the body of PATCH /v3/feature_flags/:name.
type FeatureFlagUpdate struct {
	Enabled            *bool            `json:"enabled,omitempty"`
	CustomErrorMessage Optional[string] `json:"custom_error_message,omitzero"`
}

// EnvGroup is the variables that all apps have while running or while staging.
type EnvGroup struct {
	Name      string  `json:"name"`
	UpdatedAt Time    `json:"updated_at"`
	Var       Strings `json:"var"`
	Links     Links   `json:"links"`
}
