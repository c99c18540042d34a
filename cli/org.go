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
	jsonFlag  = &cli.BoolFlag{Name: "json", Usage: "print the API's resources as JSON"}
	guidFlag  = &cli.BoolFlag{Name: "guid", Usage: "print the GUID and nothing else"}
	forceFlag = &cli.BoolFlag{Name: "f", Usage: "do not ask"}
	labelFlag = &cli.StringFlag{Name: "labels", Usage: "show those that match the `SELECTOR`, such as env=prod"}
)

func (k *console) orgCommands() []*cli.Command {
	return []*cli.Command{
		k.command(spec{name: "orgs", aliases: []string{"o"}, category: orgCategory, summary: "list the orgs that you may see",
			flags: []cli.Flag{jsonFlag, labelFlag}, need: aLogin, run: orgs}),
		k.command(spec{name: "org", category: orgCategory, summary: "show an org", args: "ORG", min: 1, max: 1,
			flags: []cli.Flag{jsonFlag, guidFlag}, need: aLogin, run: showOrg}),
		k.command(spec{name: "create-org", aliases: []string{"co"}, category: orgCategory, summary: "make an org", args: "ORG", min: 1, max: 1,
			examples: []string{"cupola create-org engines"}, need: aLogin, run: createOrg}),
		k.command(spec{name: "delete-org", category: orgCategory, summary: "delete an org with all that is in it", args: "ORG", min: 1, max: 1,
			flags: []cli.Flag{forceFlag}, need: aLogin, run: deleteOrg}),
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
	s.fields([][2]string{
		{"name", s.ui.Name(org.Name)},
		{"domains", joinNames(domains, func(d capi.Domain) string { return d.Name })},
		{"spaces", joinNames(spaces, func(sp capi.Space) string { return sp.Name })},
		{"suspended", map[bool]string{true: "yes"}[org.Suspended]},
	})
	return nil
}

func createOrg(ctx context.Context, s *session, c *cli.Context) error {
	name := c.Args().First()
	org, err := s.client.CreateOrganization(ctx, capi.OrganizationCreate{Name: name})
	if taken(err) {
		s.ui.Notef("Org %s is there already.", s.ui.Name(name))
		return nil
	}
	if err != nil {
		return err
	}
	s.ui.Notef("Org %s is made.", s.ui.Name(org.Name))
	s.ui.Hintf("next: cupola target -o %s", name)
	return nil
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
	if ok, err := s.sure(c, "Delete org %s with all its spaces, apps and routes?", quote(org.Name)); !ok {
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
		return false, withHint(err, "to delete without a question: -f")
	}
	if !ok {
		s.ui.Notef("Nothing is changed.")
	}
	return ok, nil
}
