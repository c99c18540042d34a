package api

func (s *Server) manifestRoutes() []Route { return nil }
