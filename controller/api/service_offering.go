package api

import (
	"encoding/json"
	"net/http"
	"slices"

	"github.com/cupola-paas/cupola/controller/capi"
	"github.com/cupola-paas/cupola/controller/serviceop"
	"github.com/cupola-paas/cupola/store"
)

func (s *Server) serviceOfferingRoutes() []Route {
	const all, one, noun = "/v3/service_offerings", "/v3/service_offerings/{guid}", "Service offering"
	show := get(one, anybody(offeringAt, noun), s.getServiceOffering)
	show.Query = []string{"fields[service_broker]"}
	change := on(offeringAt, noun, SeePlatform, Develop)
	remove := del(one, change, s.deleteServiceOffering)
	remove.Query = []string{"purge"}
	return []Route{
		index(all, anybody(nil, ""), s.listServiceOfferings, "names", "available", "service_broker_guids", "service_broker_names", "space_guids",
			"organization_guids", "fields[service_broker]").ordered("name"),
		show, patch(one, change, s.updateServiceOffering), remove,
	}
}

func (s *Server) presentServiceOffering(_ *store.Tx, o *store.ServiceOffering) (capi.ServiceOffering, error) {
	base := "/v3/service_offerings/" + o.GUID
	return capi.ServiceOffering{
		Resource: resource(&o.Meta), Name: o.Name, Description: o.Description, Available: o.Available, Tags: o.Tags, Requires: o.Requires,
		Shareable: o.Shareable, DocumentationURL: nullable(o.DocumentationURL),
		BrokerCatalog: capi.OfferingCatalog{ID: o.CatalogID, Metadata: objectOr(o.Metadata), Features: capi.OfferingFeatures{
			PlanUpdateable: o.PlanUpdateable, Bindable: o.Bindable, InstancesRetrievable: o.InstancesRetrievable,
			BindingsRetrievable: o.BindingsRetrievable, AllowContextUpdates: o.AllowContextUpdates,
		}},
		Relationships: capi.OfferingRelationships{ServiceBroker: capi.One(o.BrokerGUID)}, Metadata: metadata(&o.Meta),
		Links: capi.Links{
			"self": s.link(base), "service_broker": s.link("/v3/service_brokers/" + o.BrokerGUID),
			"service_plans": s.link("/v3/service_plans?service_offering_guids=" + o.GUID),
		},
	}, nil
}

// objectOr is a stored JSON object, or the empty one.
func objectOr(raw []byte) json.RawMessage {
	if len(raw) == 0 {
		return json.RawMessage("{}")
	}
	return raw
}

var offeringFields = map[string][]string{"service_broker": {"guid", "name"}}

func (c *Ctx) includeForOfferings(tx *store.Tx, offerings []*store.ServiceOffering) (map[string]any, error) {
	asked, err := c.asksFields(offeringFields)
	if err != nil || len(asked) == 0 {
		return nil, err
	}
	out := map[string]any{}
	return out, brokerFields(tx, out, guidsOf(offerings, func(o *store.ServiceOffering) string { return o.BrokerGUID }), asked["service_broker"])
}

func (s *Server) listServiceOfferings(c *Ctx) error {
	return c.answer(func(tx *store.Tx) (any, error) {
		where, err := c.offeringConditions(tx)
		if err != nil {
			return nil, err
		}
		var found []*store.ServiceOffering
		p, err := answerList(c, tx, Listing[store.ServiceOffering, capi.ServiceOffering]{
			Table: store.ServiceOfferings, Meta: func(o *store.ServiceOffering) *store.Meta { return &o.Meta }, Where: where, Present: s.presentServiceOffering,
			Include: func(_ *store.Tx, all []*store.ServiceOffering) (*capi.Included, error) { found = all; return nil, nil },
		})
		if err != nil {
			return nil, err
		}
		included, err := c.includeForOfferings(tx, found)
		return withIncluded(p, included), err
	})
}

// offeringConditions shows those offerings of which the caller sees a plan.
func (c *Ctx) offeringConditions(tx *store.Tx) ([]store.Cond, error) {
	where := c.filterBy(nil, "names", "name", "available", "available", "service_broker_guids", "broker")
	where, err := c.filterByBrokerNames(tx, where)
	if err != nil {
		return nil, err
	}
	inView, err := c.plansInView(tx)
	if err != nil || len(inView) == 0 {
		return where, err
	}
	plans, _, err := store.ServicePlans.List(tx, store.Query[store.ServicePlan]{Where: inView})
	if err != nil {
		return nil, err
	}
	guids := slices.Sorted(slices.Values(guidsOf(plans, func(p *store.ServicePlan) string { return p.OfferingGUID })))
	return append(where, store.By("guid", slices.Compact(guids)...)), nil
}

// filterByBrokerNames adds the condition of service_broker_names.
func (c *Ctx) filterByBrokerNames(tx *store.Tx, where []store.Cond) ([]store.Cond, error) {
	names, ok := c.Filter.List("service_broker_names")
	if !ok {
		return where, nil
	}
	guids, err := store.ServiceBrokers.GUIDs(tx, store.By("name", names...))
	return append(where, store.By("broker", guids...)), err
}

func (s *Server) getServiceOffering(c *Ctx) error {
	return c.answer(func(tx *store.Tx) (any, error) {
		o, err := store.ServiceOfferings.Get(tx, c.Path("guid"))
		if err != nil {
			return nil, err
		}
		shown, err := s.presentServiceOffering(tx, o)
		if err != nil {
			return nil, err
		}
		included, err := c.includeForOfferings(tx, []*store.ServiceOffering{o})
		return withIncluded(shown, included), err
	})
}

func offeringTarget(o *store.ServiceOffering) store.Actor {
	return store.Actor{GUID: o.GUID, Type: "service", Name: o.Name}
}

func (s *Server) updateServiceOffering(c *Ctx) error {
	var in capi.MetadataUpdate
	if err := c.decode(&in); err != nil {
		return err
	}
	return c.change(http.StatusOK, func(tx *store.Tx) (any, error) {
		o, err := store.ServiceOfferings.Get(tx, c.Path("guid"))
		if err != nil {
			return nil, err
		}
		err = firstOf(patchMetadata(&o.Meta, in.Metadata), store.ServiceOfferings.Put(tx, o),
			c.audit(tx, Event{Type: "audit.service.update", Target: offeringTarget(o), Place: c.place, Data: request(map[string]any{"metadata": in.Metadata})}))
		if err != nil {
			return nil, err
		}
		return s.presentServiceOffering(tx, o)
	})
}

// deleteServiceOffering deletes one without plans, or with purge one with all its plans and instances, of which the
// broker is not told.
func (s *Server) deleteServiceOffering(c *Ctx) error {
	purge := c.Filter.Value("purge") == "true"
	err := c.Update(func(tx *store.Tx) error {
		o, err := store.ServiceOfferings.Get(tx, c.Path("guid"))
		if err != nil {
			return err
		}
		plans, err := store.ServicePlans.GUIDs(tx, store.By("offering", o.GUID))
		if err != nil {
			return err
		}
		if len(plans) > 0 && !purge {
			return errInvalid("Cannot delete the service offering while it has plans: use purge=true to delete it with all of them and their service instances")
		}
		if err := each(tx, store.ServiceInstances, c.purgeInstance, store.By("plan", plans...)); err != nil {
			return err
		}
		return firstOf(c.removeOffering(tx, o, c.place), c.audit(tx, Event{Type: "audit.service.delete", Target: offeringTarget(o), Place: c.place, Data: request(map[string]any{"purge": purge})}))
	})
	if err != nil {
		return err
	}
	return c.NoContent()
}

// purgeInstance deletes an instance with all bindings without asking its broker. The platform's own broker is told all the
// same: nobody else could stop the server, and its data stays as that of any deleted one.
func (c *Ctx) purgeInstance(tx *store.Tx, i *store.ServiceInstance) error {
	place, err := placeOf(tx, i.SpaceGUID)
	if err != nil {
		return err
	}
	if err := c.auditService(tx, i, place, "purge", nil); err != nil {
		return err
	}
	if _, err := store.DataServices.Get(tx, i.GUID); err == nil {
		return serviceop.ForgetInstance(tx, i, c.actor())
	}
	return serviceop.RemoveInstance(tx, i)
}
