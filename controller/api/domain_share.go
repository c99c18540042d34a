package api

import (
	"fmt"
	"net/http"
	"slices"

	"github.com/cupola-paas/cupola/controller/capi"
	"github.com/cupola-paas/cupola/store"
)

// shareWith adds orgs, which the caller must be able to see, to those that a private domain is shared with.
func (c *Ctx) shareWith(tx *store.Tx, d *store.Domain, orgs []string) error {
	for _, guid := range orgs {
		_, err := store.Orgs.Get(tx, guid)
		if orElse(err, nil) != nil {
			return err
		}
		seen := false
		if err == nil {
			if seen, err = c.Can(tx, Place{OrgGUID: guid}, SeeOrg); err != nil {
				return err
			}
		}
		switch {
		case !seen:
			return errInvalid(fmt.Sprintf("Organization with guid '%s' does not exist, or you do not have access to it.", clip(guid, 100)))
		case guid == d.OrgGUID:
			return errInvalid("Domain cannot be shared with owning organization.")
		case !slices.Contains(d.SharedOrgGUIDs, guid):
			d.SharedOrgGUIDs = append(d.SharedOrgGUIDs, guid)
		}
	}
	return nil
}

func (s *Server) sharedOrgs(c *Ctx, tx *store.Tx, d *store.Domain) (any, error) {
	seen, err := c.seenOf(tx, d.SharedOrgGUIDs)
	return capi.ToMany{Data: capi.Many(seen...).Data}, err
}

func (s *Server) getSharedOrgs(c *Ctx) error {
	return c.answer(func(tx *store.Tx) (any, error) {
		d, err := c.seenDomain(tx)
		if err != nil {
			return nil, err
		}
		return s.sharedOrgs(c, tx, d)
	})
}

func (s *Server) shareDomain(c *Ctx) error {
	var in capi.ToMany
	if err := c.decode(&in); err != nil {
		return err
	}
	return c.change(http.StatusOK, func(tx *store.Tx) (any, error) {
		d, err := c.ownedDomain(tx)
		if err != nil {
			return nil, err
		}
		if d.OrgGUID == "" {
			return nil, errInvalid("Domains can not be shared with other organizations unless they are scoped to an organization.")
		}
		if err := firstOf(c.shareWith(tx, d, in.GUIDs()), store.Domains.Put(tx, d)); err != nil {
			return nil, err
		}
		return s.sharedOrgs(c, tx, d)
	})
}

// unshareDomain is for the owner, and for managers of the org that has no more use for the domain. Routes of that org
// under it go too.
func (s *Server) unshareDomain(c *Ctx) error {
	orgGUID := c.Path("org")
	err := c.Update(func(tx *store.Tx) error {
		d, err := c.seenDomain(tx)
		if err != nil {
			return err
		}
		own, err := c.Can(tx, Place{OrgGUID: orgGUID}, ManageOrg)
		if err != nil {
			return err
		}
		if own {
			err = c.Allow(tx, Place{OrgGUID: orgGUID}, "Domain", SeeOrg, ManageOrg)
		} else {
			_, err = c.ownedDomain(tx)
		}
		if err != nil {
			return err
		}
		if !slices.Contains(d.SharedOrgGUIDs, orgGUID) {
			return errInvalid(fmt.Sprintf("Unable to unshare domain from organization with guid '%s'. Ensure the domain is shared to this organization.", clip(orgGUID, 100)))
		}
		d.SharedOrgGUIDs = without(d.SharedOrgGUIDs, orgGUID)
		spaces, err := spacesOf(tx, []string{orgGUID})
		if err != nil {
			return err
		}
		return firstOf(
			each(tx, store.Routes, c.removeRouteRecord, store.By("domain", d.GUID), store.By("space", spaces...)),
			store.Domains.Put(tx, d))
	})
	if err != nil {
		return err
	}
	return c.NoContent()
}
