package api

import (
	"github.com/cupola-paas/cupola/controller/capi"
	"github.com/cupola-paas/cupola/store"
)

func (s *Server) presentSpace(sp *store.Space) capi.Space {
	base := "/v3/spaces/" + sp.GUID
	return capi.Space{
		Resource: resource(&sp.Meta), Name: sp.Name,
		Relationships: capi.SpaceRelationships{Organization: capi.One(sp.OrgGUID), Quota: capi.One(sp.QuotaGUID)},
		Metadata:      metadata(&sp.Meta),
		Links: capi.Links{
			"self": s.link(base), "organization": s.link("/v3/organizations/" + sp.OrgGUID),
			"features": s.link(base + "/features"), "apply_manifest": s.action(base + "/actions/apply_manifest"),
		},
	}
}

func (s *Server) presentOrg(o *store.Org) capi.Organization {
	base := "/v3/organizations/" + o.GUID
	return capi.Organization{
		Resource: resource(&o.Meta), Name: o.Name, Suspended: o.Suspended,
		Relationships: capi.OrganizationRelationships{Quota: capi.One(o.QuotaGUID)},
		Metadata:      metadata(&o.Meta),
		Links: capi.Links{
			"self": s.link(base), "domains": s.link(base + "/domains"), "default_domain": s.link(base + "/domains/default"),
			"quota": s.link("/v3/organization_quotas/" + o.QuotaGUID),
		},
	}
}

func (s *Server) presentDomain(d *store.Domain) capi.Domain {
	base := "/v3/domains/" + d.GUID
	out := capi.Domain{
		Resource: resource(&d.Meta), Name: d.Name, Internal: d.Internal, SupportedProtocols: []string{"http"},
		Relationships: capi.DomainRelationships{
			Organization: capi.One(d.OrgGUID), SharedOrganizations: capi.Many(d.SharedOrgGUIDs...),
		},
		Metadata: metadata(&d.Meta),
		Links:    capi.Links{"self": s.link(base), "route_reservations": s.link(base + "/route_reservations")},
	}
	if d.EnforceRoutePolicies {
		out.EnforceRoutePolicies, out.RoutePoliciesScope = true, d.RoutePoliciesScope
	}
	if d.RouterGroupGUID != "" {
		out.RouterGroup, out.SupportedProtocols = &capi.GUID{GUID: d.RouterGroupGUID}, []string{"tcp"}
	}
	if d.OrgGUID != "" {
		out.Links["organization"] = s.link("/v3/organizations/" + d.OrgGUID)
	}
	return out
}
