package api

import "slices"

// serviceRoutes are service instances and bindings, and the marketplace: brokers, offerings and plans.
func (s *Server) serviceRoutes() []Route {
	return slices.Concat(s.serviceInstanceRoutes(), s.serviceBindingRoutes(), s.serviceBrokerRoutes(), s.serviceOfferingRoutes(), s.servicePlanRoutes(),
		s.serviceRouteBindingRoutes(), s.dataServiceRoutes())
}
