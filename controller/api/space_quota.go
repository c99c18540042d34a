package api

import (
	"fmt"
	"net/http"
	"slices"

	"github.com/cupola-paas/cupola/controller/capi"
	"github.com/cupola-paas/cupola/store"
)

func (s *Server) spaceQuotaRoutes() []Route {
	const one = "/v3/space_quotas/{guid}"
	manage := on(spaceQuotaAt, "Space quota", SeeSpace, ManageOrg)
	return []Route{
		index("/v3/space_quotas", signedIn(), s.listSpaceQuotas, "names", "organization_guids", "space_guids").ordered("name"),
		post("/v3/space_quotas", inBody(), s.createSpaceQuota),
		get(one, on(spaceQuotaAt, "Space quota", SeeSpace, SeeSpace), s.getSpaceQuota),
		patch(one, manage, s.updateSpaceQuota),
		del(one, manage, s.deleteSpaceQuota),
		post(one+"/relationships/spaces", manage, s.applySpaceQuota),
		del(one+"/relationships/spaces/{space}", manage, s.removeSpaceQuota),
	}
}

// spaceQuotaAt is a space that has the quota and that the caller sees; without one, the quota's org, which its managers
// see whole.
func spaceQuotaAt(tx *store.Tx, c *Ctx) (Place, error) {
	quota, err := store.SpaceQuotas.Get(tx, c.Path("guid"))
	if err != nil {
		return Place{}, err
	}
	spaces, err := c.spacesWithQuota(tx, quota.GUID)
	if err != nil || len(spaces) == 0 {
		return Place{OrgGUID: quota.OrgGUID}, err
	}
	return Place{OrgGUID: quota.OrgGUID, SpaceGUID: spaces[0]}, nil
}

// presentSpaceQuota names the spaces that have the quota and that the caller may see.
func (s *Server) presentSpaceQuota(c *Ctx) func(*store.Tx, *store.Quota) (capi.SpaceQuota, error) {
	return func(tx *store.Tx, q *store.Quota) (capi.SpaceQuota, error) {
		spaces, err := c.spacesWithQuota(tx, q.GUID)
		apps, services, routes := presentQuota(q)
		base := "/v3/space_quotas/" + q.GUID
		return capi.SpaceQuota{
			Resource: resource(&q.Meta), Name: q.Name, Apps: apps, Services: services, Routes: routes,
			Relationships: capi.SpaceQuotaRelationships{Organization: capi.One(q.OrgGUID), Spaces: capi.Many(spaces...)},
			Links:         capi.Links{"self": s.link(base), "organization": s.link("/v3/organizations/" + q.OrgGUID)},
		}, err
	}
}

func (c *Ctx) spacesWithQuota(tx *store.Tx, guid string) ([]string, error) {
	visible, all, err := c.visibleSpaces(tx, SeeSpace)
	if err != nil {
		return nil, err
	}
	where := []store.Cond{store.By("quota", guid)}
	if !all {
		where = append(where, store.By("guid", visible...))
	}
	var guids []string
	err = each(tx, store.Spaces, func(_ *store.Tx, sp *store.Space) error {
		guids = append(guids, sp.GUID)
		return nil
	}, where...)
	return guids, err
}

func (s *Server) listSpaceQuotas(c *Ctx) error {
	return c.answer(func(tx *store.Tx) (any, error) {
		where, err := c.whereSpaceQuotas(tx)
		if err != nil {
			return nil, err
		}
		where = c.filterBy(where, "names", "name", "organization_guids", "org")
		if spaces, ok := c.Filter.List("space_guids"); ok {
			var of []string
			err := each(tx, store.Spaces, func(_ *store.Tx, sp *store.Space) error {
				of = append(of, sp.QuotaGUID)
				return nil
			}, store.By("guid", spaces...))
			if err != nil {
				return nil, err
			}
			where = append(where, store.By("guid", of...))
		}
		return answerList(c, tx, Listing[store.Quota, capi.SpaceQuota]{
			Table: store.SpaceQuotas, Meta: func(q *store.Quota) *store.Meta { return &q.Meta },
			Where: where, Present: s.presentSpaceQuota(c),
		})
	})
}

// whereSpaceQuotas narrows a list to the quotas of the orgs that the caller sees whole and those of spaces that they see.
func (c *Ctx) whereSpaceQuotas(tx *store.Tx) ([]store.Cond, error) {
	scope, err := c.Where(tx, SeeSpace)
	if err != nil || scope.All {
		return nil, err
	}
	guids, err := store.SpaceQuotas.GUIDs(tx, store.By("org", scope.Orgs...))
	if err != nil {
		return nil, err
	}
	err = each(tx, store.Spaces, func(_ *store.Tx, sp *store.Space) error {
		guids = append(guids, sp.QuotaGUID)
		return nil
	}, store.By("guid", scope.Spaces...))
	return []store.Cond{store.By("guid", guids...)}, err
}

func (s *Server) getSpaceQuota(c *Ctx) error {
	return c.answer(func(tx *store.Tx) (any, error) {
		quota, err := store.SpaceQuotas.Get(tx, c.Path("guid"))
		if err != nil {
			return nil, err
		}
		return s.presentSpaceQuota(c)(tx, quota)
	})
}

func spaceQuotaTarget(q *store.Quota) store.Actor {
	return store.Actor{GUID: q.GUID, Type: "space_quota", Name: q.Name}
}

func (s *Server) createSpaceQuota(c *Ctx) error {
	var in capi.QuotaUpdate
	if err := c.decode(&in); err != nil {
		return err
	}
	rel := in.Relationships
	if rel == nil || rel.Organization.GUID() == "" {
		return errInvalid("Relationships Organization can't be blank: name the organization as relationships.organization.data.guid")
	}
	if rel.Organizations != nil || in.Domains != nil {
		return errInvalid("A space quota has neither relationships.organizations nor domains")
	}
	return c.change(http.StatusCreated, func(tx *store.Tx) (any, error) {
		place, err := c.orgInBody(tx, rel.Organization.GUID(), ManageOrg)
		if err != nil {
			return nil, err
		}
		quota := unlimitedQuota()
		quota.OrgGUID = place.OrgGUID
		if err := firstOf(patchQuota(quota, in), putSpaceQuota(tx, quota)); err != nil {
			return nil, err
		}
		if err := c.giveSpaceQuota(tx, quota, rel.Spaces.GUIDs()); err != nil {
			return nil, err
		}
		if err := c.audit(tx, Event{Type: "audit.space_quota.create", Target: spaceQuotaTarget(quota), Place: place, Data: request(map[string]any{"name": quota.Name})}); err != nil {
			return nil, err
		}
		return s.presentSpaceQuota(c)(tx, quota)
	})
}

func putSpaceQuota(tx *store.Tx, q *store.Quota) error {
	err := store.SpaceQuotas.Put(tx, q)
	if isConflict(err) {
		return errInvalid("Space Quota '" + q.Name + "' already exists.")
	}
	return err
}

func (c *Ctx) giveSpaceQuota(tx *store.Tx, q *store.Quota, spaces []string) error {
	if err := c.spacesInBody(tx, spaces, ManageOrg); err != nil {
		return err
	}
	for _, guid := range spaces {
		space, err := store.Spaces.Get(tx, guid)
		if err != nil {
			return err
		}
		if space.OrgGUID != q.OrgGUID {
			return errInvalid("Space quotas cannot be applied outside of their owning organization.")
		}
		space.QuotaGUID = q.GUID
		if err := store.Spaces.Put(tx, space); err != nil {
			return err
		}
	}
	return nil
}

func (s *Server) updateSpaceQuota(c *Ctx) error {
	var in capi.QuotaUpdate
	if err := c.decode(&in); err != nil {
		return err
	}
	if in.Relationships != nil || in.Domains != nil {
		return errInvalid("Relationships and domains of a space quota can't be changed here")
	}
	return c.change(http.StatusOK, func(tx *store.Tx) (any, error) {
		quota, err := store.SpaceQuotas.Get(tx, c.Path("guid"))
		if err != nil {
			return nil, err
		}
		err = firstOf(patchQuota(quota, in), putSpaceQuota(tx, quota),
			c.audit(tx, Event{Type: "audit.space_quota.update", Target: spaceQuotaTarget(quota), Place: c.place}))
		if err != nil {
			return nil, err
		}
		return s.presentSpaceQuota(c)(tx, quota)
	})
}

func (s *Server) deleteSpaceQuota(c *Ctx) error {
	return c.remove("space_quota.delete", "space_quota", func(tx *store.Tx) error {
		quota, err := store.SpaceQuotas.Get(tx, c.Path("guid"))
		if err != nil {
			return err
		}
		return firstOf(
			each(tx, store.Spaces, func(tx *store.Tx, sp *store.Space) error {
				sp.QuotaGUID = ""
				return store.Spaces.Put(tx, sp)
			}, store.By("quota", quota.GUID)),
			c.audit(tx, Event{Type: "audit.space_quota.delete", Target: spaceQuotaTarget(quota), Place: c.place}),
			store.SpaceQuotas.Delete(tx, quota.GUID))
	})
}

func (s *Server) applySpaceQuota(c *Ctx) error {
	var in capi.ToMany
	if err := c.decode(&in); err != nil {
		return err
	}
	return c.change(http.StatusOK, func(tx *store.Tx) (any, error) {
		quota, err := store.SpaceQuotas.Get(tx, c.Path("guid"))
		if err != nil {
			return nil, err
		}
		if err := c.giveSpaceQuota(tx, quota, in.GUIDs()); err != nil {
			return nil, err
		}
		err = c.audit(tx, Event{Type: "audit.space_quota.apply", Target: spaceQuotaTarget(quota), Place: c.place, Data: request(map[string]any{"spaces": in.GUIDs()})})
		if err != nil {
			return nil, err
		}
		spaces, err := c.spacesWithQuota(tx, quota.GUID)
		return capi.ToManyReply{Data: capi.Many(slices.Clone(spaces)...).Data, Links: capi.Links{
			"self": s.link("/v3/space_quotas/" + quota.GUID + "/relationships/spaces"),
		}}, err
	})
}

func (s *Server) removeSpaceQuota(c *Ctx) error {
	err := c.Update(func(tx *store.Tx) error {
		quota, err := store.SpaceQuotas.Get(tx, c.Path("guid"))
		if err != nil {
			return err
		}
		space, err := store.Spaces.Get(tx, c.Path("space"))
		if err != nil || space.QuotaGUID != quota.GUID {
			return firstOf(orElse(err, nil), errInvalid(fmt.Sprintf("Unable to remove quota from space with guid '%s'. Ensure the space quota is applied to this space.", clip(c.Path("space"), 100))))
		}
		space.QuotaGUID = ""
		return firstOf(store.Spaces.Put(tx, space),
			c.audit(tx, Event{Type: "audit.space_quota.remove", Target: spaceQuotaTarget(quota), Place: c.place}))
	})
	if err != nil {
		return err
	}
	return c.NoContent()
}
