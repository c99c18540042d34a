package api

func (s *Server) routeRoutes() []Route    { return nil }
func (s *Server) manifestRoutes() []Route { return nil }
