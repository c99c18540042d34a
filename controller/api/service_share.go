package api

import (
	"fmt"
	"net/http"
	"slices"

	"github.com/cupola-paas/cupola/controller/capi"
	"github.com/cupola-paas/cupola/controller/serviceop"
	"github.com/cupola-paas/cupola/store"
)

var sharedFields = map[string][]string{"space": {"guid", "name", "relationships.organization"}, "space.organization": {"guid", "name"}}

func (s *Server) sharedSpaces(i *store.ServiceInstance) capi.ToManyReply {
	self := "/v3/service_instances/" + i.GUID + "/relationships/shared_spaces"
	return capi.ToManyReply{Data: capi.Many(i.SharedSpaceGUIDs...).Data, Links: capi.Links{"self": s.link(self)}}
}

func (s *Server) getSharedSpaces(c *Ctx) error {
	return c.answer(func(tx *store.Tx) (any, error) {
		i, err := store.ServiceInstances.Get(tx, c.Path("guid"))
		if err != nil {
			return nil, err
		}
		asked, err := c.asksFields(sharedFields)
		if err != nil || len(asked) == 0 {
			return s.sharedSpaces(i), err
		}
		out := map[string]any{}
		err = includeSpaceFields(tx, out, i.SharedSpaceGUIDs, asked["space"], asked["space.organization"])
		return withIncluded(s.sharedSpaces(i), out), err
	})
}

// getSharedUsage counts the apps that are bound in each space that the instance is shared with.
func (s *Server) getSharedUsage(c *Ctx) error {
	return c.answer(func(tx *store.Tx) (any, error) {
		i, err := store.ServiceInstances.Get(tx, c.Path("guid"))
		if err != nil {
			return nil, err
		}
		usage := []capi.SharedUsage{}
		for _, guid := range i.SharedSpaceGUIDs {
			n, err := store.ServiceBindings.Count(tx, store.By("instance", i.GUID), store.By("space", guid), store.By("type", store.BindingApp))
			if err != nil {
				return nil, err
			}
			usage = append(usage, capi.SharedUsage{Space: capi.GUID{GUID: guid}, BoundAppCount: n})
		}
		self := "/v3/service_instances/" + i.GUID + "/relationships/shared_spaces"
		return map[string]any{
			"usage_summary": usage, "links": capi.Links{"self": s.link(self + "/usage_summary"), "shared_spaces": s.link(self), "service_instance": s.link("/v3/service_instances/" + i.GUID)},
		}, nil
	})
}

func (s *Server) shareServiceInstance(c *Ctx) error {
	var in capi.ToMany
	if err := c.decode(&in); err != nil {
		return err
	}
	return c.change(http.StatusOK, func(tx *store.Tx) (any, error) {
		i, err := store.ServiceInstances.Get(tx, c.Path("guid"))
		if err != nil {
			return nil, err
		}
		if i.Type == store.ServiceManaged {
			err = c.needFlag(tx, "service_instance_sharing", false)
		}
		if err != nil {
			return nil, err
		}
		plan, err := sharable(tx, i)
		if err != nil {
			return nil, err
		}
		guids := unrepeated(in.GUIDs())
		if err := c.sharesWith(tx, i, plan, guids); err != nil {
			return nil, err
		}
		i.SharedSpaceGUIDs = unrepeated(append(i.SharedSpaceGUIDs, guids...))
		err = firstOf(store.ServiceInstances.Put(tx, i), c.audit(tx, Event{Type: "audit.service_instance.share", Target: serviceInstanceTarget(i), Place: c.place,
			Data: map[string]any{"target_space_guids": guids}}))
		return s.sharedSpaces(i), err
	})
}

// sharable finds the plan of an instance that can be shared.
func sharable(tx *store.Tx, i *store.ServiceInstance) (*store.ServicePlan, error) {
	if i.Type != store.ServiceManaged {
		return nil, errInvalid("User-provided services cannot be shared.")
	}
	plan, offering, _, err := serviceop.Plan(tx, i)
	switch {
	case err != nil:
		return nil, err
	case slices.Contains(offering.Requires, "route_forwarding"):
		return nil, errInvalid("Route services cannot be shared.")
	case !offering.Shareable:
		return nil, errInvalid(fmt.Sprintf("The %s service does not support service instance sharing.", offering.Name))
	case i.Unmade:
		return nil, errInvalid("The service instance could not be shared as it has not been created.")
	}
	return plan, nil
}

// sharesWith asks of each space whether the caller may share there and whether the instance can be used there.
func (c *Ctx) sharesWith(tx *store.Tx, i *store.ServiceInstance, plan *store.ServicePlan, guids []string) error {
	if len(guids) == 0 {
		return errInvalid("Data must have at least one space")
	}
	for _, guid := range guids {
		unable := fmt.Sprintf("Unable to share service instance %s with spaces ['%s']. ", i.Name, clip(guid, 100))
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
			return errInvalid(unable + "Ensure the spaces exist and that you have access to them.")
		}
		if may, err := c.Can(tx, place, Develop); err != nil || !may {
			return firstOf(err, errInvalid(unable+"Write permission is required in order to share a service instance with a space."))
		}
		if err := sharesWithOne(tx, i, plan, place); err != nil {
			return err
		}
	}
	return nil
}

func sharesWithOne(tx *store.Tx, i *store.ServiceInstance, plan *store.ServicePlan, place Place) error {
	space, err := store.Spaces.Get(tx, place.SpaceGUID)
	switch {
	case err != nil:
		return err
	case place.SpaceGUID == i.SpaceGUID:
		return errInvalid(fmt.Sprintf("Unable to share service instance '%s' with space '%s'. Service instances cannot be shared into the space where they were created.", i.Name, space.GUID))
	case slices.Contains(i.SharedSpaceGUIDs, place.SpaceGUID):
		return nil
	case !usablePlan(plan, place):
		return errInvalid(fmt.Sprintf("Access to service plan %s is not enabled in the organization of space %s", plan.Name, space.Name))
	}
	others, _, err := store.ServiceInstances.List(tx, store.Query[store.ServiceInstance]{Where: []store.Cond{store.By("name", i.Name), store.By("in_space", place.SpaceGUID)}})
	if err != nil || len(others) == 0 {
		return err
	}
	if others[0].SpaceGUID != place.SpaceGUID {
		return errInvalid(fmt.Sprintf("A service instance called %s has already been shared with %s.", i.Name, space.Name))
	}
	return errInvalid(fmt.Sprintf("A service instance called %s already exists in %s.", i.Name, space.Name))
}

// unshareServiceInstance takes an instance out of a space, and has the bindings there deleted.
func (s *Server) unshareServiceInstance(c *Ctx) error {
	err := c.Update(func(tx *store.Tx) error {
		i, err := store.ServiceInstances.Get(tx, c.Path("guid"))
		if err != nil {
			return err
		}
		guid := c.Path("space")
		if !slices.Contains(i.SharedSpaceGUIDs, guid) {
			return errInvalid(fmt.Sprintf("Unable to unshare service instance from space %s. Ensure the space exists and the service instance has been shared to this space.", clip(guid, 100)))
		}
		i.SharedSpaceGUIDs = without(i.SharedSpaceGUIDs, guid)
		return firstOf(
			each(tx, store.ServiceBindings, c.beginUnbind, store.By("instance", i.GUID), store.By("space", guid)),
			store.ServiceInstances.Put(tx, i),
			c.audit(tx, Event{Type: "audit.service_instance.unshare", Target: serviceInstanceTarget(i), Place: c.place, Data: map[string]any{"target_space_guid": guid}}))
	})
	if err != nil {
		return err
	}
	return c.NoContent()
}
