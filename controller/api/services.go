package api

import (
	"net/http"
)

// serviceRoutes are the collections of the marketplace, which is empty: no broker can be registered yet. Clients look
// into them before they push, route and delete.
func (s *Server) serviceRoutes() []Route {
	fields := []string{"fields[space]", "fields[space.organization]", "fields[service_plan]", "fields[service_plan.service_offering]",
		"fields[service_plan.service_offering.service_broker]", "fields[service_offering.service_broker]", "fields[service_broker]"}
	list := func(name string, own ...string) Route {
		return index("/v3/"+name, signedIn(), s.listNothing, append(own, append(fields, "include")...)...).ordered("name")
	}
	return []Route{
		list("service_brokers", "names", "space_guids"),
		list("service_offerings", "names", "available", "service_broker_guids", "service_broker_names", "space_guids", "organization_guids"),
		list("service_plans", "names", "available", "broker_catalog_ids", "service_offering_guids", "service_offering_names",
			"service_broker_guids", "service_broker_names", "service_instance_guids", "space_guids", "organization_guids"),
		list("service_instances", "names", "type", "space_guids", "organization_guids", "service_plan_guids", "service_plan_names"),
		list("service_credential_bindings", "names", "type", "app_guids", "app_names", "service_instance_guids", "service_instance_names",
			"service_plan_guids", "service_plan_names", "service_offering_guids", "service_offering_names"),
		list("service_route_bindings", "route_guids", "service_instance_guids", "service_instance_names"),
	}
}

func (s *Server) listNothing(c *Ctx) error { return c.JSON(http.StatusOK, pageOf(c, []struct{}{})) }
