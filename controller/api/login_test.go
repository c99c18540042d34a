package api

import (
	"errors"
	"net/http"
	"net/http/httptest"
	"testing"

	"github.com/cupola-paas/cupola/controller/auth"
	"github.com/cupola-paas/cupola/controller/capi"
	"github.com/cupola-paas/cupola/store"
)

// TestClientLogsInAndWorks goes the way of a command line: discovery, password, orgs and spaces, with the real
// authorization server before the API.
func TestClientLogsInAndWorks(t *testing.T) {
	w := newWorld(t)
	url := w.front()

	ctx := t.Context()
	c, err := capi.New(capi.ClientOptions{API: url})
	w.must(err)
	if _, err := c.Organizations(ctx, nil); !errors.Is(err, capi.ErrNotLoggedIn) {
		t.Errorf("before login: %v", err)
	}
	_, err = c.Login(ctx, "admin", "secret")
	w.must(err)
	org, err := c.CreateOrganization(ctx, capi.OrganizationCreate{Name: "new"})
	w.must(err)
	space, err := c.CreateSpace(ctx, capi.SpaceCreate{Name: "dev", Relationships: capi.SpaceCreateRelationships{Organization: capi.To(org.GUID)}})
	w.must(err)
	claims, err := c.Claims(ctx)
	w.must(err)
	for _, role := range []string{capi.RoleOrgUser, capi.RoleSpaceManager, capi.RoleSpaceDeveloper} {
		in := capi.RoleCreate{Type: role, Relationships: capi.RoleCreateRelationships{User: &capi.RoleUser{Data: &capi.RoleUserData{GUID: claims.UserID}}}}
		if role == capi.RoleOrgUser {
			in.Relationships.Organization = capi.To(org.GUID)
		} else {
			in.Relationships.Space = capi.To(space.GUID)
		}
		_, err = c.CreateRole(ctx, in)
		w.must(err)
	}
	found, err := c.SpaceByName(ctx, org.GUID, "DEV")
	w.must(err)
	domain, err := c.DefaultDomain(ctx, org.GUID)
	w.must(err)
	if found.GUID != space.GUID || domain.GUID != w.domain {
		t.Errorf("space %s and domain %s, want %s and %s", found.GUID, domain.GUID, space.GUID, w.domain)
	}
	w.must(c.DeleteOrganization(ctx, org.GUID), c.Logout(ctx))
	w.view(func(tx *store.Tx) error {
		n, err := store.RefreshTokens.Count(tx)
		if n != 0 {
			t.Errorf("%d sessions after logout, want none", n)
		}
		return err
	})
}

// front serves the API with the real authorization server before it, where admin's password is secret, and returns
// its address.
func (w *world) front() string {
	w.t.Helper()
	srv := httptest.NewUnstartedServer(nil)
	url := "http://" + srv.Listener.Addr().String()
	uaa, err := auth.New(auth.Options{DB: w.db, UAAURL: url})
	w.must(err)
	_, err = uaa.EnsureAdmin("admin", "secret")
	w.must(err)
	cc := New(Options{DB: w.db, Auth: uaa, PublicURL: url, Links: Links{Login: url, UAA: url}})
	mux := http.NewServeMux()
	mux.Handle("/", uaa.Handler())
	mux.Handle("/{$}", cc)
	mux.Handle("/v3/", cc)
	srv.Config.Handler = mux
	srv.Start()
	w.t.Cleanup(func() { srv.Close(); uaa.Close() })
	return url
}
