package capi

// OrganizationQuota limits what the spaces of an organization use together; null is no limit.
type OrganizationQuota struct {
	Resource
	Name          string                `json:"name"`
	Apps          QuotaApps             `json:"apps"`
	Services      QuotaServices         `json:"services"`
	Routes        QuotaRoutes           `json:"routes"`
	Domains       QuotaDomains          `json:"domains"`
	Relationships OrgQuotaRelationships `json:"relationships"`
	Links         Links                 `json:"links"`
}

// OrgQuotaRelationships of an OrganizationQuota.
type OrgQuotaRelationships struct {
	Organizations ToMany `json:"organizations"`
}

// SpaceQuota limits one space.
type SpaceQuota struct {
	Resource
	Name          string                  `json:"name"`
	Apps          QuotaApps               `json:"apps"`
	Services      QuotaServices           `json:"services"`
	Routes        QuotaRoutes             `json:"routes"`
	Relationships SpaceQuotaRelationships `json:"relationships"`
	Links         Links                   `json:"links"`
}

// SpaceQuotaRelationships of a SpaceQuota.
type SpaceQuotaRelationships struct {
	Organization ToOne  `json:"organization"`
	Spaces       ToMany `json:"spaces"`
}

// QuotaApps limits memory, instances and tasks; null is no limit.
type QuotaApps struct {
	TotalMemoryInMB      *int `json:"total_memory_in_mb"`
	PerProcessMemoryInMB *int `json:"per_process_memory_in_mb"`
	TotalInstances       *int `json:"total_instances"`
	PerAppTasks          *int `json:"per_app_tasks"`
	LogRateLimit         *int `json:"log_rate_limit_in_bytes_per_second"`
}

// QuotaServices limits service instances and keys.
type QuotaServices struct {
	PaidServicesAllowed   bool `json:"paid_services_allowed"`
	TotalServiceInstances *int `json:"total_service_instances"`
	TotalServiceKeys      *int `json:"total_service_keys"`
}

// QuotaRoutes limits routes and reserved ports.
type QuotaRoutes struct {
	TotalRoutes        *int `json:"total_routes"`
	TotalReservedPorts *int `json:"total_reserved_ports"`
}

// QuotaDomains limits private domains.
type QuotaDomains struct {
	TotalDomains *int `json:"total_domains"`
}

// QuotaUpdate is the body of POST and PATCH of both kinds of quota; Domains is for organizations only.
type QuotaUpdate struct {
	Name          Optional[string]          `json:"name,omitzero"`
	Apps          *QuotaAppsUpdate          `json:"apps,omitempty"`
	Services      *QuotaServicesUpdate      `json:"services,omitempty"`
	Routes        *QuotaRoutesUpdate        `json:"routes,omitempty"`
	Domains       *QuotaDomainsUpdate       `json:"domains,omitempty"`
	Relationships *QuotaUpdateRelationships `json:"relationships,omitempty"`
}

// QuotaAppsUpdate: null removes a limit, what is absent stays.
type QuotaAppsUpdate struct {
	TotalMemoryInMB      Optional[Int] `json:"total_memory_in_mb,omitzero"`
	PerProcessMemoryInMB Optional[Int] `json:"per_process_memory_in_mb,omitzero"`
	TotalInstances       Optional[Int] `json:"total_instances,omitzero"`
	PerAppTasks          Optional[Int] `json:"per_app_tasks,omitzero"`
	LogRateLimit         Optional[Int] `json:"log_rate_limit_in_bytes_per_second,omitzero"`
}

// QuotaServicesUpdate: null removes a limit, what is absent stays.
type QuotaServicesUpdate struct {
	PaidServicesAllowed   *bool         `json:"paid_services_allowed,omitempty"`
	TotalServiceInstances Optional[Int] `json:"total_service_instances,omitzero"`
	TotalServiceKeys      Optional[Int] `json:"total_service_keys,omitzero"`
}

// QuotaRoutesUpdate: null removes a limit, what is absent stays.
type QuotaRoutesUpdate struct {
	TotalRoutes        Optional[Int] `json:"total_routes,omitzero"`
	TotalReservedPorts Optional[Int] `json:"total_reserved_ports,omitzero"`
}

// QuotaDomainsUpdate: null removes a limit, what is absent stays.
type QuotaDomainsUpdate struct {
	TotalDomains Optional[Int] `json:"total_domains,omitzero"`
}

// QuotaUpdateRelationships says to whom a new quota applies.
type QuotaUpdateRelationships struct {
	Organizations *ToMany `json:"organizations,omitempty"` // organization quota
	Organization  *ToOne  `json:"organization,omitempty"`  // space quota
	Spaces        *ToMany `json:"spaces,omitempty"`        // space quota
}
