package api

import (
	"fmt"
	"net/http"
	"slices"

	"github.com/cupola-paas/cupola/controller/capi"
	"github.com/cupola-paas/cupola/store"
)

// presentVisibility tells who may use a plan; of orgs, those that the caller may see.
func (c *Ctx) presentVisibility(tx *store.Tx, p *store.ServicePlan) (capi.PlanVisibility, error) {
	out := capi.PlanVisibility{Type: visibilityType(p)}
	if out.Type == capi.VisibilitySpace {
		space, err := store.Spaces.Get(tx, p.SpaceGUID)
		if err != nil {
			return out, err
		}
		out.Space = &capi.PlanSpace{GUID: space.GUID, Name: space.Name}
		return out, nil
	}
	if out.Type != capi.VisibilityOrganization {
		return out, nil
	}
	seen, all, err := c.visibleOrgs(tx)
	if err != nil {
		return out, err
	}
	for _, guid := range p.OrgGUIDs {
		if !all && !slices.Contains(seen, guid) {
			continue
		}
		org, err := store.Orgs.Get(tx, guid)
		if err != nil {
			return out, err
		}
		out.Organizations = append(out.Organizations, capi.PlanOrganization{GUID: org.GUID, Name: org.Name})
	}
	return out, nil
}

func (s *Server) getPlanVisibility(c *Ctx) error {
	return c.answer(func(tx *store.Tx) (any, error) {
		p, err := store.ServicePlans.Get(tx, c.Path("guid"))
		if err != nil {
			return nil, err
		}
		return c.presentVisibility(tx, p)
	})
}

func (s *Server) replacePlanVisibility(c *Ctx) error { return c.setVisibility(false) }

func (s *Server) extendPlanVisibility(c *Ctx) error { return c.setVisibility(true) }

// setVisibility makes a plan visible to those that the body names, besides those orgs that it is for already if
// extend is set.
func (c *Ctx) setVisibility(extend bool) error {
	var in capi.PlanVisibilityChange
	if err := c.decode(&in); err != nil {
		return err
	}
	switch {
	case !slices.Contains([]string{capi.VisibilityPublic, capi.VisibilityAdmin, capi.VisibilityOrganization}, in.Type):
		return errInvalid("Type must be one of 'public', 'admin', 'organization'")
	case in.Type == capi.VisibilityOrganization && len(in.Organizations) == 0:
		return errInvalid("Organizations must not be empty when the type is 'organization'")
	case in.Type != capi.VisibilityOrganization && len(in.Organizations) > 0:
		return errInvalid("Organizations must be empty unless the type is 'organization'")
	}
	return c.change(http.StatusOK, func(tx *store.Tx) (any, error) {
		p, err := c.planToShow(tx)
		if err != nil {
			return nil, err
		}
		orgs, err := orgsToShow(tx, in.Organizations)
		if err != nil {
			return nil, err
		}
		if extend && in.Type == capi.VisibilityOrganization {
			orgs = append(slices.Clone(p.OrgGUIDs), orgs...)
		}
		p.Public, p.OrgGUIDs = in.Type == capi.VisibilityPublic, unrepeated(orgs)
		err = firstOf(store.ServicePlans.Put(tx, p), c.audit(tx, Event{Type: "audit.service_plan_visibility.update", Target: planTarget(p), Place: c.place,
			Data: request(map[string]any{"type": in.Type, "organizations": in.Organizations})}))
		if err != nil {
			return nil, err
		}
		return c.presentVisibility(tx, p)
	})
}

func (c *Ctx) planToShow(tx *store.Tx) (*store.ServicePlan, error) {
	p, err := store.ServicePlans.Get(tx, c.Path("guid"))
	if err == nil && p.SpaceGUID != "" {
		err = errInvalid("The visibility of a plan whose broker is for one space cannot be changed")
	}
	return p, err
}

func orgsToShow(tx *store.Tx, orgs []capi.PlanOrganization) ([]string, error) {
	var guids []string
	for _, o := range orgs {
		if _, err := store.Orgs.Get(tx, o.GUID); err != nil {
			return nil, orElse(err, errInvalid(fmt.Sprintf("Could not find Organization with guid: %s", clip(o.GUID, 100))))
		}
		guids = append(guids, o.GUID)
	}
	return guids, nil
}

// unrepeated drops what was there before, and keeps the order.
func unrepeated(list []string) []string {
	var out []string
	for _, v := range list {
		if !slices.Contains(out, v) {
			out = append(out, v)
		}
	}
	return out
}

func (s *Server) removePlanVisibility(c *Ctx) error {
	err := c.Update(func(tx *store.Tx) error {
		p, err := c.planToShow(tx)
		if err != nil {
			return err
		}
		if visibilityType(p) != capi.VisibilityOrganization {
			return errInvalid("Only plans that are for some organizations can be taken from one")
		}
		if !slices.Contains(p.OrgGUIDs, c.Path("org")) {
			return capi.NotFound("Service plan visibility")
		}
		p.OrgGUIDs = without(p.OrgGUIDs, c.Path("org"))
		return firstOf(store.ServicePlans.Put(tx, p), c.audit(tx, Event{Type: "audit.service_plan_visibility.delete", Target: planTarget(p), Place: c.place,
			Data: map[string]any{"organization_guid": c.Path("org")}}))
	})
	if err != nil {
		return err
	}
	return c.NoContent()
}
