package api

// organisationRoutes are orgs, spaces, roles, users, quotas, domains, buildpacks, stacks, flags, root and events.
func (s *Server) organisationRoutes() []Route { return nil }
