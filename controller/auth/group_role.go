package auth

import (
	"encoding/json"
	"errors"
	"slices"
	"strings"

	"github.com/cupola-paas/cupola/controller/capi"
	"github.com/cupola-paas/cupola/store"
)

// groupRole is a role that a provider's group gives, with the names of its org and, where it is one in a space, of that.
type groupRole struct{ role, org, space string }

// parseGroupRole reads ROLE:ORG or ROLE:ORG/SPACE, as the role is; ok reports whether text is such a one.
func parseGroupRole(text string) (g groupRole, ok bool) {
	g.role, g.org, _ = strings.Cut(text, ":")
	switch {
	case slices.Contains(capi.OrgRoles, g.role):
		return g, g.org != ""
	case slices.Contains(capi.SpaceRoles, g.role):
		g.org, g.space, _ = strings.Cut(g.org, "/")
		return g, g.org != "" && g.space != ""
	}
	return g, false
}

// seat is a role in a place, by GUIDs.
type seat struct{ role, org, space string }

func seatOf(r *store.Role) seat { return seat{r.Type, r.OrgGUID, r.SpaceGUID} }

// giveRoles gives a user the roles of the provider's groups, and takes those that groups gave and give no more. Roles that
// somebody gave here are left alone.
func (a *Auth) giveRoles(tx *store.Tx, p *provider, user *store.User, groups []groupRole) error {
	wanted, err := a.seats(tx, groups)
	if err != nil {
		return err
	}
	has, _, err := store.Roles.List(tx, store.Query[store.Role]{Where: []store.Cond{store.By("user", user.GUID)}})
	if err != nil {
		return err
	}
	for _, r := range has {
		if i := slices.Index(wanted, seatOf(r)); i >= 0 {
			wanted = slices.Delete(wanted, i, i+1)
			continue
		}
		if !r.FromGroup || rested(r, has) {
			continue
		}
		if err := errors.Join(store.Roles.Delete(tx, r.GUID), auditRole(tx, p, user, r, "remove")); err != nil {
			return err
		}
	}
	for _, s := range wanted {
		r := &store.Role{Type: s.role, UserGUID: user.GUID, OrgGUID: s.org, SpaceGUID: s.space, FromGroup: true}
		if err := errors.Join(store.Roles.Put(tx, r), auditRole(tx, p, user, r, "add")); err != nil {
			return err
		}
	}
	return nil
}

// seats finds the places of roles, each once. A role in an org comes with the membership that it needs. What is not there
// (yet) gives nothing.
func (a *Auth) seats(tx *store.Tx, groups []groupRole) ([]seat, error) {
	var all []seat
	for _, g := range groups {
		org, err := store.Orgs.Find(tx, "name", g.org)
		if errors.Is(err, store.ErrNotFound) {
			a.log.Warn("a group of the identity provider gives a role in an org that is not there", "role", g.role, "org", g.org)
			continue
		}
		if err != nil {
			return nil, err
		}
		s := seat{g.role, org.GUID, ""}
		if g.space != "" {
			found, _, err := store.Spaces.List(tx, store.Query[store.Space]{Where: []store.Cond{store.By("org", org.GUID), store.By("name", g.space)}})
			if err != nil {
				return nil, err
			}
			if len(found) == 0 {
				a.log.Warn("a group of the identity provider gives a role in a space that is not there", "role", g.role, "org", g.org, "space", g.space)
				continue
			}
			s.space = found[0].GUID
		}
		for _, one := range []seat{{capi.RoleOrgUser, org.GUID, ""}, s} {
			if !slices.Contains(all, one) {
				all = append(all, one)
			}
		}
	}
	return all, nil
}

// rested reports whether r is a membership of an org in whose spaces somebody gave the user roles here.
func rested(r *store.Role, all []*store.Role) bool {
	return r.Type == capi.RoleOrgUser && slices.ContainsFunc(all, func(o *store.Role) bool {
		return o.OrgGUID == r.OrgGUID && o.SpaceGUID != "" && !o.FromGroup
	})
}

func auditRole(tx *store.Tx, p *provider, user *store.User, r *store.Role, what string) error {
	data, err := json.Marshal(map[string]any{"type": r.Type})
	if err != nil {
		return err
	}
	return store.AuditEvents.Put(tx, &store.AuditEvent{
		Type: "audit.user." + r.Type + "_" + what, Data: data, OrgGUID: r.OrgGUID, SpaceGUID: r.SpaceGUID,
		Actor:  store.Actor{GUID: p.Name, Type: "identity_provider", Name: p.Label},
		Target: store.Actor{GUID: user.GUID, Type: "user", Name: user.Username},
	})
}
