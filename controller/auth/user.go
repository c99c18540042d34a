package auth

import (
	"cmp"
	"errors"
	"fmt"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"unicode"
	"unicode/utf8"

	"github.com/cupola-paas/cupola/store"
)

const usernameChars = 255

// scimUser is a user as SCIM and UAA write it.
type scimUser struct {
	ID         string      `json:"id,omitempty"`
	ExternalID string      `json:"externalId,omitempty"`
	Meta       *scimMeta   `json:"meta,omitempty"`
	Username   string      `json:"userName"`
	Password   string      `json:"password,omitempty"` // requests only
	Name       scimName    `json:"name"`
	Emails     []scimEmail `json:"emails"`
	Groups     []scimGroup `json:"groups,omitempty"` // answers only
	Active     *bool       `json:"active,omitempty"`
	Verified   *bool       `json:"verified,omitempty"`
	Origin     string      `json:"origin"`
	ZoneID     string      `json:"zoneId,omitempty"`
	Changed    string      `json:"passwordLastModified,omitempty"`
	Schemas    []string    `json:"schemas,omitempty"`
}

type scimName struct {
	FamilyName string `json:"familyName,omitempty"`
	GivenName  string `json:"givenName,omitempty"`
}

type scimEmail struct {
	Value   string `json:"value"`
	Primary bool   `json:"primary"`
}

// scimGroup is a group that a user is in: by a decision made here (DIRECT), or because everybody is or the identity
// provider says so (INDIRECT).
type scimGroup struct {
	Value   string `json:"value"`
	Display string `json:"display"`
	Type    string `json:"type"`
}

func presentUser(u *store.User) scimUser {
	yes, active := true, !u.Disabled
	out := scimUser{
		ID: u.GUID, ExternalID: u.ExternalID, Username: u.Username, Origin: u.Origin, ZoneID: "uaa", Schemas: scimSchemas,
		Active: &active, Verified: &yes, Meta: presentMeta(&u.Meta, u.Version),
		Name:   scimName{FamilyName: u.FamilyName, GivenName: u.GivenName},
		Emails: []scimEmail{{Value: cmp.Or(u.Email, u.Username), Primary: true}},
	}
	if u.PasswordHash != "" {
		out.Changed = scimTime(cmp.Or(u.PasswordAt, u.CreatedAt))
	}
	for _, g := range heldScopes(u) {
		kind := "INDIRECT"
		if slices.Contains(u.Groups, g) {
			kind = "DIRECT"
		}
		out.Groups = append(out.Groups, scimGroup{Value: groupID(g), Display: g, Type: kind})
	}
	return out
}

func fullName(u *store.User) string { return strings.TrimSpace(u.GivenName + " " + u.FamilyName) }

func (a *Auth) userByGUID(guid string) (user *store.User, err error) {
	err = a.db.View(func(tx *store.Tx) error {
		user, err = store.Users.Get(tx, guid)
		return err
	})
	return user, err
}

// withScope lets a request pass whose token has one of the scopes, or is an administrator's.
func (a *Auth) withScope(r *http.Request, scopes ...string) (*Identity, error) {
	id, err := a.authenticate(r)
	if err != nil {
		return nil, err
	}
	for _, s := range append(scopes, scopeAdmin, ScopeAdmin) {
		if id.Has(s) {
			return id, nil
		}
	}
	return nil, insufficientScope(scopes[0])
}

// userAttribute gives the values of an attribute to filters.
func userAttribute(u *store.User) func(string) []string {
	return func(attr string) []string {
		switch attr {
		case "id":
			return []string{u.GUID}
		case "username":
			return []string{u.Username}
		case "origin":
			return []string{u.Origin}
		case "externalid":
			return []string{u.ExternalID}
		case "email", "emails", "emails.value":
			return []string{cmp.Or(u.Email, u.Username)}
		case "givenname", "name.givenname":
			return []string{u.GivenName}
		case "familyname", "name.familyname":
			return []string{u.FamilyName}
		case "active":
			return []string{strconv.FormatBool(!u.Disabled)}
		case "verified":
			return []string{"true"}
		case "groups.display":
			return heldScopes(u)
		case "created", "meta.created":
			return []string{scimTime(u.CreatedAt)}
		case "lastmodified", "meta.lastmodified":
			return []string{scimTime(u.UpdatedAt)}
		}
		return nil
	}
}

var userAttributes = []string{"id", "username", "origin", "externalid", "email", "emails", "emails.value", "givenname", "name.givenname",
	"familyname", "name.familyname", "active", "verified", "groups.display", "created", "meta.created", "lastmodified", "meta.lastmodified"}

func parseUserFilter(text string) (filter, error) { return parseFilter(text, userAttributes...) }

func (a *Auth) listUsers(w http.ResponseWriter, r *http.Request) error {
	if _, err := a.withScope(r, scopeScimRead); err != nil {
		return err
	}
	q := r.URL.Query()
	f, err := parseUserFilter(q.Get("filter"))
	if err != nil {
		return badFilter(err)
	}
	l := readList(q)
	query := store.Query[store.User]{
		Where: f.conditions(map[string]string{"id": "guid", "username": "username"}),
		Match: func(u *store.User) bool { return u.Origin != "" && f.match(userAttribute(u)) },
	}
	if strings.EqualFold(q.Get("sortBy"), "userName") {
		query.OrderBy = "username"
	}
	users, total, err := listRecords(a, l, store.Users, query)
	if err != nil {
		return err
	}
	var resources []any
	for _, u := range users {
		resources = append(resources, presentUser(u))
	}
	return l.answer(w, resources, total)
}

func (a *Auth) getUser(w http.ResponseWriter, r *http.Request) error {
	id, err := a.authenticate(r)
	if err != nil {
		return err
	}
	guid := r.PathValue("id")
	if id.UserGUID != guid {
		if _, err := a.withScope(r, scopeScimRead); err != nil {
			return err
		}
	}
	user, err := a.scimUser(guid)
	if err == nil {
		writeUser(w, http.StatusOK, user)
	}
	return err
}

// scimUser is a user of that id; a client that has roles is none.
func (a *Auth) scimUser(guid string) (*store.User, error) {
	user, err := a.userByGUID(guid)
	if err == nil && user.Origin == "" {
		err = store.ErrNotFound
	}
	return user, noUser(err, guid)
}

func writeUser(w http.ResponseWriter, status int, u *store.User) {
	w.Header().Set("ETag", strconv.Quote(strconv.Itoa(u.Version)))
	writeJSON(w, status, presentUser(u))
}

func noUser(err error, guid string) error {
	if errors.Is(err, store.ErrNotFound) {
		return refuse(http.StatusNotFound, "scim_resource_not_found", fmt.Sprintf("User %.100s does not exist", guid))
	}
	return err
}

func (a *Auth) createUser(w http.ResponseWriter, r *http.Request) error {
	if _, err := a.withScope(r, scopeScimWrite); err != nil {
		return err
	}
	var in scimUser
	if err := readJSON(r, &in); err != nil {
		return err
	}
	user := &store.User{Origin: cmp.Or(in.Origin, DefaultOrigin)}
	if err := a.fillUser(user, in); err != nil {
		return badResource(err)
	}
	if user.Origin == DefaultOrigin {
		var err error
		if user.PasswordHash, err = a.hasher.hash(r.Context(), in.Password); err != nil {
			return badPassword(err, badResource)
		}
	} else if in.Password != "" {
		return badResource(fmt.Errorf("users of %s have their password there: leave it out", user.Origin))
	}
	err := a.db.Update(func(tx *store.Tx) error {
		user.PasswordAt = tx.Now
		return store.Users.Put(tx, user)
	})
	if err != nil {
		return taken(err, "Username already in use: "+in.Username)
	}
	writeUser(w, http.StatusCreated, user)
	return nil
}

// fillUser checks what a request says of a user and writes it into the record; the origin stands there already.
func (a *Auth) fillUser(user *store.User, in scimUser) error {
	if err := validateUsername(in.Username); err != nil {
		return err
	}
	if user.Origin != DefaultOrigin && a.provider(user.Origin) == nil {
		return fmt.Errorf("there is no identity provider %.100q: leave the origin out, or use one of %s", user.Origin, strings.Join(a.origins(), ", "))
	}
	if in.ExternalID != "" && user.Origin == DefaultOrigin {
		return errors.New("only users of an identity provider have an externalId")
	}
	user.Username, user.GivenName, user.FamilyName, user.ExternalID = in.Username, in.Name.GivenName, in.Name.FamilyName, in.ExternalID
	user.Disabled = in.Active != nil && !*in.Active
	user.Email = ""
	for _, e := range in.Emails {
		if user.Email == "" || e.Primary {
			user.Email = e.Value
		}
	}
	for _, text := range []string{user.Email, user.GivenName, user.FamilyName, user.ExternalID} {
		if utf8.RuneCountInString(text) > usernameChars || strings.ContainsFunc(text, unicode.IsControl) {
			return fmt.Errorf("names and addresses may have %d characters and no control characters", usernameChars)
		}
	}
	return nil
}

func validateUsername(name string) error {
	switch {
	case strings.TrimSpace(name) == "":
		return errors.New("a user name is needed")
	case !utf8.ValidString(name) || utf8.RuneCountInString(name) > usernameChars:
		return fmt.Errorf("a user name may have %d characters of UTF-8", usernameChars)
	case strings.ContainsFunc(name, unicode.IsControl):
		return errors.New("a user name may have no control characters")
	}
	return nil
}

// deleteUser also takes the user's roles and sessions; it answers with what was deleted, which the CLI reads.
func (a *Auth) deleteUser(w http.ResponseWriter, r *http.Request) error {
	if _, err := a.withScope(r, scopeScimWrite); err != nil {
		return err
	}
	guid := r.PathValue("id")
	var user *store.User
	err := a.db.Update(func(tx *store.Tx) (err error) {
		if user, err = store.Users.Get(tx, guid); err == nil && user.Origin == "" {
			err = store.ErrNotFound
		}
		if err != nil {
			return err
		}
		if err := checkVersion(r, user.Version); err != nil {
			return err
		}
		roles, _, err := store.Roles.List(tx, store.Query[store.Role]{Where: []store.Cond{store.By("user", guid)}})
		for _, role := range roles {
			err = errors.Join(err, store.Roles.Delete(tx, role.GUID))
		}
		return errors.Join(err, deleteSessions(tx, guid), store.Users.Delete(tx, guid))
	})
	if err != nil {
		return noUser(err, guid)
	}
	writeUser(w, http.StatusOK, user)
	return nil
}
