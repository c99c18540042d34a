package auth

import (
	"time"

	"github.com/cupola-paas/cupola/store"
)

// Scopes that this package itself asks for; the others are the API's.
const (
	scopeScimRead  = "scim.read"
	scopeScimWrite = "scim.write"
	scopeAdmin     = "uaa.admin"
	scopeUser      = "uaa.user"
	scopePassword  = "password.write"
	scopeRoles     = "roles" // puts the user's groups into ID tokens
	scopeResource  = "uaa.resource"

	scopeClientsRead   = "clients.read"
	scopeClientsWrite  = "clients.write"
	scopeClientsSecret = "clients.secret"
	scopeClientsAdmin  = "clients.admin"
	scopeTokensRevoke  = "tokens.revoke"

	// ScopeAdmin is the scope of the platform's administrators.
	ScopeAdmin = "cloud_controller.admin"
)

// userGroups are the scopes that every user has.
var userGroups = []string{
	"cloud_controller.read", "cloud_controller.write", "cloud_controller_service_permissions.read", "network.write", "openid", scopePassword,
	scopeRoles, "routing.router_groups.read", scopeUser,
}

// adminGroups are the scopes that an administrator has besides.
var adminGroups = []string{
	ScopeAdmin, scopeClientsRead, "doppler.firehose", "logs.admin", "network.admin", "routing.router_groups.write",
	scopeScimRead, scopeScimWrite, scopeAdmin,
}

// grantableGroups are scopes that a user may be given and the client cf may carry.
var grantableGroups = []string{
	"cloud_controller.admin_read_only", "cloud_controller.global_auditor", scopeClientsAdmin, scopeClientsSecret, scopeClientsWrite, scopeTokensRevoke,
}

const (
	accessTTL       = 30 * time.Minute
	clientAccessTTL = 12 * time.Hour      // of client credentials: the CLI can't renew those
	refreshTTL      = 30 * 24 * time.Hour // since the last use
)

// noSecret is a hash that no secret has.
const noSecret = "!"

// ownClients are the clients that always exist. Anybody may use cf: it is the command line's, and says nothing
// of who types. The others have no secret until an operator gives them one.
func (a *Auth) ownClients() []store.Client {
	return append(a.dashboardClient(), []store.Client{
		{
			Meta:       store.Meta{GUID: "cf"},
			GrantTypes: []string{grantPassword, grantRefresh, grantAssertion},
			Scopes:     platformGroups(),
			AccessTTL:  accessTTL, RefreshTTL: refreshTTL,
		},
		{
			Meta:        store.Meta{GUID: "ssh-proxy"},
			SecretHash:  noSecret,
			GrantTypes:  []string{grantCode},
			Scopes:      []string{"cloud_controller.write", ScopeAdmin}, // one of them is needed to get in
			AutoApprove: true, RedirectURIs: []string{a.uaaURL + "/login"},
		},
		{
			Meta:        store.Meta{GUID: "admin"},
			SecretHash:  noSecret,
			GrantTypes:  []string{grantClient},
			Authorities: union(adminGroups, []string{"cloud_controller.read", "cloud_controller.write", scopeResource}),
			AccessTTL:   clientAccessTTL,
		},
	}...)
}

// dashboardClient is the web page that acts for whoever signed in at the login page: a client without a secret, which
// proves itself by PKCE and gets codes at its own address alone. None where there is no dashboard.
func (a *Auth) dashboardClient() []store.Client {
	if a.dashboardURL == "" {
		return nil
	}
	return []store.Client{{
		Meta: store.Meta{GUID: DashboardClient}, Name: "Cupola dashboard",
		GrantTypes:  []string{grantCode, grantRefresh},
		Scopes:      platformGroups(),
		AutoApprove: true, RedirectURIs: []string{a.dashboardURL + "/sign-in/callback", a.dashboardURL + "/signed-out"},
		AccessTTL: accessTTL, RefreshTTL: refreshTTL,
	}}
}

// DashboardClient is the id of the dashboard's client.
const DashboardClient = "cupola-dashboard"
