package cli

import (
	"context"
	"strconv"

	"github.com/urfave/cli/v2"

	"github.com/cupola-paas/cupola/cli/ui"
	"github.com/cupola-paas/cupola/controller/capi"
)

const quotaCategory = "Quotas"

func (k *console) quotaCommands() []*cli.Command {
	const orgQuota, spaceQuota = "/v3/organization_quotas", "/v3/space_quotas"
	examples := func(level string) []string {
		return []string{"cupola create-" + level + "-quota small -m 4G -a 20 -r 10 -s 0", "cupola create-" + level + "-quota large -m -1 -r -1 -s -1 --allow-paid-service-plans"}
	}
	return []*cli.Command{
		k.command(spec{name: "org-quotas", aliases: []string{"quotas"}, category: quotaCategory, summary: "list the quotas for orgs", need: aLogin, run: orgQuotas, api: []string{"GET " + orgQuota}}),
		k.command(spec{name: "org-quota", aliases: []string{"quota"}, category: quotaCategory, summary: "show a quota for orgs", args: "ORG_QUOTA", min: 1, max: 1, need: aLogin,
			run: showOrgQuota, api: []string{"GET " + orgQuota}}),
		k.command(spec{name: "create-org-quota", aliases: []string{"create-quota"}, category: quotaCategory, summary: "make a quota for orgs; what is not said is nothing or without limit, as the flags say",
			args: "NEW_QUOTA", min: 1, max: 1, examples: examples("org"), flags: quotaFlags(true), need: aLogin, run: createQuota(orgQuotaKind), api: []string{"POST " + orgQuota}}),
		k.command(spec{name: "update-org-quota", aliases: []string{"update-quota"}, category: quotaCategory, summary: "change a quota for orgs", args: "ORG_QUOTA", min: 1, max: 1,
			flags: quotaFlags(false), need: aLogin, run: updateQuota(orgQuotaKind), api: []string{"GET " + orgQuota, "PATCH " + orgQuota + "/:guid"}}),
		k.command(spec{name: "delete-org-quota", aliases: []string{"delete-quota"}, category: quotaCategory, summary: "delete a quota for orgs", args: "ORG_QUOTA", min: 1, max: 1,
			flags: []cli.Flag{forceFlag}, need: aLogin, run: deleteQuota(orgQuotaKind), api: []string{"GET " + orgQuota, "DELETE " + orgQuota + "/:guid"}}),
		k.command(spec{name: "set-org-quota", aliases: []string{"set-quota"}, category: quotaCategory, summary: "give an org a quota", args: "ORG ORG_QUOTA", min: 2, max: 2,
			need: aLogin, run: setOrgQuota, api: []string{"GET /v3/organizations", "GET " + orgQuota, "POST " + orgQuota + "/:guid/relationships/organizations"}}),

		k.command(spec{name: "space-quotas", category: quotaCategory, summary: "list the quotas for spaces of the org", need: anOrg, run: spaceQuotas, api: []string{"GET " + spaceQuota}}),
		k.command(spec{name: "space-quota", category: quotaCategory, summary: "show a quota for spaces", args: "SPACE_QUOTA", min: 1, max: 1, need: anOrg, run: showSpaceQuota, api: []string{"GET " + spaceQuota}}),
		k.command(spec{name: "create-space-quota", category: quotaCategory, summary: "make a quota for spaces of the org; what is not said is nothing or without limit, as the flags say",
			args: "NEW_QUOTA", min: 1, max: 1, examples: examples("space"), flags: quotaFlags(true), need: anOrg, run: createQuota(spaceQuotaKind), api: []string{"POST " + spaceQuota}}),
		k.command(spec{name: "update-space-quota", category: quotaCategory, summary: "change a quota for spaces", args: "SPACE_QUOTA", min: 1, max: 1,
			flags: quotaFlags(false), need: anOrg, run: updateQuota(spaceQuotaKind), api: []string{"GET " + spaceQuota, "PATCH " + spaceQuota + "/:guid"}}),
		k.command(spec{name: "delete-space-quota", category: quotaCategory, summary: "delete a quota for spaces", args: "SPACE_QUOTA", min: 1, max: 1,
			flags: []cli.Flag{forceFlag}, need: anOrg, run: deleteQuota(spaceQuotaKind), api: []string{"GET " + spaceQuota, "DELETE " + spaceQuota + "/:guid"}}),
		k.command(spec{name: "set-space-quota", category: quotaCategory, summary: "give a space a quota", args: "SPACE SPACE_QUOTA", min: 2, max: 2,
			need: anOrg, run: setSpaceQuota, api: []string{"GET /v3/spaces", "GET " + spaceQuota, "POST " + spaceQuota + "/:guid/relationships/spaces"}}),
		k.command(spec{name: "unset-space-quota", category: quotaCategory, summary: "take a quota from a space", args: "SPACE SPACE_QUOTA", min: 2, max: 2,
			need: anOrg, run: unsetSpaceQuota, api: []string{"GET /v3/spaces", "GET " + spaceQuota, "DELETE " + spaceQuota + "/:guid/relationships/spaces/:guid"}}),
	}
}

var quotaHeader = []string{"name", "total memory", "process memory", "routes", "service instances", "paid plans", "app instances", "route ports", "log volume"}

func quotaRow(s *session, name string, a capi.QuotaApps, sv capi.QuotaServices, r capi.QuotaRoutes) []string {
	paid := "disallowed"
	if sv.PaidServicesAllowed {
		paid = "allowed"
	}
	return []string{s.ui.Name(name), limit(a.TotalMemoryInMB, ui.Megabytes), limit(a.PerProcessMemoryInMB, ui.Megabytes), limit(r.TotalRoutes, strconv.Itoa),
		limit(sv.TotalServiceInstances, strconv.Itoa), paid, limit(a.TotalInstances, strconv.Itoa), limit(r.TotalReservedPorts, strconv.Itoa),
		limit(a.LogRateLimit, func(n int) string { return ui.Bytes(int64(n)) + "/s" })}
}

// limit is a limit in words; null is none.
func limit(n *int, show func(int) string) string {
	if n == nil {
		return "unlimited"
	}
	return show(*n)
}

func orgQuotaRow(s *session) func(capi.OrganizationQuota) []string {
	return func(q capi.OrganizationQuota) []string { return quotaRow(s, q.Name, q.Apps, q.Services, q.Routes) }
}

func spaceQuotaRow(s *session) func(capi.SpaceQuota) []string {
	return func(q capi.SpaceQuota) []string { return quotaRow(s, q.Name, q.Apps, q.Services, q.Routes) }
}

func orgQuotas(ctx context.Context, s *session, c *cli.Context) error {
	all, err := capi.All[capi.OrganizationQuota](ctx, s.client, orgQuotaKind.path, nil)
	if err != nil {
		return err
	}
	return list(s, c, all, "There is no org quota.", quotaHeader, orgQuotaRow(s))
}

func spaceQuotas(ctx context.Context, s *session, c *cli.Context) error {
	all, err := capi.All[capi.SpaceQuota](ctx, s.client, spaceQuotaKind.path, s.inOrg())
	if err != nil {
		return err
	}
	return list(s, c, all, "Org "+s.cfg.Org.Name+" has no space quota.", quotaHeader, spaceQuotaRow(s))
}

func showOrgQuota(ctx context.Context, s *session, c *cli.Context) error {
	q, err := find[capi.OrganizationQuota](ctx, s, orgQuotaKind, c.Args().First(), nil)
	if err != nil {
		return err
	}
	return s.showQuota(q, orgQuotaRow(s)(*q))
}

func showSpaceQuota(ctx context.Context, s *session, c *cli.Context) error {
	q, err := find[capi.SpaceQuota](ctx, s, spaceQuotaKind, c.Args().First(), s.inOrg())
	if err != nil {
		return err
	}
	return s.showQuota(q, spaceQuotaRow(s)(*q))
}

// showQuota shows one quota as label and value.
func (s *session) showQuota(q any, row []string) error {
	if s.ui.WantsJSON() {
		return s.ui.JSON(q)
	}
	var pairs [][2]string
	for i, label := range quotaHeader {
		pairs = append(pairs, [2]string{label, row[i]})
	}
	s.fields(pairs)
	return nil
}

// quotaFilter leaves the space quotas of the targeted org; org quotas belong to nobody.
func (s *session) quotaFilter(k kind) capi.Filter {
	if k == spaceQuotaKind {
		return s.inOrg()
	}
	return nil
}

func createQuota(k kind) func(context.Context, *session, *cli.Context) error {
	return func(ctx context.Context, s *session, c *cli.Context) error {
		in, err := quotaOf(c, true)
		if err != nil {
			return err
		}
		in.Name = capi.Some(c.Args().First())
		if k == spaceQuotaKind {
			in.Relationships = &capi.QuotaUpdateRelationships{Organization: capi.To(s.cfg.Org.GUID)}
		}
		return s.create(ctx, k, c.Args().First(), in)
	}
}

func updateQuota(k kind) func(context.Context, *session, *cli.Context) error {
	return func(ctx context.Context, s *session, c *cli.Context) error {
		in, err := quotaOf(c, false)
		if err != nil {
			return err
		}
		name := c.Args().First()
		guid, err := s.guidOf(ctx, k, name, s.quotaFilter(k))
		if err != nil {
			return err
		}
		return s.update(ctx, k.path+"/"+guid, in, "%s %s is changed.", sentence(k.noun), s.ui.Name(name))
	}
}

func deleteQuota(k kind) func(context.Context, *session, *cli.Context) error {
	return func(ctx context.Context, s *session, c *cli.Context) error {
		name := c.Args().First()
		return s.deleteNamed(ctx, c, k, name, s.quotaFilter(k), "Delete "+k.noun+" "+quote(name)+"?")
	}
}

func setOrgQuota(ctx context.Context, s *session, c *cli.Context) error {
	org, err := s.org(ctx, c.Args().Get(0))
	if err != nil {
		return err
	}
	quota, err := s.guidOf(ctx, orgQuotaKind, c.Args().Get(1), nil)
	if err != nil {
		return err
	}
	if err := s.client.Relate(ctx, orgQuotaKind.path+"/"+quota+"/relationships/organizations", org.GUID); err != nil {
		return err
	}
	s.ui.Notef("Org %s has quota %s.", s.ui.Name(org.Name), s.ui.Name(c.Args().Get(1)))
	return nil
}

// spaceAndQuota are the arguments SPACE SPACE_QUOTA.
func (s *session) spaceAndQuota(ctx context.Context, c *cli.Context) (space *capi.Space, quota string, err error) {
	if space, err = s.space(ctx, s.cfg.Org, c.Args().Get(0)); err != nil {
		return nil, "", err
	}
	quota, err = s.guidOf(ctx, spaceQuotaKind, c.Args().Get(1), s.inOrg())
	return space, quota, err
}

func setSpaceQuota(ctx context.Context, s *session, c *cli.Context) error {
	space, quota, err := s.spaceAndQuota(ctx, c)
	if err != nil {
		return err
	}
	if err := s.client.Relate(ctx, spaceQuotaKind.path+"/"+quota+"/relationships/spaces", space.GUID); err != nil {
		return err
	}
	s.ui.Notef("Space %s has quota %s.", s.ui.Name(space.Name), s.ui.Name(c.Args().Get(1)))
	return nil
}

func unsetSpaceQuota(ctx context.Context, s *session, c *cli.Context) error {
	space, quota, err := s.spaceAndQuota(ctx, c)
	if err != nil {
		return err
	}
	if err := s.client.Delete(ctx, spaceQuotaKind.path+"/"+quota+"/relationships/spaces/"+space.GUID); err != nil {
		return err
	}
	s.ui.Notef("Space %s has no quota of its own now.", s.ui.Name(space.Name))
	return nil
}
