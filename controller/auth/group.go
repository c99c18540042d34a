package auth

import (
	"errors"
	"fmt"
	"net/http"
	"regexp"
	"slices"
	"strconv"
	"strings"

	"github.com/google/uuid"

	"github.com/cupola-paas/cupola/store"
)

// groupSpace is where the ids of groups come from: a group's id follows from its name, which never changes.
var groupSpace = uuid.MustParse("6f2f7d1c-4a52-4b7e-9d0a-1d3b0f5c9a10")

func groupID(name string) string {
	return uuid.NewSHA1(groupSpace, []byte(strings.ToLower(name))).String()
}

var groupName = regexp.MustCompile(`^[A-Za-z0-9_.:/-]{1,255}$`)

// scimGroupResource is a group as SCIM and UAA write it. Of a group that everybody is in the members are left out.
type scimGroupResource struct {
	ID          string       `json:"id,omitempty"`
	Meta        *scimMeta    `json:"meta,omitempty"`
	Name        string       `json:"displayName"`
	Description string       `json:"description"`
	Members     []scimMember `json:"members"`
	ZoneID      string       `json:"zoneId,omitempty"`
	Schemas     []string     `json:"schemas,omitempty"`
}

type scimMember struct {
	Value     string `json:"value"`
	Type      string `json:"type"`
	Origin    string `json:"origin"`
	Operation string `json:"operation,omitempty"` // of a PATCH: delete
}

// seedGroups makes the platform's own groups where they are missing.
func seedGroups(tx *store.Tx) error {
	for _, name := range platformGroups() {
		_, err := store.Groups.Get(tx, groupID(name))
		if errors.Is(err, store.ErrNotFound) {
			err = store.Groups.Put(tx, &store.Group{Meta: store.Meta{GUID: groupID(name)}, Name: name})
		}
		if err != nil {
			return err
		}
	}
	return nil
}

func platformGroups() []string { return union(userGroups, slices.Concat(adminGroups, grantableGroups)) }

// groupMembers are the users who were put into a group.
func groupMembers(tx *store.Tx, name string) ([]*store.User, error) {
	members, _, err := store.Users.List(tx, store.Query[store.User]{Where: []store.Cond{store.By("group", name)}})
	return members, err
}

func presentGroup(tx *store.Tx, g *store.Group) (scimGroupResource, error) {
	out := scimGroupResource{ID: g.GUID, Meta: presentMeta(&g.Meta, g.Version), Name: g.Name, Description: g.Description,
		Members: []scimMember{}, ZoneID: "uaa", Schemas: scimSchemas}
	members, err := groupMembers(tx, g.Name)
	for _, u := range members {
		out.Members = append(out.Members, presentMember(u))
	}
	return out, err
}

func presentMember(u *store.User) scimMember {
	return scimMember{Value: u.GUID, Type: "USER", Origin: u.Origin}
}

func groupAttribute(g *store.Group) func(string) []string {
	return func(attr string) []string {
		switch attr {
		case "id":
			return []string{g.GUID}
		case "displayname":
			return []string{g.Name}
		case "description":
			return []string{g.Description}
		case "created", "meta.created":
			return []string{scimTime(g.CreatedAt)}
		case "lastmodified", "meta.lastmodified":
			return []string{scimTime(g.UpdatedAt)}
		}
		return nil
	}
}

func (a *Auth) listGroups(w http.ResponseWriter, r *http.Request) error {
	if _, err := a.withScope(r, scopeScimRead); err != nil {
		return err
	}
	q := r.URL.Query()
	f, err := parseFilter(q.Get("filter"), "id", "displayname", "description", "created", "meta.created", "lastmodified", "meta.lastmodified")
	if err != nil {
		return badFilter(err)
	}
	l := readList(q)
	query := store.Query[store.Group]{
		Where: f.conditions(map[string]string{"id": "guid", "displayname": "name"}),
		Match: func(g *store.Group) bool { return f.match(groupAttribute(g)) },
	}
	if strings.EqualFold(q.Get("sortBy"), "displayName") {
		query.OrderBy = "name"
	}
	groups, total, err := listRecords(a, l, store.Groups, query)
	if err != nil {
		return err
	}
	var resources []any
	err = a.db.View(func(tx *store.Tx) error {
		for _, g := range groups {
			shown, err := presentGroup(tx, g)
			if err != nil {
				return err
			}
			resources = append(resources, shown)
		}
		return nil
	})
	if err != nil {
		return err
	}
	return l.answer(w, resources, total)
}

func (a *Auth) getGroup(w http.ResponseWriter, r *http.Request) error {
	if _, err := a.withScope(r, scopeScimRead); err != nil {
		return err
	}
	var shown scimGroupResource
	err := a.db.View(func(tx *store.Tx) error {
		g, err := findGroup(tx, r.PathValue("id"))
		if err == nil {
			shown, err = presentGroup(tx, g)
		}
		return err
	})
	if err == nil {
		writeGroup(w, http.StatusOK, shown)
	}
	return err
}

func writeGroup(w http.ResponseWriter, status int, g scimGroupResource) {
	w.Header().Set("ETag", strconv.Quote(strconv.Itoa(g.Meta.Version)))
	writeJSON(w, status, g)
}

func findGroup(tx *store.Tx, id string) (*store.Group, error) {
	g, err := store.Groups.Get(tx, id)
	if errors.Is(err, store.ErrNotFound) {
		return nil, refuse(http.StatusNotFound, "scim_resource_not_found", fmt.Sprintf("Group %.100s does not exist", id))
	}
	return g, err
}

func (a *Auth) createGroup(w http.ResponseWriter, r *http.Request) error {
	id, err := a.withScope(r, scopeScimWrite)
	if err != nil {
		return err
	}
	var in scimGroupResource
	if err := readJSON(r, &in); err != nil {
		return err
	}
	if err := validateGroup(in); err != nil {
		return badResource(err)
	}
	var shown scimGroupResource
	err = a.db.Update(func(tx *store.Tx) error {
		if _, err := store.Groups.Find(tx, "name", in.Name); !errors.Is(err, store.ErrNotFound) {
			return firstOf(err, refuse(http.StatusConflict, "scim_resource_already_exists", "A group with displayName: "+in.Name+" already exists."))
		}
		g := &store.Group{Meta: store.Meta{GUID: groupID(in.Name)}, Name: in.Name, Description: in.Description}
		if err := store.Groups.Put(tx, g); err != nil {
			return err
		}
		if err := setMembers(tx, id, g, in.Members); err != nil {
			return err
		}
		shown, err = presentGroup(tx, g)
		return err
	})
	if err == nil {
		writeGroup(w, http.StatusCreated, shown)
	}
	return err
}

func validateGroup(in scimGroupResource) error {
	if !groupName.MatchString(in.Name) {
		return errors.New("a group's displayName has letters, digits and . _ : / - only, such as my-team.admin")
	}
	if len(in.Description) > 1000 {
		return errors.New("a group's description may have 1000 bytes")
	}
	return nil
}

// replaceGroup is PUT /Groups/:id; patchGroup is PATCH.
func (a *Auth) replaceGroup(w http.ResponseWriter, r *http.Request) error {
	return a.changeGroup(w, r, func(tx *store.Tx, id *Identity, g *store.Group, in scimGroupResource) error {
		g.Description = in.Description
		return setMembers(tx, id, g, in.Members)
	})
}

// patchGroup adds the members that the body names, takes those away whose operation is delete, and all before when
// meta.attributes names members.
func (a *Auth) patchGroup(w http.ResponseWriter, r *http.Request) error {
	return a.changeGroup(w, r, func(tx *store.Tx, id *Identity, g *store.Group, in scimGroupResource) error {
		if in.Description != "" {
			g.Description = in.Description
		}
		if in.Meta != nil && slices.Contains(in.Meta.Attributes, "description") {
			g.Description = ""
		}
		if in.Meta != nil && slices.Contains(in.Meta.Attributes, "members") {
			if err := setMembers(tx, id, g, nil); err != nil {
				return err
			}
		}
		for _, m := range in.Members {
			if err := setMember(tx, id, g, m, m.Operation != "delete"); err != nil {
				return err
			}
		}
		return nil
	})
}

func (a *Auth) changeGroup(w http.ResponseWriter, r *http.Request, change func(*store.Tx, *Identity, *store.Group, scimGroupResource) error) error {
	id, err := a.withScope(r, scopeScimWrite)
	if err != nil {
		return err
	}
	var in scimGroupResource
	if err := readJSON(r, &in); err != nil {
		return err
	}
	var shown scimGroupResource
	err = a.db.Update(func(tx *store.Tx) error {
		g, err := findGroup(tx, r.PathValue("id"))
		if err != nil {
			return err
		}
		if in.Name != "" && in.Name != g.Name {
			return badResource(errors.New("the displayName of a group can't be changed, as tokens carry it: make another group"))
		}
		in.Name = g.Name
		if err := firstOf(checkVersion(r, g.Version), validateGroup(in)); err != nil {
			return err
		}
		if err := change(tx, id, g, in); err != nil {
			return err
		}
		g.Version++
		if err := store.Groups.Put(tx, g); err != nil {
			return err
		}
		shown, err = presentGroup(tx, g)
		return err
	})
	if err == nil {
		writeGroup(w, http.StatusOK, shown)
	}
	return err
}

func (a *Auth) deleteGroup(w http.ResponseWriter, r *http.Request) error {
	id, err := a.withScope(r, scopeScimWrite)
	if err != nil {
		return err
	}
	var shown scimGroupResource
	err = a.db.Update(func(tx *store.Tx) error {
		g, err := findGroup(tx, r.PathValue("id"))
		if err != nil {
			return err
		}
		if slices.Contains(platformGroups(), g.Name) {
			return badResource(fmt.Errorf("the group %s is the platform's own and can't be deleted", g.Name))
		}
		if err := checkVersion(r, g.Version); err != nil {
			return err
		}
		if shown, err = presentGroup(tx, g); err != nil {
			return err
		}
		if err := setMembers(tx, id, g, nil); err != nil {
			return err
		}
		return store.Groups.Delete(tx, g.GUID)
	})
	if err == nil {
		writeGroup(w, http.StatusOK, shown)
	}
	return err
}
