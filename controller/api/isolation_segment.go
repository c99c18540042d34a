package api

import (
	"errors"
	"fmt"
	"net/http"
	"slices"

	"github.com/cupola-paas/cupola/controller/capi"
	"github.com/cupola-paas/cupola/store"
)

// sharedSegment is the name of the segment that everything is in until somebody says otherwise.
const sharedSegment = "shared"

func (s *Server) isolationSegmentRoutes() []Route {
	const one = "/v3/isolation_segments/{guid}"
	admin := on(platformAt, "Isolation segment", SeePlatform, Administer)
	return []Route{
		index("/v3/isolation_segments", signedIn(), s.listSegments, "names", "organization_guids").ordered("name"),
		post("/v3/isolation_segments", admin, s.createSegment),
		get(one, signedIn(), s.getSegment),
		patch(one, admin, s.updateSegment),
		del(one, admin, s.deleteSegment),
		index(one+"/organizations", signedIn(), s.listSegmentOrgs, "names").ordered("name"),
		get(one+"/relationships/organizations", signedIn(), s.getSegmentOrgs),
		get(one+"/relationships/spaces", signedIn(), s.getSegmentSpaces),
		post(one+"/relationships/organizations", admin, s.entitleOrgs),
		del(one+"/relationships/organizations/{org}", admin, s.revokeOrg),
	}
}

func (s *Server) presentSegment(_ *store.Tx, i *store.IsolationSegment) (capi.IsolationSegment, error) {
	base := "/v3/isolation_segments/" + i.GUID
	return capi.IsolationSegment{
		Resource: resource(&i.Meta), Name: i.Name, Metadata: metadata(&i.Meta),
		Links: capi.Links{"self": s.link(base), "organizations": s.link(base + "/organizations")},
	}, nil
}

// refuseNoCells says that an app of the space cannot run: this machine is in the segment shared alone, so any
// other has no node (contract, 4.5: NoCompatibleCell).
func refuseNoCells(tx *store.Tx, spaceGUID string) error {
	space, err := store.Spaces.Get(tx, spaceGUID)
	if err != nil {
		return err
	}
	guid := space.IsolationSegmentGUID
	if guid == "" {
		org, err := store.Orgs.Get(tx, space.OrgGUID)
		if err != nil {
			return err
		}
		guid = org.DefaultIsolationSegmentGUID
	}
	if guid == "" {
		return nil
	}
	segment, err := store.IsolationSegments.Get(tx, guid)
	if err != nil {
		return orElse(err, nil)
	}
	if segment.Name == sharedSegment {
		return nil
	}
	return capi.NoCompatibleCell.Errorf("Found no compatible cell: the isolation segment '%s' has no nodes", segment.Name)
}

// entitled reports whether an org may put spaces into a segment.
func entitled(tx *store.Tx, segmentGUID, orgGUID string) (bool, error) {
	i, err := store.IsolationSegments.Get(tx, segmentGUID)
	if errors.Is(err, store.ErrNotFound) {
		return false, nil
	}
	return err == nil && slices.Contains(i.OrgGUIDs, orgGUID), err
}

// whereSegments narrows to the segments that an org is entitled to that the caller may see.
func (c *Ctx) whereSegments(tx *store.Tx) ([]store.Cond, error) { return c.whereOrgs(tx, "org") }

func (s *Server) listSegments(c *Ctx) error {
	return c.answer(func(tx *store.Tx) (any, error) {
		where, err := c.whereSegments(tx)
		if err != nil {
			return nil, err
		}
		return answerList(c, tx, Listing[store.IsolationSegment, capi.IsolationSegment]{
			Table: store.IsolationSegments, Meta: func(i *store.IsolationSegment) *store.Meta { return &i.Meta },
			Where: c.filterBy(where, "names", "name", "organization_guids", "org"), Present: s.presentSegment,
		})
	})
}

// seenSegment is the segment of the path; one that the caller may not see is not found.
func (c *Ctx) seenSegment(tx *store.Tx) (*store.IsolationSegment, error) {
	where, err := c.whereSegments(tx)
	if err != nil {
		return nil, err
	}
	found, _, err := store.IsolationSegments.List(tx, store.Query[store.IsolationSegment]{Where: append(where, store.By("guid", c.Path("guid")))})
	if err != nil || len(found) == 0 {
		return nil, firstOf(err, capi.NotFound("Isolation segment"))
	}
	return found[0], nil
}

func (s *Server) getSegment(c *Ctx) error {
	return c.answer(func(tx *store.Tx) (any, error) {
		i, err := c.seenSegment(tx)
		if err != nil {
			return nil, err
		}
		return s.presentSegment(tx, i)
	})
}

func (s *Server) createSegment(c *Ctx) error {
	var in capi.IsolationSegmentUpdate
	if err := c.decode(&in); err != nil {
		return err
	}
	return c.change(http.StatusCreated, func(tx *store.Tx) (any, error) {
		i := &store.IsolationSegment{}
		if err := firstOf(patchSegment(i, in), putSegment(tx, i)); err != nil {
			return nil, err
		}
		return s.presentSegment(tx, i)
	})
}

func patchSegment(i *store.IsolationSegment, in capi.IsolationSegmentUpdate) error {
	if in.Name != nil {
		i.Name = *in.Name
	}
	return firstOf(validateName("Name", i.Name), patchMetadata(&i.Meta, in.Metadata))
}

func putSegment(tx *store.Tx, i *store.IsolationSegment) error {
	err := store.IsolationSegments.Put(tx, i)
	if isConflict(err) {
		return errInvalid("Isolation Segment names are case insensitive and must be unique")
	}
	return err
}

func (s *Server) updateSegment(c *Ctx) error {
	var in capi.IsolationSegmentUpdate
	if err := c.decode(&in); err != nil {
		return err
	}
	return c.change(http.StatusOK, func(tx *store.Tx) (any, error) {
		i, err := c.seenSegment(tx)
		if err != nil {
			return nil, err
		}
		if i.Name == sharedSegment && in.Name != nil && *in.Name != sharedSegment {
			return nil, errInvalid("Cannot update the shared Isolation Segment")
		}
		if err := firstOf(patchSegment(i, in), putSegment(tx, i)); err != nil {
			return nil, err
		}
		return s.presentSegment(tx, i)
	})
}

func (s *Server) deleteSegment(c *Ctx) error {
	err := c.Update(func(tx *store.Tx) error {
		i, err := c.seenSegment(tx)
		switch {
		case err != nil:
			return err
		case i.Name == sharedSegment:
			return errInvalid("Cannot delete the shared Isolation Segment")
		case len(i.OrgGUIDs) > 0:
			return errInvalid("Revoke the Organization entitlements for your Isolation Segment.")
		}
		return store.IsolationSegments.Delete(tx, i.GUID)
	})
	if err != nil {
		return err
	}
	return c.NoContent()
}

func (s *Server) listSegmentOrgs(c *Ctx) error {
	return c.answer(func(tx *store.Tx) (any, error) {
		i, err := c.seenSegment(tx)
		if err != nil {
			return nil, err
		}
		where, err := c.whereOrgs(tx, "guid")
		if err != nil {
			return nil, err
		}
		return answerList(c, tx, Listing[store.Org, capi.Organization]{
			Table: store.Orgs, Meta: func(o *store.Org) *store.Meta { return &o.Meta },
			Where:   c.filterBy(append(where, store.By("guid", i.OrgGUIDs...)), "names", "name"),
			Present: func(_ *store.Tx, o *store.Org) (capi.Organization, error) { return s.presentOrg(o), nil },
		})
	})
}

func (s *Server) segmentOrgs(c *Ctx, tx *store.Tx, i *store.IsolationSegment) (any, error) {
	seen, err := c.seenOf(tx, i.OrgGUIDs)
	base := "/v3/isolation_segments/" + i.GUID
	return capi.ToManyReply{Data: capi.Many(seen...).Data, Links: capi.Links{
		"self": s.link(base + "/relationships/organizations"), "related": s.link(base + "/organizations"),
	}}, err
}

func (s *Server) getSegmentOrgs(c *Ctx) error {
	return c.answer(func(tx *store.Tx) (any, error) {
		i, err := c.seenSegment(tx)
		if err != nil {
			return nil, err
		}
		return s.segmentOrgs(c, tx, i)
	})
}

func (s *Server) getSegmentSpaces(c *Ctx) error {
	return c.answer(func(tx *store.Tx) (any, error) {
		i, err := c.seenSegment(tx)
		if err != nil {
			return nil, err
		}
		visible, all, err := c.visibleSpaces(tx, SeeSpace)
		if err != nil {
			return nil, err
		}
		where := []store.Cond{store.By("isolation_segment", i.GUID)}
		if !all {
			where = append(where, store.By("guid", visible...))
		}
		var guids []string
		err = each(tx, store.Spaces, func(_ *store.Tx, sp *store.Space) error {
			guids = append(guids, sp.GUID)
			return nil
		}, where...)
		return capi.ToManyReply{Data: capi.Many(guids...).Data, Links: capi.Links{
			"self": s.link("/v3/isolation_segments/" + i.GUID + "/relationships/spaces"),
		}}, err
	})
}

func (s *Server) entitleOrgs(c *Ctx) error {
	var in capi.ToMany
	if err := c.decode(&in); err != nil {
		return err
	}
	return c.change(http.StatusOK, func(tx *store.Tx) (any, error) {
		i, err := c.seenSegment(tx)
		if err != nil {
			return nil, err
		}
		for _, guid := range in.GUIDs() {
			if _, err := store.Orgs.Get(tx, guid); err != nil {
				return nil, orElse(err, errInvalid(fmt.Sprintf("Unable to entitle organizations [%s] for isolation segment. Ensure the organizations exist", clip(guid, 100))))
			}
			if !slices.Contains(i.OrgGUIDs, guid) {
				i.OrgGUIDs = append(i.OrgGUIDs, guid)
			}
		}
		if err := store.IsolationSegments.Put(tx, i); err != nil {
			return nil, err
		}
		return s.segmentOrgs(c, tx, i)
	})
}

func (s *Server) revokeOrg(c *Ctx) error {
	err := c.Update(func(tx *store.Tx) error {
		i, err := c.seenSegment(tx)
		if err != nil {
			return err
		}
		org, err := store.Orgs.Get(tx, c.Path("org"))
		if err != nil {
			return notFound(err, "Organization")
		}
		used, err := store.Spaces.Count(tx, store.By("org", org.GUID), store.By("isolation_segment", i.GUID))
		if err != nil {
			return err
		}
		if used > 0 || org.DefaultIsolationSegmentGUID == i.GUID {
			return errInvalid("Cannot revoke the entitlement: the isolation segment is the default of the organization or assigned to one of its spaces.")
		}
		i.OrgGUIDs = without(i.OrgGUIDs, org.GUID)
		return store.IsolationSegments.Put(tx, i)
	})
	if err != nil {
		return err
	}
	return c.NoContent()
}
