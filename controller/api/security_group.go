package api

import (
	"encoding/json"
	"fmt"
	"net/http"
	"slices"

	"github.com/cupola-paas/cupola/controller/capi"
	"github.com/cupola-paas/cupola/store"
)

func (s *Server) securityGroupRoutes() []Route {
	const one = "/v3/security_groups/{guid}"
	admin := on(platformAt, "Security group", SeePlatform, Administer)
	return []Route{
		index("/v3/security_groups", signedIn(), s.listGroups, "names", "globally_enabled_running", "globally_enabled_staging", "running_space_guids", "staging_space_guids"),
		post("/v3/security_groups", admin, s.createGroup),
		get(one, signedIn(), s.getGroup),
		patch(one, admin, s.updateGroup),
		del(one, admin, s.deleteGroup),
		post(one+"/relationships/running_spaces", inBody(), s.bindGroup(running)),
		post(one+"/relationships/staging_spaces", inBody(), s.bindGroup(staging)),
		del(one+"/relationships/running_spaces/{space}", inBody(), s.unbindGroup(running)),
		del(one+"/relationships/staging_spaces/{space}", inBody(), s.unbindGroup(staging)),
	}
}

// running and staging are the two lists of spaces that a security group has.
func running(g *store.SecurityGroup) *[]string { return &g.RunningSpaces }
func staging(g *store.SecurityGroup) *[]string { return &g.StagingSpaces }

// presentGroup names the spaces that the caller may see.
func (s *Server) presentGroup(visible []string, all bool) func(*store.Tx, *store.SecurityGroup) (capi.SecurityGroup, error) {
	return func(_ *store.Tx, g *store.SecurityGroup) (capi.SecurityGroup, error) {
		rules := json.RawMessage(g.Rules)
		if len(rules) == 0 {
			rules = json.RawMessage("[]")
		}
		return capi.SecurityGroup{
			Resource: resource(&g.Meta), Name: g.Name, Rules: rules,
			GloballyEnabled: capi.GloballyEnabled{Running: g.Running, Staging: g.Staging},
			Relationships: capi.SecurityGroupRelationships{
				RunningSpaces: capi.Many(seenIn(g.RunningSpaces, visible, all)...), StagingSpaces: capi.Many(seenIn(g.StagingSpaces, visible, all)...),
			},
			Links: capi.Links{"self": s.link("/v3/security_groups/" + g.GUID)},
		}, nil
	}
}

func seenIn(spaces, visible []string, all bool) []string {
	if all {
		return spaces
	}
	return slices.DeleteFunc(slices.Clone(spaces), func(g string) bool { return !slices.Contains(visible, g) })
}

// groupPage is a page of the groups that the caller may see and that match.
func (s *Server) groupPage(c *Ctx, tx *store.Tx, where []store.Cond, match func(*store.SecurityGroup) bool) (*page, error) {
	visible, all, err := c.visibleSpaces(tx, SeeSpace)
	if err != nil {
		return nil, err
	}
	return answerList(c, tx, Listing[store.SecurityGroup, capi.SecurityGroup]{
		Table: store.SecurityGroups, Meta: func(g *store.SecurityGroup) *store.Meta { return &g.Meta }, Where: where,
		Match: func(g *store.SecurityGroup) bool {
			return (all || seesGroup(g, visible)) && (match == nil || match(g))
		},
		Present: s.presentGroup(visible, all),
	})
}

// seesGroup reports whether a group applies to everybody or to a space that can be seen.
func seesGroup(g *store.SecurityGroup, spaces []string) bool {
	in := func(space string) bool { return slices.Contains(spaces, space) }
	return g.Running || g.Staging || slices.ContainsFunc(g.RunningSpaces, in) || slices.ContainsFunc(g.StagingSpaces, in)
}

func (s *Server) listGroups(c *Ctx) error {
	return c.answer(func(tx *store.Tx) (any, error) {
		for _, name := range []string{"globally_enabled_running", "globally_enabled_staging"} {
			if _, _, err := c.Filter.Bool(name); err != nil {
				return nil, err
			}
		}
		return s.groupPage(c, tx, c.filterBy(nil, "names", "name", "globally_enabled_running", "running_global",
			"globally_enabled_staging", "staging_global", "running_space_guids", "running_space", "staging_space_guids", "staging_space"), nil)
	})
}

func (s *Server) listRunningGroups(c *Ctx) error {
	return s.listSpaceGroups(c, func(g *store.SecurityGroup) bool {
		return g.Running || slices.Contains(g.RunningSpaces, c.Path("guid"))
	})
}

func (s *Server) listStagingGroups(c *Ctx) error {
	return s.listSpaceGroups(c, func(g *store.SecurityGroup) bool {
		return g.Staging || slices.Contains(g.StagingSpaces, c.Path("guid"))
	})
}

func (s *Server) listSpaceGroups(c *Ctx, match func(*store.SecurityGroup) bool) error {
	return c.answer(func(tx *store.Tx) (any, error) {
		return s.groupPage(c, tx, c.filterBy(nil, "names", "name"), match)
	})
}

// seenGroup is the group of the path; one that the caller may not see is not found.
func (c *Ctx) seenGroup(tx *store.Tx) (g *store.SecurityGroup, visible []string, all bool, err error) {
	if visible, all, err = c.visibleSpaces(tx, SeeSpace); err != nil {
		return nil, nil, false, err
	}
	if g, err = store.SecurityGroups.Get(tx, c.Path("guid")); err != nil {
		return nil, nil, false, notFound(err, "Security group")
	}
	if !all && !seesGroup(g, visible) {
		return nil, nil, false, capi.NotFound("Security group")
	}
	return g, visible, all, nil
}

func (s *Server) getGroup(c *Ctx) error {
	return c.answer(func(tx *store.Tx) (any, error) {
		g, visible, all, err := c.seenGroup(tx)
		if err != nil {
			return nil, err
		}
		return s.presentGroup(visible, all)(tx, g)
	})
}

func (s *Server) createGroup(c *Ctx) error {
	var in capi.SecurityGroupUpdate
	if err := c.decode(&in); err != nil {
		return err
	}
	return c.change(http.StatusCreated, func(tx *store.Tx) (any, error) {
		g := &store.SecurityGroup{Rules: []byte("[]")}
		if err := patchGroup(g, in); err != nil {
			return nil, err
		}
		if rel := in.Relationships; rel != nil {
			g.RunningSpaces, g.StagingSpaces = union(nil, rel.RunningSpaces.GUIDs()), union(nil, rel.StagingSpaces.GUIDs())
			if err := c.spacesInBody(tx, union(g.RunningSpaces, g.StagingSpaces), ManageSpace); err != nil {
				return nil, err
			}
		}
		if err := putGroup(tx, g); err != nil {
			return nil, err
		}
		return s.presentGroup(nil, true)(tx, g)
	})
}

func patchGroup(g *store.SecurityGroup, in capi.SecurityGroupUpdate) error {
	if in.Name != nil {
		g.Name = *in.Name
	}
	if in.Rules != nil {
		if err := validateRules(*in.Rules); err != nil {
			return err
		}
		raw, err := json.Marshal(*in.Rules)
		if err != nil {
			return err
		}
		g.Rules = raw
	}
	if e := in.GloballyEnabled; e != nil {
		if e.Running != nil {
			g.Running = *e.Running
		}
		if e.Staging != nil {
			g.Staging = *e.Staging
		}
	}
	return validateName("Name", g.Name)
}

func putGroup(tx *store.Tx, g *store.SecurityGroup) error {
	err := store.SecurityGroups.Put(tx, g)
	if isConflict(err) {
		return errInvalid("Security group with name '" + g.Name + "' already exists.")
	}
	return err
}

func (s *Server) updateGroup(c *Ctx) error {
	var in capi.SecurityGroupUpdate
	if err := c.decode(&in); err != nil {
		return err
	}
	if in.Relationships != nil {
		return errInvalid("Unknown field(s): 'relationships'")
	}
	return c.change(http.StatusOK, func(tx *store.Tx) (any, error) {
		g, _, _, err := c.seenGroup(tx)
		if err != nil {
			return nil, err
		}
		if err := firstOf(patchGroup(g, in), putGroup(tx, g)); err != nil {
			return nil, err
		}
		return s.presentGroup(nil, true)(tx, g)
	})
}

func (s *Server) deleteGroup(c *Ctx) error {
	return c.remove("security_group.delete", "security_group", func(tx *store.Tx) error {
		g, _, _, err := c.seenGroup(tx)
		if err != nil {
			return err
		}
		return store.SecurityGroups.Delete(tx, g.GUID)
	})
}

func (s *Server) bindGroup(list func(*store.SecurityGroup) *[]string) Handler {
	return func(c *Ctx) error {
		var in capi.ToMany
		if err := c.decode(&in); err != nil {
			return err
		}
		if len(in.Data) == 0 {
			return errInvalid("Data must name at least one space")
		}
		return c.change(http.StatusOK, func(tx *store.Tx) (any, error) {
			g, visible, all, err := c.seenGroup(tx)
			if err != nil {
				return nil, err
			}
			if err := c.spacesInBody(tx, in.GUIDs(), ManageSpace); err != nil {
				return nil, err
			}
			spaces := list(g)
			*spaces = union(*spaces, in.GUIDs())
			return capi.ToManyReply{Data: capi.Many(seenIn(*spaces, visible, all)...).Data, Links: capi.Links{
				"self": s.link(c.R.URL.Path),
			}}, store.SecurityGroups.Put(tx, g)
		})
	}
}

func (s *Server) unbindGroup(list func(*store.SecurityGroup) *[]string) Handler {
	return func(c *Ctx) error {
		guid := c.Path("space")
		err := c.Update(func(tx *store.Tx) error {
			g, _, _, err := c.seenGroup(tx)
			if err != nil {
				return err
			}
			if err := c.spacesInBody(tx, []string{guid}, ManageSpace); err != nil {
				return err
			}
			spaces := list(g)
			if !slices.Contains(*spaces, guid) {
				return errInvalid(fmt.Sprintf("Unable to unbind security group from space with guid '%s'. Ensure the space is bound to this security group.", guid))
			}
			*spaces = without(*spaces, guid)
			return store.SecurityGroups.Put(tx, g)
		})
		if err != nil {
			return err
		}
		return c.NoContent()
	}
}

func union(a, b []string) []string {
	all := slices.Concat(a, b)
	slices.Sort(all)
	return slices.Compact(all)
}
