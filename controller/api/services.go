package api

import (
	"net/http"
	"slices"
)

// serviceRoutes are service instances and bindings, and the collections of the marketplace, which is empty: no broker
// can be registered yet. Clients look into them before they push, route and delete.
func (s *Server) serviceRoutes() []Route {
	fields := []string{"fields[service_offering.service_broker]", "fields[service_broker]", "include"}
	list := func(name string, own ...string) Route {
		return index("/v3/"+name, signedIn(), s.listNothing, append(own, fields...)...).ordered("name")
	}
	return slices.Concat(s.serviceInstanceRoutes(), s.serviceBindingRoutes(), []Route{
		list("service_brokers", "names", "space_guids"),
		list("service_offerings", "names", "available", "service_broker_guids", "service_broker_names", "space_guids", "organization_guids"),
		list("service_plans", "names", "available", "broker_catalog_ids", "service_offering_guids", "service_offering_names",
			"service_broker_guids", "service_broker_names", "service_instance_guids", "space_guids", "organization_guids"),
		list("service_route_bindings", "route_guids", "service_instance_guids", "service_instance_names"),
	})
}

func (s *Server) listNothing(c *Ctx) error { return c.JSON(http.StatusOK, pageOf(c, []struct{}{})) }
