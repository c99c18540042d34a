package api

import (
	"fmt"
	"net/http"

	"github.com/cupola-paas/cupola/controller/capi"
	"github.com/cupola-paas/cupola/store"
)

// defaultQuota is the name of the quota that a new org gets.
const defaultQuota = "default"

func (s *Server) orgRoutes() []Route {
	const one = "/v3/organizations/{guid}"
	see := on(orgAt, "Organization", SeeOrg, SeeOrg)
	manage := on(orgAt, "Organization", SeeOrg, ManageOrg)
	admin := on(orgAt, "Organization", SeeOrg, Administer)
	return []Route{
		index("/v3/organizations", signedIn(), s.listOrgs, "names").ordered("name"),
		post("/v3/organizations", inBody(), s.createOrg),
		get(one, see, s.getOrg),
		patch(one, manage, s.updateOrg),
		del(one, admin, s.deleteOrg),
		index(one+"/domains", see, s.listOrgDomains, "names", "organization_guids"),
		get(one+"/domains/default", see, s.getDefaultDomain),
		index(one+"/users", see, s.listOrgUsers, "usernames", "partial_usernames", "origins"),
		get(one+"/usage_summary", see, s.getOrgUsage),
		get(one+"/relationships/default_isolation_segment", see, s.getDefaultSegment),
		patch(one+"/relationships/default_isolation_segment", manage, s.setDefaultSegment),
	}
}

func orgTarget(o *store.Org) store.Actor {
	return store.Actor{GUID: o.GUID, Type: "organization", Name: o.Name}
}

func (s *Server) listOrgs(c *Ctx) error {
	return c.answer(func(tx *store.Tx) (any, error) {
		where, err := c.whereOrgs(tx, "guid")
		if err != nil {
			return nil, err
		}
		return answerList(c, tx, Listing[store.Org, capi.Organization]{
			Table: store.Orgs, Meta: func(o *store.Org) *store.Meta { return &o.Meta },
			Where:   c.filterBy(where, "names", "name"),
			Present: func(_ *store.Tx, o *store.Org) (capi.Organization, error) { return s.presentOrg(o), nil },
		})
	})
}

// whereOrgs narrows a list to the orgs that the caller may see; index is that of the table for the org.
func (c *Ctx) whereOrgs(tx *store.Tx, index string) ([]store.Cond, error) {
	orgs, all, err := c.visibleOrgs(tx)
	if err != nil || all {
		return nil, err
	}
	return []store.Cond{store.By(index, orgs...)}, nil
}

func (s *Server) getOrg(c *Ctx) error {
	return c.answer(func(tx *store.Tx) (any, error) {
		org, err := store.Orgs.Get(tx, c.Path("guid"))
		if err != nil {
			return nil, err
		}
		return s.presentOrg(org), nil
	})
}

func (s *Server) createOrg(c *Ctx) error {
	var in capi.OrganizationCreate
	if err := c.decode(&in); err != nil {
		return err
	}
	return c.change(http.StatusCreated, func(tx *store.Tx) (any, error) {
		own, err := c.allowNewOrg(tx)
		if err != nil {
			return nil, err
		}
		org := &store.Org{Name: in.Name}
		if err := validateName("Name", org.Name); err != nil {
			return nil, err
		}
		if in.Suspended != nil {
			org.Suspended = *in.Suspended
		}
		if err := patchMetadata(&org.Meta, in.Metadata); err != nil {
			return nil, err
		}
		if quota, err := store.OrgQuotas.Find(tx, "name", defaultQuota); err == nil {
			org.QuotaGUID = quota.GUID
		} else if orElse(err, nil) != nil {
			return nil, err
		}
		if err := putOrg(tx, org); err != nil {
			return nil, err
		}
		if own {
			err = firstOf(
				store.Roles.Put(tx, &store.Role{Type: capi.RoleOrgUser, UserGUID: c.who.UserGUID, OrgGUID: org.GUID}),
				store.Roles.Put(tx, &store.Role{Type: capi.RoleOrgManager, UserGUID: c.who.UserGUID, OrgGUID: org.GUID}))
			if err != nil {
				return nil, err
			}
		}
		return s.presentOrg(org), c.audit(tx, Event{Type: "audit.organization.create", Target: orgTarget(org),
			Place: Place{OrgGUID: org.GUID}, Data: request(map[string]any{"name": org.Name, "suspended": org.Suspended})})
	})
}

// allowNewOrg lets operators pass and, while the flag user_org_creation is on, everybody: who then gets roles
// in the new org (own).
func (c *Ctx) allowNewOrg(tx *store.Tx) (own bool, err error) {
	if c.Admin() {
		return false, c.allowPlatform(tx, "Organization")
	}
	on, err := flagOn(tx, "user_org_creation", flagDefault("user_org_creation"))
	if err != nil {
		return false, err
	}
	if !on {
		return false, capi.Forbidden()
	}
	return true, c.Allow(tx, Place{}, "Organization", SeePlatform, SeePlatform)
}

func putOrg(tx *store.Tx, org *store.Org) error {
	err := store.Orgs.Put(tx, org)
	if isConflict(err) {
		return errInvalid("Organization '" + org.Name + "' already exists.")
	}
	return err
}

func (s *Server) updateOrg(c *Ctx) error {
	var in capi.OrganizationUpdate
	if err := c.decode(&in); err != nil {
		return err
	}
	return c.change(http.StatusOK, func(tx *store.Tx) (any, error) {
		org, err := store.Orgs.Get(tx, c.Path("guid"))
		if err != nil {
			return nil, err
		}
		if in.Name != nil {
			if err := validateName("Name", *in.Name); err != nil {
				return nil, err
			}
			org.Name = *in.Name
		}
		if in.Suspended != nil && *in.Suspended != org.Suspended {
			if !c.Admin() {
				return nil, capi.Forbidden()
			}
			org.Suspended = *in.Suspended
		}
		if err := firstOf(patchMetadata(&org.Meta, in.Metadata), putOrg(tx, org)); err != nil {
			return nil, err
		}
		return s.presentOrg(org), c.audit(tx, Event{Type: "audit.organization.update", Target: orgTarget(org), Place: c.place,
			Data: request(map[string]any{"name": in.Name, "suspended": in.Suspended})})
	})
}

func (s *Server) deleteOrg(c *Ctx) error {
	return c.remove("organization.delete", "organization", func(tx *store.Tx) error {
		org, err := store.Orgs.Get(tx, c.Path("guid"))
		if err != nil {
			return err
		}
		return firstOf(
			c.audit(tx, Event{Type: "audit.organization.delete-request", Target: orgTarget(org), Place: c.place, Data: map[string]any{"request": map[string]any{"recursive": true}}}),
			c.removeOrg(tx, org))
	})
}

func (s *Server) getOrgUsage(c *Ctx) error {
	return c.answer(func(tx *store.Tx) (any, error) {
		spaces, err := spacesOf(tx, []string{c.Path("guid")})
		if err != nil {
			return nil, err
		}
		out, err := s.usage(tx, "/v3/organizations/"+c.Path("guid"), spaces)
		if err != nil {
			return nil, err
		}
		out.Usage.Domains, err = store.Domains.Count(tx, store.By("org", c.Path("guid")))
		out.Links["organization"] = s.link("/v3/organizations/" + c.Path("guid"))
		return out, err
	})
}

// usage sums what the started apps, routes and tasks of spaces take.
func (s *Server) usage(tx *store.Tx, base string, spaces []string) (*capi.UsageSummary, error) {
	used, err := startedUsage(tx, spaces)
	if err != nil {
		return nil, err
	}
	routes, err := store.Routes.Count(tx, store.By("space", spaces...))
	if err != nil {
		return nil, err
	}
	httpRoutes, err := store.Routes.Count(tx, store.By("space", spaces...), store.By("port", "0"))
	if err != nil {
		return nil, err
	}
	tasks, err := store.Tasks.Count(tx, store.By("space", spaces...), store.By("state", "RUNNING"))
	if err != nil {
		return nil, err
	}
	services, err := store.ServiceInstances.Count(tx, store.By("space", spaces...))
	if err != nil {
		return nil, err
	}
	keys, err := store.ServiceBindings.Count(tx, store.By("space", spaces...), store.By("type", store.BindingKey))
	return &capi.UsageSummary{
		Usage: capi.UsageSummaryData{StartedInstances: used.instances, MemoryInMB: used.memoryMB, Routes: routes, ReservedPorts: routes - httpRoutes, PerAppTasks: tasks, ServiceInstances: services, ServiceKeys: keys},
		Links: capi.Links{"self": s.link(base + "/usage_summary")},
	}, err
}

func (s *Server) getDefaultSegment(c *Ctx) error {
	return c.answer(func(tx *store.Tx) (any, error) {
		org, err := store.Orgs.Get(tx, c.Path("guid"))
		if err != nil {
			return nil, err
		}
		return s.defaultSegment(org), nil
	})
}

func (s *Server) defaultSegment(org *store.Org) capi.ToOneReply {
	self := "/v3/organizations/" + org.GUID + "/relationships/default_isolation_segment"
	return s.toOneReply(self, "/v3/isolation_segments/", org.DefaultIsolationSegmentGUID)
}

func (s *Server) toOneReply(self, related, guid string) capi.ToOneReply {
	out := capi.ToOneReply{Data: capi.One(guid).Data, Links: capi.Links{"self": s.link(self)}}
	if guid != "" {
		out.Links["related"] = s.link(related + guid)
	}
	return out
}

func (s *Server) setDefaultSegment(c *Ctx) error {
	var in capi.ToOne
	if err := c.decode(&in); err != nil {
		return err
	}
	return c.change(http.StatusOK, func(tx *store.Tx) (any, error) {
		org, err := store.Orgs.Get(tx, c.Path("guid"))
		if err != nil {
			return nil, err
		}
		if guid := in.GUID(); guid != "" {
			if ok, err := entitled(tx, guid, org.GUID); err != nil || !ok {
				return nil, firstOf(err, errInvalid(fmt.Sprintf("Unable to assign isolation segment with guid '%s'. Ensure it has been entitled to this organization.", clip(guid, 100))))
			}
		}
		org.DefaultIsolationSegmentGUID = in.GUID()
		return s.defaultSegment(org), store.Orgs.Put(tx, org)
	})
}
