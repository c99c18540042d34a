package services

import (
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/cupola-paas/cupola/controller/services/osb"
	"github.com/cupola-paas/cupola/store"
)

// merger brings the offerings and plans of a broker into line with its catalog. What the catalog no longer has goes, or
// stays unavailable while there are service instances of it.
type merger struct {
	tx         *store.Tx
	broker     *store.ServiceBroker
	dashboards Dashboards
	hashes     map[string]string // of the secrets of dashboard clients
	warnings   []string
}

func (s *merger) run(c *osb.Catalog) error {
	inCatalog := map[string]bool{}
	for i := range c.Offerings {
		o := &c.Offerings[i]
		inCatalog[o.ID] = true
		if err := s.offering(o); err != nil {
			return err
		}
	}
	gone, _, err := store.ServiceOfferings.List(s.tx, store.Query[store.ServiceOffering]{
		Where: []store.Cond{store.By("broker", s.broker.GUID)}, Match: func(o *store.ServiceOffering) bool { return !inCatalog[o.CatalogID] },
	})
	if err != nil {
		return err
	}
	for _, o := range gone {
		if err := s.withdrawOffering(o); err != nil {
			return err
		}
	}
	return nil
}

func (s *merger) offering(o *osb.Offering) error {
	rec, err := store.ServiceOfferings.Find(s.tx, "catalog", s.broker.GUID+"/"+o.ID)
	what := "update"
	if errors.Is(err, store.ErrNotFound) {
		rec, err, what = &store.ServiceOffering{BrokerGUID: s.broker.GUID, CatalogID: o.ID}, nil, "create"
	}
	if err != nil {
		return err
	}
	before := *rec
	rec.SpaceGUID, rec.Name, rec.Description, rec.Available = s.broker.SpaceGUID, o.Name, o.Description, true
	rec.Tags, rec.Requires, rec.Bindable, rec.PlanUpdateable = o.Tags, o.Requires, o.Bindable, o.PlanUpdateable
	rec.InstancesRetrievable, rec.BindingsRetrievable, rec.AllowContextUpdates = o.InstancesRetrievable, o.BindingsRetrievable, o.AllowContextUpdates
	rec.Metadata = o.Metadata
	rec.Shareable, rec.DocumentationURL = known(o.Metadata)
	if err := s.dashboard(rec, o.Dashboard); err != nil {
		return err
	}
	if what == "create" || !same(&before, rec) {
		err := errors.Join(store.ServiceOfferings.Put(s.tx, rec), s.audit("service", what, rec.GUID, rec.Name))
		if err != nil {
			return err
		}
	}
	return s.plans(rec, o)
}

// known reads what the platform uses of an offering's metadata.
func known(metadata []byte) (shareable bool, documentation string) {
	var m struct {
		Shareable     any `json:"shareable"`
		Documentation any `json:"documentationUrl"`
	}
	_ = json.Unmarshal(metadata, &m) // it is an object, or nothing
	shareable, _ = m.Shareable.(bool)
	documentation, _ = m.Documentation.(string)
	return shareable, documentation
}

// dashboard keeps the OAuth2 client of an offering.
func (s *merger) dashboard(rec *store.ServiceOffering, c *osb.DashboardClient) error {
	if c != nil && s.broker.SpaceGUID != "" {
		s.warnings = append(s.warnings, fmt.Sprintf("Service offering %s has a dashboard_client, which brokers of a space cannot have: it is ignored", rec.Name))
		c = nil
	}
	if s.dashboards == nil {
		return nil
	}
	if rec.DashboardClientID != "" && (c == nil || c.ID != rec.DashboardClientID) {
		if err := s.dashboards.DeleteDashboard(s.tx, rec.DashboardClientID); err != nil {
			return err
		}
		rec.DashboardClientID = ""
	}
	if c == nil {
		return nil
	}
	if rec.DashboardClientID == "" {
		switch _, err := store.Clients.Get(s.tx, c.ID); {
		case err == nil:
			return &unusableError{fmt.Sprintf("dashboard_client of service offering %s: there is a client with the id %s already", rec.Name, c.ID)}
		case !errors.Is(err, store.ErrNotFound):
			return err
		}
	}
	rec.DashboardClientID = c.ID
	return s.dashboards.PutDashboard(s.tx, c.ID, rec.Name+" dashboard", s.hashes[c.ID], c.RedirectURI)
}

func (s *merger) plans(offering *store.ServiceOffering, o *osb.Offering) error {
	inCatalog := map[string]bool{}
	for i := range o.Plans {
		inCatalog[o.Plans[i].ID] = true
		if err := s.plan(offering, &o.Plans[i]); err != nil {
			return err
		}
	}
	gone, _, err := store.ServicePlans.List(s.tx, store.Query[store.ServicePlan]{
		Where: []store.Cond{store.By("offering", offering.GUID)}, Match: func(p *store.ServicePlan) bool { return !inCatalog[p.CatalogID] },
	})
	if err != nil {
		return err
	}
	return s.withdrawPlans(offering, gone)
}

func (s *merger) plan(offering *store.ServiceOffering, p *osb.Plan) error {
	rec, err := store.ServicePlans.Find(s.tx, "catalog", s.broker.GUID+"/"+p.ID)
	what := "update"
	if errors.Is(err, store.ErrNotFound) {
		rec, err, what = &store.ServicePlan{BrokerGUID: s.broker.GUID, CatalogID: p.ID, Public: s.broker.BuiltIn}, nil, "create"
	}
	if err != nil {
		return err
	}
	before := *rec
	rec.OfferingGUID, rec.SpaceGUID, rec.Name, rec.Description, rec.Available = offering.GUID, s.broker.SpaceGUID, p.Name, p.Description, true
	rec.Free, rec.Bindable, rec.PlanUpdateable, rec.MaximumPolling = p.Free, p.Bindable, p.PlanUpdateable, p.MaximumPolling
	rec.Metadata, rec.MaintenanceInfo = p.Metadata, p.MaintenanceInfo
	rec.CreateSchema, rec.UpdateSchema, rec.BindSchema = p.CreateSchema, p.UpdateSchema, p.BindSchema
	if what != "create" && same(&before, rec) {
		return nil
	}
	return errors.Join(store.ServicePlans.Put(s.tx, rec), s.audit("service_plan", what, rec.GUID, rec.Name))
}

// same compares records as they are stored.
func same[T any](a, b *T) bool {
	x, errX := json.Marshal(a)
	y, errY := json.Marshal(b)
	return errX == nil && errY == nil && string(x) == string(y)
}

// withdrawOffering takes an offering away that is no longer in the catalog.
func (s *merger) withdrawOffering(o *store.ServiceOffering) error {
	plans, _, err := store.ServicePlans.List(s.tx, store.Query[store.ServicePlan]{Where: []store.Cond{store.By("offering", o.GUID)}})
	if err != nil {
		return err
	}
	if err := s.withdrawPlans(o, plans); err != nil {
		return err
	}
	if err := s.dashboard(o, nil); err != nil {
		return err
	}
	left, err := store.ServicePlans.Count(s.tx, store.By("offering", o.GUID))
	if err != nil {
		return err
	}
	if left == 0 {
		return errors.Join(store.ServiceOfferings.Delete(s.tx, o.GUID), s.audit("service", "delete", o.GUID, o.Name))
	}
	o.Available = false
	return errors.Join(store.ServiceOfferings.Put(s.tx, o), s.audit("service", "update", o.GUID, o.Name))
}

// withdrawPlans deletes plans, but those that have service instances, which it only deactivates.
func (s *merger) withdrawPlans(o *store.ServiceOffering, plans []*store.ServicePlan) error {
	var kept []string
	for _, p := range plans {
		n, err := store.ServiceInstances.Count(s.tx, store.By("plan", p.GUID))
		if err != nil {
			return err
		}
		if n == 0 {
			if err := errors.Join(store.ServicePlans.Delete(s.tx, p.GUID), s.audit("service_plan", "delete", p.GUID, p.Name)); err != nil {
				return err
			}
			continue
		}
		kept = append(kept, p.Name)
		if !p.Available {
			continue
		}
		p.Available = false
		if err := errors.Join(store.ServicePlans.Put(s.tx, p), s.audit("service_plan", "update", p.GUID, p.Name)); err != nil {
			return err
		}
	}
	if len(kept) > 0 {
		slices.Sort(kept)
		s.warnings = append(s.warnings, fmt.Sprintf("Warning: plans of service offering %s are missing from the broker's catalog, but have service instances: %s. "+
			"They were deactivated, so that no new instances of them can be made; the broker should go on to bind, unbind and delete those that there are.", o.Name, strings.Join(kept, ", ")))
	}
	return nil
}

func (s *merger) audit(kind, what, guid, name string) error {
	actor := store.Actor{GUID: s.broker.GUID, Type: "service_broker", Name: s.broker.Name}
	e := &store.AuditEvent{Type: "audit." + kind + "." + what, Actor: actor, Target: store.Actor{GUID: guid, Type: kind, Name: name}, Data: []byte("{}")}
	if s.broker.SpaceGUID != "" {
		space, err := store.Spaces.Get(s.tx, s.broker.SpaceGUID)
		if err != nil {
			return err
		}
		e.SpaceGUID, e.OrgGUID = space.GUID, space.OrgGUID
	}
	return store.AuditEvents.Put(s.tx, e)
}
