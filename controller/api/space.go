package api

import (
	"fmt"
	"net/http"
	"slices"

	"github.com/cupola-paas/cupola/controller/capi"
	"github.com/cupola-paas/cupola/store"
)

func (s *Server) spaceRoutes() []Route {
	const one = "/v3/spaces/{guid}"
	see := on(spaceAt, "Space", SeeSpace, SeeSpace)
	manage := on(spaceAt, "Space", SeeSpace, ManageSpace)
	return []Route{
		index("/v3/spaces", signedIn(), s.listSpaces, "names", "organization_guids", "include").ordered("name"),
		post("/v3/spaces", inBody(), s.createSpace),
		get(one, see, s.getSpace),
		patch(one, manage, s.updateSpace),
		del(one, on(spaceAt, "Space", SeeSpace, ManageOrg), s.deleteSpace),
		get(one+"/features", see, s.listSpaceFeatures),
		get(one+"/features/{name}", see, s.getSpaceFeature),
		patch(one+"/features/{name}", manage, s.updateSpaceFeature),
		index(one+"/users", see, s.listSpaceUsers, "usernames", "partial_usernames", "origins"),
		get(one+"/usage_summary", see, s.getSpaceUsage),
		get(one+"/relationships/isolation_segment", see, s.getSpaceSegment),
		patch(one+"/relationships/isolation_segment", on(spaceAt, "Space", SeeSpace, ManageOrg), s.setSpaceSegment),
		index(one+"/running_security_groups", see, s.listRunningGroups, "names"),
		index(one+"/staging_security_groups", see, s.listStagingGroups, "names"),
	}
}

func spaceTarget(sp *store.Space) store.Actor {
	return store.Actor{GUID: sp.GUID, Type: "space", Name: sp.Name}
}

func (s *Server) listSpaces(c *Ctx) error {
	return c.answer(func(tx *store.Tx) (any, error) {
		visible, all, err := c.visibleSpaces(tx, SeeSpace)
		if err != nil {
			return nil, err
		}
		var where []store.Cond
		if !all {
			where = append(where, store.By("guid", visible...))
		}
		return answerList(c, tx, Listing[store.Space, capi.Space]{
			Table: store.Spaces, Meta: func(sp *store.Space) *store.Meta { return &sp.Meta },
			Where:   c.filterBy(where, "names", "name", "organization_guids", "org"),
			Present: func(_ *store.Tx, sp *store.Space) (capi.Space, error) { return s.presentSpace(sp), nil },
			Include: c.includeOrgsOf,
		})
	})
}

// includeOrgsOf adds the orgs of spaces.
func (c *Ctx) includeOrgsOf(tx *store.Tx, spaces []*store.Space) (*capi.Included, error) {
	asked, err := c.wantsInclude("org", "organization")
	if err != nil || len(asked) == 0 {
		return nil, err
	}
	guids := make([]string, len(spaces))
	for i, sp := range spaces {
		guids[i] = sp.GUID
	}
	out := &capi.Included{}
	return out, c.includeSpaces(tx, out, guids, false, true)
}

func (s *Server) getSpace(c *Ctx) error {
	return c.answer(func(tx *store.Tx) (any, error) {
		space, err := store.Spaces.Get(tx, c.Path("guid"))
		if err != nil {
			return nil, err
		}
		included, err := c.includeOrgsOf(tx, []*store.Space{space})
		return struct {
			capi.Space
			Included *capi.Included `json:"included,omitempty"`
		}{s.presentSpace(space), included}, err
	})
}

func (s *Server) createSpace(c *Ctx) error {
	var in capi.SpaceCreate
	if err := c.decode(&in); err != nil {
		return err
	}
	orgGUID := in.Relationships.Organization.GUID()
	if orgGUID == "" {
		return errInvalid("Relationships Organization can't be blank: name the organization as relationships.organization.data.guid")
	}
	return c.change(http.StatusCreated, func(tx *store.Tx) (any, error) {
		place, err := c.orgInBody(tx, orgGUID, ManageOrg)
		if err != nil {
			return nil, err
		}
		space := &store.Space{Name: in.Name, OrgGUID: orgGUID}
		err = firstOf(validateName("Name", in.Name), patchMetadata(&space.Meta, in.Metadata), putSpace(tx, space))
		if err != nil {
			return nil, err
		}
		place.SpaceGUID = space.GUID
		return s.presentSpace(space), c.audit(tx, Event{Type: "audit.space.create", Target: spaceTarget(space), Place: place,
			Data: request(map[string]any{"name": space.Name})})
	})
}

// orgInBody finds the org that a body names and asks whether the caller may do there. That it isn't there and
// that it may not be seen read the same.
func (c *Ctx) orgInBody(tx *store.Tx, orgGUID string, do Action) (Place, error) {
	hidden := errInvalid("Invalid organization. Ensure the organization exists and you have access to it.")
	place := Place{OrgGUID: orgGUID}
	if _, err := store.Orgs.Get(tx, orgGUID); err != nil {
		return place, orElse(err, hidden)
	}
	if ok, err := c.Can(tx, place, SeeOrg); err != nil || !ok {
		return place, firstOf(err, hidden)
	}
	return place, c.Allow(tx, place, "Organization", SeeOrg, do)
}

func putSpace(tx *store.Tx, space *store.Space) error {
	err := store.Spaces.Put(tx, space)
	if isConflict(err) {
		return errInvalid("Name must be unique per organization")
	}
	return err
}

func (s *Server) updateSpace(c *Ctx) error {
	var in capi.SpaceUpdate
	if err := c.decode(&in); err != nil {
		return err
	}
	return c.change(http.StatusOK, func(tx *store.Tx) (any, error) {
		space, err := store.Spaces.Get(tx, c.Path("guid"))
		if err != nil {
			return nil, err
		}
		if in.Name != nil {
			if err := validateName("Name", *in.Name); err != nil {
				return nil, err
			}
			space.Name = *in.Name
		}
		if err := firstOf(patchMetadata(&space.Meta, in.Metadata), putSpace(tx, space)); err != nil {
			return nil, err
		}
		return s.presentSpace(space), c.audit(tx, Event{Type: "audit.space.update", Target: spaceTarget(space), Place: c.place,
			Data: request(map[string]any{"name": in.Name})})
	})
}

func (s *Server) deleteSpace(c *Ctx) error {
	return c.remove("space.delete", "space", func(tx *store.Tx) error {
		space, err := store.Spaces.Get(tx, c.Path("guid"))
		if err != nil {
			return err
		}
		return firstOf(
			c.audit(tx, Event{Type: "audit.space.delete-request", Target: spaceTarget(space), Place: c.place, Data: request(map[string]any{"recursive": true})}),
			c.removeSpace(tx, space))
	})
}

func sshFeature(space *store.Space) capi.SpaceFeature {
	return capi.SpaceFeature{Name: "ssh", Description: "Enable SSHing into apps in the space.", Enabled: !space.SSHDisabled}
}

func (s *Server) listSpaceFeatures(c *Ctx) error {
	return c.answer(func(tx *store.Tx) (any, error) {
		space, err := store.Spaces.Get(tx, c.Path("guid"))
		if err != nil {
			return nil, err
		}
		return capi.SpaceFeatures{Features: capi.Array[capi.SpaceFeature]{sshFeature(space)}}, nil
	})
}

func (s *Server) getSpaceFeature(c *Ctx) error {
	return c.answer(func(tx *store.Tx) (any, error) {
		space, err := store.Spaces.Get(tx, c.Path("guid"))
		if err != nil || c.Path("name") != "ssh" {
			return nil, firstOf(err, capi.NotFound("Feature"))
		}
		return sshFeature(space), nil
	})
}

func (s *Server) updateSpaceFeature(c *Ctx) error {
	var in capi.FeatureUpdate
	if err := c.decode(&in); err != nil {
		return err
	}
	if c.Path("name") != "ssh" {
		return capi.NotFound("Feature")
	}
	if in.Enabled == nil {
		return errInvalid("Enabled must be a boolean")
	}
	return c.change(http.StatusOK, func(tx *store.Tx) (any, error) {
		space, err := store.Spaces.Get(tx, c.Path("guid"))
		if err != nil {
			return nil, err
		}
		space.SSHDisabled = !*in.Enabled
		return sshFeature(space), store.Spaces.Put(tx, space)
	})
}

func (s *Server) getSpaceUsage(c *Ctx) error {
	return c.answer(func(tx *store.Tx) (any, error) {
		base := "/v3/spaces/" + c.Path("guid")
		out, err := s.usage(tx, base, []string{c.Path("guid")})
		if err == nil {
			out.Links["space"] = s.link(base)
		}
		return out, err
	})
}

func (s *Server) spaceSegment(space *store.Space) capi.ToOneReply {
	return s.toOneReply("/v3/spaces/"+space.GUID+"/relationships/isolation_segment", "/v3/isolation_segments/", space.IsolationSegmentGUID)
}

func (s *Server) getSpaceSegment(c *Ctx) error {
	return c.answer(func(tx *store.Tx) (any, error) {
		space, err := store.Spaces.Get(tx, c.Path("guid"))
		if err != nil {
			return nil, err
		}
		return s.spaceSegment(space), nil
	})
}

func (s *Server) setSpaceSegment(c *Ctx) error {
	var in capi.ToOne
	if err := c.decode(&in); err != nil {
		return err
	}
	return c.change(http.StatusOK, func(tx *store.Tx) (any, error) {
		space, err := store.Spaces.Get(tx, c.Path("guid"))
		if err != nil {
			return nil, err
		}
		if guid := in.GUID(); guid != "" {
			if ok, err := entitled(tx, guid, space.OrgGUID); err != nil || !ok {
				return nil, firstOf(err, errInvalid(fmt.Sprintf("Unable to assign isolation segment with guid '%s'. Ensure it has been entitled to the organization that this space belongs to.", clip(guid, 100))))
			}
		}
		space.IsolationSegmentGUID = in.GUID()
		return s.spaceSegment(space), store.Spaces.Put(tx, space)
	})
}

// spacesInBody checks that the caller may do something in each of the spaces that a body names.
func (c *Ctx) spacesInBody(tx *store.Tx, guids []string, do Action) error {
	var unknown []string
	for _, guid := range guids {
		place, err := placeOf(tx, guid)
		if orElse(err, nil) != nil {
			return err
		}
		see := false
		if err == nil {
			if see, err = c.Can(tx, place, SeeSpace); err != nil {
				return err
			}
		}
		if !see {
			unknown = append(unknown, clip(guid, 100))
			continue
		}
		if err := c.Allow(tx, place, "Space", SeeSpace, do); err != nil {
			return err
		}
	}
	if len(unknown) > 0 {
		slices.Sort(unknown)
		return errInvalid(fmt.Sprintf("Spaces with guids %q do not exist, or you do not have access to them.", unknown))
	}
	return nil
}
