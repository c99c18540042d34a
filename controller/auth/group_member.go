package auth

import (
	"errors"
	"fmt"
	"net/http"
	"slices"

	"github.com/cupola-paas/cupola/store"
)

// setMembers makes these users the members of a group, and no others.
func setMembers(tx *store.Tx, by *Identity, g *store.Group, wanted []scimMember) error {
	have, err := groupMembers(tx, g.Name)
	if err != nil {
		return err
	}
	for _, u := range have {
		stays := slices.ContainsFunc(wanted, func(m scimMember) bool { return m.Value == u.GUID })
		if stays {
			continue
		}
		if err := setMember(tx, by, g, scimMember{Value: u.GUID}, false); err != nil {
			return err
		}
	}
	for _, m := range wanted {
		if err := setMember(tx, by, g, m, true); err != nil {
			return err
		}
	}
	return nil
}

// setMember puts a user into a group or takes one out. Nobody but an administrator can give or take a scope that
// they don't have themselves.
func setMember(tx *store.Tx, by *Identity, g *store.Group, m scimMember, in bool) error {
	switch {
	case m.Type != "" && m.Type != "USER":
		return badResource(fmt.Errorf("members of the type %.20s are not known: groups have users", m.Type))
	case slices.Contains(userGroups, g.Name):
		return badResource(fmt.Errorf("every user is in the group %s, always", g.Name))
	case !by.Has(scopeAdmin) && !by.IsAdmin() && !by.Has(g.Name):
		return refuse(http.StatusForbidden, "insufficient_scope", "Only who has "+g.Name+" or "+scopeAdmin+" can give or take it.")
	}
	user, err := store.Users.Get(tx, m.Value)
	if err != nil {
		if errors.Is(err, store.ErrNotFound) {
			err = badResource(fmt.Errorf("member %.100s does not exist", m.Value))
		}
		return err
	}
	i := slices.Index(user.Groups, g.Name)
	switch {
	case in == (i >= 0):
		return nil
	case in:
		user.Groups = append(user.Groups, g.Name)
	default:
		user.Groups = slices.Delete(user.Groups, i, i+1)
	}
	user.Version++
	return store.Users.Put(tx, user)
}

func (a *Auth) listMembers(w http.ResponseWriter, r *http.Request) error {
	if _, err := a.withScope(r, scopeScimRead); err != nil {
		return err
	}
	out := []scimMember{}
	err := a.db.View(func(tx *store.Tx) error {
		g, err := findGroup(tx, r.PathValue("id"))
		if err != nil {
			return err
		}
		members, err := groupMembers(tx, g.Name)
		for _, u := range members {
			out = append(out, presentMember(u))
		}
		return err
	})
	if err == nil {
		writeJSON(w, http.StatusOK, out)
	}
	return err
}

func (a *Auth) getMember(w http.ResponseWriter, r *http.Request) error {
	if _, err := a.withScope(r, scopeScimRead); err != nil {
		return err
	}
	var user *store.User
	err := a.db.View(func(tx *store.Tx) (err error) {
		g, err := findGroup(tx, r.PathValue("id"))
		if err == nil {
			user, err = findMember(tx, g, r.PathValue("member"))
		}
		return err
	})
	if err == nil {
		writeJSON(w, http.StatusOK, presentMember(user))
	}
	return err
}

func findMember(tx *store.Tx, g *store.Group, guid string) (*store.User, error) {
	user, err := store.Users.Get(tx, guid)
	if errors.Is(err, store.ErrNotFound) || err == nil && !slices.Contains(user.Groups, g.Name) {
		return nil, refuse(http.StatusNotFound, "scim_resource_not_found", fmt.Sprintf("Member %.100s does not exist in group %s", guid, g.Name))
	}
	return user, err
}

func (a *Auth) addMember(w http.ResponseWriter, r *http.Request) error {
	var in scimMember
	return a.changeMember(w, r, http.StatusCreated, func() error { return readJSON(r, &in) }, func(tx *store.Tx, by *Identity, g *store.Group) (*store.User, error) {
		if _, err := findMember(tx, g, in.Value); err == nil {
			return nil, refuse(http.StatusConflict, "member_already_exists", "The user is a member of the group "+g.Name+" already.")
		}
		if err := setMember(tx, by, g, in, true); err != nil {
			return nil, err
		}
		return store.Users.Get(tx, in.Value)
	})
}

func (a *Auth) removeMember(w http.ResponseWriter, r *http.Request) error {
	return a.changeMember(w, r, http.StatusOK, func() error { return nil }, func(tx *store.Tx, by *Identity, g *store.Group) (*store.User, error) {
		user, err := findMember(tx, g, r.PathValue("member"))
		if err == nil {
			err = setMember(tx, by, g, scimMember{Value: user.GUID}, false)
		}
		return user, err
	})
}

func (a *Auth) changeMember(w http.ResponseWriter, r *http.Request, status int, read func() error, change func(*store.Tx, *Identity, *store.Group) (*store.User, error)) error {
	by, err := a.withScope(r, scopeScimWrite)
	if err == nil {
		err = read()
	}
	if err != nil {
		return err
	}
	var user *store.User
	err = a.db.Update(func(tx *store.Tx) error {
		g, err := findGroup(tx, r.PathValue("id"))
		if err != nil {
			return err
		}
		if user, err = change(tx, by, g); err != nil {
			return err
		}
		g.Version++
		return store.Groups.Put(tx, g)
	})
	if err == nil {
		writeJSON(w, status, presentMember(user))
	}
	return err
}
