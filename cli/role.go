package cli

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/urfave/cli/v2"

	"github.com/cupola-paas/cupola/controller/capi"
)

// roleName is a role as people type it and as the API has it.
type roleName struct{ typed, api string }

var (
	orgRoles = []roleName{{"OrgManager", capi.RoleOrgManager}, {"BillingManager", capi.RoleOrgBillingManager}, {"OrgAuditor", capi.RoleOrgAuditor},
		{"OrgUser", capi.RoleOrgUser}}
	spaceRoles = []roleName{{"SpaceManager", capi.RoleSpaceManager}, {"SpaceDeveloper", capi.RoleSpaceDeveloper}, {"SpaceAuditor", capi.RoleSpaceAuditor},
		{"SpaceSupporter", capi.RoleSpaceSupporter}}
)

const (
	orgRoleHelp = "OrgManager gives roles, makes spaces and domains; BillingManager sees and sets quotas' costs;\n" +
		"OrgAuditor reads; OrgUser is a member, who may get roles in spaces."
	spaceRoleHelp = "SpaceManager gives roles in the space; SpaceDeveloper pushes and changes apps; SpaceSupporter keeps them\n" +
		"running: starts, stops, scales, maps routes; SpaceAuditor reads."
)

func (k *console) roleCommands() []*cli.Command {
	clientFlag := &cli.BoolFlag{Name: "client", Usage: "the name is the id of an OAuth client"}
	flags := []cli.Flag{clientFlag, originFlag}
	set := []string{"GET /v3/organizations", "GET /v3/spaces", "POST /v3/roles", "UAA GET /oauth/clients/:id"}
	unset := []string{"GET /v3/organizations", "GET /v3/spaces", "GET /v3/users", "GET /v3/roles", "DELETE /v3/roles/:guid", "UAA GET /oauth/clients/:id"}
	org := "USERNAME ORG OrgManager|BillingManager|OrgAuditor|OrgUser"
	space := "USERNAME ORG SPACE SpaceManager|SpaceDeveloper|SpaceAuditor|SpaceSupporter"
	return []*cli.Command{
		k.command(spec{name: "org-users", category: userCategory, summary: "list the users of an org by role", args: "ORG", min: 1, max: 1,
			flags: []cli.Flag{&cli.BoolFlag{Name: "all-users", Aliases: []string{"a"}, Usage: "all who have a role in the org or in a space of it, without roles"}},
			need:  aLogin, run: orgUsers, api: []string{"GET /v3/organizations", "GET /v3/roles"}}),
		k.command(spec{name: "space-users", category: userCategory, summary: "list the users of a space by role", args: "ORG SPACE", min: 2, max: 2,
			need: aLogin, run: spaceUsers, api: []string{"GET /v3/organizations", "GET /v3/spaces", "GET /v3/roles"}}),
		k.command(spec{name: "set-org-role", category: userCategory, summary: "give a user a role in an org", args: org, min: 3, max: 3, details: orgRoleHelp,
			examples: []string{"cupola set-org-role ada@example.com engines OrgManager"}, flags: flags, need: aLogin, run: setOrgRole, api: set}),
		k.command(spec{name: "unset-org-role", category: userCategory, summary: "take a role in an org from a user", args: org, min: 3, max: 3,
			flags: flags, need: aLogin, run: unsetOrgRole, api: unset}),
		k.command(spec{name: "set-space-role", category: userCategory, summary: "give a user a role in a space, and membership of its org", args: space, min: 4, max: 4, details: spaceRoleHelp,
			examples: []string{"cupola set-space-role ada@example.com engines dev SpaceDeveloper"}, flags: flags, need: aLogin, run: setSpaceRole, api: set}),
		k.command(spec{name: "unset-space-role", category: userCategory, summary: "take a role in a space from a user", args: space, min: 4, max: 4,
			flags: flags, need: aLogin, run: unsetSpaceRole, api: unset}),
	}
}

// roleOf is the API's word for a typed role.
func roleOf(typed string, roles []roleName) (roleName, error) {
	for _, r := range roles {
		if strings.EqualFold(r.typed, typed) || r.api == typed {
			return r, nil
		}
	}
	return roleName{}, badUsage("%s is no role here: it is one of %s", quote(typed), joinNames(roles, func(r roleName) string { return r.typed }))
}

func orgUsers(ctx context.Context, s *session, c *cli.Context) error {
	org, err := s.org(ctx, c.Args().First())
	if err != nil {
		return err
	}
	filter := capi.Filter{"organization_guids": {org.GUID}}
	if !c.Bool("all-users") {
		return s.showRoles(ctx, c, filter, orgRoles)
	}
	spaces, err := s.client.Spaces(ctx, filter)
	if err != nil {
		return err
	}
	users, err := s.usersOf(ctx, filter)
	if err != nil {
		return err
	}
	if len(spaces) > 0 {
		guids := make([]string, len(spaces))
		for i, sp := range spaces {
			guids[i] = sp.GUID
		}
		inSpaces, err := s.usersOf(ctx, capi.Filter{"space_guids": guids})
		if err != nil {
			return err
		}
		users = append(users, inSpaces...)
	}
	slices.SortFunc(users, func(a, b roleUser) int { return strings.Compare(a.Name, b.Name) })
	users = slices.CompactFunc(users, func(a, b roleUser) bool { return a.GUID == b.GUID })
	return list(s, c, users, "Nobody has a role here.", []string{"user", "origin"}, func(u roleUser) []string { return []string{s.ui.Name(u.Name), u.Origin} })
}

func spaceUsers(ctx context.Context, s *session, c *cli.Context) error {
	_, space, err := s.orgAndSpace(ctx, c.Args().Get(0), c.Args().Get(1))
	if err != nil {
		return err
	}
	return s.showRoles(ctx, c, capi.Filter{"space_guids": {space.GUID}}, spaceRoles)
}

// roleUser is a user with a role.
type roleUser struct {
	Role   string `json:"role"` // of the API; empty where it does not matter
	GUID   string `json:"guid"`
	Name   string `json:"username"` // of a client: its id
	Origin string `json:"origin"`   // empty for a client
}

// usersOf are those with roles in what the filter names, one entry a role.
func (s *session) usersOf(ctx context.Context, f capi.Filter) ([]roleUser, error) {
	var all []roleUser
	users := map[string]capi.User{}
	for page, err := range capi.Pages[capi.Role](ctx, s.client, "/v3/roles", f.With("include", "user").With("per_page", "5000")) {
		if err != nil {
			return nil, err
		}
		if page.Included != nil {
			for _, u := range page.Included.Users {
				users[u.GUID] = u
			}
		}
		for _, r := range page.Resources {
			guid := r.Relationships.User.GUID()
			u := roleUser{Role: r.Type, GUID: guid, Name: users[guid].PresentationName, Origin: text(users[guid].Origin)}
			if u.Name == "" {
				u.Name = guid
			}
			all = append(all, u)
		}
	}
	return all, nil
}

func (s *session) showRoles(ctx context.Context, c *cli.Context, f capi.Filter, roles []roleName) error {
	users, err := s.usersOf(ctx, f)
	if err != nil {
		return err
	}
	rank := func(u roleUser) int { return slices.IndexFunc(roles, func(r roleName) bool { return r.api == u.Role }) }
	slices.SortFunc(users, func(a, b roleUser) int {
		return cmp.Or(rank(a)-rank(b), strings.Compare(a.Name, b.Name))
	})
	return list(s, c, users, "Nobody has a role here.", []string{"role", "user", "origin"}, func(u roleUser) []string {
		typed := u.Role
		if i := rank(u); i >= 0 {
			typed = roles[i].typed
		}
		return []string{typed, s.ui.Name(u.Name), u.Origin}
	})
}

// roleTarget is where a role is given and to whom.
type roleTarget struct {
	user  capi.RoleUserData
	typed string // the name as it was typed
	role  roleName
	org   *capi.Organization
	space *capi.Space // nil: a role in the org
}

// roleArgs reads USERNAME ORG [SPACE] ROLE.
func (s *session) roleArgs(ctx context.Context, c *cli.Context, roles []roleName) (*roleTarget, error) {
	args := c.Args().Slice()
	if c.Bool("client") && c.String("origin") != "" {
		return nil, badUsage("--client and --origin exclude each other")
	}
	role, err := roleOf(args[len(args)-1], roles)
	if err != nil {
		return nil, err
	}
	t := &roleTarget{typed: args[0], role: role, user: capi.RoleUserData{Username: args[0], Origin: c.String("origin")}}
	if c.Bool("client") {
		if err := s.client.OAuthClient(ctx, args[0]); err != nil {
			return nil, fmt.Errorf("the client %s: %w", quote(args[0]), err)
		}
		t.user = capi.RoleUserData{GUID: args[0]}
	}
	if len(args) == 3 {
		t.org, err = s.org(ctx, args[1])
		return t, err
	}
	t.org, t.space, err = s.orgAndSpace(ctx, args[1], args[2])
	return t, err
}

func (t *roleTarget) where() string {
	if t.space != nil {
		return "space " + quote(t.space.Name) + " of org " + quote(t.org.Name)
	}
	return "org " + quote(t.org.Name)
}

// create is the role as a request.
func (t *roleTarget) create() capi.RoleCreate {
	in := capi.RoleCreate{Type: t.role.api, Relationships: capi.RoleCreateRelationships{User: &capi.RoleUser{Data: &t.user}}}
	if t.space != nil {
		in.Relationships.Space = capi.To(t.space.GUID)
	} else {
		in.Relationships.Organization = capi.To(t.org.GUID)
	}
	return in
}

func setOrgRole(ctx context.Context, s *session, c *cli.Context) error {
	t, err := s.roleArgs(ctx, c, orgRoles)
	if err != nil {
		return err
	}
	return s.giveRole(ctx, t)
}

func setSpaceRole(ctx context.Context, s *session, c *cli.Context) error {
	t, err := s.roleArgs(ctx, c, spaceRoles)
	if err != nil {
		return err
	}
	member := *t
	member.space, member.role = nil, roleName{api: capi.RoleOrgUser}
	if _, err := s.client.CreateRole(ctx, member.create()); err != nil && !taken(err) && !errors.Is(err, capi.NotAuthorized) {
		return err
	}
	return s.giveRole(ctx, t)
}

func (s *session) giveRole(ctx context.Context, t *roleTarget) error {
	role, err := s.client.CreateRole(ctx, t.create())
	if taken(err) {
		s.ui.Notef("%s is %s of %s already.", s.ui.Name(t.typed), t.role.typed, t.where())
		return nil
	}
	if err != nil {
		return err
	}
	s.ui.Notef("%s is %s of %s now.", s.ui.Name(t.typed), t.role.typed, t.where())
	return s.answer(role)
}

func unsetOrgRole(ctx context.Context, s *session, c *cli.Context) error {
	return s.unsetRole(ctx, c, orgRoles)
}

func unsetSpaceRole(ctx context.Context, s *session, c *cli.Context) error {
	return s.unsetRole(ctx, c, spaceRoles)
}

func (s *session) unsetRole(ctx context.Context, c *cli.Context, roles []roleName) error {
	t, err := s.roleArgs(ctx, c, roles)
	if err != nil {
		return err
	}
	guid, err := s.userGUID(ctx, t.user)
	if err != nil {
		return err
	}
	filter := capi.Filter{"types": {t.role.api}, "user_guids": {guid}}
	if t.space != nil {
		filter = filter.With("space_guids", t.space.GUID)
	} else {
		filter = filter.With("organization_guids", t.org.GUID)
	}
	role, err := capi.First[capi.Role](ctx, s.client, "/v3/roles", filter, "Role")
	if notFound(err) {
		s.ui.Notef("%s is not %s of %s.", s.ui.Name(t.typed), t.role.typed, t.where())
		return nil
	}
	if err != nil {
		return err
	}
	if err := s.client.DeleteRole(ctx, role.GUID); err != nil && !notFound(err) {
		return err
	}
	s.ui.Notef("%s is no longer %s of %s.", s.ui.Name(t.typed), t.role.typed, t.where())
	return nil
}

// userGUID is the GUID of a user by name, who must be the only one of that name.
func (s *session) userGUID(ctx context.Context, u capi.RoleUserData) (string, error) {
	if u.GUID != "" {
		return u.GUID, nil
	}
	filter := capi.Filter{"usernames": {u.Username}}
	if u.Origin != "" {
		filter = filter.With("origins", u.Origin)
	}
	users, err := capi.All[capi.User](ctx, s.client, "/v3/users", filter)
	if err != nil {
		return "", err
	}
	switch len(users) {
	case 0:
		return "", fmt.Errorf("there is no user %s", quote(u.Username))
	case 1:
		return users[0].GUID, nil
	}
	return "", withHint(fmt.Errorf("there are %d users %s, of the origins %s", len(users), quote(u.Username),
		joinNames(users, func(one capi.User) string { return text(one.Origin) })), "say which with --origin")
}
