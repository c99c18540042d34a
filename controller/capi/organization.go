package capi

// Organization is a tenant.
type Organization struct {
	Resource
	Name          string                    `json:"name"`
	Suspended     bool                      `json:"suspended"`
	Relationships OrganizationRelationships `json:"relationships"`
	Metadata      Metadata                  `json:"metadata"`
	Links         Links                     `json:"links"`
}

// OrganizationRelationships of an Organization.
type OrganizationRelationships struct {
	Quota ToOne `json:"quota"`
}

// OrganizationCreate is the body of POST /v3/organizations.
type OrganizationCreate struct {
	Name      string         `json:"name"`
	Suspended *bool          `json:"suspended,omitempty"`
	Metadata  *MetadataPatch `json:"metadata,omitempty"`
}

// OrganizationUpdate is the body of PATCH /v3/organizations/:guid.
type OrganizationUpdate struct {
	Name      *string        `json:"name,omitempty"`
	Suspended *bool          `json:"suspended,omitempty"`
	Metadata  *MetadataPatch `json:"metadata,omitempty"`
}

// UsageSummary is what an organization or a space uses now.
type UsageSummary struct {
	Usage UsageSummaryData `json:"usage_summary"`
	Links Links            `json:"links"`
}

// UsageSummaryData counts started instances and their memory, and what else quotas limit.
type UsageSummaryData struct {
	StartedInstances int `json:"started_instances"`
	MemoryInMB       int `json:"memory_in_mb"`
	Routes           int `json:"routes"`
	ServiceInstances int `json:"service_instances"`
	ReservedPorts    int `json:"reserved_ports"`
	Domains          int `json:"domains,omitempty"`
	PerAppTasks      int `json:"per_app_tasks"`
	ServiceKeys      int `json:"service_keys"`
}
