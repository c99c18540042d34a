package auth

import (
	"cmp"
	"errors"
	"fmt"
	"net/http"
	"strconv"
	"strings"
	"time"
	"unicode"
	"unicode/utf8"

	"github.com/cupola-paas/cupola/store"
)

const (
	usernameChars = 255
	usersPerPage  = 500
)

// scimUser is a user as SCIM and UAA write it.
type scimUser struct {
	ID       string      `json:"id,omitempty"`
	Username string      `json:"userName"`
	Password string      `json:"password,omitempty"` // requests only
	Origin   string      `json:"origin"`
	Name     scimName    `json:"name"`
	Emails   []scimEmail `json:"emails"`
	Active   *bool       `json:"active,omitempty"`
	Verified *bool       `json:"verified,omitempty"`
	Groups   []scimGroup `json:"groups,omitempty"`
	Meta     *scimMeta   `json:"meta,omitempty"`
	ZoneID   string      `json:"zoneId,omitempty"`
	Schemas  []string    `json:"schemas,omitempty"`
}

type scimName struct {
	FamilyName string `json:"familyName,omitempty"`
	GivenName  string `json:"givenName,omitempty"`
}

type scimEmail struct {
	Value   string `json:"value"`
	Primary bool   `json:"primary"`
}

type scimGroup struct {
	Value   string `json:"value"`
	Display string `json:"display"`
	Type    string `json:"type"`
}

type scimMeta struct {
	Version      int    `json:"version"`
	Created      string `json:"created"`
	LastModified string `json:"lastModified"`
}

var scimSchemas = []string{"urn:scim:schemas:core:1.0"}

func presentUser(u *store.User) scimUser {
	yes, active := true, !u.Disabled
	out := scimUser{
		ID: u.GUID, Username: u.Username, Origin: u.Origin, ZoneID: "uaa", Schemas: scimSchemas, Active: &active, Verified: &yes,
		Name:   scimName{FamilyName: u.FamilyName, GivenName: u.GivenName},
		Emails: []scimEmail{{Value: cmp.Or(u.Email, u.Username), Primary: true}},
		Meta:   &scimMeta{Created: u.CreatedAt.UTC().Format(time.RFC3339), LastModified: u.UpdatedAt.UTC().Format(time.RFC3339)},
	}
	for _, g := range union(userGroups, u.Groups) {
		out.Groups = append(out.Groups, scimGroup{Value: g, Display: g, Type: "DIRECT"})
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
	id, err := a.Authenticate(r)
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

func (a *Auth) listUsers(w http.ResponseWriter, r *http.Request) error {
	if _, err := a.withScope(r, scopeScimRead); err != nil {
		return err
	}
	q := r.URL.Query()
	filter, err := parseUserFilter(q.Get("filter"))
	if err != nil {
		return refuse(http.StatusBadRequest, "scim", err.Error())
	}
	start, count := atLeast(q.Get("startIndex"), 1, 1), min(atLeast(q.Get("count"), 100, 0), usersPerPage)
	var users []*store.User
	var total int
	err = a.db.View(func(tx *store.Tx) error {
		users, total, err = store.Users.List(tx, store.Query[store.User]{
			Where: filter.where, Match: func(u *store.User) bool { return u.Origin != "" && filter.match(u) },
			Offset: start - 1, Limit: max(count, 1),
		})
		return err
	})
	if err != nil {
		return err
	}
	resources := make([]scimUser, 0, len(users))
	for _, u := range users[:min(len(users), count)] {
		resources = append(resources, presentUser(u))
	}
	writeJSON(w, http.StatusOK, map[string]any{
		"resources": resources, "startIndex": start, "itemsPerPage": count, "totalResults": total, "schemas": scimSchemas,
	})
	return nil
}

func atLeast(text string, def, least int) int {
	n, err := strconv.Atoi(text)
	if err != nil {
		return def
	}
	return max(n, least)
}

func (a *Auth) getUser(w http.ResponseWriter, r *http.Request) error {
	id, err := a.Authenticate(r)
	if err != nil {
		return err
	}
	guid := r.PathValue("id")
	if id.UserGUID != guid {
		if _, err := a.withScope(r, scopeScimRead); err != nil {
			return err
		}
	}
	user, err := a.userByGUID(guid)
	if err != nil {
		return noUser(err, guid)
	}
	writeJSON(w, http.StatusOK, presentUser(user))
	return nil
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
	user, err := a.newUser(in)
	if err != nil {
		return refuse(http.StatusBadRequest, "invalid_scim_resource", err.Error())
	}
	err = a.db.Update(func(tx *store.Tx) error {
		user.PasswordAt = tx.Now
		return store.Users.Put(tx, user)
	})
	var taken *store.ConflictError
	if errors.As(err, &taken) {
		return refuse(http.StatusConflict, "scim_resource_already_exists", "Username already in use: "+in.Username)
	}
	if err != nil {
		return err
	}
	writeJSON(w, http.StatusCreated, presentUser(user))
	return nil
}

func (a *Auth) newUser(in scimUser) (*store.User, error) {
	if err := validateUsername(in.Username); err != nil {
		return nil, err
	}
	if origin := cmp.Or(in.Origin, DefaultOrigin); origin != DefaultOrigin {
		return nil, fmt.Errorf("there is no identity provider %.100q: leave the origin out", origin)
	}
	user := &store.User{
		Username: in.Username, Origin: DefaultOrigin, GivenName: in.Name.GivenName, FamilyName: in.Name.FamilyName,
		Disabled: in.Active != nil && !*in.Active,
	}
	if len(in.Emails) > 0 {
		user.Email = in.Emails[0].Value
	}
	for _, text := range []string{user.Email, user.GivenName, user.FamilyName} {
		if utf8.RuneCountInString(text) > usernameChars {
			return nil, fmt.Errorf("names and addresses may have %d characters", usernameChars)
		}
	}
	var err error
	user.PasswordHash, err = a.hasher.hash(in.Password)
	return user, err
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
		if user, err = store.Users.Get(tx, guid); err != nil {
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
	writeJSON(w, http.StatusOK, presentUser(user))
	return nil
}

// changePassword takes the old password from users themselves, and none from who manages users. All sessions of
// the user end.
func (a *Auth) changePassword(w http.ResponseWriter, r *http.Request) error {
	id, err := a.Authenticate(r)
	if err != nil {
		return err
	}
	guid := r.PathValue("id")
	own := id.UserGUID == guid && !id.Client
	if !own && !id.Has(scopeScimWrite) && !id.Has(scopeAdmin) {
		return insufficientScope(scopePassword)
	}
	var in struct {
		Old string `json:"oldPassword"`
		New string `json:"password"`
	}
	if err := readJSON(r, &in); err != nil {
		return err
	}
	user, err := a.userByGUID(guid)
	if err != nil {
		return noUser(err, guid)
	}
	if own {
		if err := a.checkOld(user, in.Old, a.clientAddr(r)); err != nil {
			return err
		}
	}
	hash, err := a.hasher.hash(in.New)
	if err != nil {
		return refuse(http.StatusUnprocessableEntity, "invalid_password", err.Error())
	}
	if err := a.setPassword(guid, hash); err != nil {
		return noUser(err, guid)
	}
	writeJSON(w, http.StatusOK, map[string]string{"status": "ok", "message": "password updated"})
	return nil
}

func (a *Auth) checkOld(user *store.User, old, addr string) error {
	if !a.throttle.begin(user.Username, addr) {
		return refuse(http.StatusUnauthorized, "unauthorized", lockedOut)
	}
	if !a.hasher.verify(user.PasswordHash, old) {
		return refuse(http.StatusUnauthorized, "unauthorized", "The old password is not right.")
	}
	a.throttle.succeeded(user.Username, addr)
	return nil
}

func (a *Auth) setPassword(guid, hash string) error {
	return a.db.Update(func(tx *store.Tx) error {
		user, err := store.Users.Get(tx, guid)
		if err != nil {
			return err
		}
		user.PasswordHash, user.PasswordAt = hash, tx.Now
		return errors.Join(deleteSessions(tx, guid), store.Users.Put(tx, user))
	})
}
