package dashboard

import (
	"context"

	"github.com/cupola-paas/cupola/controller/capi"
)

// quotaPages are those of quotas and their use.
func (d *Dashboard) quotaPages() map[string]reader {
	return map[string]reader{"/quotas": d.quotas}
}

func (d *Dashboard) quotaActions() map[string]writer {
	return map[string]writer{"/quotas": d.createQuota, "/quotas/{guid}/delete": d.deleteQuota, "/orgs/{guid}/quota": d.applyQuota, "/spaces/{guid}/quota": d.applySpaceQuota}
}

// orgsShown is how many orgs a page of quotas shows with their use, each of which is asked for.
const orgsShown = "20"

// quotasView is the page of quotas: what orgs use, and what they may.
type quotasView struct {
	frame
	Orgs   []orgUse
	Pager  pager
	Quotas []quotaRow
	Spaces []quotaRow
}

// orgUse is what an org uses of its quota.
type orgUse struct {
	GUID, Name, Quota                   string
	Memory, Instances, Routes, Services quotaUse
	Broken                              string
}

func (d *Dashboard) quotas(ctx context.Context, q *ask) (screen, error) {
	v := quotasView{}
	f := paged(q.r, "page").With("order_by", "name").With("per_page", orgsShown)
	list, err := onePage[capi.Organization](ctx, q.c, "/v3/organizations", f)
	if err != nil {
		return screen{}, err
	}
	v.Pager = newPager(q.r, "page", "org", f, list.Pagination)
	for _, o := range list.Resources {
		row := orgUse{GUID: o.GUID, Name: o.Name}
		quota, use, err := orgQuota(ctx, q.c, &o)
		if row.Broken = broken(err); err == nil {
			all := quotaUses("org "+o.Name, quota.Name, quota.Apps, quota.Routes, quota.Services, use.Usage)
			row.Quota, row.Memory, row.Instances, row.Routes, row.Services = quota.Name, all[0], all[1], all[2], all[3]
		}
		v.Orgs = append(v.Orgs, row)
	}
	if v.Quotas, err = readOrgQuotas(ctx, q.c); err != nil {
		return screen{}, err
	}
	spaces, err := onePage[capi.SpaceQuota](ctx, q.c, "/v3/space_quotas", capi.Filter{"per_page": {"100"}, "order_by": {"name"}})
	if err != nil {
		return screen{}, err
	}
	for _, one := range spaces.Resources {
		row := showQuota(one.Name, one.Apps, one.Services, one.Routes)
		row.Orgs = plural(len(one.Relationships.Spaces.Data), "space")
		v.Spaces = append(v.Spaces, row)
	}
	v.Title, v.Section, v.Live = "Quotas", "/quotas", true
	return screen{"quotas", &v}, nil
}

// quotaRow is a quota in a list.
type quotaRow struct {
	GUID, Name              string
	Memory, Instances, Paid string
	Routes, Services, Orgs  string
	ProcessMemory           string
	Used                    bool
}

func readOrgQuotas(ctx context.Context, c *capi.Client) ([]quotaRow, error) {
	list, err := onePage[capi.OrganizationQuota](ctx, c, "/v3/organization_quotas", capi.Filter{"per_page": {"100"}, "order_by": {"name"}})
	if err != nil {
		return nil, err
	}
	var rows []quotaRow
	for _, one := range list.Resources {
		row := showQuota(one.Name, one.Apps, one.Services, one.Routes)
		row.GUID, row.Orgs, row.Used = one.GUID, plural(len(one.Relationships.Organizations.Data), "org"), len(one.Relationships.Organizations.Data) > 0
		rows = append(rows, row)
	}
	return rows, nil
}

func showQuota(name string, apps capi.QuotaApps, services capi.QuotaServices, routes capi.QuotaRoutes) quotaRow {
	return quotaRow{
		Name: name, Memory: memoryLimit(apps.TotalMemoryInMB), Instances: limit(apps.TotalInstances), ProcessMemory: memoryLimit(apps.PerProcessMemoryInMB),
		Routes: limit(routes.TotalRoutes), Services: limit(services.TotalServiceInstances), Paid: map[bool]string{true: "yes", false: "no"}[services.PaidServicesAllowed],
	}
}

// limit is a limit in words.
func limit(n *int) string {
	if n == nil {
		return "no limit"
	}
	return decimals(float64(*n), 0)
}

func memoryLimit(n *int) string {
	if n == nil {
		return "no limit"
	}
	return megabytes(*n)
}

func (d *Dashboard) createQuota(ctx context.Context, q *ask) (string, string, error) {
	paid := q.form("paid") != ""
	in := capi.QuotaUpdate{Name: capi.Some(q.form("name")), Apps: &capi.QuotaAppsUpdate{}, Routes: &capi.QuotaRoutesUpdate{}, Services: &capi.QuotaServicesUpdate{PaidServicesAllowed: &paid}}
	for name, field := range map[string]struct {
		into *capi.Optional[capi.Int]
		what string
	}{
		"memory": {&in.Apps.TotalMemoryInMB, "megabytes"}, "process-memory": {&in.Apps.PerProcessMemoryInMB, "megabytes"}, "instances": {&in.Apps.TotalInstances, "instances"},
		"routes": {&in.Routes.TotalRoutes, "routes"}, "services": {&in.Services.TotalServiceInstances, "service instances"},
	} {
		n, err := q.number(name, field.what)
		if err != nil {
			return "", "", err
		}
		if n != nil {
			*field.into = capi.Some(*n)
		}
	}
	return "Quota " + q.form("name") + " is made. Give it to orgs on their pages.", "/quotas", q.c.Act(ctx, "POST", "/v3/organization_quotas", in)
}

func (d *Dashboard) deleteQuota(ctx context.Context, q *ask) (string, string, error) {
	_, err := q.c.Begin(ctx, "DELETE", "/v3/organization_quotas/"+q.guid(), nil)
	return "The quota is deleted.", "/quotas", err
}

func (d *Dashboard) applyQuota(ctx context.Context, q *ask) (string, string, error) {
	quota, err := q.formGUID("quota")
	if err != nil {
		return "", "", err
	}
	return "The org has that quota now. What runs goes on.", "/orgs/" + q.guid(), q.c.Act(ctx, "POST", "/v3/organization_quotas/"+quota+"/relationships/organizations", capi.Many(q.guid()))
}

func (d *Dashboard) applySpaceQuota(ctx context.Context, q *ask) (string, string, error) {
	quota, err := q.formGUID("quota")
	if err != nil {
		return "", "", err
	}
	return "The space has that quota now. What runs goes on.", "/spaces/" + q.guid(), q.c.Act(ctx, "POST", "/v3/space_quotas/"+quota+"/relationships/spaces", capi.Many(q.guid()))
}

// spaceQuotaChoices are the quotas that the spaces of an org may have.
func spaceQuotaChoices(ctx context.Context, c *capi.Client, org string) ([]domainChoice, error) {
	list, err := onePage[capi.SpaceQuota](ctx, c, "/v3/space_quotas", capi.Filter{"organization_guids": {org}, "per_page": {"100"}, "order_by": {"name"}})
	if err != nil {
		return nil, err
	}
	var out []domainChoice
	for _, one := range list.Resources {
		out = append(out, domainChoice{one.GUID, one.Name})
	}
	return out, nil
}
