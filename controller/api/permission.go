package api

import (
	"slices"

	"github.com/cupola-paas/cupola/controller/capi"
	"github.com/cupola-paas/cupola/store"
)

// Action is a kind of thing that a role lets its holder do at a place (contract, 4.8).
type Action string

// The actions.
const (
	SeeOrg      Action = "see org"      // name, domains, quotas of an org
	ManageOrg   Action = "manage org"   // spaces, private domains, org roles
	SeeSpace    Action = "see space"    // apps, routes and what belongs to them, without secrets
	ManageSpace Action = "manage space" // its name, roles, features
	Develop     Action = "develop"      // everything with apps and routes of a space
	Connect     Action = "connect"      // network policies from and to apps of a space
	Operate     Action = "operate"      // start, stop, scale, map routes
	SeeSecrets  Action = "see secrets"  // commands, source and the credentials of services
	SeeVars     Action = "see vars"     // environment variables of apps
	SeeDroplets Action = "see droplets" // what is in a droplet
	SeeRoutes   Action = "see routes"   // routes of a space and where they lead
	SeeEvents   Action = "see events"   // audit events
	SeeDomains  Action = "see domains"  // private domains of an org
	SeeBrokers  Action = "see brokers"  // service brokers of a space; without one those of the platform
	SeePlatform Action = "see platform" // what belongs to nobody: stacks, buildpacks, shared domains
	AdminRead   Action = "admin read"   // what only operators see
	Administer  Action = "administer"   // what only operators do
)

// grants says which actions each role type gives, in its space or, for an org role, in the org and all its spaces.
var grants = map[string][]Action{
	"organization_user":            {SeeOrg},
	"organization_auditor":         {SeeOrg, SeeDomains, SeeRoutes, SeeEvents},
	"organization_billing_manager": {SeeOrg},
	"organization_manager":         {SeeOrg, SeeDomains, ManageOrg, SeeSpace, SeeRoutes, SeeDroplets, ManageSpace},
	"space_auditor":                {SeeOrg, SeeDomains, SeeSpace, SeeRoutes, SeeDroplets, SeeEvents},
	"space_manager":                {SeeOrg, SeeDomains, SeeSpace, SeeRoutes, SeeDroplets, ManageSpace},
	"space_supporter":              {SeeOrg, SeeDomains, SeeSpace, SeeRoutes, SeeEvents, SeeVars, SeeBrokers, Operate},
	"space_developer":              {SeeOrg, SeeDomains, SeeSpace, SeeRoutes, SeeDroplets, SeeEvents, SeeVars, SeeSecrets, SeeBrokers, Operate, Develop, Connect},
}

// seeAll is what those see everywhere that audit the whole platform.
var seeAll = []Action{SeeOrg, SeeDomains, SeeSpace, SeeRoutes, SeeDroplets, SeeEvents, SeeBrokers, SeePlatform, AdminRead}

// scopeGrants says what a scope gives everywhere.
var scopeGrants = map[string][]Action{
	"cloud_controller.admin":           append([]Action{ManageOrg, ManageSpace, Develop, Connect, Operate, SeeVars, SeeSecrets, Administer}, seeAll...),
	"network.admin":                    {Connect},
	"cloud_controller.admin_read_only": append([]Action{SeeVars, SeeSecrets}, seeAll...),
	"cloud_controller.global_auditor":  seeAll,
}

// ofOrg are the actions that a role in a space gives in its whole org.
var ofOrg = []Action{SeeOrg, SeeDomains}

// everywhere reports whether the caller's scopes allow a at every place.
func (c *Ctx) everywhere(a Action) bool {
	if c.who == nil {
		return false
	}
	return a == SeePlatform || slices.ContainsFunc(c.who.Scopes, func(s string) bool { return slices.Contains(scopeGrants[s], a) })
}

// Admin reports whether the caller may do everything.
func (c *Ctx) Admin() bool { return c.everywhere(Administer) }

// Can reports whether the caller may do a at the place.
func (c *Ctx) Can(tx *store.Tx, p Place, a Action) (bool, error) {
	if c.everywhere(a) {
		return true, nil
	}
	if c.who == nil || p.OrgGUID == "" {
		return false, nil
	}
	roles, err := c.roles(tx)
	if err != nil {
		return false, err
	}
	return slices.ContainsFunc(roles, func(r *store.Role) bool { return gives(r, p, a) }), nil
}

// Allow is how the guard, or the handler of a route with inBody, asks. It returns "<noun> not found" to who may
// not see there, 403 to who may see but not do, and 403 for a change in a suspended org.
func (c *Ctx) Allow(tx *store.Tx, p Place, noun string, see, do Action) error {
	switch ok, err := c.Can(tx, p, see); {
	case err != nil:
		return err
	case !ok:
		return capi.NotFound(noun)
	}
	switch ok, err := c.Can(tx, p, do); {
	case err != nil:
		return err
	case !ok:
		return capi.Forbidden()
	}
	if err := c.refuseSuspended(tx, p); err != nil {
		return err
	}
	c.allowed = true
	return nil
}

func (c *Ctx) refuseSuspended(tx *store.Tx, p Place) error {
	if readOnly(c.R.Method) || p.OrgGUID == "" || c.Admin() {
		return nil
	}
	org, err := store.Orgs.Get(tx, p.OrgGUID)
	if err != nil {
		return notFound(err, "Organization")
	}
	if org.Suspended {
		return capi.OrgSuspended.Errorf("The organization is suspended: %s", org.Name)
	}
	return nil
}

// Scope is the set of places where the caller may do something.
type Scope struct {
	All    bool
	Orgs   []string // everything in these
	Spaces []string // besides, just these spaces
}

// Where returns the places at which the caller may do a.
func (c *Ctx) Where(tx *store.Tx, a Action) (Scope, error) {
	if c.everywhere(a) {
		return Scope{All: true}, nil
	}
	roles, err := c.roles(tx)
	if err != nil {
		return Scope{}, err
	}
	var s Scope
	for _, r := range roles {
		switch {
		case !slices.Contains(grants[r.Type], a):
		case r.SpaceGUID == "":
			s.Orgs = append(s.Orgs, r.OrgGUID)
		default:
			s.Spaces = append(s.Spaces, r.SpaceGUID)
		}
	}
	return s, nil
}

// visibleSpaces returns the spaces in which the caller may do a; all is true when it is every space.
func (c *Ctx) visibleSpaces(tx *store.Tx, a Action) (spaces []string, all bool, err error) {
	scope, err := c.Where(tx, a)
	if err != nil || scope.All {
		return nil, scope.All, err
	}
	spaces = scope.Spaces
	if len(scope.Orgs) > 0 {
		inOrgs, err := spacesOf(tx, scope.Orgs)
		if err != nil {
			return nil, false, err
		}
		spaces = append(spaces, inOrgs...)
	}
	slices.Sort(spaces)
	return slices.Compact(spaces), false, nil
}

// visibleOrgs returns the orgs that the caller may see, by any role in them; all is true when it is every org.
func (c *Ctx) visibleOrgs(tx *store.Tx) (orgs []string, all bool, err error) {
	return c.orgsFor(tx, SeeOrg)
}

// orgsFor returns the orgs in which the caller may do a, which must be one of ofOrg; all is true when it is every org.
func (c *Ctx) orgsFor(tx *store.Tx, a Action) (orgs []string, all bool, err error) {
	if c.everywhere(a) {
		return nil, true, nil
	}
	roles, err := c.roles(tx)
	for _, r := range roles {
		if slices.Contains(grants[r.Type], a) {
			orgs = append(orgs, r.OrgGUID)
		}
	}
	slices.Sort(orgs)
	return slices.Compact(orgs), false, err
}

func (c *Ctx) roles(tx *store.Tx) ([]*store.Role, error) {
	if c.who == nil {
		return nil, nil
	}
	roles, _, err := store.Roles.List(tx, store.Query[store.Role]{Where: []store.Cond{store.By("user", c.who.UserGUID)}})
	return roles, err
}

// gives reports whether the role r allows a at p. Whole GUIDs are compared.
func gives(r *store.Role, p Place, a Action) bool {
	if r.OrgGUID != p.OrgGUID || !slices.Contains(grants[r.Type], a) {
		return false
	}
	orgWide := r.SpaceGUID == "" || slices.Contains(ofOrg, a)
	return orgWide || p.SpaceGUID != "" && r.SpaceGUID == p.SpaceGUID
}
