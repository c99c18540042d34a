package api

import (
	"cmp"
	"errors"
	"fmt"
	"net/http"
	"slices"
	"strings"

	"github.com/cupola-paas/cupola/controller/capi"
	"github.com/cupola-paas/cupola/store"
)

func (s *Server) roleRoutes() []Route {
	return []Route{
		index("/v3/roles", signedIn(), s.listRoles, "types", "user_guids", "space_guids", "organization_guids", "include"),
		post("/v3/roles", inBody(), s.createRole),
		get("/v3/roles/{guid}", signedIn(), s.getRole),
		del("/v3/roles/{guid}", inBody(), s.deleteRole),
	}
}

func (s *Server) presentRole(_ *store.Tx, r *store.Role) (capi.Role, error) {
	out := capi.Role{Resource: resource(&r.Meta), Type: r.Type, Links: capi.Links{
		"self": s.link("/v3/roles/" + r.GUID), "user": s.link("/v3/users/" + r.UserGUID),
	}}
	out.Relationships.User = capi.One(r.UserGUID)
	if r.SpaceGUID != "" {
		out.Relationships.Space = capi.One(r.SpaceGUID)
		out.Links["space"] = s.link("/v3/spaces/" + r.SpaceGUID)
	} else {
		out.Relationships.Organization = capi.One(r.OrgGUID)
		out.Links["organization"] = s.link("/v3/organizations/" + r.OrgGUID)
	}
	return out, nil
}

func (s *Server) listRoles(c *Ctx) error {
	return c.answer(func(tx *store.Tx) (any, error) {
		where, err := c.whereRoles(tx)
		if err != nil {
			return nil, err
		}
		where = c.filterBy(where, "types", "type", "user_guids", "user", "space_guids", "space", "organization_guids", "org_only")
		return answerList(c, tx, Listing[store.Role, capi.Role]{
			Table: store.Roles, Meta: func(r *store.Role) *store.Meta { return &r.Meta },
			Where: where, Present: s.presentRole, Include: c.includeForRoles,
		})
	})
}

// whereRoles narrows a list to the roles that the caller may see: those of the orgs and of the spaces that can be
// seen, and the caller's own.
func (c *Ctx) whereRoles(tx *store.Tx) ([]store.Cond, error) {
	spaces, all, err := c.visibleSpaces(tx, SeeSpace)
	if err != nil || all {
		return nil, err
	}
	orgs, all, err := c.visibleOrgs(tx)
	if err != nil || all {
		return nil, err
	}
	return []store.Cond{store.By("seen", slices.Concat(orgs, spaces, []string{c.who.UserGUID})...)}, nil
}

func (c *Ctx) includeForRoles(tx *store.Tx, roles []*store.Role) (*capi.Included, error) {
	asked, err := c.wantsInclude("user", "organization", "space")
	if err != nil || len(asked) == 0 {
		return nil, err
	}
	out := &capi.Included{}
	var spaces, orgs, users []string
	for _, r := range roles {
		users = append(users, r.UserGUID)
		if r.SpaceGUID != "" {
			spaces = append(spaces, r.SpaceGUID)
		} else {
			orgs = append(orgs, r.OrgGUID)
		}
	}
	if slices.Contains(asked, "user") {
		out.Users, err = presentEach(tx, store.Users, users, c.s.presentUser)
	}
	if err == nil && slices.Contains(asked, "organization") {
		out.Organizations, err = presentEach(tx, store.Orgs, orgs, c.s.presentOrg)
	}
	if err == nil && slices.Contains(asked, "space") {
		err = c.includeSpaces(tx, out, spaces, true, false)
	}
	return out, err
}

// presentEach presents the records with these GUIDs, each once; those that are gone are left out.
func presentEach[T, R any](tx *store.Tx, table *store.Table[T], guids []string, present func(*T) R) ([]R, error) {
	records, _, err := table.List(tx, store.Query[T]{Where: []store.Cond{store.By("guid", guids...)}})
	var out []R
	for _, rec := range records {
		out = append(out, present(rec))
	}
	return out, err
}

func placeOfRole(r *store.Role) Place { return Place{OrgGUID: r.OrgGUID, SpaceGUID: r.SpaceGUID} }

// allowRole asks for what a role's place needs: see is enough to read it, managing to give or take it.
func (c *Ctx) allowRole(tx *store.Tx, p Place, change bool) error {
	see, do := SeeOrg, SeeOrg
	if p.SpaceGUID != "" {
		see, do = SeeSpace, SeeSpace
	}
	if change && p.SpaceGUID != "" {
		do = ManageSpace
	} else if change {
		do = ManageOrg
	}
	return c.Allow(tx, p, "Role", see, do)
}

func (s *Server) getRole(c *Ctx) error {
	return c.answer(func(tx *store.Tx) (any, error) {
		role, err := store.Roles.Get(tx, c.Path("guid"))
		if err != nil {
			return nil, notFound(err, "Role")
		}
		if role.UserGUID != c.who.UserGUID {
			if err := c.allowRole(tx, placeOfRole(role), false); err != nil {
				return nil, err
			}
		}
		included, err := c.includeForRoles(tx, []*store.Role{role})
		if err != nil {
			return nil, err
		}
		shown, err := s.presentRole(tx, role)
		return struct {
			capi.Role
			Included *capi.Included `json:"included,omitempty"`
		}{shown, included}, err
	})
}

func (s *Server) createRole(c *Ctx) error {
	var in capi.RoleCreate
	if err := c.decode(&in); err != nil {
		return err
	}
	orgGUID, spaceGUID, err := rolePlace(in)
	if err != nil {
		return err
	}
	return c.change(http.StatusCreated, func(tx *store.Tx) (any, error) {
		var place Place
		var err error
		if spaceGUID != "" {
			place, err = c.placeInBody(tx, spaceGUID, ManageSpace)
		} else {
			place, err = c.orgInBody(tx, orgGUID, ManageOrg)
		}
		if err != nil {
			return nil, err
		}
		user, err := c.roleUser(tx, in.Relationships.User.Data)
		if err != nil {
			return nil, err
		}
		role := &store.Role{Type: in.Type, UserGUID: user.GUID, OrgGUID: place.OrgGUID, SpaceGUID: place.SpaceGUID}
		if err := putRole(tx, role, user); err != nil {
			return nil, err
		}
		if err := c.auditRole(tx, role, user, "add"); err != nil {
			return nil, err
		}
		return s.presentRole(tx, role)
	})
}

// rolePlace checks that type, user and place of a new role go together.
func rolePlace(in capi.RoleCreate) (orgGUID, spaceGUID string, err error) {
	orgGUID, spaceGUID = in.Relationships.Organization.GUID(), in.Relationships.Space.GUID()
	user := in.Relationships.User
	switch {
	case !slices.Contains(roleTypes(), in.Type):
		return "", "", errInvalid("Type must be one of the allowed types: '" + strings.Join(roleTypes(), "', '") + "'")
	case user == nil || user.Data == nil || user.Data.GUID == "" && user.Data.Username == "":
		return "", "", errInvalid("Relationships User can't be blank: name the user as relationships.user.data.guid or .username")
	case user.Data.GUID != "" && (user.Data.Username != "" || user.Data.Origin != ""):
		return "", "", errInvalid("Relationships User must be named by guid or by username and origin, not by both")
	case orgGUID != "" && spaceGUID != "":
		return "", "", errInvalid("Cannot pass both 'organization' and 'space' in a create role request")
	case strings.HasPrefix(in.Type, "organization_") && orgGUID == "":
		return "", "", errInvalid("Role with type '" + in.Type + "' must be associated with an organization.")
	case strings.HasPrefix(in.Type, "space_") && spaceGUID == "":
		return "", "", errInvalid("Role with type '" + in.Type + "' must be associated with a space.")
	}
	return orgGUID, spaceGUID, nil
}

func roleTypes() []string {
	types := make([]string, 0, len(grants))
	for t := range grants {
		types = append(types, t)
	}
	slices.Sort(types)
	return types
}

// roleUser finds the user of a new role by GUID or by name.
func (c *Ctx) roleUser(tx *store.Tx, in *capi.RoleUserData) (*store.User, error) {
	if in.GUID != "" {
		user, err := store.Users.Get(tx, in.GUID)
		if _, errClient := store.Clients.Get(tx, in.GUID); errors.Is(err, store.ErrNotFound) && errClient == nil { // an OAuth client, at its first role
			user = &store.User{Meta: store.Meta{GUID: in.GUID}, Username: in.GUID}
			err = store.Users.Put(tx, user)
		}
		return user, orElse(err, errInvalid("Invalid user. Ensure that the user exists and you have access to it."))
	}
	if err := c.needFlag(tx, "set_roles_by_username", flagDefault("set_roles_by_username")); err != nil {
		return nil, err
	}
	where := []store.Cond{store.By("username", in.Username)}
	if in.Origin != "" {
		where = append(where, store.By("origin", in.Origin))
	}
	found, _, err := store.Users.List(tx, store.Query[store.User]{Where: where, Match: func(u *store.User) bool { return u.Origin != "" }})
	switch {
	case err != nil:
		return nil, err
	case len(found) == 0 && in.Origin != "":
		return nil, errInvalid(fmt.Sprintf("No user exists with the username '%s' and origin '%s'.", clip(in.Username, 100), clip(in.Origin, 100)))
	case len(found) == 0:
		return nil, errInvalid(fmt.Sprintf("No user exists with the username '%s'.", clip(in.Username, 100)))
	case len(found) > 1:
		origins := make([]string, len(found))
		for i, u := range found {
			origins[i] = u.Origin
		}
		return nil, errInvalid(fmt.Sprintf("Ambiguous user. User with username '%s' exists in the following origins: %s. Specify an origin to disambiguate.", clip(in.Username, 100), strings.Join(origins, ", ")))
	}
	return found[0], nil
}

// putRole writes a role. A space role needs some role in the space's org.
func putRole(tx *store.Tx, role *store.Role, user *store.User) error {
	where := "organization"
	name := ""
	if role.SpaceGUID != "" {
		where = "space"
		member, _, err := store.Roles.List(tx, store.Query[store.Role]{
			Where: []store.Cond{store.By("user", user.GUID), store.By("org", role.OrgGUID)},
			Match: func(r *store.Role) bool { return r.SpaceGUID == "" },
		})
		if err != nil {
			return err
		}
		if len(member) == 0 {
			return errInvalid("Users cannot be assigned roles in a space if they do not have a role in that space's organization.")
		}
		space, err := store.Spaces.Get(tx, role.SpaceGUID)
		if err != nil {
			return err
		}
		name = space.Name
	} else {
		org, err := store.Orgs.Get(tx, role.OrgGUID)
		if err != nil {
			return err
		}
		name = org.Name
	}
	err := store.Roles.Put(tx, role)
	if isConflict(err) {
		return errInvalid(fmt.Sprintf("User '%s' already has '%s' role in %s '%s'.", cmp.Or(user.Username, user.GUID), role.Type, where, name))
	}
	return err
}

func (c *Ctx) auditRole(tx *store.Tx, role *store.Role, user *store.User, what string) error {
	return c.audit(tx, Event{
		Type:   "audit.user." + role.Type + "_" + what,
		Target: store.Actor{GUID: user.GUID, Type: "user", Name: user.Username},
		Place:  placeOfRole(role),
		Data:   request(map[string]any{"type": role.Type}),
	})
}

func (s *Server) deleteRole(c *Ctx) error {
	return c.remove("role.delete", "role", func(tx *store.Tx) error {
		role, err := store.Roles.Get(tx, c.Path("guid"))
		if err != nil {
			return notFound(err, "Role")
		}
		if err := c.allowRole(tx, placeOfRole(role), true); err != nil {
			return err
		}
		if err := keepsMembership(tx, role); err != nil {
			return err
		}
		user, err := store.Users.Get(tx, role.UserGUID)
		if err != nil {
			if err = orElse(err, nil); err != nil {
				return err
			}
			user = &store.User{Meta: store.Meta{GUID: role.UserGUID}}
		}
		return firstOf(c.auditRole(tx, role, user, "remove"), store.Roles.Delete(tx, role.GUID))
	})
}

// keepsMembership refuses to take somebody's membership of an org while roles in its spaces rest on it.
func keepsMembership(tx *store.Tx, role *store.Role) error {
	if role.Type != capi.RoleOrgUser {
		return nil
	}
	in, _, err := store.Roles.List(tx, store.Query[store.Role]{
		Where: []store.Cond{store.By("user", role.UserGUID), store.By("org", role.OrgGUID)},
		Match: func(r *store.Role) bool { return r.SpaceGUID != "" },
	})
	if err == nil && len(in) > 0 {
		return errInvalid("Cannot delete organization_user role while user has roles in spaces in that organization.")
	}
	return err
}
