package auth

import (
	"encoding/json"
	"fmt"
	"net/http"
	"slices"
	"strings"

	"github.com/cupola-paas/cupola/store"
)

// replaceUser is PUT /Users/:id. Who manages users may change everything; users themselves their names and
// addresses.
func (a *Auth) replaceUser(w http.ResponseWriter, r *http.Request) error {
	return a.changeUser(w, r, func(have scimUser, raw []byte) (scimUser, error) {
		in := scimUser{Origin: have.Origin, Username: have.Username, Active: have.Active}
		err := decodeJSON(raw, &in)
		return in, err
	})
}

// patchUser is PATCH /Users/:id: what the body names is changed, what meta.attributes names is taken away.
func (a *Auth) patchUser(w http.ResponseWriter, r *http.Request) error {
	return a.changeUser(w, r, func(have scimUser, raw []byte) (scimUser, error) {
		var gone struct {
			Meta scimMeta `json:"meta"`
		}
		if err := decodeJSON(raw, &gone); err != nil {
			return have, err
		}
		for _, attr := range gone.Meta.Attributes {
			if err := have.clear(attr); err != nil {
				return have, badResource(err)
			}
		}
		var body struct {
			Emails *[]scimEmail `json:"emails"`
		}
		if err := decodeJSON(raw, &body); err != nil {
			return have, err
		}
		if body.Emails != nil {
			have.Emails = nil // a decoder would write over the elements that are there
		}
		err := decodeJSON(raw, &have)
		return have, err
	})
}

func (u *scimUser) clear(attr string) error {
	switch strings.ToLower(attr) {
	case "name":
		u.Name = scimName{}
	case "name.givenname":
		u.Name.GivenName = ""
	case "name.familyname":
		u.Name.FamilyName = ""
	case "emails":
		u.Emails = nil
	case "externalid":
		u.ExternalID = ""
	default:
		return fmt.Errorf("the attribute %.50q can't be taken away", attr)
	}
	return nil
}

// changeUser reads the body, lets merge make of it and the user that is there the one that is wanted, and writes it.
func (a *Auth) changeUser(w http.ResponseWriter, r *http.Request, merge func(scimUser, []byte) (scimUser, error)) error {
	id, err := a.authenticate(r)
	if err != nil {
		return err
	}
	guid := r.PathValue("id")
	manager := id.Has(scopeScimWrite) || id.Has(scopeAdmin) || id.IsAdmin()
	if own := id.UserGUID == guid && !id.Client; !manager && !own {
		return insufficientScope(scopeScimWrite)
	}
	raw, err := readBody(r)
	if err != nil {
		return err
	}
	var user *store.User
	err = a.db.Update(func(tx *store.Tx) (err error) {
		if user, err = store.Users.Get(tx, guid); err == nil && user.Origin == "" {
			err = store.ErrNotFound
		}
		if err != nil {
			return noUser(err, guid)
		}
		if err := checkVersion(r, user.Version); err != nil {
			return err
		}
		return a.mergeUser(tx, user, raw, manager, merge)
	})
	if err != nil {
		return taken(err, "Username already in use")
	}
	writeUser(w, http.StatusOK, user)
	return nil
}

func (a *Auth) mergeUser(tx *store.Tx, user *store.User, raw []byte, manager bool, merge func(scimUser, []byte) (scimUser, error)) error {
	before := *user
	in, err := merge(presentUser(user), raw)
	if err != nil {
		return err
	}
	if in.Origin != "" && in.Origin != user.Origin {
		return badResource(fmt.Errorf("the origin of a user can't be changed"))
	}
	if err := a.fillUser(user, in); err != nil {
		return badResource(err)
	}
	if !manager && (user.Username != before.Username || user.Disabled != before.Disabled || user.ExternalID != before.ExternalID) {
		return insufficientScope(scopeScimWrite)
	}
	if user.Disabled && !before.Disabled {
		if err := deleteSessions(tx, user.GUID); err != nil {
			return err
		}
	}
	user.Version++
	return store.Users.Put(tx, user)
}

// accountStatus is PATCH /Users/:id/status. locked: false forgets the wrong passwords that locked the user.
func (a *Auth) accountStatus(w http.ResponseWriter, r *http.Request) error {
	if _, err := a.withScope(r, scopeScimWrite); err != nil {
		return err
	}
	var in struct {
		Locked *bool `json:"locked"`
		Change *bool `json:"passwordChangeRequired"`
	}
	if err := readJSON(r, &in); err != nil {
		return err
	}
	user, err := a.scimUser(r.PathValue("id"))
	switch {
	case err != nil:
		return err
	case in.Locked != nil && *in.Locked:
		return badResource(fmt.Errorf("a user can't be locked, only unlocked: to keep somebody out set active to false"))
	case in.Change != nil && *in.Change:
		return badResource(fmt.Errorf("nobody can be made to change a password: give the user another one"))
	case in.Locked == nil && in.Change == nil:
		return badResource(fmt.Errorf("say what to change, such as {\"locked\": false}"))
	}
	if in.Locked != nil {
		a.throttle.forget(user.Username)
	}
	writeJSON(w, http.StatusOK, in)
	return nil
}

func decodeJSON(raw []byte, v any) error {
	if json.Unmarshal(raw, v) != nil {
		return refuse(http.StatusBadRequest, "invalid_scim_resource", "The body is not the JSON that is wanted here.")
	}
	return nil
}

// heldScopes are the scopes of a user's groups: everybody's, those given here, and those that the identity
// provider's groups stand for.
func heldScopes(u *store.User) []string {
	return union(userGroups, slices.Concat(u.Groups, u.ExternalGroups))
}
