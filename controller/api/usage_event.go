package api

import (
	"net/http"

	"github.com/cupola-paas/cupola/controller/appusage"
	"github.com/cupola-paas/cupola/controller/capi"
	"github.com/cupola-paas/cupola/store"
)

func (s *Server) usageEventRoutes() []Route {
	purge := on(platformAt, "Resource", SeePlatform, Administer)
	return []Route{
		index("/v3/app_usage_events", signedIn(), s.listAppUsageEvents, "after_guid"),
		get("/v3/app_usage_events/{guid}", signedIn(), s.getAppUsageEvent),
		post("/v3/app_usage_events/actions/destructively_purge_all_and_reseed", purge, s.reseedAppUsage),
		index("/v3/service_usage_events", signedIn(), s.listServiceUsageEvents, "after_guid", "service_instance_types", "service_offering_guids"),
		get("/v3/service_usage_events/{guid}", signedIn(), s.getServiceUsageEvent),
		post("/v3/service_usage_events/actions/destructively_purge_all_and_reseed", purge, s.reseedServiceUsage),
	}
}

func (s *Server) presentAppUsageEvent(_ *store.Tx, e *store.AppUsageEvent) (capi.AppUsageEvent, error) {
	return capi.AppUsageEvent{
		Resource: resource(&e.Meta), State: capi.UsageState{Current: e.State, Previous: nullable(e.PreviousState)},
		App:           capi.UsageName{GUID: nullable(e.AppGUID), Name: nullable(e.AppName)},
		Process:       capi.UsageType{GUID: nullable(e.ProcessGUID), Type: nullable(e.ProcessType)},
		Space:         capi.UsageName{GUID: nullable(e.SpaceGUID), Name: nullable(e.SpaceName)},
		Organization:  capi.UsageGUID{GUID: nullable(e.OrgGUID)},
		Buildpack:     capi.UsageName{GUID: nullable(e.BuildpackGUID), Name: nullable(e.BuildpackName)},
		Task:          capi.UsageName{GUID: nullable(e.TaskGUID), Name: nullable(e.TaskName)},
		MemoryInMB:    capi.UsageNumber{Current: e.MemoryMB, Previous: e.PreviousMemoryMB},
		InstanceCount: capi.UsageNumber{Current: e.Instances, Previous: e.PreviousInstances},
		Links:         capi.Links{"self": s.link("/v3/app_usage_events/" + e.GUID)},
	}, nil
}

// listAppUsageEvents is empty for who may not read everywhere, as Cloud Controller's is.
func (s *Server) listAppUsageEvents(c *Ctx) error {
	return listUsage(c, store.AppUsageEvents, func(e *store.AppUsageEvent) *store.Meta { return &e.Meta }, s.presentAppUsageEvent, nil)
}

func listUsage[T, R any](c *Ctx, table *store.Table[T], meta func(*T) *store.Meta, present func(*store.Tx, *T) (R, error), where []store.Cond) error {
	return c.answerPage(func(tx *store.Tx) (*page, error) {
		if !c.everywhere(AdminRead) {
			return pageOf(c, []R{}), nil
		}
		after := c.Filter.Value("after_guid")
		if c.Filter.Has("after_guid") {
			if _, err := table.Get(tx, after); err != nil {
				return nil, orElse(err, errQuery("After guid filter must be a valid usage event guid."))
			}
		}
		return answerList(c, tx, Listing[T, R]{Table: table, Meta: meta, Present: present, Where: where, After: after})
	})
}

func (s *Server) getAppUsageEvent(c *Ctx) error {
	return showUsage(c, store.AppUsageEvents, "App usage event", s.presentAppUsageEvent)
}

func showUsage[T, R any](c *Ctx, table *store.Table[T], noun string, present func(*store.Tx, *T) (R, error)) error {
	if !c.everywhere(AdminRead) {
		return capi.NotFound(noun)
	}
	var out R
	err := c.View(func(tx *store.Tx) error {
		e, err := table.Get(tx, c.Path("guid"))
		if err != nil {
			return notFound(err, noun)
		}
		out, err = present(tx, e)
		return err
	})
	if err != nil {
		return err
	}
	return c.JSON(http.StatusOK, out)
}

// reseedAppUsage begins the reckoning anew: what runs now is told as started now.
func (s *Server) reseedAppUsage(c *Ctx) error {
	if err := c.Update(appusage.Reseed); err != nil {
		return err
	}
	return c.JSON(http.StatusOK, struct{}{})
}

func (s *Server) presentServiceUsageEvent(_ *store.Tx, e *store.ServiceUsageEvent) (capi.ServiceUsageEvent, error) {
	return capi.ServiceUsageEvent{
		Resource: resource(&e.Meta), State: e.State,
		Space:           capi.UsageName{GUID: nullable(e.SpaceGUID), Name: nullable(e.SpaceName)},
		Organization:    capi.UsageGUID{GUID: nullable(e.OrgGUID)},
		ServiceInstance: capi.UsageKind{GUID: nullable(e.InstanceGUID), Name: nullable(e.InstanceName), Type: nullable(e.InstanceType)},
		ServicePlan:     capi.UsageName{GUID: nullable(e.PlanGUID), Name: nullable(e.PlanName)},
		ServiceOffering: capi.UsageName{GUID: nullable(e.OfferingGUID), Name: nullable(e.OfferingName)},
		ServiceBroker:   capi.UsageName{GUID: nullable(e.BrokerGUID), Name: nullable(e.BrokerName)},
		Links:           capi.Links{"self": s.link("/v3/service_usage_events/" + e.GUID)},
	}, nil
}

func (s *Server) listServiceUsageEvents(c *Ctx) error {
	where := c.filterBy(nil, "service_instance_types", "type", "service_offering_guids", "offering")
	return listUsage(c, store.ServiceUsageEvents, func(e *store.ServiceUsageEvent) *store.Meta { return &e.Meta }, s.presentServiceUsageEvent, where)
}

func (s *Server) getServiceUsageEvent(c *Ctx) error {
	return showUsage(c, store.ServiceUsageEvents, "Service usage event", s.presentServiceUsageEvent)
}

func (s *Server) reseedServiceUsage(c *Ctx) error {
	if err := c.Update(appusage.ReseedServices); err != nil {
		return err
	}
	return c.JSON(http.StatusOK, struct{}{})
}
