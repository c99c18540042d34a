package api

import (
	"cmp"
	"net/http"
	"slices"
	"strings"

	"github.com/cupola-paas/cupola/controller/auth"
	"github.com/cupola-paas/cupola/controller/capi"
	"github.com/cupola-paas/cupola/store"
)

func (s *Server) userRoutes() []Route {
	admin := on(platformAt, "User", SeePlatform, Administer)
	return []Route{
		index("/v3/users", signedIn(), s.listUsers, "usernames", "partial_usernames", "origins"),
		post("/v3/users", admin, s.createUser),
		get("/v3/users/{guid}", signedIn(), s.getUser),
		patch("/v3/users/{guid}", admin, s.updateUser),
		del("/v3/users/{guid}", admin, s.deleteUser),
	}
}

func (s *Server) presentUser(u *store.User) capi.User {
	out := capi.User{
		Resource: resource(&u.Meta), PresentationName: cmp.Or(u.Username, u.GUID), Metadata: metadata(&u.Meta),
		Links: capi.Links{"self": s.link("/v3/users/" + u.GUID)},
	}
	if u.Origin != "" { // not a client
		out.Username, out.Origin = nullable(u.Username), nullable(u.Origin)
	}
	return out
}

func (s *Server) listUsers(c *Ctx) error {
	return c.answer(func(tx *store.Tx) (any, error) {
		orgs, all, err := c.visibleOrgs(tx)
		if err != nil || all {
			return s.usersPage(c, tx, nil, err)
		}
		guids, err := usersWithRoles(tx, "org_user", orgs...)
		return s.usersPage(c, tx, []store.Cond{store.By("guid", append(guids, c.who.UserGUID)...)}, err)
	})
}

func (s *Server) listOrgUsers(c *Ctx) error {
	return c.answer(func(tx *store.Tx) (any, error) {
		guids, err := usersWithRoles(tx, "org_user", c.Path("guid"))
		return s.usersPage(c, tx, []store.Cond{store.By("guid", guids...)}, err)
	})
}

func (s *Server) listSpaceUsers(c *Ctx) error {
	return c.answer(func(tx *store.Tx) (any, error) {
		guids, err := usersWithRoles(tx, "space_user", c.Path("guid"))
		return s.usersPage(c, tx, []store.Cond{store.By("guid", guids...)}, err)
	})
}

// usersPage is a page of the users that meet the conditions and the query.
func (s *Server) usersPage(c *Ctx, tx *store.Tx, where []store.Cond, err error) (*page, error) {
	if err != nil {
		return nil, err
	}
	parts, partial := c.Filter.List("partial_usernames")
	if partial && c.Filter.Has("usernames") {
		return nil, errQuery("usernames and partial_usernames can't be used together")
	}
	l := Listing[store.User, capi.User]{
		Table: store.Users, Meta: func(u *store.User) *store.Meta { return &u.Meta },
		Where:   c.filterBy(where, "usernames", "username", "origins", "origin"),
		Present: func(_ *store.Tx, u *store.User) (capi.User, error) { return s.presentUser(u), nil },
	}
	if partial {
		found, err := usernamesWith(tx, parts)
		if err != nil {
			return nil, err
		}
		l.Where = append(l.Where, store.By("username", found...))
	}
	return answerList(c, tx, l)
}

// usernamesWith returns the usernames that have one of the parts in them, in any case.
func usernamesWith(tx *store.Tx, parts []string) ([]string, error) {
	all, err := store.Users.Values(tx, "username", "")
	return slices.DeleteFunc(all, func(name string) bool {
		return !slices.ContainsFunc(parts, func(p string) bool { return strings.Contains(name, strings.ToLower(p)) })
	}), err
}

// usersWithRoles returns the users that have a role in one of the places; index is the roles' for place and user.
func usersWithRoles(tx *store.Tx, index string, places ...string) ([]string, error) {
	var guids []string
	for _, place := range places {
		pairs, err := store.Roles.Values(tx, index, place+"/")
		if err != nil {
			return nil, err
		}
		for _, pair := range pairs {
			guids = append(guids, strings.TrimPrefix(pair, place+"/"))
		}
	}
	slices.Sort(guids)
	return slices.Compact(guids), nil
}

func (s *Server) getUser(c *Ctx) error {
	return c.answer(func(tx *store.Tx) (any, error) {
		user, err := store.Users.Get(tx, c.Path("guid"))
		if err != nil {
			return nil, notFound(err, "User")
		}
		ok, err := c.seesUser(tx, user.GUID)
		if err != nil || !ok {
			return nil, firstOf(err, capi.NotFound("User"))
		}
		return s.presentUser(user), nil
	})
}

// seesUser reports whether somebody is the caller or has a role in an org that the caller may see.
func (c *Ctx) seesUser(tx *store.Tx, guid string) (bool, error) {
	orgs, all, err := c.visibleOrgs(tx)
	if err != nil || all || guid == c.who.UserGUID {
		return err == nil, err
	}
	n, err := store.Roles.Count(tx, store.By("user", guid), store.By("org", orgs...))
	return n > 0, err
}

// createUser makes somebody known to the API. The UAA's own users are known already, so for them this changes
// nothing; what is left are clients (by their id) and users of other origins.
func (s *Server) createUser(c *Ctx) error {
	var in capi.UserCreate
	if err := c.decode(&in); err != nil {
		return err
	}
	if err := validateUserCreate(in); err != nil {
		return err
	}
	return c.change(http.StatusCreated, func(tx *store.Tx) (any, error) {
		user := &store.User{Meta: store.Meta{GUID: in.GUID}, Username: in.Username, Origin: in.Origin}
		if in.GUID != "" {
			have, err := store.Users.Get(tx, in.GUID)
			if orElse(err, nil) != nil {
				return nil, err
			}
			if err == nil {
				user = have
			} else {
				user.Username = in.GUID // a client
			}
		}
		if err := patchMetadata(&user.Meta, in.Metadata); err != nil {
			return nil, err
		}
		err := store.Users.Put(tx, user)
		if isConflict(err) {
			return nil, errInvalid("User with username '" + in.Username + "' and origin '" + in.Origin + "' already exists.")
		}
		return s.presentUser(user), err
	})
}

func validateUserCreate(in capi.UserCreate) error {
	switch {
	case in.GUID != "" && (in.Username != "" || in.Origin != ""):
		return errInvalid("Username and origin cannot be given together with guid")
	case in.GUID != "":
		return validateName("Guid", in.GUID)
	case in.Username == "" || in.Origin == "":
		return errInvalid("Either guid, or username and origin, must be given")
	case in.Origin == auth.DefaultOrigin:
		return errInvalid("Users of the origin 'uaa' have passwords: create them in the UAA, for example with \"cf create-user\"")
	}
	return firstOf(validateName("Username", in.Username), validateName("Origin", in.Origin))
}

func (s *Server) updateUser(c *Ctx) error {
	var in capi.MetadataUpdate
	if err := c.decode(&in); err != nil {
		return err
	}
	return c.change(http.StatusOK, func(tx *store.Tx) (any, error) {
		user, err := store.Users.Get(tx, c.Path("guid"))
		if err != nil {
			return nil, notFound(err, "User")
		}
		err = firstOf(patchMetadata(&user.Meta, in.Metadata), store.Users.Put(tx, user))
		return s.presentUser(user), err
	})
}

// deleteUser takes all roles. A user can still sign in until the UAA deletes the user, which clients ask for next;
// of a client nothing is left.
func (s *Server) deleteUser(c *Ctx) error {
	return c.remove("user.delete", "user", func(tx *store.Tx) error {
		user, err := store.Users.Get(tx, c.Path("guid"))
		if err != nil {
			return notFound(err, "User")
		}
		err = each(tx, store.Roles, func(tx *store.Tx, r *store.Role) error {
			return firstOf(c.auditRole(tx, r, user, "remove"), store.Roles.Delete(tx, r.GUID))
		}, store.By("user", user.GUID))
		if err != nil || user.Origin != "" {
			return err
		}
		return store.Users.Delete(tx, user.GUID)
	})
}
