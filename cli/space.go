package cli

import (
	"context"
	"errors"
	"fmt"
	"strings"

	"github.com/urfave/cli/v2"

	"github.com/cupola-paas/cupola/cli/config"
	"github.com/cupola-paas/cupola/cli/ui"
	"github.com/cupola-paas/cupola/controller/capi"
)

func (k *console) spaceCommands() []*cli.Command {
	inOrg := &cli.StringFlag{Name: "o", Usage: "in `ORG` instead of the targeted one"}
	return []*cli.Command{
		k.command(spec{name: "spaces", category: orgCategory, summary: "list the spaces of the org",
			flags: []cli.Flag{jsonFlag, labelFlag}, need: anOrg, run: spaces, api: []string{"GET /v3/spaces"}}),
		k.command(spec{name: "space", category: orgCategory, summary: "show a space", args: "SPACE", min: 1, max: 1,
			flags: []cli.Flag{jsonFlag, guidFlag, &cli.BoolFlag{Name: "security-group-rules", Usage: "show the rules of its security groups too"}},
			need:  anOrg, run: showSpace, api: []string{"GET /v3/spaces", "GET /v3/apps", "GET /v3/service_instances", "GET /v3/space_quotas/:guid",
				"GET /v3/spaces/:guid/running_security_groups", "GET /v3/spaces/:guid/staging_security_groups",
				"GET /v3/spaces/:guid/relationships/isolation_segment", "GET /v3/isolation_segments/:guid"}}),
		k.command(spec{name: "create-space", aliases: []string{"csp"}, category: orgCategory, summary: "make a space; you become its manager and developer",
			args: "NEW_SPACE", min: 1, max: 1, examples: []string{"cupola create-space dev", "cupola create-space dev -o engines"},
			flags: []cli.Flag{inOrg, &cli.StringFlag{Name: "quota", Aliases: []string{"q"}, Usage: "`SPACE_QUOTA` that it gets"}}, need: aLogin, run: createSpace,
			api: []string{"POST /v3/spaces", "POST /v3/roles", "GET /v3/space_quotas", "POST /v3/space_quotas/:guid/relationships/spaces"}}),
		k.command(spec{name: "rename-space", category: orgCategory, summary: "give a space of the org another name", args: "SPACE NEW_NAME", min: 2, max: 2,
			need: anOrg, run: renameSpace, api: []string{"GET /v3/spaces", "PATCH /v3/spaces/:guid"}}),
		k.command(spec{name: "delete-space", category: orgCategory, summary: "delete a space with all that is in it", args: "SPACE", min: 1, max: 1,
			details: "Where service instances hold data, it names them and needs --with-data.",
			flags:   []cli.Flag{forceFlag, withDataFlag, inOrg}, need: aLogin, run: deleteSpace,
			api: []string{"GET /v3/spaces", "GET /v3/service_instances", "DELETE /v3/spaces/:guid", "GET /v3/jobs/:guid"}}),
	}
}

func spaces(ctx context.Context, s *session, c *cli.Context) error {
	all, err := s.client.Spaces(ctx, labelled(c, capi.Filter{"organization_guids": {s.cfg.Org.GUID}, "order_by": {"name"}}))
	if err != nil {
		return err
	}
	return list(s, c, all, "There is no space in org "+s.cfg.Org.Name+" yet. Make one: cupola create-space SPACE", []string{"name"},
		func(sp capi.Space) []string { return []string{s.ui.Name(sp.Name)} })
}

func (s *session) space(ctx context.Context, org config.Target, name string) (*capi.Space, error) {
	space, err := s.client.SpaceByName(ctx, org.GUID, name)
	if notFound(err) {
		return nil, withHint(fmt.Errorf("there is no space %s in org %s", quote(name), quote(org.Name)), "see: cupola spaces")
	}
	return space, err
}

func showSpace(ctx context.Context, s *session, c *cli.Context) error {
	space, err := s.space(ctx, s.cfg.Org, c.Args().First())
	switch {
	case err != nil:
		return err
	case c.Bool("guid"):
		s.ui.Println(space.GUID)
		return nil
	case c.Bool("json"):
		return s.ui.JSON(space)
	}
	return s.showSpaceDetails(ctx, space, c.Bool("security-group-rules"))
}

// orgFlag is the org of -o, or the targeted one.
func (s *session) orgFlag(ctx context.Context, c *cli.Context) (config.Target, error) {
	if name := c.String("o"); name != "" {
		org, err := s.org(ctx, name)
		if err != nil {
			return config.Target{}, err
		}
		return config.Target{GUID: org.GUID, Name: org.Name}, nil
	}
	if s.cfg.Org.GUID == "" {
		return config.Target{}, withHint(errors.New("no org is targeted"), "give one with -o, or: cupola target -o ORG")
	}
	return s.cfg.Org, nil
}

func createSpace(ctx context.Context, s *session, c *cli.Context) error {
	org, err := s.orgFlag(ctx, c)
	if err != nil {
		return err
	}
	name := c.Args().First()
	quota, err := s.quotaFlag(ctx, c, spaceQuotaKind, capi.Filter{"organization_guids": {org.GUID}})
	if err != nil {
		return err
	}
	space, err := s.client.CreateSpace(ctx, capi.SpaceCreate{Name: name, Relationships: capi.SpaceCreateRelationships{Organization: capi.To(org.GUID)}})
	if taken(err) {
		s.ui.Notef("Space %s is there already.", s.ui.Name(name))
		return nil
	}
	if err != nil {
		return err
	}
	if err := s.takeRoles(ctx, org.GUID, space.GUID); err != nil {
		return fmt.Errorf("space %s is made, but you could not be made its developer: %w", quote(name), err)
	}
	if quota != "" {
		if err := s.client.Relate(ctx, spaceQuotaKind.path+"/"+quota+"/relationships/spaces", space.GUID); err != nil {
			return fmt.Errorf("space %s is made, but did not get the quota: %w", quote(name), err)
		}
	}
	s.ui.Notef("Space %s is made in org %s.", s.ui.Name(name), s.ui.Name(org.Name))
	s.ui.Hintf("next: cupola target -o %s -s %s", org.Name, name)
	return s.answer(space)
}

func renameSpace(ctx context.Context, s *session, c *cli.Context) error {
	from, to := c.Args().Get(0), c.Args().Get(1)
	if err := s.rename(ctx, spaceKind, s.inOrg(), from, to); err != nil {
		return err
	}
	return s.forgetTarget(func(cfg *config.Config) {
		if cfg.Space.Name == from {
			cfg.Space.Name = to
		}
	})
}

// takeRoles gives the caller the roles of one who makes a space. A client has none.
func (s *session) takeRoles(ctx context.Context, orgGUID, spaceGUID string) error {
	claims, err := s.client.Claims(ctx)
	if err != nil || claims.UserID == "" {
		return err
	}
	user := capi.RoleUser{Data: &capi.RoleUserData{GUID: claims.UserID}}
	roles := []capi.RoleCreate{
		{Type: "organization_user", Relationships: capi.RoleCreateRelationships{User: &user, Organization: capi.To(orgGUID)}},
		{Type: "space_manager", Relationships: capi.RoleCreateRelationships{User: &user, Space: capi.To(spaceGUID)}},
		{Type: "space_developer", Relationships: capi.RoleCreateRelationships{User: &user, Space: capi.To(spaceGUID)}},
	}
	for _, role := range roles {
		if _, err := s.client.CreateRole(ctx, role); err != nil && !taken(err) {
			return err
		}
	}
	return nil
}

func deleteSpace(ctx context.Context, s *session, c *cli.Context) error {
	org, err := s.orgFlag(ctx, c)
	if err != nil {
		return err
	}
	name := c.Args().First()
	space, err := s.client.SpaceByName(ctx, org.GUID, name)
	if notFound(err) {
		s.ui.Notef("There is no space %s in org %s.", quote(name), quote(org.Name))
		return nil
	}
	if err != nil {
		return err
	}
	held, err := s.holders(ctx, capi.Filter{"space_guids": {space.GUID}}, false)
	if err != nil {
		return err
	}
	if ok, err := s.mayDelete(c, "space "+quote(name), "apps and routes", held); !ok {
		return err
	}
	if err := s.client.DeleteSpace(ctx, space.GUID); err != nil && !notFound(err) {
		return err
	}
	s.ui.Notef("Space %s is deleted.", quote(name))
	return s.forgetTarget(func(cfg *config.Config) {
		if cfg.Space.GUID == space.GUID {
			cfg.Space = config.Target{}
		}
	})
}

// isTakenDetail knows the API's sentences for "it is there already" (CAPI v3, 422).
func isTakenDetail(detail string) bool {
	for _, phrase := range []string{"already exists", "must be unique", "already has"} {
		if strings.Contains(detail, phrase) {
			return true
		}
	}
	return false
}

// fields shows labels with their values, leaving out what is empty.
func (s *session) fields(pairs [][2]string) {
	var rows [][]string
	for _, p := range pairs {
		if p[1] != "" {
			rows = append(rows, []string{p[0] + ":", p[1]})
		}
	}
	s.ui.Printf("%s", ui.Columns(rows))
}

func joinNames[T any](all []T, name func(T) string) string {
	names := make([]string, len(all))
	for i, one := range all {
		names[i] = name(one)
	}
	return strings.Join(names, ", ")
}
