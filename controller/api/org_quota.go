package api

import (
	"fmt"
	"net/http"
	"slices"

	"github.com/cupola-paas/cupola/controller/capi"
	"github.com/cupola-paas/cupola/store"
)

func (s *Server) orgQuotaRoutes() []Route {
	const one = "/v3/organization_quotas/{guid}"
	admin := on(platformAt, "Organization quota", SeePlatform, Administer)
	return []Route{
		index("/v3/organization_quotas", signedIn(), s.listOrgQuotas, "names", "organization_guids").ordered("name"),
		post("/v3/organization_quotas", admin, s.createOrgQuota),
		get(one, signedIn(), s.getOrgQuota),
		patch(one, admin, s.updateOrgQuota),
		del(one, admin, s.deleteOrgQuota),
		post(one+"/relationships/organizations", admin, s.applyOrgQuota),
	}
}

// presentOrgQuota names the orgs that have the quota and that the caller may see.
func (s *Server) presentOrgQuota(c *Ctx) func(*store.Tx, *store.Quota) (capi.OrganizationQuota, error) {
	return func(tx *store.Tx, q *store.Quota) (capi.OrganizationQuota, error) {
		orgs, err := c.orgsWithQuota(tx, q.GUID)
		apps, services, routes := presentQuota(q)
		return capi.OrganizationQuota{
			Resource: resource(&q.Meta), Name: q.Name, Apps: apps, Services: services, Routes: routes,
			Domains:       capi.QuotaDomains{TotalDomains: limit(q.Domains)},
			Relationships: capi.OrgQuotaRelationships{Organizations: capi.Many(orgs...)},
			Links:         capi.Links{"self": s.link("/v3/organization_quotas/" + q.GUID)},
		}, err
	}
}

func (c *Ctx) orgsWithQuota(tx *store.Tx, guid string) ([]string, error) {
	where, err := c.whereOrgs(tx, "guid")
	if err != nil {
		return nil, err
	}
	orgs, _, err := store.Orgs.List(tx, store.Query[store.Org]{Where: append(where, store.By("quota", guid))})
	guids := make([]string, len(orgs))
	for i, o := range orgs {
		guids[i] = o.GUID
	}
	return guids, err
}

// visibleQuotas are the quotas of the orgs that the caller may see; all is true when it is every quota.
func (c *Ctx) visibleQuotas(tx *store.Tx) (guids []string, all bool, err error) {
	orgs, all, err := c.visibleOrgs(tx)
	if err != nil || all {
		return nil, all, err
	}
	return quotasOf(tx, orgs)
}

func quotasOf(tx *store.Tx, orgs []string) (guids []string, all bool, err error) {
	err = each(tx, store.Orgs, func(_ *store.Tx, o *store.Org) error {
		if o.QuotaGUID != "" {
			guids = append(guids, o.QuotaGUID)
		}
		return nil
	}, store.By("guid", orgs...))
	return guids, false, err
}

func (s *Server) listOrgQuotas(c *Ctx) error {
	return c.answer(func(tx *store.Tx) (any, error) {
		visible, all, err := c.visibleQuotas(tx)
		if err != nil {
			return nil, err
		}
		var where []store.Cond
		if !all {
			where = append(where, store.By("guid", visible...))
		}
		if orgs, ok := c.Filter.List("organization_guids"); ok {
			of, _, err := quotasOf(tx, orgs)
			if err != nil {
				return nil, err
			}
			where = append(where, store.By("guid", of...))
		}
		return answerList(c, tx, Listing[store.Quota, capi.OrganizationQuota]{
			Table: store.OrgQuotas, Meta: func(q *store.Quota) *store.Meta { return &q.Meta },
			Where: c.filterBy(where, "names", "name"), Present: s.presentOrgQuota(c),
		})
	})
}

func (s *Server) getOrgQuota(c *Ctx) error {
	return c.answer(func(tx *store.Tx) (any, error) {
		visible, all, err := c.visibleQuotas(tx)
		if err != nil {
			return nil, err
		}
		quota, err := store.OrgQuotas.Get(tx, c.Path("guid"))
		if err != nil || !all && !slices.Contains(visible, quota.GUID) {
			return nil, firstOf(orElse(err, nil), capi.NotFound("Organization quota"))
		}
		return s.presentOrgQuota(c)(tx, quota)
	})
}

func orgQuotaTarget(q *store.Quota) store.Actor {
	return store.Actor{GUID: q.GUID, Type: "organization_quota", Name: q.Name}
}

func (s *Server) createOrgQuota(c *Ctx) error {
	var in capi.QuotaUpdate
	if err := c.decode(&in); err != nil {
		return err
	}
	return c.change(http.StatusCreated, func(tx *store.Tx) (any, error) {
		quota := unlimitedQuota()
		if err := firstOf(patchQuota(quota, in), putOrgQuota(tx, quota)); err != nil {
			return nil, err
		}
		if in.Relationships != nil {
			if in.Relationships.Organization != nil || in.Relationships.Spaces != nil {
				return nil, errInvalid("Relationships of an organization quota can only be organizations")
			}
			if err := giveOrgQuota(tx, quota, in.Relationships.Organizations.GUIDs()); err != nil {
				return nil, err
			}
		}
		if err := c.audit(tx, Event{Type: "audit.organization_quota.create", Target: orgQuotaTarget(quota), Data: request(map[string]any{"name": quota.Name})}); err != nil {
			return nil, err
		}
		return s.presentOrgQuota(c)(tx, quota)
	})
}

func putOrgQuota(tx *store.Tx, q *store.Quota) error {
	err := store.OrgQuotas.Put(tx, q)
	if isConflict(err) {
		return errInvalid("Organization Quota '" + q.Name + "' already exists.")
	}
	return err
}

func giveOrgQuota(tx *store.Tx, q *store.Quota, orgs []string) error {
	var unknown []string
	for _, guid := range orgs {
		org, err := store.Orgs.Get(tx, guid)
		if err != nil {
			if err = orElse(err, nil); err != nil {
				return err
			}
			unknown = append(unknown, clip(guid, 100))
			continue
		}
		org.QuotaGUID = q.GUID
		if err := store.Orgs.Put(tx, org); err != nil {
			return err
		}
	}
	if len(unknown) > 0 {
		return errInvalid(fmt.Sprintf("Organizations with guids %q do not exist, or you do not have access to them.", unknown))
	}
	return nil
}

func (s *Server) updateOrgQuota(c *Ctx) error {
	var in capi.QuotaUpdate
	if err := c.decode(&in); err != nil {
		return err
	}
	if in.Relationships != nil {
		return errInvalid("Unknown field(s): 'relationships'")
	}
	return c.change(http.StatusOK, func(tx *store.Tx) (any, error) {
		quota, err := store.OrgQuotas.Get(tx, c.Path("guid"))
		if err != nil {
			return nil, notFound(err, "Organization quota")
		}
		err = firstOf(patchQuota(quota, in), putOrgQuota(tx, quota),
			c.audit(tx, Event{Type: "audit.organization_quota.update", Target: orgQuotaTarget(quota)}))
		if err != nil {
			return nil, err
		}
		return s.presentOrgQuota(c)(tx, quota)
	})
}

func (s *Server) deleteOrgQuota(c *Ctx) error {
	return c.remove("organization_quota.delete", "organization_quota", func(tx *store.Tx) error {
		quota, err := store.OrgQuotas.Get(tx, c.Path("guid"))
		if err != nil {
			return notFound(err, "Organization quota")
		}
		used, err := store.Orgs.Count(tx, store.By("quota", quota.GUID))
		if err != nil || used > 0 {
			return firstOf(err, errInvalid("This quota is applied to one or more organizations. Apply different quotas to those organizations before deleting."))
		}
		return firstOf(c.audit(tx, Event{Type: "audit.organization_quota.delete", Target: orgQuotaTarget(quota)}), store.OrgQuotas.Delete(tx, quota.GUID))
	})
}

func (s *Server) applyOrgQuota(c *Ctx) error {
	var in capi.ToMany
	if err := c.decode(&in); err != nil {
		return err
	}
	return c.change(http.StatusOK, func(tx *store.Tx) (any, error) {
		quota, err := store.OrgQuotas.Get(tx, c.Path("guid"))
		if err != nil {
			return nil, notFound(err, "Organization quota")
		}
		if err := giveOrgQuota(tx, quota, in.GUIDs()); err != nil {
			return nil, err
		}
		err = c.audit(tx, Event{Type: "audit.organization_quota.apply", Target: orgQuotaTarget(quota), Data: request(map[string]any{"organizations": in.GUIDs()})})
		if err != nil {
			return nil, err
		}
		orgs, err := c.orgsWithQuota(tx, quota.GUID)
		return capi.ToManyReply{Data: capi.Many(orgs...).Data, Links: capi.Links{
			"self": s.link("/v3/organization_quotas/" + quota.GUID + "/relationships/organizations"),
		}}, err
	})
}
