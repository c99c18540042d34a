package auth

import (
	"slices"
	"testing"

	"github.com/cupola-paas/cupola/controller/capi"
	"github.com/cupola-paas/cupola/store"
)

// TestGroupsGiveRoles holds that a provider's groups give roles and take them at each sign-in, and that roles which somebody
// gave here stay, with the membership that they rest on.
func TestGroupsGiveRoles(t *testing.T) {
	op := newPartner(t)
	w := relyOn(t, op)
	w.auth.provider("partner").Groups = map[string][]string{
		"leads": {"organization_manager:Shop"}, "backend": {"space_developer:shop/prod", "space_auditor:shop/none", "organization_auditor:none"},
	}
	update := func(change func(*store.Tx) error) {
		t.Helper()
		if err := w.db.Update(change); err != nil {
			t.Fatal(err)
		}
	}
	shop, prod, stage := &store.Org{Name: "shop"}, &store.Space{Name: "prod"}, &store.Space{Name: "stage"}
	update(func(tx *store.Tx) error {
		if err := store.Orgs.Put(tx, shop); err != nil {
			return err
		}
		for _, s := range []*store.Space{prod, stage} {
			s.OrgGUID = shop.GUID
			if err := store.Spaces.Put(tx, s); err != nil {
				return err
			}
		}
		return nil
	})
	here, there := w.newBrowser(), op.newBrowser()
	there.signIn("paul", "pw").want(t, 303)
	var paul string
	signInWith := func(groups ...string) {
		t.Helper()
		op.change1(func(u *store.User) { u.Groups = groups }, "paul")
		here.get(atPartner(t, there, here.get("/login/oidc/partner"))).want(t, 303)
		id, err := w.auth.AuthenticateToken(t.Context(), w.passcodeToken(here))
		if err != nil {
			t.Fatal(err)
		}
		paul = id.UserGUID
	}
	expect := func(when string, want ...string) {
		t.Helper()
		places := map[string]string{"": "", shop.GUID: "shop", prod.GUID: "prod", stage.GUID: "stage"}
		var has []string
		update(func(tx *store.Tx) error {
			for r := range store.Roles.All(tx) {
				if r.UserGUID == paul {
					has = append(has, r.Type+" "+places[r.OrgGUID]+" "+places[r.SpaceGUID])
				}
			}
			return nil
		})
		slices.Sort(has)
		if !slices.Equal(has, want) {
			t.Errorf("%s: %q, want %q", when, has, want)
		}
	}
	signInWith()
	expect("without a group")
	signInWith("leads", "backend")
	expect("with both groups", "organization_manager shop ", "organization_user shop ", "space_developer shop prod")
	signInWith("leads", "backend")
	expect("again", "organization_manager shop ", "organization_user shop ", "space_developer shop prod")
	update(func(tx *store.Tx) error {
		return store.Roles.Put(tx, &store.Role{Type: capi.RoleSpaceSupporter, UserGUID: paul, OrgGUID: shop.GUID, SpaceGUID: stage.GUID})
	})
	signInWith("backend")
	expect("with one group less and a role that was given here", "organization_user shop ", "space_developer shop prod", "space_supporter shop stage")
	signInWith()
	expect("with the role that was given here", "organization_user shop ", "space_supporter shop stage")

	var events []string
	update(func(tx *store.Tx) error {
		for e := range store.AuditEvents.All(tx) {
			if e.Target.GUID == paul && e.Actor.Name == "Example Inc." {
				events = append(events, e.Type)
			}
		}
		return nil
	})
	want := []string{
		"audit.user.organization_user_add", "audit.user.organization_manager_add", "audit.user.space_developer_add",
		"audit.user.organization_manager_remove", "audit.user.space_developer_remove",
	}
	if slices.Sort(events); !slices.Equal(events, slices.Sorted(slices.Values(want))) {
		t.Errorf("audit events: %q, want %q", events, want)
	}
}
