package auth

import (
	"errors"
	"net/http"
	"slices"

	"github.com/cupola-paas/cupola/store"
)

// shadowUser finds our record of a provider's user, or makes it at the first sign-in, and writes into it what the
// provider says. The provider's own name (sub) is what counts. A record that was made for a user name beforehand is
// taken over by the first who signs in with that name; one that is another's is not, as providers give names anew.
func (a *Auth) shadowUser(p *provider, subject string, claims map[string]any) (*store.User, error) {
	name, err := p.username(claims)
	if err != nil {
		return nil, refuse(http.StatusForbidden, "access_denied", err.Error())
	}
	var user *store.User
	err = a.db.Update(func(tx *store.Tx) error {
		user, err = findShadow(tx, p.Name, subject, name)
		if err != nil {
			return err
		}
		before := *user
		before.ExternalGroups = slices.Clone(user.ExternalGroups)
		scopes, roles := p.given(claims)
		user.Username, user.ExternalID, user.ExternalGroups = name, subject, scopes
		set(&user.Email, claims, "email")
		set(&user.GivenName, claims, "given_name")
		set(&user.FamilyName, claims, "family_name")
		if user.GUID == "" || !sameShadow(&before, user) {
			user.Version++
			if err := store.Users.Put(tx, user); err != nil {
				return err
			}
		}
		return a.giveRoles(tx, p, user, roles)
	})
	var conflict *store.ConflictError
	if errors.As(err, &conflict) {
		return nil, refuse(http.StatusForbidden, "access_denied", "Somebody else of "+p.Label+" is known here as "+name+": ask an administrator to delete that user first.")
	}
	if err == nil && user.Disabled {
		err = refuse(http.StatusForbidden, "access_denied", "Your account here is disabled: ask an administrator.")
	}
	return user, err
}

func findShadow(tx *store.Tx, origin, subject, name string) (*store.User, error) {
	user, err := store.Users.Find(tx, "external", origin+"/"+subject)
	if !errors.Is(err, store.ErrNotFound) {
		return user, err
	}
	user, err = store.Users.Find(tx, "origin_username", origin+"/"+name)
	if errors.Is(err, store.ErrNotFound) || err == nil && user.ExternalID != "" {
		return &store.User{Origin: origin}, nil // in the second case the name is taken, which Put says
	}
	return user, err
}

func sameShadow(a, b *store.User) bool {
	return a.Username == b.Username && a.ExternalID == b.ExternalID && a.Email == b.Email && a.GivenName == b.GivenName &&
		a.FamilyName == b.FamilyName && slices.Equal(a.ExternalGroups, b.ExternalGroups)
}

func (p *provider) username(claims map[string]any) (string, error) {
	name, _ := claims[p.UsernameClaim].(string)
	if name == "" {
		return "", errors.New("The identity provider " + p.Label + " does not say " + p.UsernameClaim + " of you, which is to be your user name here: an administrator can choose another with --oidc-username-claim.")
	}
	if verified, ok := claims["email_verified"].(bool); ok && !verified && p.UsernameClaim == "email" {
		return "", errors.New("The identity provider " + p.Label + " has not verified your e-mail address: do that there first.")
	}
	return name, validateUsername(name)
}

// given are the scopes and the roles that the groups of a user give here.
func (p *provider) given(claims map[string]any) (scopes []string, roles []groupRole) {
	var groups []string
	switch g := claims[p.GroupsClaim].(type) {
	case string:
		groups = []string{g}
	case []any:
		for _, v := range g {
			if text, ok := v.(string); ok {
				groups = append(groups, text)
			}
		}
	}
	for _, g := range groups {
		for _, s := range p.Groups[g] {
			if role, ok := parseGroupRole(s); ok {
				roles = append(roles, role)
			} else if s == AdminGroup {
				scopes = append(scopes, adminGroups...)
			} else {
				scopes = append(scopes, s)
			}
		}
	}
	return union(scopes, nil), roles
}

// set writes a claim that is a short text; others leave what is there.
func set(field *string, claims map[string]any, name string) {
	if text, ok := claims[name].(string); ok && len(text) <= usernameChars {
		*field = text
	}
}
