package dashboard

import (
	"context"

	"github.com/cupola-paas/cupola/controller/capi"
)

// tenantPages are those of orgs and spaces.
func (d *Dashboard) tenantPages() map[string]reader {
	return map[string]reader{"/orgs": d.orgs, "/orgs/{guid}": d.orgPage, "/spaces/{guid}": d.spacePage}
}

func (d *Dashboard) tenantActions() map[string]writer {
	return map[string]writer{
		"/orgs": d.createOrg, "/orgs/{guid}/spaces": d.createSpace, "/orgs/{guid}/delete": d.deleteOrg, "/spaces/{guid}/delete": d.deleteSpace,
		"/orgs/{guid}/roles": d.addOrgRole, "/spaces/{guid}/roles": d.addSpaceRole, "/roles/{guid}/delete": d.removeRole,
	}
}

// orgsView is the list of orgs.
type orgsView struct {
	frame
	Orgs  []orgRow
	Pager pager
}

type orgRow struct {
	GUID, Name, Quota string
	Suspended         bool
	Spaces            []domainChoice
}

func (d *Dashboard) orgs(ctx context.Context, q *ask) (screen, error) {
	v := orgsView{}
	f := paged(q.r, "page").With("order_by", "name")
	list, err := onePage[capi.Organization](ctx, q.c, "/v3/organizations", f)
	if err != nil {
		return screen{}, err
	}
	v.Pager = newPager(q.r, "page", "org", f, list.Pagination)
	var guids, quotas []string
	for _, o := range list.Resources {
		guids, quotas = append(guids, o.GUID), append(quotas, o.Relationships.Quota.GUID())
	}
	spaces, names := map[string][]domainChoice{}, map[string]string{}
	if len(guids) > 0 {
		all, err := onePage[capi.Space](ctx, q.c, "/v3/spaces", capi.Filter{"organization_guids": guids, "order_by": {"name"}, "per_page": {"500"}})
		if err != nil {
			return screen{}, err
		}
		for _, s := range all.Resources {
			org := s.Relationships.Organization.GUID()
			spaces[org] = append(spaces[org], domainChoice{s.GUID, s.Name})
		}
		known, err := onePage[capi.OrganizationQuota](ctx, q.c, "/v3/organization_quotas", capi.Filter{"guids": unique(quotas), "per_page": {"200"}})
		if err != nil {
			return screen{}, err
		}
		for _, one := range known.Resources {
			names[one.GUID] = one.Name
		}
	}
	for _, o := range list.Resources {
		v.Orgs = append(v.Orgs, orgRow{o.GUID, o.Name, names[o.Relationships.Quota.GUID()], o.Suspended, spaces[o.GUID]})
	}
	v.Title, v.Section, v.Live = "Orgs and spaces", "/orgs", true
	return screen{"orgs", &v}, nil
}

func (d *Dashboard) createOrg(ctx context.Context, q *ask) (string, string, error) {
	org, err := q.c.CreateOrganization(ctx, capi.OrganizationCreate{Name: q.form("name")})
	if err != nil {
		return "", "", err
	}
	return "Org " + org.Name + " is made.", "/orgs/" + org.GUID, nil
}

// orgView is the page of one org.
type orgView struct {
	frame
	Org     *capi.Organization
	Spaces  []domainChoice
	Quotas  []quotaUse
	Domains []capi.Domain
	Roles   []roleRow
	Kinds   []string
	Broken  string     // why quotas are missing
	Choices []quotaRow // to choose from, for administrators
	Lost    string     // which data goes with it; empty: none
}

func (d *Dashboard) orgPage(ctx context.Context, q *ask) (screen, error) {
	v := orgView{Kinds: capi.OrgRoles}
	var err error
	if v.Org, err = q.c.Organization(ctx, q.guid()); err != nil {
		return screen{}, err
	}
	spaces, err := onePage[capi.Space](ctx, q.c, "/v3/spaces", capi.Filter{"organization_guids": {v.Org.GUID}, "order_by": {"name"}, "per_page": {"500"}})
	if err != nil {
		return screen{}, err
	}
	for _, s := range spaces.Resources {
		v.Spaces = append(v.Spaces, domainChoice{s.GUID, s.Name})
	}
	if quota, use, err := orgQuota(ctx, q.c, v.Org); err != nil {
		v.Broken = broken(err)
	} else {
		v.Quotas = quotaUses("org "+v.Org.Name, quota.Name, quota.Apps, quota.Routes, quota.Services, use.Usage)
	}
	if q.s.admin {
		if v.Choices, err = readOrgQuotas(ctx, q.c); err != nil {
			return screen{}, err
		}
	}
	domains, err := onePage[capi.Domain](ctx, q.c, "/v3/organizations/"+v.Org.GUID+"/domains", capi.Filter{"per_page": {"200"}})
	if err != nil {
		return screen{}, err
	}
	v.Domains = domains.Resources
	if v.Roles, err = readRoles(ctx, q.c, capi.Filter{"organization_guids": {v.Org.GUID}, "per_page": {"500"}}); err != nil {
		return screen{}, err
	}
	held, err := holders(ctx, q.c, capi.Filter{"organization_guids": {v.Org.GUID}})
	if err != nil {
		return screen{}, err
	}
	v.Lost = lost(held)
	v.Title, v.Section, v.Live = v.Org.Name, "/orgs", true
	return screen{"org", &v}, nil
}

func (d *Dashboard) createSpace(ctx context.Context, q *ask) (string, string, error) {
	s, err := q.c.CreateSpace(ctx, capi.SpaceCreate{Name: q.form("name"), Relationships: capi.SpaceCreateRelationships{Organization: capi.To(q.guid())}})
	if err != nil {
		return "", "", err
	}
	return "Space " + s.Name + " is made.", "/spaces/" + s.GUID, nil
}

func (d *Dashboard) deleteOrg(ctx context.Context, q *ask) (string, string, error) {
	err := q.mayDelete(ctx, func() (string, error) {
		o, err := q.c.Organization(ctx, q.guid())
		if err != nil {
			return "", err
		}
		return o.Name, nil
	}, capi.Filter{"organization_guids": {q.guid()}})
	if err != nil {
		return "", "", err
	}
	_, err = q.c.Begin(ctx, "DELETE", "/v3/organizations/"+q.guid(), nil)
	return "The org is being deleted, with all that is in it.", "/orgs", err
}

func (d *Dashboard) deleteSpace(ctx context.Context, q *ask) (string, string, error) {
	err := q.mayDelete(ctx, func() (string, error) {
		s, err := q.c.Space(ctx, q.guid())
		if err != nil {
			return "", err
		}
		return s.Name, nil
	}, capi.Filter{"space_guids": {q.guid()}})
	if err != nil {
		return "", "", err
	}
	_, err = q.c.Begin(ctx, "DELETE", "/v3/spaces/"+q.guid(), nil)
	return "The space is being deleted, with all that is in it.", "/orgs", err
}

// spaceView is the page of one space.
type spaceView struct {
	frame
	Place    place
	OrgGUID  string
	Quotas   []quotaUse
	Broken   string
	Apps     int
	Services int
	Routes   int
	SSH      *bool
	Choices  []domainChoice // quotas of spaces
	Roles    []roleRow
	Kinds    []string
	Lost     string // which data goes with it; empty: none
}

func (d *Dashboard) spacePage(ctx context.Context, q *ask) (screen, error) {
	v := spaceView{Kinds: capi.SpaceRoles}
	space, err := q.c.Space(ctx, q.guid())
	if err != nil {
		return screen{}, err
	}
	org, err := q.c.Organization(ctx, space.Relationships.Organization.GUID())
	if err != nil {
		return screen{}, err
	}
	v.Place, v.OrgGUID = place{space.GUID, org.Name, space.Name}, org.GUID
	v.Quotas, v.Broken = readQuotas(ctx, q.c, space.GUID)
	held, err := holders(ctx, q.c, capi.Filter{"space_guids": {space.GUID}})
	if err != nil {
		return screen{}, err
	}
	v.Lost = lost(held)
	if v.Choices, err = spaceQuotaChoices(ctx, q.c, org.GUID); err != nil {
		return screen{}, err
	}
	here := capi.Filter{"space_guids": {space.GUID}, "per_page": {"1"}}
	for path, into := range map[string]*int{"/v3/apps": &v.Apps, "/v3/service_instances": &v.Services, "/v3/routes": &v.Routes} {
		list, err := onePage[struct{}](ctx, q.c, path, here)
		if err != nil {
			return screen{}, err
		}
		*into = list.Pagination.TotalResults
	}
	if ssh, err := capi.Get[capi.SpaceFeature](ctx, q.c, "/v3/spaces/"+space.GUID+"/features/ssh"); err == nil {
		v.SSH = &ssh.Enabled
	}
	if v.Roles, err = readRoles(ctx, q.c, capi.Filter{"space_guids": {space.GUID}, "per_page": {"500"}}); err != nil {
		return screen{}, err
	}
	v.Title, v.Section, v.Live = org.Name+" / "+space.Name, "/orgs", true
	return screen{"space", &v}, nil
}

func (d *Dashboard) addOrgRole(ctx context.Context, q *ask) (string, string, error) {
	return q.addRole(ctx, capi.RoleCreateRelationships{Organization: capi.To(q.guid())}, "/orgs/"+q.guid())
}

func (d *Dashboard) addSpaceRole(ctx context.Context, q *ask) (string, string, error) {
	return q.addRole(ctx, capi.RoleCreateRelationships{Space: capi.To(q.guid())}, "/spaces/"+q.guid())
}

func (q *ask) addRole(ctx context.Context, where capi.RoleCreateRelationships, next string) (string, string, error) {
	user := q.form("username")
	where.User = &capi.RoleUser{Data: &capi.RoleUserData{Username: user}}
	_, err := q.c.CreateRole(ctx, capi.RoleCreate{Type: q.form("role"), Relationships: where})
	return user + " is " + roleWords(q.form("role")) + " now.", next, err
}

func (d *Dashboard) removeRole(ctx context.Context, q *ask) (string, string, error) {
	return "The role is taken away.", d.cameFrom(q.r), q.c.DeleteRole(ctx, q.guid())
}
