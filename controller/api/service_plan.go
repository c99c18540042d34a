package api

import (
	"encoding/json"
	"fmt"
	"maps"
	"net/http"
	"slices"
	"strings"

	"github.com/cupola-paas/cupola/controller/capi"
	"github.com/cupola-paas/cupola/store"
)

func (s *Server) servicePlanRoutes() []Route {
	const all, one, noun = "/v3/service_plans", "/v3/service_plans/{guid}", "Service plan"
	along := []string{"include", "fields[service_offering.service_broker]"}
	show := get(one, anybody(planAt, noun), s.getServicePlan)
	show.Query = along
	change := on(planAt, noun, SeePlatform, Develop)
	return []Route{
		index(all, anybody(nil, ""), s.listServicePlans, append([]string{"names", "available", "broker_catalog_ids", "service_offering_guids", "service_offering_names",
			"service_broker_guids", "service_broker_names", "service_instance_guids", "space_guids", "organization_guids"}, along...)...).ordered("name"),
		show, patch(one, change, s.updateServicePlan), del(one, change, s.deleteServicePlan),
		get(one+"/visibility", on(planAt, noun, SeePlatform, SeePlatform), s.getPlanVisibility),
		patch(one+"/visibility", change, s.replacePlanVisibility),
		post(one+"/visibility", change, s.extendPlanVisibility),
		del(one+"/visibility/{org}", change, s.removePlanVisibility),
	}
}

// removePlan deletes a plan, of which there are no instances.
func (c *Ctx) removePlan(tx *store.Tx, p *store.ServicePlan, place Place) error {
	return firstOf(store.ServicePlans.Delete(tx, p.GUID), c.audit(tx, Event{Type: "audit.service_plan.delete", Target: planTarget(p), Place: place}))
}

func planTarget(p *store.ServicePlan) store.Actor {
	return store.Actor{GUID: p.GUID, Type: "service_plan", Name: p.Name}
}

func (s *Server) presentServicePlan(_ *store.Tx, p *store.ServicePlan) (capi.ServicePlan, error) {
	base := "/v3/service_plans/" + p.GUID
	out := capi.ServicePlan{
		Resource: resource(&p.Meta), Name: p.Name, VisibilityType: visibilityType(p), Available: p.Available, Free: p.Free, Costs: costsOf(p.Metadata),
		Description: p.Description, MaintenanceInfo: objectOr(p.MaintenanceInfo), Metadata: metadata(&p.Meta),
		BrokerCatalog: capi.PlanCatalog{ID: p.CatalogID, Metadata: objectOr(p.Metadata), Features: capi.PlanFeatures{PlanUpdateable: p.PlanUpdateable, Bindable: p.Bindable}},
		Relationships: capi.PlanRelationships{ServiceOffering: capi.One(p.OfferingGUID)},
		Links: capi.Links{
			"self": s.link(base), "service_offering": s.link("/v3/service_offerings/" + p.OfferingGUID), "visibility": s.link(base + "/visibility"),
		},
	}
	if p.MaximumPolling > 0 {
		seconds := int(p.MaximumPolling.Seconds())
		out.BrokerCatalog.MaximumPollingDuration = &seconds
	}
	out.Schemas.ServiceInstance.Create.Parameters = objectOr(p.CreateSchema)
	out.Schemas.ServiceInstance.Update.Parameters = objectOr(p.UpdateSchema)
	out.Schemas.ServiceBinding.Create.Parameters = objectOr(p.BindSchema)
	if p.SpaceGUID != "" {
		out.Relationships.Space = capi.To(p.SpaceGUID)
		out.Links["space"] = s.link("/v3/spaces/" + p.SpaceGUID)
	}
	return out, nil
}

func visibilityType(p *store.ServicePlan) string {
	switch {
	case p.SpaceGUID != "":
		return capi.VisibilitySpace
	case p.Public:
		return capi.VisibilityPublic
	case len(p.OrgGUIDs) > 0:
		return capi.VisibilityOrganization
	}
	return capi.VisibilityAdmin
}

// costsOf reads costs as catalogs write them: [{"amount":{"usd":9.5},"unit":"MONTHLY"}] (OSB Profile, Plan Metadata).
func costsOf(metadata []byte) capi.Array[capi.PlanCost] {
	var m struct {
		Costs []struct {
			Amount map[string]float64 `json:"amount"`
			Unit   string             `json:"unit"`
		} `json:"costs"`
	}
	if len(metadata) == 0 || json.Unmarshal(metadata, &m) != nil {
		return nil // brokers may keep anything there
	}
	var out capi.Array[capi.PlanCost]
	for _, c := range m.Costs {
		for _, currency := range slices.Sorted(maps.Keys(c.Amount)) {
			out = append(out, capi.PlanCost{Amount: c.Amount[currency], Currency: strings.ToUpper(currency), Unit: c.Unit})
		}
	}
	return out
}

var planFields = map[string][]string{"service_offering.service_broker": {"guid", "name"}}

func (c *Ctx) includeForPlans(tx *store.Tx, plans []*store.ServicePlan) (map[string]any, error) {
	asked, err := c.wantsInclude("space.organization", "service_offering")
	if err != nil {
		return nil, err
	}
	fields, err := c.asksFields(planFields)
	if err != nil {
		return nil, err
	}
	out := map[string]any{}
	if slices.Contains(asked, "service_offering") {
		if err := c.includeOfferings(tx, out, plans); err != nil {
			return nil, err
		}
	}
	if slices.Contains(asked, "space.organization") {
		var guids []string
		for _, p := range plans {
			if p.SpaceGUID != "" {
				guids = append(guids, p.SpaceGUID)
			}
		}
		var in capi.Included
		if err := c.includeSpaces(tx, &in, guids, true, true); err != nil {
			return nil, err
		}
		out["spaces"], out["organizations"] = capi.Array[capi.Space](in.Spaces), capi.Array[capi.Organization](in.Organizations)
	}
	if members := fields["service_offering.service_broker"]; members != nil {
		return out, brokerFields(tx, out, guidsOf(plans, func(p *store.ServicePlan) string { return p.BrokerGUID }), members)
	}
	return out, nil
}

func (c *Ctx) includeOfferings(tx *store.Tx, out map[string]any, plans []*store.ServicePlan) error {
	list := capi.Array[capi.ServiceOffering]{}
	for _, guid := range slices.Compact(slices.Sorted(slices.Values(guidsOf(plans, func(p *store.ServicePlan) string { return p.OfferingGUID })))) {
		o, err := store.ServiceOfferings.Get(tx, guid)
		if err != nil {
			return err
		}
		shown, err := c.s.presentServiceOffering(tx, o)
		if err != nil {
			return err
		}
		list = append(list, shown)
	}
	out["service_offerings"] = list
	return nil
}

func (s *Server) listServicePlans(c *Ctx) error {
	return c.answer(func(tx *store.Tx) (any, error) {
		where, err := c.planConditions(tx)
		if err != nil {
			return nil, err
		}
		var found []*store.ServicePlan
		p, err := answerList(c, tx, Listing[store.ServicePlan, capi.ServicePlan]{
			Table: store.ServicePlans, Meta: func(p *store.ServicePlan) *store.Meta { return &p.Meta }, Where: where, Present: s.presentServicePlan,
			Include: func(_ *store.Tx, all []*store.ServicePlan) (*capi.Included, error) { found = all; return nil, nil },
		})
		if err != nil {
			return nil, err
		}
		included, err := c.includeForPlans(tx, found)
		return withIncluded(p, included), err
	})
}

func (c *Ctx) planConditions(tx *store.Tx) ([]store.Cond, error) {
	where, err := c.plansInView(tx)
	if err != nil {
		return nil, err
	}
	where = c.filterBy(where, "names", "name", "available", "available", "broker_catalog_ids", "catalog_id", "service_offering_guids", "offering", "service_broker_guids", "broker")
	if where, err = c.filterByBrokerNames(tx, where); err != nil {
		return nil, err
	}
	if names, ok := c.Filter.List("service_offering_names"); ok {
		guids, err := store.ServiceOfferings.GUIDs(tx, store.By("name", names...))
		if err != nil {
			return nil, err
		}
		where = append(where, store.By("offering", guids...))
	}
	if instances, ok := c.Filter.List("service_instance_guids"); ok {
		found, _, err := store.ServiceInstances.List(tx, store.Query[store.ServiceInstance]{Where: []store.Cond{store.By("guid", instances...)}})
		if err != nil {
			return nil, err
		}
		where = append(where, store.By("guid", guidsOf(found, func(i *store.ServiceInstance) string { return i.PlanGUID })...))
	}
	return where, nil
}

func (s *Server) getServicePlan(c *Ctx) error {
	return c.answer(func(tx *store.Tx) (any, error) {
		p, err := store.ServicePlans.Get(tx, c.Path("guid"))
		if err != nil {
			return nil, err
		}
		shown, err := s.presentServicePlan(tx, p)
		if err != nil {
			return nil, err
		}
		included, err := c.includeForPlans(tx, []*store.ServicePlan{p})
		return withIncluded(shown, included), err
	})
}

func (s *Server) updateServicePlan(c *Ctx) error {
	var in capi.MetadataUpdate
	if err := c.decode(&in); err != nil {
		return err
	}
	return c.change(http.StatusOK, func(tx *store.Tx) (any, error) {
		p, err := store.ServicePlans.Get(tx, c.Path("guid"))
		if err != nil {
			return nil, err
		}
		err = firstOf(patchMetadata(&p.Meta, in.Metadata), store.ServicePlans.Put(tx, p),
			c.audit(tx, Event{Type: "audit.service_plan.update", Target: planTarget(p), Place: c.place, Data: request(map[string]any{"metadata": in.Metadata})}))
		if err != nil {
			return nil, err
		}
		return s.presentServicePlan(tx, p)
	})
}

func (s *Server) deleteServicePlan(c *Ctx) error {
	err := c.Update(func(tx *store.Tx) error {
		p, err := store.ServicePlans.Get(tx, c.Path("guid"))
		if err != nil {
			return err
		}
		n, err := store.ServiceInstances.Count(tx, store.By("plan", p.GUID))
		switch {
		case err != nil:
			return err
		case n > 0:
			return errInvalid(fmt.Sprintf("The service plan '%s' cannot be deleted while there are service instances of it: %d", p.Name, n))
		case p.Available:
			return errInvalid(fmt.Sprintf("The service plan '%s' cannot be deleted while it stands in the catalog of its broker", p.Name))
		}
		return c.removePlan(tx, p, c.place)
	})
	if err != nil {
		return err
	}
	return c.NoContent()
}
