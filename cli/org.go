package cli

import (
	"context"
	"errors"
	"fmt"

	"github.com/urfave/cli/v2"

	"github.com/cupola-paas/cupola/cli/config"
	"github.com/cupola-paas/cupola/controller/capi"
)

const orgCategory = "Orgs and spaces"

var (
	jsonFlag     = &cli.BoolFlag{Name: "json", Usage: "print the API's resources as JSON"}
	guidFlag     = &cli.BoolFlag{Name: "guid", Usage: "print the GUID and nothing else"}
	forceFlag    = &cli.BoolFlag{Name: "force", Aliases: []string{"f"}, Usage: "do not ask"}
	orgQuotaFlag = &cli.StringFlag{Name: "quota", Aliases: []string{"q"}, Usage: "`ORG_QUOTA` that it gets"}
	labelFlag    = &cli.StringFlag{Name: "labels", Usage: "show those that match the `SELECTOR`, such as env=prod"}
)

func (k *console) orgCommands() []*cli.Command {
	return []*cli.Command{
		k.command(spec{name: "orgs", aliases: []string{"o"}, category: orgCategory, summary: "list the orgs that you may see",
			flags: []cli.Flag{jsonFlag, labelFlag}, need: aLogin, run: orgs, api: []string{"GET /v3/organizations"}}),
		k.command(spec{name: "org", category: orgCategory, summary: "show an org", args: "ORG", min: 1, max: 1,
			flags: []cli.Flag{jsonFlag, guidFlag}, need: aLogin, run: showOrg,
			api: []string{"GET /v3/organizations", "GET /v3/organizations/:guid/domains", "GET /v3/organization_quotas/:guid", "GET /v3/spaces", "GET /v3/isolation_segments"}}),
		k.command(spec{name: "create-org", aliases: []string{"co"}, category: orgCategory, summary: "make an org", args: "NEW_ORG", min: 1, max: 1,
			examples: []string{"cupola create-org engines", "cupola create-org engines -q small"}, flags: []cli.Flag{orgQuotaFlag}, need: aLogin, run: createOrg,
			api: []string{"POST /v3/organizations", "POST /v3/roles", "GET /v3/organization_quotas", "POST /v3/organization_quotas/:guid/relationships/organizations"}}),
		k.command(spec{name: "rename-org", category: orgCategory, summary: "give an org another name", args: "ORG NEW_NAME", min: 2, max: 2, need: aLogin,
			api: []string{"GET /v3/organizations", "PATCH /v3/organizations/:guid"}, run: renameOrg}),
		k.command(spec{name: "delete-org", category: orgCategory, summary: "delete an org with all that is in it", args: "ORG", min: 1, max: 1,
			details: "Where service instances hold data, it names them and needs --with-data.",
			flags:   []cli.Flag{forceFlag, withDataFlag}, need: aLogin, run: deleteOrg,
			api: []string{"GET /v3/organizations", "GET /v3/service_instances", "GET /v3/spaces", "DELETE /v3/organizations/:guid", "GET /v3/jobs/:guid"}}),
	}
}

func orgs(ctx context.Context, s *session, c *cli.Context) error {
	all, err := s.client.Organizations(ctx, labelled(c, capi.Filter{"order_by": {"name"}}))
	if err != nil {
		return err
	}
	return list(s, c, all, "There is no org here yet. Make one: cupola create-org ORG", []string{"name"}, func(o capi.Organization) []string {
		return []string{s.ui.Name(o.Name)}
	})
}

// labelled adds the selector of --labels.
func labelled(c *cli.Context, f capi.Filter) capi.Filter {
	if selector := c.String("labels"); selector != "" {
		return f.With("label_selector", selector)
	}
	return f
}

// list shows resources as a table, or as they are with --json.
func list[T any](s *session, c *cli.Context, all []T, empty string, header []string, row func(T) []string) error {
	if c.Bool("json") {
		return s.ui.JSON(capi.Array[T](all))
	}
	rows := make([][]string, len(all))
	for i, one := range all {
		rows[i] = row(one)
	}
	s.ui.Table(empty, header, rows)
	return nil
}

func (s *session) org(ctx context.Context, name string) (*capi.Organization, error) {
	org, err := s.client.OrganizationByName(ctx, name)
	if notFound(err) {
		return nil, withHint(fmt.Errorf("there is no org %s that you may see", quote(name)), "see: cupola orgs")
	}
	return org, err
}

func showOrg(ctx context.Context, s *session, c *cli.Context) error {
	org, err := s.org(ctx, c.Args().First())
	switch {
	case err != nil:
		return err
	case c.Bool("guid"):
		s.ui.Println(org.GUID)
		return nil
	case c.Bool("json"):
		return s.ui.JSON(org)
	}
	spaces, err := s.client.Spaces(ctx, capi.Filter{"organization_guids": {org.GUID}, "order_by": {"name"}})
	if err != nil {
		return err
	}
	domains, err := s.client.OrgDomains(ctx, org.GUID)
	if err != nil {
		return err
	}
	quota, err := s.quotaName(ctx, orgQuotaKind, org.Relationships.Quota)
	if err != nil {
		return err
	}
	segments, err := capi.All[capi.IsolationSegment](ctx, s.client, segmentKind.path, capi.Filter{"organization_guids": {org.GUID}})
	if ignoreGone(err) != nil {
		return err
	}
	s.fields([][2]string{
		{"name", s.ui.Name(org.Name)},
		{"domains", joinNames(domains, func(d capi.Domain) string { return d.Name })},
		{"quota", quota},
		{"spaces", joinNames(spaces, func(sp capi.Space) string { return sp.Name })},
		{"isolation segments", joinNames(segments, func(one capi.IsolationSegment) string { return one.Name })},
		{"suspended", map[bool]string{true: "yes"}[org.Suspended]},
	})
	return nil
}

// quotaName is the name of a quota that something has, empty when it has none.
func (s *session) quotaName(ctx context.Context, k kind, quota capi.ToOne) (string, error) {
	if quota.GUID() == "" {
		return "", nil
	}
	one, err := capi.Get[capi.OrganizationQuota](ctx, s.client, k.path+"/"+quota.GUID())
	if notFound(err) {
		return "", nil // it may not be seen
	}
	return one.Name, err
}

func renameOrg(ctx context.Context, s *session, c *cli.Context) error {
	from, to := c.Args().Get(0), c.Args().Get(1)
	if err := s.rename(ctx, orgKind, nil, from, to); err != nil {
		return err
	}
	return s.forgetTarget(func(cfg *config.Config) {
		if cfg.Org.Name == from {
			cfg.Org.Name = to
		}
	})
}

func createOrg(ctx context.Context, s *session, c *cli.Context) error {
	name := c.Args().First()
	quota, err := s.quotaFlag(ctx, c, orgQuotaKind, nil)
	if err != nil {
		return err
	}
	org, err := s.client.CreateOrganization(ctx, capi.OrganizationCreate{Name: name})
	if taken(err) {
		s.ui.Notef("Org %s is there already.", s.ui.Name(name))
		return nil
	}
	if err != nil {
		return err
	}
	if quota != "" {
		if err := s.client.Relate(ctx, orgQuotaKind.path+"/"+quota+"/relationships/organizations", org.GUID); err != nil {
			return fmt.Errorf("org %s is made, but did not get the quota: %w", quote(name), err)
		}
	}
	s.ui.Notef("Org %s is made.", s.ui.Name(org.Name))
	s.ui.Hintf("next: cupola target -o %s", name)
	return s.answer(org)
}

// quotaFlag is the GUID of the quota that --quota names, empty without it.
func (s *session) quotaFlag(ctx context.Context, c *cli.Context, k kind, f capi.Filter) (string, error) {
	if c.String("quota") == "" {
		return "", nil
	}
	return s.guidOf(ctx, k, c.String("quota"), f)
}

// taken says that a name is in use, which for create commands means that all is as wanted.
func taken(err error) bool {
	var e *capi.Error
	return errors.As(err, &e) && errors.Is(e, capi.UnprocessableEntity) && isTakenDetail(e.Detail)
}

func deleteOrg(ctx context.Context, s *session, c *cli.Context) error {
	org, err := s.client.OrganizationByName(ctx, c.Args().First())
	if notFound(err) {
		s.ui.Notef("There is no org %s.", quote(c.Args().First()))
		return nil
	}
	if err != nil {
		return err
	}
	held, err := s.holders(ctx, capi.Filter{"organization_guids": {org.GUID}}, true)
	if err != nil {
		return err
	}
	if ok, err := s.mayDelete(c, "org "+quote(org.Name), "spaces, apps and routes", held); !ok {
		return err
	}
	if err := s.client.DeleteOrganization(ctx, org.GUID); err != nil && !notFound(err) {
		return err
	}
	s.ui.Notef("Org %s is deleted.", quote(org.Name))
	return s.forgetTarget(func(cfg *config.Config) {
		if cfg.Org.GUID == org.GUID {
			cfg.Org, cfg.Space = config.Target{}, config.Target{}
		}
	})
}

func (s *session) forgetTarget(fn func(*config.Config)) error {
	_, err := s.file.Update(func(c *config.Config) error { fn(c); return nil })
	return err
}

// sure asks before something is lost, unless -f is given.
func (s *session) sure(c *cli.Context, format string, args ...any) (bool, error) {
	if c.Bool("f") {
		return true, nil
	}
	ok, err := s.ui.Confirm(format, args...)
	if err != nil {
		return false, withHint(err, "to go on without a question: -f")
	}
	if !ok {
		s.ui.Notef("Nothing is changed.")
	}
	return ok, nil
}
