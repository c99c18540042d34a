package api

import (
	"slices"

	"github.com/cupola-paas/cupola/controller/capi"
)

// What a token must carry besides its holder's roles (CAPI v3, authentication): a client that a user lets act for
// them can do no more than the user approved.
var (
	readScopes  = []string{"cloud_controller.read", "cloud_controller.admin", "cloud_controller.admin_read_only", "cloud_controller.global_auditor"}
	writeScopes = []string{"cloud_controller.write", "cloud_controller.admin"}
)

// alsoBy names further scopes with which a route may be called.
func (a Access) alsoBy(scopes ...string) Access { a.scopes = scopes; return a }

// needScope refuses a token that was not given for what the request does.
func (c *Ctx) needScope() error {
	wanted := writeScopes
	if readOnly(c.R.Method) {
		wanted = readScopes
	}
	has := func(s string) bool { return slices.Contains(c.who.Scopes, s) }
	if slices.ContainsFunc(wanted, has) || slices.ContainsFunc(c.route.Access.scopes, has) {
		return nil
	}
	return capi.Forbidden()
}
